//! The outbox: events accepted for one peer and not yet handed to the network.
//!
//! Plain memory: it knows nothing about streams or threads, and is told the time. Reliable events are appended to the
//! buffer of their lane; unreliable ones to one small buffer in which the newest win.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    remote::{Overflow, Policy, RemoteKind},
    session::{
        growth::Growth,
        ledger::{DropCause, Ledger, RemoteLedger},
        unreliable::Unreliable,
    },
    wire::{
        self,
        control::Control,
        datagram::datagram_event_len,
        frame::{Deframer, frame_overhead, put_frame},
        prelude::StreamPrelude,
        remote::Announcement,
    },
};

/// An event on its way out, encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) kind: RemoteKind,
    pub(crate) policy: &'a Policy,
    pub(crate) payload: &'a [u8],
    /// Whoever fires waits for room: an unreliable event is refused where it would supersede others.
    pub(crate) patient: bool,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    lanes: Vec<Lane>,
    unordered: VecDeque<(u32, Bytes)>,
    unreliable: Unreliable,
    /// As with lanes.
    unreliable_blocked: bool,
    /// Events accepted for the default lane so far: the barrier of a call.
    barrier: u64,
    /// Bytes of reliable events accepted and not yet written to a stream.
    bytes: usize,
    limit: usize,
    /// The same for what was accepted for everyone.
    broadcast_limit: usize,
    remotes: Vec<Option<Out>>,
    ledger: Arc<Ledger>,
    /// The highest id that the peer has been told of.
    announced: u32,
    /// A lane that shares the default one because there are too many, until somebody says so.
    lane_too_many: Option<&'static str>,
    closed: bool,
}

/// The sending side of one remote.
#[derive(Debug)]
struct Out {
    sequence: u32,
    ledger: Arc<RemoteLedger>,
}

#[derive(Debug, Default)]
struct Lane {
    name: &'static str,
    buffer: BytesMut,
    credit: usize,
    tally: Tally,
    /// Full pieces, before what is in `buffer`.
    ready: VecDeque<Chunk>,
    growth: Growth,
    /// Whoever takes out has more than the network takes, and comes again when it takes more.
    blocked: bool,
}

/// A piece of a lane, the credit that its events took, and how many of which remote are in it.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    credit: usize,
    tally: Tally,
}

impl Chunk {
    /// Bytes that are no events, and took no credit.
    pub(crate) fn of(bytes: Bytes) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

/// How many events of which remote, in runs; mostly there is one run, which takes no allocation.
#[derive(Debug, Default)]
struct Tally {
    last: (u32, u64),
    before: Vec<(u32, u64)>,
}

impl Tally {
    fn add(&mut self, id: u32) {
        if self.last.0 != id {
            if self.last.1 > 0 {
                self.before.push(self.last);
            }
            self.last = (id, 0);
        }
        self.last.1 += 1;
    }

    fn runs(&self) -> impl Iterator<Item = (u32, u64)> {
        self.before
            .iter()
            .copied()
            .chain([self.last])
            .filter(|(_, count)| *count > 0)
    }
}

impl Outbox {
    pub(crate) fn new(limit: usize, unreliable_limit: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            lanes: vec![Lane::default()],
            unordered: VecDeque::new(),
            unreliable: Unreliable::new(unreliable_limit),
            unreliable_blocked: false,
            barrier: 0,
            bytes: 0,
            limit,
            broadcast_limit: limit.saturating_mul(BROADCAST_FACTOR),
            remotes: Vec::new(),
            ledger,
            announced: 0,
            lane_too_many: None,
            closed: false,
        }
    }

    /// Gives room for `bytes` of broadcasts on top of everything else, or four times the limit if that
    /// is more: whatever the log of broadcasts holds must not be too much for a player that keeps up.
    pub(crate) fn with_room_for_broadcasts(mut self, bytes: usize) -> Self {
        let room = self.limit.saturating_add(bytes);
        self.broadcast_limit = self.broadcast_limit.max(room);
        self
    }

    /// Takes an event, or says why not; what is not taken is not counted.
    pub(crate) fn push(&mut self, event: &Outgoing<'_>) -> Result<(), PushError> {
        self.push_within(event, self.limit)
    }

    /// The same for an event that was accepted for everyone: this player may be behind by more.
    pub(crate) fn push_broadcast(&mut self, event: &Outgoing<'_>) -> Result<(), PushError> {
        self.push_within(event, self.broadcast_limit)
    }

