//! The clock of everything that has to do with the network.
//!
//! Tokio's, so that the virtual time of a test is everybody's time.

use std::time::Instant;

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
