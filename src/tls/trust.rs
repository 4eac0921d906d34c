//! Which servers a client believes, and why it refused one.
//!
//! Knows certificates and signatures, and nothing about addresses, files or asking a person: a
//! refused server fails the handshake at once, the reason is left in a [`Verdict`], and whoever
//! connects decides what to do with it.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

use super::{KnownServers, Pin, provider};

/// Which servers a client believes to be who they say they are.
///
/// There is no kind that believes everyone. Whatever the kind, the server must prove in every
/// handshake that it holds the private key that belongs to its certificate.
#[derive(Debug, Clone)]
pub struct Trust(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Pinned(Arc<[Pin]>),
    /// To be made into pins before each handshake.
    Known(KnownServers),
    Authorities(Arc<WebPkiServerVerifier>),
}

impl Trust {
    /// Believes a server that holds the key of one of `pins`, such as the current and the next one.
    ///
    /// The names and dates of its certificate are ignored: the pin says who it is, and clocks on a
    /// local network are often wrong. A key therefore stays good until its pin is removed here. No
    /// pins means no server is believed.
    pub fn pinned(pins: impl IntoIterator<Item = Pin>) -> Self {
        Self(Kind::Pinned(pins.into_iter().collect()))
    }

    /// Believes servers with a certificate from a public authority, as browsers do.
    ///
    /// The certificate must be valid now and name the server that is connected to. The list of
    /// authorities is Mozilla's, compiled in; revocation is not checked.
    pub fn web_pki() -> Self {
        Self::authorities(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// Believes servers with a certificate from one of the authorities in `pem`, such as a studio's
    /// own.
    ///
    /// The certificate must be valid now and name the server that is connected to. A self-signed
    /// server certificate counts as an authority for itself. Sections of `pem` that are not
    /// certificates are skipped.
    ///
    /// # Errors
    ///
    /// [`TrustError`] when `pem` holds no certificate or one that cannot be read.
    pub fn roots(pem: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let position = index + 1;
            let certificate = certificate.map_err(|_| TrustError::Damaged { position })?;
            roots
                .add(certificate)
                .map_err(|_| TrustError::Damaged { position })?;
        }
        if roots.is_empty() {
            return Err(TrustError::NoCertificate);
        }
        Ok(Self::authorities(roots))
    }

    /// Believes the servers that a player has joined or accepted before.
    ///
    /// Any other is refused, with [`ConnectError::UntrustedServer`](crate::ConnectError::UntrustedServer), which says what is
    /// known of it. Nothing asks or waits during the handshake: the program decides, may
    /// [accept](KnownServers::accept) the server, and connects again. As with pins, names and dates of certificates are ignored.
    pub fn known_servers(known: KnownServers) -> Self {
        Self(Kind::Known(known))
    }

    fn authorities(roots: RootCertStore) -> Self {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .expect("there are roots and no revocation lists");
        Self(Kind::Authorities(verifier))
    }

    /// The pins that are believed; empty unless this is [`Trust::pinned`].
    pub(crate) fn pins(&self) -> &[Pin] {
        match &self.0 {
            Kind::Pinned(pins) => pins,
            Kind::Known(_) | Kind::Authorities(_) => &[],
        }
    }

    /// The servers that are asked before and after a handshake, if it is they who decide.
    pub(crate) fn known(&self) -> Option<&KnownServers> {
        match &self.0 {
            Kind::Known(known) => Some(known),
            Kind::Pinned(_) | Kind::Authorities(_) => None,
        }
    }

    pub(super) fn verifier(&self, verdict: Verdict) -> Arc<dyn ServerCertVerifier> {
        let algorithms = provider().signature_verification_algorithms;
        Arc::new(Verifier {
            kind: self.0.clone(),
            algorithms,
            verdict,
        })
    }
}

/// Why the server was refused, for whoever reads the error of a failed connect, which does not say.
///
/// Clones share it. It is empty until a server is refused, and keeps the first refusal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict(Arc<Outcome>);

#[derive(Debug, Default)]
struct Outcome {
    refusal: OnceLock<Refusal>,
    believed: OnceLock<Pin>,
}

impl Verdict {
    /// The pin of the server, if it is believed by its pin; proven when the handshake is over, not before.
    pub(crate) fn believed(&self) -> Option<Pin> {
        self.0.believed.get().copied()
    }

