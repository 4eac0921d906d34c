//! What farfire is to reach, and whether it does.

use super::{
    figures::{Figure, Measured, Spread},
    groups::text,
};

/// A figure, where to find it, and the limit.
pub(crate) struct Target {
    what: &'static str,
    pub(crate) group: &'static str,
    pub(crate) workload: &'static str,
    metric: &'static str,
    of: Of,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Of {
    /// Farfire's own figure.
    Ours,
    /// Its ratio to bare quinn's.
    Ratio,
}

#[derive(Clone, Copy)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// At most so much, or within the spread of bare quinn: in some round it was no more.
    OrWithinSpread(f64),
}

macro_rules! targets {
    ($($what:literal: $group:literal $workload:literal $metric:literal $of:ident $limit:ident $bound:literal;)*) => {
        &[$(Target {
            what: $what,
            group: $group,
            workload: $workload,
            metric: $metric,
            of: Of::$of,
            limit: Limit::$limit($bound),
        }),*]
    };
}

pub(crate) const TARGETS: &[Target] = targets! {
    "unreliable event there and back, p50": "pinned" "unreliable event" "p50" Ratio AtMost 1.10;
    "the same, p99": "pinned" "unreliable event" "p99" Ratio OrWithinSpread 1.25;
    "reliable event there and back, p50": "pinned" "reliable event" "p50" Ratio AtMost 1.10;
    "the same, p99": "pinned" "reliable event" "p99" Ratio OrWithinSpread 1.25;
    "call, p50": "pinned" "call, from the network's thread" "p50" Ratio AtMost 1.15;
    "the same, p99": "pinned" "call, from the network's thread" "p99" Ratio AtMost 1.25;
    "call from the program's thread, p50": "pinned" "call, from the program's thread" "p50" Ratio AtMost 1.15;
    "the same, p99": "pinned" "call, from the program's thread" "p99" Ratio AtMost 1.25;
    "calls a second, 64 in flight": "pinned" "calls, 64 in flight" "rate" Ratio AtLeast 0.9;
    "reliable events fired one by one": "pinned" "reliable events, one by one" "rate" Ratio AtLeast 0.8;
    "unreliable events fired one by one": "pinned" "unreliable events, one by one" "arrived" Ratio AtLeast 0.9;
    "unreliable, busy polling, p50": "free" "unreliable event, busy polling" "p50" Ratio AtMost 1.10;
    "reliable, busy polling, p50": "free" "reliable event, busy polling" "p50" Ratio AtMost 1.10;
    "`fire_all_clients` to 1 player, caller's us": "fan-out" "1 player" "broadcast, caller" Ours AtMost 5.0;
    "the same to 100": "fan-out" "100 players" "broadcast, caller" Ours AtMost 5.0;
    "the same to 1,000": "fan-out" "1000 players" "broadcast, caller" Ours AtMost 5.0;
    "server's cpu per message, 1,000 players at 60 Hz": "fan-out" "1000 players" "message, server's cpu" Ratio AtMost 0.9;
    "of a core, percent, the same": "fan-out" "1000 players" "server's core" Ours AtMost 75.0;
    "p99 of a call during 20 Hz to 1,000, added us": "fan-out" "1000 players, 20 Hz" "call, added p99" Ours AtMost 2000.0;
    "idle memory per player, of 1,000": "fan-out" "1000 players, 20 Hz" "idle memory" Ratio AtMost 1.15;
    "server's cpu of a join (1.25 is 0.8 joins a second)": "fan-out" "1000 players, 20 Hz" "join, server's cpu" Ratio AtMost 1.25;
    "5 % loss: ordered p99": "network" "5 % loss, 20 ms: ordered" "p99" Ratio OrWithinSpread 1.0;
    "5 % loss: unordered p90, ms": "network" "5 % loss, 20 ms: unordered" "p90" Ours AtMost 21.0;
    "5 % loss: unordered p99, ms": "network" "5 % loss, 20 ms: unordered" "p99" Ours AtMost 80.0;
    "what a loss on a lane adds to another, ms": "network" "every event of one lane lost once" "other, added" Ours AtMost 0.001;
    "age at twice the bandwidth, p99, ms": "network" "unreliable, twice the bandwidth" "age p99" Ours AtMost 36.7;
};

/// What a message costs cannot be said of a crowd that got less than was sent to it.
const OVERRUN: &str = "| neither: not all arrived |";

/// A row for each target: what, the limit, what was measured, met or not.
pub(crate) fn table(measured: &Measured) -> String {
    let mut out = String::from("| target | limit | measured | |\n|---|---|---|---|\n");
    for target in TARGETS {
        let figure = measured.figure(target.group, target.workload, target.metric);
        let spread = figure.and_then(|figure| target.of.pick(figure));
        let row = row(target.what, &target.limit(), spread, target.limit);
        let is_cost = matches!(target.metric, "message, server's cpu" | "server's core");
        out += &match is_cost && measured.group(target.group).overrun(target.workload) {
            true => row
                .replace("| met |", OVERRUN)
                .replace("| **missed** |", OVERRUN),
            false => row,
        };
    }
    let arrived = measured.group("pinned").figures.iter();
    let mut arrived = arrived.filter(|it| it.unit == "%" && it.metric == "arrived");
    let arrived = arrived.next().and_then(|it| it.farfire);
    let limit = Limit::AtLeast(99.0);
    out += &row(
        "unreliable events fired one by one, arrived",
        ">= 99 %",
        arrived,
        limit,
    );
    let mut steps = measured.group("steps").others.iter();
    let step = steps.find(|it| text(it, "step") == "reliable");
    let ns = step.and_then(|it| it.get("ns")?.as_f64());
    let ns = ns.map(|it| Spread {
        min: it,
        median: it,
        max: it,
    });
    out + &row(
        "our own part of a small event, ns",
        "<= 200",
        ns,
        Limit::AtMost(200.0),
    )
}

pub(crate) fn row(what: &str, limit: &str, spread: Option<Spread>, rule: Limit) -> String {
    let (measured, verdict) = match spread {
        None => ("not measured".into(), ""),
        Some(spread) if rule.is_met(&spread) => (spread.to_string(), "met"),
        Some(spread) => (spread.to_string(), "**missed**"),
    };
    format!("| {what} | {limit} | {measured} | {verdict} |\n")
}

impl Target {
    fn limit(&self) -> String {
        let unit = match self.of {
            Of::Ours => "",
            Of::Ratio => "x",
        };
        match self.limit {
            Limit::AtMost(most) => format!("<= {most}{unit}"),
            Limit::AtLeast(least) => format!(">= {least}{unit}"),
            Limit::OrWithinSpread(most) => format!("<= {most}{unit} or within the spread"),
        }
    }
}

impl Of {
    fn pick(self, figure: &Figure) -> Option<Spread> {
        match self {
            Self::Ours => figure.farfire,
            Self::Ratio => figure.ratio,
        }
    }
}

impl Limit {
    pub(crate) fn is_met(self, spread: &Spread) -> bool {
        match self {
            Self::AtMost(most) => spread.median <= most,
            Self::AtLeast(least) => spread.median >= least,
            Self::OrWithinSpread(most) => spread.median <= most || spread.min <= 1.0,
        }
    }
}
