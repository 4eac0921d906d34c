//! The launcher: a server and its clients as processes that run until somebody has seen enough, with their
//! lines, their networks, and a prompt.
//!
//! The programs are the built-in ones of [`builtin`], or any. Each runs behind a [`guard`] of its own, so that
//! none outlives the launcher. This module decides what happens when; [`ready`] reads when a server is
//! ready, [`command`] what is typed, [`output`] is what is shown. It knows nothing of remotes.

mod builtin;
mod command;
mod figures;
mod group;
mod guard;
mod member;
mod output;
mod plan;
mod prompt;
mod ready;
mod screen;
mod status;

use std::{
    io::{self, BufRead},
    process::ExitCode,
    thread,
    time::Duration,
};

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at},
};

pub(crate) use self::{
    builtin::{bot::play, server::serve},
    guard::guard,
    plan::{Plan, Programs, duration},
};
use self::{
    figures::Figures,
    member::{End, Member, News, State},
    output::{On, Output},
    ready::Ready,
    status::Standing,
};
use crate::{
    exit::{self, Complaint},
    names::names,
    net::Net,
    signal::{Signal, Signals},
};

/// The hidden commands that start a process.
pub(crate) const GUARD: &str = "__guard";
pub(crate) const SERVER: &str = "__live_server";
pub(crate) const BOT: &str = "__bot";

/// Launches everything, and ends every process that it started, whatever happens.
pub(crate) async fn run(plan: Plan) -> ExitCode {
    // Before anything is started that a signal would have to end.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            let error = format!("signals cannot be heard: {error}");
            let complaint = Complaint::new(error, "the system may be out of file descriptors");
            return exit::conclude(Err(complaint));
        }
    };
    let mut launch = Launch::new(plan);
    let outcome = launch.play(&mut signals).await;
    launch.end(&mut signals).await;
    launch.conclude(outcome)
}

/// Why it is over.
enum Outcome {
    Done,
    Signalled(Signal),
    Failed(Complaint),
}

struct Launch {
    plan: Plan,
    output: Output,
    /// By their numbers.
    members: Vec<Member>,
    figures: Vec<Figures>,
    news: Receiver<(usize, News)>,
    teller: Sender<(usize, News)>,
    ready: Ready,
    /// The players have been started.
    is_open: bool,
    /// For the server to be ready; then for the playtest to end.
    deadline: Option<Instant>,
    ticks: u64,
    /// Everyone may end now, in whatever way.
    is_ending: bool,
    crashed: Vec<(String, End)>,
}

impl Launch {
    fn new(plan: Plan) -> Self {
        let (teller, news) = mpsc::channel(NEWS);
        Self {
            output: Output::new(plan.json),
            members: Vec::new(),
            figures: Vec::new(),
            news,
            teller,
            ready: Ready::new(plan.ready.clone()),
            is_open: false,
            deadline: Some(Instant::now() + plan.wait),
            ticks: 0,
            is_ending: false,
            crashed: Vec::new(),
            plan,
        }
    }

