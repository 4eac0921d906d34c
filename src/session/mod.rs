//! The session: what the bytes of one peer mean, and what they may cost.
//!
//! A machine: bytes and time go in, [`Arrival`]s and [`Violation`]s come out. It counts, bounds and
//! orders; it knows nothing about sockets, tasks, handlers or clocks.

pub(crate) mod budget;
mod by_id;
pub(crate) mod growth;
mod held;
mod inbound;
pub(crate) mod ledger;
pub(crate) mod outbox;
#[cfg(test)]
mod tests;
mod unreliable;
mod violation;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use self::{
    budget::{Bucket, Offence, Offences},
    by_id::ById,
    growth::push_to_few,
    inbound::{Inbound, inbound},
    ledger::{DropCause, Ledger},
};
pub(crate) use self::{
    held::{Held, Kept},
    violation::Violation,
};
use crate::{
    config::{Limits, Rate},
    remote::{KeyOf, RemoteKind},
    wire::{
        self, control::Control, datagram::DatagramEvents, frame::Deframer, sequence::Freshness,
    },
};

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// What the session has to know of a remote to receive its events.
#[derive(Clone)]
pub(crate) struct Meta {
    pub(crate) name: &'static str,
    pub(crate) kind: RemoteKind,
    pub(crate) max_payload: Option<usize>,
    pub(crate) rate: Option<Rate>,
    pub(crate) latest_wins: bool,
    pub(crate) key: Option<KeyOf>,
    /// It has a rate of its own, and spends none of the program's.
    pub(crate) builtin: bool,
    /// The peer means something else by the name.
    pub(crate) mismatch: bool,
}

/// Where the session looks remotes up.
pub(crate) trait Directory {
    /// What is known of `id`, if it is bound here.
    fn meta(&self, id: u32) -> Option<Meta>;
    /// What `id` is called, also if it is not declared here; asked when there is nothing else to know.
    fn name(&self, _id: u32) -> Option<String> {
        None
    }
    /// Whether the peer can know `id` at all: a server has told its clients of all that it has.
    fn exists(&self, id: u32) -> bool;
}

/// Something that a peer sent and that may now be acted upon.
#[derive(Debug)]
pub(crate) enum Arrival<'a> {
    Event(Event<'a>),
    Control(Control),
}

/// An event within its budgets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    pub(crate) id: u32,
    pub(crate) payload: &'a [u8],
    pub(crate) reliable: bool,
}

pub(crate) struct Session {
    side: Side,
    lanes: Vec<Option<Box<Lane>>>,
    has_default: bool,
    remotes: ById<Inbound>,
    ledger: Arc<Ledger>,
    events: Bucket,
    unreliable: Bucket,
    datagrams: Bucket,
    offences: Arc<Offences>,
    /// Offences that have reached a power of two since they were last asked for, and how many there are.
    reports: Vec<(Offence, u64)>,
    pings_over: u64,
    streams_over: u64,
    early_events: usize,
    held: Arc<Held>,
    max_payload: usize,
    /// Default-lane events that are done with: what a barrier is held against.
    passed: u64,
    /// What may still be looked at before others have their turn.
    turn: usize,
}

/// The bytes of a lane that were not looked at yet.
pub(crate) struct Lane {
    deframer: Deframer,
    is_default: bool,
}

impl Session {
    pub(crate) fn new(
        side: Side,
        limits: &Limits,
        ledger: Arc<Ledger>,
        held: Arc<Held>,
        now: Instant,
    ) -> Self {
        let max_payload = match side {
            Side::Server => limits.payload_from_client,
            Side::Client => limits.payload_from_server,
        };
        Self {
            side,
            lanes: Vec::new(),
            has_default: false,
            remotes: ById::default(),
            ledger,
            events: Bucket::new(limits.events, now),
            unreliable: Bucket::new(limits.unreliable_events, now),
            datagrams: Bucket::new(datagrams(limits), now),
            offences: Arc::new(Offences::new(limits.offences_per_minute, now)),
            reports: Vec::new(),
            pings_over: 0,
            streams_over: 0,
            early_events: limits.early_events,
            held,
            max_payload,
            passed: 0,
            turn: usize::MAX,
        }
    }

