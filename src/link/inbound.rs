//! The receiving half of a connection's task: from streams and datagrams to handlers.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{ReadError, RecvStream};

use super::{
    Link, Wiring,
    serve::{run_event_handler, watch},
};
use crate::{
    clock,
    handler::HandlerFuture,
    inbox::Context as HandlerContext,
    registry::{Dispatch, Registry},
    remote::RemoteKind,
    session::{
        Arrival, Directory, Event, LaneKey, Meta, Session, Side, Violation, budget::Offences,
        ledger::DropCause,
    },
    wire::{
        control::Control,
        prelude::{PreludeReader, StreamPrelude},
        read::ENDS_EARLY,
    },
};

/// The peer's lanes, and what their bytes mean.
pub(super) struct Inbound<C> {
    wiring: Arc<Wiring<C>>,
    context: C,
    link: Arc<Link>,
    session: Session,
    streams: Vec<Stream>,
    /// The one that is read first.
    first: usize,
    /// What the registry looked like when unheard events were last offered.
    generation: u64,
    pending: Vec<HandlerFuture<()>>,
    /// Where a read puts what it got; empty between two reads.
    chunks: [Bytes; 16],
    turn: Turn,
    /// The player has been removed.
    ignores_events: bool,
}

/// What is left of the task's turn.
struct Turn {
    /// When the clock was last looked at: at its beginning, or after a handler.
    now: Instant,
    frames: usize,
    /// `None` if it takes as long as it takes.
    ends: Option<Instant>,
}

impl Turn {
    fn endless(now: Instant) -> Self {
        Self {
            now,
            frames: 0,
            ends: None,
        }
    }
}

/// A unidirectional stream of the peer.
struct Stream {
    recv: RecvStream,
    content: Content,
}

enum Content {
    Prelude(PreludeReader),
    Lane {
        key: LaneKey,
        is_default: bool,
    },
    /// One unordered event; its payload so far.
    Event {
        remote: u32,
        payload: Vec<u8>,
    },
    Done,
}

/// What the task has to do because of what arrived.
#[derive(Debug)]
pub(super) enum Notice {
    /// The peer says goodbye; its default lane is about to end.
    Goodbye(Control),
    /// The default lane has ended.
    DefaultLaneEnded,
}

/// Where the session looks remotes up: the registry, seen by one connection.
struct Known<'a, C> {
    registry: &'a Registry<C>,
    link: &'a Link,
    side: Side,
}

impl<C: 'static> Directory for Known<'_, C> {
    fn meta(&self, id: u32) -> Option<Meta> {
        let entry = self.registry.by_id(id)?;
        let policy = &entry.spec.policy;
        Some(Meta {
            name: entry.spec.name,
            kind: entry.declaration.kind,
            max_payload: policy.max_payload,
            rate: policy.rate,
            latest_wins: policy.latest_wins,
            key: entry.declaration.key.clone(),
            mismatch: entry.theirs().is_some() || self.link.mismatch(id).is_some(),
        })
    }

    fn exists(&self, id: u32) -> bool {
        // A client may get events of a remote before it hears that the remote exists.
        self.side == Side::Client || id as usize <= self.registry.len()
    }
}

impl<C: HandlerContext> Inbound<C> {
    pub(super) fn new(wiring: Arc<Wiring<C>>, context: C, link: Arc<Link>) -> Self {
        let now = clock::now();
        let session = Session::new(
            wiring.side,
            &wiring.limits,
            link.ledger.clone(),
            context.held().clone(),
            now,
        );
        Self {
            generation: wiring.registry.generation(),
            wiring,
            context,
            link,
            session,
            streams: Vec::new(),
            first: 0,
            pending: Vec::new(),
            chunks: Default::default(),
            turn: Turn::endless(now),
            ignores_events: false,
        }
    }

    /// The peer opened a unidirectional stream.
    pub(super) fn accept(&mut self, recv: RecvStream) {
        let content = Content::Prelude(PreludeReader::default());
        self.streams.push(Stream { recv, content });
    }

    /// Begins a turn of the task: it ends when it has taken long, or has looked at many frames.
    pub(super) fn start_turn(&mut self) {
        let now = clock::now();
        self.turn = Turn {
            now,
            frames: FRAMES_PER_TURN,
            ends: Some(now + TURN),
        };
        self.session.start_turn(FRAMES_PER_LOOK);
    }

