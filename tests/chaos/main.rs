//! Chaos: clients that are killed, cut off, frozen and closed at random while calls go both ways.
//!
//! Whatever becomes of them, every call resolves, by its deadline, and at once where the connection is
//! known to be gone; no event is unaccounted for; and in the end nobody is left. `sim` runs on virtual
//! time and is as random as its seed; `processes` does it to processes of the system.
//!
//! `FARFIRE_CHAOS_CALLS` sets the number of calls, `FARFIRE_CHAOS_SEED` the seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "the seed is what one needs when it fails"
)]

#[cfg(unix)]
mod processes;
mod sim;
mod tally;
