//! The identity of a server: its key, its certificate and its pin.
//!
//! Knows nothing about connections. What it looks like on disk is in `folder`.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::{self, Validity};
use super::folder::Folder;
use super::{Pin, provider};

/// The private key of a server with the certificate that goes with it.
///
/// Clients recognize a server by its [`Pin`] or by an authority that signed the certificate, see
/// [`Trust`]. Clones share one key. The key cannot be read back, and does not appear in `Debug`.
///
/// [`Trust`]: super::Trust
#[derive(Clone)]
pub struct Identity {
    certified_key: Arc<CertifiedKey>,
    pin: Pin,
    next: Option<NextIdentity>,
}

impl Identity {
    /// Loads the identity in the folder `dir`, which is made there the first time.
    ///
    /// The folder holds `server.key`, which only its owner may read, and `server.crt`. A folder
    /// that gets a new identity also gets a `.gitignore` for both, unless it has one. Processes
    /// that start at the same moment end up with the same identity.
    ///
    /// The certificate is self-signed with an ECDSA P-256 key, valid from the day before for one
    /// year, for `localhost`, the loopback addresses, this machine's name and the private addresses
    /// that it has then. When two thirds of its life are over it is issued again for the same key,
    /// so the pin stays as it is.
    /// Certificates that farfire did not issue are used as they are.
    ///
    /// This blocks on the disk, for up to a quarter of a second more when only one of the two files
    /// is there.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the files cannot be read or written, are damaged or incomplete, do
    /// not belong together, or, on Unix, when others than the owner may access the key. They are
    /// never replaced by a new identity.
    pub fn load_or_create(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        Folder::new(dir.as_ref()).load_or_create(certificate::now())
    }

    /// Makes an identity that lasts as long as this program, for tests and playtests.
    ///
    /// Its certificate is like that of [`Identity::load_or_create`] and also covers `names`, each a
    /// DNS name or an IP address without a port.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Name`] for a name that is neither, and [`IdentityError::Generate`] without
    /// random numbers.
    pub fn self_signed(
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, IdentityError> {
        let usual = Validity::starting(certificate::now());
        Self::self_signed_valid(names, usual.not_before..usual.not_after)
    }

    /// Like [`Identity::self_signed`], with dates of one's own in seconds since 1970.
    pub(crate) fn self_signed_valid(
        names: impl IntoIterator<Item = impl Into<String>>,
        valid: Range<i64>,
    ) -> Result<Self, IdentityError> {
        let validity = Validity {
            not_before: valid.start,
            not_after: valid.end,
        };
        let key = certificate::generate_key()?;
        let certificate = certificate::issue(&key, names, validity)?;
        Self::from_der(vec![certificate.into()], key.into()).map_err(|source| {
            IdentityError::Generate {
                source: source.into(),
            }
        })
    }

    /// Reads an identity from PEM text, such as that of a public authority.
    ///
    /// `chain` holds the server's certificate and after it those of the authorities in between;
    /// `key` holds the private key, which may be ECDSA P-256 or P-384, Ed25519 or RSA. Dates and
    /// issuer are left for the clients to check. Other sections are skipped, so both may be the
    /// same text.
    ///
    /// # Errors
    ///
    /// [`PemError`] when one of them is missing or damaged, or when they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PemError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| PemError::Certificate)?;
        if chain.is_empty() {
            return Err(PemError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => PemError::NoKey,
            _ => PemError::Key,
        })?;
        Self::from_der(chain, key)
    }

    fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, PemError> {
        let leaf = chain.first().ok_or(PemError::NoCertificate)?;
        let pin = Pin::of(leaf).map_err(|_| PemError::Certificate)?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| PemError::Key)?;
        let certified_key = CertifiedKey::new(chain, key);
        match certified_key.keys_match() {
            Ok(()) => Ok(Self {
                certified_key: Arc::new(certified_key),
                pin,
                next: None,
            }),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(PemError::Mismatch)
            }
            Err(_) => Err(PemError::Certificate),
        }
    }

    /// Prepares the identity that is to follow the one in the folder `dir`, unless it is there.
    ///
    /// It is kept in `next.key` and `next.crt`. A server with the present identity then [announces](crate::Server::set_identity)
    /// it to its players, whose known servers keep it, and who do not notice when it takes the place of the present one:
    /// when [`Identity::load_or_create`] is called 30 days later or more, or by [`Identity::rotate`]. A server that runs
    /// hears of it when it loads the folder again; a playtest server does so by itself. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// As [`Identity::load_or_create`], for the files of both identities.
    pub fn prepare_next(dir: impl AsRef<Path>) -> Result<NextIdentity, IdentityError> {
        Folder::new(dir.as_ref()).prepare_next(certificate::now())
    }

    /// Puts the next identity of the folder `dir` in the place of the present one now, and loads it.
    ///
    /// The key of the one before is gone afterwards. Players who have not heard of the next one, and those who join by an older
    /// link, find a server that they do not know. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoNext`] if none was prepared; else as [`Identity::load_or_create`].
    pub fn rotate(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        Folder::new(dir.as_ref()).rotate(certificate::now())
    }

    /// The identity that will follow this one, if it was loaded from a folder in which one is prepared.
    pub fn next(&self) -> Option<NextIdentity> {
        self.next
    }

    pub(super) fn followed_by(mut self, next: Option<NextIdentity>) -> Self {
        self.next = next;
        self
    }

    /// Returns what clients remember this server by.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified_key)
    }
}

/// The identity that a server will have later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextIdentity {
    /// Its pin.
    pub pin: Pin,
    /// When it takes the place of the present one, at the earliest.
    pub from: std::time::SystemTime,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("pin", &self.pin)
            .finish_non_exhaustive()
    }
}

/// Why an identity could not be loaded or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A name is neither a DNS name nor an IP address.
    #[error(
        "{name:?} cannot stand in a certificate: give a DNS name, or an IP address without a port"
    )]
    Name {
        /// The name as given.
        name: String,
    },
    /// Others than its owner may access the key.
    #[error(
        "others can access the private key (mode {mode:04o}): run `chmod 600 {path}`",
        path = path.display()
    )]
    LooseMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file cannot be understood.
    #[error(
        "{path} is damaged: restore it, or delete it and its twin (.key, .crt) to make a \
         new identity, whose new pin every player must then be given",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PemError,
    },
    /// One of the two files is there without the other.
    #[error(
        "{missing} is missing beside {present}: restore it, or delete {present} to make a new \
         identity, whose new pin every player must then be given",
        missing = missing.display(),
        present = present.display()
    )]
    Incomplete {
        /// The file that is not there.
        missing: PathBuf,
        /// The file that is.
        present: PathBuf,
    },
    /// The certificate is for another key.
    #[error(
        "{certificate} is not for the key in {key}: restore the pair, or delete both to make a new \
         identity, whose new pin every player must then be given",
        certificate = certificate.display(),
        key = key.display()
    )]
    Mismatch {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
    /// No next identity was prepared.
    #[error("{} holds no next identity: prepare one first, and let players hear of it", dir.display())]
    NoNext {
        /// The folder.
        dir: PathBuf,
    },
    /// The system would not let a file be read or written.
    #[error(
        "cannot read or write {path}: check its owner and that the disk is not full",
        path = path.display()
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system has no random numbers to give, or its clock is beyond the year 9998.
    #[error("cannot generate a key and certificate: check the clock and random number generator")]
    Generate {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why PEM text does not hold an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// There is no certificate.
    #[error("no certificate found: give PEM text with at least one CERTIFICATE section")]
    NoCertificate,
    /// One of the certificates is damaged.
    #[error("a certificate cannot be read: get it again from whoever issued it")]
    Certificate,
    /// There is no private key.
    #[error("no private key found: give PEM text with a PRIVATE KEY section that is not encrypted")]
    NoKey,
    /// The private key is damaged, or of a type that is not supported.
    #[error(
        "the private key cannot be used: give one of type ECDSA P-256 or P-384, Ed25519 or RSA"
    )]
    Key,
    /// The first certificate is for another key.
    #[error(
        "the first certificate is not for this private key: put the server's own certificate first"
    )]
    Mismatch,
}
