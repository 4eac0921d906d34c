//! What became of the probes of one kind.
//!
//! Time is an argument; nothing here sends or prints.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bench::recording::{Figures, empty};

/// The probes of one kind, by number.
pub(super) struct Tally {
    sent: u64,
    /// When those were sent that have not come back.
    waiting: BTreeMap<u32, u64>,
    received: u64,
    duplicated: u64,
    reordered: u64,
    newest: Option<u32>,
    samples: Histogram<u64>,
    last: Option<u64>,
    jitter_sum: u64,
}

/// What an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The first one to its probe, after so many nanoseconds.
    After(u64),
    Duplicate,
}

/// What there is to say at the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// The mean absolute difference of successive ones.
    pub(super) jitter_us: f64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            waiting: BTreeMap::new(),
            received: 0,
            duplicated: 0,
            reordered: 0,
            newest: None,
            samples: empty(),
            last: None,
            jitter_sum: 0,
        }
    }

    pub(super) fn sent(&mut self, number: u32, now: u64) {
        self.sent += 1;
        self.waiting.insert(number, now);
    }

    pub(super) fn answered(&mut self, number: u32, now: u64) -> Answer {
        let Some(sent) = self.waiting.remove(&number) else {
            self.duplicated += 1;
            return Answer::Duplicate;
        };
        self.received += 1;
        self.reordered += u64::from(self.newest.is_some_and(|newest| number < newest));
        self.newest = self.newest.max(Some(number));
        let took = now.saturating_sub(sent);
        self.samples.saturating_record(took);
        if let Some(last) = self.last.replace(took) {
            self.jitter_sum += took.abs_diff(last);
        }
        Answer::After(took)
    }

    /// Whether this probe still waits.
    pub(super) fn waits_for(&self, number: u32) -> bool {
        self.waiting.contains_key(&number)
    }

    /// Whether any does.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn summary(&self) -> Summary {
        let mut figures = Figures::of(&self.samples);
        // A ping has few samples, and says how many: for p50, p90 and p99 it gives the nearest of them.
        let nearest = |quantile: f64| {
            let micros = self.samples.value_at_quantile(quantile) as f64 / 1e3;
            (self.received > 0).then_some((micros * 10.0).round() / 10.0)
        };
        figures.p50 = nearest(0.5);
        figures.p90 = nearest(0.9);
        figures.p99 = nearest(0.99);
        let steps = self.received.saturating_sub(1).max(1);
        Summary {
            sent: self.sent,
            received: self.received,
            lost: self.sent - self.received,
            duplicated: self.duplicated,
            reordered: self.reordered,
            figures,
            jitter_us: (self.jitter_sum as f64 / steps as f64 / 100.0).round() / 10.0,
        }
    }
}

impl Summary {
    /// A figure by its name on the command line.
    pub(super) fn named(&self, name: &str) -> Option<f64> {
        match name {
            "loss" => (self.sent > 0).then(|| 100.0 * self.lost as f64 / self.sent as f64),
            // Between two there is one difference.
            "jitter" => (self.received > 1).then_some(self.jitter_us),
            _ if self.received == 0 => None,
            name => self.figures.named(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn losses_duplicates_and_overtaken_probes_are_counted() {
        let mut tally = Tally::new();
        for number in 0..5 {
            tally.sent(number, u64::from(number) * 100 * MS);
        }
        assert_eq!(tally.answered(0, 10 * MS), Answer::After(10 * MS));
        tally.answered(2, 230 * MS);
        tally.answered(1, 240 * MS);
        assert_eq!(tally.answered(2, 250 * MS), Answer::Duplicate);
        tally.answered(4, 420 * MS);
        assert!(tally.waits_for(3) && tally.is_waiting());
        let summary = tally.summary();
        assert_eq!((summary.sent, summary.received, summary.lost), (5, 4, 1));
        assert_eq!((summary.duplicated, summary.reordered), (1, 1));
        assert_eq!(summary.named("loss"), Some(20.0));
        // 10, 30, 140, 20 ms: differences of 20, 110 and 120.
        assert!(
            (summary.jitter_us - 83_333.3).abs() < 0.1,
            "{}",
            summary.jitter_us
        );
        assert!((summary.named("max").unwrap() - 140_000.0).abs() < 200.0);
    }

    #[test]
    fn without_answers_there_are_no_figures() {
        let mut tally = Tally::new();
        assert_eq!(tally.summary().named("loss"), None);
        tally.sent(0, 0);
        let summary = tally.summary();
        assert_eq!(summary.named("loss"), Some(100.0));
        for name in ["min", "p50", "p99", "max", "jitter"] {
            assert_eq!(summary.named(name), None, "{name}");
        }
    }
}
