//! Why a call has no result, and what that says about the other side.

use std::{fmt, time::Duration};

use super::DisconnectReason;
use crate::{
    codec::EncodeError,
    handler::{HandlerError, IncidentId},
    registry::DeclareError,
    wire::code::CallCode,
};

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
        "remote {name:?} is {}: build both from the same code",
        difference(ours, theirs)
    )]
    SignatureMismatch {
        /// The function's name.
        name: &'static str,
        /// Kind and shape on this side; empty if it was the other side that noticed.
        ours: String,
        /// Kind and shape on the other side; empty likewise.
        theirs: String,
    },
    /// The other side does not allow this call.
    #[error("the other side does not allow this call")]
    Denied,
    /// The handler that made the call was called by one that was called by another, and so on. Nothing
    /// was sent.
    #[error(
        "a call within {limit} calls of each other: handlers that call back must come to an end"
    )]
    TooDeep {
        /// Within how many calls one may be made.
        limit: u8,
    },
    /// The arguments or the result are larger than allowed.
    #[error("{}", too_large(*what, *limit))]
    TooLarge {
        /// Which half of the call.
        what: What,
        /// The limit in bytes; 0 if it is the other side's and not known here.
        limit: usize,
    },
    /// The arguments cannot be encoded; nothing was sent.
    #[error(transparent)]
    Encode(EncodeError),
    /// The arguments did not decode on the other side, or the result did not encode there or decode
    /// here.
    #[error("the {what} did not {}: build both sides from the same code", match what { What::Request => "decode", What::Response => "encode there, or decode here" })]
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
            | Self::TooDeep { .. }
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
    pub(super) fn from_code(
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

/// In a handler, a call of its own that fails is a failure of this side's, and none of the caller's
/// business.
impl From<InvokeError> for HandlerError {
    fn from(error: InvokeError) -> Self {
        Self::internal(error)
    }
}

fn too_large(what: What, limit: usize) -> String {
    let (what, advice) = match what {
        What::Request => ("arguments are", "send less"),
        What::Response => ("result is", "return less"),
    };
    match limit {
        0 => format!("the {what} larger than allowed: {advice}, or raise the limit"),
        _ => format!(
            "the {what} larger than the {limit} bytes allowed: {advice}, or raise the limit"
        ),
    }
}

fn difference(ours: &str, theirs: &str) -> String {
    match theirs {
        "" => "not the same on the other side, whose log has both shapes".into(),
        _ => format!("{ours} here and {theirs} on the other side"),
    }
}
