//! How everyone does, as a table, as lines, or as records.
//!
//! Knows nothing of where that is shown.

use super::{
    figures::Now,
    member::{End, Member, State},
    screen::Row,
};
use crate::{
    json::Record,
    paint::{BOLD, DIM, GREEN, RED, YELLOW},
};

/// How one process does, with what the built-in ones say about themselves.
pub(super) struct Standing<'a> {
    pub(super) member: &'a Member,
    pub(super) now: Option<Now>,
}

/// A row for each under a heading; the built-in server has nothing to say of itself.
pub(super) fn table(all: &[Standing<'_>]) -> Vec<Row> {
    let has_figures = all.iter().any(|of| of.now.is_some());
    let mut cells: Vec<Vec<String>> = vec![match has_figures {
        true => BOT_HEADING.map(String::from).to_vec(),
        false => HEADING.map(String::from).to_vec(),
    }];
    for standing in all {
        let member = standing.member;
        if has_figures && member.number == 0 {
            continue;
        }
        let mut row = vec![member.number.to_string(), member.name.clone()];
        match (has_figures, member.state) {
            // Room is scarce, and this the rule.
            (true, State::Running) => row.push(member.net.to_string()),
            (true, _) => row.push(format!("{}, {}", member.net, state(member))),
            (false, _) => row.extend([member.net.to_string(), state(member)]),
        }
        if let Some(now) = standing.now {
            row.extend([
                format!("{:.1}", now.network_ping_ms),
                cell(now.data_ping_ms, 1),
                cell(now.lost_up, 1),
                cell(now.lost_down, 1),
                cell(now.moves, 0),
                cell(now.worlds, 0),
                format!("{}/{}/{}", now.bought, now.refused, now.failed),
                format!("{}/{}", now.answered, now.unanswered),
                cell(now.up, 1),
                cell(now.down, 1),
            ]);
        }
        cells.push(row);
    }
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = cells.iter().filter_map(|row| row.get(column));
        widths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = cells.iter().map(|row| {
        let padded = row.iter().zip(&widths).enumerate();
        let padded = padded.map(|(column, (cell, &width))| match column {
            1 | 2 => format!("{cell:<width$}"),
            3 if !has_figures => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ")
    });
    let shown = all.iter().filter(|of| !has_figures || of.member.number > 0);
    let styles = shown.map(|standing| match standing.member.state {
        State::Ended(end) if end.is_crash() && !standing.member.is_doomed => Some(RED),
        State::Ended(_) => Some(DIM),
        State::Frozen => Some(YELLOW),
        State::Starting => Some(DIM),
        State::Running if has_figures => None,
        State::Running => Some(GREEN),
    });
    [Some(BOLD)].into_iter().chain(styles).zip(lines).collect()
}

fn state(member: &Member) -> String {
    match member.state {
        State::Starting => "starting".into(),
        State::Running => "running".into(),
        State::Frozen => "frozen".into(),
        State::Ended(_) if member.is_doomed => "killed".into(),
        State::Ended(End::Code(0)) => "ended".into(),
        State::Ended(End::Code(code)) => format!("exit {code}"),
        State::Ended(End::Signal(signal)) => format!("signal {signal}"),
        State::Ended(End::Unknown) => "gone".into(),
    }
}

fn cell(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "-".into(), |number| format!("{number:.digits$}"))
}

/// One line for a pipe.
pub(super) fn sentence(standing: &Standing<'_>) -> String {
    let member = standing.member;
    let beginning = format!(
        "status {} over {}: {}",
        member.label(),
        member.net,
        state(member)
    );
    let Some(now) = standing.now else {
        return beginning;
    };
    format!(
        "{beginning}, ping {:.1} ms, data ping {} ms, lost {} % up {} % down, {} moves/s, {} worlds/s, \
         {} kB/s up {} kB/s down, {} bought {} refused {} failed, {} answered {} not, {} chats",
        now.network_ping_ms,
        cell(now.data_ping_ms, 1),
        cell(now.lost_up, 1),
        cell(now.lost_down, 1),
        cell(now.moves, 0),
        cell(now.worlds, 0),
        cell(now.up, 1),
        cell(now.down, 1),
        now.bought,
        now.refused,
        now.failed,
        now.answered,
        now.unanswered,
        now.heard,
    )
}

/// One record for programs.
pub(super) fn record(standing: &Standing<'_>) -> String {
    let member = standing.member;
    let mut record = Record::new("status")
        .text("process", &member.label())
        .plain("number", member.number)
        .text("net", &member.net.to_string())
        .text("state", &state(member));
    if let Some(now) = standing.now {
        record = record.plain("ping_ms", now.network_ping_ms);
        let measured = [
            ("data_ping_ms", now.data_ping_ms),
            ("lost_up_percent", now.lost_up),
            ("lost_down_percent", now.lost_down),
            ("moves_per_s", now.moves),
            ("worlds_per_s", now.worlds),
            ("up_kb_per_s", now.up),
            ("down_kb_per_s", now.down),
        ];
        for (name, value) in measured {
            if let Some(value) = value {
                record = record.plain(name, value);
            }
        }
        for (name, count) in [
            ("bought", now.bought),
            ("refused", now.refused),
            ("failed", now.failed),
            ("answered", now.answered),
            ("unanswered", now.unanswered),
            ("chats", now.heard),
        ] {
            record = record.plain(name, count);
        }
    }
    record.finish()
}

const HEADING: [&str; 4] = ["#", "process", "net", "state"];
/// In the order of importance, for what does not fit is cut; the second of two says only how it differs.
const BOT_HEADING: [&str; 13] = [
    "#", "player", "net", "ping ms", "data", "lost% up", "down", "moves/s", "worlds", "calls",
    "asked", "kB/s up", "down",
];
