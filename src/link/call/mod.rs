//! Outgoing calls: the exchange on a call's own stream.
//!
//! The caller's deadline is the caller's own: it holds whether or not the connection's task lives.
//! Knows nothing about the types that travel, nor about the callee's half.

mod error;
mod slot;
#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};

pub use self::error::{BusyScope, Delivery, InvokeError, Stage, What};
pub(crate) use self::slot::{CallSlot, Listener};
use super::{
    Link,
    reason::DisconnectReason,
    stream::{CollectError, Reader, Writer},
};
use crate::{
    clock,
    handler::IncidentId,
    session::Violation,
    wire::{
        MAX_BARRIER_AHEAD, MAX_REASON_BYTES,
        code::CallCode,
        invoke::{MAX_REPLY_HEADER, MAX_REQUEST_HEADER, Reply, RequestHeader, decode_reply},
    },
};

/// A call on its way out.
pub(crate) struct OutgoingCall {
    pub(crate) id: u32,
    /// Room for the header, then the encoded arguments.
    pub(crate) request: Vec<u8>,
    pub(crate) ordered: bool,
    pub(crate) barrier: u64,
    /// Within how many other calls it is made.
    pub(crate) depth: u8,
    pub(crate) deadline: Instant,
    /// The longest result that is taken.
    pub(crate) reply_limit: usize,
    pub(crate) slot: Arc<CallSlot>,
}

/// Makes sure that a slot is filled when the task that works on it goes away.
struct Pending {
    slot: Arc<CallSlot>,
    link: Arc<Link>,
    /// It is filled, or nobody waits for it.
    settled: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.settled || !self.slot.is_waiting() {
            return;
        }
        let reason = self.link.parting();
        let reason = reason.unwrap_or_else(|| DisconnectReason::Lost {
            detail: "the connection's task ended".into(),
        });
        self.slot.disconnected(reason);
    }
}

/// Carries one call to the peer and its reply back, and fills the slot.
pub(super) async fn exchange(link: Arc<Link>, call: OutgoingCall) {
    let mut pending = Pending {
        slot: call.slot.clone(),
        link,
        settled: false,
    };
    let slot = &pending.slot;
    {
        let mut talk = pin!(talk(&pending.link, call));
        poll_fn(|cx| {
            // Asked in this order: a call that was given up while it waited in line is not begun.
            // Dropping the conversation resets its stream, with the code that was left in the slot.
            if slot.poll_abandoned(cx).is_ready() {
                return Poll::Ready(());
            }
            talk.as_mut().poll(cx).map(|result| slot.complete(result))
        })
        .await;
    }
    pending.settled = true;
}

/// Both halves of a call's stream.
struct Conversation {
    send: Writer,
    recv: Reader,
    slot: Arc<CallSlot>,
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if self.send.is_finished() && self.recv.is_done() {
            return;
        }
        if let Some(code) = self.slot.gave_up() {
            self.send.set_code(code);
            self.recv.set_code(code);
        }
    }
}

async fn talk(link: &Arc<Link>, call: OutgoingCall) -> Result<Bytes, InvokeError> {
    let slot = call.slot.clone();
    let lost = |stage| {
        let reason = link.parting();
        let reason = reason.or_else(|| {
            let closed = link.connection.close_reason();
            closed.map(|error| DisconnectReason::of(link.side(), error))
        });
        let reason = reason.unwrap_or_else(|| DisconnectReason::Lost {
            detail: "the stream is gone".into(),
        });
        InvokeError::Disconnected { stage, reason }
    };

    let opened = {
        let mut open = pin!(link.connection.open_bi());
        // A stage that is over at once is nobody's to see.
        match poll_fn(|cx| Poll::Ready(open.as_mut().poll(cx))).await {
            Poll::Ready(opened) => opened,
            Poll::Pending => {
                slot.enter(Stage::Open);
                open.await
            }
        }
    };
    let (send, recv) = opened.map_err(|_| lost(Stage::Open))?;
    let mut talk = Conversation {
        send: Writer::new(send, CallCode::CANCELLED),
        recv: Reader::new(recv, CallCode::CANCELLED),
        slot: slot.clone(),
    };

    slot.enter(Stage::Send);
    let remaining = call.deadline.saturating_duration_since(clock::now());
    let header = RequestHeader {
        function: call.id,
        remaining,
        barrier: call.ordered.then_some(call.barrier),
        depth: call.depth,
    };
    let request = put_in_front(call.request, MAX_REQUEST_HEADER, |body_len, out| {
        header.encode(body_len, out)
    });
    let written = talk.send.write(request).await;
    if written.is_err() && link.connection.close_reason().is_some() {
        return Err(lost(Stage::Send));
    }
    // The end of the request is what lets it run. A caller that gave up before was told that the
    // call was not sent.
    if !slot.enter(Stage::Wait) {
        return Err(InvokeError::Cancelled);
    }
    // A stopped stream says why on its other half.
    if written.is_ok() {
        talk.send.finish();
    }

    let most = call.reply_limit.max(MAX_REASON_BYTES) + MAX_REPLY_HEADER;
    let begun = || _ = slot.enter(Stage::Receive);
    let reply = match talk.recv.read_to_end(most, begun).await {
        Ok(reply) => reply,
        Err(CollectError::Reset(code)) => return Err(InvokeError::from_code(code, None, None)),
        Err(CollectError::Lost) => return Err(lost(slot.stage())),
        Err(CollectError::TooLarge) => {
            talk.recv.set_code(CallCode::RESPONSE_TOO_LARGE);
            return Err(too_large(call.reply_limit));
        }
    };
    if reply.is_empty() {
        return Err(InvokeError::Abandoned);
    }
    let reply = decode_reply(reply).map_err(|_| InvokeError::Decode {
        what: What::Response,
    })?;
    let barrier = reply.barrier();
    if call.ordered {
        check_barrier(link, barrier)?;
        if link.passed.count() < barrier {
            slot.enter(Stage::Barrier);
            link.passed.reach(barrier).await;
            slot.enter(Stage::Decode);
        }
    }
    match reply {
        Reply::Ok { body, .. } if body.len() > call.reply_limit => Err(too_large(call.reply_limit)),
        Reply::Ok { body, .. } => Ok(body),
        Reply::Failed { message, .. } => Err(InvokeError::Failed { message }),
        Reply::System {
            code,
            incident,
            retry_after,
            ..
        } => Err(InvokeError::from_code(
            code,
            Some(IncidentId(incident)),
            retry_after,
        )),
    }
}

