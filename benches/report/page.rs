//! What is where on the page: its sections, and the plots that they show.

use super::{
    figures::{Measured, Spread, short},
    plot::{Line, Plot},
    tables, targets,
};

pub(crate) fn sections(measured: &Measured) -> Vec<(&'static str, String)> {
    let group = |name: &str| measured.group(name);
    vec![
        ("targets", targets::table(measured)),
        ("pinned", tables::everything(group("pinned"))),
        ("free", tables::everything(group("free"))),
        ("fan-out", tables::crowds(group("fan-out"))),
        ("model", tables::model(group("fan-out"))),
        ("network", tables::everything(group("network"))),
        ("steps", tables::steps(group("steps"))),
        ("instructions", tables::instructions(group("instructions"))),
        ("allocations", tables::promises(group("allocations"))),
        ("peers", tables::markdown(group("peers"))),
    ]
}

/// What the README shows: ratios, and where they come from.
pub(crate) fn headline(measured: &Measured) -> String {
    let rows = [
        (
            "unreliable event there and back, p50",
            "pinned",
            "unreliable event",
            "p50",
        ),
        (
            "reliable event there and back, p50",
            "pinned",
            "reliable event",
            "p50",
        ),
        (
            "call, p50",
            "pinned",
            "call, from the network's thread",
            "p50",
        ),
        (
            "calls a second, 64 in flight",
            "pinned",
            "calls, 64 in flight",
            "rate",
        ),
        (
            "reliable events a second, fired one by one; quinn in batches of 16 KiB",
            "pinned",
            "reliable events, one by one",
            "rate",
        ),
        (
            "server's cpu per message, 100 players at 60 Hz",
            "fan-out",
            "100 players",
            "message, server's cpu",
        ),
        (
            "idle memory of one of 1,000 players",
            "fan-out",
            "1000 players, 20 Hz",
            "idle memory",
        ),
    ];
    let mut out = String::from("| | bare quinn | farfire | ratio |\n|---|---|---|---|\n");
    for (what, group, workload, metric) in rows {
        let Some(figure) = measured.figure(group, workload, metric) else {
            continue;
        };
        let (Some(quinn), Some(ours), Some(ratio)) = (figure.quinn, figure.farfire, figure.ratio)
        else {
            continue;
        };
        let [quinn, ours] = [quinn, ours].map(|it| short(it.median));
        let unit = &figure.unit;
        out += &format!("| {what} | {quinn} {unit} | {ours} {unit} | {ratio} |\n");
    }
    tables::with_source(measured.group("pinned"), out)
}

/// The plots for which there are figures.
pub(crate) fn plots(measured: &Measured) -> Vec<(&'static str, String)> {
    let plots = [
        ("round-trips.svg", round_trips(measured)),
        ("fan-out.svg", fan_out(measured)),
        ("age.svg", age(measured)),
    ];
    let drawn = plots.into_iter();
    drawn
        .filter_map(|(name, plot)| Some((name, plot.draw()?)))
        .collect()
}

fn round_trips(measured: &Measured) -> Plot<'_> {
    let workloads = [
        "reliable event",
        "unreliable event",
        "call, from the network's thread",
    ];
    Plot {
        title: "Round trips on one core, by percentile",
        marks: nines(),
        unit: "us",
        lines: both(&workloads, |workload, pick| {
            curve(measured, "pinned", workload, &SHARES, pick)
        }),
    }
}

fn age(measured: &Measured) -> Plot<'_> {
    let shares = ["age p50", "age p90", "age p99", "age p99.9"];
    Plot {
        title: "Age of unreliable events that arrive, twice what the way carries",
        marks: nines(),
        unit: "ms",
        lines: both(&["unreliable, twice the bandwidth"], |workload, pick| {
            curve(measured, "network", workload, &shares, pick)
        }),
    }
}

fn fan_out(measured: &Measured) -> Plot<'_> {
    let sizes = [1, 10, 100, 1_000, 5_000];
    let of = |metric: &str, scale: f64, pick: Pick| {
        let point = |players: &i32| {
            let workload = match players {
                1 => "1 player".to_owned(),
                _ => format!("{players} players"),
            };
            let figure = measured.figure("fan-out", &workload, metric)?;
            let per = pick(figure.quinn, figure.farfire)?.median * scale;
            Some((f64::from(*players).log10(), per))
        };
        sizes.iter().filter_map(point).collect()
    };
    let line = |name: &str, points| Line {
        name: name.into(),
        points,
    };
    let message = "message, server's cpu";
    Plot {
        title: "What a player costs the server's core at 60 Hz, by number of players",
        marks: sizes
            .iter()
            .map(|it| (f64::from(*it).log10(), it.to_string()))
            .collect(),
        unit: "us",
        lines: vec![
            line("a message, bare quinn", of(message, 1.0, QUINN)),
            line("a message, farfire", of(message, 1.0, FARFIRE)),
            line(
                "a player for a second, bare quinn",
                of(message, 60.0, QUINN),
            ),
            line("a player for a second, farfire", of(message, 60.0, FARFIRE)),
        ],
    }
}

type Pick = fn(Option<Spread>, Option<Spread>) -> Option<Spread>;
const QUINN: Pick = |quinn, _| quinn;
const FARFIRE: Pick = |_, farfire| farfire;
const SHARES: [&str; 4] = ["p50", "p90", "p99", "p99.9"];

fn both(workloads: &[&str], points: impl Fn(&str, Pick) -> Vec<(f64, f64)>) -> Vec<Line> {
    let line = |workload: &&str| {
        [("bare quinn", QUINN), ("farfire", FARFIRE)].map(|(who, pick)| Line {
            name: format!("{workload}: {who}"),
            points: points(workload, pick),
        })
    };
    workloads.iter().flat_map(line).collect()
}

/// By the number of nines.
fn curve(
    measured: &Measured,
    group: &str,
    workload: &str,
    shares: &[&str; 4],
    pick: Pick,
) -> Vec<(f64, f64)> {
    let point = |(share, (at, _)): (&&str, (f64, String))| {
        let figure = measured.figure(group, workload, share)?;
        Some((at, pick(figure.quinn, figure.farfire)?.median))
    };
    shares.iter().zip(nines()).filter_map(point).collect()
}

fn nines() -> Vec<(f64, String)> {
    let marks = [
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
    ];
    let at = |share: f64| -(1.0 - share).log10();
    marks
        .iter()
        .map(|(share, label)| (at(*share), (*label).to_owned()))
        .collect()
}
