//! What it takes to wake a thread that sleeps, and nothing else: a part of every broadcast to a server
//! that has nothing else to do.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::Notify;

use super::Caller;
use crate::{bare::runtime, report::percentile};

/// Microseconds on a processor of who wakes.
pub(super) fn cost() -> f64 {
    let wanted = Arc::new(Notify::new());
    let wait = wanted.clone();
    let task = runtime("sleeper", None).spawn(async move {
        loop {
            wait.notified().await;
        }
    });
    let one = |_| {
        thread::sleep(BETWEEN);
        Caller::of(true, || wanted.notify_one()).used
    };
    let mut took: Vec<_> = (0..TIMES).map(one).collect();
    task.abort();
    percentile(&mut took, 500)
}

const TIMES: usize = 60;
/// For the thread to fall asleep, and its processor with it.
const BETWEEN: Duration = Duration::from_millis(5);
