//! Chaos: clients that are killed, cut off, frozen and closed at random while calls go both ways.
//!
//! Whatever becomes of them, every call resolves, by its deadline, and at once where the connection is
//! known to be gone; no event is unaccounted for; and in the end nobody is left. `sim` runs on virtual
//! time and is as random as its seed; `processes` does it to processes of the system, on networks of
//! their own; `property` looks for a schedule, a network and a policy with which the ledger is wrong.
//!
//! `FARFIRE_CHAOS_CALLS` sets the number of calls, `FARFIRE_CHAOS_SEED` the seed, and
//! `FARFIRE_CHAOS_ALLOWANCE` the milliseconds that a call may be later than the canary, and
//! `FARFIRE_CHAOS_GROUND=loopback` does without namespaces; CONTRIBUTING.md has the commands.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "the seed is what one needs when it fails"
)]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod books;
#[cfg(unix)]
mod canary;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod ground;
#[cfg(unix)]
mod processes;
mod property;
#[cfg(unix)]
#[path = "../shared/relay.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod relay;
mod remotes;
#[cfg(unix)]
mod roles;
#[cfg(unix)]
mod server;
mod sim;
mod tally;

/// Counts what a process holds.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
