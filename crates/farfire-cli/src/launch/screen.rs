//! The lower rows of a terminal, kept for a table and a prompt while lines scroll above them.
//!
//! It uses a scrolling region, so lines go where a terminal keeps what was printed, and what is being
//! typed stays where it is. Knows nothing of what is shown.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::{self, Write},
};

use crate::paint::Paint;

/// One line in the table: a style, and the text.
pub(super) type Row = (Option<&'static str>, String);

/// A line of a process, or of the launcher.
pub(super) struct Line {
    /// As it is printed, with its colour.
    pub(super) label: String,
    /// How many columns that takes.
    pub(super) indent: usize,
    pub(super) text: String,
    pub(super) style: Option<&'static str>,
}

pub(super) struct Screen {
    paint: Paint,
    size: (usize, usize),
    footer: Vec<Row>,
    /// What was printed last, to put it back after a change of size.
    printed: VecDeque<Line>,
    /// Where the next line goes, while there is room.
    next: usize,
}

impl Screen {
    /// Takes the terminal, if there is one to read from and to write to, with room.
    pub(super) fn open(paint: Paint) -> Option<Self> {
        let size = size().filter(|(rows, columns)| *rows >= LEAST && *columns >= 2 * LEAST)?;
        let mut screen = Self {
            paint,
            size,
            footer: Vec::new(),
            printed: VecDeque::new(),
            next: 1,
        };
        // What is there goes up, to where one can scroll back to it.
        screen.put(&"\n".repeat(size.0));
        screen.lay_out();
        Some(screen)
    }

    /// Prints a line above the table.
    pub(super) fn print(&mut self, line: Line) {
        let mut out = String::from(SAVE);
        let last = self.last_row();
        for piece in line.pieces(self.size.1, self.paint) {
            if self.next <= last {
                let _ = write!(out, "\x1b[{};1H", self.next);
                self.next += 1;
            } else {
                let _ = writeln!(out, "\x1b[{last};1H");
            }
            out += &piece;
        }
        out += RESTORE;
        self.put(&out);
        if self.printed.len() == self.size.0 {
            self.printed.pop_front();
        }
        self.printed.push_back(line);
    }

    /// Shows this table from now on.
    pub(super) fn show(&mut self, table: Vec<Row>) {
        let now = size().unwrap_or(self.size);
        let is_taller = table.len() != self.footer.len();
        self.footer = table;
        if now != self.size || is_taller {
            self.size = now;
            return self.lay_out();
        }
        let mut out = String::from(SAVE);
        self.draw(&mut out);
        out += RESTORE;
        self.put(&out);
    }

    /// Empties the last row, for the next command.
    pub(super) fn prompt(&self) {
        let prompt = format!("\x1b[{};1H\x1b[2K{PROMPT}", self.size.0);
        self.put(&prompt);
    }

    /// The table as it was last shown, as far as there was room; it is shown no more.
    pub(super) fn take(&mut self) -> Vec<Row> {
        let mut table = std::mem::take(&mut self.footer);
        for (_, text) in &mut table {
            *text = text.chars().take(self.size.1).collect();
        }
        table
    }

    /// The last row of the lines.
    fn last_row(&self) -> usize {
        let kept = self.footer.len() + 1;
        self.size.0.saturating_sub(kept).max(LEAST / 2)
    }

    /// Draws everything anew.
    fn lay_out(&mut self) {
        let last = self.last_row();
        let mut out = format!("\x1b[r\x1b[1;{last}r");
        // Row by row: a terminal may keep what is cleared as a whole, and has it already.
        for row in 1..=self.size.0 {
            let _ = write!(out, "\x1b[{row};1H\x1b[2K");
        }
        let lines = self.printed.iter();
        let pieces = lines.flat_map(|line| line.pieces(self.size.1, self.paint));
        let pieces: Vec<_> = pieces.collect();
        self.next = 1;
        for piece in &pieces[pieces.len().saturating_sub(last)..] {
            let _ = write!(out, "\x1b[{};1H{piece}", self.next);
            self.next += 1;
        }
        self.draw(&mut out);
        self.put(&out);
        self.prompt();
    }

    fn draw(&self, out: &mut String) {
        let first = self.last_row() + 1;
        let room = self.size.0.saturating_sub(first);
        for (at, (style, text)) in self.footer.iter().take(room).enumerate() {
            let text: String = text.chars().take(self.size.1).collect();
            let text = match style {
                Some(style) => self.paint.paint(style, &text),
                None => text,
            };
            let _ = write!(out, "\x1b[{};1H\x1b[2K{text}", first + at);
        }
    }

    fn put(&self, out: &str) {
        let mut stdout = io::stdout();
        // A terminal that is gone sends a signal.
        let _ = stdout.write_all(out.as_bytes());
        let _ = stdout.flush();
    }
}

impl Line {
    /// Cut to rows of so many columns, of which the first has the label.
    pub(super) fn pieces(&self, columns: usize, paint: Paint) -> Vec<String> {
        let room = columns.saturating_sub(self.indent).max(LEAST);
        let characters: Vec<char> = self.text.chars().collect();
        let mut pieces = characters.chunks(room);
        let first = pieces.next().unwrap_or_default();
        let styled = |piece: &[char]| {
            let piece: String = piece.iter().collect();
            match self.style {
                Some(style) => paint.paint(style, &piece),
                None => piece,
            }
        };
        let first = format!("{}{}", self.label, styled(first));
        let others = pieces.map(|piece| format!("{:1$}{2}", "", self.indent, styled(piece)));
        [first].into_iter().chain(others).collect()
    }
}

/// Gives the terminal back, with everything that was printed and without the table: a scrolling region
/// is of no use to its owner.
impl Drop for Screen {
    fn drop(&mut self) {
        let row = self.next.min(self.last_row() + 1);
        self.put(&format!("\x1b[r\x1b[{row};1H\x1b[J"));
    }
}

/// Rows and columns of the terminal that both standard streams are, if they are one.
#[cfg(unix)]
fn size() -> Option<(usize, usize)> {
    use std::io::IsTerminal;

    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return None;
    }
    if std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((usize::from(size.ws_row), usize::from(size.ws_col)))
}

/// Elsewhere there are lines.
#[cfg(not(unix))]
fn size() -> Option<(usize, usize)> {
    None
}

const SAVE: &str = "\x1b7";
const RESTORE: &str = "\x1b8";
const PROMPT: &str = "> ";
/// Fewer rows are none.
const LEAST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_below_its_text() {
        let line = Line {
            label: "Bo  ".into(),
            indent: 4,
            text: "0123456789".into(),
            style: None,
        };
        assert_eq!(line.pieces(12, Paint::Plain), ["Bo  01234567", "    89"]);
        assert_eq!(line.pieces(usize::MAX, Paint::Plain), ["Bo  0123456789"]);
    }
}