    /// Begins the turn in which everything is read that has arrived.
    pub(super) fn start_last_turn(&mut self) {
        self.turn = Turn::endless(clock::now());
        self.session.start_turn(usize::MAX);
    }

    /// Sees to it that streams which are always full do not keep datagrams waiting for ever.
    pub(super) fn leave_turn_for_datagrams(&mut self) {
        if self.turn_is_over() {
            self.turn.frames = FRAMES_PER_LOOK;
            self.session.start_turn(FRAMES_PER_LOOK);
        }
    }

    /// Whether others are to have their turn now.
    pub(super) fn turn_is_over(&mut self) -> bool {
        if !self.session.turn_is_over() {
            return false;
        }
        self.turn.frames = self.turn.frames.saturating_sub(FRAMES_PER_LOOK);
        self.look_at_clock(clock::now());
        self.session
            .start_turn(self.turn.frames.min(FRAMES_PER_LOOK));
        self.turn.frames == 0
    }

    /// Ends the turn if it has taken long by `now`: handlers take what they like.
    fn look_at_clock(&mut self, now: Instant) {
        self.turn.now = now;
        if self.turn.ends.is_some_and(|ends| now >= ends) {
            self.session.start_turn(0);
            self.turn.frames = 0;
        }
    }

    pub(super) fn offences(&self) -> Arc<Offences> {
        self.session.offences().clone()
    }

    /// Reads what there is of every stream, within the turn. True if more may be there.
    pub(super) fn poll_streams(
        &mut self,
        cx: &mut Context<'_>,
        notices: &mut Vec<Notice>,
    ) -> Result<bool, Violation> {
        let mut ended_at = None;
        let count = self.streams.len();
        for step in 0..count {
            let at = (self.first + step) % count;
            if self.poll_stream(at, cx, notices)? {
                ended_at = ended_at.or(Some(at));
            }
        }
        // The stream that took the turn up is the last of the next one.
        self.first = ended_at.map_or(0, |at| at + 1);
        self.streams
            .retain(|stream| !matches!(stream.content, Content::Done));
        self.link.passed.set(self.session.passed());
        Ok(ended_at.is_some())
    }

    fn poll_stream(
        &mut self,
        at: usize,
        cx: &mut Context<'_>,
        notices: &mut Vec<Notice>,
    ) -> Result<bool, Violation> {
        loop {
            if let Content::Lane { key, .. } = self.streams[at].content
                && !self.drain_lane(key, notices)?
            {
                return Ok(true);
            }
            if self.turn_is_over() {
                return Ok(true);
            }
            let read = {
                let read = pin!(self.streams[at].recv.read_chunks(&mut self.chunks));
                match read.poll(cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(read) => read,
                }
            };
            match read {
                Ok(Some(count)) => {
                    for chunk in 0..count {
                        let chunk = std::mem::take(&mut self.chunks[chunk]);
                        // A large event takes as many looks as it has packets.
                        self.session.spend_turn();
                        self.stream_bytes(at, chunk)?;
                    }
                }
                Ok(None) => {
                    self.session.spend_turn();
                    self.stream_finished(at, notices)?;
                    return Ok(false);
                }
                Err(ReadError::Reset(_)) => {
                    let content = std::mem::replace(&mut self.streams[at].content, Content::Done);
                    // An event whose sender gave up is no event.
                    return match content {
                        Content::Lane { .. } => Err(Violation::LaneReset),
                        Content::Prelude(_) | Content::Event { .. } | Content::Done => Ok(false),
                    };
                }
                // The connection is gone; its task hears of that elsewhere.
                Err(_) => {
                    self.streams[at].content = Content::Done;
                    return Ok(false);
                }
            }
        }
    }

    fn stream_bytes(&mut self, at: usize, bytes: Bytes) -> Result<(), Violation> {
        match &mut self.streams[at].content {
            Content::Prelude(reader) => {
                let Some((prelude, rest)) = reader.push(bytes)? else {
                    return Ok(());
                };
                self.streams[at].content = match prelude {
                    StreamPrelude::Lane(name) => {
                        let key = self.session.open_lane(&name)?;
                        Content::Lane {
                            key,
                            is_default: name.is_empty(),
                        }
                    }
                    StreamPrelude::Event { remote } => Content::Event {
                        remote,
                        payload: Vec::new(),
                    },
                };
                match rest.is_empty() {
                    true => Ok(()),
                    false => self.stream_bytes(at, rest),
                }
            }
            Content::Lane { key, .. } => {
                self.session.lane_bytes(*key, bytes);
                Ok(())
            }
            Content::Event { payload, .. } => {
                if payload.len() + bytes.len() > self.session.max_payload() {
                    return Err(Violation::TooLarge);
                }
                payload.extend_from_slice(&bytes);
                Ok(())
            }
            Content::Done => Ok(()),
        }
    }

