//! The sending half of a connection's task: from the outbox to streams and datagrams.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::{Arc, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use quinn::{SendStream, WriteError};

use super::{Link, State, pieces::with_pieces, room::Retry, stream::Writer};
use crate::{
    clock,
    config::Flush,
    session::{growth::push_to_few, outbox::Chunk},
    wire::{self, code::CallCode, control::Control, prelude::StreamPrelude},
};

/// The lanes of one connection, and what is on its way into them.
pub(super) struct Outbound {
    link: Arc<Link>,
    lanes: Vec<Lane>,
    /// Set while the network takes no datagrams.
    retry: Option<Retry>,
}

/// What a look into the outbox has shown beside the pieces that were taken.
#[derive(Default)]
struct Taken {
    /// There may be more pieces.
    left: bool,
    /// There is a lane that has not been written as far as it was taken.
    blocked: bool,
    /// Unreliable events may leave.
    datagrams: bool,
}

struct Lane {
    is_default: bool,
    state: LaneState,
    queue: VecDeque<Chunk>,
    /// All of the first piece in the queue, if a part of it may be written already.
    begun: Bytes,
    /// The end of this lane has been asked for, and comes after the queue.
    finish: bool,
    /// Whether the outbox has been told that it is blocked.
    told: bool,
}

enum LaneState {
    Closed,
    Opening(Opening),
    Open(Writer),
    /// Until the peer has acknowledged everything up to the end.
    Finishing(Pin<Box<dyn Future<Output = ()> + Send>>),
    Finished,
}

type Opening = Pin<Box<dyn Future<Output = Result<SendStream, quinn::ConnectionError>> + Send>>;

