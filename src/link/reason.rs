//! Why a connection ended.

use std::fmt;

use quinn::ConnectionError;

use crate::{session::Side, wire::code::CloseCode};

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left, or its program dropped the last handle.
    Left,
    /// The server stopped.
    Shutdown,
    /// The server removed the player, with this message (R104).
    Kicked {
        /// The text given to `kick`.
        message: String,
    },
    /// Nothing was heard from the other side for the idle timeout.
    TimedOut,
    /// The player could not keep up with what was sent to it.
    SlowConsumer,
    /// This side sent something that the other does not take, or too much of it.
    Refused {
        /// The code that was sent.
        code: CloseCode,
    },
    /// The other side sent something that this one does not take, or too much of it.
    Violation {
        /// The code that it was sent.
        code: CloseCode,
    },
    /// The connection broke in another way.
    Lost {
        /// What the transport says about it.
        detail: String,
    },
}

impl DisconnectReason {
    /// What a close or goodbye with `code` from the other side means to `here`.
    ///
    /// A client chooses its code freely: from it, only leaving and complaints mean anything.
    pub(crate) fn from_peer(here: Side, code: CloseCode, text: String) -> Self {
        match (here, code) {
            (Side::Server, CloseCode::LEFT | CloseCode::NONE) => Self::Left,
            (Side::Client, CloseCode::SHUTDOWN) => Self::Shutdown,
            (Side::Client, CloseCode::KICKED) => Self::Kicked { message: text },
            (Side::Client, CloseCode::SLOW_CONSUMER) => Self::SlowConsumer,
            (_, code) => Self::Refused { code },
        }
    }

    /// What the end of the connection by `error` means to `here`.
    pub(crate) fn of(here: Side, error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let text = String::from_utf8_lossy(&close.reason).into_owned();
                let code = CloseCode::from_u64(close.error_code.into_inner());
                Self::from_peer(here, code, text)
            }
            ConnectionError::TimedOut => Self::TimedOut,
            other => Self::Lost {
                detail: other.to_string(),
            },
        }
    }

    /// What ending the connection with `code` here means.
    pub(crate) fn from_here(code: CloseCode, text: String) -> Self {
        match code {
            CloseCode::LEFT => Self::Left,
            CloseCode::SHUTDOWN => Self::Shutdown,
            CloseCode::KICKED => Self::Kicked { message: text },
            CloseCode::SLOW_CONSUMER => Self::SlowConsumer,
            code => Self::Violation { code },
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left"),
            Self::Shutdown => f.write_str("the server stopped"),
            Self::Kicked { message } => write!(f, "kicked: {message}"),
            Self::TimedOut => f.write_str("nothing was heard for too long"),
            Self::SlowConsumer => f.write_str("the player could not keep up"),
            Self::Refused { code } => write!(f, "the other side refused this one: {code}"),
            Self::Violation { code } => write!(f, "the other side broke the rules: {code}"),
            Self::Lost { detail } => write!(f, "the connection was lost: {detail}"),
        }
    }
}
