//! Work: the futures that the task of a connection polls itself.
//!
//! A place is used again and again, with the same waker, so that a future costs no more than its box. Which are
//! woken is a bit each, and the first of them rings the task's bell. Knows nothing about what the futures do.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

pub(super) struct Work<T> {
    bell: Waker,
    blocks: Vec<Block<T>>,
    /// Places without a future.
    free: Vec<usize>,
    /// Places whose future has not been polled, in the order in which they came.
    fresh: Vec<usize>,
    /// The place that is looked at first moves on, so that none is always the last.
    first: u32,
}

pub(super) type BoxedFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct Block<T> {
    woken: Arc<Woken>,
    places: Vec<Place<T>>,
}

struct Place<T> {
    waker: Waker,
    future: Option<BoxedFuture<T>>,
}

/// Which places of a block are to be polled.
struct Woken {
    bits: AtomicU64,
    bell: Waker,
}

struct PlaceWaker {
    woken: Arc<Woken>,
    bit: u64,
}

impl<T> Work<T> {
    /// Rings `bell` when a future is to be polled that was not ready before.
    pub(super) fn new(bell: Waker) -> Self {
        Self {
            bell,
            blocks: Vec::new(),
            free: Vec::new(),
            fresh: Vec::new(),
            first: 0,
        }
    }

    /// Adds a future, for the next [`poll`](Self::poll), which the caller sees to: nothing rings.
    pub(super) fn push(&mut self, future: BoxedFuture<T>) {
        let at = match self.free.pop() {
            Some(at) => at,
            None => self.grow(),
        };
        self.blocks[at / PER_BLOCK].places[at % PER_BLOCK].future = Some(future);
        self.fresh.push(at);
    }

    fn grow(&mut self) -> usize {
        let woken = Arc::new(Woken {
            bits: AtomicU64::new(0),
            bell: self.bell.clone(),
        });
        let place = |at: usize| Place {
            waker: Waker::from(Arc::new(PlaceWaker {
                woken: woken.clone(),
                bit: 1_u64 << at,
            })),
            future: None,
        };
        let places = (0..PER_BLOCK).map(place).collect();
        let first = self.blocks.len() * PER_BLOCK;
        self.blocks.push(Block { woken, places });
        // The lowest are given out first.
        self.free.extend((first + 1..first + PER_BLOCK).rev());
        first
    }

    /// Polls every future that was woken, then every new one in its order; gives `done` what they end with.
    /// What is woken meanwhile rings.
    pub(super) fn poll(&mut self, mut done: impl FnMut(T)) {
        let first = self.first;
        self.first = (first + 1) % PER_BLOCK as u32;
        for block in 0..self.blocks.len() {
            let bits = &self.blocks[block].woken.bits;
            if bits.load(Ordering::Acquire) == 0 {
                continue;
            }
            let mut woken = bits.swap(0, Ordering::AcqRel).rotate_right(first);
            while woken != 0 {
                let at = (woken.trailing_zeros() + first) as usize % PER_BLOCK;
                woken &= woken - 1;
                self.poll_place(block * PER_BLOCK + at, &mut done);
            }
        }
        for at in 0..self.fresh.len() {
            self.poll_place(self.fresh[at], &mut done);
        }
        self.fresh.clear();
    }

    fn poll_place(&mut self, at: usize, done: &mut impl FnMut(T)) {
        let place = &mut self.blocks[at / PER_BLOCK].places[at % PER_BLOCK];
        // A waker may outlive the future that it was for.
        let Some(future) = &mut place.future else {
            return;
        };
        let polled = future.as_mut().poll(&mut Context::from_waker(&place.waker));
        if let Poll::Ready(value) = polled {
            place.future = None;
            self.free.push(at);
            done(value);
        }
    }
}

impl Wake for PlaceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Others that are to be polled have rung already.
        if self.woken.bits.fetch_or(self.bit, Ordering::AcqRel) == 0 {
            self.woken.bell.wake_by_ref();
        }
    }
}

