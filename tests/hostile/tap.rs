//! A socket that notes what goes out through it, so that the same can be sent again; and one that
//! does not hear everything.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use quinn::{
    AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// What a socket hears of what comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    Everything,
    /// Only that it has to prove its address.
    Retries,
    Nothing,
}

/// One call of the system: when, how many bytes, and cut into packets of which size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) bytes: usize,
    pub(crate) segment: Option<usize>,
}

/// Everything that was sent since it was made.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    began: Instant,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Tap {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            sent: Arc::default(),
        }
    }

    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    /// Notes something that went out another way.
    pub(crate) fn note(&self, bytes: usize) {
        self.push(bytes, None);
    }

    fn push(&self, bytes: usize, segment: Option<usize>) {
        let at = self.began.elapsed();
        self.sent.lock().unwrap().push(Sent { at, bytes, segment });
    }
}

pub(crate) struct TappedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    tap: Tap,
    hearing: Hearing,
}

impl TappedSocket {
    /// Binds a socket; call it on a runtime.
    pub(crate) fn bind(address: SocketAddr, tap: Tap, hearing: Hearing) -> io::Result<Arc<Self>> {
        let socket = UdpSocket::bind(address)?;
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(Self {
            inner,
            tap,
            hearing,
        }))
    }

    fn hears(&self, packet: &[u8]) -> bool {
        match self.hearing {
            Hearing::Everything => true,
            // A long header of type 3.
            Hearing::Retries => packet.first().is_some_and(|first| first & 0xf0 == 0xf0),
            Hearing::Nothing => false,
        }
    }
}

impl AsyncUdpSocket for TappedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        self.tap
            .push(transmit.contents.len(), transmit.segment_size);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let count = match self.inner.poll_recv(cx, bufs, meta) {
                Poll::Ready(Ok(count)) => count,
                other => return other,
            };
            let heard = bufs.iter().zip(meta.iter()).take(count);
            if { heard }.all(|(bytes, meta)| self.hears(&bytes[..meta.len])) {
                return Poll::Ready(Ok(count));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        match self.hearing {
            Hearing::Everything => self.inner.max_receive_segments(),
            Hearing::Retries | Hearing::Nothing => 1,
        }
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for TappedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TappedSocket")
            .field("hearing", &self.hearing)
            .finish_non_exhaustive()
    }
}
