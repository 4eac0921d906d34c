//! The UDP socket under quinn: as quinn's own for tokio, with fewer questions to the system.
//!
//! Knows nothing about what is in the packets.

use std::{
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState},
};
use tokio::{io::Interest, net::UdpSocket};

#[derive(Debug)]
pub(super) struct Udp {
    io: UdpSocket,
    state: UdpSocketState,
    /// The system did not take a packet, and has not said since that it would.
    is_full: AtomicBool,
}

impl Udp {
    /// Call it on the network thread that will read and write.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            io: UdpSocket::from_std(socket)?,
            is_full: AtomicBool::new(false),
        })
    }

    async fn writable(self: Arc<Self>) -> io::Result<()> {
        self.io.writable().await?;
        self.is_full.store(false, Relaxed);
        Ok(())
    }
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writing {
            socket: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let send = || self.state.send((&self.io).into(), transmit);
        let sent = self.io.try_io(Interest::WRITABLE, send);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.is_full.store(true, Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let room = bufs.len().min(meta.len()).min(BATCH_SIZE);
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let mut count = 0;
            let read = self.io.try_io(Interest::READABLE, || {
                count = self.state.recv((&self.io).into(), bufs, meta)?;
                match READS_BATCHES && count < room {
                    // The system had no more, which quinn would ask for once more to find out. What arrives
                    // from now on is an event of its own, and makes the socket readable again.
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => Ok(()),
                }
            });
            // As in quinn's own, an error of the socket is not the end: the next packet may be well.
            if count > 0 || read.is_ok() {
                return Poll::Ready(Ok(count));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// Where one packet is read at a time, there may be more behind it.
const READS_BATCHES: bool = !cfg!(any(
    target_os = "openbsd",
    target_os = "netbsd",
    target_os = "solaris",
    target_os = "illumos"
));

/// Says whether the socket takes a packet: yes, until it did not take one.
struct Writing {
    socket: Arc<Udp>,
    waiting: Option<Waiting>,
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

impl UdpPoller for Writing {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_none() && !self.socket.is_full.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let socket = self.socket.clone();
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(socket.writable()));
        let result = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::UdpSocket as Plain};

    use super::*;

    /// How many packets the next read gives.
    async fn read(socket: &Udp) -> usize {
        let mut memory = vec![[0; 64]; BATCH_SIZE];
        let mut bufs: Vec<_> = memory.iter_mut().map(|it| IoSliceMut::new(it)).collect();
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let read = poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut metas));
        read.await.expect("loopback")
    }

    #[tokio::test]
    async fn a_read_that_left_room_hides_nothing_that_comes_after_it() {
        let bind = || Plain::bind("127.0.0.1:0").expect("a port");
        let (peer, socket) = (bind(), bind());
        let address = socket.local_addr().expect("bound");
        let socket = Udp::new(socket).expect("in a runtime");
        for packets in [1, 1, 3, BATCH_SIZE, 2 * BATCH_SIZE + 1, 1] {
            for _ in 0..packets {
                peer.send_to(&[7; 20], address).expect("loopback");
            }
            let mut left = packets;
            while left > 0 {
                left -= read(&socket).await;
            }
        }
    }

    #[tokio::test]
    async fn a_socket_that_took_nothing_is_waited_for() {
        let socket = Plain::bind("127.0.0.1:0").expect("a port");
        let socket = Arc::new(Udp::new(socket).expect("in a runtime"));
        let transmit = Transmit {
            destination: socket.local_addr().expect("bound"),
            ecn: None,
            contents: &[7; 20],
            segment_size: None,
            src_ip: None,
        };
        let mut poller = socket.clone().create_io_poller();
        // Nobody has heard of it from the system yet.
        let refused = socket.try_send(&transmit);
        assert_eq!(
            refused.expect_err("not yet").kind(),
            io::ErrorKind::WouldBlock
        );
        poll_fn(|cx| poller.as_mut().poll_writable(cx))
            .await
            .expect("it will be");
        socket.try_send(&transmit).expect("there is room");
        assert_eq!(read(&socket).await, 1);
    }
}
