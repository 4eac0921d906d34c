//! What came of a run: histograms of nanoseconds, and counts.
//!
//! Everything here is a plain value that can travel between the two processes of a benchmark. Percentiles
//! that the number of samples does not carry are not given.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{clock, payload::Stamp, schedule::Schedule};

/// A histogram as value and count, for the way between processes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Samples(Vec<(u64, u64)>);

impl Samples {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        Self(
            recorded
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect(),
        )
    }

    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut histogram = empty();
        self.add_to(&mut histogram);
        histogram
    }

    pub(crate) fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (value, count) in &self.0 {
            histogram.saturating_record_n(*value, *count);
        }
    }
}

/// From 1 ns to an hour, three digits.
pub(crate) fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HOUR, 3).expect("the bounds are in order")
}

/// What the sending side noted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) sent: u64,
    /// Events that were not taken.
    pub(crate) refused: u64,
    /// How long after they were due events were sent.
    pub(crate) lateness: Samples,
    /// How late the last one was.
    last_late: u64,
    /// Nanoseconds spent sending.
    pub(crate) sending: u64,
}

/// A log being written.
pub(crate) struct Logger {
    log: Log,
    lateness: Histogram<u64>,
}

impl Logger {
    pub(crate) fn new() -> Self {
        Self {
            log: Log::default(),
            lateness: empty(),
        }
    }

    pub(crate) fn sent(&mut self, late: u64, took: u64, taken: bool) {
        self.log.sent += 1;
        self.log.refused += u64::from(!taken);
        self.lateness.saturating_record(late);
        self.log.last_late = late;
        self.log.sending += took;
    }

    pub(crate) fn finish(self) -> Log {
        Log {
            lateness: Samples::of(&self.lateness),
            ..self.log
        }
    }
}

impl Log {
    /// Why the schedule was not held, if it was not: more than one in a hundred events was later than
    /// `allowed`, or the last one was.
    pub(crate) fn fell_behind(&self, allowed: Duration) -> Option<Duration> {
        let allowed = allowed.as_nanos() as u64;
        let lateness = self.lateness.histogram();
        let worst = lateness.value_at_quantile(0.99).max(self.last_late);
        (worst > allowed).then(|| Duration::from_nanos(worst))
    }
}

/// What the receiving side noted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// From when events were due.
    pub(crate) latency: Samples,
    /// From when they were sent.
    pub(crate) uncorrected: Samples,
    pub(crate) arrived: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
    /// Nanoseconds: the mean absolute difference of successive latencies.
    pub(crate) jitter: f64,
    /// Equal spans of the measured time: samples, median and maximum of each.
    pub(crate) series: Vec<Span>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Seconds from the beginning of what is measured to that of the span.
    pub(crate) from_s: f64,
    pub(crate) samples: u64,
    pub(crate) p50_us: f64,
    pub(crate) max_us: f64,
}

/// Where a connection's arrivals go: to the recorder of the run, if there is one.
#[derive(Default)]
pub(crate) struct Sink(Mutex<Option<Arc<Recorder>>>);

impl Sink {
    pub(crate) fn set(&self, recorder: Option<Arc<Recorder>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = recorder;
    }

    pub(crate) fn arrived(&self, client: u32, event: &[u8]) {
        let now = clock::now();
        let recorder = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let (Some(recorder), Some(stamp)) = (recorder, Stamp::of(event)) {
            recorder.arrived(client, stamp, now);
        }
    }
}

/// Where arrivals go during a run.
pub(crate) struct Recorder {
    schedule: Schedule,
    /// Ping-pong: there is no schedule, and events are due when they are sent.
    closed: bool,
    arrivals: AtomicU64,
    state: Mutex<State>,
}

struct State {
    latency: Histogram<u64>,
    uncorrected: Histogram<u64>,
    spans: Vec<Histogram<u32>>,
    clients: HashMap<u32, Seen>,
    recording: Recording,
    jitter_sum: u64,
    jitter_count: u64,
    /// Told of every arrival, with the client: in a closed loop the next event waits for it.
    listener: Option<mpsc::Sender<u32>>,
}

/// Which events of one client have been seen.
#[derive(Default)]
struct Seen {
    seen: Vec<u64>,
    next: u32,
    last: Option<u64>,
}

impl Recorder {
    pub(crate) fn new(schedule: Schedule, closed: bool) -> Self {
        let bounds = || Histogram::new_with_bounds(1, HOUR, 2).expect("the bounds are in order");
        let spans = (0..SPANS).map(|_| bounds());
        Self {
            schedule,
            closed,
            arrivals: AtomicU64::new(0),
            state: Mutex::new(State {
                latency: empty(),
                uncorrected: empty(),
                spans: spans.collect(),
                clients: HashMap::new(),
                recording: Recording::default(),
                jitter_sum: 0,
                jitter_count: 0,
                listener: None,
            }),
        }
    }

