//! Budgets: token buckets and the count of offences.
//!
//! Knows nothing about what is being counted; time is an argument.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::config::Rate;

/// A token bucket: `rate.burst` tokens at most, `rate.per_second` come back.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    /// In millionths of a token, so that slow rates do not lose what comes back between two looks.
    /// Below nothing after more was spent than there was.
    micro_tokens: i64,
    looked: Instant,
    /// What time it was when it was last asked: for most events, it still is.
    asked: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            micro_tokens: i64::from(rate.burst) * MICRO,
            looked: now,
            asked: now,
        }
    }

    /// Takes one token, if there is one.
    #[inline]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        // Always, not only when it is empty: what would come back to a full bucket is nobody's.
        self.refill(now);
        if self.micro_tokens < MICRO {
            return false;
        }
        self.micro_tokens -= MICRO;
        true
    }

    /// Takes that many, whether or not they are there: what is missing has to come back first.
    #[inline]
    pub(crate) fn spend(&mut self, tokens: usize) {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        let left = tokens.saturating_mul(MICRO);
        self.micro_tokens = self.micro_tokens.saturating_sub(left);
    }

    /// The same, but leaves no more than `debt` missing.
    pub(crate) fn fine(&mut self, tokens: u32, debt: u32, now: Instant) {
        self.refill(now);
        let least = self.micro_tokens.min(-i64::from(debt) * MICRO);
        let left = self.micro_tokens - i64::from(tokens) * MICRO;
        self.micro_tokens = left.max(least);
    }

    /// Whether all that there was at the last look has been spent.
    #[inline]
    pub(crate) fn is_used_up(&self) -> bool {
        self.micro_tokens <= 0
    }

    /// How long it takes until there is something to spend; `None` if there is.
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        if !self.is_used_up() {
            return None;
        }
        let micros = self.micro_tokens.unsigned_abs() / u64::from(self.rate.per_second.max(1)) + 1;
        Some(Duration::from_micros(micros))
    }

    /// Whether [`take`](Self::take) would take one.
    pub(crate) fn has(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.micro_tokens >= MICRO
    }

    /// Whether it is as if nothing had ever been taken.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.micro_tokens == i64::from(self.rate.burst) * MICRO
    }

    #[inline]
    fn refill(&mut self, now: Instant) {
        if now != self.asked {
            self.asked = now;
            self.refill_until(now);
        }
    }

    fn refill_until(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.looked);
        let micros = since.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(u64::from(since.subsec_micros()));
        let micros = micros.min(i64::MAX as u64);
        // One token a second is one micro-token a microsecond.
        let back = (micros as i64).saturating_mul(i64::from(self.rate.per_second));
        if back == 0 {
            return;
        }
        // Not `now`: the rest of a microsecond counts the next time.
        self.looked += Duration::from_micros(micros);
        let full = i64::from(self.rate.burst) * MICRO;
        self.micro_tokens = self.micro_tokens.saturating_add(back).min(full);
    }
}

/// Something that a client did and that no honest client does for long.
///
/// Each is dropped and counted; so many of all kinds within a minute
/// ([`offences_per_minute`](crate::Limits::offences_per_minute)), and the client is kicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// An event of this remote beyond the client's budget, or the remote's own.
    EventRate {
        /// The remote's name.
        remote: &'static str,
    },
    /// An event of this remote whose bytes are not its arguments.
    Undecodable {
        /// The remote's name.
        remote: &'static str,
    },
    /// A ping beyond the budget of events.
    PingRate,
    /// A stream that was opened for an event and taken back, beyond the budget of events.
    StreamRate,
    /// A call beyond those that may run and wait, or beyond its function's own rate.
    CallRate,
    /// A call of a function that there is not, whose bytes are no request or not the function's
    /// arguments, or which the client took back before it was whole.
    BadCall,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventRate { remote } => write!(f, "more events of {remote:?} than allowed"),
            Self::Undecodable { remote } => {
                write!(f, "events of {remote:?} that do not decode")
            }
            Self::PingRate => f.write_str("more pings than allowed"),
            Self::StreamRate => f.write_str("more streams taken back than allowed"),
            Self::CallRate => f.write_str("more calls than allowed"),
            Self::BadCall => f.write_str("calls that make no sense"),
        }
    }
}

/// Counts the offences of one peer in a window of one minute.
#[derive(Debug)]
pub(crate) struct Offences {
    allowed: u32,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    count: u32,
    since: Instant,
}

impl Offences {
    pub(crate) fn new(allowed: u32, now: Instant) -> Self {
        let window = Mutex::new(Window {
            count: 0,
            since: now,
        });
        Self { allowed, window }
    }

    /// Counts one more; true if that is one too many.
    pub(crate) fn one_too_many(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.since) >= WINDOW {
            window.since = now;
            window.count = 0;
        }
        window.count = window.count.saturating_add(1);
        window.count > self.allowed
    }
}

const MICRO: i64 = 1_000_000;
const WINDOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_burst_and_refills_at_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_second(10).burst(3), start);
        let taken = (0..5).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 3);
        let later = start + Duration::from_millis(250);
        let taken = (0..5).filter(|_| bucket.take(later)).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn a_bucket_that_was_not_used_for_long_holds_no_more_than_its_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_second(10).burst(3), start);
        for hours in 1..3 {
            let later = start + Duration::from_secs(hours * 3600);
            let taken = (0..10).filter(|_| bucket.take(later)).count();
            assert_eq!(taken, 3);
            // Nor if it was not full.
            let again = later + Duration::from_millis(200);
            assert!(bucket.take(again));
        }
    }

    #[test]
    fn a_slow_rate_loses_nothing_between_looks() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_second(1).burst(1), start);
        assert!(bucket.take(start));
        let taken = (1..=3_000)
            .filter(|ms| bucket.take(start + Duration::from_millis(*ms)))
            .count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn what_was_spent_beyond_the_burst_has_to_come_back_first() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_second(1000).burst(100), start);
        bucket.spend(90);
        assert!(!bucket.is_used_up());
        assert_eq!(bucket.wait(start), None);
        bucket.spend(510);
        assert!(bucket.is_used_up());
        let wait = bucket.wait(start).unwrap();
        assert!(wait > Duration::from_millis(500) && wait < Duration::from_millis(501));
        assert!(bucket.wait(start + Duration::from_millis(499)).is_some());
        assert_eq!(bucket.wait(start + wait), None);
        assert!(!bucket.is_used_up());
        bucket.spend(usize::MAX);
        assert!(bucket.wait(start + wait).is_some());
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = Bucket::new(Rate::per_second(1000).burst(1), start);
        assert!(bucket.take(start));
        assert!(!bucket.take(start - Duration::from_secs(5)));
    }

    #[test]
    fn offences_are_forgiven_after_a_minute() {
        let start = Instant::now();
        let offences = Offences::new(2, start);
        assert!(!offences.one_too_many(start));
        assert!(!offences.one_too_many(start));
        assert!(offences.one_too_many(start));
        assert!(!offences.one_too_many(start + WINDOW));
    }
}
