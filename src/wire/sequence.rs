//! Sequence numbers of unreliable events: which arrived before, and which came late.
//!
//! One [`DuplicateWindow`] per remote, direction and connection. Knows nothing about payloads, and drops
//! nothing itself: `latest_wins` is the caller's choice to ignore what is [`Freshness::Late`].

/// Remembers which of the newest 64 sequence numbers have been seen.
///
/// Numbers wrap: of two, the newer is the one that is less than 2^31 ahead of the other. The first
/// number may be any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DuplicateWindow {
    newest: u32,
    /// Bit `n` stands for `newest - n`; zero until the first event.
    seen: u64,
}

/// How an event stands to those of the same remote that arrived before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Newer than all before it.
    New,
    /// Overtaken by a newer one, but seen for the first time.
    Late,
    /// Seen before: to be dropped.
    Duplicate,
    /// Too far behind to know whether it was seen before: to be dropped.
    TooOld,
}

impl DuplicateWindow {
    /// Records `sequence` as seen and returns how it stands to those before it.
    #[inline]
    pub(crate) fn accept(&mut self, sequence: u32) -> Freshness {
        let ahead = sequence.wrapping_sub(self.newest);
        if self.seen == 0 || (1..HALF).contains(&ahead) {
            // Shifting by 64 and more is no shift in Rust: nothing of the old window is left then.
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.newest = sequence;
            return Freshness::New;
        }
        let behind = self.newest.wrapping_sub(sequence);
        if behind >= u64::BITS {
            return Freshness::TooOld;
        }
        let bit = 1 << behind;
        if self.seen & bit != 0 {
            return Freshness::Duplicate;
        }
        self.seen |= bit;
        Freshness::Late
    }
}

/// From this distance on, "ahead" is "behind".
const HALF: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn run(sequences: &[u32]) -> Vec<Freshness> {
        let mut window = DuplicateWindow::default();
        sequences
            .iter()
            .map(|&sequence| window.accept(sequence))
            .collect()
    }

    #[test]
    fn in_order() {
        assert_eq!(run(&[0, 1, 2]), [Freshness::New; 3]);
    }

    #[test]
    fn late_once_then_duplicate() {
        use Freshness::{Duplicate, Late, New};
        assert_eq!(
            run(&[5, 7, 6, 6, 7, 5, 8]),
            [New, New, Late, Duplicate, Duplicate, Duplicate, New]
        );
    }

    #[test]
    fn the_first_may_be_any_and_older_ones_may_follow() {
        use Freshness::{Late, New, TooOld};
        assert_eq!(run(&[1000, 937, 936]), [New, Late, TooOld]);
        assert_eq!(run(&[0, u32::MAX, u32::MAX - 63]), [New, Late, TooOld]);
    }

    #[test]
    fn a_jump_empties_the_window() {
        use Freshness::{Duplicate, Late, New, TooOld};
        assert_eq!(run(&[0, 64, 0, 1, 1]), [New, New, TooOld, Late, Duplicate]);
        assert_eq!(run(&[0, 63, 0]), [New, New, Duplicate]);
        assert_eq!(run(&[0, HALF - 1, HALF]), [New; 3]);
    }

    #[test]
    fn numbers_wrap() {
        use Freshness::{Duplicate, New, TooOld};
        assert_eq!(
            run(&[u32::MAX - 1, u32::MAX, 0, 1, u32::MAX, 0]),
            [New, New, New, New, Duplicate, Duplicate]
        );
        assert_eq!(run(&[0, HALF]), [New, TooOld]);
    }

    proptest! {
        #[test]
        fn nothing_is_new_or_late_twice(start: u32, steps in proptest::collection::vec(-80i32..80, 1..200)) {
            let mut window = DuplicateWindow::default();
            let (mut seen, mut at) = (HashSet::new(), start);
            for step in steps {
                at = at.wrapping_add_signed(step);
                let first = seen.insert(at);
                match window.accept(at) {
                    Freshness::New | Freshness::Late => prop_assert!(first),
                    Freshness::Duplicate => prop_assert!(!first),
                    Freshness::TooOld => {}
                }
            }
        }
    }
}
