//! What every workload carries, and how its round trips are timed.

use std::time::{Duration, Instant};

/// Collects the time between one answer and the next.
pub(crate) struct Clock {
    last: Instant,
    pub(crate) samples: Vec<Duration>,
}

impl Clock {
    pub(crate) fn new(expected: usize) -> Self {
        Self {
            last: Instant::now(),
            samples: Vec::with_capacity(expected),
        }
    }

    pub(crate) fn tick(&mut self) -> usize {
        let now = Instant::now();
        self.samples.push(now - self.last);
        self.last = now;
        self.samples.len()
    }
}

/// As many bytes as a pose takes.
pub(crate) const PAYLOAD: [u8; 41] = [7; 41];
