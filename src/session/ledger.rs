//! The ledger: what became of every event, per remote and connection.
//!
//! Two equations hold at any time. Sender: accepted = queued + sent + dropped. Receiver:
//! received = dispatched + held + dropped. Each counter has one writer at a time (the holder of the
//! outbox on the sending side, the connection's task on the receiving side); anyone may read.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Why an event went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropCause {
    /// The connection ended before the event was sent, or before it was dispatched.
    ConnectionEnded,
    /// A newer unreliable event took its place while the network had no room.
    Superseded,
    /// The player's outbox was full when a broadcast reached it.
    OutboxFull,
    /// The other side means something else by this remote's name.
    SignatureMismatch,
    /// The peer fired more often than its budget allows.
    RateLimit,
    /// Nobody listens yet, and the queue for early events was full.
    EarlyFull,
    /// As many handlers of this peer's events as may wait did, and no more could be kept for them.
    HandlersBusy,
    /// Every inbox that listens was full.
    InboxFull,
    /// The bytes are not the arguments of this remote.
    Undecodable,
    /// Nobody listens, and unreliable events are not kept.
    Unheard,
    /// A newer event of this remote had already arrived.
    Stale,
    /// The same event had already arrived.
    Duplicate,
    /// This side has not declared the remote, or not heard of it yet; unreliable events are not kept.
    Unannounced,
}

impl DropCause {
    /// Every cause, in the order of the counters.
    pub const ALL: [Self; 13] = [
        Self::ConnectionEnded,
        Self::Superseded,
        Self::OutboxFull,
        Self::SignatureMismatch,
        Self::RateLimit,
        Self::EarlyFull,
        Self::HandlersBusy,
        Self::InboxFull,
        Self::Undecodable,
        Self::Unheard,
        Self::Stale,
        Self::Duplicate,
        Self::Unannounced,
    ];
}

/// The counters of one remote on one connection.
#[derive(Debug, Default)]
pub(crate) struct RemoteLedger {
    accepted: AtomicU64,
    sent: AtomicU64,
    unsent: [AtomicU64; DropCause::ALL.len()],
    received: AtomicU64,
    dispatched: AtomicU64,
    held: AtomicU64,
    refused: [AtomicU64; DropCause::ALL.len()],
}

/// One writer at a time, so a plain load and store is enough; readers may lag by an instant.
fn add(counter: &AtomicU64, n: u64) -> u64 {
    let sum = counter.load(Relaxed).wrapping_add(n);
    counter.store(sum, Relaxed);
    sum
}

impl RemoteLedger {
    pub(crate) fn accept(&self) {
        add(&self.accepted, 1);
    }

    pub(crate) fn send(&self, n: u64) {
        add(&self.sent, n);
    }

    pub(crate) fn drop_unsent(&self, cause: DropCause, n: u64) {
        add(&self.unsent[cause as usize], n);
    }

    /// Books whatever is still queued as dropped: the connection is over.
    pub(crate) fn end_sending(&self) {
        let queued = self.queued();
        if queued > 0 {
            self.drop_unsent(DropCause::ConnectionEnded, queued);
        }
    }

    pub(crate) fn queued(&self) -> u64 {
        let dropped: u64 = self.unsent.iter().map(|count| count.load(Relaxed)).sum();
        let gone = self.sent.load(Relaxed) + dropped;
        self.accepted.load(Relaxed).saturating_sub(gone)
    }

    pub(crate) fn receive(&self) {
        add(&self.received, 1);
    }

    pub(crate) fn dispatch(&self) {
        add(&self.dispatched, 1);
    }

    pub(crate) fn hold(&self) {
        add(&self.held, 1);
    }

    pub(crate) fn release(&self) {
        add(&self.held, 1u64.wrapping_neg());
    }

    /// Counts a received event that goes no further, and says how many of this cause there were.
    pub(crate) fn refuse(&self, cause: DropCause) -> u64 {
        add(&self.refused[cause as usize], 1)
    }

    /// Books whatever went no further as dropped, be it held or what broke the rules: the connection
    /// is over.
    pub(crate) fn end_receiving(&self) {
        self.held.store(0, Relaxed);
        let refused: u64 = self.refused.iter().map(|count| count.load(Relaxed)).sum();
        let settled = self.dispatched.load(Relaxed) + refused;
        let rest = self.received.load(Relaxed).saturating_sub(settled);
        add(&self.refused[DropCause::ConnectionEnded as usize], rest);
    }

