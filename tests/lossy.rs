//! The promises hold on a bad network: 5 % of the datagrams lost and 50 ms of delay, each way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/process.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "shared/relay.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod relay;

use std::{
    env,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use farfire::{
    Client, EventRemote, Limits, Payload, Player, Rate, RemoteEvent, RemoteFunction, Server,
    UnreliableRemoteEvent,
    tls::{Identity, Trust},
};
use tokio::{sync::Notify, time::MissedTickBehavior};

use process::Process;
use relay::{Relay, Weather};

const TEXT: RemoteEvent<(u32, String)> = RemoteEvent::new("Text");
const NUMBERS: RemoteEvent<(u32, Vec<f32>)> = RemoteEvent::new("Numbers");
const COUNT: RemoteEvent<u32> = RemoteEvent::new("Count");
const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");
const BEGIN: RemoteEvent<()> = RemoteEvent::new("Begin");
const END: RemoteEvent<()> = RemoteEvent::new("End");

const EVENTS: u32 = 2000;
/// After every so many events comes a call, awaited before the next event.
const EVENTS_PER_CALL: u32 = 100;

const BAD: Weather = Weather {
    delay: Duration::from_millis(50),
    lost_of_1000: 50,
    seed: 0x5eed,
};

#[test]
fn reliable_events_and_calls_keep_content_and_order() {
    let began = Instant::now();
    let server = Process::role("role", "server");
    let place = server.said("listening: ");
    let (address, pin) = place.split_once(' ').unwrap();
    let relay = Relay::to(address.parse().unwrap(), BAD);
    let client = Process::role("role", &format!("client {} {pin}", relay.address()));

    let expected = expected();
    assert_eq!(noted(client), expected, "at the client");
    assert_eq!(noted(server), expected, "at the server");
    let (carried, dropped) = relay.counts();
    println!(
        "{EVENTS} events each way: {dropped} datagrams lost, {carried} delivered, {:.1?}",
        began.elapsed()
    );
    assert!(dropped > 0, "nothing was lost, so nothing was shown");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn unreliable_events_that_arrive_do_not_wait_for_those_that_do_not() {
    const PULSE: UnreliableRemoteEvent<(u32, u64)> = UnreliableRemoteEvent::new("Pulse");
    const PULSES: u32 = 400;

    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = Server::builder("127.0.0.1:0", identity).start().unwrap();
    let clock = Instant::now();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let note = arrived.clone();
    server.on_server_event(&PULSE, move |_, (n, fired)| {
        let took = clock.elapsed().as_micros() as u64 - fired;
        note.lock().unwrap().push((n, Duration::from_micros(took)));
    });
    let relay = Relay::to(server.local_addr(), BAD);
    let client = Client::builder(relay.address().to_string(), Trust::pinned([server.pin()]));
    let client = client.connect().await.unwrap();
    let mut rate = tokio::time::interval(Duration::from_millis(5));
    for n in 0..PULSES {
        rate.tick().await;
        let now = clock.elapsed().as_micros() as u64;
        client.fire_server(&PULSE, &(n, now)).unwrap();
    }
    client.leave().await;
    server.shutdown().await;

    let arrived = arrived.lock().unwrap();
    let mut numbers: Vec<_> = arrived.iter().map(|(n, _)| *n).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), arrived.len(), "one arrived twice");
    // 95 % of 400, give or take nine standard deviations.
    assert!((340..400).contains(&numbers.len()), "{}", numbers.len());
    let mut took: Vec<_> = arrived.iter().map(|(_, took)| *took).collect();
    took.sort_unstable();
    // A loss every 100 ms: if the others waited for it to be repaired, this would be nearly all.
    let repaired = BAD.delay * 3;
    assert!(took[took.len() / 2] < repaired, "{took:?}");
}

/// What either side notes: every event, and every call after the events fired before it.
fn expected() -> Vec<String> {
    let mut lines = Vec::new();
    for n in 0..EVENTS {
        lines.push(match n % 3 {
            0 => note_text(n, &text(n)),
            1 => note_numbers(n, &numbers(n)),
            _ => note_count(n),
        });
        if n % EVENTS_PER_CALL == EVENTS_PER_CALL - 1 {
            lines.push(note_call(n, 1));
        }
    }
    lines
}

fn text(n: u32) -> String {
    "x".repeat(n as usize % 50)
}

fn numbers(n: u32) -> Vec<f32> {
    (0..n % 20).map(|at| at as f32 + n as f32 / 2.0).collect()
}

fn note_text(n: u32, text: &str) -> String {
    format!("text {n} {text:?}")
}

