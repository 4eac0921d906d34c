//! Farfire: a server and a client, each with its own network thread.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use farfire::{
    Client, Limits, Network, Rate, RemoteEvent, RemoteFunction, Server, UnreliableRemoteEvent,
    tls::{Identity, Trust},
};
use tokio::runtime::Builder;

use crate::clock::Clock;

/// A pose: 41 bytes encoded, like the bare ones.
pub(crate) type Body = ([f32; 10], u8);

const RELIABLE: RemoteEvent<Body> = RemoteEvent::new("reliable");
const UNRELIABLE: UnreliableRemoteEvent<Body> = UnreliableRemoteEvent::new("unreliable");
pub(crate) const CALL: RemoteFunction<Body, Body> = RemoteFunction::new("call");

/// Events that the server counts and does not answer.
pub(crate) const SUNK: RemoteEvent<Body> = RemoteEvent::new("sunk");
pub(crate) const SINKING: UnreliableRemoteEvent<Body> = UnreliableRemoteEvent::new("sinking");

pub(crate) struct Ours {
    _server: Server,
    pub(crate) client: Client,
    /// Events that the server took without an answer.
    pub(crate) sunk: Arc<AtomicUsize>,
}

impl Ours {
    pub(crate) fn start() -> Self {
        Self::start_with(false)
    }

    /// `busy` has both threads poll instead of sleeping.
    pub(crate) fn start_with(busy: bool) -> Self {
        Self::start_on(|| Network::builder().busy_poll(busy).build().unwrap())
    }

    /// Each side has what `network` makes.
    pub(crate) fn start_on(network: impl Fn() -> Network) -> Self {
        let identity = Identity::self_signed(["localhost"]).unwrap();
        let mut limits = Limits::default();
        limits.events = Rate::per_second(10_000_000);
        limits.unreliable_events = Rate::per_second(10_000_000);
        // Bare quinn reads as fast as it can as well.
        limits.bytes_from_client = Rate::per_second(u32::MAX);
        (limits.calls_running, limits.calls_queued) = (32, 32);
        let server = Server::builder("127.0.0.1:0", identity)
            .limits(limits)
            .network(&network())
            .remotes(&[&RELIABLE, &UNRELIABLE, &CALL, &SUNK, &SINKING])
            .start()
            .unwrap();
        server.on_server_event(&RELIABLE, |player, body| {
            player
                .server()
                .fire_client(&player, &RELIABLE, &body)
                .unwrap();
        });
        server.on_server_event(&UNRELIABLE, |player, body| {
            player
                .server()
                .fire_client(&player, &UNRELIABLE, &body)
                .unwrap();
        });
        server.on_server_invoke(&CALL, |_, body| body);
        let sunk = Arc::<AtomicUsize>::default();
        let sink = sunk.clone();
        server.on_server_event(&SUNK, move |_, _| _ = sink.fetch_add(1, Ordering::Relaxed));
        let sink = sunk.clone();
        server.on_server_event(&SINKING, move |_, _| {
            _ = sink.fetch_add(1, Ordering::Relaxed)
        });
        let trust = Trust::pinned([server.pin()]);
        let mut limits = Limits::default();
        limits.calls_in_flight = 64;
        let client = Client::builder(server.local_addr().to_string(), trust)
            .limits(limits)
            .network(&network())
            .connect_blocking()
            .unwrap();
        Self {
            _server: server,
            client,
            sunk,
        }
    }

    pub(crate) fn reliable(&self, trips: usize) -> Vec<Duration> {
        let (done, wait) = mpsc::channel();
        let clock = Mutex::new(Clock::new(trips));
        let client = self.client.clone();
        let subscription = self.client.on_client_event(&RELIABLE, move |body| {
            if clock.lock().unwrap().tick() < trips {
                client.fire_server(&RELIABLE, &body).unwrap();
            } else {
                let samples = std::mem::take(&mut clock.lock().unwrap().samples);
                done.send(samples).unwrap();
            }
        });
        self.client.fire_server(&RELIABLE, &body()).unwrap();
        let samples = wait.recv().unwrap();
        subscription.disconnect();
        samples
    }

    pub(crate) fn unreliable(&self, trips: usize) -> Vec<Duration> {
        let (done, wait) = mpsc::channel();
        let clock = Mutex::new(Clock::new(trips));
        let client = self.client.clone();
        let subscription = self.client.on_client_event(&UNRELIABLE, move |body| {
            if clock.lock().unwrap().tick() < trips {
                client.fire_server(&UNRELIABLE, &body).unwrap();
            } else {
                let samples = std::mem::take(&mut clock.lock().unwrap().samples);
                done.send(samples).unwrap();
            }
        });
        self.client.fire_server(&UNRELIABLE, &body()).unwrap();
        let samples = wait.recv().unwrap();
        subscription.disconnect();
        samples
    }

    /// Each call is made in the callback of the one before, on the network's thread.
    pub(crate) fn calls_here(&self, trips: usize) -> Vec<Duration> {
        let (done, wait) = mpsc::channel();
        next_call(
            self.client.clone(),
            Arc::new(Mutex::new(Clock::new(trips))),
            trips,
            done,
        );
        wait.recv().unwrap()
    }

    pub(crate) fn calls_apart(&self, trips: usize) -> Vec<Duration> {
        self.calls_from(Builder::new_current_thread(), trips)
    }

    /// The same from a task of a runtime that moves its tasks between threads.
    pub(crate) fn calls_from_many(&self, trips: usize) -> Vec<Duration> {
        self.calls_from(Builder::new_multi_thread(), trips)
    }

    fn calls_from(&self, mut program: Builder, trips: usize) -> Vec<Duration> {
        let program = program.enable_all().build().unwrap();
        let client = self.client.clone();
        let task = program.spawn(async move {
            let mut samples = Vec::with_capacity(trips);
            for _ in 0..trips {
                let began = Instant::now();
                client.invoke_server(&CALL, &body()).await.unwrap();
                samples.push(began.elapsed());
            }
            samples
        });
        program.block_on(task).unwrap()
    }
}

fn next_call(
    client: Client,
    clock: Arc<Mutex<Clock>>,
    trips: usize,
    done: mpsc::Sender<Vec<Duration>>,
) {
    let call = client.invoke_server(&CALL, &body());
    call.then(move |result| {
        result.unwrap();
        if clock.lock().unwrap().tick() < trips {
            next_call(client, clock, trips, done);
        } else {
            let samples = std::mem::take(&mut clock.lock().unwrap().samples);
            done.send(samples).unwrap();
        }
    });
}

pub(crate) fn body() -> Body {
    ([7.0; 10], 7)
}