    fn snapshot(&self, remote: Cow<'static, str>) -> RemoteStats {
        let read = |counters: &[AtomicU64]| {
            let counts = DropCause::ALL.iter().zip(counters);
            counts
                .map(|(cause, count)| (*cause, count.load(Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        RemoteStats {
            remote,
            accepted: self.accepted.load(Relaxed),
            queued: self.queued(),
            sent: self.sent.load(Relaxed),
            unsent: read(&self.unsent),
            received: self.received.load(Relaxed),
            dispatched: self.dispatched.load(Relaxed),
            held: self.held.load(Relaxed),
            refused: read(&self.refused),
        }
    }
}

type Named = (Cow<'static, str>, Arc<RemoteLedger>);

/// All ledgers of one connection; a remote's appears with its first event.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    remotes: Mutex<Vec<Option<Named>>>,
}

impl Ledger {
    pub(crate) fn remote(&self, id: u32, name: impl Into<Cow<'static, str>>) -> Arc<RemoteLedger> {
        let name = name.into();
        let mut remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        let at = id as usize;
        if remotes.len() <= at {
            remotes.resize(at + 1, None);
        }
        let (known, ledger) = remotes[at].get_or_insert_with(Default::default);
        if known.is_empty() {
            *known = name;
        }
        ledger.clone()
    }

    pub(crate) fn snapshot(&self) -> Vec<RemoteStats> {
        let remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        remotes
            .iter()
            .flatten()
            .map(|(name, ledger)| ledger.snapshot(name.clone()))
            .collect()
    }

    /// The sums over all remotes.
    pub(crate) fn totals(&self) -> EventTotals {
        let mut totals = EventTotals::default();
        let remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, ledger) in remotes.iter().flatten() {
            totals.accepted += ledger.accepted.load(Relaxed);
            totals.sent += ledger.sent.load(Relaxed);
            totals.received += ledger.received.load(Relaxed);
            totals.dispatched += ledger.dispatched.load(Relaxed);
            totals.held += ledger.held.load(Relaxed);
            for cause in DropCause::ALL {
                totals.unsent[cause as usize] += ledger.unsent[cause as usize].load(Relaxed);
                totals.refused[cause as usize] += ledger.refused[cause as usize].load(Relaxed);
            }
        }
        totals
    }

    pub(crate) fn end_sending(&self) {
        let remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        remotes
            .iter()
            .flatten()
            .for_each(|(_, ledger)| ledger.end_sending());
    }

    pub(crate) fn end_receiving(&self) {
        let remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        remotes
            .iter()
            .flatten()
            .for_each(|(_, ledger)| ledger.end_receiving());
    }
}

/// What became of the events of all remotes on some connections.
///
/// Each counts as in [`RemoteStats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventTotals {
    /// Events that a `fire` on this side accepted; one for everyone counts once per player.
    pub accepted: u64,
    /// Of those, handed to QUIC.
    pub sent: u64,
    /// Events that arrived.
    pub received: u64,
    /// Of those, given to a handler or inbox.
    pub dispatched: u64,
    /// Of those, kept for a handler.
    pub held: u64,
    unsent: [u64; DropCause::ALL.len()],
    refused: [u64; DropCause::ALL.len()],
}

impl EventTotals {
    /// Events accepted and dropped on this side for `cause`.
    pub fn unsent(&self, cause: DropCause) -> u64 {
        self.unsent[cause as usize]
    }

    /// Events that arrived and were dropped for `cause`.
    pub fn refused(&self, cause: DropCause) -> u64 {
        self.refused[cause as usize]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.sent += other.sent;
        self.received += other.received;
        self.dispatched += other.dispatched;
        self.held += other.held;
        for at in 0..DropCause::ALL.len() {
            self.unsent[at] += other.unsent[at];
            self.refused[at] += other.refused[at];
        }
    }
}

/// What became of the events of one remote on one connection.
///
/// `accepted = queued + sent + unsent` and `received = dispatched + held + refused`, give or take
/// the event that is being counted while this is read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteStats {
    /// The remote's name; empty as long as this side has not heard what it is.
    pub remote: Cow<'static, str>,
    /// Events that a `fire` on this side accepted.
    pub accepted: u64,
    /// Of those, waiting on this side.
    pub queued: u64,
    /// Of those, handed to QUIC.
    pub sent: u64,
    /// Of those, dropped on this side, by cause.
    pub unsent: Vec<(DropCause, u64)>,
    /// Events that arrived.
    pub received: u64,
    /// Of those, given to a handler or inbox.
    pub dispatched: u64,
    /// Of those, kept for a handler that is not there yet.
    pub held: u64,
    /// Of those, dropped, by cause.
    pub refused: Vec<(DropCause, u64)>,
}

impl RemoteStats {
    /// Whether both equations hold.
    pub fn is_balanced(&self) -> bool {
        let sum = |drops: &[(DropCause, u64)]| drops.iter().map(|(_, count)| count).sum::<u64>();
        self.accepted == self.queued + self.sent + sum(&self.unsent)
            && self.received == self.dispatched + self.held + sum(&self.refused)
    }
}
