//! As many as go: events one by one, and calls with many in flight.

use std::time::{Duration, Instant};

use crate::{Scale, Workload, bare::Bare, clock::PAYLOAD, farfire_side::Ours, report::Sample};

pub(crate) const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "reliable events, one by one",
        start: reliable,
    },
    Workload {
        name: "unreliable events, one by one",
        start: unreliable,
    },
    Workload {
        name: "calls, 64 in flight",
        start: calls,
    },
];

/// Ours are fired one by one; bare quinn is given what is quickest for it.
fn reliable(scale: Scale) -> Box<dyn FnMut() -> Vec<Sample>> {
    let events = scale.of(1_000_000);
    let (quinn, farfire) = (Bare::start(), Ours::start());
    Box::new(move || {
        let bare = rate(events, quinn.pour(events * PAYLOAD.len(), BATCH));
        let ours = rate(events, farfire.pour_reliable(events));
        vec![Sample::new("rate", "events/s", bare, ours)]
    })
}

/// Both wait for room before each. What of ours does not wait gives way to newer ones.
fn unreliable(scale: Scale) -> Box<dyn FnMut() -> Vec<Sample>> {
    let events = scale.of(500_000);
    let (quinn, farfire) = (Bare::start(), Ours::start());
    Box::new(move || {
        let (arrived, took) = quinn.pour_datagrams(events);
        let (patient, patient_took) = farfire.pour_unreliable(events, true);
        let (flat_out, flat_out_took) = farfire.pour_unreliable(events, false);
        let percent = |arrived: usize| arrived as f64 * 100.0 / events as f64;
        vec![
            Sample::new(
                "arrived",
                "events/s",
                rate(arrived, took),
                rate(patient, patient_took),
            ),
            Sample::new("arrived", "%", percent(arrived), percent(patient)),
            Sample::alone(
                "arrived, fired blindly",
                "events/s",
                rate(flat_out, flat_out_took),
            ),
            Sample::alone("arrived, fired blindly", "%", percent(flat_out)),
        ]
    })
}

fn calls(scale: Scale) -> Box<dyn FnMut() -> Vec<Sample>> {
    let calls = scale.of(50_000);
    let (quinn, farfire) = (Bare::start(), Ours::start());
    Box::new(move || {
        let bare = rate(calls, quinn.many_calls(calls, IN_FLIGHT));
        let ours = rate(calls, farfire.many_calls(calls, IN_FLIGHT));
        vec![Sample::new("rate", "calls/s", bare, ours)]
    })
}

fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Until `done`, but no longer than a benchmark that is stuck may take.
pub(crate) fn wait_until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < STUCK, "the benchmark is stuck");
        std::thread::sleep(Duration::from_micros(50));
    }
}

pub(crate) const BATCH: usize = 16 * 1024;
pub(crate) const IN_FLIGHT: usize = 64;
const STUCK: Duration = Duration::from_secs(120);
