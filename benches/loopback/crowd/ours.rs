//! Farfire's server, and the players who join it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use farfire::{
    Client, Limits, Network, RemoteFunction, Server, Timeouts, UnreliableRemoteEvent,
    tls::{Identity, Trust},
};
use futures_util::{StreamExt, stream};

use super::{AT_ONCE, Caller, Guests, Hall};

type Body = ([f32; 10], u8);

const NEWS: UnreliableRemoteEvent<Bytes> = UnreliableRemoteEvent::new("news");
const ASK: RemoteFunction<Body, Body> = RemoteFunction::new("ask");

pub(super) struct Farfire {
    server: Server,
    news: Bytes,
}

impl Farfire {
    pub(super) fn start(bytes: usize, threads: usize, busy: bool) -> Self {
        let network = Network::builder().threads(threads).busy_poll(busy);
        let mut limits = Limits::default();
        limits.max_players = 10_000;
        limits.connections_per_address = 10_000;
        let identity = Identity::self_signed(["localhost"]).unwrap();
        let server = Server::builder("127.0.0.1:0", identity)
            .limits(limits)
            .timeouts(patient())
            .network(&network.build().unwrap())
            .remotes(&[&NEWS, &ASK])
            .start()
            .unwrap();
        server.on_server_invoke(&ASK, |_, body| body);
        // A byte says how long the news are, or three where they are long.
        let length = if bytes <= 251 { 1 } else { 3 };
        let news = Bytes::from(vec![7; bytes - length]);
        Self { server, news }
    }
}

/// For many at once, and for servers that are slowed down so that something can be counted.
fn patient() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.join = Duration::from_secs(60);
    timeouts
}

impl Hall for Farfire {
    fn address(&self) -> Vec<String> {
        let (address, pin) = (self.server.local_addr(), self.server.pin());
        vec!["farfire".into(), address.to_string(), pin.to_string()]
    }

    fn players(&self) -> usize {
        self.server.players().len()
    }

    fn broadcast(&self, timed: bool) -> Caller {
        let all = || self.server.fire_all_clients(&NEWS, &self.news).unwrap();
        Caller::of(timed, all)
    }
}

impl Drop for Farfire {
    fn drop(&mut self) {
        self.server.shutdown_blocking();
    }
}

pub(super) struct Crowd {
    address: SocketAddr,
    trust: Trust,
    runtime: tokio::runtime::Runtime,
    clients: Vec<Client>,
    arrived: Arc<AtomicUsize>,
}

impl Crowd {
    pub(super) fn new(address: SocketAddr, pin: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            address,
            trust: Trust::pinned([pin.parse().unwrap()]),
            runtime,
            clients: Vec::new(),
            arrived: Arc::default(),
        }
    }
}

impl Guests for Crowd {
    fn join(&mut self, players: usize) {
        let network = Network::new().unwrap();
        let connect = |_| {
            let arrived = self.arrived.clone();
            let client = Client::builder(self.address.to_string(), self.trust.clone())
                .network(&network)
                .timeouts(patient())
                .connect();
            async move {
                let client = client.await.unwrap();
                client.on_client_event(&NEWS, move |_| _ = arrived.fetch_add(1, Ordering::Relaxed));
                client
            }
        };
        let clients = stream::iter(0..players).map(connect);
        let clients = clients.buffer_unordered(AT_ONCE).collect();
        self.clients = self.runtime.block_on(clients);
    }

    fn call(&self) -> Duration {
        let began = Instant::now();
        let caller = self.clients.last().unwrap();
        caller.invoke_server(&ASK, &BODY).blocking().unwrap();
        began.elapsed()
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }
}

const BODY: Body = ([7.0; 10], 7);
