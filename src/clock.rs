//! The clock of everything that has to do with the network.
//!
//! Tokio's, so that the virtual time of a test is everybody's time.

use std::time::{Duration, Instant};

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How long ago `then` was; `Instant::elapsed` asks another clock.
pub(crate) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}
