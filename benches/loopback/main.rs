//! Round trips over loopback: farfire against bare quinn, on the same kind of threads.
//!
//! `cargo bench --bench loopback` prints, for each workload, the median over interleaved rounds of p50
//! and p99 and their ratio to bare quinn driven the same way. `-- --smoke` runs two short rounds. Pin
//! the process to one core (`taskset -c 0`) for figures that repeat.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run has nothing to report"
)]

mod bare;
mod clock;
mod farfire_side;

use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let (rounds, trips) = if smoke { (2, 200) } else { (10, 5_000) };
    // `--count WORKLOAD TRIPS` runs one side of one workload only, for counting instructions.
    if let Some(at) = arguments.iter().position(|argument| argument == "--count") {
        let trips = arguments.get(at + 2).and_then(|trips| trips.parse().ok());
        let workload = arguments.get(at + 1).map_or("", String::as_str);
        return count(workload, trips.unwrap_or(2_000));
    }
    let quinn = bare::Bare::start();
    let ours = farfire_side::Ours::start();
    let workloads: [(&str, Trips<'_>, Trips<'_>); 4] = [
        ("unreliable event", &|n| quinn.datagrams(n), &|n| {
            ours.unreliable(n)
        }),
        ("reliable event", &|n| quinn.stream(n), &|n| {
            ours.reliable(n)
        }),
        (
            "call, from the network's thread",
            &|n| quinn.calls_here(n),
            &|n| ours.calls_here(n),
        ),
        (
            "call, from the program's thread",
            &|n| quinn.calls_apart(n),
            &|n| ours.calls_apart(n),
        ),
    ];
    println!(
        "{:<32} {:>22} {:>22} {:>7} {:>7}",
        "round trip, us", "quinn p50 / p99", "farfire p50 / p99", "p50", "p99"
    );
    for (name, bare, ours) in workloads {
        bare(trips / 10);
        ours(trips / 10);
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            pairs.push((Percentiles::of(bare(trips)), Percentiles::of(ours(trips))));
        }
        let median = |pick: &dyn Fn(&(Percentiles, Percentiles)) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        println!(
            "{name:<32} {:>13.1} / {:>6.1} {:>13.1} / {:>6.1} {:>6.2}x {:>6.2}x",
            median(&|pair| pair.0.p50),
            median(&|pair| pair.0.p99),
            median(&|pair| pair.1.p50),
            median(&|pair| pair.1.p99),
            median(&|pair| pair.1.p50 / pair.0.p50),
            median(&|pair| pair.1.p99 / pair.0.p99),
        );
    }
}

/// A fixed number of round trips of one kind, and nothing else.
fn count(workload: &str, trips: usize) {
    match workload {
        "quinn-stream" => drop(bare::Bare::start().stream(trips)),
        "quinn-datagram" => drop(bare::Bare::start().datagrams(trips)),
        "quinn-call" => drop(bare::Bare::start().calls_here(trips)),
        "farfire-reliable" => drop(farfire_side::Ours::start().reliable(trips)),
        "farfire-unreliable" => drop(farfire_side::Ours::start().unreliable(trips)),
        "farfire-call" => drop(farfire_side::Ours::start().calls_here(trips)),
        other => panic!("no workload {other:?}"),
    }
}

type Trips<'a> = &'a dyn Fn(usize) -> Vec<Duration>;

struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Percentiles {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |share: usize| samples[samples.len() * share / 100].as_secs_f64() * 1e6;
        Self {
            p50: at(50),
            p99: at(99),
        }
    }
}
