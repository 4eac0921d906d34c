//! What a playtest tells: lines as they come, and the table at the end; for people or for programs.
//!
//! Knows nothing of how any of it came about.

use std::io::{self, Write};

use super::scenario::{Cast, Difference, Scenario};
use crate::{
    json::Record,
    net::{Net, Nets},
    paint::{BOLD, DIM, GREEN, LABELS, Paint, RED},
};

/// Where a playtest tells what happens.
pub(super) struct Report {
    format: Format,
    /// The longest label.
    width: usize,
    /// Some packets meet a worse network than this machine's.
    conditioned: bool,
    unread: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Plain,
    Coloured,
}

/// One scenario's line in the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scenario: Scenario,
    pub(super) verdict: Verdict,
    pub(super) came: String,
    pub(super) differences: Vec<Difference>,
    /// What kept a process from doing its part.
    pub(super) troubles: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Different,
    NotRun,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "DIFFERENT",
            Self::NotRun => "not run",
        }
    }
}

/// What round trips took, in microseconds: the median and the 99th percentile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RoundTrips {
    pub(super) samples: u32,
    pub(super) event: [f64; 2],
    pub(super) call: [f64; 2],
}

impl RoundTrips {
    /// Reads what the client that measured says: samples, then the four figures.
    pub(super) fn from_note(note: &str) -> Option<Self> {
        let mut words = note.split(' ');
        let samples = words.next()?.parse().ok()?;
        let figures: Vec<f64> = words.map_while(|word| word.parse().ok()).collect();
        let &[event_median, event_late, call_median, call_late] = &figures[..] else {
            return None;
        };
        Some(Self {
            samples,
            event: [event_median, event_late],
            call: [call_median, call_late],
        })
    }
}

impl Row {
    /// A scenario of which nothing has come yet.
    pub(super) fn new(scenario: Scenario, verdict: Verdict) -> Self {
        Self {
            scenario,
            verdict,
            came: String::new(),
            differences: Vec::new(),
            troubles: Vec::new(),
        }
    }
}

impl Report {
    pub(super) fn new(json: bool, cast: &Cast) -> Self {
        let format = match json {
            true => Format::Json,
            false if Paint::stdout() == Paint::Coloured => Format::Coloured,
            false => Format::Plain,
        };
        let names = cast.players.iter().chain([&cast.extra]);
        Self {
            format,
            width: names.map(String::len).max().unwrap_or(0).max(SERVER.len()),
            conditioned: false,
            unread: false,
        }
    }

