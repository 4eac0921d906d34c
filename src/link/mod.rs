//! Links: one QUIC connection that speaks farfire.
//!
//! [`Link`] is what handles and other threads hold; [`driver::Driver`] is the one task that moves a
//! connection and owns every stream of it. Nothing above this module names quinn or awaits a stream.

mod bell;
pub(crate) mod call;
mod credit;
pub(crate) mod driver;
mod ending;
mod handlers;
pub(crate) mod hub;
mod inbound;
mod mismatch;
mod outbound;
mod passed;
mod pieces;
pub(crate) mod reason;
mod room;
mod serve;
mod stats;
mod stream;
mod work;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
};

pub(crate) use self::serve::run_event_handler;
pub use self::stats::LinkStats;
pub(crate) use self::stats::Load;
use self::{
    bell::Alarm,
    call::OutgoingCall,
    credit::Credit,
    ending::Ending,
    handlers::Waiting,
    hub::{Broadcast, Hub},
    mismatch::{Differences, Mismatches},
    passed::Passed,
    reason::DisconnectReason,
    room::Gauging,
    stats::Counts,
};
use crate::{
    clock,
    config::{Flush, Limits, Timeouts},
    network,
    registry::Registry,
    session::{
        Held, Side,
        ledger::{DropCause, Ledger},
        outbox::{Outbox, Outgoing, PushError},
    },
    wire::{code::CloseCode, remote::Announcement},
};

/// What all connections of one server or client share.
pub(crate) struct Wiring<C> {
    pub(crate) side: Side,
    pub(crate) registry: Arc<Registry<C>>,
    /// Notified when handlers or remotes are added.
    pub(crate) changed: Arc<Notify>,
    /// Where asynchronous handlers go that are not ready at once.
    pub(crate) program: Handle,
    pub(crate) limits: Arc<Limits>,
    pub(crate) timeouts: Arc<Timeouts>,
    pub(crate) flush: Flush,
}

/// The shared half of a connection.
pub(crate) struct Link {
    /// The player's number.
    pub(crate) id: u64,
    thread: usize,
    hub: Option<Arc<Hub>>,
    flush: Flush,
    state: Mutex<State>,
    alarm: Arc<Alarm>,
    /// Whether the hub knows that there is something to send at the next flush.
    parked: AtomicBool,
    /// Whether calls or unordered events are in line, so that the task only looks if there are.
    in_line: AtomicBool,
    /// Whether the connection is to end.
    ending: AtomicBool,
    pub(crate) credit: Credit,
    /// Default-lane events of the peer that are done with.
    passed: Passed,
    ended: OnceLock<DisconnectReason>,
    pub(crate) end: Notify,
    pub(crate) ledger: Arc<Ledger>,
    mismatches: Mismatches,
    connection: quinn::Connection,
    /// Our calls that the peer takes at a time.
    calls_in_flight: usize,
    /// The peer's calls under way, running or not.
    serving: AtomicUsize,
    running: Arc<Semaphore>,
    calls_running: usize,
    /// Of those, permits that are back and were taken for good, after the connection has ended.
    returned: AtomicUsize,
    waiting: Waiting,
    /// What the peer keeps waiting in early queues and inboxes.
    pub(crate) held: Arc<Held>,
    counts: Counts,
    /// Microseconds that a control message last took there and back.
    data_ping: AtomicU64,
    /// What the last ping asked, until it is answered.
    asked: AtomicU64,
    born: Instant,
}

struct State {
    outbox: Outbox,
    gauging: Gauging,
    calls: VecDeque<OutgoingCall>,
    calls_limit: usize,
    /// The next entry of the hub's log; `None` until the player takes part in broadcasts.
    cursor: Option<u64>,
    /// With [`Flush::Tick`]: what is queued is to leave, as a flush was asked for, a call or reply
    /// counts on it, the outbox is crowded, or the connection ends.
    due: bool,
    ending: Option<Ending>,
    /// The peer has said goodbye, for this reason.
    left: Option<DisconnectReason>,
}

