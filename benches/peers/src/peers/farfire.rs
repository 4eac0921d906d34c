//! farfire: events are answered in handlers, calls are awaited by the program.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Instant,
};

use farfire::{
    Client, FireError, Limits, Rate, RemoteEvent, RemoteFunction, Server, UnreliableRemoteEvent,
    tls::{Identity, Pin, Trust},
};

use super::Peer;
use crate::work::{Body, Calls, Counter, Events, Figures, Kind, Load, drive_calls, drive_events};

pub const PEER: Peer = Peer {
    name: "farfire",
    note: "events fired one by one",
    can: |_| true,
    serve,
    drive,
};

const RELIABLE: RemoteEvent<Body> = RemoteEvent::new("reliable");
const UNRELIABLE: UnreliableRemoteEvent<Body> = UnreliableRemoteEvent::new("unreliable");
const CALL: RemoteFunction<Body, Body> = RemoteFunction::new("call");

fn serve() {
    let identity = Identity::self_signed(["localhost"]).unwrap();
    // A flood is what is measured, not an attack.
    let mut limits = Limits::default();
    limits.events = Rate::per_second(100_000_000);
    limits.unreliable_events = Rate::per_second(100_000_000);
    // No other peer reads at a pace.
    limits.bytes_from_client = Rate::per_second(u32::MAX);
    let server = Server::builder("127.0.0.1:0", identity)
        .limits(limits)
        .remotes(&[&RELIABLE, &UNRELIABLE, &CALL])
        .start()
        .unwrap();
    let counter = Arc::new(Mutex::new(Counter::default()));
    let count = Arc::clone(&counter);
    server.on_server_event(&RELIABLE, move |player, body| {
        let answer = count.lock().unwrap().take(Kind::Reliable, body);
        if let Some((_, answer)) = answer {
            player
                .server()
                .fire_client(&player, &RELIABLE, &answer)
                .unwrap();
        }
    });
    server.on_server_event(&UNRELIABLE, move |player, body| {
        let answer = counter.lock().unwrap().take(Kind::Unreliable, body);
        if let Some((_, answer)) = answer {
            player
                .server()
                .fire_client(&player, &UNRELIABLE, &answer)
                .unwrap();
        }
    });
    server.on_server_invoke(&CALL, |_, body| body);
    super::ready(format_args!("{} {}", server.local_addr(), server.pin()));
    std::thread::park();
}

fn drive(place: &str, load: Load, count: u64) -> Figures {
    let (address, pin) = place.split_once(' ').unwrap();
    let pin: Pin = pin.parse().unwrap();
    let client = Client::builder(address, Trust::pinned([pin]))
        .connect_blocking()
        .unwrap();
    match load {
        Load::RoundTrip(kind) => round_trips(&client, kind, count),
        Load::Calls { in_flight } => super::block_on(drive_calls(&client, in_flight, count)),
        Load::Flood(_) => {
            let (send, receive) = mpsc::channel();
            client.on_client_event(&RELIABLE, move |body| _ = send.send(body));
            super::block_on(drive_events(&mut Link { client, receive }, load, count))
        }
    }
}

/// Each is fired by the handler of the one before.
fn round_trips(client: &Client, kind: Kind, count: u64) -> Figures {
    let (done, wait) = mpsc::channel();
    let left = AtomicU64::new(count);
    let began = Mutex::new(Instant::now());
    let trips = Mutex::new(Vec::with_capacity(count as usize));
    let again = client.clone();
    let handler = move |body: Body| {
        let now = Instant::now();
        let trip = now - std::mem::replace(&mut *began.lock().unwrap(), now);
        let mut trips = trips.lock().unwrap();
        trips.push(trip);
        if left.fetch_sub(1, Ordering::Relaxed) > 1 {
            fire(&again, kind, body).unwrap();
        } else {
            done.send(std::mem::take(&mut *trips)).unwrap();
        }
    };
    match kind {
        Kind::Reliable => client.on_client_event(&RELIABLE, handler),
        Kind::Unreliable => client.on_client_event(&UNRELIABLE, handler),
    };
    fire(client, kind, Body::ECHO).unwrap();
    let mut trips = wait.recv().unwrap();
    // The first is measured from before the connection was warm.
    trips.remove(0);
    Figures::of_trips(trips)
}

fn fire(client: &Client, kind: Kind, body: Body) -> Result<(), FireError> {
    match kind {
        Kind::Reliable => client.fire_server(&RELIABLE, &body),
        Kind::Unreliable => client.fire_server(&UNRELIABLE, &body),
    }
}

struct Link {
    client: Client,
    receive: mpsc::Receiver<Body>,
}

impl Events for Link {
    async fn send(&mut self, kind: Kind, body: Body) {
        match kind {
            Kind::Reliable => self.client.fire_server_async(&RELIABLE, &body).await,
            Kind::Unreliable => self.client.fire_server_async(&UNRELIABLE, &body).await,
        }
        .unwrap();
    }

    async fn receive(&mut self) -> Body {
        self.receive.recv().unwrap()
    }
}

impl Calls for Client {
    async fn call(&self, body: Body) -> Body {
        self.invoke_server(&CALL, &body).await.unwrap()
    }
}