    pub(crate) fn listen(&self) -> mpsc::Receiver<u32> {
        let (tell, hear) = mpsc::channel();
        self.state().listener = Some(tell);
        hear
    }

    /// Events that have arrived, warm-up included.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// An event of client `client` came at `now`: one that it sent, or that was sent to it.
    pub(crate) fn arrived(&self, client: u32, stamp: Stamp, now: u64) {
        if stamp.run != self.schedule.run {
            return;
        }
        // A broadcast has one sender, and everybody receives it.
        let sender = client % self.schedule.senders.max(1);
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        let due = match self.closed {
            true => stamp.sent,
            false => self.schedule.due(sender, stamp.sequence),
        };
        let mut state = self.state();
        if let Some(listener) = &state.listener {
            let _ = listener.send(client);
        }
        if due < self.schedule.measured_from || due >= self.schedule.end {
            return;
        }
        let state = &mut *state;
        let known = state.clients.entry(client).or_default();
        if !known.is_new(stamp.sequence) {
            state.recording.duplicates += 1;
            return;
        }
        state.recording.reordered += u64::from(stamp.sequence < known.next);
        known.next = known.next.max(stamp.sequence + 1);
        let latency = now.saturating_sub(due);
        if let Some(last) = known.last.replace(latency) {
            state.jitter_sum += latency.abs_diff(last);
            state.jitter_count += 1;
        }
        state.recording.arrived += 1;
        state.latency.saturating_record(latency);
        state
            .uncorrected
            .saturating_record(now.saturating_sub(stamp.sent));
        let measured = (self.schedule.end - self.schedule.measured_from).max(1);
        let at =
            u128::from(due - self.schedule.measured_from) * SPANS as u128 / u128::from(measured);
        state.spans[at as usize].saturating_record(latency);
    }

    pub(crate) fn finish(&self) -> Recording {
        let mut state = self.state();
        let length = (self.schedule.end - self.schedule.measured_from) as f64 / 1e9;
        let spans = state.spans.iter().enumerate();
        let series = spans.map(|(at, span)| Span {
            from_s: length * at as f64 / SPANS as f64,
            samples: span.len(),
            p50_us: span.value_at_quantile(0.5) as f64 / 1e3,
            max_us: span.max() as f64 / 1e3,
        });
        let recording = Recording {
            latency: Samples::of(&state.latency),
            uncorrected: Samples::of(&state.uncorrected),
            jitter: state.jitter_sum as f64 / state.jitter_count.max(1) as f64,
            series: series.filter(|span| span.samples > 0).collect(),
            ..state.recording.clone()
        };
        state.listener = None;
        recording
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn is_new(&mut self, sequence: u32) -> bool {
        let (word, bit) = (sequence as usize / 64, 1 << (sequence % 64));
        if word >= MOST_WORDS {
            return true;
        }
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }
}

/// Min, percentiles and max in microseconds; those that too few samples carry are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) samples: u64,
    #[serde(rename = "min_us")]
    pub(crate) min: f64,
    #[serde(rename = "mean_us")]
    pub(crate) mean: f64,
    #[serde(rename = "p50_us")]
    pub(crate) p50: Option<f64>,
    #[serde(rename = "p90_us")]
    pub(crate) p90: Option<f64>,
    #[serde(rename = "p99_us")]
    pub(crate) p99: Option<f64>,
    #[serde(rename = "p99.9_us")]
    pub(crate) p99_9: Option<f64>,
    #[serde(rename = "p99.99_us")]
    pub(crate) p99_99: Option<f64>,
    #[serde(rename = "max_us")]
    pub(crate) max: f64,
}

impl Figures {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let micros = |nanos: u64| (nanos as f64 / 100.0).round() / 10.0;
        let at = |quantile: f64| {
            let enough = histogram.len() as f64 * (1.0 - quantile) >= BEYOND - ROUNDING;
            enough.then(|| micros(histogram.value_at_quantile(quantile)))
        };
        Self {
            samples: histogram.len(),
            min: micros(histogram.min()),
            mean: (histogram.mean() / 100.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: micros(histogram.max()),
        }
    }

    /// By the names that a command line has for them.
    pub(crate) fn named(&self, name: &str) -> Option<f64> {
        match name {
            "min" => Some(self.min),
            "mean" => Some(self.mean),
            "p50" => self.p50,
            "p90" => self.p90,
            "p99" => self.p99,
            "p99.9" => self.p99_9,
            "p99.99" => self.p99_99,
            "max" => Some(self.max),
            _ => None,
        }
    }

