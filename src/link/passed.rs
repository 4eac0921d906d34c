//! The barrier: how many default-lane events of the peer are done with, and who waits for more.
//!
//! Knows nothing about events, calls or replies; they only count, or wait for a count.

use std::{
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

#[derive(Default)]
pub(super) struct Passed {
    count: AtomicU64,
    waiting: Mutex<WaitingList>,
}

#[derive(Default)]
struct WaitingList {
    last: u64,
    list: Vec<Waiting>,
}

struct Waiting {
    place: u64,
    barrier: u64,
    waker: Waker,
}

impl Passed {
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, count: u64) {
        if self.count.swap(count, Ordering::AcqRel) == count {
            return;
        }
        self.waiting().list.retain(|waiting| {
            let waits = waiting.barrier > count;
            if !waits {
                waiting.waker.wake_by_ref();
            }
            waits
        });
    }

    /// Waits until `barrier` events are done with.
    pub(super) fn reach(&self, barrier: u64) -> Reach<'_> {
        Reach {
            passed: self,
            barrier,
            place: None,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingList> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives its place up when it is dropped: a peer that makes calls wait and takes them back again
/// leaves nothing behind.
pub(super) struct Reach<'a> {
    passed: &'a Passed,
    barrier: u64,
    place: Option<u64>,
}

impl Future for Reach<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let passed = self.passed;
        if passed.count() >= self.barrier {
            return Poll::Ready(());
        }
        let mut waiting = passed.waiting();
        // Looked at again under the lock, which `set` takes after it has counted.
        if passed.count() >= self.barrier {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let known = waiting
            .list
            .iter_mut()
            .find(|one| Some(one.place) == self.place);
        if let Some(known) = known {
            known.waker = waker;
            return Poll::Pending;
        }
        waiting.last += 1;
        let (place, barrier) = (waiting.last, self.barrier);
        waiting.list.push(Waiting {
            place,
            barrier,
            waker,
        });
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Reach<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.passed.waiting().list.retain(|one| one.place != place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn poll(future: Pin<&mut impl Future<Output = ()>>) -> bool {
        future
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn whoever_waits_is_ready_when_the_count_is_reached() {
        let passed = Passed::default();
        let mut second = pin!(passed.reach(2));
        assert!(poll(pin!(passed.reach(0))));
        assert!(!poll(second.as_mut()));
        passed.set(1);
        assert!(!poll(second.as_mut()));
        passed.set(2);
        assert!(poll(second.as_mut()));
    }

    #[test]
    fn one_who_waits_takes_one_place_and_leaves_none_behind() {
        let passed = Passed::default();
        {
            let mut reach = pin!(passed.reach(5));
            assert!(!poll(reach.as_mut()));
            assert!(!poll(reach.as_mut()));
            assert_eq!(passed.waiting().list.len(), 1);
        }
        assert!(passed.waiting().list.is_empty());
    }
}
