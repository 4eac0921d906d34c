//! The task that moves one connection.
//!
//! Spawned by whoever made the connection, on the network thread that owns it; ends when the
//! connection does. It owns every stream, every timer and every call of the connection; dropping it
//! resets the streams and fails the calls.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use quinn::{VarInt, WriteError};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval_at, sleep};

use super::{
    Link, Wiring,
    bell::{Alarm, Source},
    call::{CallSlot, exchange},
    ending::Ending,
    inbound::{Inbound, Notice},
    outbound::{Outbound, send_unordered},
    reason::DisconnectReason,
    serve::Serving,
    work::Work,
};
use crate::{
    handler::{guarded, incident_of},
    inbox::Context as HandlerContext,
    session::{Side, Violation},
    wire::{code::CloseCode, control::Control},
};

pub(crate) struct Driver<C> {
    wiring: Arc<Wiring<C>>,
    link: Arc<Link>,
    connection: quinn::Connection,
    sources: Sources,
    inbound: Inbound<C>,
    outbound: Outbound,
    serving: Arc<Serving<C>>,
    work: Work<Done>,
    /// Our calls among `work`.
    calls: usize,
    /// Our unordered events among `work`.
    events: usize,
    /// Whether the peer has stopped a stream with events on it before they were all written.
    stopped: bool,
    ping: Interval,
    silence: Silence,
    phase: Phase,
    peer: Peer,
    /// Where the callers of our calls under way wait.
    slots: Vec<Arc<CallSlot>>,
    notices: Vec<Notice>,
}

/// What the task waits for, beside what it is given to send.
struct Sources {
    uni: Source,
    streams: Source,
    datagrams: Source,
    bi: Source,
    work: Source,
    ping: Source,
}

impl Sources {
    fn new(alarm: &Arc<Alarm>) -> Self {
        let source = || Source::new(alarm);
        Self {
            uni: source(),
            streams: source(),
            datagrams: source(),
            bi: source(),
            work: source(),
            ping: source(),
        }
    }

    /// Whether one of them has rung while others were asked.
    fn ring(&self) -> bool {
        let Self {
            uni,
            streams,
            datagrams,
            bi,
            work,
            ping,
        } = self;
        let all = [uni, streams, datagrams, bi, work, ping];
        all.iter().any(|source| source.rings())
    }
}

/// How long nothing has been heard.
#[derive(Default)]
struct Silence {
    /// Packets that had arrived at the last ping.
    seen: u64,
    /// Pings since then without another one.
    pings: u32,
}

/// Which of the task's pieces of work came to its end.
enum Done {
    Call,
    Event(Result<(), WriteError>),
    Served,
}

enum Phase {
    Running,
    Leaving(Box<Leaving>),
}

/// The connection ends, because this side or the other wants it to.
struct Leaving {
    ending: Ending,
    reason: DisconnectReason,
    said_goodbye: bool,
    patience: Pin<Box<Sleep>>,
}

/// How far the other side is with leaving.
#[derive(PartialEq, Eq)]
enum Peer {
    Here,
    /// It has said goodbye.
    Leaving,
    /// Its default lane has ended.
    Left,
}

