//! Tables of what was measured, in Markdown.

use std::fmt::Write;

use super::{
    figures::{Group, Spread, short},
    groups::text,
    model::{Model, Run, fit},
};

/// Every figure of a group, bare quinn's beside it.
pub(crate) fn everything(group: &Group) -> String {
    let mut out = String::from(
        "| workload | figure | bare quinn | farfire | ratio |\n|---|---|---|---|---|\n",
    );
    let mut last = "";
    for figure in &group.figures {
        let workload = if last == figure.workload {
            ""
        } else {
            &figure.workload
        };
        last = &figure.workload;
        let cell = |it: &Option<Spread>| it.map_or_else(String::new, |it| it.to_string());
        let (quinn, ours) = (cell(&figure.quinn), cell(&figure.farfire));
        let (metric, unit, ratio) = (&figure.metric, &figure.unit, cell(&figure.ratio));
        let _ = writeln!(
            out,
            "| {workload} | {metric}, {unit} | {quinn} | {ours} | {ratio} |"
        );
    }
    with_source(group, out)
}

/// A row for each crowd, with the medians of both.
pub(crate) fn crowds(group: &Group) -> String {
    let columns = [
        ("cpu per message, us", "message, server's cpu"),
        ("of a core, %", "server's core"),
        ("arrived, %", "arrived"),
        ("caller, us", "broadcast, caller"),
        ("caller's cpu, us", "broadcast, caller's cpu"),
        ("a wake-up, cpu, us", "waking a thread, cpu"),
        ("KiB a player", "idle memory"),
        ("joins a second", "joins"),
        ("cpu of a join, us", "join, server's cpu"),
        ("call p99 added, us", "call, added p99"),
    ];
    let head: Vec<_> = columns.iter().map(|(title, _)| *title).collect();
    let mut out = format!("| | {} |\n|---|", head.join(" | "));
    out += &"---|".repeat(columns.len());
    out.push('\n');
    for workload in group.workloads() {
        let cell = |metric: &str| {
            let mut figures = group.figures.iter();
            let it = figures.find(|it| it.workload == workload && it.metric == metric);
            let part = |it: Option<Spread>| it.map_or_else(|| "-".into(), |it| short(it.median));
            it.map_or_else(
                || "-".into(),
                |it| format!("{} / {}", part(it.quinn), part(it.farfire)),
            )
        };
        let cells: Vec<_> = columns.iter().map(|(_, metric)| cell(metric)).collect();
        let _ = writeln!(out, "| {workload} | {} |", cells.join(" | "));
    }
    for line in &group.others {
        let (skipped, failed) = (text(line, "skipped"), text(line, "failed"));
        if !skipped.is_empty() {
            let core = line.get("core").and_then(|it| it.as_f64()).unwrap_or(0.0);
            let _ = writeln!(
                out,
                "\n{skipped}: not tried, as it would take {core:.0} % of a core for each network thread."
            );
        }
        if !failed.is_empty() {
            let _ = writeln!(out, "\n{failed}: {}.", text(line, "why"));
        }
    }
    with_source(group, out)
}

/// What was fitted, and what a large server would hold.
pub(crate) fn model(group: &Group) -> String {
    let runs: Vec<Run> = group
        .workloads()
        .iter()
        .filter_map(|it| run(group, it))
        .collect();
    let Some(model) = fit(&runs) else {
        return "Not measured.".into();
    };
    let Model {
        per_message,
        per_player,
        worst,
    } = model;
    if worst > BELIEVED {
        return format!(
            "Of {} runs the model misses the worst by {:.0} %: they were too noisy to say what a larger server would hold.",
            runs.len(),
            worst * 100.0
        );
    }
    let mut out = format!(
        "A server takes, of a core, {:.1} us for each message that it sends and {:.1} us a second for each player. \
         Fitted to {} runs of 41 bytes to at least 100 players from one network thread; the worst of them is off by {:.0} %.\n\n\
         | broadcasts a second | players of one core | of 16 cores |\n|---|---|---|\n",
        per_message * 1e6,
        per_player * 1e6,
        runs.len(),
        worst * 100.0
    );
    for hertz in [20.0, 30.0, 60.0] {
        let of = |cores| short(model.players(cores, hertz).floor());
        let _ = writeln!(out, "| {hertz} | {} | {} |", of(1.0), of(16.0));
    }
    out + "\nThis assumes cores like this one, filled to 0.8; one network thread for each and players spread evenly over \
           them; nothing that the threads share growing with their number; a network card and a kernel that keep up; \
           and no game. It was not tried."
}

