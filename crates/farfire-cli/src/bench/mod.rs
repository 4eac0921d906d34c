//! `farfire bench`: how long events and calls take under a load that does not wait for them.
//!
//! This module has the command line and directs the runs. What is measured is a [`cell`], by a
//! [`schedule`] that both ends know; [`contender`] has who is measured, [`stage`] where the servers are,
//! [`run`] what one end does, and [`report`] what comes out.

mod cell;
pub(crate) mod clock;
mod contender;
mod meter;
mod payload;
pub(crate) mod provenance;
pub(crate) mod recording;
pub(crate) mod report;
mod run;
mod schedule;
mod stage;
mod svg;
mod table;
pub(crate) mod units;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use clap::ValueEnum;
use farfire::{conditioner::Preset, tls::Pin};
use hdrhistogram::Histogram;

pub(crate) use self::cell::Cell;
pub(crate) use self::stage::{SERVER, be_the_server};
use self::{
    cell::{Direction, Kind},
    contender::{Contender, Setting, Side, connect, farfire::Clients},
    meter::DRIVES,
    payload::{Payload, RELIABLE, UNRELIABLE},
    provenance::Provenance,
    report::{Both, CellReport, ContenderReport, Report, RunReport, SCHEMA},
    run::{End, Run},
    stage::Stage,
};
use crate::{
    exit::{self, Complaint, USAGE},
    paint::Paint,
    reach::Reach,
    signal,
};

/// What to measure, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// What carries the events; several, separated by commas, are measured one after the other
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "reliable",
        value_name = "KIND"
    )]
    kind: Vec<Kind>,
    /// Encoded bytes of an event (16 to 64k), or entities, booleans, random, file:PATH; several likewise
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "64",
        value_name = "PAYLOAD"
    )]
    payload: Vec<Payload>,
    /// Which way events go; one way needs a server on this machine
    #[arg(long, default_value = "echo")]
    direction: Direction,
    /// How many clients
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Events per second of each client, sent whether or not earlier ones came back; 1000 unless given,
    /// and 100 for a server elsewhere, whose echo has a limit
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Send in bursts, so many a second, as games do
    #[arg(long, value_name = "HZ")]
    tick: Option<f64>,
    /// Ping-pong instead: each client waits for its last event. Hides stalls, and says so
    #[arg(long, conflicts_with_all = ["tick", "count"])]
    closed: bool,
    /// How long each run is measured
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = units::duration)]
    duration: Duration,
    /// Events of each client that each run measures, instead of a time
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// How long events are sent before they count
    #[arg(long, default_value = "500ms", value_name = "TIME", value_parser = units::duration)]
    warm_up: Duration,
    /// Runs; every figure comes with its least and most over them
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: u16,
    /// Play over a bad network: lan, wifi, mobile_4g, intercontinental or awful
    #[arg(long, value_name = "PRESET")]
    net: Option<Preset>,
    /// Of the bad network and of random payloads; the same number gives the same ones
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Where the server runs: process (one of its own), in-process, or a link or HOST:PORT of any
    #[arg(long, default_value = "process", value_name = "WHERE")]
    server: String,
    /// What to trust the server at HOST:PORT by; without it, it has to be one that was joined before
    #[arg(long)]
    pin: Option<Pin>,
    /// Measure these too, in turns with farfire: all, quinn, udp, tcp
    #[arg(long, value_delimiter = ',', value_name = "WHOM")]
    baseline: Vec<Baseline>,
    /// Network threads of both ends poll instead of sleeping
    #[arg(long)]
    busy_poll: bool,
    /// How late one event in a hundred may be sent before a run is invalid
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = units::duration)]
    max_lateness: Duration,
    /// Print JSON, for programs and `farfire compare`
    #[arg(long, conflicts_with = "md")]
    json: bool,
    /// Print a Markdown table
    #[arg(long)]
    md: bool,
    /// Write the percentiles of farfire's first line as HDR plotters read them
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// Draw the percentile curve and the time series
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What farfire is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Baseline {
    /// All of them
    All,
    /// A bare QUIC stream, datagram or bidirectional stream, as the kind has it
    Quinn,
    /// Raw UDP, without encryption or delivery
    Udp,
    /// TCP without delay, each event behind its length, without encryption
    Tcp,
}

