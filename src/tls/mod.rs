//! Who a server is and which servers a client believes: identities, pins, trust, and the TLS
//! settings of both sides.
//!
//! This is the only module that names rustls and rcgen. It knows nothing about sockets, players or
//! the protocol above TLS; it turns an [`Identity`] or a [`Trust`] into the crypto configuration
//! that an endpoint wants.
//!
//! # What holds for every connection
//!
//! - TLS 1.3 with a fixed set of ciphers and key exchanges. The process-wide provider of rustls is
//!   never consulted, so another crate of the program cannot change them.
//! - ALPN is mandatory on both sides.
//! - No 0-RTT and no resumption: early data can be replayed, and a ticket could skip the check of a
//!   pin.
//! - The server proves that it holds the private key of the certificate it shows. Nothing here
//!   turns that off.

mod pin;

pub use pin::{Pin, PinError};