    fn push_within(&mut self, event: &Outgoing<'_>, limit: usize) -> Result<(), PushError> {
        if self.closed {
            return Err(PushError::Closed);
        }
        if event.kind == RemoteKind::Unreliable {
            return self.push_unreliable(event);
        }
        let size = event.payload.len() + frame_overhead(event.id, event.payload.len());
        // A message larger than the whole outbox may go alone, or it could never go at all.
        if self.bytes > 0 && self.bytes + size > limit {
            return Err(PushError::Full {
                queued: self.bytes,
                limit,
                disconnect: event.policy.overflow == Overflow::Disconnect,
            });
        }
        self.bytes += size;
        let out = remote(&mut self.remotes, &self.ledger, event.id, event.name);
        out.ledger.accept();
        if event.policy.unordered {
            let mut bytes = Vec::with_capacity(size + 1);
            StreamPrelude::Event { remote: event.id }.encode(&mut bytes);
            bytes.extend_from_slice(event.payload);
            // Counted as what will be written, so that the credit comes back whole.
            self.bytes = self.bytes - size + bytes.len();
            self.unordered.push_back((event.id, bytes.into()));
            return Ok(());
        }
        let lane = self.lane(event.policy.lane);
        if lane == 0 {
            self.barrier += 1;
        }
        self.lanes[lane].push(event.id, event.payload, size);
        Ok(())
    }

    fn push_unreliable(&mut self, event: &Outgoing<'_>) -> Result<(), PushError> {
        let out = remote(&mut self.remotes, &self.ledger, event.id, event.name);
        let sequence = out.sequence;
        let len = datagram_event_len(event.id, sequence, event.payload.len());
        if event.patient && !self.unreliable.has_room(len) {
            return Err(PushError::Full {
                queued: self.unreliable.len(),
                limit: self.unreliable.limit(),
                disconnect: false,
            });
        }
        out.sequence = sequence.wrapping_add(1);
        out.ledger.accept();
        let remotes = &self.remotes;
        self.unreliable
            .push(event, sequence, len, |id| supersede(remotes, id));
        Ok(())
    }

    /// Unreliable events are left behind at `now`, as the network has no room: those of them give way
    /// that were left behind `most` ago already, if newer ones wait. Whoever waited for room loses none. True if
    /// one gave way.
    pub(crate) fn age_unreliable(&mut self, now: Instant, most: Duration) -> bool {
        let (remotes, mut gave_way) = (&self.remotes, false);
        self.unreliable.age(now, most, |id| {
            supersede(remotes, id);
            gave_way = true;
        });
        gave_way
    }

    /// Counts an event that was accepted for this peer, and is dropped at once.
    pub(crate) fn refuse(&mut self, event: &Outgoing<'_>, cause: DropCause) {
        let out = remote(&mut self.remotes, &self.ledger, event.id, event.name);
        out.ledger.accept();
        out.ledger.drop_unsent(cause, 1);
    }

    /// Appends a control message to the default lane; it is outside the barrier and the credit.
    ///
    /// A peer that does not read gets no more signs of life: they must not pile up.
    pub(crate) fn push_control(&mut self, control: &Control) {
        let sign_of_life = matches!(control, Control::Ping { .. } | Control::Pong { .. });
        if self.closed || sign_of_life && self.lanes[0].buffer.len() > CROWDED_LANE {
            return;
        }
        let mut payload = Vec::with_capacity(64);
        control.encode(&mut payload);
        let size = payload.len() + frame_overhead(wire::CONTROL_ID, payload.len());
        self.lanes[0].append(wire::CONTROL_ID, &payload, size);
    }

    /// Tells the peer of every remote up to `id` that it has not heard of.
    ///
    /// `from` lists the server's remotes from a slot on; ids are slots plus one.
    #[inline]
    pub(crate) fn announce(&mut self, id: u32, from: impl FnOnce(u32) -> Vec<Announcement>) {
        if id <= self.announced {
            return;
        }
        for announcement in from(self.announced) {
            self.announced = announcement.id;
            self.push_control(&Control::Announce(announcement));
        }
    }

    /// The peer knows of the remotes up to `id` from its welcome.
    pub(crate) fn set_announced(&mut self, id: u32) {
        self.announced = id;
    }

