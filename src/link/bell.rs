//! Bells: how the task of a connection is woken, and which of its sources it has to ask then.
//!
//! A task that waits for several things is woken for any of them, and without bells would ask them all
//! each time. Knows nothing about what the sources are.
//!
//! That no ring is lost rests on three orders, each of which is that of one atomic, so that acquiring and releasing is
//! enough:
//!
//! - *What was done before a ring is seen by whoever asks.* A bell's state is only ever swapped or exchanged, never
//!   stored: each change continues what the one before it released, and so taking the bell off (`ANSWERED`) acquires from
//!   everyone who rang since it was last taken off, not only from the last one.
//! - *What rings while it is asked rings on.* `ANSWERED` becomes `QUIET` only if nobody has rung in between. The task
//!   finds `RUNG` before it sleeps, as it reads what its own exchange saw.
//! - *A task that falls asleep is woken.* It looks at the bells, and then makes `RUNNING` to `IDLE`; whoever rings
//!   changes the bell, and then marks the activity. In the order of the activity's changes either the mark comes
//!   first, and the exchange fails, or it comes later, finds `IDLE` and wakes. For that a mark is a change even if it
//!   leaves the activity as it is: a mere load could still see `RUNNING_AGAIN` of before the task began to
//!   [`run`](Alarm::run), while the task does not see the bell yet.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Whether the task sleeps, is about to run, runs, or runs and has been given more to do.
#[derive(Default)]
pub(super) struct Alarm {
    activity: AtomicU8,
    task: AtomicWaker,
}

impl Alarm {
    /// Marks that there is something to do; true if the task has to be woken for it.
    pub(super) fn schedule(&self) -> bool {
        self.mark() == IDLE
    }

    /// Marks that there is something to do, and gives what the task was about before.
    fn mark(&self) -> u8 {
        let next = |now| {
            Some(match now {
                IDLE => SCHEDULED,
                RUNNING => RUNNING_AGAIN,
                // Written nonetheless, see above.
                unchanged => unchanged,
            })
        };
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let before = self.activity.fetch_update(set, fetch, next);
        before.unwrap_or_else(|before| before)
    }

    /// Whether it was marked that there is something to do, and the task has not run since.
    pub(super) fn is_scheduled(&self) -> bool {
        self.activity.load(Ordering::Acquire) == SCHEDULED
    }

    /// Has the task run, for the thread that it runs on.
    pub(super) fn wake_task(&self) {
        self.task.wake();
    }

    /// Whose waker is to be woken from now on.
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// The task runs: what is added from now on is seen by [`idle`](Self::idle), and what was added
    /// before is seen by the task.
    pub(super) fn run(&self) {
        self.activity.swap(RUNNING, Ordering::AcqRel);
    }

    /// The task has nothing more to do; false if something came in meanwhile.
    pub(super) fn idle(&self) -> bool {
        let idle =
            self.activity
                .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        idle.is_ok()
    }

    /// A bell rang. A task that runs is not woken; it looks at the bells before it sleeps.
    fn ring(&self) {
        // One that is scheduled may wait for the hub to wake it, which a packet does not wait for.
        if matches!(self.mark(), IDLE | SCHEDULED) {
            self.wake_task();
        }
    }
}

/// Something that the task asks only when it has rung, with the waker that it is asked with.
pub(super) struct Source {
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    alarm: Arc<Alarm>,
    state: AtomicU8,
}

impl Source {
    /// A source that is asked at the first opportunity: nobody has its waker yet.
    pub(super) fn new(alarm: &Arc<Alarm>) -> Self {
        let bell = Arc::new(Bell {
            alarm: alarm.clone(),
            state: AtomicU8::new(RUNG),
        });
        Self {
            waker: bell.clone().into(),
            bell,
        }
    }

    /// What rings it.
    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Has the task ask again in its next round, which it sees to itself.
    pub(super) fn ask_again(&self) {
        // Not a store: what was done before a bell rang is to be seen by whoever asks then.
        self.bell.state.swap(RUNG, Ordering::AcqRel);
    }

    /// Whether it is to be asked.
    pub(super) fn rings(&self) -> bool {
        self.bell.state.load(Ordering::Acquire) == RUNG
    }

