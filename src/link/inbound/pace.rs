//! The pace at which a client's streams are read.
//!
//! What is not read waits at its sender, by QUIC's flow control: nothing is lost, and nobody is punished.
//! Knows nothing about what is read.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use crate::{
    config::Limits,
    session::{Side, budget::Bucket},
};

pub(super) struct Pace {
    /// `None` on a client, which reads what its server sends.
    bytes: Option<Bucket>,
    /// While there is something to read and nothing left to read it with.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(super) fn new(side: Side, limits: &Limits, now: Instant) -> Self {
        let bytes = (side == Side::Server).then(|| Bucket::new(limits.bytes_from_client, now));
        Self { bytes, rest: None }
    }

    /// Looks at what has come back by `now`.
    pub(super) fn look(&mut self, now: Instant) {
        if let Some(bytes) = &mut self.bytes
            && bytes.wait(now).is_none()
        {
            self.rest = None;
        }
    }

    /// Bytes were read.
    #[inline]
    pub(super) fn spend(&mut self, count: usize) {
        if let Some(bytes) = &mut self.bytes {
            bytes.spend(count);
        }
    }

    /// Whether nothing more is to be read for now.
    #[inline]
    pub(super) fn is_used_up(&self) -> bool {
        self.bytes.as_ref().is_some_and(Bucket::is_used_up)
    }

    /// Whether something that has arrived is left unread meanwhile.
    pub(super) fn is_resting(&self) -> bool {
        self.rest.is_some()
    }

    /// Has the task woken when there is something to read with again; ready if there is.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let wait = self.bytes.as_mut().and_then(|bytes| bytes.wait(now));
        let Some(wait) = wait else {
            return Poll::Ready(());
        };
        // Not as soon as there is a byte: each rest is a timer, and a turn of the task.
        let rest = self.rest.insert(Box::pin(sleep(wait.max(REST))));
        rest.as_mut().poll(cx)
    }
}

/// How long a rest takes at least.
const REST: Duration = Duration::from_millis(1);
