//! What farfire logs, for tests that promise a line.

use std::sync::OnceLock;

use crate::log::Log;

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts to take the log of this whole process; to be called before what is logged.
pub(crate) fn listen() {
    LOG.get_or_init(|| {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.clone()).expect("the only subscriber");
        log
    });
}

/// The lines that contain all of these.
pub(crate) fn with(words: &[&str]) -> Vec<String> {
    let log = LOG.get().expect("somebody listens");
    let mut found = log.with("");
    found.retain(|line| words.iter().all(|word| line.contains(word)));
    found
}
