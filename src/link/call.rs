//! Outgoing calls: the slot a caller waits on, and the exchange on the call's own stream.
//!
//! The caller's deadline is the caller's own: it holds whether or not the connection's task lives.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::{Either, select};

use super::{
    Link,
    reason::DisconnectReason,
    stream::{CollectError, Reader, Writer},
};
use crate::{
    codec::EncodeError,
    handler::IncidentId,
    network::clock,
    registry::DeclareError,
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
    pub(crate) request: BytesMut,
    pub(crate) ordered: bool,
    pub(crate) barrier: u64,
    pub(crate) deadline: Instant,
    /// The longest result that is taken.
    pub(crate) reply_limit: usize,
    pub(crate) slot: Arc<CallSlot>,
}

/// Where a caller waits; the connection's task puts the result in.
pub(crate) struct CallSlot {
    state: Mutex<SlotState>,
    stage: AtomicU8,
}

enum SlotState {
    Waiting {
        caller: Option<Waker>,
        task: Option<Waker>,
    },
    Done(Result<Bytes, InvokeError>),
    /// The caller went away; the code says why.
    GivenUp(CallCode),
}

impl CallSlot {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(SlotState::Waiting {
                caller: None,
                task: None,
            }),
            stage: AtomicU8::new(Stage::Admit as u8),
        })
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::Relaxed))]
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Puts the result in; what comes after the first is dropped.
    fn complete(&self, result: Result<Bytes, InvokeError>) {
        let caller = {
            let mut state = self.lock();
            let SlotState::Waiting { caller, .. } = &mut *state else {
                return;
            };
            let caller = caller.take();
            *state = SlotState::Done(result);
            caller
        };
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    pub(super) fn disconnected(&self, reason: DisconnectReason) {
        self.complete(Err(InvokeError::Disconnected {
            stage: self.stage(),
            reason,
        }));
    }

    /// The caller's side: takes the result out.
    pub(crate) fn poll_result(&self, cx: &Context<'_>) -> Poll<Result<Bytes, InvokeError>> {
        let mut state = self.lock();
        if let SlotState::Waiting { caller, .. } = &mut *state {
            match caller {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *caller = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, SlotState::GivenUp(CallCode::CANCELLED)) {
            SlotState::Done(result) => Poll::Ready(result),
            SlotState::Waiting { .. } | SlotState::GivenUp(_) => Poll::Pending,
        }
    }

    /// The caller waits no longer: the task resets the stream.
    pub(crate) fn give_up(&self, code: CallCode) {
        let task = {
            let mut state = self.lock();
            let SlotState::Waiting { task, .. } = &mut *state else {
                return;
            };
            let task = task.take();
            *state = SlotState::GivenUp(code);
            task
        };
        if let Some(task) = task {
            task.wake();
        }
    }

    fn given_up(&self) -> impl Future<Output = CallCode> + '_ {
        poll_fn(|cx| match &mut *self.lock() {
            SlotState::GivenUp(code) => Poll::Ready(*code),
            SlotState::Done(_) => Poll::Ready(CallCode::CANCELLED),
            SlotState::Waiting { task, .. } => {
                *task = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes sure that a slot is filled when the task that works on it goes away.
struct Pending {
    slot: Arc<CallSlot>,
    link: Arc<Link>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let reason = match self.link.ended() {
            Some(reason) => reason.clone(),
            None => DisconnectReason::Lost {
                detail: "the connection's task ended".into(),
            },
        };
        self.slot.disconnected(reason);
    }
}

/// Carries one call to the peer and its reply back, and fills the slot.
pub(super) async fn exchange(link: Arc<Link>, call: OutgoingCall) {
    let pending = Pending {
        slot: call.slot.clone(),
        link,
    };
    let slot = &pending.slot;
    let talk = pin!(talk(&pending.link, call));
    let given_up = pin!(slot.given_up());
    match select(talk, given_up).await {
        Either::Left((result, _)) => slot.complete(result),
        // Dropping the conversation resets its stream, with the code that was left in the slot.
        Either::Right(_) => {}
    }
}

async fn talk(link: &Arc<Link>, mut call: OutgoingCall) -> Result<Bytes, InvokeError> {
    let slot = call.slot.clone();
    let lost = |stage| {
        let reason = link.connection.close_reason().map(DisconnectReason::from);
        let reason = reason.or_else(|| link.ended().cloned());
        let reason = reason.unwrap_or_else(|| DisconnectReason::Lost {
            detail: "the stream is gone".into(),
        });
        InvokeError::Disconnected { stage, reason }
    };

    slot.enter(Stage::Open);
    let (send, recv) = link
        .connection
        .open_bi()
        .await
        .map_err(|_| lost(Stage::Open))?;
    let mut send = Writer::new(send, CallCode::CANCELLED);
    let mut recv = Reader::new(recv, CallCode::CANCELLED);

    slot.enter(Stage::Send);
    let remaining = call.deadline.saturating_duration_since(clock::now());
    let header = RequestHeader {
        function: call.id,
        remaining,
        barrier: call.ordered.then_some(call.barrier),
    };
    put_in_front(&mut call.request, MAX_REQUEST_HEADER, |body_len, out| {
        header.encode(body_len, out)
    });
    if send.write_last(call.request.freeze()).await.is_err()
        && link.connection.close_reason().is_some()
    {
        return Err(lost(Stage::Send));
    }
    // A stopped stream says why on its other half.

    slot.enter(Stage::Wait);
    let reply = match recv
        .read_to_end(call.reply_limit.max(MAX_REASON_BYTES) + MAX_REPLY_HEADER)
        .await
    {
        Ok(reply) => reply,
        Err(CollectError::Reset(code)) => return Err(InvokeError::from_code(code, None, None)),
        Err(CollectError::Lost) => return Err(lost(slot.stage())),
        Err(CollectError::TooLarge) => {
            recv.set_code(CallCode::RESPONSE_TOO_LARGE);
            return Err(InvokeError::TooLarge {
                what: What::Response,
                limit: call.reply_limit,
            });
        }
    };
    if reply.is_empty() {
        return Err(InvokeError::Abandoned);
    }

    slot.enter(Stage::Receive);
    let reply = decode_reply(reply).map_err(|_| InvokeError::Decode {
        what: What::Response,
    })?;
    let barrier = reply.barrier();
    if call.ordered {
        slot.enter(Stage::Barrier);
        check_barrier(link, barrier)?;
        link.pass(barrier).await;
    }
    slot.enter(Stage::Decode);
    match reply {
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

/// A barrier further ahead than the peer's events in flight could be is a lie.
pub(super) fn check_barrier(link: &Arc<Link>, barrier: u64) -> Result<(), InvokeError> {
    let passed = link.passed();
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
    message: &mut BytesMut,
    room: usize,
    encode: impl FnOnce(usize, &mut &mut [u8]),
) {
    let body_len = message.len() - room;
    let mut header = [0; HEADER_ROOM];
    let mut rest = &mut header[..];
    encode(body_len, &mut rest);
    let unused = rest.len();
    let len = HEADER_ROOM - unused;
    message.advance(room - len);
    message[..len].copy_from_slice(&header[..len]);
}

/// How far a call had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for its turn among the calls to this peer.
    Admit,
    /// Waiting for the peer to allow a stream.
    Open,
    /// Sending the arguments.
    Send,
    /// Waiting for the reply to begin.
    Wait,
    /// Reading the reply.
    Receive,
    /// The reply is here; events that were sent before it are not yet.
    Barrier,
    /// Decoding the reply.
    Decode,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::Admit,
        Self::Open,
        Self::Send,
        Self::Wait,
        Self::Receive,
        Self::Barrier,
        Self::Decode,
    ];

    /// Whether a call that ended here cannot have run: the callee starts nothing before it has the
    /// whole request, and an unfinished request is reset.
    const fn is_before_sent(self) -> bool {
        matches!(self, Self::Admit | Self::Open | Self::Send)
    }
}

/// What is known about a call that has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "complete by definition: the four cases there are"
)]
pub enum Delivery {
    /// It never left this machine whole.
    NotSent,
    /// The other side says that it ran no handler for it.
    Rejected,
    /// It may or may not have run.
    Unknown,
    /// It ran, at least in part.
    Executed,
}

/// Which half of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum What {
    /// The arguments.
    Request,
    /// The result.
    Response,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "arguments",
            Self::Response => "result",
        })
    }
}

