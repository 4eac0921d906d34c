//! What an event costs without the network: encode, frame, dispatch, decode, look-up, fan-out.
//!
//! `cargo bench --bench event` measures times. `-- --count STEP` runs a step a fixed number of times
//! and nothing else, for counting instructions; `benches/instructions` does that and holds the counts
//! against their limits.

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use farfire::{
    RemoteEvent, UnreliableRemoteEvent,
    measuring::{Receiver, Sender, decode, encode},
};
use serde::{Deserialize, Serialize};

/// 41 bytes encoded, as everywhere in these benchmarks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Pose {
    at: [f32; 3],
    facing: [f32; 4],
    speed: [f32; 3],
    state: u8,
}

const POSE: Pose = Pose {
    at: [1.0; 3],
    facing: [0.5; 4],
    speed: [2.0; 3],
    state: 7,
};
const MOVED: RemoteEvent<Pose> = RemoteEvent::new("moved");
const MOVES: UnreliableRemoteEvent<Pose> = UnreliableRemoteEvent::new("moves");
const PLAYERS: usize = 1_000;

/// A step of the path, and how many events one run of it is.
struct Step {
    name: &'static str,
    events: usize,
    run: Box<dyn FnMut()>,
}

fn steps() -> Vec<Step> {
    vec![
        encoding(),
        decoding(),
        looking_up(),
        framing(),
        dispatching(),
        reliable(1),
        reliable(100),
        unreliable(),
        fan_out(),
    ]
}

fn step(name: &'static str, events: usize, run: impl FnMut() + 'static) -> Step {
    let run = Box::new(run);
    Step { name, events, run }
}

fn encoded() -> Vec<u8> {
    let bytes = encode(&POSE, <[u8]>::to_vec).expect("a pose has an encoding");
    assert_eq!(bytes.len(), 41);
    bytes
}

fn encoding() -> Step {
    step("encode", 1, || {
        encode(black_box(&POSE), |bytes| _ = black_box(bytes));
    })
}

fn decoding() -> Step {
    let bytes = encoded();
    step("decode", 1, move || {
        black_box(decode::<Pose>(black_box(&bytes)));
    })
}

fn looking_up() -> Step {
    let sender = Sender::new(1);
    step("look-up", 1, move || {
        black_box(sender.look_up(black_box(&MOVED)));
    })
}

/// Into the outbox and out of it; what is taken is a piece with one frame.
fn framing() -> Step {
    let (mut sender, bytes) = (Sender::new(1), encoded());
    step("frame", 1, move || {
        sender.fire_encoded(&MOVED, black_box(&bytes));
        black_box(sender.take_lane(0));
    })
}

/// Decodes as well: a handler gets arguments.
fn dispatching() -> Step {
    let (mut receiver, bytes) = (receiver(), encoded());
    step("dispatch", 1, move || {
        receiver.dispatch_payload(&MOVED, black_box(&bytes));
    })
}

fn receiver() -> Receiver {
    let receiver = Receiver::new();
    receiver.on(&MOVED, |pose: Pose| _ = black_box(pose));
    receiver.on(&MOVES, |pose: Pose| _ = black_box(pose));
    receiver
}

/// From `fire` to the handler, both sides: encode, frame, deframe, dispatch, decode.
fn reliable(batch: usize) -> Step {
    let (mut sender, mut receiver, now) = (Sender::new(1), receiver(), Instant::now());
    let name = match batch {
        1 => "reliable",
        _ => "reliable, many at a time",
    };
    step(name, batch, move || {
        for _ in 0..batch {
            sender.fire(&MOVED, black_box(&POSE));
        }
        let bytes = sender.take_lane(0).unwrap_or_default();
        assert_eq!(receiver.lane(bytes, now), batch);
    })
}

fn unreliable() -> Step {
    // Ids are numbered by first use, on both sides in the same order.
    let (mut sender, mut receiver, now) = (Sender::new(1), receiver(), Instant::now());
    sender.look_up(&MOVED);
    step("unreliable", 1, move || {
        sender.fire(&MOVES, black_box(&POSE));
        let datagram = sender.take_datagram(0).unwrap_or_default();
        assert_eq!(receiver.datagram(datagram, now), 1);
    })
}

/// A broadcast as each player's outbox sees it; one run is one event for each of a thousand players.
fn fan_out() -> Step {
    let mut sender = Sender::new(PLAYERS);
    step("fan-out, per player", PLAYERS, move || {
        sender.fire(&MOVED, black_box(&POSE));
        for player in 0..PLAYERS {
            black_box::<Option<Bytes>>(sender.take_lane(player));
        }
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--count") {
        let (name, runs) = (&arguments[at + 1], &arguments[at + 2]);
        return count(name, runs.parse().expect("a number of events"));
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("event");
    for mut step in steps() {
        group.throughput(Throughput::Elements(step.events as u64));
        group.bench_function(step.name, |bencher| bencher.iter(&mut step.run));
    }
    group.finish();
    criterion.final_summary();
}

fn count(name: &str, events: usize) {
    let mut step = steps()
        .into_iter()
        .find(|step| step.name == name)
        .unwrap_or_else(|| panic!("no step {name:?}"));
    for _ in 0..events / step.events {
        (step.run)();
    }
}