    /// Takes the name of a lane that shares the default one because there are too many.
    pub(crate) fn take_lane_too_many(&mut self) -> Option<&'static str> {
        self.lane_too_many.take()
    }

    pub(crate) fn barrier(&self) -> u64 {
        self.barrier
    }

    /// Bytes of reliable events accepted and not yet written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of unreliable events waiting.
    pub(crate) fn unreliable_bytes(&self) -> usize {
        self.unreliable.len()
    }

    /// Whether an unordered event is left to be taken out.
    pub(crate) fn has_unordered(&self) -> bool {
        !self.unordered.is_empty()
    }

    /// Whether nothing is left to be taken out.
    pub(crate) fn is_taken(&self) -> bool {
        self.unreliable.is_empty() && self.has_only_unreliable()
    }

    /// Whether nothing else is left than unreliable events.
    pub(crate) fn has_only_unreliable(&self) -> bool {
        self.unordered.is_empty() && self.lanes.iter().all(Lane::is_empty)
    }

    /// Whether something is left that the one who takes out would take, were it told.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        let news = |lane: &Lane| !lane.blocked && !lane.is_empty();
        self.lanes.iter().any(news)
            || !self.unordered.is_empty()
            || !self.unreliable_blocked && !self.unreliable.is_empty()
    }

    /// Whether the network takes no more of something for now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.unreliable_blocked || self.lanes.iter().any(|lane| lane.blocked)
    }

    /// Says whether the network takes no more of a lane for now. Whoever says so comes again by himself.
    pub(crate) fn set_blocked(&mut self, lane: usize, blocked: bool) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.blocked = blocked;
        }
    }

    /// The same of unreliable events.
    pub(crate) fn set_unreliable_blocked(&mut self, blocked: bool) {
        self.unreliable_blocked = blocked;
    }

    /// Whether waiting for a flush would soon cost events.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes * 2 > self.limit || self.unreliable.len() * 2 > self.unreliable.limit()
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    pub(crate) fn lane_name(&self, lane: usize) -> &'static str {
        self.lanes[lane].name
    }

    pub(crate) fn lane_is_empty(&self, lane: usize) -> bool {
        self.lanes[lane].is_empty()
    }

    /// The next piece of a lane, taken out; it is reported with [`wrote`](Self::wrote) when it is
    /// written.
    pub(crate) fn take_lane(&mut self, lane: usize) -> Option<Chunk> {
        let lane = &mut self.lanes[lane];
        if let Some(chunk) = lane.ready.pop_front() {
            return Some(chunk);
        }
        (!lane.buffer.is_empty()).then(|| lane.cut())
    }

    /// The next unordered event, taken out with its stream's whole content.
    pub(crate) fn take_unordered(&mut self) -> Option<(u32, Bytes)> {
        self.unordered.pop_front()
    }

    /// The next datagram of at most `limit` bytes, taken out.
    pub(crate) fn take_datagram(&mut self, limit: usize) -> Option<Bytes> {
        let remotes = &self.remotes;
        self.unreliable.take(limit, |id| {
            if let Some(out) = &remotes[id as usize] {
                out.ledger.send(1);
            }
        })
    }

    /// Gives back the credit of a piece that was written, and counts its events.
    pub(crate) fn wrote(&mut self, chunk: &Chunk) {
        self.bytes = self.bytes.saturating_sub(chunk.credit);
        for (id, count) in chunk.tally.runs() {
            if let Some(Some(out)) = self.remotes.get(id as usize) {
                out.ledger.send(count);
            }
        }
    }

    /// Counts the events of a piece that are whole in the part of it that was written: they may arrive.
    pub(crate) fn wrote_partly(&self, chunk: &Chunk, written: Bytes) {
        // What is no event is no frame either.
        if chunk.tally.runs().next().is_none() {
            return;
        }
        let mut frames = Deframer::new(usize::MAX);
        frames.push(written);
        while let Ok(Some(frame)) = frames.next() {
            if let Some(Some(out)) = self.remotes.get(frame.remote as usize) {
                out.ledger.send(1);
            }
        }
    }

    /// Counts one unordered event as sent.
    pub(crate) fn wrote_unordered(&mut self, id: u32, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(Some(out)) = self.remotes.get(id as usize) {
            out.ledger.send(1);
        }
    }

    /// Takes no more events; what is queued can still be taken out.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Gives back the room of buffers that had no event since this was last called.
    pub(crate) fn give_back(&mut self) {
        for lane in &mut self.lanes {
            if !lane.growth.was_used() && lane.is_empty() {
                (lane.buffer, lane.ready) = Default::default();
            }
        }
        self.unreliable.give_back();
    }

    /// Forgets what is queued: the connection is over. The ledger books it as dropped.
    pub(crate) fn end(&mut self) {
        self.closed = true;
        self.lanes.truncate(1);
        self.lanes[0] = Lane::default();
        self.unordered = VecDeque::new();
        self.unreliable = Unreliable::new(0);
        self.bytes = 0;
        self.ledger.end_sending();
    }

    fn lane(&mut self, name: Option<&'static str>) -> usize {
        let Some(name) = name else { return 0 };
        if let Some(lane) = self.lanes.iter().position(|lane| lane.name == name) {
            return lane;
        }
        if self.lanes.len() >= wire::MAX_LANES {
            // Still reliable and ordered, only not apart from the others.
            self.lane_too_many = Some(name);
            return 0;
        }
        self.lanes.push(Lane {
            name,
            ..Lane::default()
        });
        self.lanes.len() - 1
    }
}