impl Outbound {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            lanes: Vec::new(),
            retry: None,
            link,
        }
    }

    /// Moves what the outbox holds into QUIC, as far as it goes. Ready with an error when the
    /// connection is gone; otherwise pending.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), WriteError> {
        loop {
            let taken = self.take_chunks();
            let moved = self.write_lanes(cx)?;
            match taken.datagrams {
                true => self.send_datagrams(cx),
                false => self.retry = None,
            }
            // What was fired into a lane that was blocked has woken nobody.
            if !(moved && (taken.left || taken.blocked)) {
                break;
            }
        }
        if self.lanes.iter().any(|lane| lane.told != lane.is_blocked()) {
            let link = self.link.clone();
            self.tell_what_is_blocked(&mut link.lock());
        }
        if self.link.flush == Flush::Tick {
            let mut state = self.link.lock();
            state.due &= !state.outbox.is_taken();
        }
        Ok(())
    }

    /// Takes what lanes can use; one that is blocked leaves the rest in the outbox, under its limit.
    fn take_chunks(&mut self) -> Taken {
        let mut taken = Taken::default();
        let link = self.link.clone();
        let mut state = link.lock();
        taken.blocked = self.tell_what_is_blocked(&mut state);
        if !link.may_leave(&state) {
            state.outbox.set_unreliable_blocked(false);
            return taken;
        }
        taken.datagrams = state.outbox.unreliable_bytes() > 0;
        if !taken.datagrams {
            state.outbox.set_unreliable_blocked(false);
        }
        while self.lanes.len() < state.outbox.lanes() {
            let lane = Lane::new(self.lanes.is_empty());
            push_to_few(&mut self.lanes, lane);
        }
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            // What waits here would only be cut into smaller pieces.
            if lane.is_blocked() {
                continue;
            }
            while lane.queue.len() < MOST_CHUNKS
                && let Some(chunk) = state.outbox.take_lane(at)
            {
                if matches!(lane.state, LaneState::Closed) {
                    // Most lanes never hold more at a time.
                    lane.queue.reserve_exact(2);
                    lane.queue.push_back(prelude(state.outbox.lane_name(at)));
                    lane.state = LaneState::Opening(open(&self.link));
                }
                lane.queue.push_back(chunk);
            }
            taken.left |= lane.queue.len() >= MOST_CHUNKS;
        }
        taken
    }

    /// Has nobody woken for what goes no further than the outbox; true if there is such a lane.
    fn tell_what_is_blocked(&mut self, state: &mut State) -> bool {
        let mut any = false;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            lane.told = lane.is_blocked();
            any |= lane.told;
            state.outbox.set_blocked(at, lane.told);
        }
        any
    }

    /// True if something was written, so that there may be room for more.
    fn write_lanes(&mut self, cx: &mut Context<'_>) -> Result<bool, WriteError> {
        let mut moved = false;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            while !lane.queue.is_empty() {
                let Poll::Ready(whole) = lane.poll_write(cx)? else {
                    break;
                };
                moved = true;
                let mut state = self.link.lock();
                for _ in 0..whole {
                    let written = lane.queue.pop_front();
                    state.outbox.wrote(&written.unwrap_or_default());
                }
                drop(state);
                self.link.credit.give();
            }
            // The queue holds a few pieces; the outbox may have more of this lane.
            if lane.finish
                && lane.queue.is_empty()
                && self.link.lock().outbox.lane_is_empty(at)
                && let LaneState::Open(writer) = &mut lane.state
            {
                let acknowledged = writer.stopped();
                writer.finish();
                lane.state = LaneState::Finishing(Box::pin(async move {
                    let _ = acknowledged.await;
                }));
            }
        }
        Ok(moved)
    }

    /// Hands over what the network has room for, and sees to what it leaves.
    fn send_datagrams(&mut self, cx: &mut Context<'_>) {
        if let Some(retry) = &mut self.retry {
            if !retry.has_come(cx) {
                return;
            }
            self.retry = None;
            self.age(self.link.lock());
        }
        let link = &self.link;
        let streams_wait = self.lanes.iter().any(Lane::is_blocked);
        let mut state = link.lock();
        if link.hand_over(&mut state, streams_wait) {
            drop(state);
            link.credit.give();
            state = link.lock();
        }
        let left = state.outbox.unreliable_bytes() > 0;
        state.outbox.set_unreliable_blocked(left);
        if left {
            let gauge = state.gauging.gauge.clone();
            self.age(state);
            self.retry = Some(Retry::new(gauge, cx));
        }
    }

    /// Unreliable events that the network left behind give way to newer ones, which makes room.
    fn age(&self, mut state: MutexGuard<'_, State>) {
        let gave_way = state.outbox.age_unreliable(clock::now(), SUPERSEDED_AFTER);
        drop(state);
        if gave_way {
            self.link.credit.give();
        }
    }

    /// Ends every lane but the default one, behind what is queued.
    pub(super) fn finish_side_lanes(&mut self) {
        for lane in self.lanes.iter_mut().skip(1) {
            lane.finish = true;
        }
    }

    /// Whether the side lanes are written and acknowledged; the goodbye could overtake them otherwise.
    pub(super) fn side_lanes_done(&mut self, cx: &mut Context<'_>) -> bool {
        let mut done = true;
        for lane in self.lanes.iter_mut().skip(1) {
            done &= lane.poll_done(cx) || matches!(lane.state, LaneState::Closed);
        }
        done
    }

    /// Says goodbye on the default lane, and ends it.
    pub(super) fn say_goodbye(&mut self, goodbye: &Control) {
        if self.lanes.is_empty() {
            push_to_few(&mut self.lanes, Lane::new(true));
        }
        let lane = &mut self.lanes[0];
        if matches!(lane.state, LaneState::Closed) {
            lane.queue.push_back(prelude(""));
            lane.state = LaneState::Opening(open(&self.link));
        }
        let mut payload = Vec::new();
        goodbye.encode(&mut payload);
        let mut bytes = BytesMut::new();
        wire::frame::put_frame(&mut bytes, wire::CONTROL_ID, &payload);
        lane.queue.push_back(Chunk::of(bytes.freeze()));
        lane.finish = true;
    }

    /// Whether the goodbye, and everything before it, is acknowledged.
    pub(super) fn goodbye_done(&mut self, cx: &mut Context<'_>) -> bool {
        self.lanes
            .first_mut()
            .is_some_and(|lane| lane.poll_done(cx))
    }

    /// The connection is over: counts the events of pieces that were not written to their end.
    pub(super) fn end(&self) {
        let state = self.link.lock();
        for lane in &self.lanes {
            if let Some(chunk) = lane.queue.front() {
                let written = lane.begun.len().saturating_sub(chunk.bytes.len());
                let written = lane.begun.slice(..written);
                state.outbox.wrote_partly(chunk, written);
            }
        }
    }

    /// Whether nothing is waiting to be written.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.link.lock();
        self.lanes.iter().all(|lane| lane.queue.is_empty()) && state.is_drained()
    }
}