impl<C: HandlerContext> Driver<C> {
    pub(crate) fn new(wiring: Arc<Wiring<C>>, context: C, link: Arc<Link>) -> Self {
        let mut ping = interval_at(tokio::time::Instant::now() + FIRST_PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let inbound = Inbound::new(wiring.clone(), context.clone(), link.clone());
        let sources = Sources::new(&link.alarm);
        Self {
            outbound: Outbound::new(link.clone()),
            serving: Serving::new(wiring.clone(), context, link.clone(), inbound.offences()),
            inbound,
            connection: link.connection.clone(),
            wiring,
            link,
            work: Work::new(sources.work.waker()),
            sources,
            calls: 0,
            events: 0,
            stopped: false,
            ping,
            silence: Silence::default(),
            phase: Phase::Running,
            peer: Peer::Here,
            slots: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Moves the connection until it ends, and says why it did.
    ///
    /// In a box: an async function keeps its arguments beside what it makes of them.
    pub(crate) async fn run(mut self: Box<Self>) -> DisconnectReason {
        let (connection, link) = (self.connection.clone(), self.link.clone());
        let result = AssertUnwindSafe(self.drive()).catch_unwind().await;
        // It has callers to tell and handlers to drop, which are the program's code.
        let _ = guarded(|| drop(self));
        match result {
            Ok(reason) => reason,
            // Handlers are guarded one by one; this is other code of the program, such as the key of
            // a remote or a `Drop`. It ends this connection, in order, and nothing else.
            Err(panic) => {
                incident_of(&*panic);
                let code = CloseCode::INTERNAL;
                connection.close(VarInt::from_u32(code.as_u32()), code.text().as_bytes());
                let ended = link.ended().cloned();
                ended.unwrap_or_else(|| DisconnectReason::from_here(code, String::new()))
            }
        }
    }

    async fn drive(&mut self) -> DisconnectReason {
        let connection = self.connection.clone();
        let guard = EndGuard {
            link: self.link.clone(),
            reason: None,
        };
        let reason = {
            let mut datagram = pin!(connection.read_datagram());
            let mut uni = pin!(connection.accept_uni());
            let mut bi = pin!(connection.accept_bi());
            poll_fn(|cx| {
                self.link.alarm.register(cx.waker());
                self.link.alarm.run();
                self.inbound.start_turn();
                for _ in 0..MOST_ROUNDS {
                    self.sources.uni.answer(|cx| {
                        while let Poll::Ready(Ok(stream)) = uni.as_mut().poll(cx) {
                            self.inbound.accept(stream);
                            self.sources.streams.ask_again();
                            uni.set(connection.accept_uni());
                        }
                    });
                    let mut more = match self.read() {
                        Ok(more) => more,
                        Err(violation) => return Poll::Ready(self.punish(&violation)),
                    };
                    self.inbound.leave_turn_for_others();
                    let lost = self.sources.datagrams.answer(|cx| {
                        loop {
                            if self.inbound.turn_is_over() {
                                more = true;
                                self.sources.datagrams.ask_again();
                                return Ok(None);
                            }
                            match datagram.as_mut().poll(cx) {
                                Poll::Ready(Ok(bytes)) => {
                                    datagram.set(connection.read_datagram());
                                    self.inbound.datagram(bytes)?;
                                }
                                Poll::Ready(Err(error)) => return Ok(Some(error)),
                                Poll::Pending => return Ok(None),
                            }
                        }
                    });
                    let lost = match lost.transpose() {
                        Ok(lost) => lost.flatten(),
                        Err(violation) => return Poll::Ready(self.punish(&violation)),
                    };
                    self.inbound.report();
                    if let Some(error) = lost {
                        // What had arrived is read before the end surfaces; it is finite.
                        self.inbound.start_last_turn();
                        self.sources.streams.ask_again();
                        if let Err(violation) = self.read() {
                            return Poll::Ready(self.punish(&violation));
                        }
                        return Poll::Ready(self.lost(error));
                    }
                    self.inbound.leave_turn_for_others();
                    self.sources.bi.answer(|cx| {
                        loop {
                            if self.inbound.turn_is_over() {
                                more = true;
                                self.sources.bi.ask_again();
                                return;
                            }
                            let Poll::Ready(Ok((send, recv))) = bi.as_mut().poll(cx) else {
                                return;
                            };
                            bi.set(connection.accept_bi());
                            self.inbound.spend_turn_on_call();
                            if let Some(call) = self.serving.admit(send, recv, Done::Served) {
                                self.work.push(call);
                                self.sources.work.ask_again();
                            }
                        }
                    });
                    self.work();
                    let mut ticks = 0;
                    self.sources.ping.answer(|cx| {
                        while self.ping.poll_tick(cx).is_ready() {
                            ticks += 1;
                        }
                    });
                    for _ in 0..ticks {
                        if self.is_silent() {
                            return Poll::Ready(self.give_up_on_quic());
                        }
                        self.link.ping();
                    }
                    if let Poll::Ready(reason) = self.send(cx, more) {
                        return Poll::Ready(reason);
                    }
                    if more {
                        break;
                    }
                    let idle = !self.sources.ring() && !self.inbound.is_to_look_again();
                    if idle && self.link.alarm.idle() {
                        return Poll::Pending;
                    }
                }
                // Others on this thread get their turn first, and so do packets that have
                // arrived: a task that wakes itself has them wait for a number of its turns.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                Poll::Pending
            })
            .await
        };
        // The close leaves first: a program may end as soon as it hears of the end, and the other
        // side would wait for what never comes.
        tokio::task::yield_now().await;
        self.outbound.end();
        guard.end(reason)
    }

    /// Reads the streams that have something, within the turn. True if more may be there.
    fn read(&mut self) -> Result<bool, Violation> {
        if self.inbound.look_again()? {
            return Ok(true);
        }
        let read = |cx: &mut Context<'_>| self.inbound.poll_streams(cx, &mut self.notices);
        let more = self.sources.streams.answer(read).transpose()? == Some(true);
        if more {
            self.sources.streams.ask_again();
        }
        for notice in std::mem::take(&mut self.notices) {
            self.notice(notice)?;
        }
        Ok(more)
    }

    fn notice(&mut self, notice: Notice) -> Result<(), Violation> {
        match (notice, &self.peer) {
            (Notice::Goodbye(Control::Goodbye { code, text }), Peer::Here) => {
                let reason = DisconnectReason::from_peer(self.wiring.side, code, text);
                self.peer = Peer::Leaving;
                if matches!(self.phase, Phase::Running) {
                    // What this side has accepted is delivered as well, before both close.
                    self.link.leave(reason.clone());
                    let ending = Ending {
                        code,
                        text: String::new(),
                        graceful: true,
                    };
                    self.begin_to_leave(ending, reason);
                }
                Ok(())
            }
            (Notice::DefaultLaneEnded, Peer::Leaving) => {
                self.peer = Peer::Left;
                Ok(())
            }
            (Notice::Goodbye(_) | Notice::DefaultLaneEnded, _) => Err(Violation::Goodbye),
        }
    }

    fn begin_to_leave(&mut self, ending: Ending, reason: DisconnectReason) {
        // Calls in line would get no turn before the end, and of those under way nobody who is being
        // removed can be trusted to answer one.
        let line = std::mem::take(&mut self.link.lock().calls);
        for call in line {
            call.slot.disconnected(reason.clone());
        }
        if ending.code == CloseCode::KICKED && self.wiring.side == Side::Server {
            for slot in self.slots.drain(..) {
                slot.disconnected(reason.clone());
            }
            self.inbound.ignore_events();
        }
        let patience = Box::pin(sleep(self.wiring.timeouts.leave));
        self.phase = Phase::Leaving(Box::new(Leaving {
            ending,
            reason,
            said_goodbye: false,
            patience,
        }));
    }

    /// Starts calls and unordered events whose turn it is, and polls those under way.
    fn work(&mut self) {
        let mut ended = true;
        // Places that are free again are for those that wait in line.
        while std::mem::take(&mut ended) {
            // Whatever handlers and callbacks fired up to here goes out below, and what they called begins;
            // what comes later shows at the end.
            self.link.alarm.run();
            self.begin();
            self.sources.work.answer(|_| {
                self.work.poll(|done| {
                    match done {
                        Done::Call => self.calls -= 1,
                        Done::Event(sent) => {
                            self.events -= 1;
                            self.stopped |= matches!(sent, Err(WriteError::Stopped(_)));
                        }
                        Done::Served => return,
                    }
                    ended = true;
                });
            });
        }
    }

    /// Starts calls and unordered events whose turn it is.
    fn begin(&mut self) {
        if !self.link.in_line.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.link.lock();
        while self.calls < self.link.calls_in_flight {
            let Some(call) = state.calls.pop_front() else {
                break;
            };
            self.calls += 1;
            // Not at every call: each of them would look at all that are under way.
            if self.slots.len() >= self.calls * 2 {
                self.slots.retain(|slot| slot.is_waiting());
            }
            self.slots.push(call.slot.clone());
            let link = self.link.clone();
            self.sources.work.ask_again();
            self.work.push(Box::pin(async move {
                exchange(link, call).await;
                Done::Call
            }));
        }
        while self.events < UNORDERED_AT_ONCE && self.link.may_leave(&state) {
            let Some((id, bytes)) = state.outbox.take_unordered() else {
                break;
            };
            self.events += 1;
            let link = self.link.clone();
            self.sources.work.ask_again();
            self.work.push(Box::pin(async move {
                Done::Event(send_unordered(link, id, bytes).await)
            }));
        }
        let in_line = state.is_in_line();
        self.link.in_line.store(in_line, Ordering::Release);
    }

    /// Sends what can be sent, and moves an ending connection on towards its end; `unread` says that
    /// there is more to read.
    fn send(&mut self, cx: &mut Context<'_>, unread: bool) -> Poll<DisconnectReason> {
        if matches!(self.phase, Phase::Running) && self.link.is_ending() {
            let ending = self.link.lock().ending.clone();
            match ending {
                Some(ending) if !ending.graceful => return Poll::Ready(self.close(ending)),
                Some(ending) => {
                    let reason = DisconnectReason::from_here(ending.code, ending.text.clone());
                    self.begin_to_leave(ending, reason);
                }
                None => {}
            }
        }
        // Any other error means that the connection is gone, which reading tells with its reason.
        self.stopped |= matches!(self.outbound.poll(cx), Err(WriteError::Stopped(_)));
        if self.stopped {
            return Poll::Ready(self.punish(&Violation::StreamStopped));
        }
        match &mut self.phase {
            Phase::Running => Poll::Pending,
            Phase::Leaving(leaving) => {
                let Leaving {
                    ending,
                    reason,
                    said_goodbye,
                    patience,
                } = &mut **leaving;
                if !*said_goodbye {
                    self.outbound.finish_side_lanes();
                    // The ends go out first: only then is there something to wait for.
                    let _ = self.outbound.poll(cx);
                    if self.outbound.is_empty()
                        && self.events == 0
                        && self.outbound.side_lanes_done(cx)
                    {
                        let Ending { code, text, .. } = ending.clone();
                        self.outbound.say_goodbye(&Control::Goodbye { code, text });
                        *said_goodbye = true;
                        let _ = self.outbound.poll(cx);
                    }
                }
                // Everything else of the peer was acknowledged before it said goodbye, and everything
                // of this side before it is closed.
                let unread = unread || self.inbound.is_resting();
                let peer_done = self.peer == Peer::Left && !unread;
                let done = peer_done && *said_goodbye && self.outbound.goodbye_done(cx);
                if !done && patience.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let (ending, reason) = (ending.clone(), reason.clone());
                self.close(ending);
                Poll::Ready(reason)
            }
        }
    }

    fn close(&self, ending: Ending) -> DisconnectReason {
        let Ending { code, text, .. } = ending;
        self.connection
            .close(VarInt::from_u32(code.as_u32()), text.as_bytes());
        DisconnectReason::from_here(code, text)
    }

    fn punish(&mut self, violation: &Violation) -> DisconnectReason {
        self.inbound.report();
        let code = CloseCode::from(violation);
        tracing::warn!(player = self.link.id, %violation, "closing a connection that broke the rules");
        self.connection
            .close(VarInt::from_u32(code.as_u32()), code.text().as_bytes());
        DisconnectReason::Violation { code }
    }

    /// Whether nothing at all has arrived for so long that QUIC should have ended the connection itself.
    fn is_silent(&mut self) -> bool {
        let received = self.connection.stats().udp_rx.datagrams;
        let Silence { seen, pings } = &mut self.silence;
        *pings = if *seen == received { *pings + 1 } else { 0 };
        *seen = received;
        // Counted, not timed: after a pause of the whole thread, what has arrived is still to be read.
        PING * *pings > self.wiring.timeouts.idle * 2
    }

    /// QUIC's timers live in a task of quinn's, which stops at the first error of the socket without
    /// telling anybody.
    fn give_up_on_quic(&self) -> DisconnectReason {
        tracing::warn!(
            player = self.link.id,
            "the transport of a connection has stopped: closing it"
        );
        self.connection
            .close(VarInt::from_u32(CloseCode::INTERNAL.as_u32()), b"");
        DisconnectReason::TimedOut
    }

    fn lost(&self, error: quinn::ConnectionError) -> DisconnectReason {
        match &self.phase {
            // The close of the other side answers the goodbye of this one, and the other way round.
            Phase::Leaving(leaving) => leaving.reason.clone(),
            Phase::Running => DisconnectReason::of(self.wiring.side, error),
        }
    }
}

/// Tells everybody that the connection has ended, also when its task is dropped half way.
struct EndGuard {
    link: Arc<Link>,
    reason: Option<DisconnectReason>,
}

impl EndGuard {
    fn end(mut self, reason: DisconnectReason) -> DisconnectReason {
        self.reason = Some(reason.clone());
        reason
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        let detail = match std::thread::panicking() {
            true => "the connection's task panicked",
            false => "the network thread stopped",
        };
        let aborted = || DisconnectReason::Lost {
            detail: detail.into(),
        };
        self.link
            .end_with(self.reason.take().unwrap_or_else(aborted));
    }
}

/// Rounds of a turn before others get theirs, if its sources keep ringing.
const MOST_ROUNDS: usize = 16;
/// Streams that unordered events may take of the peer's credit at the same time.
const UNORDERED_AT_ONCE: usize = 48;
/// The first measurement of the data ping, soon enough to show up while somebody looks.
const FIRST_PING: Duration = Duration::from_millis(500);
/// The others: often enough for a display.
const PING: Duration = Duration::from_secs(5);
