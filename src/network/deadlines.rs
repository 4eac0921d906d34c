//! Deadlines: who is woken when, whatever else stands still.
//!
//! One queue for a network, and one task on its timer thread that waits for the first of them. Most are
//! taken out again long before, so that is what has to be cheap: a deadline that comes later than the task looks
//! next wakes nobody. Knows nothing about what they are the deadlines of.

use std::{
    collections::{BTreeMap, VecDeque},
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

/// Deadlines in lines, each in the order of its times: most timeouts are as long as others, so the next one goes
/// to the end of a line. What fits none is sorted in.
#[derive(Default)]
struct Queue {
    lines: [Line; LINES],
    sorted: BTreeMap<(Instant, Place), Waker>,
    /// How many were sorted in without having been in a line.
    sorted_in: u64,
    /// When the task looks next; the one that it looked for may be gone by then.
    looks: Option<Instant>,
}

#[derive(Default)]
struct Line {
    /// The number of the first.
    first: u64,
    entries: VecDeque<(Instant, Option<Waker>)>,
    /// How many are not gone.
    live: usize,
}

/// Where a deadline was put; no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    line: usize,
    number: u64,
}

impl Queue {
    fn insert(&mut self, at: Instant, waker: Waker) -> Place {
        let fits = |line: &Line| line.entries.back().is_none_or(|(last, _)| *last <= at);
        let Some(line) = self.lines.iter().position(fits) else {
            self.sorted_in += 1;
            let (line, number) = (LINES, self.sorted_in);
            let place = Place { line, number };
            self.sorted.insert((at, place), waker);
            return place;
        };
        let number = self.lines[line].push(at, waker);
        self.tidy(line);
        Place { line, number }
    }

    fn get_mut(&mut self, at: Instant, place: Place) -> Option<&mut Waker> {
        let line = self.lines.get_mut(place.line);
        match line.and_then(|line| line.entry(place.number)) {
            Some((_, waker)) => waker.as_mut(),
            None => self.sorted.get_mut(&(at, place)),
        }
    }

    fn remove(&mut self, at: Instant, place: Place) -> Option<Waker> {
        if let Some(line) = self.lines.get_mut(place.line)
            && let Some((_, waker)) = line.entry(place.number)
        {
            let waker = waker.take();
            line.live -= usize::from(waker.is_some());
            line.trim();
            return waker;
        }
        self.sorted.remove(&(at, place))
    }

    /// The first of all, and when it is.
    fn first(&self) -> Option<(Instant, Place)> {
        let of_line = |(at, line): (usize, &Line)| {
            let number = line.first;
            line.entries
                .front()
                .map(|(time, _)| (*time, Place { line: at, number }))
        };
        let of_lines = self.lines.iter().enumerate().filter_map(of_line);
        let sorted = self.sorted.first_key_value().map(|(key, _)| *key);
        of_lines.chain(sorted).min()
    }

    /// Sorts in what is left of a line that is mostly gone: one that stays for long is not to keep the places
    /// of all that came after it.
    fn tidy(&mut self, at: usize) {
        let line = &mut self.lines[at];
        if line.entries.len() < SHORT.max(line.live * 4) {
            return;
        }
        let from = line.first;
        line.first += line.entries.len() as u64;
        line.live = 0;
        for (number, (time, waker)) in (from..).zip(line.entries.drain(..)) {
            if let Some(waker) = waker {
                self.sorted
                    .insert((time, Place { line: at, number }), waker);
            }
        }
    }
}

impl Line {
    fn push(&mut self, at: Instant, waker: Waker) -> u64 {
        self.entries.push_back((at, Some(waker)));
        self.live += 1;
        self.first + self.entries.len() as u64 - 1
    }

    fn entry(&mut self, number: u64) -> Option<&mut (Instant, Option<Waker>)> {
        let at = number.checked_sub(self.first)?;
        self.entries.get_mut(at as usize)
    }

    /// Lets go of those at both ends that are gone. A number at the end is given out again, which nobody has
    /// any more.
    fn trim(&mut self) {
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        while let Some((_, None)) = self.entries.back() {
            self.entries.pop_back();
        }
        if self.entries.is_empty() && self.entries.capacity() > KEPT {
            self.entries = VecDeque::new();
        }
    }
}

