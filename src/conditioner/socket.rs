//! The socket that conditions apply to.
//!
//! It has no task of its own: whoever waits to receive also moves what is on its way out, and is woken
//! when the next packet is due.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use tokio::time::{Sleep, sleep_until};

use super::{
    Conditioner,
    model::{Fate, Model},
};
use crate::clock;

/// A UDP socket behind a [`Conditioner`].
pub(crate) struct ConditionedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    conditioner: Conditioner,
    queues: Mutex<Queues>,
}

struct Queues {
    outbound: Direction,
    inbound: Direction,
    due: Option<Pin<Box<Sleep>>>,
    /// Whoever waits to receive.
    receiver: Option<Waker>,
    buffers: Vec<Vec<u8>>,
}

struct Direction {
    model: Model,
    waiting: BinaryHeap<Packet>,
    count: u64,
}

/// A packet on its way; the earliest is the greatest.
struct Packet {
    due: Instant,
    number: u64,
    peer: SocketAddr,
    /// The local address, as far as it is known.
    local: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    bytes: Vec<u8>,
}

impl ConditionedSocket {
    pub(crate) fn new(inner: Arc<dyn AsyncUdpSocket>, conditioner: Conditioner) -> Self {
        let seed = conditioner.shared.seed;
        let direction = |seed| Direction {
            model: Model::new(seed),
            waiting: BinaryHeap::new(),
            count: 0,
        };
        let queues = Queues {
            outbound: direction(seed),
            inbound: direction(seed ^ u64::MAX),
            due: None,
            receiver: None,
            buffers: Vec::new(),
        };
        Self {
            inner,
            conditioner,
            queues: Mutex::new(queues),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due; what the system does not take now is tried again in a moment.
    fn send_due(&self, queues: &mut Queues, now: Instant) -> bool {
        while let Some(packet) = queues.outbound.pop_due(now) {
            let sent = self.inner.try_send(&Transmit {
                destination: packet.peer,
                ecn: packet.ecn,
                contents: &packet.bytes,
                segment_size: None,
                src_ip: packet.local,
            });
            if sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                queues.outbound.waiting.push(packet);
                return false;
            }
        }
        true
    }

    /// Takes what has arrived, and decides when it shall have.
    fn receive(&self, queues: &mut Queues, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        let Queues {
            inbound, buffers, ..
        } = queues;
        buffers.resize_with(BUFFERS, || vec![0; BUFFER]);
        loop {
            let mut metas = [RecvMeta::default(); BUFFERS];
            let mut slices: Vec<_> = buffers
                .iter_mut()
                .map(|buffer| IoSliceMut::new(buffer))
                .collect();
            let count = match self.inner.poll_recv(cx, &mut slices, &mut metas) {
                Poll::Pending => return Ok(()),
                Poll::Ready(count) => count?,
            };
            drop(slices);
            let mut state = self.conditioner.lock();
            let super::State {
                inbound: conditions,
                stats,
                ..
            } = &mut *state;
            for (meta, buffer) in metas[..count].iter().zip(&*buffers) {
                for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    let fate = inbound.model.judge(conditions, stats, now, bytes.len());
                    inbound.put(fate, meta.addr, meta.dst_ip, meta.ecn, bytes);
                }
            }
        }
    }
}

impl Direction {
    fn put(
        &mut self,
        fate: Fate,
        peer: SocketAddr,
        local: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        bytes: &[u8],
    ) {
        for due in [fate.arrives, fate.again].into_iter().flatten() {
            if self.waiting.len() >= MOST_WAITING {
                return;
            }
            let (number, bytes) = (self.count, bytes.to_vec());
            self.count += 1;
            self.waiting.push(Packet {
                due,
                number,
                peer,
                local,
                ecn,
                bytes,
            });
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<Packet> {
        let due = self.waiting.peek().is_some_and(|packet| packet.due <= now);
        if due { self.waiting.pop() } else { None }
    }

    fn next(&self) -> Option<Instant> {
        self.waiting.peek().map(|packet| packet.due)
    }
}

impl AsyncUdpSocket for ConditionedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut queues = self.lock();
        if !self.conditioner.is_on() && queues.outbound.waiting.is_empty() {
            drop(queues);
            return self.inner.try_send(transmit);
        }
        let now = clock::now();
        let segment = transmit
            .segment_size
            .unwrap_or(transmit.contents.len())
            .max(1);
        {
            let mut state = self.conditioner.lock();
            let super::State {
                outbound: conditions,
                stats,
                ..
            } = &mut *state;
            let outbound = &mut queues.outbound;
            for bytes in transmit.contents.chunks(segment) {
                let fate = outbound.model.judge(conditions, stats, now, bytes.len());
                outbound.put(
                    fate,
                    transmit.destination,
                    transmit.src_ip,
                    transmit.ecn,
                    bytes,
                );
            }
        }
        self.send_due(&mut queues, now);
        let receiver = queues.receiver.take();
        drop(queues);
        if let Some(receiver) = receiver {
            // It sets the timer for what is now on its way.
            receiver.wake();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut queues = self.lock();
        loop {
            queues.receiver = Some(cx.waker().clone());
            let idle = queues.inbound.waiting.is_empty() && queues.outbound.waiting.is_empty();
            if idle && !self.conditioner.is_on() {
                queues.due = None;
                drop(queues);
                return self.inner.poll_recv(cx, bufs, meta);
            }
            let now = clock::now();
            let all_sent = self.send_due(&mut queues, now);
            self.receive(&mut queues, cx, now)?;
            let mut count = 0;
            while count < bufs.len().min(meta.len())
                && let Some(packet) = queues.inbound.pop_due(now)
            {
                let len = packet.bytes.len().min(bufs[count].len());
                bufs[count][..len].copy_from_slice(&packet.bytes[..len]);
                let (addr, ecn, dst_ip) = (packet.peer, packet.ecn, packet.local);
                meta[count] = RecvMeta {
                    addr,
                    len,
                    stride: len,
                    ecn,
                    dst_ip,
                };
                count += 1;
            }
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            let next = [queues.inbound.next(), queues.outbound.next()]
                .into_iter()
                .flatten()
                .min();
            let next = if all_sent { next } else { Some(now + RETRY) };
            let Some(next) = next else {
                return Poll::Pending;
            };
            let mut due = Box::pin(sleep_until(next.into()));
            if due.as_mut().poll(cx).is_pending() {
                queues.due = Some(due);
                return Poll::Pending;
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
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl fmt::Debug for ConditionedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConditionedSocket")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Packet {}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// Receive buffers, each as long as a batch of segments can be.
const BUFFERS: usize = 4;
const BUFFER: usize = 64 * 1024;
/// Packets on their way in one direction; at a delay of 150 ms that is 100,000 a second.
const MOST_WAITING: usize = 16 * 1024;
/// How soon a socket that took nothing is tried again.
const RETRY: Duration = Duration::from_millis(1);
