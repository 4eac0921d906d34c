//! A report for people: aligned on a terminal, or as Markdown.

use std::fmt::Write;

use super::{
    recording::Figures,
    report::{CellReport, ContenderReport, Report, RunReport, Spread},
    units::{micros, micros_or},
};
use crate::paint::{BOLD, DIM, Paint, RED, YELLOW};

pub(super) fn human(report: &Report, paint: Paint) -> String {
    let mut out = head(report, paint);
    for cell in &report.cells {
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, &cell.cell.describe()));
        let titles = Figures::SHOWN.map(|name| format!("{name:>9}")).concat();
        let _ = writeln!(
            out,
            "  {:<15}{titles}{:>9}{:>11}",
            "us", "jitter", "delivered"
        );
        for contender in &cell.contenders {
            rows(&mut out, cell, contender, paint);
        }
    }
    out
}

fn head(report: &Report, paint: Paint) -> String {
    let from = &report.provenance;
    let mut out = format!("farfire {} bench", from.farfire);
    if let Some(commit) = &from.git_commit {
        let changed = if from.git_dirty == Some(true) {
            " and changes"
        } else {
            ""
        };
        let _ = write!(
            out,
            ", commit {}{changed}",
            commit.get(..10).unwrap_or(commit)
        );
    }
    let machine = &from.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let kernel = machine.kernel.as_deref().unwrap_or("");
    let _ = write!(
        out,
        "\n{} x {cpu}, {} {kernel}",
        machine.cores, machine.system
    );
    let server = match &report.server[..] {
        "process" => "server in a process of its own, on this machine",
        "in-process" => "server in the same process",
        elsewhere => elsewhere,
    };
    let _ = write!(out, "\n{server}");
    if let Some(net) = &report.net {
        let _ = write!(out, "; simulated network: {net}, seed {}", report.seed);
    }
    if let Some(cell) = report.cells.first() {
        let runs = cell.contenders.first().map_or(0, |one| one.runs.len());
        let (measured, warm_up) = (cell.cell.duration, cell.cell.warm_up);
        let _ = write!(
            out,
            "\n{runs} runs of {measured:.1?}, {warm_up:.1?} of warm-up before each not counted"
        );
    }
    out.push('\n');
    if !from.optimised {
        let warning = "a debug build: no figure here says anything about a release\n";
        out += &paint.paint(YELLOW, warning);
    }
    out
}

fn rows(out: &mut String, cell: &CellReport, contender: &ContenderReport, paint: Paint) {
    let over = |pick: &dyn Fn(&RunReport) -> Option<f64>| {
        let values: Option<Vec<f64>> = contender.runs.iter().map(pick).collect();
        values.and_then(Spread::of)
    };
    let line = |pick: &dyn Fn(Spread) -> f64| {
        let figures = Figures::SHOWN.map(|name| {
            let figure = contender.over_runs(name).map(pick);
            format!("{:>9}", micros_or(figure))
        });
        figures.concat()
    };
    let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
    let jitter = micros_or(median(over(&|run| Some(run.jitter_us))));
    let delivered = median(over(&|run| Some(run.delivered_percent))).unwrap_or_default();
    let _ = writeln!(
        out,
        "  {:<15}{}{jitter:>9}{delivered:>10.2}%",
        contender.name,
        line(&|spread| spread.median)
    );
    if contender.runs.len() > 1 {
        for (title, pick) in [
            (
                "  least",
                &(|spread: Spread| spread.min) as &dyn Fn(Spread) -> f64,
            ),
            ("  most", &|spread: Spread| spread.max),
        ] {
            let row = format!("  {title:<15}{}", line(pick));
            let _ = writeln!(out, "{}", paint.paint(DIM, &row));
        }
    }
    let mut other = |title: &str, figures: &dyn Fn(&RunReport) -> Figures| {
        let row = Figures::SHOWN.map(|name| {
            let figure = median(over(&|run| figures(run).named(name)));
            format!("{:>9}", micros_or(figure))
        });
        let row = format!("  {title:<15}{}", row.concat());
        let _ = writeln!(out, "{}", paint.paint(DIM, &row));
    };
    // In a closed loop events are due when they are sent.
    if !cell.cell.closed {
        other("  uncorrected", &|run| run.uncorrected);
        other("  sent late by", &|run| run.lateness);
    }
    if !contender.farfire_is.is_empty() {
        let ratios = contender
            .farfire_is
            .iter()
            .filter(|(name, _)| *name != "max");
        let ratios = ratios.map(|(name, ratio)| {
            let Spread {
                min, median, max, ..
            } = ratio;
            format!("{median:.2}x at {name} ({min:.2} to {max:.2})")
        });
        let ratios: Vec<_> = ratios.collect();
        let _ = writeln!(out, "    farfire is {}", ratios.join(", "));
    }
    let _ = writeln!(out, "    {}", costs(cell, contender));
    for why in contender.runs.iter().filter_map(|run| run.invalid.as_ref()) {
        let _ = writeln!(out, "    {}", paint.paint(RED, &format!("INVALID: {why}")));
    }
}