impl Deadlines {
    pub(super) fn at(self: &Arc<Self>, at: Instant) -> Deadline {
        Deadline {
            deadlines: self.clone(),
            at,
            place: None,
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
                match queue.first() {
                    Some((at, place)) if at <= now => queue.remove(at, place),
                    first => {
                        queue.looks = first.map(|(at, _)| at);
                        return queue.looks;
                    }
                }
            };
            // The code of whoever polls: not under the lock, and its panic is nobody else's.
            let _ = waker.map(|waker| guarded(|| waker.wake()));
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
    place: Option<Place>,
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = self.place {
            match self.deadlines.lock().get_mut(self.at, place) {
                None => return Poll::Ready(()),
                Some(waker) if waker.will_wake(cx.waker()) => return Poll::Pending,
                Some(_) => {}
            }
            // Cloned and dropped outside of the lock, which others' code could come back to.
            let mut waker = cx.waker().clone();
            return match self.deadlines.lock().get_mut(self.at, place) {
                None => Poll::Ready(()),
                Some(old) => {
                    std::mem::swap(old, &mut waker);
                    Poll::Pending
                }
            };
        }
        let waker = cx.waker().clone();
        let (place, earlier) = {
            let mut queue = self.deadlines.lock();
            let place = queue.insert(self.at, waker);
            let earlier = queue.looks.is_none_or(|looks| self.at < looks);
            if earlier {
                queue.looks = Some(self.at);
            }
            (place, earlier)
        };
        self.place = Some(place);
        if earlier {
            self.deadlines.earlier.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.deadlines.lock().remove(self.at, place);
            drop(waker);
        }
    }
}

/// As many lengths of timeouts as are mostly in use at a time.
const LINES: usize = 4;
/// A line as short as this keeps the places of those that are gone.
const SHORT: usize = 64;
/// A line that is empty keeps room for as many.
const KEPT: usize = 4096;

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
        assert_eq!(deadlines.lock().first(), None);
        assert_eq!(deadlines.wake_due(now), None);
        assert_eq!((rung(&bell), Arc::strong_count(&bell)), (0, 2));
    }

    /// Whatever order they come in and go in, each is woken when it is its turn and leaves nothing behind.
    #[test]
    fn they_are_woken_in_the_order_of_their_times_whatever_line_they_are_in() {
        let (deadlines, now) = (Arc::<Deadlines>::default(), Instant::now());
        // More lengths than lines, and many more of them than a line keeps the places of.
        let count = SHORT as u32 * 20;
        let time = |at: u32| now + SECOND * (at * 7919 % count);
        let mut all: Vec<_> = (0..count)
            .map(|at| {
                let ((bell, waker), mut deadline) = (bell(), deadlines.at(time(at)));
                assert!(!poll(&mut deadline, &waker));
                (time(at), bell, Some(deadline))
            })
            .collect();
        for (at, (_, _, deadline)) in all.iter_mut().enumerate() {
            if at % 3 > 0 {
                *deadline = None;
            }
        }
        for seconds in 0..count {
            let until = now + SECOND * seconds;
            let next = deadlines.wake_due(until);
            assert!(next.is_none_or(|next| next > until));
            for (time, bell, deadline) in &all {
                let due = *time <= until && deadline.is_some();
                assert_eq!(rung(bell), usize::from(due));
            }
        }
        assert_eq!(deadlines.lock().first(), None);
        drop(all);
        assert_eq!(deadlines.lock().first(), None);
    }

    #[test]
    fn one_that_stays_keeps_no_places_of_those_that_go() {
        let (deadlines, now) = (Arc::<Deadlines>::default(), Instant::now());
        let ((stays, waker), mut long) = (bell(), deadlines.at(now));
        assert!(!poll(&mut long, &waker));
        let mut before = None;
        for at in 0..10_000 {
            let mut short = deadlines.at(now + SECOND * at);
            assert!(!poll(&mut short, Waker::noop()));
            // The one before goes when it is not the last.
            before = Some(short);
        }
        drop(before);
        let places = |line: &Line| line.entries.len();
        let most = deadlines.lock().lines.iter().map(places).max();
        assert!(most <= Some(SHORT), "{most:?}");
        assert!(!poll(&mut long, &waker));
        assert_eq!(deadlines.wake_due(now), None);
        assert!(poll(&mut long, &waker));
        assert_eq!(rung(&stays), 1);
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
