//! The processes of a playtest, from the outside: starting, ordering, hearing and ending them.
//!
//! Knows nothing of scenarios.
//!
//! # The conversation
//!
//! The playtest writes orders to a child's standard input, one line each:
//!
//! | order | to | note in the answer |
//! |---|---|---|
//! | `serve NUMBER MAX_PLAYERS PACE` | the server | `ADDRESS PIN` |
//! | `join NUMBER PACE ADDRESS PIN FATE` | a client | none |
//! | `play` | either | what there is to tell, if anything |
//! | `leave`, `stop` | a client, the server | none |
//!
//! The child answers each with one line on its standard output, `@ok NOTE` or `@failed WHY`. Every
//! other line there is one that its script printed, and no script prints a line that begins so.
//!
//! # The end
//!
//! A child exits when its input ends, so none outlives the playtest however that ends. The playtest
//! closes the inputs, and kills and reaps whoever has not gone soon after.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{Instant, timeout, timeout_at},
};

use super::report::Report;
use crate::net::{self, Net};

/// The beginnings of the two answers.
pub(super) const OK: &str = "@ok";
pub(super) const FAILED: &str = "@failed";

/// What a child said to an order: a note, or why it could not follow.
pub(super) type Answer = Result<String, String>;

/// A running child.
pub(super) struct Process {
    pub(super) label: String,
    /// What its script has printed in this scenario.
    pub(super) lines: Vec<String>,
    child: Child,
    input: Option<ChildStdin>,
    answer: Option<Answer>,
}

/// All children, and the report that hears of everything they print.
pub(super) struct Troupe {
    pub(super) report: Report,
    pub(super) processes: Vec<Process>,
    news: UnboundedReceiver<(usize, News)>,
    teller: UnboundedSender<(usize, News)>,
}

enum News {
    Line(String),
    /// On standard error.
    Aside(String),
    /// Its output has ended.
    Gone,
}

impl Troupe {
    pub(super) fn new(report: Report) -> Self {
        let (teller, news) = mpsc::unbounded_channel();
        Self {
            report,
            processes: Vec::new(),
            news,
            teller,
        }
    }

    /// Starts this program once more, and gives the number of the new process.
    pub(super) fn start(
        &mut self,
        label: &str,
        arguments: &[&str],
        net: Net,
    ) -> Result<usize, Trouble> {
        let at = self.processes.len();
        let fail = |source| Trouble::Start {
            label: label.into(),
            source,
        };
        let mut child = Command::new(std::env::current_exe().map_err(fail)?)
            .args(arguments)
            .env(net::VARIABLE, net.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(fail)?;
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            self.hear(at, output, News::Line, Some(News::Gone));
        }
        if let Some(asides) = child.stderr.take() {
            self.hear(at, asides, News::Aside, None);
        }
        self.report.process(label, child.id(), net);
        self.processes.push(Process {
            label: label.into(),
            lines: Vec::new(),
            child,
            input,
            answer: None,
        });
        Ok(at)
    }

