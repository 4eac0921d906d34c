//! In real time: how late a deadline is, against how late this machine is.
//!
//! A canary thread sleeps for a moment again and again, and notes how much too late it woke. A call may
//! be as late as the canary was around that time, and [`ALLOWANCE`] more.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use farfire::{
    Client, InvokeError, Limits, Player, Server,
    tls::{Identity, Trust},
};
use quinn::VarInt;

use crate::{
    raw::{Place, RawClient},
    sim::{ASK, BIG, ms},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the machine, and so runs alone: `cargo test --test hang -- --ignored`"]
async fn deadlines_are_as_late_as_the_machine_and_no_later() {
    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = Server::builder("127.0.0.1:0", identity)
        .remotes(&[&ASK, &BIG])
        .start()
        .unwrap();
    let address = server.local_addr();
    let raw = [
        Deaf::Silent.join(&server, address).await,
        Deaf::NoStreams.join(&server, address).await,
        Deaf::NoRoom.join(&server, address).await,
        Deaf::Half.join(&server, address).await,
    ];
    let canary = Canary::start();
    let mut calls = Vec::new();
    for round in 0..100 {
        for (_, player) in &raw {
            let timeout = ms(100 + (round * 37) % 200);
            let call = match round % 2 {
                0 => tokio::spawn(late(
                    timeout,
                    server.invoke_client(player, &ASK, &1).timeout(timeout),
                )),
                _ => tokio::spawn(late(
                    timeout,
                    server
                        .invoke_client(player, &BIG, &vec![7; 50_000])
                        .timeout(timeout),
                )),
            };
            calls.push(call);
        }
        tokio::time::sleep(ms(5)).await;
    }
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    let canary = canary.stop();
    assert_eq!(outcomes.len(), 400);
    let mut worst = Duration::ZERO;
    for (due, over) in outcomes {
        let overshoot = over.saturating_duration_since(due);
        let excuse = canary.lateness(due, over);
        worst = worst.max(overshoot.saturating_sub(excuse));
        assert!(
            overshoot <= excuse + ALLOWANCE,
            "{overshoot:?} too late, and the canary {excuse:?}"
        );
    }
    println!("at worst {worst:?} later than the canary");
    for (_, player) in &raw {
        let stats = player.stats();
        assert_eq!((stats.queued_calls, stats.serving_calls), (0, 0));
        assert!(player.is_connected());
    }
}

/// H15, in real time and between threads: a call that says it was not sent, or was refused, has not run,
/// however close its deadline and its turn came together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_sent_means_not_run() {
    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = Server::builder("127.0.0.1:0", identity).start().unwrap();
    let ran = Arc::<Mutex<HashSet<u32>>>::default();
    let runs = ran.clone();
    server.on_server_invoke(&ASK, move |_, n| {
        runs.lock().unwrap().insert(n);
        async move {
            tokio::time::sleep(ms(1)).await;
            n
        }
    });
    let mut limits = Limits::default();
    limits.calls_in_flight = 2;
    let client = Client::builder(
        server.local_addr().to_string(),
        Trust::pinned([server.pin()]),
    )
    .limits(limits)
    .connect()
    .await
    .unwrap();
    let mut safe = Vec::new();
    for lot in 0..100 {
        let calls = (lot * 40..(lot + 1) * 40).map(async |n| {
            let timeout = Duration::from_micros(1000 + u64::from(n * 211 % 20_000));
            match client.invoke_server(&ASK, &n).timeout(timeout).await {
                Ok(_) => None,
                Err(error) => error.is_retry_safe().then_some(n),
            }
        });
        let outcomes = futures_util::future::join_all(calls).await;
        safe.extend(outcomes.into_iter().flatten());
    }
    assert!(safe.len() > 500, "only {} were not sent", safe.len());
    // Behind everything that may still be on its way.
    assert_eq!(client.invoke_server(&ASK, &u32::MAX).await, Ok(u32::MAX));
    let ran = ran.lock().unwrap();
    let both: Vec<_> = safe.iter().filter(|n| ran.contains(n)).collect();
    assert!(
        both.is_empty(),
        "said to be safe to repeat, and run: {both:?}"
    );
}

/// When a call was due, and when it was over.
async fn late<R>(timeout: Duration, call: farfire::Invocation<R>) -> (Instant, Instant)
where
    R: farfire::Payload + std::fmt::Debug,
{
    let due = Instant::now() + timeout;
    let result = call.await;
    let over = Instant::now();
    assert!(
        matches!(result, Err(InvokeError::Timeout { .. })),
        "{result:?}"
    );
    assert!(over >= due, "too early");
    (due, over)
}

/// Ways to be deaf.
enum Deaf {
    Silent,
    NoStreams,
    NoRoom,
    Half,
}

impl Deaf {
    async fn join(self, server: &Server, address: SocketAddr) -> (RawClient, Player) {
        let raw = RawClient::join(Place::Loopback, address, |raw| match self {
            Self::NoStreams => _ = raw.max_concurrent_bidi_streams(VarInt::from_u32(0)),
            Self::NoRoom => _ = raw.stream_receive_window(VarInt::from_u32(1024)),
            _ => {}
        })
        .await;
        if matches!(self, Self::Half) {
            let connection = raw.connection.clone();
            tokio::spawn(async move {
                let mut held = Vec::new();
                while let Ok((mut send, recv)) = connection.accept_bi().await {
                    let _ = send.write_all(&[1, 0]).await;
                    held.push((send, recv));
                }
            });
        }
        let players = server.players();
        let player = players
            .into_iter()
            .find(|player| player.id().as_u64() == raw.id);
        (raw, player.unwrap())
    }
}

/// A thread that knows how late timers are.
struct Canary {
    stop: Arc<AtomicBool>,
    notes: Arc<Mutex<Vec<(Instant, Instant)>>>,
    thread: JoinHandle<()>,
}

/// When it should have woken each time, and when it did.
struct Notes(Vec<(Instant, Instant)>);

impl Canary {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let notes = Arc::<Mutex<Vec<_>>>::default();
        let (stops, noted) = (stop.clone(), notes.clone());
        let thread = thread::spawn(move || {
            while !stops.load(Ordering::Relaxed) {
                let due = Instant::now() + NAP;
                thread::sleep(NAP);
                noted.lock().unwrap().push((due, Instant::now()));
            }
        });
        Self {
            stop,
            notes,
            thread,
        }
    }

    fn stop(self) -> Notes {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        Notes(std::mem::take(&mut *self.notes.lock().unwrap()))
    }
}

impl Notes {
    /// How late it was at most, of the times it was to wake around this one.
    fn lateness(&self, from: Instant, to: Instant) -> Duration {
        let around = self
            .0
            .iter()
            .filter(|(due, woke)| *woke + AROUND >= from && *due <= to + AROUND);
        let late = around.map(|(due, woke)| woke.saturating_duration_since(*due));
        late.max().unwrap_or_default()
    }
}

/// What a call may be late beyond the canary: its deadline is kept by one thread, and it resolves on
/// another.
const ALLOWANCE: Duration = ms(50);
/// How long the canary sleeps at a time.
const NAP: Duration = ms(2);
/// A machine that is busy at one moment is so at the next.
const AROUND: Duration = ms(20);