    /// Whether output was refused: a pipe whose other end is closed.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    pub(super) fn begin(&mut self, players: usize, seed: u64, pace: &str) {
        if self.format == Format::Json {
            let record = Record::new("begin")
                .plain("pid", std::process::id())
                .plain("players", players)
                .plain("seed", seed)
                .text("pace", pace);
            return self.print(&record.finish());
        }
        let players = match players {
            1 => "1 player".to_string(),
            more => format!("{more} players"),
        };
        self.print(&format!(
            "A server and {players}, each a process of its own, over QUIC on 127.0.0.1."
        ));
    }

    /// What everyone plays over, unless that is the bare machine.
    pub(super) fn nets(&mut self, cast: &Cast, nets: &Nets) {
        if nets.is_clear() || self.format == Format::Json {
            return;
        }
        let mut own = Vec::new();
        for (at, name) in cast.players.iter().enumerate() {
            let net = nets.player(at + 1);
            if net != nets.everyone {
                own.push(format!("{name} over {net}"));
            }
        }
        if nets.server.0.is_some() {
            own.push(format!("the server over {}", nets.server));
        }
        let own = match &own[..] {
            [] => String::new(),
            own => format!("; {}", own.join(", ")),
        };
        self.print(&format!("Everyone plays over {}{own}.", nets.everyone));
        self.conditioned = true;
    }

    /// A process was started; people see it when it speaks.
    pub(super) fn process(&mut self, label: &str, pid: Option<u32>, net: Net) {
        if self.format == Format::Json {
            let record = Record::new("process")
                .text("process", label)
                .plain("pid", pid.unwrap_or(0))
                .text("net", &net.to_string());
            self.print(&record.finish());
        }
    }

    pub(super) fn scenario(&mut self, scenario: Scenario) {
        if self.format == Format::Json {
            let record = Record::new("scenario")
                .text("number", scenario.number())
                .text("title", scenario.title());
            return self.print(&record.finish());
        }
        let title = format!("{:<3} {}", scenario.number(), scenario.title());
        let title = self.paint(BOLD, &title);
        self.print(&format!("\n{title}"));
    }

    /// A line that a script printed.
    pub(super) fn line(&mut self, at: usize, label: &str, text: &str) {
        if self.format == Format::Json {
            let record = Record::new("line").text("process", label);
            return self.print(&record.text("text", text).finish());
        }
        let label = self.label(at, label);
        self.print(&format!("  {label}  {text}"));
    }

    /// A line on a child's standard error: no script prints there.
    pub(super) fn aside(&mut self, at: usize, label: &str, text: &str) {
        if self.format == Format::Json {
            let record = Record::new("aside").text("process", label);
            return self.print(&record.text("text", text).finish());
        }
        let label = self.label(at, label);
        let text = self.paint(RED, text);
        self.print(&format!("  {label}! {text}"));
    }

    /// What became of one scenario, right after it.
    pub(super) fn verdict(&mut self, row: &Row) {
        if self.format == Format::Json {
            let flat = |of: fn(&Difference) -> &Vec<String>| -> Vec<String> {
                let each = row.differences.iter().flat_map(|difference| {
                    let lines = of(difference).iter();
                    lines.map(|line| format!("{}: {line}", difference.process))
                });
                each.collect()
            };
            let record = Record::new("verdict")
                .text("number", row.scenario.number())
                .text("title", row.scenario.title())
                .text("expected", row.scenario.expected())
                .text("came", &row.came)
                .text("verdict", row.verdict.word())
                .texts("missing", flat(|difference| &difference.missing))
                .texts("unexpected", flat(|difference| &difference.unexpected))
                .texts("troubles", row.troubles.iter().cloned());
            return self.print(&record.finish());
        }
        if row.verdict != Verdict::Same {
            self.details(row);
        }
    }

    /// What was measured; for people it is part of the table.
    pub(super) fn round_trips(&mut self, trips: &RoundTrips) {
        if self.format != Format::Json {
            return;
        }
        for (what, [median, late]) in [("event echo", trips.event), ("call", trips.call)] {
            let record = Record::new("round trip")
                .text("what", what)
                .plain("samples", trips.samples)
                .plain("p50_us", median)
                .plain("p99_us", late)
                .plain("optimized", !cfg!(debug_assertions));
            self.print(&record.finish());
        }
    }

    /// The table, and the last word.
    pub(super) fn end(&mut self, rows: &[Row], trips: Option<&RoundTrips>) {
        let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
        let (different, not_run) = (count(Verdict::Different), count(Verdict::NotRun));
        if self.format == Format::Json {
            let record = Record::new("end")
                .plain("same", count(Verdict::Same))
                .plain("different", different)
                .plain("not_run", not_run);
            return self.print(&record.finish());
        }
        self.table(rows);
        if let Some(trips) = trips {
            self.latency(trips);
        }
        if different > 0 {
            let heading = self.paint(BOLD, "What differed");
            self.print(&format!("\n{heading}"));
            for row in rows {
                if row.verdict == Verdict::Different {
                    let title = format!("{:<3} {}", row.scenario.number(), row.scenario.title());
                    self.print(&title);
                    self.details(row);
                }
            }
        }
        let word = match (different, not_run) {
            (0, 0) => self.paint(GREEN, "Everything came as expected."),
            (0, _) => self.paint(RED, "Not everything was played."),
            (one_or_more, _) => {
                self.paint(RED, &format!("{one_or_more} of {} differed.", rows.len()))
            }
        };
        self.print(&format!("\n{word}"));
    }

    fn table(&mut self, rows: &[Row]) {
        let heading = [
            "scenario".to_string(),
            "expected".into(),
            "came".into(),
            "verdict".into(),
        ];
        let cells = rows.iter().map(|row| {
            [
                format!("{:<3} {}", row.scenario.number(), row.scenario.title()),
                row.scenario.expected().into(),
                row.came.clone(),
                row.verdict.word().into(),
            ]
        });
        let cells: Vec<_> = [heading].into_iter().chain(cells).collect();
        let width = |column: usize| {
            let widths = cells.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2)];
        self.print("");
        for (at, [title, expected, came, verdict]) in cells.iter().enumerate() {
            let style = match at.checked_sub(1).map(|at| rows[at].verdict) {
                None => BOLD,
                Some(Verdict::Same) => GREEN,
                Some(Verdict::Different) => RED,
                Some(Verdict::NotRun) => DIM,
            };
            let [a, b, c] = widths;
            let verdict = self.paint(style, verdict);
            let line = format!("{title:a$}  {expected:b$}  {came:c$}  ");
            let line = if at == 0 {
                self.paint(BOLD, &line)
            } else {
                line
            };
            self.print(&format!("{line}{verdict}"));
        }
    }

    fn latency(&mut self, trips: &RoundTrips) {
        let heading = format!("{:<20} {:>10} {:>10}", "round trip", "p50", "p99");
        let heading = self.paint(BOLD, &heading);
        self.print(&format!("\n{heading}"));
        for (what, [median, late]) in [("event and its echo", trips.event), ("call", trips.call)] {
            self.print(&format!("{what:<20} {median:>7.1} us {late:>7.1} us"));
        }
        let build = match cfg!(debug_assertions) {
            true => "; an unoptimized build",
            false => "",
        };
        let samples = trips.samples;
        let net = match self.conditioned {
            true => "; with the network above",
            false => "",
        };
        let note =
            format!("{samples} of each, one after the other, on this machine, now{net}{build}");
        let note = self.paint(DIM, &note);
        self.print(&note);
    }

    /// The lines that make the difference.
    fn details(&mut self, row: &Row) {
        for trouble in &row.troubles {
            let text = self.paint(RED, &format!("  trouble: {trouble}"));
            self.print(&text);
        }
        for difference in &row.differences {
            let of = &difference.process;
            let lines = difference.missing.iter().map(|line| ("missing", line));
            let lines = lines.chain(
                difference
                    .unexpected
                    .iter()
                    .map(|line| ("unexpected", line)),
            );
            for (what, line) in lines {
                let text = self.paint(RED, &format!("  {what} from {of}: {line:?}"));
                self.print(&text);
            }
        }
    }

    fn label(&self, at: usize, label: &str) -> String {
        let padded = format!("{label:>width$}", width = self.width);
        self.paint(LABELS[at % LABELS.len()], &padded)
    }

    fn paint(&self, style: &str, text: &str) -> String {
        match self.format {
            Format::Coloured => format!("\x1b[{style}m{text}\x1b[0m"),
            Format::Plain | Format::Json => text.into(),
        }
    }

    fn print(&mut self, line: &str) {
        self.unread |= writeln!(io::stdout(), "{line}").is_err();
    }
}

/// The label of the server's process.
pub(super) const SERVER: &str = "server";
