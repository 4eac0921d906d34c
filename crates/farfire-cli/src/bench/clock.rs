//! One clock for all processes of a machine.
//!
//! A monotonic clock cannot be compared between processes, and the wall clock may be set. So each process
//! looks at both once, and counts monotonically from there.

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Nanoseconds since the epoch, as this machine counts them; never goes back within a process.
pub(crate) fn now() -> u64 {
    let anchor = anchor();
    anchor.epoch + anchor.instant.elapsed().as_nanos() as u64
}

/// Sleeps until `time`, or not at all if that has passed.
pub(crate) fn sleep_until(time: u64) {
    let left = time.saturating_sub(now());
    if left > 0 {
        thread::sleep(Duration::from_nanos(left));
    }
}

struct Anchor {
    instant: Instant,
    epoch: u64,
}

fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        // The best of several looks: the process may be interrupted between the two clocks.
        let looks = (0..LOOKS).map(|_| {
            let before = Instant::now();
            let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
            let took = before.elapsed();
            (took, before + took / 2, epoch.unwrap_or_default())
        });
        let (_, instant, epoch) = looks
            .min_by_key(|(took, ..)| *took)
            .expect("there is more than one look");
        Anchor {
            instant,
            epoch: epoch.as_nanos() as u64,
        }
    })
}

const LOOKS: usize = 16;
