//! The director of the scenarios: starts the processes, gives the orders, and compares.
//!
//! Knows nothing of what is played; that is in [`scenario`](super::scenario) and [`place`](super::place).

use std::{process::ExitCode, time::Duration};

use super::{
    CLIENT, Options, SERVER,
    client::{DOOMED, SAFE},
    place::{Pace, max_players},
    process::{Answer, Trouble, Troupe},
    report::{Report, RoundTrips, Row, SERVER as SERVER_LABEL, Verdict},
    scenario::{Act, CALLED, Cast, Order, Scenario, compare},
};
use crate::{exit::complain, names::names, net::Nets, signal::Signals};

/// Plays everything, and ends every process that it started, whatever happens.
pub(super) async fn run(options: &Options, nets: Nets) -> ExitCode {
    // Before anything is started that a signal would have to end.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            let error = format!("signals cannot be heard: {error}");
            complain(&error, "the system may be out of file descriptors");
            return ExitCode::FAILURE;
        }
    };
    let mut cast = names(usize::from(options.players) + 1);
    let extra = cast.pop().unwrap_or_default();
    let cast = Cast {
        extra,
        max_players: max_players(cast.len()),
        players: cast,
    };
    let pace = match options.fast {
        true => Pace::Fast,
        false => Pace::Full,
    };
    let report = Report::new(options.json, &cast);
    let mut director = Director {
        troupe: Troupe::new(report),
        cast,
        nets,
        pace,
        random: options.seed,
        rows: Vec::new(),
        trips: None,
    };
    let result = tokio::select! {
        biased;
        signal = signals.next() => Err(signal),
        result = director.perform(options) => Ok(result),
    };
    director.troupe.end().await;
    match result {
        Err(signal) => {
            complain(signal.text, "every process of the playtest has been ended");
            ExitCode::from(signal.code)
        }
        Ok(result) => director.conclude(result),
    }
}

struct Director {
    troupe: Troupe,
    cast: Cast,
    nets: Nets,
    pace: Pace,
    random: u64,
    rows: Vec<Row>,
    trips: Option<RoundTrips>,
}

/// The server's is the first process, the players come after it.
const STAGE: usize = 0;
const FIRST_PLAYER: usize = 1;

impl Director {
    async fn perform(&mut self, options: &Options) -> Result<(), Trouble> {
        let players = self.cast.players.len();
        let report = &mut self.troupe.report;
        report.begin(players, options.seed, self.pace.word());
        report.nets(&self.cast, &self.nets);
        let net = self.nets.server;
        self.troupe.start(SERVER_LABEL, &[SERVER], net)?;
        for (at, name) in self.cast.players.iter().enumerate() {
            let net = self.nets.player(at + 1);
            self.troupe.start(name, &[CLIENT, name], net)?;
        }
        for scenario in Scenario::ALL {
            self.troupe.report.scenario(scenario);
            let mut row = Row::new(scenario, Verdict::Different);
            let result = self.play(&mut row).await;
            if let Err(trouble) = &result {
                row.troubles.push(trouble.to_string());
            }
            self.troupe.report.verdict(&row);
            let differs = row.verdict == Verdict::Different;
            self.rows.push(row);
            result?;
            if differs && !options.keep_going {
                return Ok(());
            }
        }
        self.troupe.report.scenario(Scenario::Echo);
        self.measure().await
    }

    /// Plays one scenario from the server's start to its end.
    async fn play(&mut self, row: &mut Row) -> Result<(), Trouble> {
        let scenario = row.scenario;
        for process in &mut self.troupe.processes {
            process.lines.clear();
        }
        let mut players = self.players();
        let mut notes = Vec::new();
        if let Some(door) = self.open(scenario, &mut row.troubles).await? {
            let joined = self.join(&players, &door, SAFE).await?;
            self.note(&players, joined, &mut row.troubles);
            for &act in scenario.acts() {
                if row.troubles.is_empty() {
                    let told = self.act(act, &players, &door, &mut row.troubles).await?;
                    notes.extend(told);
                }
            }
            if row.troubles.is_empty() {
                self.settle(scenario).await?;
            }
        }
        // In order, so that a player's last events reach the server before it stops.
        players.sort_unstable();
        let left = self.troupe.ask(&players, "leave").await?;
        self.note(&players, left, &mut row.troubles);
        let stopped = self.troupe.ask(&[STAGE], "stop").await?;
        self.note(&[STAGE], stopped, &mut row.troubles);
        self.judge(row, notes);
        Ok(())
    }

    /// Opens the server of a scenario: the order that lets a player in, but for its fate.
    async fn open(
        &mut self,
        scenario: Scenario,
        troubles: &mut Vec<String>,
    ) -> Result<Option<String>, Trouble> {
        let (number, pace) = (scenario.number(), self.pace.word());
        let order = format!("serve {number} {} {pace}", self.cast.max_players);
        let answer = self.troupe.ask(&[STAGE], &order).await?;
        let doors = self.note(&[STAGE], answer, troubles).pop();
        Ok(doors.map(|door| format!("join {number} {pace} {door}")))
    }

    async fn join(
        &mut self,
        players: &[usize],
        door: &str,
        fate: &str,
    ) -> Result<Vec<Answer>, Trouble> {
        self.troupe.ask(players, &format!("{door} {fate}")).await
    }

