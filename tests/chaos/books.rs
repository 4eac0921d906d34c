//! The ledger of one connection as one side kept it, and what must be true of it.
//!
//! The equations are worked out here from the counts, and not asked of the library.

use std::{collections::BTreeMap, fmt, str::FromStr};

use farfire::{DropCause, LinkStats};

/// What one side of one connection counted, by remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books(pub(crate) BTreeMap<String, Entry>);

/// What became of the events of one remote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) accepted: u64,
    pub(crate) queued: u64,
    pub(crate) sent: u64,
    /// Dropped before they were sent.
    pub(crate) unsent: u64,
    pub(crate) received: u64,
    pub(crate) dispatched: u64,
    pub(crate) held: u64,
    /// Dropped after they were received.
    pub(crate) refused: u64,
    /// Of those, because the connection ended.
    pub(crate) cut_short: u64,
}

/// How much one side's books say about the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// In good order: what one side sent of a reliable remote, the other received.
    InOrder,
    /// The connection was lost, and with it what was on its way.
    Lost,
}

impl From<&LinkStats> for Books {
    fn from(stats: &LinkStats) -> Self {
        let sum = |drops: &[(DropCause, u64)]| drops.iter().map(|(_, count)| count).sum();
        let entry = |remote: &farfire::RemoteStats| Entry {
            accepted: remote.accepted,
            queued: remote.queued,
            sent: remote.sent,
            unsent: sum(&remote.unsent),
            received: remote.received,
            dispatched: remote.dispatched,
            held: remote.held,
            refused: sum(&remote.refused),
            cut_short: (remote.refused.iter())
                .filter(|(cause, _)| *cause == DropCause::ConnectionEnded)
                .map(|(_, count)| count)
                .sum(),
        };
        let remotes = stats.remotes.iter();
        Self(
            remotes
                .map(|remote| (remote.remote.to_string(), entry(remote)))
                .collect(),
        )
    }
}

impl Books {
    pub(crate) fn of(&self, remote: &str) -> Entry {
        self.0.get(remote).copied().unwrap_or_default()
    }

    /// Both equations of design 2.7, to the last event.
    pub(crate) fn assert_balanced(&self, whose: &str) {
        for (remote, entry) in &self.0 {
            let Entry {
                accepted,
                queued,
                sent,
                unsent,
                ..
            } = entry;
            assert_eq!(
                *accepted,
                queued + sent + unsent,
                "{whose}, {remote}: {entry:?}"
            );
            let Entry {
                received,
                dispatched,
                held,
                refused,
                ..
            } = entry;
            assert_eq!(
                *received,
                dispatched + held + refused,
                "{whose}, {remote}: {entry:?}"
            );
        }
    }

    /// The same after the end, when nothing waits any longer.
    pub(crate) fn assert_closed(&self, whose: &str) {
        self.assert_balanced(whose);
        for (remote, entry) in &self.0 {
            assert_eq!(
                (entry.queued, entry.held),
                (0, 0),
                "{whose}, {remote}: {entry:?}"
            );
        }
    }

    /// What arrived over there was sent from here, and in good order all of it did.
    pub(crate) fn assert_sent_to(&self, there: &Self, parting: Parting, way: &str) {
        let remotes = self.0.keys().chain(there.0.keys());
        for remote in remotes {
            let (out, got) = (self.of(remote), there.of(remote));
            assert!(
                got.received <= out.sent,
                "{way}, {remote}: {out:?}, {got:?}"
            );
            if parting == Parting::InOrder && is_reliable(remote) {
                assert_eq!(got.received, out.sent, "{way}, {remote}: {out:?}, {got:?}");
                assert_eq!(out.unsent, 0, "{way}, {remote}: {out:?}, {got:?}");
            }
        }
    }

    /// Adds those of another connection.
    pub(crate) fn add(&mut self, other: &Self) {
        for (remote, entry) in &other.0 {
            let sums = self.0.entry(remote.clone()).or_default();
            for (sum, count) in sums.counts_mut().into_iter().zip(entry.counts()) {
                *sum += count;
            }
        }
    }

    /// Totals, for a report.
    pub(crate) fn summary(&self) -> String {
        let of_kind = |reliable| {
            let entries = (self.0.iter()).filter(|(name, _)| is_reliable(name) == reliable);
            let mut sums = [0; 9];
            for (_, entry) in entries {
                (sums.iter_mut().zip(entry.counts())).for_each(|(sum, count)| *sum += count);
            }
            let [
                accepted,
                _,
                sent,
                unsent,
                received,
                dispatched,
                _,
                refused,
                _,
            ] = sums;
            format!(
                "{accepted} accepted = {sent} sent + {unsent} dropped, \
                 {received} received = {dispatched} dispatched + {refused} dropped"
            )
        };
        format!("reliable {}; unreliable {}", of_kind(true), of_kind(false))
    }
}

/// Unreliable remotes of these tests say so in their name.
pub(crate) fn is_reliable(remote: &str) -> bool {
    !remote.starts_with("Unreliable")
}

impl Entry {
    fn counts(&self) -> [u64; 9] {
        let mut copy = *self;
        copy.counts_mut().map(|count| *count)
    }

    fn counts_mut(&mut self) -> [&mut u64; 9] {
        [
            &mut self.accepted,
            &mut self.queued,
            &mut self.sent,
            &mut self.unsent,
            &mut self.received,
            &mut self.dispatched,
            &mut self.held,
            &mut self.refused,
            &mut self.cut_short,
        ]
    }
}

/// As one line, for another process.
impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (remote, entry)) in self.0.iter().enumerate() {
            let counts = entry.counts().map(|count| count.to_string());
            let end = if at == 0 { "" } else { ";" };
            write!(f, "{end}{remote} {}", counts.join(" "))?;
        }
        Ok(())
    }
}

impl FromStr for Books {
    type Err = std::num::ParseIntError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut books = Self::default();
        for part in line.split(';').filter(|part| !part.is_empty()) {
            let mut words = part.split(' ');
            let remote = words.next().unwrap_or_default();
            let mut entry = Entry::default();
            for (count, word) in entry.counts_mut().into_iter().zip(words) {
                *count = word.parse()?;
            }
            books.0.insert(remote.to_owned(), entry);
        }
        Ok(books)
    }
}

#[test]
fn books_are_read_as_they_were_written() {
    let mut entry = Entry::default();
    (1..)
        .zip(entry.counts_mut())
        .for_each(|(n, count)| *count = n);
    let books = Books([("A".into(), entry), ("B".into(), Entry::default())].into());
    assert_eq!(books.to_string().parse(), Ok(books));
}
