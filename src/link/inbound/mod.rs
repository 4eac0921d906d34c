//! The receiving half of a connection's task: from streams and datagrams to handlers.

mod pace;
mod run;
mod streams;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::RecvStream;

use self::{
    pace::Pace,
    run::Run,
    streams::{Content, Stream},
};
use super::{
    Link, Wiring,
    serve::{run_event_handler, watch},
};
use crate::{
    clock,
    handler::HandlerFuture,
    inbox::Context as HandlerContext,
    registry::{Dispatch, Entry, LastHeard, Registry},
    remote::RemoteKind,
    session::{
        Arrival, Directory, Event, Kept, Lane, LaneKey, Meta, Session, Side, Violation,
        budget::Offences, growth::push_to_few, ledger::DropCause,
    },
    wire::{control::Control, prelude::PreludeReader},
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
    /// Remotes whose held events are still to be offered: the turn was over first, or they were just announced.
    to_offer: VecDeque<u32>,
    /// The remote of the held event that was handed out last.
    offered: u32,
    /// What the registry looked like when unheard events were last offered.
    generation: u64,
    /// Events are kept until a handler returns.
    busy: bool,
    last: LastHeard<C>,
    pending: Vec<HandlerFuture<()>>,
    turn: Turn,
    pace: Pace,
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
    run: Run,
}

impl Turn {
    fn endless(now: Instant) -> Self {
        Self {
            now,
            frames: 0,
            ends: None,
            run: Run::default(),
        }
    }

    /// Names a remote whose handlers kept the network thread for long; gives the time it is now.
    fn watch(&mut self) -> Instant {
        let now = watch(self.run.remote(), self.run.unseen(), self.now);
        self.run.look(now.saturating_duration_since(self.now));
        now
    }
}

/// What the task has to do because of what arrived.
#[derive(Debug)]
pub(super) enum Notice {
    /// The peer says goodbye; its default lane is about to end.
    Goodbye(Control),
    /// The default lane has ended.
    DefaultLaneEnded,
}

