//! Unreliable events that wait for the network: the newest win.
//!
//! Knows nothing of ledgers: which events were superseded is the outbox's to count.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};

use super::{growth::Growth, outbox::Outgoing};
use crate::wire::datagram::put_datagram_event;

/// Unreliable events in the order they were fired; the oldest give way when there is no room.
#[derive(Debug, Default)]
pub(super) struct Unreliable {
    buffer: BytesMut,
    /// What is in `buffer`.
    events: VecDeque<Waiting>,
    limit: usize,
    growth: Growth,
    /// Bytes that were in `buffer` and are not any more.
    gone: u64,
    /// Events that were left behind together, the oldest first.
    batches: VecDeque<Batch>,
}

/// An unreliable event that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    id: u32,
    /// As it is framed.
    len: usize,
    /// Whoever fired it waited for room.
    patient: bool,
}

/// Unreliable events that the network has had no room for since the same moment.
#[derive(Debug)]
struct Batch {
    since: Instant,
    /// How much is gone when they are.
    end: u64,
}

impl Unreliable {
    /// Has room for `limit` bytes, or for one event that is larger.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether nothing has to give way; an event larger than all of the room may go alone.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.events.is_empty() || self.buffer.len() + len <= self.limit
    }

    /// Takes an event, which takes `len` as it is framed.
    pub(super) fn push(
        &mut self,
        event: &Outgoing<'_>,
        sequence: u32,
        len: usize,
        mut superseded: impl FnMut(u32),
    ) {
        let (id, payload) = (event.id, event.payload);
        if self.buffer.capacity() - self.buffer.len() < len {
            self.buffer.reserve(self.growth.next(len, STEP));
        }
        self.growth.used = true;
        put_datagram_event(&mut self.buffer, id, sequence, payload);
        self.events.push_back(Waiting {
            id,
            len,
            patient: event.patient,
        });
        while self.buffer.len() > self.limit && self.events.len() > 1 {
            self.give_way(&mut superseded);
        }
    }

    /// Drops the oldest.
    fn give_way(&mut self, superseded: &mut impl FnMut(u32)) {
        if let Some(oldest) = self.events.pop_front() {
            self.buffer.advance(oldest.len);
            self.gone += oldest.len as u64;
            superseded(oldest.id);
        }
    }

    /// As [`Outbox::age_unreliable`](super::outbox::Outbox::age_unreliable).
    pub(super) fn age(&mut self, now: Instant, most: Duration, mut superseded: impl FnMut(u32)) {
        let end = self.gone + self.buffer.len() as u64;
        let crowded = self.batches.len() >= MOST_BATCHES;
        match self.batches.back_mut() {
            // So many ages pile up only behind an event that somebody waits for.
            Some(last) if crowded => last.end = end,
            // What a program fires in one go belongs together, however long it takes.
            Some(last) if now.saturating_duration_since(last.since) < ONE_GO => last.end = end,
            Some(last) if last.end == end => {}
            _ => self.batches.push_back(Batch { since: now, end }),
        }
        while let [oldest, _, ..] = self.batches.make_contiguous() {
            let end = oldest.end;
            if self.gone < end && now.saturating_duration_since(oldest.since) < most {
                return;
            }
            while self.gone < end {
                if self.events.front().is_none_or(|event| event.patient) {
                    return;
                }
                self.give_way(&mut superseded);
            }
            self.batches.pop_front();
        }
    }

    pub(super) fn take(&mut self, limit: usize, mut sent: impl FnMut(u32)) -> Option<Bytes> {
        let mut total = 0;
        while let Some(event) = self.events.front() {
            if total > 0 && total + event.len > limit {
                break;
            }
            total += event.len;
            sent(event.id);
            self.events.pop_front();
        }
        self.gone += total as u64;
        (total > 0).then(|| self.buffer.split_to(total).freeze())
    }

    /// Gives back the room if there was no event since this was last called.
    pub(super) fn give_back(&mut self) {
        if !self.growth.was_used() && self.events.is_empty() {
            (self.buffer, self.events) = Default::default();
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Room for them comes to grow by this much; there are few.
const STEP: usize = 8 * 1024;
/// Events that are left behind within this time of each other are of the same age.
const ONE_GO: Duration = Duration::from_millis(4);
/// More ages than this are not told apart.
const MOST_BATCHES: usize = 16;