    async fn act(
        &mut self,
        act: Act,
        players: &[usize],
        door: &str,
        troubles: &mut Vec<String>,
    ) -> Result<Vec<String>, Trouble> {
        let actors: &[usize] = match act {
            Act::Server => &[STAGE],
            Act::First => &[FIRST_PLAYER],
            Act::Players => players,
            Act::Kill => return self.kill(door, troubles).await,
        };
        let answers = self.troupe.ask(actors, "play").await?;
        Ok(self.note(actors, answers, troubles))
    }

    /// Lets an extra player join, and kills it while the server waits for its answer.
    async fn kill(
        &mut self,
        door: &str,
        troubles: &mut Vec<String>,
    ) -> Result<Vec<String>, Trouble> {
        let (extra, net) = (&self.cast.extra, self.nets.everyone);
        let extra = self.troupe.start(extra, &[CLIENT, extra], net)?;
        let joined = self.join(&[extra], door, DOOMED).await?;
        self.note(&[extra], joined, troubles);
        self.troupe.order(&[STAGE], "play").await?;
        self.troupe
            .until(SETTLE, |processes| {
                processes[extra].lines.iter().any(|line| line == CALLED)
            })
            .await?;
        self.troupe.kill(extra).await;
        let answers = self.troupe.answers(&[STAGE]).await?;
        Ok(self.note(&[STAGE], answers, troubles))
    }

    /// Waits until as many lines have come as must come; what is too much comes with the end.
    async fn settle(&mut self, scenario: Scenario) -> Result<(), Trouble> {
        let cast = &self.cast;
        let wanted = |label: &str| expected(scenario, label, cast).len();
        self.troupe
            .until(SETTLE, |processes| {
                let mut all = processes.iter();
                all.all(|process| process.lines.len() >= wanted(&process.label))
            })
            .await?;
        Ok(())
    }

    fn judge(&self, row: &mut Row, mut notes: Vec<String>) {
        let (mut all, mut missing) = (0, 0);
        for (at, process) in self.troupe.processes.iter().enumerate() {
            let expected = expected(row.scenario, &process.label, &self.cast);
            let order = match at {
                STAGE => Order::Any,
                _ => Order::Counts,
            };
            all += expected.len();
            let difference = compare(&process.label, &expected, &process.lines, order);
            missing += difference.as_ref().map_or(0, |of| of.missing.len());
            row.differences.extend(difference);
        }
        if row.differences.is_empty() && row.troubles.is_empty() {
            row.verdict = Verdict::Same;
        }
        notes.retain(|note| !note.is_empty());
        notes.sort_unstable();
        notes.dedup();
        row.came = match missing {
            0 => format!("{all} lines"),
            _ => format!("{} of {all} lines", all - missing),
        };
        match &notes[..] {
            [] => {}
            [note] => row.came += &format!(", {note}"),
            [least, .., most] => row.came += &format!(", {least} to {most}"),
        }
    }

    /// Measures round trips between the server and the first player, alone.
    async fn measure(&mut self) -> Result<(), Trouble> {
        let mut troubles = Vec::new();
        if let Some(door) = self.open(Scenario::Echo, &mut troubles).await? {
            let first = [FIRST_PLAYER];
            let joined = self.join(&first, &door, SAFE).await?;
            self.note(&first, joined, &mut troubles);
            let told = self.act(Act::First, &first, &door, &mut troubles).await?;
            self.trips = told.first().and_then(|note| RoundTrips::from_note(note));
            self.troupe.ask(&first, "leave").await?;
        }
        self.troupe.ask(&[STAGE], "stop").await?;
        for trouble in troubles {
            complain(&trouble, "the round trips are not measured");
        }
        if let Some(trips) = &self.trips {
            self.troupe.report.round_trips(trips);
        }
        Ok(())
    }

    /// Sorts answers into notes and troubles.
    fn note(&self, of: &[usize], answers: Vec<Answer>, troubles: &mut Vec<String>) -> Vec<String> {
        let mut notes = Vec::new();
        for (&at, answer) in of.iter().zip(answers) {
            match answer {
                Ok(note) => notes.push(note),
                Err(why) => troubles.push(format!("{}: {why}", self.troupe.processes[at].label)),
            }
        }
        notes
    }

    /// The players in the next order that the seed gives.
    fn players(&mut self) -> Vec<usize> {
        let count = self.cast.players.len();
        let mut players: Vec<_> = (FIRST_PLAYER..FIRST_PLAYER + count).collect();
        for last in (1..count).rev() {
            let other = self.next_random() % (last as u64 + 1);
            players.swap(last, other as usize);
        }
        players
    }

    /// SplitMix64: all 64 bits of a seed count, small ones too.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The table and the exit code.
    fn conclude(&mut self, result: Result<(), Trouble>) -> ExitCode {
        for scenario in Scenario::ALL.into_iter().skip(self.rows.len()) {
            let row = Row::new(scenario, Verdict::NotRun);
            self.troupe.report.verdict(&row);
            self.rows.push(row);
        }
        let trips = self.trips.as_ref();
        self.troupe.report.end(&self.rows, trips);
        if let Err(trouble) = &result {
            complain(&trouble.to_string(), trouble.help());
        }
        let all_same = self.rows.iter().all(|row| row.verdict == Verdict::Same);
        match result.is_ok() && all_same && self.trips.is_some() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

fn expected(scenario: Scenario, label: &str, cast: &Cast) -> Vec<String> {
    match label {
        SERVER_LABEL => scenario.server_lines(cast),
        // It is there for one scenario; in the others it is gone, or not born.
        extra if extra == cast.extra && scenario != Scenario::Killed => Vec::new(),
        player => scenario.player_lines(player, cast),
    }
}

/// How long missing lines are waited for.
const SETTLE: Duration = Duration::from_secs(10);