/// Whose limit a refused call ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BusyScope {
    /// Too many calls to this peer already wait on this side.
    LocalQueue,
    /// The peer already has as many calls from this side as it takes.
    PeerQueue,
    /// The peer takes fewer calls of this function per second.
    RateLimit,
}

/// Why a call has no result.
///
/// [`delivery`](Self::delivery) says whether it can have run. farfire never repeats a call by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The handler refused, with a message that its developer chose.
    #[error("the handler refused: {message}")]
    Failed {
        /// At most 256 bytes. From a client it is untrusted text.
        message: String,
    },
    /// The handler panicked; the other side's log has the text under this number.
    #[error("the handler panicked (incident {incident})")]
    Panicked {
        /// The number in the other side's log.
        incident: IncidentId,
    },
    /// The handler failed with an internal error; the other side's log has the text.
    #[error("the handler failed (incident {incident})")]
    Internal {
        /// The number in the other side's log.
        incident: IncidentId,
    },
    /// The deadline passed.
    #[error("no answer after {elapsed:?}, at stage {stage:?}")]
    Timeout {
        /// How far the call had come.
        stage: Stage,
        /// How long it had waited.
        elapsed: Duration,
    },
    /// The other side cancelled the call.
    #[error("the other side cancelled the call")]
    Cancelled,
    /// The connection ended, or had ended before the call.
    #[error("disconnected at stage {stage:?}: {reason}")]
    Disconnected {
        /// How far the call had come.
        stage: Stage,
        /// Why the connection ended.
        reason: DisconnectReason,
    },
    /// The other side is shutting down and takes no more calls.
    #[error("the other side is shutting down")]
    Draining,
    /// A limit on calls was reached: wait before trying again.
    #[error("too many calls ({scope:?})")]
    Busy {
        /// Whose limit.
        scope: BusyScope,
        /// When another attempt makes sense, if the peer said so.
        retry_after: Option<Duration>,
    },
    /// The other side has no function of this name: declare it there.
    #[error("the other side has no remote function {name:?}: declare it on the server")]
    UnknownFunction {
        /// The function's name.
        name: &'static str,
    },
    /// Nobody has set a handler, and the other side keeps no more calls waiting for one.
    #[error("the other side has set no handler")]
    NoHandler,
    /// Both sides declare this function with different types.
    #[error(
        "remote {name:?} is {ours} here and {theirs} on the other side: build both from the same code"
    )]
    SignatureMismatch {
        /// The function's name.
        name: &'static str,
        /// Kind and shape on this side.
        ours: String,
        /// Kind and shape on the other side.
        theirs: String,
    },
    /// The other side does not allow this call.
    #[error("the other side does not allow this call")]
    Denied,
    /// The arguments or the result are larger than allowed.
    #[error("the {what} are larger than the limit of {limit} bytes")]
    TooLarge {
        /// Which half of the call.
        what: What,
        /// The limit in bytes; 0 if it is the other side's and not known here.
        limit: usize,
    },
    /// The arguments cannot be encoded; nothing was sent.
    #[error(transparent)]
    Encode(EncodeError),
    /// The arguments did not decode on the other side, or the result did not here.
    #[error("the {what} did not decode: build both sides from the same code")]
    Decode {
        /// Which half of the call.
        what: What,
    },
    /// The stream ended without an answer.
    #[error("the other side dropped the call without an answer")]
    Abandoned,
    /// The other side broke the protocol.
    #[error("the other side broke the protocol ({code})")]
    Protocol {
        /// The code it sent.
        code: CallCode,
    },
    /// The remote is declared in two ways in this program.
    #[error(transparent)]
    Declare(DeclareError),
    /// A blocking call was made on a thread of an asynchronous runtime, which it would stall.
    #[error("a blocking call on a runtime's thread would stall it: await the call instead")]
    WouldBlock,
}