/// Measures, and ends when it is done or told to.
pub(crate) async fn run(options: Options) -> Result<(), Complaint> {
    let mut signals = signal::listen()?;
    let (tell, done) = tokio::sync::oneshot::channel();
    // The runs block: they are on a thread that has no runtime to stall.
    let director = thread::Builder::new().name(format!("{DRIVES}direct"));
    let started = director.spawn(move || _ = tell.send(direct(&options)));
    started.map_err(|error| {
        let error = format!("no thread to drive the benchmark: {error}");
        Complaint::new(error, "see `ulimit -u`")
    })?;
    tokio::select! {
        biased;
        // A server in a process of its own ends with this one: its input does.
        signal = signals.next() => Err(signal.complaint("nothing was measured to the end")),
        // If it is not told, the thread panicked, and has said so.
        done = done => done.unwrap_or_else(|_| {
            Err(Complaint::new("the benchmark broke off", "please report what it printed"))
        }),
    }
}

fn direct(options: &Options) -> Result<(), Complaint> {
    let cells = options.cells()?;
    let contenders = options.contenders()?;
    for path in [&options.hgrm, &options.svg].into_iter().flatten() {
        // Before minutes of measuring, not after.
        write_file(path, "")?;
    }
    let setting = Setting {
        clients: options.clients,
        net: options.net.map(|preset| preset.name().into()),
        seed: options.seed,
        busy_poll: options.busy_poll,
        ticks: options.tick.is_some(),
    };
    let stage = match &options.server[..] {
        "process" => Stage::process(&setting, &contenders)?,
        "in-process" => Stage::here(&setting, &contenders)?,
        address => Stage::Away(address.into()),
    };
    let mut bench = Bench::new(options, setting, stage, &contenders)?;
    let mut reports = Vec::new();
    let mut first = None;
    for cell in cells {
        let (report, samples) = bench.measure(&cell)?;
        first = first.or_else(|| samples.into_iter().next());
        reports.push(report);
    }
    let report = Report {
        schema: SCHEMA.into(),
        provenance: Provenance::here(),
        server: bench.stage.name(),
        net: bench.setting.net.clone(),
        seed: options.seed,
        busy_poll: options.busy_poll,
        cells: reports,
    };
    options.present(&report, first.as_ref())
}

impl Options {
    /// What is to be measured, or why it cannot be.
    fn cells(&self) -> Result<Vec<Cell>, Complaint> {
        let wrong = |error: &str, help: &str| Err(Complaint::new(error, help).code(USAGE));
        let away = !matches!(&self.server[..], "process" | "in-process");
        let rate = self.rate.unwrap_or(if away { 100.0 } else { 1000.0 });
        let whole = |rate: f64| rate.is_finite() && rate > 0.0 && rate <= 10_000_000.0;
        if !whole(rate) || self.tick.is_some_and(|tick| !whole(tick)) {
            return wrong(
                "a rate is more than 0 and at most 10,000,000",
                "`--rate 60` sends 60 events a second, of each client",
            );
        }
        let duration = match self.count {
            Some(count) => Duration::from_secs_f64(f64::from(count) / rate),
            None => self.duration,
        };
        if duration.is_zero() {
            return wrong("nothing would be measured", "give `--duration` some time");
        }
        let one_way = self.direction != Direction::Echo;
        if away && (one_way || self.kind.contains(&Kind::Broadcast)) {
            return wrong(
                "one-way figures need a clock that both ends share",
                "leave `--server` out, or measure the round trip: `--direction echo`",
            );
        }
        if away
            && self
                .payload
                .iter()
                .any(|payload| !matches!(payload, Payload::Bytes(..=16_384)))
        {
            return wrong(
                "the built-in echo of a server takes up to 16k of plain bytes",
                "choose sizes, such as `--payload 16,64,256,1000,16k`",
            );
        }
        if one_way && self.closed {
            return wrong(
                "a closed loop waits for answers, and one way has none",
                "leave out `--closed` or `--direction`",
            );
        }
        let mut cells = Vec::new();
        for &kind in &self.kind {
            if kind == Kind::Function && one_way {
                return wrong("a call goes there and back", "leave out `--direction`");
            }
            let broadcasts = kind == Kind::Broadcast;
            if broadcasts && (self.closed || self.direction == Direction::Up) {
                return wrong(
                    "a broadcast goes down, whoever answers",
                    "leave out `--closed` and `--direction`",
                );
            }
            for payload in &self.payload {
                cells.push(Cell {
                    kind,
                    direction: match broadcasts {
                        true => Direction::Down,
                        false => self.direction,
                    },
                    payload: payload.clone(),
                    clients: self.clients,
                    rate,
                    tick: self.tick,
                    closed: self.closed,
                    warm_up: self.warm_up,
                    duration,
                    seed: self.seed,
                });
            }
        }
        for cell in &cells {
            check_size(cell)?;
        }
        Ok(cells)
    }