    /// Until there is a reason to end.
    async fn play(&mut self, signals: &mut Signals) -> Outcome {
        if let Err(complaint) = self.start(0, "server".into(), self.plan.nets.server) {
            return Outcome::Failed(complaint);
        }
        let mut typed = Some(typed());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.deadline;
            let outcome = tokio::select! {
                biased;
                signal = signals.next() => Some(Outcome::Signalled(signal)),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    match self.is_open {
                        true => Some(Outcome::Done),
                        false => self.open(false),
                    }
                }
                line = next_line(&mut typed) => match line {
                    Some(line) => self.obey(&line).await,
                    None => {
                        typed = None;
                        None
                    }
                },
                _ = ticks.tick() => {
                    self.tick();
                    None
                }
                Some((number, news)) = self.news.recv() => self.take(number, news).await,
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
            if self.output.is_unread() {
                return Outcome::Failed(Complaint::new(
                    "nobody reads what the playtest prints",
                    "keep the reader of the output open to the end",
                ));
            }
        }
    }

    fn start(&mut self, number: usize, name: String, net: Net) -> Result<(), Complaint> {
        let place = &self.ready.place;
        let mut environment = vec![("FARFIRE_NAME", name.clone())];
        if number > 0 {
            environment.push(("FARFIRE_PLAYER", number.to_string()));
        }
        for (variable, value) in [
            ("FARFIRE_ADDRESS", &place.address),
            ("FARFIRE_PIN", &place.pin),
            ("FARFIRE_LINK", &place.link),
        ] {
            environment.extend(value.clone().map(|value| (variable, value)));
        }
        let started = self.plan.programs.of(number).and_then(|program| {
            let teller = self.teller.clone();
            Member::start(number, name, net, &program, &environment, teller)
        });
        let member = started.map_err(|error| {
            Complaint::new(
                format!("a process could not be started: {error}"),
                "the system may be out of processes: try fewer `--players`",
            )
        })?;
        self.members.push(member);
        self.figures.push(Figures::default());
        Ok(())
    }

    /// The server is ready, or has had its time: the players start.
    fn open(&mut self, is_known: bool) -> Option<Outcome> {
        self.is_open = true;
        self.deadline = self.plan.limit.map(|limit| Instant::now() + limit);
        self.output.ready(&self.ready.place, is_known);
        for _ in 0..self.plan.players {
            if let Err(complaint) = self.add() {
                return Some(Outcome::Failed(complaint));
            }
        }
        None
    }

    fn add(&mut self) -> Result<(), Complaint> {
        let number = self.members.len();
        let name = names(number).pop().unwrap_or_default();
        self.start(number, name, self.plan.nets.player(number))
    }

    async fn take(&mut self, number: usize, news: News) -> Option<Outcome> {
        let member = &mut self.members[number];
        match news {
            News::Started(pid) => {
                member.state = State::Running;
                member.pid = pid;
                self.output.process(member);
            }
            News::Unstarted(why) => {
                let program = self.plan.programs.of(number).unwrap_or_default();
                let program = program.first().map(|program| program.display().to_string());
                let role = if number == 0 { "server" } else { "client" };
                member.state = State::Ended(End::Unknown);
                return Some(Outcome::Failed(Complaint::new(
                    format!(
                        "the {role} {:?} cannot be started: {why}",
                        program.unwrap_or_default()
                    ),
                    "give the path of a program: is it built, and does `./` belong before its name?",
                )));
            }
            News::Refused(why) => {
                let text = format!("{}: {why}", member.label());
                self.output.problem(&text);
            }
            News::Line(line) => return self.hear(number, &line, On::Output),
            News::Aside(line) => return self.hear(number, &line, On::Error),
            News::Ended(end) => return self.ended(number, end).await,
            News::Gone if member.has_ended() => {}
            News::Gone => {
                // Somebody has ended the guard, which leaves this to do.
                member.slay();
                return self.ended(number, End::Unknown).await;
            }
        }
        None
    }

    fn hear(&mut self, number: usize, line: &str, on: On) -> Option<Outcome> {
        let is_built_in = self.plan.programs == Programs::BuiltIn;
        if is_built_in && on == On::Output && self.figures_in(number, line) {
            return None;
        }
        let member = &mut self.members[number];
        member.remember(line);
        self.output.line(member, line, on);
        let is_opening = number == 0 && !self.is_open && !self.is_ending;
        match is_opening && self.ready.hear(line) {
            true => self.open(true),
            false => None,
        }
    }

    /// Takes a line of figures, if it is one.
    fn figures_in(&mut self, number: usize, line: &str) -> bool {
        if let Some(figures) = line.strip_prefix(builtin::BOT_FIGURES) {
            if let Some(figures) = figures::Bot::from_line(figures) {
                self.figures[number].hear_bot(figures);
            }
            return true;
        }
        let Some((name, figures)) = line
            .strip_prefix(builtin::SEAT_FIGURES)
            .and_then(|line| line.split_once(' '))
        else {
            return false;
        };
        let at = self.members.iter().position(|member| member.name == name);
        if let (Some(at), Some(figures)) = (at, figures::Seat::from_line(figures)) {
            self.figures[at].hear_seat(figures);
        }
        true
    }

    async fn ended(&mut self, number: usize, end: End) -> Option<Outcome> {
        let member = &mut self.members[number];
        member.state = State::Ended(end);
        let is_expected = self.is_ending || member.is_doomed;
        let is_crash = end.is_crash() && !is_expected;
        // What everyone does in the end is no news.
        let is_news = !self.is_ending || !matches!(end, End::Code(0) | End::INTERRUPTED);
        if is_news || self.output.is_json() {
            self.output.ended(member, end, is_crash);
        }
        if is_crash {
            self.crashed.push((member.label(), end));
        }
        member.dismiss().await;
        if is_crash && !self.plan.keep_going {
            return Some(self.crash());
        }
        if number == 0 && !self.is_open && !self.is_ending {
            return Some(Outcome::Failed(Complaint::new(
                format!("the server ended before it was ready: {end}"),
                "a server runs until its standard input ends, or Ctrl-C reaches it",
            )));
        }
        let is_own = self.plan.programs != Programs::BuiltIn;
        let mut players = self.members.iter().skip(1);
        let is_over = number == 0 || (is_own && players.all(Member::has_ended));
        match is_over && self.is_open {
            true => Some(Outcome::Done),
            false => None,
        }
    }

    fn crash(&self) -> Outcome {
        let what = match &self.crashed[..] {
            [(label, end)] => format!("{label} crashed: {end}"),
            all => {
                let labels: Vec<_> = all.iter().map(|(label, _)| label.as_str()).collect();
                format!("{} processes crashed: {}", all.len(), labels.join(", "))
            }
        };
        let help = match self.plan.keep_going {
            true => "the last lines of each are above",
            false => "its last lines are above; with `--keep-going` the others play on",
        };
        Outcome::Failed(Complaint::new(what, help))
    }

    fn tick(&mut self) {
        self.ticks += 1;
        if self.output.is_screen() {
            return self.status();
        }
        let is_built_in = self.plan.programs == Programs::BuiltIn;
        if is_built_in && self.is_open && self.ticks.is_multiple_of(TELL) {
            let mut playing = standings(&self.members, &self.figures);
            playing.retain(|standing| !standing.member.has_ended());
            self.output.status(&playing);
        }
    }

    fn status(&mut self) {
        self.output.status(&standings(&self.members, &self.figures));
    }

    /// Ends every process: as Ctrl-C does, and at once if there is another signal.
    async fn end(&mut self, signals: &mut Signals) {
        self.is_ending = true;
        let mut last = standings(&self.members, &self.figures);
        last.retain(|standing| self.output.is_screen() || standing.now.is_some());
        self.output.status(&last);
        let is_finished = self.members.iter().skip(1).all(Member::has_ended);
        for member in &mut self.members {
            // A server without players left ends by itself when its input does.
            let order = if is_finished { "finish" } else { "end" };
            member.order(order).await;
        }
        let mut deadline = Instant::now() + guard::GRACE * 2 + PATIENCE;
        while self.members.iter().any(|member| !member.has_ended()) {
            let news = tokio::select! {
                biased;
                _ = signals.next() => {
                    for member in &mut self.members {
                        member.order("kill").await;
                    }
                    deadline = deadline.min(Instant::now() + PATIENCE);
                    continue;
                }
                news = timeout_at(deadline, self.news.recv()) => news,
            };
            let Ok(Some((number, news))) = news else {
                break;
            };
            let _ = self.take(number, news).await;
        }
        for member in &mut self.members {
            member.dismiss().await;
        }
    }

    /// The last words, and the exit code.
    fn conclude(mut self, outcome: Outcome) -> ExitCode {
        self.output.close();
        self.output.end(self.crashed.len());
        let outcome = match outcome {
            Outcome::Done if !self.crashed.is_empty() => self.crash(),
            other => other,
        };
        exit::conclude(match outcome {
            Outcome::Done => Ok(()),
            Outcome::Failed(complaint) => Err(complaint),
            Outcome::Signalled(signal) => {
                let help = "every process of the playtest has been ended";
                Err(Complaint::new(signal.text, help).code(signal.code))
            }
        })
    }
}

fn standings<'a>(members: &'a [Member], figures: &[Figures]) -> Vec<Standing<'a>> {
    let all = members.iter().zip(figures);
    all.map(|(member, figures)| Standing {
        member,
        now: figures.now(),
    })
    .collect()
}

/// Reads what is typed, on a thread of its own; it ends with the input, or with the process.
fn typed() -> Receiver<String> {
    let (sender, lines) = mpsc::channel(TYPED);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

async fn next_line(typed: &mut Option<Receiver<String>>) -> Option<String> {
    match typed {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

/// How many lines of all processes wait to be shown; then the processes wait.
const NEWS: usize = 256;
const TYPED: usize = 16;
const TICK: Duration = Duration::from_secs(1);
/// After so many ticks a pipe is told how everyone does.
const TELL: u64 = 5;
/// How long a guard may take, beside what its program has.
const PATIENCE: Duration = Duration::from_secs(2);
