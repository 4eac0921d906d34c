//! The path of an event without its network, for benchmarks and for tests that count.
//!
//! Compiled with the feature `testing` only, and part of no promise. Everything between a `fire` and
//! the bytes, and between the bytes and the handler, is what connections use; what it lacks is the
//! connection: no task, no lock, no stream.

use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    config::{Limits, Rate},
    fire::{event_limit, with_encoded},
    handler,
    registry::{Dispatch, Entry, LastHeard, Registry},
    remote::{EventRemote, Payload},
    session::{
        Arrival, Directory, Event, Held, LaneKey, Meta, Session, Side,
        ledger::Ledger,
        outbox::{Outbox, Outgoing},
    },
    wire,
};

/// A side that fires, to one peer or to several.
pub struct Sender {
    registry: Registry<()>,
    outboxes: Vec<Outbox>,
}

impl Sender {
    /// To this many peers.
    pub fn new(peers: usize) -> Self {
        let limits = Limits::default();
        let outbox = |_| {
            let ledger = Arc::<Ledger>::default();
            Outbox::new(limits.outbox_bytes, limits.unreliable_outbox_bytes, ledger)
        };
        Self {
            registry: Registry::new(true),
            outboxes: (0..peers).map(outbox).collect(),
        }
    }

    /// Finds a remote, as every fire does.
    pub fn look_up<A: Payload>(&self, remote: &impl EventRemote<A>) -> Option<u32> {
        self.registry.entry(remote).ok()?.id()
    }

    /// Fires an event to every peer, encoded once. False if one of them did not take it.
    pub fn fire<A: Payload>(&mut self, remote: &impl EventRemote<A>, args: &A) -> bool {
        let Ok(entry) = self.registry.entry(remote) else {
            return false;
        };
        let outboxes = &mut self.outboxes;
        let push = |payload: &[u8]| push(outboxes, entry, payload);
        with_encoded(args, event_limit(entry, usize::MAX), push).unwrap_or(false)
    }

    /// The same with a payload that is encoded already.
    pub fn fire_encoded<A: Payload>(&mut self, remote: &impl EventRemote<A>, bytes: &[u8]) -> bool {
        let Ok(entry) = self.registry.entry(remote) else {
            return false;
        };
        push(&mut self.outboxes, entry, bytes)
    }

    /// Takes what leaves for a peer on its default lane, as if it had been written.
    pub fn take_lane(&mut self, peer: usize) -> Option<Bytes> {
        let outbox = &mut self.outboxes[peer];
        let chunk = outbox.take_lane(0)?;
        outbox.wrote(&chunk);
        Some(chunk.bytes)
    }

    /// Takes the next datagram for a peer.
    pub fn take_datagram(&mut self, peer: usize) -> Option<Bytes> {
        self.outboxes[peer].take_datagram(wire::MAX_DATAGRAM)
    }
}

fn push(outboxes: &mut [Outbox], entry: &Entry<()>, payload: &[u8]) -> bool {
    let event = Outgoing {
        id: entry.slot + 1,
        name: entry.spec.name,
        kind: entry.declaration.kind,
        policy: &entry.spec.policy,
        payload,
        patient: false,
    };
    outboxes
        .iter_mut()
        .all(|outbox| outbox.push(&event).is_ok())
}

/// The side that a client fires to.
pub struct Receiver {
    registry: Registry<()>,
    session: Session,
    lane: LaneKey,
    last: LastHeard<()>,
    pending: Vec<handler::HandlerFuture<()>>,
}

impl Receiver {
    /// A server, whose budgets are large enough for any measurement.
    pub fn new() -> Self {
        let limits = Limits {
            events: Rate::per_second(u32::MAX),
            unreliable_events: Rate::per_second(u32::MAX),
            ..Limits::default()
        };
        let held = Held::new(limits.held_bytes);
        let now = Instant::now();
        let mut session = Session::new(Side::Server, &limits, Arc::default(), held, now);
        session.start_turn(usize::MAX);
        let lane = session.open_lane("").expect("it is the first");
        Self {
            registry: Registry::new(true),
            session,
            lane,
            last: LastHeard::nobody(),
            pending: Vec::new(),
        }
    }

    /// Sets a handler.
    pub fn on<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
        handler: impl Fn(A) + Send + Sync + 'static,
    ) -> bool {
        let Ok(entry) = self.registry.entry(remote) else {
            return false;
        };
        let call = handler::event(move |_: &(), args| handler(args));
        self.registry.listen(entry, false, call);
        true
    }

    /// Gives bytes of the default lane to the handlers; yields how many events ran.
    pub fn lane(&mut self, bytes: Bytes, now: Instant) -> usize {
        self.session.lane_bytes(self.lane, bytes);
        let mut lane = self.session.take_lane(self.lane).expect("it was put back");
        let mut ran = 0;
        loop {
            let known = Known(&self.registry);
            match self.session.next_on_lane(&mut lane, &known, now) {
                Ok(Some(Arrival::Event(event))) => ran += self.dispatch(&event),
                _ => break,
            }
        }
        self.session.put_lane_back(self.lane, lane);
        self.last.let_go();
        ran
    }

    /// Gives a datagram to the handlers; yields how many events ran.
    pub fn datagram(&mut self, bytes: Bytes, now: Instant) -> usize {
        let Ok(mut events) = self.session.datagram(&bytes, now) else {
            return 0;
        };
        let mut ran = 0;
        loop {
            let known = Known(&self.registry);
            match self.session.next_unreliable(&mut events, &known, now) {
                Ok(Some(event)) => ran += self.dispatch(&event),
                _ => break,
            }
        }
        self.last.let_go();
        ran
    }

    /// Gives a payload to the handlers of a remote, which decode it.
    pub fn dispatch_payload<A: Payload>(
        &mut self,
        remote: &impl EventRemote<A>,
        bytes: &[u8],
    ) -> bool {
        let Ok(entry) = self.registry.entry(remote) else {
            return false;
        };
        entry.dispatch(&(), bytes, &mut self.pending) == Dispatch::Dispatched
    }

    fn dispatch(&mut self, event: &Event<'_>) -> usize {
        let Some(remote) = self.last.hear(&self.registry, event.id) else {
            return 0;
        };
        let dispatch = remote.dispatch(&(), event.payload, &mut self.pending);
        self.session.dispatched(event.id);
        usize::from(dispatch == Dispatch::Dispatched)
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// Encodes arguments and lends the bytes, as a fire does; `None` if they cannot be encoded.
pub fn encode<A: Payload, T>(args: &A, lend: impl FnOnce(&[u8]) -> T) -> Option<T> {
    with_encoded(args, usize::MAX, lend).ok()
}

/// Decodes arguments, behind the guard.
pub fn decode<A: Payload>(bytes: &[u8]) -> Option<A> {
    handler::arguments(bytes).ok()
}

struct Known<'a>(&'a Registry<()>);

impl Directory for Known<'_> {
    fn meta(&self, id: u32) -> Option<Meta> {
        let entry = self.0.by_id(id)?;
        let policy = &entry.spec.policy;
        Some(Meta {
            name: entry.spec.name,
            kind: entry.declaration.kind,
            max_payload: policy.max_payload,
            rate: policy.rate,
            latest_wins: policy.latest_wins,
            key: entry.declaration.key.clone(),
            mismatch: false,
            builtin: false,
        })
    }

    fn exists(&self, id: u32) -> bool {
        id as usize <= self.0.len()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = self.outboxes.len();
        f.debug_struct("Sender").field("peers", &peers).finish()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
