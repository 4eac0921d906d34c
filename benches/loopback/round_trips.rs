//! One event or call at a time, there and back.

use std::time::Duration;

use crate::{
    Scale, Workload,
    bare::Bare,
    farfire_side::Ours,
    machine::Cpu,
    report::{Sample, percentile},
};

pub(crate) const WORKLOADS: [Workload; 6] = [
    Workload {
        name: "unreliable event",
        start: |scale| compare(scale, false, Bare::datagrams, Ours::unreliable),
    },
    Workload {
        name: "reliable event",
        start: |scale| compare(scale, false, Bare::stream, Ours::reliable),
    },
    Workload {
        name: "call, from the network's thread",
        start: |scale| compare(scale, false, Bare::calls_here, Ours::calls_here),
    },
    Workload {
        name: "call, from the program's thread",
        start: |scale| compare(scale, false, Bare::calls_apart, Ours::calls_apart),
    },
    Workload {
        name: "unreliable event, busy polling",
        start: |scale| compare(scale, true, Bare::datagrams, Ours::unreliable),
    },
    Workload {
        name: "reliable event, busy polling",
        start: |scale| compare(scale, true, Bare::stream, Ours::reliable),
    },
];

fn compare(
    scale: Scale,
    busy: bool,
    bare: fn(&Bare, usize) -> Vec<Duration>,
    ours: fn(&Ours, usize) -> Vec<Duration>,
) -> Box<dyn FnMut() -> Vec<Sample>> {
    let trips = scale.of(5_000);
    let quinn = Bare::start_with(busy);
    let farfire = Ours::start_with(busy);
    bare(&quinn, trips / 10);
    ours(&farfire, trips / 10);
    Box::new(move || {
        let (mut one, one_cpu) = timed(|| bare(&quinn, trips));
        let (mut two, two_cpu) = timed(|| ours(&farfire, trips));
        let mut at = |share| (percentile(&mut one, share), percentile(&mut two, share));
        let (p50, p99) = (at(500), at(990));
        let mut samples = vec![
            Sample::new("p50", "us", p50.0, p50.1),
            Sample::new("p99", "us", p99.0, p99.1),
        ];
        // Pinned to one core this is the round trip itself, without what others did meanwhile. A
        // thread that polls is always busy.
        if !busy {
            let per_trip = |cpu: Duration| cpu.as_secs_f64() * 1e6 / trips as f64;
            let (one, two) = (per_trip(one_cpu), per_trip(two_cpu));
            samples.push(Sample::new("cpu", "us", one, two));
        }
        samples
    })
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let before = Cpu::now();
    let result = run();
    (result, before.used())
}
