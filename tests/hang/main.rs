//! Every call resolves, whatever the peer does: one test for each way to hang that is known.
//!
//! The peers here really misbehave: they speak QUIC themselves (`raw`), and just enough of the
//! protocol. Most tests run on a network in memory and on tokio's paused clock, where "by its deadline"
//! can be measured to the millisecond; those about threads and real timers run over loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod busy;
mod callback;
mod canary;
mod clock;
mod credit;
mod ends;
mod flood;
mod handlers;
#[path = "../shared/log.rs"]
mod log;
mod panics;
mod raw;
mod reply;
mod shutdown;
mod sim;
mod soak;
mod states;
mod transport;