/// Everything beside latency, as medians over the runs.
fn costs(cell: &CellReport, contender: &ContenderReport) -> String {
    let median = |pick: fn(&RunReport) -> Option<f64>| {
        let values: Option<Vec<f64>> = contender.runs.iter().map(pick).collect();
        Some(values.and_then(Spread::of)?.median)
    };
    let mut parts = Vec::new();
    if let Some(rate) = median(|run| Some(run.events_per_second)) {
        parts.push(format!("{rate:.0} events/s"));
    }
    if let Some(bytes) = median(|run| run.wire_bytes_per_event) {
        let payload = cell.encoded_bytes;
        parts.push(format!(
            "{bytes:.0} bytes on the wire per event of {payload}"
        ));
    }
    if let Some(ratio) = median(|run| run.datagrams_per_send_call) {
        parts.push(format!("{ratio:.2} datagrams per send call"));
    }
    let ends = [
        ("client", median(|run| run.client_cpu_us_per_event)),
        ("server", median(|run| run.server_cpu_us_per_event)),
    ];
    for (end, cpu) in ends {
        if let Some(cpu) = cpu {
            parts.push(format!("{end} CPU {} us per event", micros(cpu)));
        }
    }
    let sum = |pick: fn(&RunReport) -> u64| contender.runs.iter().map(pick).sum::<u64>();
    let (reordered, duplicates) = (sum(|run| run.reordered), sum(|run| run.duplicates));
    parts.push(format!("{reordered} reordered, {duplicates} duplicates"));
    let connect = contender.connect;
    parts.push(format!("connected in {:.1} ms", connect.median / 1e3));
    parts.join("; ")
}

/// One line per contender, for READMEs: the median over the runs, and the least and most.
pub(super) fn markdown(report: &Report) -> String {
    let mut out =
        String::from("| | p50 us | p90 us | p99 us | p99.9 us | delivered | farfire is |\n");
    out += "|---|---|---|---|---|---|---|\n";
    for cell in &report.cells {
        for contender in &cell.contenders {
            let figures = ["p50", "p90", "p99", "p99.9"].map(|name| {
                let Some(spread) = contender.over_runs(name) else {
                    return "n/a".to_owned();
                };
                let [min, median, max] = [spread.min, spread.median, spread.max].map(micros);
                format!("{median} ({min} to {max})")
            });
            let delivered = contender.runs.iter().map(|run| run.delivered_percent);
            let delivered = Spread::of(delivered).unwrap_or_default().median;
            let ratio = match (
                contender.farfire_is.get("p50"),
                contender.farfire_is.get("p99"),
            ) {
                (Some(p50), Some(p99)) => format!("{:.2}x, {:.2}x at p99", p50.median, p99.median),
                (Some(p50), None) => format!("{:.2}x", p50.median),
                _ => String::new(),
            };
            let invalid = contender.runs.iter().any(|run| run.invalid.is_some());
            let invalid = if invalid { ", INVALID" } else { "" };
            let what = format!("{}: {}{invalid}", cell.cell.describe(), contender.name);
            let figures = figures.join(" | ");
            let _ = writeln!(out, "| {what} | {figures} | {delivered:.2} % | {ratio} |");
        }
    }
    let from = &report.provenance;
    let machine = &from.machine;
    let build = if from.optimised { "" } else { ", debug build" };
    let _ = writeln!(
        out,
        "\nMedian (least to most) of the runs. {} x {}, {}{build}, commit {}: `{}`",
        machine.cores,
        machine.cpu.as_deref().unwrap_or("unknown processor"),
        machine.system,
        from.git_commit.as_deref().unwrap_or("unknown"),
        command(&from.command)
    );
    out
}

/// The command without the path to it, which is nobody's business.
fn command(words: &[String]) -> String {
    let rest = words.iter().skip(1).map(String::as_str);
    ["farfire"]
        .into_iter()
        .chain(rest)
        .collect::<Vec<_>>()
        .join(" ")
}