    fn contenders(&self) -> Result<Vec<Contender>, Complaint> {
        let mut contenders = vec![Contender::Farfire];
        let asked =
            |baseline| self.baseline.contains(&baseline) || self.baseline.contains(&Baseline::All);
        for (baseline, contender) in [
            (Baseline::Quinn, Contender::Quinn),
            (Baseline::Udp, Contender::Udp),
            (Baseline::Tcp, Contender::Tcp),
        ] {
            if asked(baseline) {
                contenders.push(contender);
            }
        }
        if contenders.len() == 1 {
            return Ok(contenders);
        }
        let why = if !matches!(&self.server[..], "process" | "in-process") {
            "the server elsewhere has none"
        } else if self.net.is_some() {
            "the bad network is farfire's own: others would have a good one"
        } else if self.direction != Direction::Echo || self.kind.contains(&Kind::Broadcast) {
            "they measure round trips"
        } else if self.clients > 256 {
            "two of them take a thread per client: at most 256"
        } else {
            return Ok(contenders);
        };
        let error = format!("there are no baselines here: {why}");
        Err(Complaint::new(error, "leave out `--baseline`, or what is in its way").code(USAGE))
    }

    /// Prints and writes what came out, and says whether it holds.
    fn present(&self, report: &Report, first: Option<&Histogram<u64>>) -> Result<(), Complaint> {
        let text = match (self.json, self.md) {
            (true, _) => {
                serde_json::to_string_pretty(report).map_err(|error| {
                    Complaint::new(
                        format!("the report cannot be written: {error}"),
                        "report this",
                    )
                })? + "\n"
            }
            (_, true) => table::markdown(report),
            _ => table::human(report, Paint::stdout()),
        };
        // Whoever reads it may have seen enough.
        let _ = io::stdout().write_all(text.as_bytes());
        if let (Some(path), Some(samples)) = (&self.hgrm, first) {
            write_file(path, &report::hgrm(samples))?;
        }
        if let Some(path) = &self.svg {
            write_file(path, &svg::draw(report))?;
        }
        match report.invalid().next() {
            None => Ok(()),
            Some(why) => Err(Complaint::new(
                format!("INVALID: {why}"),
                "no figure of an invalid run says anything about the server",
            )),
        }
    }
}

fn check_size(cell: &Cell) -> Result<(), Complaint> {
    let size = encoded(cell)?;
    if cell.kind == Kind::Unreliable && size > 1000 {
        let error = format!("an unreliable event of {size} bytes does not fit: 1000 do");
        return Err(Complaint::new(error, "choose a smaller `--payload`").code(USAGE));
    }
    Ok(())
}

fn encoded(cell: &Cell) -> Result<usize, Complaint> {
    let cannot = |error: &dyn std::fmt::Display| {
        let error = format!("the payload {} cannot be sent: {error}", cell.payload);
        Complaint::new(
            error,
            "name a file of at most 64 KiB that this user may read",
        )
        .code(USAGE)
    };
    let args = cell
        .payload
        .args(cell.seed)
        .map_err(|error| cannot(&error))?;
    let size = match cell.kind {
        Kind::Unreliable => UNRELIABLE.encoded_len(&args),
        _ => RELIABLE.encoded_len(&args),
    };
    match size.map_err(|error| cannot(&error))? {
        size if size > 64 * 1024 => Err(cannot(&"it is too long")),
        size => Ok(size),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), Complaint> {
    fs::write(path, text).map_err(|error| {
        let error = format!("{} cannot be written: {error}", path.display());
        Complaint::new(
            error,
            "name a file in a folder that exists and this user may write to",
        )
    })
}

/// Everybody is connected; runs may begin.
struct Bench<'a> {
    options: &'a Options,
    setting: Setting,
    stage: Stage,
    entrants: Vec<Entrant>,
    run: u16,
}

struct Entrant {
    contender: Contender,
    side: Arc<dyn Side>,
    connected: Vec<Duration>,
}

impl<'a> Bench<'a> {
    fn new(
        options: &'a Options,
        setting: Setting,
        stage: Stage,
        contenders: &[Contender],
    ) -> Result<Self, Complaint> {
        let mut entrants = Vec::new();
        for &contender in contenders {
            let (side, connected) = match (&stage, stage.door(contender)) {
                (Stage::Away(server), _) => {
                    let reach = Reach::read(server, options.pin)?;
                    Clients::connect(&reach, false, &setting)?
                }
                (_, Some(door)) => connect(door, &setting)?,
                (_, None) => continue,
            };
            entrants.push(Entrant {
                contender,
                side,
                connected,
            });
        }
        Ok(Self {
            options,
            setting,
            stage,
            entrants,
            run: 0,
        })
    }

