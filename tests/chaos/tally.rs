//! What was called, and what became of it.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use farfire::InvokeError;
use tokio::time::Instant;

/// Held by each run: a canary that others starve says little.
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Every call of a run, or of a process in one.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    begun: AtomicUsize,
    resolved: AtomicUsize,
    outcomes: Mutex<BTreeMap<&'static str, usize>>,
    late: Mutex<Vec<Late>>,
}

/// Something that came later than it was due.
pub(crate) struct Late {
    pub(crate) due: Instant,
    pub(crate) over: Instant,
    pub(crate) what: String,
}

/// A call under way; dropped before its end, it was given up by its caller.
struct Pending<'a> {
    inner: &'a Inner,
    outcome: &'static str,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut outcomes = self.inner.outcomes.lock().unwrap();
        *outcomes.entry(self.outcome).or_default() += 1;
        self.inner.resolved.fetch_add(1, Ordering::SeqCst);
    }
}

impl Tally {
    /// Awaits a call, which must resolve by `timeout`.
    pub(crate) async fn call(
        &self,
        call: impl Future<Output = Result<u32, InvokeError>>,
        timeout: Duration,
    ) -> Result<u32, InvokeError> {
        let due = Instant::now() + timeout;
        self.inner.begun.fetch_add(1, Ordering::SeqCst);
        let mut pending = Pending {
            inner: &self.inner,
            outcome: "given up",
        };
        let result = call.await;
        pending.outcome = match &result {
            Ok(_) => "answered",
            Err(InvokeError::Timeout { .. }) => "timed out",
            Err(InvokeError::Disconnected { .. }) => "disconnected",
            Err(InvokeError::Failed { .. }) => "refused",
            Err(InvokeError::Busy { .. }) => "busy",
            Err(InvokeError::Draining) => "draining",
            Err(other) => panic!("a call that nobody hurt: {other:?}"),
        };
        self.due(due, || format!("a call with {timeout:?}: {result:?}"));
        result
    }

    /// Notes `what` as late if it was due before now.
    pub(crate) fn due(&self, due: Instant, what: impl FnOnce() -> String) {
        let over = Instant::now();
        if over > due + RESOLUTION {
            let what = what();
            let mut late = self.inner.late.lock().unwrap();
            late.push(Late { due, over, what });
        }
    }

    /// What was late and is over since `before`, taken out.
    pub(crate) fn take_late(&self, before: Instant) -> Vec<Late> {
        let mut late = self.inner.late.lock().unwrap();
        late.extract_if(.., |late| late.over <= before).collect()
    }

    pub(crate) fn begun(&self) -> usize {
        self.inner.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn resolved(&self) -> usize {
        self.inner.resolved.load(Ordering::SeqCst)
    }

    pub(crate) fn outcomes(&self) -> BTreeMap<&'static str, usize> {
        self.inner.outcomes.lock().unwrap().clone()
    }

    /// None is unresolved, none was late, and enough of each kind came to pass.
    pub(crate) fn assert_settled(&self, least: usize) {
        let (begun, outcomes) = (self.begun(), self.outcomes());
        println!("{begun} calls: {outcomes:?}");
        assert_eq!(begun, self.resolved());
        assert!(begun >= least, "{begun} calls");
        let late = self.take_late(Instant::now());
        let late: Vec<_> = (late.iter())
            .map(|late| format!("{:?} late: {}", late.over - late.due, late.what))
            .collect();
        assert!(late.is_empty(), "{late:#?}");
        for outcome in ["answered", "timed out", "disconnected"] {
            assert!(outcomes.contains_key(outcome), "none was {outcome}");
        }
    }
}

/// Not good, but the same each time.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number of milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + (self.next() >> 33) % (to - from))
    }

    pub(crate) fn below(&mut self, count: u64) -> u64 {
        (self.next() >> 33) % count
    }

    /// True once in `count` times.
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

pub(crate) fn from_env(name: &str, default: u64) -> u64 {
    let value = env::var(name).ok();
    value.map_or(default, |value| value.parse().unwrap())
}

/// Of timers.
const RESOLUTION: Duration = Duration::from_millis(2);
