//! What is kept for later: events for which there is no handler yet, or none free.
//!
//! Bounded by number per remote, and by bytes per connection, which inboxes take from as well. Knows
//! nothing about handlers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;

use super::{Event, Session, Violation, ledger::DropCause};

/// Why an event is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// There was no handler: it is for the first one alone.
    Unheard,
    /// Its handlers had too much to do: it is for all of them.
    Busy,
}

impl Kept {
    fn cause(self) -> DropCause {
        match self {
            Self::Unheard => DropCause::EarlyFull,
            Self::Busy => DropCause::HandlersBusy,
        }
    }
}

/// Bytes that one connection keeps waiting in early queues and inboxes.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: AtomicUsize,
    limit: usize,
}

impl Held {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            limit,
        })
    }

    /// Takes room for `bytes` more, if there is.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let most = self.limit.saturating_sub(bytes);
        let fits = |now: usize| (bytes <= self.limit && now <= most).then_some(now + bytes);
        self.bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
            .is_ok()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there is room for `bytes` if everything else goes.
    pub(crate) fn could_take(&self, bytes: usize) -> bool {
        bytes <= self.limit
    }

    /// Takes back what was given back a moment ago, whether or not somebody else was quicker.
    fn retake(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Session {
    /// Whether an earlier event of this remote still waits for a handler.
    pub(crate) fn is_held(&self, id: u32) -> bool {
        self.remotes
            .get(id)
            .is_some_and(|inbound| !inbound.early.is_empty())
    }

    /// The remotes that have events waiting for a handler.
    pub(crate) fn held(&self) -> Vec<u32> {
        let held = self
            .remotes
            .iter()
            .filter(|(_, inbound)| !inbound.early.is_empty());
        held.map(|(id, _)| id).collect()
    }

    /// Keeps an event for later; the newest is dropped when there is no room (R30-R36).
    pub(crate) fn hold(
        &mut self,
        event: &Event<'_>,
        kept: Kept,
        now: Instant,
    ) -> Result<(), Violation> {
        let size = event.payload.len() + HELD_OVERHEAD;
        let Some(inbound) = self.remotes.get_mut(event.id) else {
            return Ok(());
        };
        if inbound.early.len() >= self.early_events || !self.held.take(size) {
            return self.refuse(event.id, kept.cause(), now);
        }
        // A copy: a slice would keep the whole packet it came in alive.
        inbound
            .early
            .push_back((Bytes::copy_from_slice(event.payload), kept));
        inbound.ledger.hold();
        Ok(())
    }

    /// Keeps an event behind earlier ones of its remote whose turn is over, whether or not there is room:
    /// nothing more is read before they are through, so it is the only one.
    pub(crate) fn hold_behind(&mut self, event: &Event<'_>) {
        if let Some(inbound) = self.remotes.get_mut(event.id) {
            self.held.retake(event.payload.len() + HELD_OVERHEAD);
            inbound.ledger.hold();
            let copy = Bytes::copy_from_slice(event.payload);
            inbound.early.push_back((copy, Kept::Busy));
        }
    }

    /// Takes back the oldest event that waits for a handler of `id`, and why it does.
    pub(crate) fn release(&mut self, id: u32) -> Option<(Bytes, Kept)> {
        let inbound = self.remotes.get_mut(id)?;
        let (payload, kept) = inbound.early.pop_front()?;
        inbound.ledger.release();
        self.held.give_back(payload.len() + HELD_OVERHEAD);
        Some((payload, kept))
    }

    /// Puts an event of `id` back that [`release`](Self::release) gave and nobody took.
    pub(crate) fn put_back(&mut self, id: u32, payload: Bytes, kept: Kept) {
        if let Some(inbound) = self.remotes.get_mut(id) {
            self.held.retake(payload.len() + HELD_OVERHEAD);
            inbound.ledger.hold();
            inbound.early.push_front((payload, kept));
        }
    }
}

/// What keeping an event costs beside its bytes.
pub(super) const HELD_OVERHEAD: usize = 64;
