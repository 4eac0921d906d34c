//! A terminal on which lines scroll past above a few live ones and the line being typed.
//!
//! Knows nothing of keys, and nothing of what the lines say.

use std::io::{self, Stdout, Write};

use crossterm::{
    cursor::{MoveToColumn, MoveUp},
    queue,
    style::Print,
    terminal::{self, Clear, ClearType},
};
use unicode_width::UnicodeWidthChar;

/// A terminal in raw mode; it gets its old mode back when this is dropped.
pub(super) struct Screen {
    out: Stdout,
    /// The lines above the one being typed.
    live: Vec<String>,
    /// How many columns each line took that is on the terminal now, and where the cursor is in the last.
    drawn: Vec<usize>,
    cursor: usize,
    unread: bool,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        Ok(Self {
            out: io::stdout(),
            live: Vec::new(),
            drawn: Vec::new(),
            cursor: 0,
            unread: false,
        })
    }

    /// Whether output was refused: the terminal is gone.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Puts lines above the live ones, where they stay.
    pub(super) fn print(&mut self, text: &str, input: (String, usize)) {
        let printed = self.erase().and_then(|()| {
            text.lines()
                .try_for_each(|line| queue!(self.out, Print(line), Print("\r\n")))
        });
        let drawn = self.draw(input);
        self.unread |= printed.and(drawn).is_err();
    }

    /// Replaces the live lines.
    pub(super) fn set_live(&mut self, lines: Vec<String>, input: (String, usize)) {
        if self.live != lines {
            self.live = lines;
            self.redraw(input);
        }
    }

    /// Draws the live lines and the line being typed anew.
    pub(super) fn redraw(&mut self, input: (String, usize)) {
        let erased = self.erase();
        let drawn = self.draw(input);
        self.unread |= erased.and(drawn).is_err();
    }

    /// How many columns the line being typed may take.
    pub(super) fn room() -> usize {
        width().saturating_sub(PROMPT.len())
    }

    fn erase(&mut self) -> io::Result<()> {
        let above = rows_above(&self.drawn, self.cursor, width());
        self.drawn.clear();
        self.cursor = 0;
        // Line by line: some terminals keep a copy of a screen that is cleared in one go.
        queue!(self.out, MoveToColumn(0), Clear(ClearType::CurrentLine))?;
        for _ in 0..above {
            queue!(self.out, MoveUp(1), Clear(ClearType::CurrentLine))?;
        }
        Ok(())
    }

    fn draw(&mut self, (text, cursor): (String, usize)) -> io::Result<()> {
        let (width, height) = (width(), terminal::size().map_or(24, |(_, rows)| rows));
        // On a low terminal the line being typed comes first.
        let most = height.saturating_sub(2);
        for line in self.live.iter().take(most.into()) {
            let (line, columns) = fit(line, width);
            queue!(self.out, Print(line), Print("\r\n"))?;
            self.drawn.push(columns);
        }
        let (text, _) = fit(&text, Self::room());
        self.cursor = PROMPT.len() + cursor;
        let column = u16::try_from(self.cursor).unwrap_or(u16::MAX);
        queue!(self.out, Print(PROMPT), Print(text), MoveToColumn(column))?;
        self.out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What was being typed and the live lines go; what was printed stays.
        let _ = self.erase().and_then(|()| self.out.flush());
        let _ = terminal::disable_raw_mode();
    }
}

fn width() -> usize {
    terminal::size().map_or(80, |(columns, _)| columns.max(20).into())
}

/// How far up the first of the drawn lines is. A terminal that has become narrower has wrapped them.
fn rows_above(drawn: &[usize], cursor: usize, width: usize) -> u16 {
    let rows = drawn.iter().map(|columns| columns.div_ceil(width).max(1));
    let rows = rows.sum::<usize>() + cursor / width;
    u16::try_from(rows).unwrap_or(u16::MAX)
}

/// The beginning of a line that fits into `width` columns, styles not counted, and how many it takes.
fn fit(line: &str, width: usize) -> (String, usize) {
    let (mut fitting, mut used, mut in_style) = (String::new(), 0, false);
    let mut is_full = false;
    for c in line.chars() {
        in_style |= c == '\x1b';
        let columns = if in_style { 0 } else { c.width().unwrap_or(0) };
        is_full |= used + columns > width;
        // Styles behind what fits are kept: they end those before it.
        if in_style || !is_full {
            fitting.push(c);
            used += columns;
        }
        in_style &= c != 'm';
    }
    (fitting, used)
}

const PROMPT: &str = "> ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_columns_and_its_styles_still_end() {
        assert_eq!(
            fit("\x1b[31mabcdef\x1b[0m", 3),
            ("\x1b[31mabc\x1b[0m".into(), 3)
        );
        assert_eq!(fit("\u{6771}\u{4eac}x", 3), ("\u{6771}".into(), 2));
        assert_eq!(fit("short", 80), ("short".into(), 5));
    }

    #[test]
    fn lines_that_a_narrower_terminal_has_wrapped_are_erased_as_well() {
        assert_eq!(rows_above(&[74, 0, 80], 5, 80), 3);
        assert_eq!(rows_above(&[74, 0, 80], 5, 60), 5);
        assert_eq!(rows_above(&[], 25, 20), 1);
    }
}