    fn stream_finished(&mut self, at: usize, notices: &mut Vec<Notice>) -> Result<(), Violation> {
        match std::mem::replace(&mut self.streams[at].content, Content::Done) {
            Content::Prelude(_) => Err(Violation::Malformed(ENDS_EARLY)),
            Content::Lane { key, is_default } => {
                self.session.lane_finished(key)?;
                if is_default {
                    notices.push(Notice::DefaultLaneEnded);
                }
                Ok(())
            }
            Content::Event { remote, payload } => {
                let known = Self::known(&self.wiring, &self.link);
                let event = self
                    .session
                    .unordered(remote, payload.into(), &known, clock::now())?;
                match event {
                    Some(event) => self.offer(event, clock::now()).map(drop),
                    None => Ok(()),
                }
            }
            Content::Done => Ok(()),
        }
    }

    /// False if the turn was over first.
    fn drain_lane(&mut self, key: LaneKey, notices: &mut Vec<Notice>) -> Result<bool, Violation> {
        loop {
            let now = self.turn.now;
            let known = Self::known(&self.wiring, &self.link);
            match self.session.next_on_lane(key, &known, now)? {
                None if !self.session.turn_is_over() => return Ok(true),
                None if self.turn_is_over() => return Ok(false),
                None => {}
                Some(Arrival::Event(event)) => {
                    let now = self.offer(event, now)?;
                    self.look_at_clock(now);
                }
                Some(Arrival::Control(control)) => self.control(control, notices)?,
            }
        }
    }

    fn control(&mut self, control: Control, notices: &mut Vec<Notice>) -> Result<(), Violation> {
        match control {
            Control::Announce(_) if self.wiring.side == Side::Server => {
                return Err(Violation::UnexpectedControl);
            }
            Control::Announce(announcement) => {
                if !self.wiring.registry.announce([announcement]) {
                    return Err(Violation::AnnouncedTwice);
                }
            }
            Control::Ping { nonce } => {
                if self.session.may_ping(clock::now())? {
                    self.link
                        .lock()
                        .outbox
                        .push_control(&Control::Pong { nonce });
                }
            }
            Control::Pong { nonce } => {
                if !self.link.pong(nonce) {
                    // Nobody asked for it: it costs what a ping costs.
                    self.session.may_ping(clock::now())?;
                }
            }
            goodbye @ Control::Goodbye { .. } => notices.push(Notice::Goodbye(goodbye)),
        }
        Ok(())
    }

    /// The events of a datagram.
    pub(super) fn datagram(&mut self, datagram: Bytes) -> Result<(), Violation> {
        // One without events takes a look as well.
        self.session.spend_turn();
        let mut events = self.session.datagram(datagram);
        loop {
            let now = self.turn.now;
            let known = Self::known(&self.wiring, &self.link);
            let Some(event) = self.session.next_unreliable(&mut events, &known, now)? else {
                return Ok(());
            };
            let now = self.offer(event, now)?;
            self.look_at_clock(now);
        }
    }

    /// Tells the program of offences.
    pub(super) fn report(&mut self) {
        for (offence, count) in self.session.reports() {
            self.context.offended(offence, count);
        }
    }

    /// From now on no handler hears of an event: the player has been removed.
    pub(super) fn ignore_events(&mut self) {
        self.ignores_events = true;
    }

    /// Offers held events again, if the registry has changed.
    pub(super) fn look_again(&mut self) -> Result<(), Violation> {
        let generation = self.wiring.registry.generation();
        if generation == self.generation {
            return Ok(());
        }
        self.generation = generation;
        let known = Self::known(&self.wiring, &self.link);
        self.session.look_up_again(&known, clock::now());
        for id in self.session.held() {
            self.offer_held(id)?;
        }
        Ok(())
    }

