//! What this process has used so far; zero where the system does not say.

use std::{fs, time::Duration};

/// Time on a processor of all threads, to the nanosecond, where Linux tells.
pub(crate) fn cpu() -> Duration {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Duration::ZERO;
    };
    let of_thread = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    };
    let times = threads.flatten().filter_map(of_thread);
    Duration::from_nanos(times.sum())
}

/// Resident memory in KiB.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0.0)
}
