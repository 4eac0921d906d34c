//! The promises of farfire under attack, over real QUIC on loopback: one test per attack.
//!
//! Each sets an enemy on a server that an honest player plays on. The enemy must be contained within
//! its budgets, and the player must get its round trips as if nothing were there: its times are held
//! against those of a control run, in which the same packets go to a socket that throws them away.
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
