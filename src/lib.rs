//! Farfire: remote events and remote functions over QUIC.

pub mod values;

mod codec;
mod remote;
mod shape;
pub mod tls;
mod wire;
