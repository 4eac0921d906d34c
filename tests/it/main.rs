//! The promises of farfire, over real QUIC on loopback: one module per promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod age;
mod bad_input;
mod barrier;
mod blocking;
mod early;
mod echo;
mod events;
mod freeze;
mod handlers;
mod inbox;
mod invoking;
mod joining;
mod lan;
mod lanes;
mod leaving;
mod ledger;
mod ordering;
mod overload;
mod pace;
mod prompt;
mod raw;
mod remotes;
mod smoke;
mod stats;
mod threads;
mod tick;
mod unreliable;
mod waiting;
mod world;
