//! The schedule: when each event is to be sent, whatever becomes of the ones before it.
//!
//! This is what makes the load *open loop*. Latency counts from the time at which an event was due, so a
//! server that stands still for a second is charged for every event of that second, and not only for the
//! one that found it so. Knows nothing about what sends the events.

use std::{thread, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    clock,
    payload::Stamp,
    recording::{Log, Logger},
};

/// When the events of a run are due. Times are nanoseconds of [`clock`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// When the first event is due.
    pub(crate) start: u64,
    /// Events before this are sent and not counted.
    pub(crate) measured_from: u64,
    /// When the last event has been due.
    pub(crate) end: u64,
    /// Events per second of each sender.
    pub(crate) rate: f64,
    /// Senders, each with events of its own.
    pub(crate) senders: u32,
    /// Where events leave in bursts: how many bursts a second.
    pub(crate) tick: Option<f64>,
    pub(crate) run: u16,
}

/// One event to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) sender: u32,
    pub(crate) sequence: u32,
    pub(crate) at: u64,
}

impl Schedule {
    /// When event `sequence` of `sender` is due.
    pub(crate) fn due(&self, sender: u32, sequence: u32) -> u64 {
        let seconds = match self.tick {
            // All senders at the tick, as games do.
            Some(tick) => (f64::from(sequence) * tick / self.rate + ROUNDING).floor() / tick,
            // Senders take turns, so that one's events do not wait for another's.
            None => {
                let turn = f64::from(sender) / f64::from(self.senders.max(1));
                (f64::from(sequence) + turn) / self.rate
            }
        };
        self.start + (seconds * 1e9) as u64
    }

    /// The events of all senders, in the order in which they are due.
    pub(crate) fn all(self) -> impl Iterator<Item = Due> {
        let events = (0..).flat_map(move |sequence| {
            (0..self.senders).map(move |sender| Due {
                sender,
                sequence,
                at: self.due(sender, sequence),
            })
        });
        events.take_while(move |due| due.at < self.end)
    }

    /// How many of them count.
    pub(crate) fn measured(&self) -> u64 {
        let counts = |time: u64| (0..self.senders).map(move |sender| self.before(sender, time));
        let (all, warm_up): (u64, u64) = (
            counts(self.end).sum(),
            counts(self.measured_from.min(self.end)).sum(),
        );
        all - warm_up
    }

    /// How many events of `sender` are due before `time`.
    fn before(&self, sender: u32, time: u64) -> u64 {
        let guess = time.saturating_sub(self.start) as f64 / 1e9 * self.rate;
        let slack = self.tick.map_or(2.0, |tick| self.rate / tick + 2.0);
        let mut sequence = (guess - slack).max(0.0) as u32;
        while self.due(sender, sequence) < time {
            sequence += 1;
        }
        u64::from(sequence)
    }
}

/// What events are sent through.
pub(crate) trait Send {
    /// Sends one event; false if it was not taken.
    fn send(&self, sender: u32, stamp: Stamp) -> bool;
    /// A burst is complete.
    fn flush(&self);
}

/// Time, as the generator sees it.
pub(crate) trait Time {
    fn now(&self) -> u64;
    fn wait_until(&self, time: u64);
}

/// Sends every event of the schedule when it is due, or as soon after as it can; none is left out.
pub(crate) fn generate(
    schedule: Schedule,
    through: &(impl Send + ?Sized),
    time: &impl Time,
) -> Log {
    let mut log = Logger::new();
    let mut burst = None;
    for due in schedule.all() {
        if time.now() < due.at {
            if burst.take().is_some() {
                through.flush();
            }
            time.wait_until(due.at);
        }
        let sent = time.now();
        let stamp = Stamp {
            sequence: due.sequence,
            run: schedule.run,
            sent,
        };
        let taken = through.send(due.sender, stamp);
        burst = Some(());
        if due.at >= schedule.measured_from {
            log.sent(sent.saturating_sub(due.at), time.now() - sent, taken);
        }
    }
    through.flush();
    log.finish()
}

/// The machine's time.
pub(crate) struct Real;

impl Time for Real {
    fn now(&self) -> u64 {
        clock::now()
    }

    /// Sleeps most of the time and yields for the rest: a sleep ends late, by more than what is measured.
    fn wait_until(&self, time: u64) {
        let left = time.saturating_sub(clock::now());
        if left > OVERSLEEP {
            thread::sleep(Duration::from_nanos(left - OVERSLEEP));
        }
        while clock::now() < time {
            thread::yield_now();
        }
    }
}

