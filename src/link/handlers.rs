//! The peer's handlers that have not returned: how many there are, and who waits for that to change.
//!
//! A handler that waits is a task of the program's, which nobody can end. Counting is all that can be
//! done, and it is enough: beyond a limit nothing is begun. Knows nothing about events or calls.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use super::Link;

/// Asynchronous handlers of the peer's events that have not returned.
pub(super) struct Waiting {
    count: AtomicUsize,
    limit: usize,
    /// Events are kept for want of a place.
    wanted: AtomicBool,
    none: Notify,
}

impl Waiting {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            limit,
            wanted: AtomicBool::new(false),
            none: Notify::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.limit
    }

    /// Asks for the task to be run when a place is free; false if one is.
    pub(super) fn ask(&self) -> bool {
        self.wanted.store(true, SeqCst);
        // Looked at again: whoever gives a place back looks in the other order.
        self.is_full()
    }

    async fn done(&self) {
        loop {
            let mut none = pin!(self.none.notified());
            none.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

/// The place of one handler, until it has returned.
pub(super) struct WaitingPlace(Arc<Link>);

impl WaitingPlace {
    /// Taken whether or not there is room: all handlers of an event get it, or none does.
    pub(super) fn take(link: &Arc<Link>) -> Self {
        link.waiting.count.fetch_add(1, SeqCst);
        Self(link.clone())
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        let waiting = &self.0.waiting;
        if waiting.count.fetch_sub(1, SeqCst) == 1 {
            waiting.none.notify_waiters();
        }
        if waiting.wanted.swap(false, SeqCst) {
            self.0.wake();
        }
    }
}

impl Link {
    /// The handlers that the peer has left running, if there are any.
    pub(crate) fn handlers(self: &Arc<Self>) -> Option<Handlers> {
        let (calls, events) = self.left_running();
        (calls + events > 0).then(|| Handlers(self.clone()))
    }

    /// How many handlers of calls run, and how many of events, once the connection has ended.
    pub(crate) fn left_running(&self) -> (usize, usize) {
        let permits = self.running.available_permits();
        let done = permits + self.returned.load(SeqCst);
        let calls = self.calls_running.saturating_sub(done);
        (calls, self.waiting.count())
    }
}

/// Handlers that run on after their connection has ended.
pub(crate) struct Handlers(Arc<Link>);

impl Handlers {
    /// Waits until none runs.
    pub(crate) async fn done(self) {
        let link = &self.0;
        for _ in 0..link.calls_running {
            // One after the other, so that those that still run can be told from those waited for.
            let Ok(permit) = link.running.acquire().await else {
                break;
            };
            permit.forget();
            link.returned.fetch_add(1, SeqCst);
        }
        link.waiting.done().await;
    }
}
