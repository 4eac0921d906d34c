//! What the launcher shows: lines as they come, notes of its own, and how everyone does; for a terminal,
//! for a pipe, or for programs.
//!
//! Knows nothing of how any of it came about.

use std::io::{self, Write};

use super::{
    member::{End, Member},
    ready::Place,
    screen::{Line, Screen},
    status::{Standing, record, sentence, table},
};
use crate::{
    json::Record,
    paint::{DIM, LABELS, Paint, RED, printable},
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

    pub(super) fn process(&mut self, member: &Member) {
        if self.is_json() {
            let record = Record::new("process")
                .text("process", &member.label())
                .plain("number", member.number)
                .plain("pid", member.pid)
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
        self.print(Line {
            label: format!("{label}{mark}"),
            indent: self.width + mark.len(),
            text,
            style: None,
        });
    }

    /// Something that the launcher has to say.
    pub(super) fn note(&mut self, text: &str) {
        self.say("note", DIM, text);
    }

    /// Something that is not as it should be.
    pub(super) fn problem(&mut self, text: &str) {
        self.say("problem", RED, text);
    }

    fn say(&mut self, kind: &str, style: &'static str, text: &str) {
        if self.is_json() {
            let record = Record::new(kind).text("text", text);
            return self.put(&record.finish());
        }
        let label = self.paint.paint(style, "- ");
        self.print(Line {
            label,
            indent: "- ".len(),
            text: printable(text).into_owned(),
            style: Some(style),
        });
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

    /// Gives a terminal back, and leaves the table among the lines.
    pub(super) fn close(&mut self) {
        let Form::Screen(screen) = &mut self.form else {
            return;
        };
        let table = screen.take();
        self.form = Form::Lines;
        for (style, text) in table {
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

    fn print(&mut self, line: Line) {
        match &mut self.form {
            Form::Screen(screen) => screen.print(line),
            Form::Lines | Form::Json => {
                for piece in line.pieces(usize::MAX, self.paint) {
                    self.put(&piece);
                }
            }
        }
    }

    fn put(&mut self, line: &str) {
        self.unread |= writeln!(io::stdout(), "{line}").is_err();
    }
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
