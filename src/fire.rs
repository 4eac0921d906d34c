//! Firing: from typed arguments to encoded bytes, and the ways it can fail.
//!
//! Knows remotes and the codec; what happens to the bytes is the caller's business.

use std::{cell::Cell, pin::pin, sync::Arc};

use crate::{
    codec::{self, EncodeError},
    handler::HandlerError,
    link::{Link, reason::DisconnectReason},
    registry::{DeclareError, Entry, describe},
    remote::{Payload, RemoteKind},
    session::outbox::PushError,
    wire::{MAX_UNRELIABLE_PAYLOAD, remote::RemoteInfo},
};

/// Encodes `args` into memory that this thread reuses, and lends the bytes.
pub(crate) fn with_encoded<A: Payload, T>(
    args: &A,
    limit: usize,
    lend: impl FnOnce(&[u8]) -> T,
) -> Result<T, EncodeError> {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken out, so that a `Serialize` that fires something itself finds an empty one.
    let mut bytes = SCRATCH.take();
    if bytes.is_empty() {
        bytes.resize(FIRST, 0);
    }
    let result = codec::overwrite(args, &mut bytes, 0, limit).map(|size| lend(&bytes[..size]));
    if bytes.capacity() <= KEPT {
        SCRATCH.set(bytes);
    }
    result
}

/// What firing has come to; `payload`, to be fired again, where there was no room.
pub(crate) fn unless_full(
    result: Result<(), FireError>,
    payload: &[u8],
) -> Result<Result<(), FireError>, Vec<u8>> {
    match result {
        Err(FireError::QueueFull { .. }) => Err(payload.to_vec()),
        other => Ok(other),
    }
}

/// Fires until there is room; whatever else `fire` says is the result.
pub(crate) async fn when_there_is_room(
    link: &Arc<Link>,
    fire: impl Fn() -> Result<(), FireError>,
) -> Result<(), FireError> {
    let waits = link.credit.waits();
    loop {
        let mut room = pin!(waits.room());
        room.as_mut().enable();
        match fire() {
            // With `Flush::Tick` there would be no room before a tick that may wait for this.
            Err(FireError::QueueFull { .. }) => link.flush(),
            result => return result,
        }
        room.await;
    }
}

/// The largest encoded arguments of an event, by its kind and its policy.
pub(crate) fn event_limit<C>(entry: &Entry<C>, direction: usize) -> usize {
    match entry.declaration.kind {
        RemoteKind::Unreliable => MAX_UNRELIABLE_PAYLOAD,
        RemoteKind::Event | RemoteKind::Function => entry
            .spec
            .policy
            .max_payload
            .map_or(direction, |own| own.min(direction)),
    }
}

/// Why an event was not accepted. Nothing was sent, and nothing was counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FireError {
    /// The encoded arguments are larger than allowed.
    #[error(
        "the arguments of {remote:?} take {size} bytes and {limit} are allowed: send less, or raise the limit"
    )]
    TooLarge {
        /// The remote's name.
        remote: &'static str,
        /// Encoded size in bytes.
        size: usize,
        /// The limit in bytes; 1000 for unreliable events, always.
        limit: usize,
    },
    /// The arguments cannot be encoded.
    #[error(
        "the arguments of {remote:?} cannot be encoded ({why}): send a value that their type can write"
    )]
    Unencodable {
        /// The remote's name.
        remote: &'static str,
        /// What serde says.
        why: String,
    },
    /// The remote is declared in two ways in this program.
    #[error(transparent)]
    Declare(DeclareError),
    /// The server has no remote of this name.
    #[error(
        "the server has no remote {remote:?}: list it in `remotes` there, or use it there first"
    )]
    UnknownRemote {
        /// The remote's name.
        remote: &'static str,
    },
    /// The other side has a remote of this name with another kind or other types.
    #[error(
        "remote {remote:?} is {ours} here and {theirs} on the other side: build both from the same code"
    )]
    SignatureMismatch {
        /// The remote's name.
        remote: &'static str,
        /// Kind and shape on this side.
        ours: String,
        /// Kind and shape on the other side.
        theirs: String,
    },
    /// The player's outbox, or the log of broadcasts, is full: wait, or fire less.
    #[error(
        "{queued} bytes of events are waiting and {limit} are allowed: fire less, or use the waiting form"
    )]
    QueueFull {
        /// Bytes accepted and not yet sent.
        queued: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection has ended.
    #[error("not connected: {reason}")]
    Disconnected {
        /// Why it ended.
        reason: DisconnectReason,
    },
    /// The connection is ending and takes nothing more.
    #[error("the connection is closing")]
    Closing,
}

impl FireError {
    pub(crate) fn encode(remote: &'static str, error: EncodeError) -> Self {
        match error {
            EncodeError::TooLarge { size, limit } => {
                if limit == MAX_UNRELIABLE_PAYLOAD {
                    tracing::warn!(
                        remote,
                        size,
                        limit,
                        over = size - limit,
                        "unreliable event too large"
                    );
                }
                Self::TooLarge {
                    remote,
                    size,
                    limit,
                }
            }
            EncodeError::Unencodable { why } => Self::Unencodable { remote, why },
        }
    }

    pub(crate) fn mismatch(ours: &RemoteInfo, name: &'static str, theirs: &RemoteInfo) -> Self {
        Self::SignatureMismatch {
            remote: name,
            ours: describe(ours),
            theirs: describe(theirs),
        }
    }

    pub(crate) fn push(error: PushError, ended: Option<&DisconnectReason>) -> Self {
        match (error, ended) {
            // Also where that has just cost the player its connection.
            (PushError::Full { queued, limit, .. }, _) => Self::QueueFull { queued, limit },
            (PushError::Closed, Some(reason)) => Self::Disconnected {
                reason: reason.clone(),
            },
            (PushError::Closed, None) => Self::Closing,
        }
    }
}

impl From<DeclareError> for FireError {
    fn from(error: DeclareError) -> Self {
        Self::Declare(error)
    }
}

/// In a handler, what cannot be fired is a failure of this side's, and none of the caller's business.
impl From<FireError> for HandlerError {
    fn from(error: FireError) -> Self {
        Self::internal(error)
    }
}

/// What most events fit in.
const FIRST: usize = 256;
/// A thread keeps at most this much memory for the next event.
const KEPT: usize = 64 * 1024;
