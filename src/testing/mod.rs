//! Networks without sockets, on virtual time: minutes of a lossy network in milliseconds.
//!
//! Everything runs as tasks of the current single-threaded runtime, whose clock tokio can pause; packets
//! travel through memory, and a [`Conditioner`] makes them late or lost. It
//! knows nothing about what is in the packets.
//!
//! ```
//! use farfire::{Client, RemoteEvent, Server, conditioner::{Conditioner, Preset}, testing::SimNet, tls::{Identity, Trust}};
//!
//! const HI: RemoteEvent<String> = RemoteEvent::new("Hi");
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = SimNet::new();
//! let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"])?)
//!     .remotes(&[&HI])
//!     .network(&net.network(None))
//!     .start()?;
//! let bad = Conditioner::new(7);
//! bad.set_preset(Some(Preset::Awful));
//! let client = Client::builder("10.0.0.1:4433", Trust::pinned([server.pin()]))
//!     .network(&net.network(Some(&bad)))
//!     .connect()
//!     .await?;
//! client.fire_server(&HI, &"over there".into())?;
//! let (player, text) = server.next_server_event(&HI).await.expect("the server runs");
//! assert_eq!(text, "over there");
//! # drop(player);
//! # Ok(())
//! # }
//! ```

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};

use crate::{
    conditioner::{ConditionedSocket, Conditioner},
    network::Network,
};

/// A network in memory; clones are the same network.
///
/// Packets arrive at once and in order, unless a conditioner has other plans. Packets to addresses that
/// nobody listens on are lost.
#[derive(Clone, Default)]
pub struct SimNet {
    inner: Arc<Mutex<Hosts>>,
}

#[derive(Default)]
struct Hosts {
    inboxes: HashMap<SocketAddr, Arc<Mutex<Inbox>>>,
    bound: u16,
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<Packet>,
    receiver: Option<Waker>,
    /// Where its packets seem to come from, if the host has moved.
    moved_to: Option<SocketAddr>,
    sends_fail: bool,
    receives_fail: bool,
}

struct Packet {
    from: SocketAddr,
    ecn: Option<EcnCodepoint>,
    bytes: Vec<u8>,
}

impl SimNet {
    /// A network without hosts.
    pub fn new() -> Self {
        Self::default()
    }

    /// A [`Network`] whose sockets are here, and whose packets meet the `conditioner`, if any.
    ///
    /// Give it to one server or client, or to several clients. It runs on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn network(&self, conditioner: Option<&Conditioner>) -> Network {
        Network::simulated(self.clone(), conditioner.cloned())
    }

    /// Gives the host at `from` the address `to` from now on, as a player has who changes networks. It is not
    /// told; what is sent to the old address is lost.
    ///
    /// # Panics
    ///
    /// If nobody has the one address, or somebody the other.
    pub fn move_host(&self, from: SocketAddr, to: SocketAddr) {
        let inbox = {
            let mut hosts = self.lock();
            assert!(!hosts.inboxes.contains_key(&to), "{to} is taken");
            let inbox = hosts.inboxes.remove(&from);
            let inbox = inbox.unwrap_or_else(|| panic!("nobody has {from}"));
            hosts.inboxes.insert(to, inbox.clone());
            inbox
        };
        lock(&inbox).moved_to = Some(to);
    }

    /// A socket of this network for a peer that is no farfire: tests of misbehaviour need one.
    ///
    /// No part of the stable interface: it names quinn's types.
    ///
    /// # Errors
    ///
    /// If the address is taken.
    #[doc(hidden)]
    pub fn raw_socket(
        &self,
        address: SocketAddr,
        conditioner: Option<&Conditioner>,
    ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = self.bind(address)?;
        Ok(match conditioner {
            Some(conditioner) => Arc::new(ConditionedSocket::new(socket, conditioner.clone())),
            None => socket,
        })
    }

    /// Has every send of the socket at `address` fail from now on, as if the system had lost it.
    ///
    /// # Panics
    ///
    /// If nobody has that address.
    #[doc(hidden)]
    pub fn break_sends(&self, address: SocketAddr) {
        self.break_socket(address, |inbox| inbox.sends_fail = true);
    }

    /// The same for what it receives.
    ///
    /// # Panics
    ///
    /// As [`break_sends`](Self::break_sends).
    #[doc(hidden)]
    pub fn break_receives(&self, address: SocketAddr) {
        self.break_socket(address, |inbox| inbox.receives_fail = true);
    }

    fn break_socket(&self, address: SocketAddr, how: impl FnOnce(&mut Inbox)) {
        let inbox = self.lock().inboxes.get(&address).cloned();
        let inbox = inbox.expect("somebody has the address");
        let receiver = {
            let mut inbox = lock(&inbox);
            how(&mut inbox);
            inbox.receiver.take()
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    pub(crate) fn bind(&self, mut address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let mut hosts = self.lock();
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::new(10, 99, 0, 1).into());
        }
        if address.port() == 0 {
            hosts.bound = hosts
                .bound
                .checked_add(1)
                .ok_or(io::ErrorKind::AddrNotAvailable)?;
            address.set_port(hosts.bound);
        }
        if hosts.inboxes.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let inbox = Arc::<Mutex<Inbox>>::default();
        hosts.inboxes.insert(address, inbox.clone());
        Ok(Arc::new(SimSocket {
            address,
            inbox,
            net: self.clone(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet")
            .field("hosts", &self.lock().inboxes.len())
            .finish()
    }
}

struct SimSocket {
    address: SocketAddr,
    inbox: Arc<Mutex<Inbox>>,
    net: SimNet,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let moved_to = lock(&self.inbox).moved_to;
        let address = moved_to.unwrap_or(self.address);
        self.net.lock().inboxes.remove(&address);
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSocket({})", self.address)
    }
}

/// Memory always has room.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let from = {
            let inbox = lock(&self.inbox);
            if inbox.sends_fail {
                return Err(io::Error::other("the socket is broken"));
            }
            inbox.moved_to.unwrap_or(self.address)
        };
        let Some(inbox) = self.net.lock().inboxes.get(&transmit.destination).cloned() else {
            return Ok(());
        };
        let segment = transmit
            .segment_size
            .unwrap_or(transmit.contents.len())
            .max(1);
        let receiver = {
            let mut inbox = lock(&inbox);
            for bytes in transmit.contents.chunks(segment) {
                if inbox.packets.len() < MOST_PACKETS {
                    let (ecn, bytes) = (transmit.ecn, bytes.to_vec());
                    inbox.packets.push_back(Packet { from, ecn, bytes });
                }
            }
            inbox.receiver.take()
        };
        if let Some(receiver) = receiver {
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
        let mut inbox = lock(&self.inbox);
        if inbox.receives_fail {
            return Poll::Ready(Err(io::Error::other("the socket is broken")));
        }
        let mut count = 0;
        while count < bufs.len().min(meta.len())
            && let Some(packet) = inbox.packets.pop_front()
        {
            let len = packet.bytes.len().min(bufs[count].len());
            bufs[count][..len].copy_from_slice(&packet.bytes[..len]);
            let (addr, ecn, dst_ip) = (packet.from, packet.ecn, Some(self.address.ip()));
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
        inbox.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a host's receive buffer holds; more is lost, as it would be.
const MOST_PACKETS: usize = 8192;
