//! One process of a playtest, as the launcher sees it: through its [`guard`](super::guard).
//!
//! Knows nothing of the others.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc::Sender,
};

use super::{
    GUARD,
    group::{self, Blow},
};
use crate::net::Net;

/// A process, and what is known of it.
pub(super) struct Member {
    /// From 1 for players; 0 is the server.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) net: Net,
    pub(super) state: State,
    /// Of the program; 0 before it has started.
    pub(super) pid: u32,
    /// Killed by a command, so that its end is no crash.
    pub(super) is_doomed: bool,
    /// The last that it printed.
    pub(super) last: VecDeque<String>,
    guard: Child,
    orders: Option<ChildStdin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Running,
    Frozen,
    Ended(End),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
    /// Its guard is gone, and cannot say.
    Unknown,
}

/// What a guard says.
pub(super) enum News {
    Started(u32),
    /// It could not be.
    Unstarted(String),
    Line(String),
    /// On standard error.
    Aside(String),
    /// An order was not followed.
    Refused(String),
    Ended(End),
    /// Nothing more will come.
    Gone,
}

impl Member {
    /// Starts a program behind a guard; its news come with `number`.
    pub(super) fn start(
        number: usize,
        name: String,
        net: Net,
        program: &[OsString],
        environment: &[(&str, String)],
        teller: Sender<(usize, News)>,
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([
                OsStr::new(GUARD),
                OsStr::new(&net.to_string()),
                "--".as_ref(),
            ])
            .args(program)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // A signal to the launcher's group is for the launcher, which ends the guards.
        #[cfg(unix)]
        command.process_group(0);
        let mut guard = command.spawn()?;
        let orders = guard.stdin.take();
        if let Some(output) = guard.stdout.take() {
            tokio::spawn(hear(number, output, teller));
        }
        Ok(Self {
            number,
            name,
            net,
            state: State::Starting,
            pid: 0,
            is_doomed: false,
            last: VecDeque::with_capacity(LAST),
            guard,
            orders,
        })
    }

    /// How the lines of this process are marked.
    pub(super) fn label(&self) -> String {
        match self.number {
            0 => self.name.clone(),
            number => format!("{number} {}", self.name),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    pub(super) fn guard_pid(&self) -> u32 {
        self.guard.id().unwrap_or_default()
    }

    pub(super) fn remember(&mut self, line: &str) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line.into());
    }

    /// Gives the guard an order; one that has gone needs none.
    pub(super) async fn order(&mut self, order: &str) {
        if let Some(orders) = &mut self.orders {
            let written = orders.write_all(format!("{order}\n").as_bytes()).await;
            if written.is_err() {
                self.orders = None;
            }
        }
    }

    /// Kills the program without its guard.
    pub(super) fn slay(&self) {
        // It may have ended with its guard.
        let _ = group::strike(self.pid, Blow::Kill);
    }

    /// Ends the guard, which has nothing left to do.
    pub(super) async fn dismiss(&mut self) {
        self.orders = None;
        let waited = tokio::time::timeout(super::PATIENCE, self.guard.wait()).await;
        if waited.is_err() {
            let _ = self.guard.kill().await;
        }
    }
}

impl End {
    /// As Ctrl-C does to most.
    pub(super) const INTERRUPTED: Self = Self::Signal(2);

    pub(super) fn is_crash(self) -> bool {
        self != Self::Code(0)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}{}", group::name(*signal)),
            Self::Unknown => f.write_str("its guard was ended"),
        }
    }
}

async fn hear(number: usize, output: ChildStdout, teller: Sender<(usize, News)>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some(news) = News::read(&line) else {
            continue;
        };
        if teller.send((number, news)).await.is_err() {
            return;
        }
    }
    let _ = teller.send((number, News::Gone)).await;
}

impl News {
    fn read(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        Some(match kind {
            "p" => Self::Started(rest.parse().ok()?),
            "f" => Self::Unstarted(rest.into()),
            "o" => Self::Line(rest.into()),
            "e" => Self::Aside(rest.into()),
            "n" => Self::Refused(rest.into()),
            "x" => {
                let (what, number) = rest.split_once(' ')?;
                let number = number.parse().ok()?;
                Self::Ended(match what {
                    "signal" => End::Signal(number),
                    _ => End::Code(number),
                })
            }
            _ => return None,
        })
    }
}

/// How many of the last lines are kept.
const LAST: usize = 8;