    /// The pin of a server that was refused because its pin is not among those that are believed.
    pub(crate) fn received(&self) -> Option<Pin> {
        match self.0.refusal.get()? {
            Refusal::Pin(received) => Some(*received),
            Refusal::Certificate(_) => None,
        }
    }

    /// What was wrong with the certificate, or with the proof that it is the server's, if it was
    /// not the pin.
    pub(crate) fn fault(&self) -> Option<CertificateFault> {
        match self.0.refusal.get()? {
            Refusal::Pin(_) => None,
            Refusal::Certificate(fault) => Some(*fault),
        }
    }

    fn refuse(&self, refusal: Refusal) {
        // Only the first counts: nothing follows it in the same handshake.
        let _ = self.0.refusal.set(refusal);
    }
}

#[derive(Debug)]
enum Refusal {
    Pin(Pin),
    Certificate(CertificateFault),
}

/// The one verifier of every kind of trust. A pin only says whose certificate this is, and
/// certificates are public: it is the signature over the handshake that shows the server to be the
/// one that owns it.
#[derive(Debug)]
struct Verifier {
    kind: Kind,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Verdict,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = match &self.kind {
            Kind::Pinned(pins) => Pin::of(certificate).and_then(|received| {
                if pins.contains(&received) {
                    let _ = self.verdict.0.believed.set(received);
                    return Ok(ServerCertVerified::assertion());
                }
                // Before the general fault below: the first refusal counts.
                self.verdict.refuse(Refusal::Pin(received));
                Err(CertificateError::ApplicationVerificationFailure.into())
            }),
            // Nobody asked them whom they know.
            Kind::Known(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Kind::Authorities(authorities) => {
                authorities.verify_server_cert(certificate, intermediates, name, ocsp_response, now)
            }
        };
        checked.inspect_err(|error| {
            self.verdict
                .refuse(Refusal::Certificate(CertificateFault::from(error)))
        })
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms).inspect_err(
            |_| {
                self.verdict
                    .refuse(Refusal::Certificate(CertificateFault::KeyNotHeld))
            },
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What was wrong with the certificate of a refused server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// The server does not hold the private key of the certificate it showed: it poses as another
    /// server.
    #[error("the server does not hold the key of its certificate: it poses as another server")]
    KeyNotHeld,
    /// No trusted authority issued it, as with the self-signed certificate of a playtest server.
    #[error(
        "no trusted authority issued the server's certificate: join a playtest server by its pin"
    )]
    UnknownIssuer,
    /// It was issued for other names than the one that was connected to.
    #[error("the server's certificate is for another name: connect by a name that it covers")]
    WrongName,
    /// Its last day has passed, going by this machine's clock.
    #[error("the server's certificate has expired: renew it, or set this machine's clock right")]
    Expired,
    /// Its first day is yet to come, going by this machine's clock.
    #[error("the server's certificate is not valid yet: set this machine's clock right")]
    NotValidYet,
    /// It is broken, or not made for servers, or signed in a way that is not accepted.
    #[error("the server's certificate is broken or unfit for a server: issue another")]
    Other,
}

/// For what is wrong with a certificate itself, before any proof of the key.
impl From<&Error> for CertificateFault {
    fn from(error: &Error) -> Self {
        let Error::InvalidCertificate(error) = error else {
            return Self::Other;
        };
        match error {
            // A bad signature: it names a trusted issuer, who did not sign it.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotValidYet
            }
            _ => Self::Other,
        }
    }
}

/// Why a text does not name authorities to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is no certificate in it.
    #[error("no certificate found: give PEM text with at least one CERTIFICATE section")]
    NoCertificate,
    /// One of the certificates cannot be read.
    #[error("certificate {position} cannot be read: replace or remove it")]
    Damaged {
        /// Which one, counted from 1.
        position: usize,
    },
}
