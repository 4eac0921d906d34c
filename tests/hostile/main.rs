//! The promises of farfire under attack, over real QUIC on loopback: one test per attack.
//!
//! Each sets enemies on a server that an honest player plays on, in a process each. The enemies must be
//! contained within their budgets, and be told so by the right code. With `FARFIRE_HOSTILE_ROUNDS=9`
//! the player must also get its round trips as if nothing were there: its times are held against those of
//! control runs, in which the same packets go to a socket that throws them away. That takes two cores,
//! `taskset`, and is best done with `--release`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "a report is what one reads when it fails"
)]

mod bytes;
mod camp;
mod enemy;
mod floods;
mod honest;
mod joins;
mod process;
mod report;
mod siege;
mod tap;
mod violations;