    /// Gives held events of `id` to whoever listens now, in order. False if some are still held.
    fn offer_held(&mut self, id: u32) -> Result<bool, Violation> {
        while let Some(event) = self.session.release(id) {
            let now = clock::now();
            let Some(entry) = self.wiring.registry.by_id(id) else {
                self.session.put_back(event);
                return Ok(false);
            };
            if entry.theirs().is_some() {
                self.session.refuse(id, DropCause::SignatureMismatch, now)?;
                continue;
            }
            if entry.declaration.kind != RemoteKind::Event {
                return Err(Violation::WrongKind);
            }
            let result = entry.dispatch_early(&self.context, &event.payload, &mut self.pending);
            match result {
                Dispatch::Unheard => {
                    self.session.put_back(event);
                    return Ok(false);
                }
                other => self.settle(id, other, now)?,
            }
            self.start_pending(entry.spec.name);
        }
        Ok(true)
    }

    /// Gives an event to its handlers, or keeps it for the first one; gives the time it is then.
    fn offer(&mut self, event: Event, now: Instant) -> Result<Instant, Violation> {
        if self.ignores_events {
            self.session
                .refuse(event.id, DropCause::ConnectionEnded, now)?;
            return Ok(now);
        }
        if event.reliable && self.session.is_held(event.id) && !self.offer_held(event.id)? {
            self.session.hold(&event, now)?;
            return Ok(now);
        }
        let Some(entry) = self.wiring.registry.by_id(event.id) else {
            self.session.hold(&event, now)?;
            return Ok(now);
        };
        if entry.theirs().is_some() {
            // Declared a moment ago: the session has yet to hear of it.
            self.session
                .refuse(event.id, DropCause::SignatureMismatch, now)?;
            return Ok(now);
        }
        let result = entry.dispatch(&self.context, &event.payload, &mut self.pending);
        let now = watch(entry.spec.name, now);
        match result {
            Dispatch::Unheard if event.reliable => self.session.hold(&event, now)?,
            other => self.settle(event.id, other, now)?,
        }
        if !self.pending.is_empty() {
            self.start_pending(entry.spec.name);
        }
        Ok(now)
    }

    fn settle(&mut self, id: u32, result: Dispatch, now: Instant) -> Result<(), Violation> {
        match result {
            Dispatch::Dispatched => {
                self.session.dispatched(id);
                Ok(())
            }
            Dispatch::Unheard => self.session.refuse(id, DropCause::Unheard, now),
            Dispatch::Undecodable => self.session.refuse(id, DropCause::Undecodable, now),
            Dispatch::InboxFull => self.session.refuse(id, DropCause::InboxFull, now),
        }
    }

    /// Polls asynchronous handlers once here, and moves those that are not ready to the program.
    fn start_pending(&mut self, remote: &'static str) {
        for future in self.pending.drain(..) {
            run_event_handler(&self.wiring, future, remote);
        }
    }

    fn known<'a>(wiring: &'a Wiring<C>, link: &'a Link) -> Known<'a, C> {
        Known {
            registry: &wiring.registry,
            link,
            side: wiring.side,
        }
    }
}

impl Link {
    /// Asks the peer for a sign of life through all queues.
    pub(super) fn ping(&self) {
        let nonce = clock::since(self.born).as_micros() as u64;
        self.asked.store(nonce, Ordering::Relaxed);
        self.lock().outbox.push_control(&Control::Ping { nonce });
    }

    /// False if this is no answer to the last ping.
    fn pong(&self, nonce: u64) -> bool {
        if self.asked.swap(0, Ordering::Relaxed) != nonce || nonce == 0 {
            return false;
        }
        let now = clock::since(self.born).as_micros() as u64;
        let took = Duration::from_micros(now.saturating_sub(nonce).max(1));
        let micros = took.as_micros() as u64;
        self.data_ping.store(micros, Ordering::Relaxed);
        true
    }
}

/// How long a turn takes before others on the thread get theirs: a packet of somebody else waits for up
/// to one of them at each of the four tasks that it and its answer pass through.
const TURN: Duration = Duration::from_micros(250);
/// Frames and datagrams looked at in one turn, however quick that is.
const FRAMES_PER_TURN: usize = 512;
/// Of those, between two looks at the clock where no handler runs in between.
const FRAMES_PER_LOOK: usize = 32;
