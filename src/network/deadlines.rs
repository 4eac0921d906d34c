//! Deadlines: who is woken when, whatever else stands still.
//!
//! One queue for a network, and one task on its timer thread that waits for the first of them. Most are
//! taken out again long before, so that is what has to be cheap: a deadline that comes later than the task looks
//! next wakes nobody. Knows nothing about what they are the deadlines of.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::{select, sync::Notify, time::sleep_until};

use crate::{clock, handler::guarded};

#[derive(Default)]
pub(super) struct Deadlines {
    queue: Mutex<Queue>,
    /// Notified when the task is to look earlier than it meant to.
    earlier: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<Key, Waker>,
    last: u64,
    /// When the task looks next; the one that it looked for may be gone by then.
    looks: Option<Instant>,
}

/// Two may be at the same time.
type Key = (Instant, u64);

impl Deadlines {
    pub(super) fn at(self: &Arc<Self>, at: Instant) -> Deadline {
        Deadline {
            deadlines: self.clone(),
            at,
            number: None,
        }
    }

    /// The task that keeps them; runs until it is aborted or dropped with its runtime.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            match self.wake_due(clock::now()) {
                None => self.earlier.notified().await,
                Some(next) => select! {
                    () = sleep_until(next.into()) => {}
                    () = self.earlier.notified() => {}
                },
            }
        }
    }

    /// Wakes those whose time has come by `now`, and says when to look again.
    fn wake_due(&self, now: Instant) -> Option<Instant> {
        loop {
            let waker = {
                let mut queue = self.lock();
                match queue.waiting.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    first => {
                        let next = first.map(|first| first.key().0);
                        queue.looks = next;
                        return next;
                    }
                }
            };
            // The code of whoever polls: not under the lock, and its panic is nobody else's.
            let _ = guarded(|| waker.wake());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready once its time has come; takes a place in the queue when it is first polled, until it is dropped.
pub(crate) struct Deadline {
    deadlines: Arc<Deadlines>,
    at: Instant,
    number: Option<u64>,
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(number) = self.number {
            let key = (self.at, number);
            match self.deadlines.lock().waiting.get(&key) {
                None => return Poll::Ready(()),
                Some(waker) if waker.will_wake(cx.waker()) => return Poll::Pending,
                Some(_) => {}
            }
            // Cloned and dropped outside of the lock, which others' code could come back to.
            let mut waker = cx.waker().clone();
            return match self.deadlines.lock().waiting.get_mut(&key) {
                None => Poll::Ready(()),
                Some(old) => {
                    std::mem::swap(old, &mut waker);
                    Poll::Pending
                }
            };
        }
        let waker = cx.waker().clone();
        let (number, earlier) = {
            let mut queue = self.deadlines.lock();
            queue.last += 1;
            let number = queue.last;
            queue.waiting.insert((self.at, number), waker);
            let earlier = queue.looks.is_none_or(|looks| self.at < looks);
            if earlier {
                queue.looks = Some(self.at);
            }
            (number, earlier)
        };
        self.number = Some(number);
        if earlier {
            self.deadlines.earlier.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.deadlines.lock().waiting.remove(&(self.at, number));
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
        time::Duration,
    };

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }

    fn bell() -> (Arc<Bell>, Waker) {
        let bell = Arc::<Bell>::default();
        (bell.clone(), bell.into())
    }

    fn poll(deadline: &mut Deadline, waker: &Waker) -> bool {
        let deadline = Pin::new(deadline);
        deadline.poll(&mut Context::from_waker(waker)).is_ready()
    }

    fn rung(bell: &Bell) -> usize {
        bell.0.load(Ordering::SeqCst)
    }

    #[test]
    fn those_whose_time_has_come_are_woken_once() {
        let (deadlines, now) = (Arc::<Deadlines>::default(), Instant::now());
        let ((first, first_waker), (second, second_waker)) = (bell(), bell());
        let mut early = deadlines.at(now);
        let mut same = deadlines.at(now);
        let mut late = deadlines.at(now + SECOND);
        assert!(!poll(&mut early, &first_waker));
        assert!(!poll(&mut same, &first_waker));
        assert!(!poll(&mut late, &second_waker));
        assert_eq!(deadlines.wake_due(now), Some(now + SECOND));
        assert_eq!((rung(&first), rung(&second)), (2, 0));
        assert!(poll(&mut early, &first_waker) && poll(&mut same, &first_waker));
        assert!(!poll(&mut late, &second_waker));
        assert_eq!(deadlines.wake_due(now + SECOND), None);
        assert_eq!((rung(&first), rung(&second)), (2, 1));
        assert!(poll(&mut late, &second_waker));
    }

    #[test]
    fn one_that_is_dropped_leaves_nothing_behind() {
        let (deadlines, now) = (Arc::<Deadlines>::default(), Instant::now());
        let (bell, waker) = bell();
        let mut dropped = deadlines.at(now);
        assert!(!poll(&mut dropped, &waker));
        drop(dropped);
        assert!(deadlines.lock().waiting.is_empty());
        assert_eq!(deadlines.wake_due(now), None);
        assert_eq!((rung(&bell), Arc::strong_count(&bell)), (0, 2));
    }

    #[test]
    fn whoever_polled_last_is_woken() {
        let (deadlines, now) = (Arc::<Deadlines>::default(), Instant::now());
        let ((old, old_waker), (new, new_waker)) = (bell(), bell());
        let mut deadline = deadlines.at(now);
        assert!(!poll(&mut deadline, &old_waker));
        assert!(!poll(&mut deadline, &new_waker));
        deadlines.wake_due(now);
        assert_eq!((rung(&old), rung(&new)), (0, 1));
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_from_being_woken() {
        let (deadlines, now) = (Arc::<Deadlines>::default(), Instant::now());
        let (bell, waker) = bell();
        let (mut bad, mut good) = (deadlines.at(now), deadlines.at(now));
        assert!(!poll(&mut bad, &Arc::new(Panics).into()));
        assert!(!poll(&mut good, &waker));
        deadlines.wake_due(now);
        assert_eq!(rung(&bell), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_looks_earlier_for_an_earlier_one_and_not_for_a_later_one() {
        let deadlines = Arc::<Deadlines>::default();
        let task = tokio::spawn(deadlines.clone().keep());
        let began = clock::now();
        let sleep = |seconds| deadlines.at(began + SECOND * seconds);
        let (mut late, mut later) = (sleep(20), sleep(30));
        assert!(!poll(&mut late, Waker::noop()));
        tokio::task::yield_now().await;
        assert!(!poll(&mut later, Waker::noop()));
        assert_eq!(deadlines.lock().looks, Some(began + SECOND * 20));
        sleep(10).await;
        assert_eq!(clock::now(), began + SECOND * 10);
        drop(late);
        later.await;
        assert_eq!(clock::now(), began + SECOND * 30);
        sleep(30).await;
        assert_eq!(clock::now(), began + SECOND * 30, "it was over");
        task.abort();
    }

    const SECOND: Duration = Duration::from_secs(1);
}
