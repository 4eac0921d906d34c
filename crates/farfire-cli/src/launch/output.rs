//! What the launcher shows: lines as they come, notes of its own, and how everyone does; for a terminal,
//! for a pipe, or for programs.
//!
//! Knows nothing of how any of it came about.

use std::io::{self, Write};

use super::{
    figures::Now,
    member::{End, Member, State},
    ready::Place,
    screen::{Row, Screen},
};
use crate::{
    json::Record,
    paint::{BOLD, DIM, GREEN, LABELS, Paint, RED, YELLOW, printable},
};

pub(super) struct Output {
    form: Form,
    paint: Paint,
    /// The longest label so far.
    width: usize,
    unread: bool,
}

enum Form {
    Json,
    Lines,
    Screen(Box<Screen>),
}

/// How one process does, with what the built-in ones say about themselves.
pub(super) struct Standing<'a> {
    pub(super) member: &'a Member,
    pub(super) now: Option<Now>,
}

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Output,
    Error,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        let paint = Paint::stdout();
        let screen = || Screen::open(paint).map(|screen| Form::Screen(Box::new(screen)));
        let form = match json {
            true => Form::Json,
            false => screen().unwrap_or(Form::Lines),
        };
        Self {
            form,
            paint,
            width: "1 Ada".len(),
            unread: false,
        }
    }

    /// Whether a table is kept up to date, so that nobody needs to be told how things are.
    pub(super) fn is_screen(&self) -> bool {
        matches!(self.form, Form::Screen(_))
    }

    pub(super) fn is_json(&self) -> bool {
        matches!(self.form, Form::Json)
    }

    /// Whether output was refused: a pipe whose other end is closed.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    pub(super) fn process(&mut self, member: &Member, pid: u32) {
        if self.is_json() {
            let record = Record::new("process")
                .text("process", &member.label())
                .plain("number", member.number)
                .plain("pid", pid)
                .plain("guard", member.guard_pid())
                .text("net", &member.net.to_string());
            self.put(&record.finish());
        }
    }

    pub(super) fn ready(&mut self, place: &Place, is_known: bool) {
        if self.is_json() {
            let text = |of: &Option<String>| of.clone().unwrap_or_default();
            let record = Record::new("ready")
                .plain("ready", is_known)
                .text("address", &text(&place.address))
                .text("pin", &text(&place.pin))
                .text("link", &text(&place.link));
            return self.put(&record.finish());
        }
        let place = place.link.as_ref().or(place.address.as_ref());
        let place = place.map_or_else(String::new, |place| format!(" at {}", printable(place)));
        match is_known {
            true => self.note(&format!("the server is ready{place}")),
            false => {
                self.problem("the server has not said that it is ready; the clients start anyway")
            }
        }
    }

    /// A line that a process printed.
    pub(super) fn line(&mut self, member: &Member, text: &str, on: On) {
        let (label, text) = (member.label(), tame(text));
        if self.is_json() {
            let kind = match on {
                On::Output => "line",
                On::Error => "aside",
            };
            let record = Record::new(kind).text("process", &label);
            return self.put(&record.text("text", &text).finish());
        }
        self.width = self.width.max(label.chars().count());
        let padded = format!("{label:<width$}", width = self.width);
        let colour = LABELS[member.number % LABELS.len()];
        let label = self.paint.paint(colour, &padded);
        let mark = match on {
            On::Output => "  ",
            On::Error => "! ",
        };
        // The first row has the label, the others stand below the text.
        let indent = self.width + mark.len();
        let pieces = self.pieces(&text, indent);
        let pieces = pieces.into_iter().enumerate().map(|(at, piece)| match at {
            0 => format!("{label}{mark}{piece}"),
            _ => format!("{:indent$}{piece}", ""),
        });
        self.print(pieces.collect());
    }

    /// Something that the launcher has to say.
    pub(super) fn note(&mut self, text: &str) {
        self.say("note", DIM, text);
    }

    /// Something that is not as it should be.
    pub(super) fn problem(&mut self, text: &str) {
        self.say("problem", RED, text);
    }

    fn say(&mut self, kind: &str, style: &str, text: &str) {
        if self.is_json() {
            let record = Record::new(kind).text("text", text);
            return self.put(&record.finish());
        }
        let pieces = self.pieces(&printable(text), "- ".len());
        let pieces = pieces.into_iter().enumerate().map(|(at, piece)| {
            let mark = if at == 0 { '-' } else { ' ' };
            self.paint.paint(style, &format!("{mark} {piece}"))
        });
        let pieces = pieces.collect();
        self.print(pieces);
    }

    /// The end of a process.
    pub(super) fn ended(&mut self, member: &Member, end: End, is_crash: bool) {
        if self.is_json() {
            let record = Record::new("exit").text("process", &member.label());
            let record = match end {
                End::Code(code) => record.plain("code", code),
                End::Signal(signal) => record.plain("signal", signal),
                End::Unknown => record,
            };
            let record = record
                .plain("crashed", is_crash)
                .texts("last", member.last.iter().map(|line| tame(line)));
            return self.put(&record.finish());
        }
        let label = member.label();
        if !is_crash {
            return self.note(&format!("{label} has ended: {end}"));
        }
        self.problem(&format!("{label} crashed: {end}"));
        if !member.last.is_empty() {
            self.problem(&format!("the last lines of {label}:"));
            for line in &member.last {
                self.problem(&format!("    {}", tame(line)));
            }
        }
    }

    /// How everyone does: the table of a terminal, else a line or a record each.
    pub(super) fn status(&mut self, all: &[Standing<'_>]) {
        match &mut self.form {
            Form::Screen(screen) => screen.show(table(all)),
            Form::Lines => {
                // The server has nothing to say of itself.
                for standing in all.iter().filter(|of| of.member.number > 0) {
                    let line = sentence(standing);
                    self.put(&line);
                }
            }
            Form::Json => {
                for standing in all {
                    let record = record(standing);
                    self.put(&record);
                }
            }
        }
    }

    /// The table among the lines, for the last time.
    pub(super) fn close(&mut self, all: &[Standing<'_>]) {
        if !self.is_screen() {
            return self.status(all);
        }
        self.form = Form::Lines;
        for (style, text) in table(all) {
            let text = style.map_or_else(|| text.clone(), |style| self.paint.paint(style, &text));
            self.put(&text);
        }
    }

    /// The last record.
    pub(super) fn end(&mut self, crashed: usize) {
        if self.is_json() {
            let record = Record::new("end").plain("crashed", crashed);
            self.put(&record.finish());
        }
    }

    /// A command was typed: the next one needs room.
    pub(super) fn prompt(&mut self) {
        if let Form::Screen(screen) = &mut self.form {
            screen.prompt();
        }
    }

    /// Cut to what fits beside an indent.
    fn pieces(&self, text: &str, indent: usize) -> Vec<String> {
        let Form::Screen(screen) = &self.form else {
            return vec![text.into()];
        };
        let room = screen.columns().saturating_sub(indent).max(8);
        let characters: Vec<char> = text.chars().collect();
        match characters.is_empty() {
            true => vec![String::new()],
            false => characters
                .chunks(room)
                .map(|piece| piece.iter().collect())
                .collect(),
        }
    }

    fn print(&mut self, pieces: Vec<String>) {
        match &mut self.form {
            Form::Screen(screen) => screen.print(pieces),
            Form::Lines | Form::Json => pieces.iter().for_each(|piece| self.put(piece)),
        }
    }

    fn put(&mut self, line: &str) {
        self.unread |= writeln!(io::stdout(), "{line}").is_err();
    }
}

fn table(all: &[Standing<'_>]) -> Vec<Row> {
    let has_figures = all.iter().any(|of| of.now.is_some());
    let mut cells: Vec<Vec<String>> = vec![match has_figures {
        true => BOT_HEADING.map(String::from).to_vec(),
        false => HEADING.map(String::from).to_vec(),
    }];
    for standing in all {
        let member = standing.member;
        let mut row = vec![
            member.number.to_string(),
            member.name.clone(),
            member.net.to_string(),
            state(member),
        ];
        if has_figures && member.number == 0 {
            continue;
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
            1..=3 => format!("{cell:<width$}"),
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
fn sentence(standing: &Standing<'_>) -> String {
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

fn record(standing: &Standing<'_>) -> String {
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

/// A program's line without what a terminal would obey: its colours would run into the labels.
fn tame(text: &str) -> String {
    let mut tame = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\t' => tame.push_str("    "),
            '\x1b' if rest.next_if_eq(&'[').is_some() => {
                // Up to the letter that ends the sequence.
                while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            other => tame.push(other),
        }
    }
    printable(&tame).into_owned()
}

const HEADING: [&str; 4] = ["#", "process", "net", "state"];
/// In the order of importance, for what does not fit is cut; the second of two says only how it differs.
const BOT_HEADING: [&str; 14] = [
    "#", "player", "net", "state", "ping ms", "data", "lost% up", "down", "moves/s", "worlds",
    "calls", "asked", "kB/s up", "down",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_tabs_of_programs_are_taken_out() {
        assert_eq!(
            tame("\x1b[1;31mred\x1b[0m\tand \x1b]bell\x07"),
            "red    and \u{fffd}]bell\u{fffd}"
        );
        assert_eq!(tame("cut \x1b[3"), "cut ");
    }
}