impl Link {
    pub(crate) fn new(
        id: u64,
        connection: quinn::Connection,
        hub: Option<Arc<Hub>>,
        thread: usize,
        limits: &Limits,
        calls_in_flight: usize,
        flush: Flush,
    ) -> Arc<Self> {
        let ledger = Arc::<Ledger>::default();
        let mut outbox = Outbox::new(
            limits.outbox_bytes,
            limits.unreliable_outbox_bytes,
            ledger.clone(),
        )
        .with_room_for_broadcasts(limits.broadcast_bytes);
        if hub.is_none() {
            // A client has nothing to announce, which is not to be found out anew with every event.
            outbox.set_announced(u32::MAX);
        }
        Arc::new(Self {
            id,
            thread,
            hub,
            flush,
            state: Mutex::new(State {
                outbox,
                gauging: Gauging::default(),
                calls: VecDeque::new(),
                calls_limit: limits.calls_waiting,
                cursor: None,
                due: false,
                ending: None,
                left: None,
            }),
            alarm: Arc::default(),
            parked: AtomicBool::new(false),
            in_line: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            credit: Credit::default(),
            passed: Passed::default(),
            ended: OnceLock::new(),
            end: Notify::new(),
            ledger,
            mismatches: Mismatches::default(),
            connection,
            calls_in_flight: calls_in_flight.clamp(1, limits.calls_in_flight),
            serving: AtomicUsize::new(0),
            running: Arc::new(Semaphore::new(limits.calls_running)),
            calls_running: limits.calls_running,
            returned: AtomicUsize::new(0),
            waiting: Waiting::new(limits.handlers_waiting),
            held: Held::new(limits.held_bytes),
            counts: Counts::default(),
            data_ping: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            born: clock::now(),
        })
    }

    /// Accepts an event, or says why not. `announce` lists the remotes the peer may not know yet.
    pub(crate) fn fire(
        self: &Arc<Self>,
        event: &Outgoing<'_>,
        announce: impl FnOnce(u32) -> Vec<Announcement>,
    ) -> Result<(), PushError> {
        let (result, lane_too_many, differ) = {
            let mut state = self.lock();
            self.apply_log(&mut state);
            let differ = self.introduce(&mut state, event.id, announce);
            let result = state.outbox.push(event);
            self.mark_line(&state);
            state.due |= state.outbox.is_crowded();
            let result = result.map(|()| (self.may_leave(&state), state.outbox.has_news()));
            (result, state.outbox.take_lane_too_many(), differ)
        };
        self.report(differ);
        if let Some(lane) = lane_too_many {
            let most = crate::wire::MAX_LANES;
            tracing::warn!(
                lane,
                most,
                "too many lanes: its events go on the default one"
            );
        }
        match result {
            Ok((due, news)) => self.wake_to_send(due, news),
            Err(PushError::Full {
                disconnect: true, ..
            }) => self.give_up_as_slow(),
            // It may just have been found to be too far behind.
            Err(_) => self.wake(),
        }
        result.map(drop)
    }

    /// Tells the peer of the remotes up to `id`.
    pub(crate) fn announce(
        self: &Arc<Self>,
        id: u32,
        announce: impl FnOnce(u32) -> Vec<Announcement>,
    ) {
        let differ = {
            let mut state = self.lock();
            // A call to the remote may wait for it, and no tick is to come between.
            state.due = true;
            self.introduce(&mut state, id, announce)
        };
        self.report(differ);
        self.wake();
    }

    /// Announces what the peer has not heard of, up to `id`, and compares it with what the peer declares.
    fn introduce(
        &self,
        state: &mut State,
        id: u32,
        announce: impl FnOnce(u32) -> Vec<Announcement>,
    ) -> Option<Differences> {
        let mut differ = None;
        state.outbox.announce(id, |from| {
            let news = announce(from);
            differ = Some(self.compare(&news));
            news
        });
        differ
    }

    fn report(&self, differ: Option<Differences>) {
        if let Some(differ) = differ {
            differ.report(self.id);
        }
    }

    pub(crate) fn set_announced(&self, id: u32) {
        self.lock().outbox.set_announced(id);
    }

    /// From now on the player takes part in broadcasts.
    ///
    /// It is told of the remotes it does not know yet; those added later reach it through the hub.
    pub(crate) fn activate(self: &Arc<Self>, announce: impl FnOnce(u32) -> Vec<Announcement>) {
        let Some(hub) = &self.hub else { return };
        // Known to the hub first, or what is added between the two could pass unseen.
        hub.add(self.clone());
        let differ = {
            let mut state = self.lock();
            state.cursor = Some(hub.end());
            self.introduce(&mut state, u32::MAX, announce)
        };
        self.report(differ);
    }