/// The players and the rate of a crowd are in its name; those with other sizes or threads do not count.
fn run(group: &Group, workload: &str) -> Option<Run> {
    let mut words = workload.split([' ', ',']).filter(|word| !word.is_empty());
    let players: f64 = words.next()?.parse().ok()?;
    // With few players most of the cost is waking up, once for each broadcast.
    if players < LEAST {
        return None;
    }
    let hertz = match (words.nth(1), words.next()) {
        (None, _) => 60.0,
        (Some(hertz), Some("Hz")) => hertz.parse().ok()?,
        _ => return None,
    };
    let median = |metric: &str| {
        let mut figures = group.figures.iter();
        let it = figures.find(|it| it.workload == workload && it.metric == metric)?;
        Some(it.farfire?.median)
    };
    let messages = players * hertz * median("arrived")? / 100.0;
    if median("arrived")? < ARRIVED {
        return None;
    }
    let core = median("server's core")? / 100.0;
    Some(Run {
        messages,
        players,
        core,
    })
}

/// Fewer players are not fitted.
const LEAST: f64 = 100.0;
/// Percent that have to arrive: what is saturated says how much is dropped, and not what a message costs.
const ARRIVED: f64 = 95.0;
/// As a share: a model that is further off says nothing about more players.
const BELIEVED: f64 = 0.3;

pub(crate) fn instructions(group: &Group) -> String {
    let mut out = String::from("| step | instructions | limit |\n|---|---|---|\n");
    for line in &group.others {
        let number = |key: &str| line.get(key).and_then(|it| it.as_u64()).unwrap_or(0);
        let (count, limit) = (number("instructions"), number("limit"));
        let _ = writeln!(out, "| {} | {count} | {limit} |", text(line, "step"));
    }
    with_source(group, out)
}

pub(crate) fn steps(group: &Group) -> String {
    let mut out =
        String::from("| event, from `fire` to the handler, both sides | ns |\n|---|---|\n");
    for line in &group.others {
        let ns = line.get("ns").and_then(|it| it.as_f64()).unwrap_or(0.0);
        let _ = writeln!(out, "| {} | {ns:.0} |", text(line, "step"));
    }
    with_source(group, out)
}

pub(crate) fn promises(group: &Group) -> String {
    let lines = group.others.iter();
    let lines = lines.map(|it| format!("- {}: {}\n", text(it, "promise"), text(it, "verdict")));
    with_source(group, lines.collect())
}

pub(crate) fn markdown(group: &Group) -> String {
    let lines: Vec<_> = group.others.iter().map(|it| text(it, "markdown")).collect();
    with_source(group, lines.join("\n"))
}

/// Where it comes from, below.
pub(crate) fn with_source(group: &Group, table: String) -> String {
    let of = |key: &str| group.provenance.get(key).map_or("", String::as_str);
    if group.provenance.is_empty() {
        return "Not measured.".into();
    }
    let rounds = group.figures.iter().map(|it| it.rounds);
    let rounds = match (rounds.clone().min(), rounds.max()) {
        (Some(least), Some(most)) if least == most => format!(" {least} rounds;"),
        (Some(least), Some(most)) => format!(" {least} to {most} rounds;"),
        _ => String::new(),
    };
    format!(
        "{}\n\n`{}`;{rounds} {}, commit {}; {} x {}, {}, {}; load {}.",
        table.trim_end(),
        of("command"),
        of("date"),
        of("commit"),
        of("cores"),
        of("cpu"),
        of("kernel"),
        of("rustc"),
        of("load")
    )
}