/// How late a sleeping thread wakes, in nanoseconds.
const OVERSLEEP: u64 = 120_000;
/// What a product of two rates may be short of the whole number that it is.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::bench::recording::Recorder;

    const SECOND: u64 = 1_000_000_000;

    fn schedule(rate: f64, tick: Option<f64>) -> Schedule {
        Schedule {
            start: SECOND,
            measured_from: 2 * SECOND,
            end: 4 * SECOND,
            rate,
            senders: 3,
            tick,
            run: 1,
        }
    }

    #[test]
    fn events_are_due_in_order_and_all_of_them_counted() {
        for (rate, tick) in [(1000.0, None), (90.0, Some(60.0)), (7.0, Some(20.0))] {
            let schedule = schedule(rate, tick);
            let all: Vec<_> = schedule.all().collect();
            assert!(all.is_sorted_by_key(|due| due.at), "{rate} {tick:?}");
            let measured = all.iter().filter(|due| due.at >= 2 * SECOND).count();
            assert_eq!(measured as u64, schedule.measured(), "{rate} {tick:?}");
        }
        assert_eq!(schedule(1000.0, None).measured(), 2 * 1000 * 3);
    }

    #[test]
    fn a_tick_sends_its_events_together() {
        let schedule = schedule(120.0, Some(60.0));
        let at: Vec<_> = (0..6).map(|sequence| schedule.due(0, sequence)).collect();
        assert_eq!(at[0], at[1]);
        assert_eq!(at[2], at[3]);
        assert!(at[2] - at[1] > 16_000_000 && at[2] - at[1] < 17_000_000);
        assert_eq!(schedule.due(2, 4), at[4], "all senders tick together");
    }

    /// A network in which every event comes back at once, but for one second in which none does.
    struct Stalls<'a> {
        now: Cell<u64>,
        recorder: &'a Recorder,
        /// Whether sending takes as long as the stall lasts, as it does where a generator waits for
        /// replies.
        blocks: bool,
    }

    const STALL: std::ops::Range<u64> = 3 * SECOND..4 * SECOND;

    impl Send for Stalls<'_> {
        fn send(&self, sender: u32, stamp: Stamp) -> bool {
            let now = self.now.get();
            let back = match STALL.contains(&now) {
                true => STALL.end,
                false => now,
            };
            if self.blocks {
                self.now.set(back);
            }
            self.recorder.arrived(sender, stamp, back + 50_000);
            true
        }

        fn flush(&self) {}
    }

    impl Time for Stalls<'_> {
        fn now(&self) -> u64 {
            self.now.get()
        }

        fn wait_until(&self, time: u64) {
            self.now.set(time.max(self.now.get()));
        }
    }

    /// What a stall of one second in ten does to the figures, if the generator waits for it and if not.
    fn stalled(blocks: bool) -> (Log, super::super::recording::Recording) {
        let schedule = Schedule {
            start: SECOND,
            measured_from: SECOND,
            end: 11 * SECOND,
            rate: 1000.0,
            senders: 1,
            tick: None,
            run: 1,
        };
        let recorder = Recorder::new(schedule, false);
        let network = Stalls {
            now: Cell::new(0),
            recorder: &recorder,
            blocks,
        };
        let log = generate(schedule, &network, &network);
        (log, recorder.finish())
    }

    #[test]
    fn a_stalled_server_is_charged_for_every_event_that_was_due() {
        for blocks in [false, true] {
            let (_, recording) = stalled(blocks);
            let latency = recording.latency.histogram();
            assert_eq!(latency.len(), 10_000);
            // One second in ten: nine tenths see nothing of it, the rest wait half of it on average.
            assert!(latency.value_at_quantile(0.899) < 60_000);
            let p95 = latency.value_at_quantile(0.95);
            assert!((450_000_000..550_000_000).contains(&p95), "{p95}");
            assert!(latency.max() > 990_000_000);
        }
    }

    #[test]
    fn a_generator_that_waited_shows_in_its_lateness_and_not_in_what_it_saw() {
        let (log, recording) = stalled(true);
        // The omission: counted from when events were sent, one of ten thousand met the stall.
        let seen = recording.uncorrected.histogram();
        assert!(seen.value_at_quantile(0.999) < 60_000);
        assert!(log.lateness.histogram().max() > 990_000_000);
        assert!(log.fell_behind(Duration::from_millis(10)).is_some());
        let (log, _) = stalled(false);
        assert!(log.fell_behind(Duration::from_millis(10)).is_none());
    }
}
