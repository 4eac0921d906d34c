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

use farfire::{InvokeError, LinkStats, RemoteFunction};
use tokio::time::Instant;

/// Asked by clients, answered by the server; and the other way round.
pub(crate) const ASK: RemoteFunction<u32, u32> = RemoteFunction::new("Ask");
pub(crate) const TELL: RemoteFunction<u32, u32> = RemoteFunction::new("Tell");

/// Every call of a run.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    begun: AtomicUsize,
    resolved: AtomicUsize,
    outcomes: Mutex<BTreeMap<&'static str, usize>>,
    late: Mutex<Vec<String>>,
}

impl Tally {
    /// Awaits a call, which must resolve by `timeout` and within `slack` of it.
    pub(crate) async fn call(
        &self,
        call: impl Future<Output = Result<u32, InvokeError>>,
        timeout: Duration,
        slack: Duration,
    ) -> Result<u32, InvokeError> {
        let began = Instant::now();
        self.inner.begun.fetch_add(1, Ordering::SeqCst);
        let result = call.await;
        let took = began.elapsed();
        if took > timeout + slack {
            let late = format!("{took:?} of {timeout:?}: {result:?}");
            self.inner.late.lock().unwrap().push(late);
        }
        let outcome = match &result {
            Ok(_) => "answered",
            Err(InvokeError::Timeout { .. }) => "timed out",
            Err(InvokeError::Disconnected { .. }) => "disconnected",
            Err(InvokeError::Failed { .. }) => "refused",
            Err(InvokeError::Busy { .. }) => "busy",
            Err(InvokeError::Draining) => "draining",
            Err(other) => panic!("a call that nobody hurt: {other:?}"),
        };
        *self
            .inner
            .outcomes
            .lock()
            .unwrap()
            .entry(outcome)
            .or_default() += 1;
        self.inner.resolved.fetch_add(1, Ordering::SeqCst);
        result
    }

    pub(crate) fn begun(&self) -> usize {
        self.inner.begun.load(Ordering::SeqCst)
    }

    /// Whether calls wait.
    pub(crate) fn is_waiting(&self) -> bool {
        self.begun() != self.inner.resolved.load(Ordering::SeqCst)
    }

    /// None is unresolved, none was late, and enough of each kind came to pass.
    pub(crate) fn assert_settled(&self, least: usize) {
        let begun = self.begun();
        println!("{begun} calls: {:?}", self.inner.outcomes.lock().unwrap());
        assert_eq!(begun, self.inner.resolved.load(Ordering::SeqCst));
        assert!(begun >= least, "{begun} calls");
        let late = self.inner.late.lock().unwrap();
        assert!(late.is_empty(), "late: {late:#?}");
        let outcomes = self.inner.outcomes.lock().unwrap();
        for outcome in ["answered", "timed out", "disconnected"] {
            assert!(outcomes.contains_key(outcome), "none was {outcome}");
        }
    }
}

/// Nothing of a connection that has ended is left, and every event is accounted for.
pub(crate) fn assert_settled(stats: &LinkStats) {
    assert_eq!((stats.queued_bytes, stats.queued_calls), (0, 0));
    assert_eq!(stats.serving_calls, 0);
    for remote in &stats.remotes {
        assert!(remote.is_balanced(), "{remote:?}");
        assert_eq!((remote.queued, remote.held), (0, 0), "{remote:?}");
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
}

pub(crate) fn from_env(name: &str, default: u64) -> u64 {
    let value = env::var(name).ok();
    value.map_or(default, |value| value.parse().unwrap())
}
