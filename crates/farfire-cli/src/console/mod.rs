//! Where a command prints while somebody types: on a terminal the half-typed line stays in one piece, in a
//! pipe it is lines in and lines out.
//!
//! Knows nothing of what is typed or printed.

mod editor;
mod screen;

use std::{
    io::{self, BufRead, IsTerminal, Write},
    thread,
};

use crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc::{self, Receiver};

use self::{
    editor::{Editor, Keyed},
    screen::Screen,
};

/// Where a command prints while somebody types.
pub(crate) struct Console(Kind);

enum Kind {
    Terminal {
        screen: Screen,
        editor: Editor,
        events: Receiver<Event>,
    },
    Pipe {
        lines: Receiver<String>,
        unread: bool,
    },
}

/// What came from whoever types.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    Line(String),
    /// Ctrl-C, as a key: a terminal in raw mode sends no signal.
    Interrupt,
    /// There is nothing more to come.
    End,
}

impl Console {
    /// Opens it for people; where either side is no terminal, as for programs.
    pub(crate) fn for_people() -> Self {
        if !is_terminal() {
            return Self::for_programs();
        }
        match Screen::open() {
            Ok(screen) => Self(Kind::Terminal {
                screen,
                editor: Editor::default(),
                events: events(),
            }),
            Err(_) => Self::for_programs(),
        }
    }

    /// Opens it for programs: lines in, lines out.
    pub(crate) fn for_programs() -> Self {
        Self(Kind::Pipe {
            lines: lines(),
            unread: false,
        })
    }

    /// Whether somebody sits there, and sees live lines.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.0, Kind::Terminal { .. })
    }

    /// Whether output was refused: a pipe whose other end is closed.
    pub(crate) fn is_unread(&self) -> bool {
        match &self.0 {
            Kind::Terminal { screen, .. } => screen.is_unread(),
            Kind::Pipe { unread, .. } => *unread,
        }
    }

    /// Prints lines, above the one being typed.
    pub(crate) fn print(&mut self, text: &str) {
        match &mut self.0 {
            Kind::Terminal { screen, editor, .. } => {
                screen.print(text, editor.view(Screen::room()));
            }
            Kind::Pipe { unread, .. } => *unread |= writeln!(io::stdout(), "{text}").is_err(),
        }
    }

    /// Replaces the live lines, right above the one being typed; in a pipe there are none.
    pub(crate) fn set_live(&mut self, lines: Vec<String>) {
        if let Kind::Terminal { screen, editor, .. } = &mut self.0 {
            screen.set_live(lines, editor.view(Screen::room()));
        }
    }

    /// Waits for the next line; without losing any if it is dropped.
    pub(crate) async fn next(&mut self) -> Typed {
        match &mut self.0 {
            Kind::Pipe { lines, .. } => lines.recv().await.map_or(Typed::End, Typed::Line),
            Kind::Terminal {
                screen,
                editor,
                events,
            } => loop {
                let keyed = match events.recv().await {
                    None => return Typed::End,
                    Some(Event::Key(key)) if key.kind != KeyEventKind::Release => editor.key(key),
                    Some(_) => Keyed::Edited,
                };
                screen.redraw(editor.view(Screen::room()));
                match keyed {
                    Keyed::Edited => {}
                    Keyed::Line(line) => return Typed::Line(line),
                    Keyed::Interrupt => return Typed::Interrupt,
                    Keyed::End => return Typed::End,
                }
            },
        }
    }
}

/// Whether somebody can be asked: both sides are a terminal that knows how to move its cursor.
pub(crate) fn is_terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// Reads keys on a thread of its own, which ends with the process or when nobody listens any more.
fn events() -> Receiver<Event> {
    let (sender, events) = mpsc::channel(WAITING);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                break;
            }
        }
    });
    events
}

/// Reads lines on a thread of its own, as [`events`] does keys.
fn lines() -> Receiver<String> {
    let (sender, lines) = mpsc::channel(WAITING);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while matches!(input.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            if sender.blocking_send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    lines
}

/// What is typed faster than it is taken waits in the terminal, or in the pipe.
const WAITING: usize = 64;
