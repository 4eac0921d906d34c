//! Processor time and traffic of one end, between two moments.
//!
//! Knows nothing about what is sent. Where the system does not say what its threads took, there is no
//! figure.

use std::{collections::BTreeSet, fs, sync::Arc, thread};

use serde::{Deserialize, Serialize};

use super::{
    clock,
    contender::{Side, Traffic},
    recording::Recorder,
};

/// What one end spent in the measured time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// Nanoseconds of all its threads but those that drive the benchmark.
    pub(crate) cpu: Option<u64>,
    pub(crate) traffic: Traffic,
    /// Events that arrived at this end meanwhile, if it records.
    pub(crate) events: Option<u64>,
}

/// Which threads of this process belong to an end.
#[derive(Debug, Clone, Default)]
pub(crate) enum Threads {
    /// All of them.
    #[default]
    All,
    /// These.
    Only(BTreeSet<u64>),
    /// All others.
    Without(BTreeSet<u64>),
}

impl Threads {
    /// The threads that there are now.
    pub(crate) fn now() -> BTreeSet<u64> {
        tasks().into_iter().map(|(id, _)| id).collect()
    }

    fn cpu(&self) -> Option<u64> {
        let tasks = tasks().into_iter().filter(|(id, name)| {
            let drives = name.starts_with(DRIVES);
            // One for each connection: they come when the set has long been made.
            let serves = name.starts_with(SERVES);
            !drives
                && match self {
                    Self::All => true,
                    Self::Only(ids) => serves || ids.contains(id),
                    Self::Without(ids) => !serves && !ids.contains(id),
                }
        });
        tasks
            .map(|(id, _)| taken(id))
            .reduce(|sum, one| Some(sum? + one?))?
    }
}

/// Measures `side` from one moment to another, on a thread of its own.
pub(crate) fn measure(
    side: Arc<dyn Side>,
    recorder: Option<Arc<Recorder>>,
    threads: Threads,
    (from, to): (u64, u64),
) -> std::io::Result<thread::JoinHandle<Spent>> {
    thread::Builder::new()
        .name(format!("{DRIVES}meter"))
        .spawn(move || {
            clock::sleep_until(from);
            let arrivals = || Some(recorder.as_ref()?.arrivals());
            let (cpu, traffic, before) = (threads.cpu(), side.traffic(), arrivals());
            clock::sleep_until(to);
            Spent {
                cpu: threads
                    .cpu()
                    .zip(cpu)
                    .map(|(after, before)| after.saturating_sub(before)),
                traffic: side.traffic().since(traffic),
                events: arrivals()
                    .zip(before)
                    .map(|(after, before)| after.saturating_sub(before)),
            }
        })
}

/// The threads of this process and their names; none where the system does not list them.
fn tasks() -> Vec<(u64, String)> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let tasks = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let id = path.file_name()?.to_str()?.parse().ok()?;
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((id, name))
    });
    tasks.collect()
}

/// Nanoseconds that a thread has run; one that has just ended took nothing.
fn taken(id: u64) -> Option<u64> {
    let path = format!("/proc/self/task/{id}/schedstat");
    match fs::read_to_string(path) {
        Ok(text) => text.split_whitespace().next()?.parse().ok(),
        Err(_) => Some(0),
    }
}

/// What the names of threads begin with that are the benchmark's, and not of what it measures.
pub(crate) const DRIVES: &str = "bench-";
/// The name of threads of a server that come with its connections.
pub(crate) const SERVES: &str = "tcp-server";