impl InvokeError {
    /// What is known about whether the handler ran.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Timeout { stage, .. } | Self::Disconnected { stage, .. } => {
                match stage.is_before_sent() {
                    true => Delivery::NotSent,
                    false => Delivery::Unknown,
                }
            }
            Self::Encode(_)
            | Self::Declare(_)
            | Self::WouldBlock
            | Self::Busy {
                scope: BusyScope::LocalQueue,
                ..
            } => Delivery::NotSent,
            // Found here: it never left. Found there: no handler ran.
            Self::TooLarge {
                what: What::Request,
                limit,
            } if *limit > 0 => Delivery::NotSent,
            Self::TooLarge {
                what: What::Request,
                ..
            }
            | Self::Decode {
                what: What::Request,
            }
            | Self::Busy { .. }
            | Self::UnknownFunction { .. }
            | Self::NoHandler
            | Self::SignatureMismatch { .. }
            | Self::Denied
            | Self::Draining => Delivery::Rejected,
            Self::Failed { .. }
            | Self::Panicked { .. }
            | Self::Internal { .. }
            | Self::TooLarge {
                what: What::Response,
                ..
            }
            | Self::Decode {
                what: What::Response,
            } => Delivery::Executed,
            Self::Cancelled | Self::Abandoned | Self::Protocol { .. } => Delivery::Unknown,
        }
    }

    /// Whether the call can be repeated without running twice.
    pub fn is_retry_safe(&self) -> bool {
        matches!(self.delivery(), Delivery::NotSent | Delivery::Rejected)
    }

    /// What a code from the callee means, in a reply or a reset.
    fn from_code(
        code: CallCode,
        incident: Option<IncidentId>,
        retry_after: Option<Duration>,
    ) -> Self {
        let incident = incident.unwrap_or(IncidentId(0));
        match code {
            CallCode::DROPPED | CallCode::ABANDONED => Self::Abandoned,
            CallCode::CANCELLED | CallCode::CALLER_DEADLINE => Self::Cancelled,
            CallCode::BUSY => Self::Busy {
                scope: BusyScope::PeerQueue,
                retry_after,
            },
            CallCode::RATE_LIMITED => Self::Busy {
                scope: BusyScope::RateLimit,
                retry_after,
            },
            CallCode::DRAINING => Self::Draining,
            CallCode::UNKNOWN_FUNCTION => Self::UnknownFunction { name: "" },
            CallCode::NO_HANDLER => Self::NoHandler,
            CallCode::SIGNATURE => Self::SignatureMismatch {
                name: "",
                ours: String::new(),
                theirs: String::new(),
            },
            CallCode::DENIED => Self::Denied,
            CallCode::REQUEST_TOO_LARGE => Self::TooLarge {
                what: What::Request,
                limit: 0,
            },
            CallCode::REQUEST_MALFORMED => Self::Decode {
                what: What::Request,
            },
            CallCode::REQUEST_STALLED => Self::Timeout {
                stage: Stage::Send,
                elapsed: Duration::ZERO,
            },
            CallCode::CALLEE_DEADLINE => Self::Timeout {
                stage: Stage::Wait,
                elapsed: Duration::ZERO,
            },
            CallCode::PANICKED => Self::Panicked { incident },
            CallCode::HANDLER_INTERNAL => Self::Internal { incident },
            CallCode::RESPONSE_TOO_LARGE => Self::TooLarge {
                what: What::Response,
                limit: 0,
            },
            CallCode::RESPONSE_ENCODE => Self::Decode {
                what: What::Response,
            },
            CallCode::RUNTIME_SHUTDOWN => Self::Disconnected {
                stage: Stage::Wait,
                reason: DisconnectReason::Lost {
                    detail: "the other side's runtime stopped".into(),
                },
            },
            code => Self::Protocol { code },
        }
    }

    /// Fills in what the link does not know: the remote's name, and how long the call took.
    pub(crate) fn about(mut self, function: &'static str, took: Duration) -> Self {
        match &mut self {
            Self::UnknownFunction { name } | Self::SignatureMismatch { name, .. } => {
                *name = function
            }
            Self::Timeout { elapsed, .. } if elapsed.is_zero() => *elapsed = took,
            _ => {}
        }
        self
    }
}

/// Room for the longer of the two headers.
const HEADER_ROOM: usize = 64;