    /// Asks if it has rung. What rings while it is being asked rings on.
    pub(super) fn answer<T>(&self, ask: impl FnOnce(&mut Context<'_>) -> T) -> Option<T> {
        if !self.rings() {
            return None;
        }
        let state = &self.bell.state;
        state.swap(ANSWERED, Ordering::AcqRel);
        let answer = ask(&mut Context::from_waker(&self.waker));
        let _ = state.compare_exchange(ANSWERED, QUIET, Ordering::AcqRel, Ordering::Acquire);
        Some(answer)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // While it is being asked, whoever asks looks again.
        if self.state.swap(RUNG, Ordering::AcqRel) == QUIET {
            self.alarm.ring();
        }
    }
}

const IDLE: u8 = 0;
const SCHEDULED: u8 = 1;
const RUNNING: u8 = 2;
const RUNNING_AGAIN: u8 = 3;

const QUIET: u8 = 0;
const RUNG: u8 = 1;
const ANSWERED: u8 = 2;

#[cfg(test)]
mod tests {
    use std::{
        hint::spin_loop,
        sync::atomic::{AtomicBool, AtomicUsize},
        thread::{self, Thread},
        time::{Duration, Instant},
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Woken>, Arc<Alarm>) {
        let (woken, alarm) = (Arc::<Woken>::default(), Arc::<Alarm>::default());
        alarm.register(&woken.clone().into());
        (woken, alarm)
    }

    #[test]
    fn a_bell_wakes_a_task_that_sleeps_and_is_answered_once() {
        let (woken, alarm) = task();
        let source = Source::new(&alarm);
        let waker = source.answer(|cx| cx.waker().clone());
        let waker = waker.expect("it rings from the beginning");
        assert!(source.answer(|_| ()).is_none());
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(source.answer(|_| ()).is_some());
        assert!(!source.rings());
    }

    #[test]
    fn what_rings_while_it_is_asked_rings_on_and_wakes_nobody() {
        let (woken, alarm) = task();
        let source = Source::new(&alarm);
        alarm.run();
        source.answer(|cx| cx.waker().wake_by_ref());
        assert!(source.rings());
        assert!(alarm.idle(), "the task asks it, and is not told to run");
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_task_that_runs_sees_what_rang_before_it_sleeps() {
        let (woken, alarm) = task();
        let source = Source::new(&alarm);
        let waker = source.answer(|cx| cx.waker().clone());
        alarm.run();
        waker.expect("it rings from the beginning").wake();
        assert!(source.rings());
        assert!(!alarm.idle());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_packet_does_not_wait_for_the_hub() {
        let (woken, alarm) = task();
        let source = Source::new(&alarm);
        let waker = source.answer(|cx| cx.waker().clone());
        assert!(alarm.schedule(), "another thread has something to send");
        waker.expect("it rings from the beginning").wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    /// A task that is a thread.
    struct Sleeper {
        thread: Thread,
        woken: AtomicBool,
    }

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::Release);
            self.thread.unpark();
        }
    }

    impl Sleeper {
        /// False if nobody wakes it.
        fn sleep(&self) -> bool {
            let began = Instant::now();
            while !self.woken.swap(false, Ordering::AcqRel) {
                if began.elapsed() > GUARD {
                    return false;
                }
                thread::park_timeout(GUARD);
            }
            true
        }
    }

    const GUARD: Duration = Duration::from_secs(20);

    /// Whoever rings waits until what it brought is seen, so that one lost ring is the end.
    #[test]
    fn no_ring_is_lost_between_two_threads() {
        const RINGS: usize = 5_000;
        let (given, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let lost = AtomicBool::new(false);
        let sleeper = Arc::new(Sleeper {
            thread: thread::current(),
            woken: AtomicBool::new(false),
        });
        let alarm = Arc::<Alarm>::default();
        let source = Source::new(&alarm);
        let bell = source.waker();
        thread::scope(|scope| {
            scope.spawn(|| {
                for ring in 1..=RINGS {
                    // Not always at the same moment of the task's turn.
                    (0..ring % 97).for_each(|_| spin_loop());
                    given.store(ring, Ordering::Relaxed);
                    bell.wake_by_ref();
                    while seen.load(Ordering::Relaxed) < ring && !lost.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                }
            });
            loop {
                // As the driver's turn.
                alarm.register(&sleeper.clone().into());
                alarm.run();
                let see = |_: &mut Context<'_>| {
                    let ring = given.load(Ordering::Relaxed);
                    seen.store(ring, Ordering::Relaxed);
                    // Time for the next ring to come while it is being asked.
                    (0..ring % 89 * 16).for_each(|_| spin_loop());
                };
                source.answer(see);
                if seen.load(Ordering::Relaxed) == RINGS {
                    break;
                }
                alarm.run();
                if !source.rings() && alarm.idle() && !sleeper.sleep() {
                    lost.store(true, Ordering::Relaxed);
                    break;
                }
            }
        });
        assert!(!lost.load(Ordering::Relaxed), "after {seen:?} rings");
    }
}
