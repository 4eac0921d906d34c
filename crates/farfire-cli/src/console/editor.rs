//! The line being typed: keys in, lines out.
//!
//! Knows nothing of the terminal.

use std::{collections::VecDeque, mem};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthChar;

/// The line being typed, and those before it.
#[derive(Debug, Default)]
pub(super) struct Editor {
    line: Vec<char>,
    /// Before which character the next one goes.
    cursor: usize,
    history: VecDeque<String>,
    /// How far back the shown line is, and what was being typed before.
    browsing: Option<(usize, Vec<char>)>,
}

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    /// Nothing, or the line looks different now.
    Edited,
    Line(String),
    Interrupt,
    End,
}

impl Editor {
    pub(super) fn key(&mut self, key: KeyEvent) -> Keyed {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return self.control(key.code);
        }
        match key.code {
            KeyCode::Enter => return self.enter(),
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::ALT) => self.insert(c),
            KeyCode::Backspace => self.backspace(),
            KeyCode::Delete if self.cursor < self.line.len() => _ = self.line.remove(self.cursor),
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = self.line.len().min(self.cursor + 1),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.line.len(),
            KeyCode::Up => self.browse(1),
            KeyCode::Down => self.browse(-1),
            _ => {}
        }
        Keyed::Edited
    }

    fn control(&mut self, code: KeyCode) -> Keyed {
        match code {
            KeyCode::Char('c') => return Keyed::Interrupt,
            KeyCode::Char('d') if self.line.is_empty() => return Keyed::End,
            // What Enter sends in raw mode on some terminals.
            KeyCode::Char('j' | 'm') => return self.enter(),
            KeyCode::Char('h') => self.backspace(),
            KeyCode::Char('a') => self.cursor = 0,
            KeyCode::Char('e') => self.cursor = self.line.len(),
            KeyCode::Char('u') => {
                self.line.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') => self.line.truncate(self.cursor),
            KeyCode::Char('w') => self.rub_out_word(),
            _ => {}
        }
        Keyed::Edited
    }

    fn enter(&mut self) -> Keyed {
        let line: String = mem::take(&mut self.line).into_iter().collect();
        self.cursor = 0;
        self.browsing = None;
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(line.clone());
        }
        Keyed::Line(line)
    }

    fn insert(&mut self, c: char) {
        if self.line.len() < LONGEST && !c.is_control() {
            self.line.insert(self.cursor, c);
            self.cursor += 1;
        }
    }

    fn backspace(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.line.remove(self.cursor);
        }
    }

    fn rub_out_word(&mut self) {
        let before = &self.line[..self.cursor];
        let word = before.iter().rposition(|c| *c != ' ').unwrap_or(0);
        let begin = before[..word].iter().rposition(|c| *c == ' ');
        let begin = begin.map_or(0, |space| space + 1);
        self.line.drain(begin..self.cursor);
        self.cursor = begin;
    }

    /// Shows an older line, or a newer one.
    fn browse(&mut self, by: isize) {
        let back = self.browsing.as_ref().map_or(0, |(back, _)| *back);
        let Some(back) = back.checked_add_signed(by) else {
            return;
        };
        if back == 0 {
            if let Some((_, typed)) = self.browsing.take() {
                self.line = typed;
            }
        } else if let Some(at) = self.history.len().checked_sub(back) {
            let shown = self.history[at].chars().collect();
            let before = mem::replace(&mut self.line, shown);
            let typed = self.browsing.take().map_or(before, |(_, typed)| typed);
            self.browsing = Some((back, typed));
        }
        self.cursor = self.line.len();
    }

    /// The part of the line around the cursor that fits into `width` columns, and the cursor's column in it.
    pub(super) fn view(&self, width: usize) -> (String, usize) {
        let columns = |c: &char| c.width().unwrap_or(0);
        // Room for the cursor itself, which may be behind the last character.
        let room = width.saturating_sub(1);
        let (mut begin, mut column) = (self.cursor, 0);
        while begin > 0 && column + columns(&self.line[begin - 1]) <= room {
            begin -= 1;
            column += columns(&self.line[begin]);
        }
        let mut used = 0;
        let shown = self.line[begin..].iter().take_while(|c| {
            used += columns(c);
            used <= room
        });
        (shown.collect(), column)
    }
}

/// More is not typed but pasted, and not by intention.
const LONGEST: usize = 1024;
const HISTORY: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn press(editor: &mut Editor, code: KeyCode) -> Keyed {
        editor.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn control(editor: &mut Editor, c: char) -> Keyed {
        editor.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
    }

    fn typed(editor: &mut Editor, text: &str) {
        for c in text.chars() {
            assert_eq!(press(editor, KeyCode::Char(c)), Keyed::Edited);
        }
    }

    fn enter(editor: &mut Editor) -> String {
        match press(editor, KeyCode::Enter) {
            Keyed::Line(line) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_is_what_is_left_after_corrections() {
        let mut editor = Editor::default();
        typed(&mut editor, "sya hello all");
        control(&mut editor, 'w');
        control(&mut editor, 'a');
        press(&mut editor, KeyCode::Right);
        press(&mut editor, KeyCode::Delete);
        press(&mut editor, KeyCode::Right);
        typed(&mut editor, "y");
        assert_eq!(enter(&mut editor), "say hello ");
        assert_eq!(enter(&mut editor), "");
    }

    #[test]
    fn older_lines_come_back_and_the_half_typed_one_too() {
        let mut editor = Editor::default();
        for line in ["one", "two", "two"] {
            typed(&mut editor, line);
            enter(&mut editor);
        }
        typed(&mut editor, "thr");
        press(&mut editor, KeyCode::Up);
        press(&mut editor, KeyCode::Up);
        assert_eq!(editor.view(20).0, "one");
        press(&mut editor, KeyCode::Up);
        assert_eq!(editor.view(20).0, "one", "there is nothing older");
        press(&mut editor, KeyCode::Down);
        press(&mut editor, KeyCode::Down);
        typed(&mut editor, "ee");
        assert_eq!(enter(&mut editor), "three");
    }

    #[test]
    fn the_view_follows_the_cursor_and_wide_characters_count_twice() {
        let mut editor = Editor::default();
        typed(&mut editor, "0123456789");
        assert_eq!(editor.view(5), ("6789".into(), 4));
        press(&mut editor, KeyCode::Home);
        assert_eq!(editor.view(5), ("0123".into(), 0));
        control(&mut editor, 'k');
        typed(&mut editor, "\u{6771}\u{4eac}x");
        assert_eq!(editor.view(10), ("\u{6771}\u{4eac}x".into(), 5));
        assert_eq!(editor.view(4), ("\u{4eac}x".into(), 3));
    }

    #[test]
    fn ends_and_interrupts_are_told_apart() {
        let mut editor = Editor::default();
        typed(&mut editor, "x");
        assert_eq!(control(&mut editor, 'd'), Keyed::Edited);
        assert_eq!(control(&mut editor, 'c'), Keyed::Interrupt);
        control(&mut editor, 'u');
        assert_eq!(control(&mut editor, 'd'), Keyed::End);
    }
}
