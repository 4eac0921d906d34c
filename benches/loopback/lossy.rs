//! A bad network: what a loss costs, and how old unreliable events get where too many are fired.
//!
//! In memory and on virtual time, so that minutes take seconds and the machine's load plays no part.
//! Both sides meet the same conditioner; a round is a seed of its own.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use farfire::{
    Client, EventRemote, Limits, Rate, RemoteEvent, Server, UnreliableRemoteEvent,
    conditioner::{Conditioner, Conditions},
    testing::SimNet,
    tls::{Identity, Trust},
};
use quinn::{Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    Scale, Workload,
    bare::{client_config, identity, server_config},
    clock::PAYLOAD,
    report::{Sample, percentile},
};

pub(crate) const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "5 % loss, 20 ms: ordered",
        start: |scale| lossy(scale, How::Ordered),
    },
    Workload {
        name: "5 % loss, 20 ms: unordered",
        start: |scale| lossy(scale, How::Unordered),
    },
    Workload {
        name: "unreliable, twice the bandwidth",
        start: oversubscribed,
    },
];

/// The number of the event, and as many bytes as a pose takes with it.
type Body = (u32, [u8; 32], u32);

const ORDERED: RemoteEvent<Body> = RemoteEvent::new("ordered");
const UNORDERED: RemoteEvent<Body> = RemoteEvent::new("unordered").unordered();
const UNRELIABLE: UnreliableRemoteEvent<Body> = UnreliableRemoteEvent::new("unreliable");

#[derive(Clone, Copy)]
enum How {
    Ordered,
    Unordered,
    Unreliable,
}

/// What is fired, and over what.
#[derive(Clone)]
struct Trial {
    seed: u64,
    how: How,
    ticks: usize,
    per_tick: usize,
    conditions: Conditions,
}