impl State {
    fn is_drained(&self) -> bool {
        // Control messages take no credit, and unordered events keep theirs until they are written.
        self.outbox.bytes() == 0 && self.outbox.is_taken() && self.calls.is_empty()
    }
}

impl Lane {
    fn new(is_default: bool) -> Self {
        Self {
            is_default,
            state: LaneState::Closed,
            queue: VecDeque::new(),
            begun: Bytes::new(),
            finish: false,
            told: false,
        }
    }

    /// Whether QUIC has as much of it as it takes, and wakes the task when it takes more.
    fn is_blocked(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether it has ended, and all of it is acknowledged.
    fn poll_done(&mut self, cx: &mut Context<'_>) -> bool {
        if let LaneState::Finishing(acknowledged) = &mut self.state
            && acknowledged.as_mut().poll(cx).is_ready()
        {
            self.state = LaneState::Finished;
        }
        matches!(self.state, LaneState::Finished)
    }

    /// Writes from the queue; yields how many pieces at its front are written whole.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<Poll<usize>, WriteError> {
        if let LaneState::Opening(opening) = &mut self.state {
            match opening.as_mut().poll(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(send)) => {
                    let writer = Writer::new(send, CallCode::CANCELLED);
                    if !self.is_default {
                        writer.give_way();
                    }
                    self.state = LaneState::Open(writer);
                }
                Poll::Ready(Err(error)) => {
                    // The task may come by again before it hears that the connection is gone.
                    self.state = LaneState::Finished;
                    return Err(error.into());
                }
            }
        }
        let LaneState::Open(writer) = &mut self.state else {
            return Ok(Poll::Pending);
        };
        let (queue, begun) = (&mut self.queue, &mut self.begun);
        with_pieces(|pieces| {
            let count = queue.len().min(pieces.len());
            let pieces = &mut pieces[..count];
            for (piece, chunk) in pieces.iter_mut().zip(&*queue) {
                piece.clone_from(&chunk.bytes);
            }
            let poll = pin!(writer.stream().write_chunks(pieces)).poll(cx);
            let mut whole = 0;
            if let Poll::Ready(Ok(written)) = &poll {
                whole = written.chunks;
                if whole > 0 {
                    *begun = Bytes::new();
                }
                if let (Some(partly), Some(rest)) = (queue.get_mut(whole), pieces.get_mut(whole)) {
                    if begun.is_empty() {
                        begun.clone_from(&partly.bytes);
                    }
                    partly.bytes = std::mem::take(rest);
                }
            }
            // QUIC has taken those that are whole; the others are still in the queue.
            pieces[whole..].fill(Bytes::new());
            match poll {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(written) => written.map(|written| Poll::Ready(written.chunks)),
            }
        })
    }
}

impl Link {
    /// Sends a control message of the runtime's own, without waiting for a tick.
    pub(crate) fn tell(self: &Arc<Self>, control: &Control) {
        {
            let mut state = self.lock();
            state.outbox.push_control(control);
            state.due = true;
        }
        self.wake();
    }
}

/// Sends one unordered event on a stream of its own. Cut short, it stays counted as one of those that the end of
/// the connection drops.
pub(super) async fn send_unordered(
    link: Arc<Link>,
    id: u32,
    bytes: Bytes,
) -> Result<(), WriteError> {
    let len = bytes.len();
    let send = link.connection.open_uni().await?;
    let mut send = Writer::new(send, CallCode::CANCELLED);
    send.give_way();
    send.write_last(bytes).await?;
    link.lock().outbox.wrote_unordered(id, len);
    link.credit.give();
    let stopped = send.stopped();
    drop(send);
    // The leaver waits for this, so that nothing it accepted is left behind.
    let _ = stopped.await;
    Ok(())
}

fn open(link: &Arc<Link>) -> Opening {
    let connection = link.connection.clone();
    Box::pin(async move { connection.open_uni().await })
}

fn prelude(name: &str) -> Chunk {
    let mut bytes = BytesMut::new();
    StreamPrelude::Lane(name.into()).encode(&mut bytes);
    Chunk::of(bytes.freeze())
}

/// Pieces of a lane that are taken out of the outbox at a time.
const MOST_CHUNKS: usize = 8;
/// Less than a tick of most games: what is left of one tick gives way to the next.
const SUPERSEDED_AFTER: Duration = Duration::from_millis(10);
