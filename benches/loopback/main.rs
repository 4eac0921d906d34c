//! Farfire against bare quinn over loopback, on the same kind of threads.
//!
//! `cargo bench --bench loopback` prints, for each workload, the median over interleaved rounds with
//! its extremes, and the ratio to bare quinn driven the same way. `-- NAME` runs the workloads whose name
//! contains it, `--exact` that are called so, `--rounds N` other than ten rounds, `--smoke` two short ones, `--json` prints a line of JSON for each figure,
//! `--count WHAT TIMES` does one thing so many times and nothing else, for a profiler. Pin the process to one core
//! (`taskset -c 0`) for round trips that repeat.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run has nothing to report"
)]

mod bare;
mod clock;
mod crowd;
mod farfire_side;
mod lanes;
mod lossy;
mod machine;
mod pouring;
mod report;
mod round_trips;
mod throughput;

use self::{bare::Bare, clock::PAYLOAD, farfire_side::Ours, report::Sample, throughput::BATCH};

/// Something that both can do, compared round by round.
pub(crate) struct Workload {
    name: &'static str,
    /// Sets both up, and gives what runs one round.
    start: fn(Scale) -> Box<dyn FnMut() -> Vec<Sample>>,
}

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    smoke: bool,
}

impl Scale {
    pub(crate) fn of(self, count: usize) -> usize {
        match self.smoke {
            true => (count / 25).max(1),
            false => count,
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `--count WORKLOAD TRIPS` runs one side of one workload only, for counting instructions.
    if let Some(at) = arguments.iter().position(|argument| argument == "--count") {
        let trips = arguments.get(at + 2).and_then(|trips| trips.parse().ok());
        let workload = arguments.get(at + 1).map_or("", String::as_str);
        return count(workload, trips.unwrap_or(2_000));
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--crowd") {
        return crowd::join(&arguments[at + 1..]);
    }
    let (smoke, json) = (has("--smoke"), has("--json"));
    let given = arguments.iter().position(|argument| argument == "--rounds");
    let given = given.map(|at| at + 1);
    let rounds = given.and_then(|at| arguments.get(at)?.parse().ok());
    let rounds = rounds.unwrap_or(if smoke { 2 } else { 10 });
    let (scale, exact) = (Scale { smoke }, has("--exact"));
    let words = arguments
        .iter()
        .enumerate()
        .filter(|(at, _)| Some(*at) != given);
    let wanted: Vec<&String> = words
        .map(|(_, word)| word)
        .filter(|word| !word.starts_with('-'))
        .collect();
    report::head(json)
        .into_iter()
        .for_each(|it| println!("{it}"));
    let workloads = round_trips::WORKLOADS
        .iter()
        .chain(&throughput::WORKLOADS)
        .chain(&crowd::WORKLOADS)
        .chain(&lossy::WORKLOADS)
        .chain(&lanes::WORKLOADS);
    for Workload { name, start } in workloads {
        let named = |it: &&String| match exact {
            true => *name == it.as_str(),
            false => name.contains(it.as_str()),
        };
        // What takes minutes, or thousands of players, runs only where it is asked for.
        let asked = match wanted.is_empty() {
            true => !crowd::is_large(name),
            false => wanted.iter().any(named),
        };
        if !asked {
            continue;
        }
        let mut round = start(scale);
        let rounds: Vec<_> = (0..rounds).map(|_| round()).collect();
        let lines = report::lines(json, name, &rounds);
        lines.iter().for_each(|line| println!("{line}"));
    }
}

/// A fixed number of round trips of one kind, and nothing else.
/// A fixed number of one thing, and nothing else: for a profiler.
fn count(workload: &str, trips: usize) {
    match workload {
        "quinn-stream" => drop(Bare::start().stream(trips)),
        "quinn-datagram" => drop(Bare::start().datagrams(trips)),
        "quinn-call" => drop(Bare::start().calls_here(trips)),
        "farfire-reliable" => drop(Ours::start().reliable(trips)),
        "farfire-unreliable" => drop(Ours::start().unreliable(trips)),
        "farfire-call" => drop(Ours::start().calls_here(trips)),
        "quinn-calls" => _ = Bare::start().many_calls(trips, throughput::IN_FLIGHT),
        "farfire-calls" => _ = Ours::start().many_calls(trips, throughput::IN_FLIGHT),
        "quinn-join" => crowd::count("quinn", trips),
        "farfire-join" => crowd::count("farfire", trips),
        "quinn-fan-out" => crowd::count_broadcasts("quinn", trips),
        "farfire-fan-out" => crowd::count_broadcasts("farfire", trips),
        "quinn-pour" => drop(Bare::start().pour(trips * PAYLOAD.len(), BATCH)),
        "farfire-pour" => drop(Ours::start().pour_reliable(trips)),
        "quinn-datagrams" => println!("{:?}", Bare::start().pour_datagrams(trips)),
        "farfire-datagrams" => println!("{:?}", Ours::start().pour_unreliable(trips, true)),
        "farfire-blind" => println!("{:?}", Ours::start().pour_unreliable(trips, false)),
        other => panic!("no workload {other:?}"),
    }
}