    /// The peer opened a lane; an empty name is the default lane.
    pub(crate) fn open_lane(&mut self, name: &str) -> Result<LaneKey, Violation> {
        let is_default = name.is_empty();
        if is_default && self.has_default {
            return Err(Violation::SecondDefaultLane);
        }
        if self.lanes.len() >= wire::MAX_LANES {
            return Err(Violation::TooManyLanes);
        }
        self.has_default |= is_default;
        let lane = Box::new(Lane {
            deframer: Deframer::new(self.max_payload),
            is_default,
        });
        push_to_few(&mut self.lanes, Some(lane));
        Ok(LaneKey(self.lanes.len() - 1))
    }

    /// Bytes of a lane arrived.
    pub(crate) fn lane_bytes(&mut self, lane: LaneKey, bytes: Bytes) {
        if let Some(lane) = &mut self.lanes[lane.0] {
            lane.deframer.push(bytes);
        }
    }

    /// The peer ended a lane.
    pub(crate) fn lane_finished(&self, lane: LaneKey) -> Result<(), Violation> {
        match &self.lanes[lane.0] {
            Some(lane) if lane.deframer.is_clean() => Ok(()),
            _ => Err(Violation::Malformed(wire::read::ENDS_EARLY)),
        }
    }

    /// Takes a lane out to read it, as its events lie in it. It is to be [put back](Self::put_lane_back).
    pub(crate) fn take_lane(&mut self, lane: LaneKey) -> Option<Box<Lane>> {
        self.lanes[lane.0].take()
    }

    pub(crate) fn put_lane_back(&mut self, key: LaneKey, lane: Box<Lane>) {
        self.lanes[key.0] = Some(lane);
    }

    /// Begins a turn, in which up to `frames` frames and datagrams are looked at.
    pub(crate) fn start_turn(&mut self, frames: usize) {
        self.turn = frames;
    }

    /// Counts something that the session does not see itself towards the turn.
    pub(crate) fn spend_turn(&mut self) {
        self.turn = self.turn.saturating_sub(1);
    }

    /// Whether others are to have their turn now.
    pub(crate) fn turn_is_over(&self) -> bool {
        self.turn == 0
    }