/// What became of a held event that was offered again.
enum Offered {
    Taken,
    Still(Kept),
    /// There was none.
    Nothing,
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
            builtin: policy.builtin,
            mismatch: entry.theirs().is_some() || self.link.mismatch(id).is_some(),
        })
    }

    fn name(&self, id: u32) -> Option<String> {
        self.registry.announced_name(id)
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
            pace: Pace::new(wiring.side, &wiring.limits, now),
            wiring,
            context,
            link,
            session,
            streams: Vec::new(),
            first: 0,
            busy: false,
            to_offer: VecDeque::new(),
            offered: 0,
            last: LastHeard::nobody(),
            pending: Vec::new(),
            turn: Turn::endless(now),
            ignores_events: false,
        }
    }

    /// The peer opened a unidirectional stream.
    pub(super) fn accept(&mut self, recv: RecvStream) {
        let content = Content::Prelude(PreludeReader::default());
        push_to_few(&mut self.streams, Stream { recv, content });
    }

    /// Begins a turn of the task: it ends when it has taken long, or has looked at many frames.
    pub(super) fn start_turn(&mut self) {
        let now = clock::now();
        self.turn = Turn {
            now,
            frames: FRAMES_PER_TURN,
            ends: Some(now + TURN),
            run: Run::default(),
        };
        self.session.start_turn(FRAMES_PER_LOOK);
    }

    /// Begins the turn in which everything is read that has arrived.
    pub(super) fn start_last_turn(&mut self) {
        self.turn = Turn::endless(clock::now());
        self.session.start_turn(usize::MAX);
    }

    /// Sees to it that streams which are always full do not keep datagrams waiting for ever, or both of
    /// them calls.
    pub(super) fn leave_turn_for_others(&mut self) {
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

    /// Counts a call that is taken or refused: a stream of its own, which takes as long as many frames.
    pub(super) fn spend_turn_on_call(&mut self) {
        (0..FRAMES_PER_LOOK / CALLS_PER_LOOK).for_each(|_| self.session.spend_turn());
    }

    /// Whether something that has arrived is left unread because its sender has used up its bytes.
    pub(super) fn is_resting(&self) -> bool {
        self.pace.is_resting()
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

    /// False if the turn was over first.
    fn drain_lane(&mut self, key: LaneKey, notices: &mut Vec<Notice>) -> Result<bool, Violation> {
        let Some(mut lane) = self.session.take_lane(key) else {
            return Ok(true);
        };
        let drained = self.drain(&mut lane, notices);
        self.session.put_lane_back(key, lane);
        drained
    }

    fn drain(&mut self, lane: &mut Lane, notices: &mut Vec<Notice>) -> Result<bool, Violation> {
        loop {
            let now = self.turn.now;
            let known = Self::known(&self.wiring, &self.link);
            match self.session.next_on_lane(lane, &known, now)? {
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
            Control::Announce(_) | Control::NextIdentity { .. }
                if self.wiring.side == Side::Server =>
            {
                return Err(Violation::UnexpectedControl);
            }
            Control::Announce(announcement) => {
                let id = announcement.id;
                if !self.wiring.registry.announce([announcement]) {
                    return Err(Violation::AnnouncedTwice);
                }
                // Its own events alone: a server may announce thousands, one at a time.
                let known = Self::known(&self.wiring, &self.link);
                self.session.look_up(id, &known, self.turn.now);
                if self.session.is_held(id) {
                    self.to_offer.push_back(id);
                }
            }
            Control::Ping { nonce } => {
                if self.session.may_ping(clock::now())? {
                    self.link.push_sign_of_life(&Control::Pong { nonce });
                }
            }
            Control::Pong { nonce } => {
                if !self.link.pong(nonce) {
                    // Nobody asked for it: it costs what a ping costs.
                    self.session.may_ping(clock::now())?;
                }
            }
            Control::NextIdentity { pin, after } => {
                // How many of these count is bounded where they are kept.
                let after = Duration::from_secs(after.into());
                self.context.next_identity(pin, after);
            }
            goodbye @ Control::Goodbye { .. } => notices.push(Notice::Goodbye(goodbye)),
        }
        Ok(())
    }

    /// The events of a datagram.
    pub(super) fn datagram(&mut self, datagram: Bytes) -> Result<(), Violation> {
        // One without events takes a look as well.
        self.session.spend_turn();
        let mut events = self.session.datagram(&datagram, self.turn.now)?;
        loop {
            let now = self.turn.now;
            let known = Self::known(&self.wiring, &self.link);
            let Some(event) = self.session.next_unreliable(&mut events, &known, now)? else {
                self.end_run();
                return Ok(());
            };
            let now = self.offer(event, now)?;
            self.look_at_clock(now);
        }
    }

    /// Looks at the clock if handlers have run since it was last looked at, and lets go of them.
    fn end_run(&mut self) {
        if self.turn.run.is_unseen() {
            let now = self.turn.watch();
            self.look_at_clock(now);
        }
        self.last.let_go();
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
        self.to_offer.clear();
    }

    /// Whether held events are to be offered: the registry has changed or handlers have returned since
    /// they were, or some are still to be.
    ///
    /// Asked before the task sleeps as well: what came while it ran has woken nobody.
    pub(super) fn is_to_look_again(&self) -> bool {
        (self.is_news_for_held() || !self.to_offer.is_empty()) && !self.ignores_events
    }

    fn is_news_for_held(&self) -> bool {
        let changed = self.wiring.registry.generation() != self.generation;
        changed || (self.busy && !self.link.waiting.is_full())
    }

    /// Offers held events again, if that may make a difference. True if the turn was over first: then
    /// nothing newer is to be read before the others have been offered.
    pub(super) fn look_again(&mut self) -> Result<bool, Violation> {
        if !self.is_to_look_again() {
            return Ok(false);
        }
        if self.is_news_for_held() {
            self.begin_to_offer();
        }
        while let Some(id) = self.to_offer.pop_front() {
            self.session.spend_turn();
            if matches!(self.offer_first(id)?, Offered::Taken) {
                self.to_offer.push_back(id);
            }
            if self.turn_is_over() && !self.to_offer.is_empty() {
                // Should it begin anew, then with the next one.
                self.offered = id;
                return Ok(true);
            }
        }
        self.pass();
        Ok(false)
    }

    /// Lets calls run that wait for the events before them, unless some of these are still to be handed out.
    fn pass(&self) {
        if self.to_offer.is_empty() {
            self.link.passed.set(self.session.passed());
        }
    }

    fn begin_to_offer(&mut self) {
        let generation = self.wiring.registry.generation();
        if generation != self.generation {
            self.generation = generation;
            let known = Self::known(&self.wiring, &self.link);
            self.session.look_up_again(&known, clock::now());
        }
        self.busy = false;
        let mut held = self.session.held();
        // In turn, and not the same remote first each time, or one could take every place that
        // becomes free.
        held.sort_unstable();
        let first = held.partition_point(|id| *id <= self.offered);
        held.rotate_left(first);
        self.to_offer = held.into();
    }

    /// Gives held events of `id` to whoever listens now, in order, until the turn is over. Says what the
    /// last one led to.
    fn offer_held(&mut self, id: u32) -> Result<Offered, Violation> {
        loop {
            self.session.spend_turn();
            match self.offer_first(id)? {
                Offered::Taken if self.turn_is_over() && self.session.is_held(id) => {
                    self.to_offer.push_front(id);
                    return Ok(Offered::Taken);
                }
                Offered::Taken => {}
                last => return Ok(last),
            }
        }
    }

    fn offer_first(&mut self, id: u32) -> Result<Offered, Violation> {
        let Some((payload, kept)) = self.session.release(id) else {
            return Ok(Offered::Nothing);
        };
        let now = clock::now();
        let Some(entry) = self.wiring.registry.by_id(id) else {
            self.session.put_back(id, payload, kept);
            return Ok(Offered::Still(Kept::Unheard));
        };
        if entry.theirs().is_some() {
            self.session.refuse(id, DropCause::SignatureMismatch, now)?;
            return Ok(Offered::Taken);
        }
        if entry.declaration.kind != RemoteKind::Event {
            return Err(Violation::WrongKind);
        }
        if is_busy(&self.link, &entry) {
            self.busy = true;
            self.session.put_back(id, payload, kept);
            return Ok(Offered::Still(Kept::Busy));
        }
        let pending = &mut self.pending;
        let result = match kept {
            Kept::Unheard => entry.dispatch_early(&self.context, &payload, pending),
            Kept::Busy => entry.dispatch(&self.context, &payload, pending),
        };
        match result {
            Dispatch::Unheard => {
                self.session.put_back(id, payload, Kept::Unheard);
                return Ok(Offered::Still(Kept::Unheard));
            }
            other => self.settle(id, other, now)?,
        }
        self.offered = id;
        self.start_pending(entry.spec.name);
        self.look_at_clock(watch(entry.spec.name, 1, now));
        Ok(Offered::Taken)
    }

    /// Gives an event to its handlers, or keeps it for the first one; gives the time it is then.
    fn offer(&mut self, event: Event<'_>, mut now: Instant) -> Result<Instant, Violation> {
        if self.ignores_events {
            self.session
                .refuse(event.id, DropCause::ConnectionEnded, now)?;
            return Ok(now);
        }
        if event.reliable && self.session.is_held(event.id) {
            match self.offer_held(event.id)? {
                Offered::Nothing => now = self.turn.now,
                Offered::Still(kept) => {
                    self.session.hold(&event, kept, now)?;
                    return Ok(now);
                }
                Offered::Taken => {
                    self.session.hold_behind(&event);
                    return Ok(self.turn.now);
                }
            }
        }
        let Some(remote) = self.last.hear(&self.wiring.registry, event.id) else {
            self.session.hold(&event, Kept::Unheard, now)?;
            return Ok(now);
        };
        if remote.entry.theirs().is_some() {
            // Declared a moment ago: the session has yet to hear of it.
            self.session
                .refuse(event.id, DropCause::SignatureMismatch, now)?;
            return Ok(now);
        }
        if is_busy(&self.link, &remote.entry) {
            self.busy = true;
            match event.reliable {
                true => self.session.hold(&event, Kept::Busy, now)?,
                // As without a handler: what is old by then is not worth its place.
                false => self
                    .session
                    .refuse(event.id, DropCause::HandlersBusy, now)?,
            }
            return Ok(now);
        }
        let name = remote.entry.spec.name;
        if self.turn.run.is_unseen() && !self.turn.run.is_of(name) {
            // The time that the handlers of the one before took is not this one's.
            self.turn.now = self.turn.watch();
        }
        let result = remote.dispatch(&self.context, event.payload, &mut self.pending);
        let now = match self.turn.run.count(name, event.payload.len()) {
            true => self.turn.watch(),
            false => now,
        };
        match result {
            Dispatch::Unheard if event.reliable => self.session.hold(&event, Kept::Unheard, now)?,
            other => self.settle(event.id, other, now)?,
        }
        if !self.pending.is_empty() {
            self.start_pending(name);
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
            run_event_handler(&self.wiring, Some(&self.link), future, remote);
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

/// Whether a handler of `entry` may wait, and as many do as may. Then the task runs again when one has returned.
#[inline]
fn is_busy<C>(link: &Link, entry: &Entry<C>) -> bool {
    link.waiting.is_full() && entry.waits() && link.waiting.ask()
}

/// How long a turn takes before others on the thread get theirs: a packet of somebody else waits for up
/// to one of them at each of the four tasks that it and its answer pass through.
const TURN: Duration = Duration::from_micros(250);
/// Frames and datagrams looked at in one turn, however quick that is.
const FRAMES_PER_TURN: usize = 512;
/// Of those, between two looks at the clock where no handler runs in between.
const FRAMES_PER_LOOK: usize = 32;
/// Calls taken between two such looks.
const CALLS_PER_LOOK: usize = 4;
