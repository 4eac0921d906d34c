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

pub(crate) mod base32;
mod certificate;
mod code;
mod folder;
mod identity;
mod known;
mod pin;
mod resolver;
mod staged;
mod trust;

pub use code::{Code, CodeError};
pub use identity::{Identity, IdentityError, NextIdentity, PemError};
pub use known::{Known, KnownServer, KnownServers, KnownServersError, Via};
pub use pin::{Pin, PinError};
pub use trust::{CertificateFault, Trust, TrustError};

#[cfg(any(test, fuzzing))]
pub(crate) use known::file_is_sound as known_file_is_sound;
pub(crate) use resolver::Certificates;
pub(crate) use trust::Verdict;

use std::sync::{Arc, LazyLock};

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::TLS13;

/// Builds the server side: shows one of `certificates` to everyone and speaks one of `alpn`, the first being
/// preferred.
///
/// # Errors
///
/// [`ConfigError::NoProtocol`] when `alpn` is empty. The others would be a defect of this module.
pub(crate) fn server_config(
    certificates: &Arc<Certificates>,
    alpn: &[&[u8]],
) -> Result<QuicServerConfig, ConfigError> {
    server_config_with(certificates.clone(), alpn)
}

fn server_config_with(
    certificates: Arc<dyn ResolvesServerCert>,
    alpn: &[&[u8]],
) -> Result<QuicServerConfig, ConfigError> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols(alpn)?;
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config.try_into()?)
}

/// Builds the client side: believes the servers of `trust` and offers `alpn`.
///
/// The [`Verdict`] holds why a server was refused, which the error of a failed connect does not
/// say. It keeps the first refusal only, so make one configuration for each attempt to connect.
///
/// # Errors
///
/// [`ConfigError::NoProtocol`] when `alpn` is empty. The others would be a defect of this module.
pub(crate) fn client_config(
    trust: &Trust,
    alpn: &[&[u8]],
) -> Result<(QuicClientConfig, Verdict), ConfigError> {
    let verdict = Verdict::default();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        // This is the way to bring any verifier, not a way around one: see `trust`, where every
        // kind of trust verifies.
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier(verdict.clone()))
        .with_no_client_auth();
    config.alpn_protocols = protocols(alpn)?;
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok((config.try_into()?, verdict))
}

fn protocols(alpn: &[&[u8]]) -> Result<Vec<Vec<u8>>, ConfigError> {
    // rustls skips the whole ALPN check of a side that has no protocols.
    if alpn.is_empty() {
        return Err(ConfigError::NoProtocol);
    }
    Ok(alpn.iter().map(|protocol| protocol.to_vec()).collect())
}

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

/// Fills `bytes` with random ones, and says whether the system had any.
pub(crate) fn fill_random(bytes: &mut [u8]) -> bool {
    provider().secure_random.fill(bytes).is_ok()
}

/// Why a TLS configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("no application protocol given: name at least one")]
    NoProtocol,
    #[error("the built-in cryptography does not support TLS 1.3")]
    Version(#[from] rustls::Error),
    #[error("the built-in cryptography lacks the cipher of QUIC's first packets")]
    InitialCipher(#[from] NoInitialCipherSuite),
}

#[cfg(test)]
mod tests;
