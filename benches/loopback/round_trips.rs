//! One event or call at a time, there and back.

use std::time::Duration;

use farfire::Network;

use crate::{
    Scale, Workload,
    bare::Bare,
    farfire_side::Ours,
    machine::Cpu,
    report::{Sample, percentile},
};

pub(crate) const WORKLOADS: [Workload; 9] = [
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
    Workload {
        name: "call, from a program of many threads",
        start: |scale| compare(scale, false, Bare::calls_from_many, Ours::calls_from_many),
    },
    Workload {
        name: "reliable event, 2 network threads",
        start: |scale| {
            let two = || Network::builder().threads(2).build().unwrap();
            let sides = (Bare::start(), Ours::start_on(two));
            rounds(scale, false, sides, Bare::stream, Ours::reliable)
        },
    },
    Workload {
        name: "call, 2 network threads",
        start: |scale| {
            let two = || Network::builder().threads(2).build().unwrap();
            let sides = (Bare::start(), Ours::start_on(two));
            rounds(scale, false, sides, Bare::calls_here, Ours::calls_here)
        },
    },
];

fn compare(
    scale: Scale,
    busy: bool,
    bare: fn(&Bare, usize) -> Vec<Duration>,
    ours: fn(&Ours, usize) -> Vec<Duration>,
) -> Box<dyn FnMut() -> Vec<Sample>> {
    let sides = (Bare::start_with(busy), Ours::start_with(busy));
    rounds(scale, busy, sides, bare, ours)
}

fn rounds(
    scale: Scale,
    busy: bool,
    (quinn, farfire): (Bare, Ours),
    bare: fn(&Bare, usize) -> Vec<Duration>,
    ours: fn(&Ours, usize) -> Vec<Duration>,
) -> Box<dyn FnMut() -> Vec<Sample>> {
    let trips = scale.of(5_000);
    bare(&quinn, trips / 10);
    ours(&farfire, trips / 10);
    Box::new(move || {
        let (mut one, one_cpu) = timed(|| bare(&quinn, trips));
        let (mut two, two_cpu) = timed(|| ours(&farfire, trips));
        let mut at = |share| (percentile(&mut one, share), percentile(&mut two, share));
        let shares = [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999)];
        let figure = |(name, share)| {
            let (one, two) = at(share);
            Sample::new(name, "us", one, two)
        };
        let mut samples: Vec<_> = shares.map(figure).into();
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
