//! How often the clock is looked at while handlers run.
//!
//! After each, until they have shown to be quick: asking what time it is takes as long as a small handler.
//! Knows neither the clock nor the turn.

use std::time::Duration;

/// Events of one remote after each other, whose handlers are quick: the clock is not asked after each.
#[derive(Default)]
pub(super) struct Run {
    remote: &'static str,
    /// Events since the clock was last looked at.
    unseen: u32,
    /// After how many it is looked at.
    stride: u32,
}

impl Run {
    pub(super) fn remote(&self) -> &'static str {
        self.remote
    }

    pub(super) fn is_of(&self, remote: &'static str) -> bool {
        std::ptr::eq(self.remote, remote)
    }

    /// Events that were given to handlers since the clock was last looked at.
    pub(super) fn unseen(&self) -> u32 {
        self.unseen
    }

    /// Whether there were any.
    pub(super) fn is_unseen(&self) -> bool {
        self.unseen > 0
    }

    /// Counts an event of `remote`, of so many bytes, that was given to its handlers; true if the clock is to be
    /// asked.
    #[inline]
    pub(super) fn count(&mut self, remote: &'static str, bytes: usize) -> bool {
        if !self.is_of(remote) {
            (self.remote, self.stride) = (remote, 1);
        }
        self.unseen += 1;
        self.unseen >= self.stride || bytes > SMALL
    }

    /// Those since the clock was last looked at took so long, all together.
    pub(super) fn look(&mut self, took: Duration) {
        self.stride = match took <= QUICK * self.unseen {
            true => (self.stride * 2).min(MOST_UNSEEN),
            false => 1,
        };
        self.unseen = 0;
    }
}

/// What the handlers of an event take at most if they are quick, together with everything else about it.
const QUICK: Duration = Duration::from_micros(2);
/// Events of more bytes say nothing of each other: decoding them takes its time.
const SMALL: usize = 512;
/// How many events whose handlers have been quick so far may run between two looks at the clock.
const MOST_UNSEEN: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    // One place each, as in the registry.
    static HIT: &str = "Hit";
    static MISS: &str = "Miss";
    const SOON: Duration = Duration::from_nanos(300);

    /// How many events of `remote` go by up to the next look, which finds that they took so long.
    fn until_look(run: &mut Run, remote: &'static str, each: Duration) -> u32 {
        let count = (1..).find(|_| run.count(remote, 40)).unwrap_or_default();
        run.look(each * count);
        count
    }

    #[test]
    fn quick_handlers_are_looked_at_less_and_less_often() {
        let mut run = Run::default();
        let looks: Vec<_> = (0..6).map(|_| until_look(&mut run, HIT, SOON)).collect();
        assert_eq!(looks, [1, 2, 4, 8, 8, 8]);
        assert!(!run.is_unseen());
    }

    #[test]
    fn one_that_was_slow_is_looked_at_each_time() {
        let mut run = Run::default();
        (0..6).for_each(|_| _ = until_look(&mut run, HIT, SOON));
        let slow = QUICK + SOON;
        assert_eq!(until_look(&mut run, HIT, slow), MOST_UNSEEN);
        assert_eq!(until_look(&mut run, HIT, slow), 1);
        assert_eq!(until_look(&mut run, HIT, slow), 1);
    }

    #[test]
    fn a_large_one_is_looked_at_at_once() {
        let mut run = Run::default();
        (0..6).for_each(|_| _ = until_look(&mut run, HIT, SOON));
        assert!(!run.count(HIT, SMALL));
        assert!(run.count(HIT, SMALL + 1));
    }

    #[test]
    fn one_that_is_not_known_yet_is_looked_at_at_once() {
        let mut run = Run::default();
        (0..6).for_each(|_| _ = until_look(&mut run, HIT, SOON));
        assert_eq!(until_look(&mut run, MISS, SOON), 1);
    }
}
