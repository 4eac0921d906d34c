//! What the documentation's scripts print, and the variations of them that games meet.
//!
//! One module per flow. The lines of whole processes are compared in `tests/examples.rs`; here server
//! and clients share a process where that makes no difference, and still talk over QUIC. Where those
//! scripts wait for seconds, these tests wait for what the seconds stand for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../shared/log.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod log;
#[path = "../shared/process.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod process;
#[path = "../it/world.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod world;

mod logs;
mod stage;

mod client_to_client;
mod client_to_server;
mod combined;
mod invoke_client;
mod remote_function;
mod server_to_all_clients;
mod server_to_client;
mod unreliable;
