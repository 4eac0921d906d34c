//! What is measured, in groups: how each is run, and what it gives in lines of JSON.

use std::{io, path::Path, time::Instant};

use serde_json::{Value, json};

use super::{
    figures,
    provenance::{self, load},
    run::{build, cargo, on_one_core, output},
};

pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    what: What,
}

enum What {
    /// Workloads of `loopback`, for so many rounds.
    Loopback {
        pinned: bool,
        rounds: u32,
        workloads: &'static [&'static str],
    },
    FanOut,
    Instructions,
    Allocations,
    Steps,
    Peers,
}

pub(crate) const GROUPS: [Group; 8] = [
    Group {
        name: "pinned",
        about: "round trips, calls and throughput, everything on one core",
        what: What::Loopback {
            pinned: true,
            rounds: 10,
            workloads: &[
                "unreliable event",
                "reliable event",
                "call, from the network's thread",
                "call, from the program's thread",
                "call, from a program of many threads",
                "reliable event, 2 network threads",
                "call, 2 network threads",
                "reliable events, one by one",
                "unreliable events, one by one",
                "calls, 64 in flight",
            ],
        },
    },
    Group {
        name: "free",
        about: "the same on all cores, and busy polling",
        what: What::Loopback {
            pinned: false,
            rounds: 10,
            workloads: &[
                "unreliable event",
                "reliable event",
                "call, from the network's thread",
                "unreliable event, busy polling",
                "reliable event, busy polling",
                "reliable events, one by one",
                "unreliable events, one by one",
                "calls, 64 in flight",
            ],
        },
    },
    Group {
        name: "fan-out",
        about: "broadcasts to players in a second process",
        what: What::FanOut,
    },
    Group {
        name: "network",
        about: "loss and too little bandwidth, on virtual time",
        what: What::Loopback {
            pinned: false,
            rounds: 10,
            workloads: &[
                "5 % loss, 20 ms: ordered",
                "5 % loss, 20 ms: unordered",
                "every event of one lane lost once",
                "unreliable, twice the bandwidth",
            ],
        },
    },
    Group {
        name: "steps",
        about: "our own part of an event, in time",
        what: What::Steps,
    },
    Group {
        name: "instructions",
        about: "our own part of an event, in instructions",
        what: What::Instructions,
    },
    Group {
        name: "allocations",
        about: "whether the promises about allocations hold",
        what: What::Allocations,
    },
    Group {
        name: "peers",
        about: "what one would use instead",
        what: What::Peers,
    },
];

impl Group {
    pub(crate) fn workloads(&self) -> Vec<&'static str> {
        match self.what {
            What::Loopback { workloads, .. } => workloads.to_vec(),
            What::FanOut => CROWDS.iter().map(|(name, ..)| *name).collect(),
            What::Instructions | What::Allocations | What::Steps | What::Peers => Vec::new(),
        }
    }
}

/// How much of it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Only whether everything runs.
    pub(crate) smoke: bool,
    pub(crate) rounds: u32,
}

/// Runs a group and gives its lines, the first of them about the machine.
pub(crate) fn measure(root: &Path, group: &Group, effort: Effort) -> io::Result<String> {
    let (before, smoke) = (load(), effort.smoke);
    let lines = match &group.what {
        What::Loopback {
            pinned,
            rounds,
            workloads,
        } => loopback(
            &build(root, "loopback")?,
            workloads,
            *pinned,
            *rounds,
            effort,
        )?,
        What::FanOut => fan_out(root, effort)?,
        What::Instructions => instructions(root, smoke)?,
        What::Allocations => allocations(root)?,
        What::Steps => steps(root, smoke)?,
        What::Peers => peers(root, smoke)?,
    };
    let command = format!("cargo bench --bench report -- --only {}", group.name);
    let first = provenance::line(root, &command, &before).to_string();
    Ok([vec![first], lines].concat().join("\n") + "\n")
}