fn too_large(limit: usize) -> InvokeError {
    InvokeError::TooLarge {
        what: What::Response,
        limit,
    }
}

impl Link {
    /// The caller that `slot` is of waits no longer. Gives how far the call had come; nothing if it has its
    /// result already.
    pub(crate) fn give_up(self: &Arc<Self>, slot: &Arc<CallSlot>, code: CallCode) -> Option<Stage> {
        let stage = slot.give_up(code)?;
        if stage == Stage::Admit {
            self.withdraw(slot);
        }
        Some(stage)
    }

    /// What a caller is told whose deadline has come at `stage`.
    pub(crate) fn overdue(&self, stage: Stage, elapsed: Duration) -> InvokeError {
        match self.parting() {
            Some(reason) => InvokeError::Disconnected { stage, reason },
            None => InvokeError::Timeout { stage, elapsed },
        }
    }

    /// Takes a call back whose turn has not come: one that nobody waits for keeps no place in line.
    pub(crate) fn withdraw(self: &Arc<Self>, slot: &Arc<CallSlot>) {
        let (call, ending) = {
            let mut state = self.lock();
            let calls = &mut state.calls;
            let at = calls.iter().position(|call| Arc::ptr_eq(&call.slot, slot));
            (at.and_then(|at| calls.remove(at)), state.ending.is_some())
        };
        // An ending connection waits for the line to be empty.
        if call.is_some() && ending {
            self.wake();
        }
    }
}

/// A barrier further ahead than the peer's events in flight could be is a lie.
pub(super) fn check_barrier(link: &Arc<Link>, barrier: u64) -> Result<(), InvokeError> {
    let passed = link.passed.count();
    if barrier.saturating_sub(passed) > MAX_BARRIER_AHEAD {
        link.punish(&Violation::ImpossibleBarrier);
        return Err(InvokeError::Protocol {
            code: CallCode::REQUEST_MALFORMED,
        });
    }
    Ok(())
}

/// Writes a header right before the body that follows `room` bytes of head room.
pub(super) fn put_in_front(
    mut message: Vec<u8>,
    room: usize,
    encode: impl FnOnce(usize, &mut &mut [u8]),
) -> Bytes {
    let body_len = message.len() - room;
    let mut header = [0; HEADER_ROOM];
    let mut rest = &mut header[..];
    encode(body_len, &mut rest);
    let unused = rest.len();
    let len = HEADER_ROOM - unused;
    let mut end = room;
    let slack = message.capacity() - message.len();
    if (1..=SMALL).contains(&slack) && body_len <= SMALL {
        // A buffer that is full to its end needs no second allocation to be shared.
        message.resize(message.len() + slack, 0);
        message.copy_within(room..room + body_len, room + slack);
        end += slack;
    }
    let start = end - len;
    message[start..end].copy_from_slice(&header[..len]);
    let mut message = Bytes::from(message);
    message.advance(start);
    message
}

/// Room for the longer of the two headers.
const HEADER_ROOM: usize = 64;
/// Moving as many bytes takes less than an allocation.
const SMALL: usize = 256;