    /// All rounds of one cell, the contenders in turns; the samples of each come with the report.
    fn measure(&mut self, cell: &Cell) -> Result<(CellReport, Vec<Histogram<u64>>), Complaint> {
        let entrants = self.entrants.len();
        let mut runs: Vec<Vec<RunReport>> = vec![Vec::new(); entrants];
        let mut samples = vec![report::no_samples(); entrants];
        for round in 0..self.options.repeat {
            for at in 0..entrants {
                let both = self.one(cell, at, round)?;
                both.add_to(&mut samples[at]);
                runs[at].push(both.report(cell, self.options.max_lateness));
            }
        }
        clear_line();
        let mut contenders: Vec<_> = self
            .entrants
            .iter()
            .zip(runs)
            .zip(&samples)
            .map(|((entrant, runs), samples)| {
                let name = entrant.contender.label(cell.kind);
                ContenderReport::new(name, &entrant.connected, runs, samples)
            })
            .collect();
        if let Some((farfire, others)) = contenders.split_first_mut() {
            others
                .iter_mut()
                .for_each(|other| other.compare_with(farfire));
        }
        let report = CellReport {
            cell: cell.clone(),
            encoded_bytes: encoded(cell)?,
            contenders,
        };
        Ok((report, samples))
    }

    fn one(&mut self, cell: &Cell, at: usize, round: u16) -> Result<Both, Complaint> {
        self.run = self.run.wrapping_add(1);
        let entrant = &self.entrants[at];
        let schedule = cell.schedule(self.run, clock::now() + HEAD_START);
        self.stage.begin(entrant.contender, cell, schedule)?;
        let threads = self.stage.client_threads();
        let run = Run::begin(End::Client, entrant.side.clone(), threads, cell, schedule)?;
        let name = entrant.contender.label(cell.kind);
        let of = self.options.repeat;
        if io::stderr().is_terminal() {
            while clock::now() < schedule.end {
                show(&run, name, round + 1, of, schedule.end);
                clock::sleep_until(schedule.end.min(clock::now() + FRAME));
            }
        }
        let client = run.finish();
        let server = self.stage.end()?;
        Ok(Both { client, server })
    }
}

/// The one line that refreshes itself, for people who wait at a terminal.
fn show(run: &Run, name: &str, round: u16, of: u16, end: u64) {
    let left = Duration::from_nanos(end.saturating_sub(clock::now())).as_secs_f64();
    let so_far = match run.arrivals() {
        Some(events) => format!("{events} events, "),
        None => String::new(),
    };
    let line = format!("\r\x1b[2Krun {round}/{of} {name}: {so_far}{left:.1} s left");
    let _ = io::stderr().write_all(line.as_bytes());
}

fn clear_line() {
    if io::stderr().is_terminal() {
        let _ = io::stderr().write_all(b"\r\x1b[2K");
    }
}

/// Both ends are ready by then, in nanoseconds.
const HEAD_START: u64 = 200_000_000;
const FRAME: u64 = 200_000_000;

const AFTER_HELP: &str = exit::help!(
    "\
How it measures:
  Every event has a time at which it is due, and is sent then whether or not earlier ones came back.
  Its latency counts from when it was due, so a server that stands still is charged for all it kept
  waiting. `uncorrected` counts from when it was sent, for comparison with tools that do. If the sender
  itself could not hold its schedule, the run is INVALID and the command fails. Percentiles that too few
  events carry are n/a: p99.99 needs 100,000 in a run.

Examples:
  farfire bench                                         reliable events, 64 bytes, 1000 a second
  farfire bench --kind unreliable --baseline all        what does it cost over quinn, and UDP?
  farfire bench --kind reliable,function --payload 16,1000,16k --md
  farfire bench --clients 100 --rate 60 --tick 60       as a game would send
  farfire bench --kind broadcast --clients 200 --rate 20
  farfire bench --net mobile_4g --seed 7                a phone on the move, the same one each time
  farfire bench --json > before.json                    then change something, and
  farfire compare before.json after.json
  farfire bench --svg latency.svg --hgrm latency.hgrm
  farfire bench --server 192.168.1.7:4433 --pin PIN --rate 100    any server; its echo has a limit

To see where time goes: perf record -g farfire bench --server in-process"
);