fn loopback(
    program: &Path,
    workloads: &[&str],
    pinned: bool,
    rounds: u32,
    effort: Effort,
) -> io::Result<Vec<String>> {
    let mut command = match pinned {
        true => on_one_core(program),
        false => std::process::Command::new(program),
    };
    match effort.smoke {
        true => command.arg("--smoke"),
        false => command.args(["--rounds", &rounds.min(effort.rounds).to_string()]),
    };
    let text = output(command.args(["--json", "--exact"]).args(workloads))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Leaves out the crowds that are expected to fill a core, by what a message cost in those before.
fn fan_out(root: &Path, effort: Effort) -> io::Result<Vec<String>> {
    let program = build(root, "loopback")?;
    let mut lines = Vec::new();
    let mut cost = None;
    for &(name, rounds, messages) in CROWDS {
        let trial = name == "10 players";
        if effort.smoke && !trial {
            continue;
        }
        let core = cost.map(|each: f64| each * f64::from(messages) / 1e4);
        if let Some(core) = core.filter(|core| *core >= FULL && !HAS_A_TARGET.contains(&name)) {
            lines.push(json!({"skipped": name, "core": core}).to_string());
            continue;
        }
        match loopback(&program, &[name], false, rounds, effort) {
            Ok(some) => lines.extend(some),
            Err(error) => lines.push(json!({"failed": name, "why": error.to_string()}).to_string()),
        }
        let group = figures::Group::parse(&lines.join("\n"))?;
        let mut costs = group.figures.iter();
        let each = costs.rfind(|it| it.workload == name && it.metric == "message, server's cpu");
        // Of a few players it is the price of waking up, and of too many that of what got through.
        if messages >= 2_000 && !group.overrun(name) {
            cost = each.and_then(|it| it.farfire).map(|it| it.median).or(cost);
        }
    }
    Ok(lines)
}

/// Each with its rounds, and the messages a second of each network thread.
const CROWDS: &[(&str, u32, u32)] = &[
    ("1 player", 3, 60),
    ("10 players", 3, 600),
    ("100 players", 3, 6_000),
    ("1000 players, 20 Hz", 3, 20_000),
    ("1000 players", 2, 60_000),
    ("5000 players, 5 Hz", 1, 25_000),
    ("5000 players", 1, 300_000),
    ("1000 players, 2 network threads", 2, 30_000),
    ("100 players, 16 B", 2, 6_000),
    ("100 players, 200 B", 2, 6_000),
    ("100 players, 1000 B", 2, 6_000),
    ("100 players, 20 Hz", 2, 2_000),
    ("100 players, 30 Hz", 2, 3_000),
    ("100 players, 2 network threads", 2, 3_000),
];
/// Measured whatever it takes.
const HAS_A_TARGET: [&str; 2] = ["1000 players", "1000 players, 20 Hz"];
/// Of a core, in percent: more players would only wait.
const FULL: f64 = 80.0;

/// Lines such as `encode    317 of      350  ok`. Without valgrind there are none.
fn instructions(root: &Path, smoke: bool) -> io::Result<Vec<String>> {
    if smoke {
        return Ok(Vec::new());
    }
    let mut command = std::process::Command::new(root.join("benches/instructions"));
    let text = output(&mut command)?;
    let line = |line: &str| {
        let (front, limit) = line.split_once(" of ")?;
        let (step, count) = front.trim_end().rsplit_once(' ')?;
        let count: u64 = count.parse().ok()?;
        let limit: u64 = limit.split_whitespace().next()?.parse().ok()?;
        let line = json!({"step": step.trim_end(), "instructions": count, "limit": limit});
        Some(line.to_string())
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Each test, and whether it passed.
fn allocations(root: &Path) -> io::Result<Vec<String>> {
    let arguments = ["test", "--locked", "-p", "farfire", "--test", "allocations"];
    let text = output(cargo(root).args(arguments))?;
    let line = |line: &str| {
        let (promise, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
        Some(json!({"promise": promise.replace('_', " "), "verdict": verdict}).to_string())
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Nanoseconds of each step: what three times as many take longer, in the best of a few attempts.
fn steps(root: &Path, smoke: bool) -> io::Result<Vec<String>> {
    let program = build(root, "event")?;
    let events: u32 = if smoke { 1_000 } else { 500_000 };
    let mut lines = Vec::new();
    for step in ["reliable", "reliable, many at a time", "unreliable"] {
        let time = |count: u32| -> io::Result<f64> {
            let began = Instant::now();
            output(on_one_core(&program).args(["--count", step, &count.to_string()]))?;
            Ok(began.elapsed().as_secs_f64() * 1e9)
        };
        let mut best = [f64::INFINITY; 2];
        for _ in 0..ATTEMPTS {
            best[0] = best[0].min(time(events)?);
            best[1] = best[1].min(time(events * 3)?);
        }
        let each = (best[1] - best[0]) / f64::from(events * 2);
        lines.push(json!({"step": step, "ns": each}).to_string());
    }
    Ok(lines)
}

const ATTEMPTS: usize = 7;

/// The tables that they print, line by line.
fn peers(root: &Path, smoke: bool) -> io::Result<Vec<String>> {
    let arguments = [
        "run",
        "--release",
        "--locked",
        "--ignore-rust-version",
        "--",
    ];
    let mut command = cargo(&root.join("benches/peers"));
    command.args(arguments);
    if smoke {
        command.arg("--smoke");
    }
    let text = output(&mut command)?;
    let line = |line: &str| json!({"markdown": line}).to_string();
    let lines = text.lines().filter(|line| !line.starts_with("<!--"));
    Ok(lines.map(line).collect())
}

/// A text of a line that is no figure.
pub(crate) fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}
