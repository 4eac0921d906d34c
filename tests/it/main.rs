//! The promises of farfire, over real QUIC on loopback: one module per promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod barrier;
mod early;
mod events;
mod ledger;
mod ordering;
mod overload;
mod smoke;
mod tick;
mod unreliable;
mod world;