    /// The next thing on a lane that is within its budgets; `None` also when the turn is over.
    pub(crate) fn next_on_lane<'a>(
        &mut self,
        lane: &'a mut Lane,
        directory: &impl Directory,
        now: Instant,
    ) -> Result<Option<Arrival<'a>>, Violation> {
        while !self.turn_is_over() {
            let Some(frame) = lane.deframer.find()? else {
                return Ok(None);
            };
            // Whatever it is: a window full of what is refused takes milliseconds to look at.
            self.spend_turn();
            if frame.remote == wire::CONTROL_ID {
                if !lane.is_default {
                    return Err(Violation::ControlOffLane);
                }
                let control = Control::decode(lane.deframer.payload(&frame))?;
                return Ok(Some(Arrival::Control(control)));
            }
            // Whatever becomes of it, a call behind it must not wait for it.
            self.passed += u64::from(lane.is_default);
            if self.is_welcome(frame.remote, frame.payload_len(), directory, now)? {
                return Ok(Some(Arrival::Event(Event {
                    id: frame.remote,
                    payload: lane.deframer.payload(&frame),
                    reliable: true,
                })));
            }
        }
        Ok(None)
    }

    /// An event arrived on a stream of its own.
    pub(crate) fn unordered<'a>(
        &mut self,
        id: u32,
        payload: &'a [u8],
        directory: &impl Directory,
        now: Instant,
    ) -> Result<Option<Event<'a>>, Violation> {
        if payload.len() > self.max_payload {
            return Err(Violation::TooLarge);
        }
        let welcome = self.is_welcome(id, payload.len(), directory, now)?;
        Ok(welcome.then_some(Event {
            id,
            payload,
            reliable: true,
        }))
    }

    /// Counts a reliable event of so many bytes; false if it is refused.
    fn is_welcome(
        &mut self,
        id: u32,
        payload_len: usize,
        directory: &impl Directory,
        now: Instant,
    ) -> Result<bool, Violation> {
        let side = self.side;
        let inbound = inbound(&mut self.remotes, &self.ledger, id, directory, now)?;
        inbound.ledger.receive();
        if inbound.is_over(side, &mut self.events, now) {
            return self.refuse(id, DropCause::RateLimit, now).map(|()| false);
        }
        let Some(meta) = &inbound.meta else {
            return Ok(true);
        };
        // First: a mismatch of kinds is the fault of neither, and fails this remote only.
        if meta.mismatch {
            return self
                .refuse(id, DropCause::SignatureMismatch, now)
                .map(|()| false);
        }
        if meta.kind != RemoteKind::Event {
            return Err(Violation::WrongKind);
        }
        if meta.max_payload.is_some_and(|most| payload_len > most) {
            return Err(Violation::TooLarge);
        }
        if inbound.is_over_its_own(now) {
            return self.refuse(id, DropCause::RateLimit, now).map(|()| false);
        }
        Ok(true)
    }

    /// The events of a datagram; call [`next_unreliable`](Self::next_unreliable) until it is empty.
    ///
    /// Whatever is in it: QUIC has received and decrypted it, which refusing it does not undo.
    pub(crate) fn datagram<'a>(
        &mut self,
        datagram: &'a [u8],
        now: Instant,
    ) -> Result<DatagramEvents<'a>, Violation> {
        self.burden(now)?;
        Ok(DatagramEvents::new(datagram))
    }

    /// Counts a datagram, or an event in one that is beyond the budget: what comes without waiting for
    /// anybody, and costs something before it is refused.
    fn burden(&mut self, now: Instant) -> Result<(), Violation> {
        match self.side == Side::Client || self.datagrams.take(now) {
            true => Ok(()),
            false => Err(Violation::TooManyDatagrams),
        }
    }

    /// The next event of a datagram that is within its budgets and not late, whether or not the turn
    /// is over.
    pub(crate) fn next_unreliable<'a>(
        &mut self,
        events: &mut DatagramEvents<'a>,
        directory: &impl Directory,
        now: Instant,
    ) -> Result<Option<Event<'a>>, Violation> {
        for event in events {
            self.spend_turn();
            let event = event?;
            let id = event.remote;
            if id == wire::CONTROL_ID {
                return Err(Violation::ControlOffLane);
            }
            let inbound = inbound(&mut self.remotes, &self.ledger, id, directory, now)?;
            inbound.ledger.receive();
            let fresh = inbound.window.accept(event.sequence);
            let over = inbound.is_over(self.side, &mut self.unreliable, now);
            let cause = match (&inbound.meta, fresh) {
                _ if over => Some(DropCause::RateLimit),
                (_, Freshness::Duplicate) => Some(DropCause::Duplicate),
                // Outside the window it cannot be told from a duplicate.
                (_, Freshness::TooOld) => Some(DropCause::Stale),
                (None, _) => Some(DropCause::Unannounced),
                (Some(meta), _) if meta.mismatch => Some(DropCause::SignatureMismatch),
                (Some(meta), _) if meta.kind != RemoteKind::Unreliable => {
                    return Err(Violation::WrongKind);
                }
                (Some(meta), Freshness::Late) if meta.latest_wins => Some(DropCause::Stale),
                (Some(_), _) => None,
            };
            let cause = cause.or_else(|| {
                let over = inbound.is_over_its_own(now);
                over.then_some(DropCause::RateLimit)
            });
            let cause = cause.or_else(|| inbound.stale_by_key(event.payload, event.sequence));
            match cause {
                Some(cause) => {
                    self.refuse(id, cause, now)?;
                    if over {
                        self.burden(now)?;
                    }
                }
                None => {
                    return Ok(Some(Event {
                        id,
                        payload: event.payload,
                        reliable: false,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Whether a ping is within the budget of events, and so gets its answer.
    pub(crate) fn may_ping(&mut self, now: Instant) -> Result<bool, Violation> {
        if self.side == Side::Client || self.events.take(now) {
            return Ok(true);
        }
        self.pings_over += 1;
        self.offend(Offence::PingRate, self.pings_over, now)?;
        Ok(false)
    }

    /// Counts a stream that was taken back before it was an event against the budget of events.
    pub(crate) fn taken_back(&mut self, now: Instant) -> Result<(), Violation> {
        if self.side == Side::Client || self.events.take(now) {
            return Ok(());
        }
        self.streams_over += 1;
        self.offend(Offence::StreamRate, self.streams_over, now)
    }

    /// The count that offences of every kind go into.
    pub(crate) fn offences(&self) -> &Arc<Offences> {
        &self.offences
    }

    /// Offences worth a word since this was last asked: the first of a kind, the second, the fourth.
    pub(crate) fn reports(&mut self) -> Vec<(Offence, u64)> {
        std::mem::take(&mut self.reports)
    }

    fn offend(&mut self, offence: Offence, count: u64, now: Instant) -> Result<(), Violation> {
        if count.is_power_of_two() {
            self.reports.push((offence, count));
        }
        match self.offences.one_too_many(now) {
            true => Err(Violation::TooManyOffences),
            false => Ok(()),
        }
    }

    /// Counts an event that was given to a handler or inbox.
    pub(crate) fn dispatched(&self, id: u32) {
        if let Some(inbound) = self.remotes.get(id) {
            inbound.ledger.dispatch();
        }
    }

    /// Counts an event that goes no further, and the offence where the peer is to blame.
    pub(crate) fn refuse(
        &mut self,
        id: u32,
        cause: DropCause,
        now: Instant,
    ) -> Result<(), Violation> {
        let Some(inbound) = self.remotes.get(id) else {
            return Ok(());
        };
        let count = inbound.ledger.refuse(cause);
        let remote = inbound.meta.as_ref().map_or("", |meta| meta.name);
        if count.is_power_of_two() {
            match cause {
                DropCause::HandlersBusy => {
                    tracing::warn!(
                        remote,
                        id,
                        count,
                        "events dropped: too many of this peer's handlers wait; do they return?"
                    );
                }
                DropCause::EarlyFull | DropCause::Unheard | DropCause::InboxFull => {
                    tracing::warn!(
                        remote,
                        id,
                        ?cause,
                        count,
                        "events dropped; is a handler missing?"
                    );
                }
                _ => tracing::debug!(remote, id, ?cause, count, "events dropped"),
            }
        }
        let offence = match cause {
            DropCause::RateLimit => Offence::EventRate { remote },
            DropCause::Undecodable => Offence::Undecodable { remote },
            _ => return Ok(()),
        };
        match self.side {
            Side::Server => self.offend(offence, count, now),
            Side::Client => Ok(()),
        }
    }

    /// Looks remotes up again that were unknown, after the directory changed.
    pub(crate) fn look_up_again(&mut self, directory: &impl Directory, now: Instant) {
        for (id, inbound) in self.remotes.iter_mut() {
            inbound.look_up(id, &self.ledger, directory, now);
        }
    }

    /// The same for one remote, after it was announced.
    pub(crate) fn look_up(&mut self, id: u32, directory: &impl Directory, now: Instant) {
        if let Some(inbound) = self.remotes.get_mut(id) {
            inbound.look_up(id, &self.ledger, directory, now);
        }
    }

    pub(crate) fn max_payload(&self) -> usize {
        self.max_payload
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }
}

/// How many datagrams a client may send, be there nothing in them, and events in them beyond its budget.
fn datagrams(limits: &Limits) -> Rate {
    let most = |unreliable: u32, echo: u32| {
        let events = unreliable.saturating_add(echo);
        events.saturating_mul(DATAGRAMS_PER_EVENT)
    };
    let (unreliable, echo) = (limits.unreliable_events, limits.echo);
    Rate::per_second(most(unreliable.per_second, echo.per_second))
        .burst(most(unreliable.burst, echo.burst))
}

/// Names a lane that the peer opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneKey(usize);

/// An honest client sends no more datagrams than events, and few events beyond its budget; this many times
/// as many are an attack.
const DATAGRAMS_PER_EVENT: u32 = 4;
