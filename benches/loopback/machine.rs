//! What this process has used so far; zero where the system does not say.

use std::{collections::HashMap, ffi::OsString, fs, time::Duration};

/// Time on a processor of each thread, to the nanosecond, where Linux tells.
#[derive(Default)]
pub(crate) struct Cpu(HashMap<OsString, u64>);

impl Cpu {
    pub(crate) fn now() -> Self {
        let Ok(threads) = fs::read_dir("/proc/self/task") else {
            return Self::default();
        };
        let of_thread = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let time = stat.split_whitespace().next()?.parse().ok()?;
            Some((thread.file_name(), time))
        };
        Self(threads.flatten().filter_map(of_thread).collect())
    }

    /// What has been used since. A thread that has ended takes its time with it.
    pub(crate) fn used(&self) -> Duration {
        let Self(now) = Self::now();
        let since = |(thread, time): (&OsString, &u64)| {
            let before = self.0.get(thread).copied().unwrap_or_default();
            time.saturating_sub(before)
        };
        Duration::from_nanos(now.iter().map(since).sum())
    }
}

/// Time on a processor of the calling thread, so far; without what others did meanwhile.
#[cfg(unix)]
pub(crate) fn of_this_thread() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

/// Where the system does not say it safely, the time that passes.
#[cfg(not(unix))]
pub(crate) fn of_this_thread() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// Resident memory in KiB.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0.0)
}

/// The cores that this process may run on, in order.
pub(crate) fn cores() -> Option<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = { status.lines() }.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    let ranges: Option<Vec<_>> = list.trim().split(',').map(range).collect();
    Some(ranges?.into_iter().flatten().collect())
}
