//! A canary: a timer that goes the way of a call's deadline, and nothing else.
//!
//! It is kept by a thread that does nothing but timers, and wakes a task on the runtime of the callers.
//! How late it is says how late this process is, whatever stopped it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use tokio::{runtime, sync::oneshot, time::Instant};

use crate::tally::{Late, Tally, from_env};

pub(crate) struct Canary {
    notes: Arc<Mutex<VecDeque<(Instant, Instant)>>>,
    worst: Mutex<Worst>,
    _stop: oneshot::Sender<()>,
}

/// The worst so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Worst {
    /// How late anything was.
    pub(crate) overshoot: Duration,
    /// The same without what the canary was late around that time.
    pub(crate) excess: Duration,
}

impl Canary {
    /// Starts one on the current runtime.
    pub(crate) fn start() -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (handles, handle) = mpsc::channel();
        thread::spawn(move || {
            let timers = runtime::Builder::new_current_thread().enable_time().build();
            let timers = timers.unwrap();
            handles.send(timers.handle().clone()).unwrap();
            let _ = timers.block_on(stopped);
        });
        let timers = handle.recv().unwrap();
        let notes = Arc::<Mutex<VecDeque<_>>>::default();
        let weak = Arc::downgrade(&notes);
        tokio::spawn(async move {
            loop {
                let due = Instant::now() + NAP;
                let nap = {
                    let _entered = timers.enter();
                    tokio::time::sleep_until(due)
                };
                nap.await;
                let woke = Instant::now();
                let Some(notes) = weak.upgrade() else { return };
                let mut notes = notes.lock().unwrap();
                notes.push_back((due, woke));
                while notes.front().is_some_and(|(due, _)| *due + KEPT < woke) {
                    notes.pop_front();
                }
            }
        });
        Self {
            notes,
            worst: Mutex::default(),
            _stop: stop,
        }
    }

    /// Holds what was late against the canary; gives what was later than is allowed.
    pub(crate) fn judge(&self, tally: &Tally) -> Vec<String> {
        // It is to have had its say about that time first.
        let last = self.notes.lock().unwrap().back().map(|(due, _)| *due);
        let Some(before) = last.and_then(|last| last.checked_sub(AROUND)) else {
            return Vec::new();
        };
        let mut beyond = Vec::new();
        let mut worst = self.worst.lock().unwrap();
        for Late { due, over, what } in tally.take_late(before) {
            let (overshoot, excuse) = (over - due, self.lateness(due, over));
            let excess = overshoot.saturating_sub(excuse);
            worst.overshoot = worst.overshoot.max(overshoot);
            worst.excess = worst.excess.max(excess);
            if excess > allowance() {
                beyond.push(format!("{overshoot:?} late, the canary {excuse:?}: {what}"));
            }
        }
        beyond
    }

    pub(crate) fn worst(&self) -> Worst {
        *self.worst.lock().unwrap()
    }

    /// How late it was at most, of the times it was to wake around this one.
    fn lateness(&self, from: Instant, to: Instant) -> Duration {
        let notes = self.notes.lock().unwrap();
        let around = notes
            .iter()
            .filter(|(due, woke)| *woke + AROUND >= from && *due <= to + AROUND);
        let late = around.map(|(due, woke)| woke.saturating_duration_since(*due));
        late.max().unwrap_or_default()
    }
}

/// What anything may be late beyond the canary: a call takes more threads than one timer, and each waits for
/// its turn on a machine that has more to do than it can. Where one core stands still for a moment, as those of
/// virtual machines do, calls may have been on it and the canary on another.
pub(crate) fn allowance() -> Duration {
    Duration::from_millis(from_env("FARFIRE_CHAOS_ALLOWANCE", 500))
}

/// How long it sleeps at a time.
const NAP: Duration = Duration::from_millis(5);
/// A machine that is busy at one moment is so at the next.
const AROUND: Duration = Duration::from_millis(50);
/// For longer than anybody is stopped, and no longer.
const KEPT: Duration = Duration::from_secs(20);
