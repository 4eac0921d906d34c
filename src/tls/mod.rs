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

mod certificate;
mod folder;
mod identity;
mod pin;

pub use identity::{Identity, IdentityError, PemError};
pub use pin::{Pin, PinError};

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite, kx_group};

/// The cryptography of every connection, whatever the rest of the program installed as its default.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            // AES-128 first: QUIC needs it anyway and it is the cheapest where the processor knows
            // AES. The last is for phones whose processor does not.
            cipher_suites: vec![
                cipher_suite::TLS13_AES_128_GCM_SHA256,
                cipher_suite::TLS13_AES_256_GCM_SHA384,
                cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ],
            // Small key shares only: a post-quantum share would not leave the first flight in one
            // packet.
            kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
            ..ring::default_provider()
        })
    });
    Arc::clone(&PROVIDER)
}
