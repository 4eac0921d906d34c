//! A bad network on loopback: a UDP relay that loses and delays what passes through it.
//!
//! It carries the datagrams of one client to one server, each way on its own. Knows nothing about
//! what they mean.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// What a datagram may meet on one way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) delay: Duration,
    /// How many of a thousand datagrams are lost.
    pub(crate) lost_of_1000: u64,
    /// Where the dice begin.
    pub(crate) seed: u64,
}

/// The relay; it stops when it is dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    client: Mutex<Option<SocketAddr>>,
    carried: AtomicU64,
    dropped: AtomicU64,
    cut: AtomicBool,
    stopped: AtomicBool,
}

impl Relay {
    /// Opens a way to `server`, with the same weather in both directions.
    pub(crate) fn to(server: SocketAddr, weather: Weather) -> Self {
        let socket = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            socket.set_read_timeout(Some(LOOK)).expect("a read timeout");
            Arc::new(socket)
        };
        let (near, far) = (socket(), socket());
        far.connect(server).expect("a route to the server");
        let address = near.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();

        let (there, upward) = mpsc::channel();
        let (here, downward) = mpsc::channel();
        let (from, way) = (near.clone(), shared.clone());
        thread::spawn(move || way.read(&from, weather, &there));
        let back = Weather {
            seed: !weather.seed,
            ..weather
        };
        let (from, way) = (far.clone(), shared.clone());
        thread::spawn(move || way.read(&from, back, &here));
        thread::spawn(move || deliver(&upward, |datagram| far.send(datagram).map(drop)));
        let way = shared.clone();
        thread::spawn(move || {
            deliver(&downward, |datagram| {
                let client = *way.client.lock().expect("nobody panics");
                client.map_or(Ok(()), |client| near.send_to(datagram, client).map(drop))
            });
        });
        Self { address, shared }
    }

    /// Where the client is to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through, until it is mended.
    pub(crate) fn cut(&self, cut: bool) {
        self.shared.cut.store(cut, Relaxed);
    }

    /// Datagrams that came through, and those that did not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Shared {
            carried, dropped, ..
        } = &*self.shared;
        (carried.load(Relaxed), dropped.load(Relaxed))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
    }
}

/// A datagram, and when it is to arrive.
type InFlight = (Instant, Vec<u8>);

impl Shared {
    fn read(&self, socket: &UdpSocket, weather: Weather, onward: &Sender<InFlight>) {
        let mut dice = Dice(weather.seed | 1);
        let mut buffer = vec![0; 65_536];
        while !self.stopped.load(Relaxed) {
            // Also an error from a peer that is gone already: the other may still talk.
            let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            // Only the near side is not connected, and hears from the client.
            if socket.peer_addr().is_err() {
                *self.client.lock().expect("nobody panics") = Some(from);
            }
            let lost = dice.throw() % 1000 < weather.lost_of_1000;
            if lost || self.cut.load(Relaxed) {
                self.dropped.fetch_add(1, Relaxed);
                continue;
            }
            self.carried.fetch_add(1, Relaxed);
            let arrives = Instant::now() + weather.delay;
            if onward.send((arrives, buffer[..len].to_vec())).is_err() {
                return;
            }
        }
    }
}

/// Delivers in the order of arrival: the delay is the same for all.
fn deliver(in_flight: &Receiver<InFlight>, send: impl Fn(&[u8]) -> io::Result<()>) {
    while let Ok((arrives, datagram)) = in_flight.recv() {
        thread::sleep(arrives.saturating_duration_since(Instant::now()));
        // A peer that is gone is what the test is about, or over.
        let _ = send(&datagram);
    }
}

/// Xorshift: the same throws for the same seed, and good enough for a loss.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }
}

/// How often a thread that hears nothing looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);