fn lossy(scale: Scale, how: How) -> Box<dyn FnMut() -> Vec<Sample>> {
    let mut seed = 0;
    Box::new(move || {
        seed += 1;
        let trial = Trial {
            seed,
            how,
            ticks: scale.of(3_600),
            per_tick: 1,
            conditions: Conditions::new(DELAY, 0.05),
        };
        compare(
            &trial,
            &[("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999)],
        )
    })
}

/// Bare quinn queues what does not fit, oldest first.
fn oversubscribed(scale: Scale) -> Box<dyn FnMut() -> Vec<Sample>> {
    let mut seed = 100;
    Box::new(move || {
        seed += 1;
        let mut conditions = Conditions::new(DELAY, 0.0);
        let offered = (PER_TICK * PAYLOAD.len()) as u64 * 60 * 8;
        conditions.rate = Some(offered / 2);
        conditions.queue = ROUTER_QUEUE;
        let trial = Trial {
            seed,
            how: How::Unreliable,
            ticks: scale.of(1_800),
            per_tick: PER_TICK,
            conditions,
        };
        compare(
            &trial,
            &[
                ("age p50", 500),
                ("age p90", 900),
                ("age p99", 990),
                ("age p99.9", 999),
            ],
        )
    })
}

fn compare(trial: &Trial, shares: &[(&'static str, usize)]) -> Vec<Sample> {
    let fired = trial.ticks * trial.per_tick;
    let mut bare = run(quinn(trial.clone()));
    let mut ours = run(farfire(trial.clone()));
    let mut samples: Vec<_> = shares
        .iter()
        .map(|(name, share)| {
            let (bare, ours) = (percentile(&mut bare, *share), percentile(&mut ours, *share));
            Sample::new(name, "ms", bare / 1e3, ours / 1e3)
        })
        .collect();
    let percent = |arrived: usize| arrived as f64 * 100.0 / fired as f64;
    samples.push(Sample::new(
        "arrived",
        "%",
        percent(bare.len()),
        percent(ours.len()),
    ));
    samples
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// When each event was fired, and how long those took that arrived.
#[derive(Clone, Default)]
struct Log {
    fired: Arc<Mutex<Vec<Instant>>>,
    took: Arc<Mutex<Vec<Duration>>>,
}

impl Log {
    fn fire(&self) -> u32 {
        let mut fired = self.fired.lock().unwrap();
        fired.push(Instant::now());
        fired.len() as u32 - 1
    }

    fn arrive(&self, number: u32) {
        let fired = self.fired.lock().unwrap()[number as usize];
        self.took.lock().unwrap().push(fired.elapsed());
    }

    /// Fires as the trial says, and waits for the stragglers.
    async fn follow(self, trial: &Trial, mut fire: impl FnMut(u32)) -> Vec<Duration> {
        let mut tick = interval(Duration::from_nanos(16_666_667));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..trial.ticks {
            tick.tick().await;
            (0..trial.per_tick).for_each(|_| fire(self.fire()));
        }
        sleep(STRAGGLERS).await;
        std::mem::take(&mut *self.took.lock().unwrap())
    }
}

async fn farfire(trial: Trial) -> Vec<Duration> {
    let (net, conditioner) = (SimNet::new(), Conditioner::new(trial.seed));
    let mut limits = Limits::default();
    limits.events = Rate::per_second(1_000_000);
    limits.unreliable_events = Rate::per_second(1_000_000);
    let server = Server::builder(ADDRESS, Identity::self_signed(["sim"]).unwrap())
        .remotes(&[&ORDERED, &UNORDERED, &UNRELIABLE])
        .limits(limits)
        .network(&net.network(None))
        .start()
        .unwrap();
    let log = Log::default();
    listen(&server, &ORDERED, &log);
    listen(&server, &UNORDERED, &log);
    listen(&server, &UNRELIABLE, &log);
    let client = Client::builder(ADDRESS, Trust::pinned([server.pin()]))
        .network(&net.network(Some(&conditioner)))
        .connect()
        .await
        .unwrap();
    conditioner.set(trial.conditions.clone(), trial.conditions.clone());
    let fire = |number| {
        let body = (number, [0; 32], 0);
        match trial.how {
            How::Ordered => client.fire_server(&ORDERED, &body).unwrap(),
            How::Unordered => client.fire_server(&UNORDERED, &body).unwrap(),
            How::Unreliable => client.fire_server(&UNRELIABLE, &body).unwrap(),
        }
    };
    log.follow(&trial, fire).await
}

fn listen(server: &Server, remote: &impl EventRemote<Body>, log: &Log) {
    let log = log.clone();
    server.on_server_event(remote, move |_, (number, _, _): Body| log.arrive(number));
}

async fn quinn(trial: Trial) -> Vec<Duration> {
    let (net, conditioner) = (SimNet::new(), Conditioner::new(trial.seed));
    let (certificate, key) = identity();
    let server = endpoint(
        &net,
        ADDRESS,
        None,
        Some(server_config(certificate.clone(), key)),
    );
    let mut client = endpoint(&net, "10.0.0.2:4433", Some(&conditioner), None);
    client.set_default_client_config(client_config(certificate));
    let accept = async { server.accept().await.unwrap().await.unwrap() };
    let connect = async {
        let connecting = client.connect(ADDRESS.parse().unwrap(), "localhost");
        connecting.unwrap().await.unwrap()
    };
    let (there, here) = tokio::join!(accept, connect);
    conditioner.set(trial.conditions.clone(), trial.conditions.clone());
    let log = Log::default();
    tokio::spawn(receive(there, log.clone()));
    let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    if matches!(trial.how, How::Ordered) {
        let mut send = here.open_uni().await.unwrap();
        tokio::spawn(async move {
            while let Some(bytes) = queued.recv().await {
                send.write_chunk(bytes).await.unwrap();
            }
        });
    }
    let fire = |number: u32| {
        let mut bytes = PAYLOAD.to_vec();
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let bytes = Bytes::from(bytes);
        match trial.how {
            How::Ordered => queue.send(bytes).unwrap(),
            How::Unreliable => here.send_datagram(bytes).unwrap(),
            How::Unordered => {
                let here = here.clone();
                tokio::spawn(async move {
                    let mut send = here.open_uni().await.unwrap();
                    send.write_chunk(bytes).await.unwrap();
                });
            }
        }
    };
    log.follow(&trial, fire).await
}

/// Reads every stream in a task of its own: no event waits for another one's stream.
async fn receive(connection: Connection, log: Log) {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let (datagrams, datagram_log) = (connection.clone(), log.clone());
    tokio::spawn(async move {
        while let Ok(bytes) = datagrams.read_datagram().await {
            datagram_log.arrive(number(&bytes));
        }
    });
    while let Ok(mut stream) = connection.accept_uni().await {
        let log = log.clone();
        tokio::spawn(async move {
            let mut event = PAYLOAD;
            while stream.read_exact(&mut event).await.is_ok() {
                log.arrive(number(&event));
            }
        });
    }
}

pub(crate) fn endpoint(
    net: &SimNet,
    address: &str,
    conditioner: Option<&Conditioner>,
    server: Option<ServerConfig>,
) -> Endpoint {
    let socket = net.raw_socket(address.parse().unwrap(), conditioner);
    Endpoint::new_with_abstract_socket(
        EndpointConfig::default(),
        server,
        socket.unwrap(),
        Arc::new(TokioRuntime),
    )
    .unwrap()
}

pub(crate) const ADDRESS: &str = "10.0.0.1:4433";
/// Each way.
pub(crate) const DELAY: Duration = Duration::from_millis(20);
const STRAGGLERS: Duration = Duration::from_secs(5);
const PER_TICK: usize = 200;
/// In bytes: a thirtieth of a second.
const ROUTER_QUEUE: usize = 8 * 1024;