    /// Those that are compared and shown, in order.
    pub(crate) const SHOWN: [&'static str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
}

/// Longer than anything is waited for, in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;
/// So many samples must lie beyond a percentile: a tenth of what is asked for there is chance.
const BEYOND: f64 = 10.0;
const ROUNDING: f64 = 1e-6;
/// Points of the time series.
const SPANS: usize = 60;
/// Duplicates are told apart up to so many events of one sender, times 64: a hundred million.
const MOST_WORDS: usize = 1_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> Recorder {
        let schedule = Schedule {
            start: 0,
            measured_from: 1_000_000_000,
            end: 3_000_000_000,
            rate: 1000.0,
            senders: 1,
            tick: None,
            run: 7,
        };
        Recorder::new(schedule, false)
    }

    fn stamp(sequence: u32, sent: u64) -> Stamp {
        Stamp {
            sequence,
            run: 7,
            sent,
        }
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let mut histogram = empty();
        (1..=10_000).for_each(|n| histogram.record(n * 1000).unwrap());
        let figures = Figures::of(&histogram);
        for (name, expected) in [("p50", 5000.0), ("p90", 9000.0), ("p99", 9900.0)] {
            let found = figures.named(name).unwrap();
            assert!((found / expected - 1.0).abs() < 0.002, "{name} is {found}");
        }
        assert!((figures.p99_9.unwrap() / 9990.0 - 1.0).abs() < 0.002);
        assert_eq!((figures.samples, figures.named("p97")), (10_000, None));
    }

    #[test]
    fn a_percentile_that_too_few_samples_carry_is_not_given() {
        let mut histogram = empty();
        histogram.record_n(1000, 99_999).unwrap();
        assert_eq!(Figures::of(&histogram).p99_99, None);
        assert!(Figures::of(&histogram).p99_9.is_some());
        histogram.record(1000).unwrap();
        assert!(Figures::of(&histogram).p99_99.is_some());
        assert_eq!(Figures::of(&empty()).p50, None);
    }

    #[test]
    fn warm_up_and_strangers_count_nowhere() {
        let recorder = recorder();
        recorder.arrived(0, stamp(999, 0), 2_000_000_000);
        let stranger = Stamp {
            run: 6,
            ..stamp(1500, 0)
        };
        recorder.arrived(0, stranger, 2_000_000_000);
        recorder.arrived(0, stamp(1000, 1_000_000_000), 1_000_020_000);
        let recording = recorder.finish();
        assert_eq!((recording.arrived, recorder.arrivals()), (1, 2));
        assert_eq!(recording.latency.histogram().len(), 1);
    }

    #[test]
    fn duplicates_and_overtaken_events_are_told_apart() {
        let recorder = recorder();
        for (sequence, latency) in [(1000, 10), (1002, 30), (1001, 20), (1001, 99), (1003, 50)] {
            let due = u64::from(sequence) * 1_000_000;
            recorder.arrived(0, stamp(sequence, due), due + latency * 1000);
        }
        // Another receiver of the same events has its own.
        recorder.arrived(1, stamp(1000, 1_000_000_000), 1_000_010_000);
        let recording = recorder.finish();
        assert_eq!((recording.arrived, recording.duplicates), (5, 1));
        assert_eq!(recording.reordered, 1);
        // 20, 10 and 30 us between successive ones.
        assert!(
            (recording.jitter - 20_000.0).abs() < 1.0,
            "{}",
            recording.jitter
        );
    }

    #[test]
    fn the_series_shows_when_it_was_slow() {
        let recorder = recorder();
        for sequence in 1000..3000 {
            let due = u64::from(sequence) * 1_000_000;
            let latency = if (2000..2100).contains(&sequence) {
                5_000_000
            } else {
                80_000
            };
            recorder.arrived(0, stamp(sequence, due), due + latency);
        }
        let series = recorder.finish().series;
        assert_eq!(series.len(), SPANS);
        assert_eq!(series.iter().map(|span| span.samples).sum::<u64>(), 2000);
        for span in series {
            let expected = match span.from_s {
                from if (1.0..1.09).contains(&from) => 5000.0,
                _ => 80.0,
            };
            assert!((span.max_us / expected - 1.0).abs() < 0.02, "{span:?}");
        }
    }

    #[test]
    fn samples_travel_without_loss() {
        let mut histogram = empty();
        for value in [1, 999, 123_456, 98_765_432] {
            histogram.record_n(value, 3).unwrap();
        }
        let text = serde_json::to_string(&Samples::of(&histogram)).unwrap();
        let samples: Samples = serde_json::from_str(&text).unwrap();
        assert_eq!(samples.histogram(), histogram);
    }
}