fn note_numbers(n: u32, numbers: &[f32]) -> String {
    format!("numbers {n} {numbers:?}")
}

fn note_count(n: u32) -> String {
    format!("count {n}")
}

fn note_call(a: u32, b: u32) -> String {
    format!("call {a} {b}")
}

/// What a process noted.
fn noted(process: Process) -> Vec<String> {
    let lines = process.end().into_iter();
    // The test harness writes in between, and before the first on the same line.
    lines
        .filter_map(|line| Some(line.split_once(NOTE)?.1.to_owned()))
        .collect()
}

const NOTE: &str = "=> ";

#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn note(line: &str) {
    println!("{NOTE}{line}");
}

/// One end of the connection: each fires and calls as the other does.
enum End {
    Server(Server, Player),
    Client(Client),
}

impl End {
    async fn play(&self) {
        let mut rate = tokio::time::interval(Duration::from_millis(3));
        rate.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0..EVENTS {
            match n % 3 {
                0 => self.fire(&TEXT, &(n, text(n))).await,
                1 => self.fire(&NUMBERS, &(n, numbers(n))).await,
                _ => self.fire(&COUNT, &n).await,
            }
            if n % 2 == 1 {
                // Or all of it would fit into a few datagrams.
                rate.tick().await;
            }
            if n % EVENTS_PER_CALL == EVENTS_PER_CALL - 1 {
                assert_eq!(self.add(n, 1).await, n + 1);
            }
        }
    }

    async fn fire<A: Payload>(&self, remote: &impl EventRemote<A>, args: &A) {
        let fired = match self {
            Self::Server(server, player) => server.fire_client_async(player, remote, args).await,
            Self::Client(client) => client.fire_server_async(remote, args).await,
        };
        fired.unwrap();
    }

    async fn add(&self, a: u32, b: u32) -> u32 {
        let call = match self {
            Self::Server(server, player) => server.invoke_client(player, &ADD, &(a, b)),
            Self::Client(client) => client.invoke_server(&ADD, &(a, b)),
        };
        call.timeout(Duration::from_secs(30)).await.unwrap()
    }
}

/// Not a test: what the two processes of
/// [`reliable_events_and_calls_keep_content_and_order`] run.
#[tokio::test]
#[ignore = "a role in another test"]
async fn role() {
    match env::var("ROLE")
        .unwrap_or_default()
        .split(' ')
        .collect::<Vec<_>>()[..]
    {
        ["server"] => serve().await,
        ["client", address, pin] => join(address, pin).await,
        _ => {}
    }
}

async fn serve() {
    let mut limits = Limits::default();
    // What is shown here is order, not budgets.
    limits.events = Rate::per_second(10_000);
    let gone = Arc::new(Notify::new());
    let notify = gone.clone();
    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = Server::builder("127.0.0.1:0", identity)
        .remotes(&[&TEXT, &NUMBERS, &COUNT, &ADD, &BEGIN, &END])
        .limits(limits)
        .on_player_removing(move |_, _| notify.notify_one())
        .start()
        .unwrap();
    server.on_server_event(&TEXT, |_, (n, text)| note(&note_text(n, &text)));
    server.on_server_event(&NUMBERS, |_, (n, numbers)| note(&note_numbers(n, &numbers)));
    server.on_server_event(&COUNT, |_, n| note(&note_count(n)));
    server.on_server_invoke(&ADD, |_, (a, b)| {
        note(&note_call(a, b));
        a + b
    });
    eprintln!("listening: {} {}", server.local_addr(), server.pin());

    let (player, ()) = server.next_server_event(&BEGIN).await.unwrap();
    let end = End::Server(server.clone(), player);
    end.play().await;
    end.fire(&END, &()).await;
    gone.notified().await;
    server.shutdown().await;
}

async fn join(address: &str, pin: &str) {
    let trust = Trust::pinned([pin.parse().unwrap()]);
    let client = Client::builder(address, trust).connect().await.unwrap();
    client.on_client_event(&TEXT, |(n, text)| note(&note_text(n, &text)));
    client.on_client_event(&NUMBERS, |(n, numbers)| note(&note_numbers(n, &numbers)));
    client.on_client_event(&COUNT, |n| note(&note_count(n)));
    client.on_client_invoke(&ADD, |(a, b)| {
        note(&note_call(a, b));
        a + b
    });

    let end = End::Client(client.clone());
    end.fire(&BEGIN, &()).await;
    let theirs = client.next_client_event(&END);
    let (over, ()) = tokio::join!(theirs, end.play());
    over.unwrap();
    client.leave().await;
}
