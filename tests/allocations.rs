//! What an event and a call cost in allocations, once everything is warm.
//!
//! A binary of its own, because the counter is the program's allocator; one test at a time, because it
//! counts for the whole process.

#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../benches/loopback/bare.rs"]
#[allow(dead_code, reason = "the benchmark needs more of it")]
mod bare;
#[path = "../benches/loopback/clock.rs"]
mod clock;
#[path = "../benches/loopback/farfire_side.rs"]
#[allow(dead_code, reason = "the benchmark needs more of it")]
mod farfire_side;

use std::{
    alloc::System,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use farfire::{
    EventRemote, RemoteEvent, UnreliableRemoteEvent,
    measuring::{Receiver, Sender},
};
use serde::{Deserialize, Serialize};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
const EVENTS: usize = 20_000;
const TRIPS: usize = 500;

/// Allocations and reallocations of the whole process while `run` runs.
fn allocations(run: impl FnOnce()) -> usize {
    let count = || {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    };
    let before = count();
    run();
    count() - before
}

/// Fires `batch` events, takes what leaves, and gives it to the handler, over and over.
fn path(remote: &impl EventRemote<Pose>, batch: usize, reliable: bool) -> usize {
    let (mut sender, mut receiver) = (Sender::new(1), Receiver::new());
    let ran = Arc::new(AtomicUsize::new(0));
    let handled = ran.clone();
    receiver.on(remote, move |pose: Pose| {
        assert_eq!(pose, POSE);
        handled.fetch_add(1, Ordering::Relaxed);
    });
    let now = Instant::now();
    let mut events = |count: usize| {
        for _ in 0..count / batch {
            for _ in 0..batch {
                assert!(sender.fire(remote, &POSE));
            }
            if reliable {
                let bytes = sender.take_lane(0).expect("events wait");
                receiver.lane(bytes, now);
            } else {
                while let Some(datagram) = sender.take_datagram(0) {
                    receiver.datagram(datagram, now);
                }
            }
        }
    };
    events(EVENTS);
    let count = allocations(|| events(EVENTS));
    assert_eq!(ran.load(Ordering::Relaxed), 2 * EVENTS);
    count
}

#[test]
fn a_reliable_event_allocates_nothing_from_fire_to_handler() {
    let _alone = alone();
    assert_eq!(path(&MOVED, 1, true), 0);
    assert_eq!(path(&MOVED, 100, true), 0);
}

#[test]
fn an_unreliable_event_allocates_nothing_from_fire_to_handler() {
    let _alone = alone();
    assert_eq!(path(&MOVES, 1, false), 0);
    assert_eq!(path(&MOVES, 20, false), 0);
}

#[test]
fn the_counter_counts() {
    let _alone = alone();
    let count = allocations(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!(count, 1);
}

/// Allocations per round trip over real connections, of farfire and of bare quinn, both sides.
fn per_trip(ours: impl Fn(usize), bare: impl Fn(usize)) -> (f64, f64) {
    let measure = |run: &dyn Fn(usize)| {
        run(TRIPS);
        allocations(|| run(TRIPS)) as f64 / TRIPS as f64
    };
    (measure(&ours), measure(&bare))
}

/// What quinn allocates for a packet is its own; a round trip of farfire's takes no more than that.
#[test]
fn an_event_allocates_no_more_than_the_same_bytes_on_bare_quinn() {
    let _alone = alone();
    let (ours, bare) = (farfire_side::Ours::start(), bare::Bare::start());
    let trips = |n| drop(ours.reliable(n));
    let (events, stream) = per_trip(trips, |n| drop(bare.stream(n)));
    assert!(events < stream + 0.5, "{events} against {stream}");
    let trips = |n| drop(ours.unreliable(n));
    let (events, datagrams) = per_trip(trips, |n| drop(bare.datagrams(n)));
    assert!(events < datagrams + 0.5, "{events} against {datagrams}");
}

/// Both sides together, beyond what quinn takes for a stream with as many bytes each way.
#[test]
fn a_call_allocates_a_small_number_of_times() {
    let _alone = alone();
    let (ours, bare) = (farfire_side::Ours::start(), bare::Bare::start());
    let trips = |n| drop(ours.calls_here(n));
    let (calls, streams) = per_trip(trips, |n| drop(bare.calls_here(n)));
    let own = calls - streams;
    assert!(own < PER_CALL, "{own} beyond {streams}");
}

/// The other tests of this binary would be counted as well.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const PER_CALL: f64 = 8.0;
