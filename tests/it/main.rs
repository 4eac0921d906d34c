//! The promises of farfire, over real QUIC on loopback: one module per promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod joining;
mod leaving;
mod raw;
mod remotes;
mod smoke;
mod world;