const PER_BLOCK: usize = u64::BITS as usize;

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicUsize},
        },
    };

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.0.swap(0, Ordering::SeqCst)
        }
    }

    fn work() -> (Arc<Bell>, Work<usize>) {
        let bell = Arc::<Bell>::default();
        (bell.clone(), Work::new(bell.into()))
    }

    fn poll(work: &mut Work<usize>) -> Vec<usize> {
        let mut done = Vec::new();
        work.poll(|one| done.push(one));
        done
    }

    /// What a future of a test waits for.
    #[derive(Default)]
    struct Gate {
        open: AtomicBool,
        waker: Mutex<Option<Waker>>,
        polls: AtomicUsize,
    }

    impl Gate {
        fn future(self: &Arc<Self>, value: usize) -> BoxedFuture<usize> {
            let gate = self.clone();
            Box::pin(poll_fn(move |cx| {
                gate.polls.fetch_add(1, Ordering::SeqCst);
                *gate.waker.lock().unwrap() = Some(cx.waker().clone());
                match gate.open.load(Ordering::SeqCst) {
                    true => Poll::Ready(value),
                    false => Poll::Pending,
                }
            }))
        }

        fn open(&self) {
            self.open.store(true, Ordering::SeqCst);
            self.wake();
        }

        fn wake(&self) {
            let waker = self.waker.lock().unwrap().clone();
            waker.expect("it was polled").wake();
        }
    }

    #[test]
    fn new_ones_are_polled_in_their_order() {
        let (bell, mut work) = work();
        for round in 0..3 {
            let numbers: Vec<usize> = (0..PER_BLOCK * 2 + round).collect();
            for &number in &numbers {
                work.push(Box::pin(async move { number }));
            }
            assert_eq!(poll(&mut work), numbers);
        }
        assert_eq!(bell.rung(), 0);
        assert_eq!(work.blocks.len(), 3, "places are used again");
    }

    #[test]
    fn only_those_that_were_woken_are_polled_and_the_first_rings() {
        let (bell, mut work) = work();
        let gates: Vec<Arc<Gate>> = (0..PER_BLOCK).map(|_| Arc::default()).collect();
        for (number, gate) in gates.iter().enumerate() {
            work.push(gate.future(number));
        }
        assert!(poll(&mut work).is_empty());
        gates[3].open();
        gates[3].wake();
        gates[60].open();
        gates[7].wake();
        assert_eq!(bell.rung(), 1);
        let mut done = poll(&mut work);
        done.sort_unstable();
        assert_eq!(done, [3, 60]);
        let polls = |at: usize| gates[at].polls.load(Ordering::SeqCst);
        assert_eq!((polls(3), polls(60), polls(7), polls(8)), (2, 2, 2, 1));
        assert!(poll(&mut work).is_empty());
        gates[8].open();
        assert_eq!(bell.rung(), 1);
        assert_eq!(poll(&mut work), [8]);
    }

    #[test]
    fn one_that_is_woken_while_it_is_polled_is_polled_again() {
        let (bell, mut work) = work();
        let mut polls = 0;
        work.push(Box::pin(poll_fn(move |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            match polls {
                3 => Poll::Ready(polls),
                _ => Poll::Pending,
            }
        })));
        assert!(poll(&mut work).is_empty());
        assert_eq!(bell.rung(), 1);
        assert!(poll(&mut work).is_empty());
        assert_eq!(bell.rung(), 1);
        assert_eq!(poll(&mut work), [3]);
    }

    #[test]
    fn the_waker_of_one_that_ended_polls_at_most_its_successor() {
        let (_, mut work) = work();
        let (old, new) = (Arc::<Gate>::default(), Arc::<Gate>::default());
        work.push(old.future(1));
        assert!(poll(&mut work).is_empty());
        old.open();
        assert_eq!(poll(&mut work), [1]);
        old.wake();
        assert!(poll(&mut work).is_empty());
        work.push(new.future(2));
        assert!(poll(&mut work).is_empty());
        old.wake();
        assert!(poll(&mut work).is_empty());
        new.open();
        assert_eq!(poll(&mut work), [2]);
    }
}
