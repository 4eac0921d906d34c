//! One run of one cell at one end: what it sends, what it records and what it spends.
//!
//! Both ends of a benchmark do this, each in its own process where there are two.

use std::{
    sync::{Arc, mpsc::RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, Direction, Kind},
    clock,
    contender::Side,
    meter::{self, DRIVES, Spent, Threads},
    payload::Stamp,
    recording::{Log, Logger, Recorder, Recording},
    schedule::{Real, Schedule, generate},
};
use crate::exit::Complaint;

/// What one end notes of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Half {
    /// If it sent.
    pub(crate) log: Option<Log>,
    /// If it received what is measured.
    pub(crate) recording: Option<Recording>,
    pub(crate) spent: Spent,
    pub(crate) state: serde_json::Value,
}

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Server,
    Client,
}

/// A run under way.
pub(crate) struct Run {
    side: Arc<dyn Side>,
    schedule: Schedule,
    /// How many arrivals there are if everything arrives.
    expected: u64,
    /// How long nothing has to come before nothing more is expected.
    quiet: Duration,
    recorder: Option<Arc<Recorder>>,
    generator: Option<JoinHandle<Log>>,
    meter: JoinHandle<Spent>,
}

impl Run {
    pub(crate) fn begin(
        end: End,
        side: Arc<dyn Side>,
        threads: Threads,
        cell: &Cell,
        schedule: Schedule,
    ) -> Result<Self, Complaint> {
        side.load(cell)?;
        let goes_down = cell.direction == Direction::Down || cell.kind == Kind::Broadcast;
        let sends = goes_down == (end == End::Server);
        let records = (cell.direction == Direction::Up) == (end == End::Server);
        let recorder = records.then(|| Arc::new(Recorder::new(schedule, cell.closed)));
        side.sink().set(recorder.clone());
        let no_thread = |error: std::io::Error| {
            Complaint::new(
                format!("no thread to drive the benchmark: {error}"),
                "see `ulimit -u` for how many threads this user may have",
            )
        };
        let measured = (schedule.measured_from, schedule.end);
        let meter = meter::measure(side.clone(), recorder.clone(), threads, measured);
        let meter = meter.map_err(no_thread)?;
        let generator = match (sends, cell.closed, &recorder) {
            (false, ..) => None,
            (true, true, Some(recorder)) => {
                let (side, recorder) = (side.clone(), recorder.clone());
                Some(drive(move || ping_pong(schedule, &*side, &recorder)))
            }
            (true, ..) => {
                let side = side.clone();
                Some(drive(move || generate(schedule, &*side, &Real)))
            }
        };
        Ok(Self {
            side,
            schedule,
            expected: match cell.closed {
                true => 0,
                false => schedule.all().count() as u64 * cell.receivers(),
            },
            quiet: match cell.is_reliable() {
                true => QUIET_RELIABLE,
                false => QUIET,
            },
            recorder,
            generator: generator.transpose().map_err(no_thread)?,
            meter,
        })
    }

    /// Events that have arrived here; none if this end does not record. Looking costs the run nothing.
    pub(crate) fn arrivals(&self) -> Option<u64> {
        Some(self.recorder.as_ref()?.arrivals())
    }

    /// Waits for the end of the run and for what is still on its way.
    pub(crate) fn finish(self) -> Half {
        let log = self.generator.map(joined);
        if let Some(recorder) = &self.recorder {
            clock::sleep_until(self.schedule.end);
            let (mut seen, mut since) = (recorder.arrivals(), clock::now());
            while seen < self.expected && clock::now() - since < self.quiet.as_nanos() as u64 {
                thread::sleep(LOOK);
                let now = recorder.arrivals();
                if now > seen {
                    (seen, since) = (now, clock::now());
                }
            }
        }
        self.side.sink().set(None);
        Half {
            log,
            recording: self.recorder.map(|recorder| recorder.finish()),
            spent: joined(self.meter),
            state: self.side.state(),
        }
    }
}

fn drive(run: impl FnOnce() -> Log + Send + 'static) -> std::io::Result<JoinHandle<Log>> {
    thread::Builder::new()
        .name(format!("{DRIVES}pace"))
        .spawn(run)
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Closed loop: each client sends when its last event has come back, or was not heard of for long.
fn ping_pong(schedule: Schedule, side: &dyn Side, recorder: &Recorder) -> Log {
    let mut log = Logger::new();
    let back = recorder.listen();
    let clients = schedule.senders as usize;
    let mut sent = vec![(0u32, 0u64); clients];
    clock::sleep_until(schedule.start);
    let mut send = |client: usize, sent: &mut Vec<(u32, u64)>| {
        let (sequence, at) = &mut sent[client];
        *at = clock::now();
        let stamp = Stamp {
            sequence: *sequence,
            run: schedule.run,
            sent: *at,
        };
        let taken = side.send(client as u32, stamp);
        side.flush();
        if *at >= schedule.measured_from {
            log.sent(0, clock::now() - *at, taken);
        }
        *sequence += 1;
    };
    (0..clients).for_each(|client| send(client, &mut sent));
    while clock::now() < schedule.end {
        match back.recv_timeout(LOST) {
            Ok(client) => send(client as usize, &mut sent),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let late = clock::now().saturating_sub(LOST.as_nanos() as u64);
                for client in 0..clients {
                    if sent[client].1 < late {
                        send(client, &mut sent);
                    }
                }
            }
        }
    }
    log.finish()
}

/// How long nothing has to come before what is missing is lost.
const QUIET: Duration = Duration::from_millis(700);
/// Longer than QUIC takes to send something again, several times over.
const QUIET_RELIABLE: Duration = Duration::from_secs(4);
/// When a closed loop sends again without an answer.
const LOST: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);
