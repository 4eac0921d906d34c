//! Violations: what a peer may not do, and the code that it is told. Knows nothing about who looks for them.

use crate::wire::{code::CloseCode, frame::FrameError, read::Malformed};

/// What a peer did that ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("bytes that are not the protocol: {}", .0.0)]
    Malformed(Malformed),
    #[error("an event larger than allowed")]
    TooLarge,
    #[error("an id that no remote has")]
    UnknownRemote,
    #[error("a remote used as another kind")]
    WrongKind,
    #[error("a control message outside the default lane")]
    ControlOffLane,
    #[error("a control message that this side does not take")]
    UnexpectedControl,
    #[error("a second default lane")]
    SecondDefaultLane,
    #[error("too many lanes")]
    TooManyLanes,
    #[error("a barrier beyond what could have been sent")]
    ImpossibleBarrier,
    #[error("more offences than allowed in a minute")]
    TooManyOffences,
    #[error("several times more in datagrams than is allowed")]
    TooManyDatagrams,
    #[error("a lane that was reset")]
    LaneReset,
    #[error("a stream of events that it does not read")]
    StreamStopped,
    #[error("a default lane that ended without a goodbye, or went on after it")]
    Goodbye,
    #[error("a remote announced twice")]
    AnnouncedTwice,
}

impl From<&Violation> for CloseCode {
    fn from(violation: &Violation) -> Self {
        match violation {
            Violation::Malformed(_) => Self::MALFORMED,
            Violation::TooLarge => Self::TOO_LARGE,
            Violation::TooManyOffences | Violation::TooManyDatagrams => Self::RATE,
            Violation::UnknownRemote
            | Violation::WrongKind
            | Violation::ControlOffLane
            | Violation::UnexpectedControl
            | Violation::SecondDefaultLane
            | Violation::TooManyLanes
            | Violation::LaneReset
            | Violation::StreamStopped
            | Violation::Goodbye
            | Violation::AnnouncedTwice
            | Violation::ImpossibleBarrier => Self::PROTOCOL_VIOLATION,
        }
    }
}

impl From<Malformed> for Violation {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<FrameError> for Violation {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Malformed(malformed) => Self::Malformed(malformed),
            FrameError::TooLarge(_) => Self::TooLarge,
        }
    }
}
