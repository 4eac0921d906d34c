//! The certificates of a running server: which one a client is shown, and how it is replaced.
//!
//! Knows nothing about files.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Identity, Pin};

/// Chooses the certificate by the protocol that the client speaks.
#[derive(Debug)]
pub(crate) struct Certificates {
    identity: ArcSwap<Shown>,
}

#[derive(Debug)]
struct Shown {
    certified_key: Arc<CertifiedKey>,
    pin: Pin,
}

impl Certificates {
    pub(crate) fn new(identity: &Identity) -> Arc<Self> {
        Arc::new(Self {
            identity: ArcSwap::from_pointee(Shown::from(identity)),
        })
    }

    /// Shows `identity` from the next handshake on.
    pub(crate) fn set(&self, identity: &Identity) {
        self.identity.store(Arc::new(Shown::from(identity)));
    }

    pub(crate) fn pin(&self) -> Pin {
        self.identity.load().pin
    }
}

impl From<&Identity> for Shown {
    fn from(identity: &Identity) -> Self {
        Self {
            certified_key: identity.certified_key(),
            pin: identity.pin(),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match Audience::of(&hello) {
            Audience::Players => Some(Arc::clone(&self.identity.load().certified_key)),
            // Theirs is a certificate of 13 days with a key of its own: `browser.crt`, for which the folder has a
            // place. Showing them the identity would tie them to what outlives that.
            Audience::Browsers => None,
        }
    }
}

/// For whom a certificate is.
enum Audience {
    Players,
    Browsers,
}

impl Audience {
    fn of(hello: &ClientHello<'_>) -> Self {
        let mut protocols = hello.alpn().into_iter().flatten();
        match protocols.all(|protocol| protocol == WEB_TRANSPORT) && hello.alpn().is_some() {
            true => Self::Browsers,
            false => Self::Players,
        }
    }
}

/// The protocol of browsers, HTTP/3.
const WEB_TRANSPORT: &[u8] = b"h3";
