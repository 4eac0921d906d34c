//! The promises of the commands for playing on a local network, kept by the program itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod discover;
mod doctor;
mod mistakes;
mod play;
mod processes;
mod readme;
mod shell;
mod trust;