#[inline]
fn remote<'a>(
    remotes: &'a mut Vec<Option<Out>>,
    ledger: &Ledger,
    id: u32,
    name: &'static str,
) -> &'a mut Out {
    let at = id as usize;
    if remotes.get(at).is_none_or(Option::is_none) {
        if remotes.len() <= at {
            remotes.resize_with(at + 1, || None);
        }
        let ledger = ledger.remote(id, name);
        remotes[at] = Some(Out {
            sequence: 0,
            ledger,
        });
    }
    remotes[at].as_mut().expect("it was just made")
}

fn supersede(remotes: &[Option<Out>], id: u32) {
    if let Some(out) = &remotes[id as usize] {
        out.ledger.drop_unsent(DropCause::Superseded, 1);
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.buffer.is_empty()
    }

    fn push(&mut self, id: u32, payload: &[u8], size: usize) {
        self.tally.add(id);
        self.credit += size;
        self.growth.used = true;
        self.append(id, payload, size);
    }

    fn cut(&mut self) -> Chunk {
        let buffer = match self.growth.is_idle() {
            // A ping is all that is in it: its room goes with it, and not at the next one.
            true => std::mem::take(&mut self.buffer),
            false => self.buffer.split(),
        };
        Chunk {
            bytes: buffer.freeze(),
            credit: std::mem::take(&mut self.credit),
            tally: std::mem::take(&mut self.tally),
        }
    }

    /// Appends the frame of an event, which takes `room`.
    fn append(&mut self, id: u32, payload: &[u8], room: usize) {
        if self.buffer.capacity() - self.buffer.len() < room {
            // In steps, so that a stream of small events allocates once in hundreds.
            self.buffer.reserve(self.growth.next(room, LANE_STEP));
        }
        put_frame(&mut self.buffer, id, payload);
        if self.buffer.len() >= CHUNK {
            let chunk = self.cut();
            self.ready.push_back(chunk);
        }
    }
}

/// Why the outbox did not take an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// There is no room; `disconnect` is the remote's policy.
    Full {
        queued: usize,
        limit: usize,
        disconnect: bool,
    },
    /// The connection is over, or ending.
    Closed,
}

/// A broadcast cannot be refused for one recipient, so a recipient may fall this much further behind
/// before it is given up as a slow consumer.
const BROADCAST_FACTOR: usize = 4;
/// Buffers come to grow by this much: a few hundred small events.
const LANE_STEP: usize = 16 * 1024;
/// A lane is cut into pieces of about this size, so that credit comes back while a large backlog drains.
const CHUNK: usize = 64 * 1024;
/// A lane with more than this in it is not short of things to say.
const CROWDED_LANE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::RemoteEvent;

    #[test]
    fn room_is_given_back_when_there_were_no_events_since_it_was_last_asked_for() {
        let mut outbox = Outbox::new(64 * 1024, 8 * 1024, Arc::default());
        let policy = RemoteEvent::<()>::new("Move").spec.policy;
        let event = |kind| Outgoing {
            id: 1,
            name: "Move",
            kind,
            policy: &policy,
            payload: &[7; 100],
            patient: false,
        };
        for _ in 0..300 {
            for kind in [RemoteKind::Event, RemoteKind::Unreliable] {
                outbox.push(&event(kind)).expect("there is room");
            }
            outbox.take_lane(0).expect("an event");
            while outbox.take_datagram(1000).is_some() {}
        }
        let room = |outbox: &Outbox| {
            let lane = &outbox.lanes[0].buffer;
            (lane.capacity() > 0, outbox.unreliable.capacity() > 0)
        };
        outbox.give_back();
        assert_eq!(room(&outbox), (true, true), "there were events");
        outbox.push_control(&Control::Ping { nonce: 1 });
        outbox.give_back();
        assert!(room(&outbox).0, "a ping is still to be sent");
        let ping = outbox.take_lane(0).expect("the ping");
        assert!(!ping.bytes.is_empty());
        outbox.give_back();
        assert_eq!(room(&outbox), (false, false));
        outbox
            .push(&event(RemoteKind::Event))
            .expect("there is room");
        assert!(outbox.lanes[0].buffer.capacity() < LANE_STEP);
    }

    #[test]
    fn answers_to_pings_do_not_pile_up() {
        let mut outbox = Outbox::new(1024, 2048, Arc::default());
        (0..100_000).for_each(|nonce| outbox.push_control(&Control::Pong { nonce }));
        let chunk = outbox.take_lane(0).expect("some were answered");
        assert!(chunk.bytes.len() <= CROWDED_LANE + 64);
        assert!(outbox.take_lane(0).is_none());
        outbox.push_control(&Control::Pong { nonce: 1 });
        assert!(outbox.take_lane(0).is_some());
    }
}