    fn hear(
        &self,
        at: usize,
        output: impl AsyncRead + Unpin + Send + 'static,
        news: fn(String) -> News,
        last: Option<News>,
    ) {
        let teller = self.teller.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = teller.send((at, news(line)));
            }
            if let Some(last) = last {
                let _ = teller.send((at, last));
            }
        });
    }

    /// Gives one order to each of these, and waits for all answers.
    pub(super) async fn ask(&mut self, of: &[usize], order: &str) -> Result<Vec<Answer>, Trouble> {
        self.order(of, order).await?;
        self.answers(of).await
    }

    /// Gives an order without waiting for the answers.
    pub(super) async fn order(&mut self, of: &[usize], order: &str) -> Result<(), Trouble> {
        for &at in of {
            let process = &mut self.processes[at];
            process.answer = None;
            let written = match &mut process.input {
                Some(input) => input.write_all(format!("{order}\n").as_bytes()).await,
                None => Err(io::ErrorKind::BrokenPipe.into()),
            };
            if written.is_err() {
                return Err(process.gone().await);
            }
        }
        Ok(())
    }

    /// Waits until all of these have answered.
    pub(super) async fn answers(&mut self, of: &[usize]) -> Result<Vec<Answer>, Trouble> {
        let answered = |processes: &[Process]| of.iter().all(|&at| processes[at].answer.is_some());
        if !self.until(PATIENCE, answered).await? {
            let silent = of.iter().find(|&&at| self.processes[at].answer.is_none());
            let label = silent.map(|&at| self.processes[at].label.clone());
            return Err(Trouble::Silent {
                label: label.unwrap_or_default(),
            });
        }
        let answers = of.iter().filter_map(|&at| self.processes[at].answer.take());
        Ok(answers.collect())
    }

    /// Waits until `ready`, for `patience` at most, and says whether it came to that.
    pub(super) async fn until(
        &mut self,
        patience: Duration,
        ready: impl Fn(&[Process]) -> bool,
    ) -> Result<bool, Trouble> {
        let deadline = Instant::now() + patience;
        while !ready(&self.processes) {
            let news = timeout_at(deadline, self.news.recv()).await;
            let Ok(Some((at, news))) = news else {
                return Ok(false);
            };
            self.take(at, news).await?;
        }
        Ok(true)
    }

    async fn take(&mut self, at: usize, news: News) -> Result<(), Trouble> {
        let process = &mut self.processes[at];
        match news {
            News::Line(line) => {
                if let Some(note) = line.strip_prefix(OK) {
                    process.answer = Some(Ok(note.trim().into()));
                } else if let Some(why) = line.strip_prefix(FAILED) {
                    process.answer = Some(Err(why.trim().into()));
                } else {
                    self.report.line(at, &process.label, &line);
                    process.lines.push(line);
                }
            }
            News::Aside(line) => self.report.aside(at, &process.label, &line),
            // One that was killed on purpose has no input any more.
            News::Gone if process.input.is_none() => {}
            News::Gone => return Err(process.gone().await),
        }
        if self.report.is_unread() {
            return Err(Trouble::Unread);
        }
        Ok(())
    }

    /// Kills one process, as the system would.
    pub(super) async fn kill(&mut self, at: usize) {
        let process = &mut self.processes[at];
        process.input = None;
        // Also reaps it.
        let _ = process.child.kill().await;
    }

    /// Ends and reaps every process.
    pub(super) async fn end(&mut self) {
        for process in &mut self.processes {
            process.input = None;
        }
        let deadline = Instant::now() + GRACE;
        for process in &mut self.processes {
            if timeout_at(deadline, process.child.wait()).await.is_err() {
                let _ = process.child.kill().await;
            }
        }
    }
}

impl Process {
    async fn gone(&mut self) -> Trouble {
        let status = timeout(GRACE, self.child.wait()).await;
        Trouble::Gone {
            label: self.label.clone(),
            status: status.ok().and_then(Result::ok),
        }
    }
}

/// Why a playtest cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the process of {label} ended by itself{}", describe(.status.as_ref()))]
    Gone {
        label: String,
        status: Option<ExitStatus>,
    },
    #[error("the process of {label} did not answer within {PATIENCE:?}")]
    Silent { label: String },
    #[error("the process of {label} could not be started: {source}")]
    Start { label: String, source: io::Error },
    #[error("nobody reads what the playtest prints")]
    Unread,
}

impl Trouble {
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "its last words are above; was it killed, or out of memory?",
            Self::Silent { .. } => "the machine may be too busy: try fewer `--players`",
            Self::Start { .. } => "the system may be out of processes: try fewer `--players`",
            Self::Unread => "keep the reader of the output open to the end",
        }
    }
}

fn describe(status: Option<&ExitStatus>) -> String {
    status.map_or_else(String::new, |status| format!(" ({status})"))
}

/// How long an answer may take: longer than any scenario, shorter than a person waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long children may take to exit by themselves.
const GRACE: Duration = Duration::from_secs(2);
