//! The promises of farfire, over real QUIC on loopback: one module per promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocking;
mod handlers;
mod inbox;
mod invoking;
mod smoke;
mod threads;
mod world;
