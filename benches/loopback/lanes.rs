//! What an event that is lost on one lane costs the other lane, which should be nothing.
//!
//! In memory and on virtual time: the network loses every packet while one lane's event leaves, and
//! none while the other's does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use farfire::{
    Client, RemoteEvent, Server,
    conditioner::{Conditioner, Conditions},
    testing::SimNet,
    tls::{Identity, Trust},
};
use tokio::time::{Instant, sleep};

use crate::{
    Scale, Workload,
    bare::{client_config, identity, server_config},
    clock::PAYLOAD,
    lossy::{ADDRESS, DELAY, endpoint, run},
    report::Sample,
};

pub(crate) const WORKLOADS: [Workload; 1] = [Workload {
    name: "every event of one lane lost once",
    start: |scale: Scale| Box::new(move || compare(scale)),
}];

type Body = (u8, [u8; 32], u64);

const LOST: RemoteEvent<Body> = RemoteEvent::new("lost").lane("lost");
const OTHER: RemoteEvent<Body> = RemoteEvent::new("other").lane("other");

/// The longest way of an event of each lane, in nanoseconds; the first of each lane opens it.
#[derive(Clone, Default)]
struct Longest([Arc<AtomicU64>; 2]);

impl Longest {
    fn arrive(&self, lane: usize, fired: Instant) {
        let took = fired.elapsed().as_nanos() as u64;
        self.0[lane].fetch_max(took, Ordering::Relaxed);
    }

    fn millis(&self, lane: usize) -> f64 {
        self.0[lane].load(Ordering::Relaxed) as f64 / 1e6
    }
}

fn compare(scale: Scale) -> Vec<Sample> {
    let pairs = scale.of(250);
    let (bare, ours) = (run(quinn(pairs)), run(farfire(pairs)));
    let added = |it: &Longest| it.millis(1) - DELAY.as_secs_f64() * 1e3;
    vec![
        Sample::new("lost, longest", "ms", bare.millis(0), ours.millis(0)),
        Sample::new("other, longest", "ms", bare.millis(1), ours.millis(1)),
        Sample::alone("other, added", "ms", added(&ours)),
    ]
}

/// One event on each lane, again and again, the first of them into a network that loses everything.
async fn follow(pairs: usize, conditioner: &Conditioner, mut fire: impl FnMut(usize)) {
    let good = Conditions::new(DELAY, 0.0);
    let bad = Conditions::new(DELAY, 1.0);
    for pair in 0..=pairs {
        // The first pair only opens the lanes.
        let up = if pair == 0 { &good } else { &bad };
        conditioner.set(up.clone(), good.clone());
        fire(0);
        sleep(LEAVE).await;
        conditioner.set(good.clone(), good.clone());
        fire(1);
        sleep(REST).await;
    }
}

async fn farfire(pairs: usize) -> Longest {
    let (net, conditioner) = (SimNet::new(), Conditioner::new(1));
    let server = Server::builder(ADDRESS, Identity::self_signed(["sim"]).unwrap())
        .remotes(&[&LOST, &OTHER])
        .network(&net.network(None))
        .start()
        .unwrap();
    let (longest, began) = (Longest::default(), Instant::now());
    for (lane, remote) in [LOST, OTHER].into_iter().enumerate() {
        let longest = longest.clone();
        server.on_server_event(&remote, move |_, (_, _, fired): Body| {
            longest.arrive(lane, began + Duration::from_nanos(fired));
        });
    }
    let client = Client::builder(ADDRESS, Trust::pinned([server.pin()]))
        .network(&net.network(Some(&conditioner)))
        .connect()
        .await
        .unwrap();
    let fire = |lane| {
        let remote = [LOST, OTHER][lane];
        let fired = began.elapsed().as_nanos() as u64;
        client.fire_server(&remote, &(0, [0; 32], fired)).unwrap();
    };
    follow(pairs, &conditioner, fire).await;
    longest
}

async fn quinn(pairs: usize) -> Longest {
    let (net, conditioner) = (SimNet::new(), Conditioner::new(1));
    let (certificate, key) = identity();
    let config = server_config(certificate.clone(), key);
    let server = endpoint(&net, ADDRESS, None, Some(config));
    let mut client = endpoint(&net, "10.0.0.2:4433", Some(&conditioner), None);
    client.set_default_client_config(client_config(certificate));
    let accept = async { server.accept().await.unwrap().await.unwrap() };
    let connecting = client.connect(ADDRESS.parse().unwrap(), "localhost");
    let (there, here) = tokio::join!(accept, connecting.unwrap());
    let (here, began, longest) = (here.unwrap(), Instant::now(), Longest::default());
    let heard = longest.clone();
    tokio::spawn(async move {
        while let Ok(mut stream) = there.accept_uni().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut event = PAYLOAD;
                while stream.read_exact(&mut event).await.is_ok() {
                    let fired = u64::from_le_bytes(event[1..9].try_into().unwrap());
                    heard.arrive(event[0].into(), began + Duration::from_nanos(fired));
                }
            });
        }
    });
    let mut lanes = Vec::new();
    for lane in 0..2_u8 {
        let mut stream = here.open_uni().await.unwrap();
        let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel::<u64>();
        tokio::spawn(async move {
            while let Some(fired) = queued.recv().await {
                let mut event = PAYLOAD;
                event[0] = lane;
                event[1..9].copy_from_slice(&fired.to_le_bytes());
                stream.write_all(&event).await.unwrap();
            }
        });
        lanes.push(queue);
    }
    let fire = |lane: usize| {
        let fired = began.elapsed().as_nanos() as u64;
        lanes[lane].send(fired).unwrap();
    };
    follow(pairs, &conditioner, fire).await;
    longest
}

/// Time for an event to leave; the network loses it then.
const LEAVE: Duration = Duration::from_millis(1);
/// For what was lost to arrive after all.
const REST: Duration = Duration::from_millis(500);
