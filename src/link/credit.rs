//! Credit: who waits for room in the outbox.
//!
//! Mostly nobody does, and then giving room back costs one look. Knows nothing about how much room there is: that
//! is looked at, and given back, under the lock of the link.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, futures::Notified};

#[derive(Default)]
pub(crate) struct Credit {
    waiting: AtomicUsize,
    given: Notify,
}

/// Somebody who will look for room, and wait if there is none.
pub(crate) struct Waits<'a>(&'a Credit);

impl Credit {
    /// To be told of room that is given back from now on; before looking for it.
    pub(crate) fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waits(self)
    }

    /// Room was given back, under the lock under which others look for it: whoever looked before has said so, and
    /// whoever looks later finds it.
    pub(super) fn give(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.given.notify_waiters();
        }
    }
}

impl Waits<'_> {
    /// Resolves when room is given back after this was enabled.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.0.given.notified()
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