    /// Queues a call; it goes out in its turn, after the events accepted before it.
    pub(crate) fn submit(
        self: &Arc<Self>,
        mut call: OutgoingCall,
        announce: impl FnOnce(u32) -> Vec<Announcement>,
    ) -> Result<(), SubmitError> {
        let differ = {
            let mut state = self.lock();
            self.apply_log(&mut state);
            if state.outbox.is_closed() {
                let reason = self.ended().cloned().or_else(|| state.parting());
                drop(state);
                self.wake();
                return Err(SubmitError::Closed(reason.unwrap_or_else(|| {
                    DisconnectReason::Lost {
                        detail: "the connection is closing".into(),
                    }
                })));
            }
            if state.calls.len() >= state.calls_limit {
                drop(state);
                // Broadcasts may have been taken, which nobody else looks for any more.
                self.wake();
                return Err(SubmitError::Full);
            }
            let differ = self.introduce(&mut state, call.id, announce);
            self.counts.calls_out.fetch_add(1, Ordering::Relaxed);
            call.barrier = state.outbox.barrier();
            state.due |= call.ordered;
            state.calls.push_back(call);
            self.mark_line(&state);
            differ
        };
        self.report(differ);
        self.wake();
        Ok(())
    }

    /// Counts the barrier of a reply that leaves now, with everything accepted before it.
    fn reply_barrier(&self) -> u64 {
        let mut state = self.lock();
        if self.apply_log(&mut state) {
            // Unordered events among them are begun in the next round: the hub finds nothing left to wake for.
            self.alarm.schedule();
        }
        state.due = true;
        state.outbox.barrier()
    }

    fn apply_log(&self, state: &mut State) -> bool {
        let (Some(hub), Some(cursor)) = (&self.hub, state.cursor) else {
            return false;
        };
        if cursor == hub.end() || state.outbox.is_closed() {
            return false;
        }
        let mut slow = false;
        let outbox = &mut state.outbox;
        let cursor = hub.read(cursor, |broadcast| {
            if broadcast.except != Some(self.id) && !slow {
                slow = !self.take_broadcast(outbox, broadcast);
            }
        });
        state.cursor = Some(cursor);
        self.mark_line(state);
        if slow {
            self.end(state, CloseCode::SLOW_CONSUMER, "", false);
        }
        true
    }

    /// Has the task look for calls and unordered events, if there are any.
    fn mark_line(&self, state: &State) {
        if state.is_in_line() {
            self.in_line.store(true, Ordering::Release);
        }
    }

    /// False if the player is too far behind.
    fn take_broadcast(&self, outbox: &mut Outbox, broadcast: &Broadcast) -> bool {
        let event = Outgoing {
            id: broadcast.id,
            name: broadcast.name,
            kind: broadcast.kind,
            policy: &broadcast.policy,
            payload: &broadcast.payload,
            patient: false,
        };
        if self.mismatch(event.id).is_some() {
            outbox.refuse(&event, DropCause::SignatureMismatch);
            return true;
        }
        match outbox.push_broadcast(&event) {
            Ok(()) | Err(PushError::Closed) => true,
            Err(PushError::Full { .. }) => {
                outbox.refuse(&event, DropCause::OutboxFull);
                false
            }
        }
    }

    /// Has accepted events leave, at once or at the next flush; without `news` the task comes by itself.
    fn wake_to_send(self: &Arc<Self>, due: bool, news: bool) {
        if due {
            if news {
                self.wake();
            }
        } else if let Some(hub) = &self.hub
            && !self.parked.load(Ordering::Acquire)
        {
            hub.park(self);
        }
    }

    /// Whether what is queued may leave now.
    fn may_leave(&self, state: &State) -> bool {
        self.flush == Flush::Immediate || state.due
    }

    /// Has everything leave that was accepted.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.parked.store(false, Ordering::Release);
        {
            let mut state = self.lock();
            self.apply_log(&mut state);
            state.due = true;
        }
        self.wake();
    }

    /// Has the task run soon, from whatever thread.
    pub(crate) fn wake(self: &Arc<Self>) {
        if !self.alarm.schedule() {
            return;
        }
        match &self.hub {
            // Many links touched in one go cost one wake-up of the thread.
            Some(hub) if network::current_thread() != self.thread => hub.touch(self.clone()),
            _ => self.alarm.wake_task(),
        }
    }

    /// Has the task run soon; for the thread that it runs on.
    fn wake_here(&self) {
        self.alarm.schedule();
        self.alarm.wake_task();
    }

    /// Which end of the connection this is: only a server's link has a hub.
    pub(crate) fn side(&self) -> Side {
        match self.hub {
            Some(_) => Side::Server,
            None => Side::Client,
        }
    }

    /// The number of its player.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The number of the network thread that it lives on.
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    pub(crate) fn remote_address(&self) -> std::net::SocketAddr {
        self.connection.remote_address()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_in_line(&self) -> bool {
        !self.calls.is_empty() || self.outbox.has_unordered()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a call was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubmitError {
    Full,
    Closed(DisconnectReason),
}
