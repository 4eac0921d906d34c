//! The folder that a server's identity lives in: read, made once, renewed, and never silently
//! replaced.
//!
//! | file | what it holds |
//! |---|---|
//! | `server.key`, `server.crt` | the present identity |
//! | `next.key`, `next.crt` | the one that follows it, from when it is prepared until it takes its place |
//! | `browser.key`, `browser.crt` | reserved: a certificate of 13 days for browsers, with a key of its own |
//! | `known_servers.toml` | those that the player here has joined; see [`KnownServers`](super::KnownServers) |
//! | `.gitignore` | keeps keys and certificates out of git |
//!
//! Knows nothing about connections, and about certificates only when to ask for another one.

mod rotate;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::KeyPair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::certificate::{self, Validity};
use super::staged::{Secrecy, Staged, write_new};
use super::{Identity, IdentityError, PemError};

/// Where the files of an identity are, and those of the next one.
pub(super) struct Folder<'a> {
    dir: &'a Path,
    present: Pair,
    next: Pair,
}

/// The two files of an identity.
struct Pair {
    key: PathBuf,
    certificate: PathBuf,
}

impl<'a> Folder<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        Self {
            dir,
            present: Pair::in_folder(dir, "server"),
            next: Pair::in_folder(dir, "next"),
        }
    }

    /// See [`Identity::load_or_create`]; `now` is in seconds since 1970.
    pub(super) fn load_or_create(&self, now: i64) -> Result<Identity, IdentityError> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            let key = read(&self.present.key, Secrecy::Secret)?;
            let certificate = read(&self.present.certificate, Secrecy::Public)?;
            match (key, certificate) {
                (Some(key), Some(certificate)) => match self.assemble(&key, &certificate, now) {
                    // The other half of a switch may be on its way.
                    Err(error @ IdentityError::Mismatch { .. }) => {
                        if !self.finish_switch(&key)? {
                            failure = Some(error);
                            thread::sleep(PAUSE);
                        }
                    }
                    Ok(identity) => match self.read_next()? {
                        Some(next) if next.from <= at(now) => self.switch()?,
                        // Another process may have taken the next one away since the present one was read,
                        // which is then no longer the present one.
                        None if read(&self.present.key, Secrecy::Secret)?.as_ref()
                            != Some(&key) => {}
                        next => return Ok(identity.followed_by(next)),
                    },
                    Err(error) => return Err(error),
                },
                // Whoever else may be doing the same: the next round loads what is there then.
                (None, None) => self.create(&self.present, now)?,
                // Another process may be between the two files.
                (key, _) => {
                    failure = Some(self.present.incomplete(key.is_some()));
                    thread::sleep(PAUSE);
                }
            }
        }
        // Without one, each was deleted as soon as it was made.
        Err(failure.unwrap_or_else(|| io_error(&self.present.key)(ErrorKind::NotFound.into())))
    }

    fn create(&self, pair: &Pair, now: i64) -> Result<(), IdentityError> {
        fs::create_dir_all(self.dir).map_err(io_error(self.dir))?;
        // Before the key, so that there is no moment at which it could be committed.
        let ignore = self.dir.join(".gitignore");
        if let Err(error) = write_new(&ignore, GITIGNORE, Secrecy::Public)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(io_error(&ignore)(error));
        }
        let key = certificate::generate_key()?;
        let issued = certificate::issue(&key, [""; 0], Validity::starting(now))?;
        let (key, issued) = (key.serialize_pem(), issued.pem());
        // Both complete before either gets its name: that leaves little room between the two.
        let staged_certificate = Staged::write(self.dir, "crt", issued.as_bytes(), Secrecy::Public)
            .map_err(io_error(self.dir))?;
        let staged_key = Staged::write(self.dir, "key", key.as_bytes(), Secrecy::Secret)
            .map_err(io_error(self.dir))?;
        // The key decides which of several processes made the identity.
        if staged_key
            .publish_new(&pair.key)
            .map_err(io_error(&pair.key))?
        {
            staged_certificate
                .replace(&pair.certificate)
                .map_err(io_error(&pair.certificate))?;
            tracing::info!(key = %pair.key.display(), "made a new server identity");
        }
        Ok(())
    }

    fn assemble(
        &self,
        key: &[u8],
        certificate: &[u8],
        now: i64,
    ) -> Result<Identity, IdentityError> {
        let pair = &self.present;
        let identity = Identity::from_pem(certificate, key).map_err(|source| pair.blame(source))?;
        if !certificate::needs_renewal(&identity.certified_key().cert, now) {
            return Ok(identity);
        }
        let renewed = self.issue_for(pair, key, now)?;
        let identity =
            Identity::from_pem(renewed.as_bytes(), key).map_err(|source| pair.blame(source))?;
        // A folder that cannot be written to, such as a mounted secret, should not keep a server
        // from starting.
        match self.write_certificate(pair, &renewed) {
            Ok(()) => {
                tracing::info!(path = %pair.certificate.display(), "renewed the server certificate")
            }
            Err(error) => {
                tracing::warn!(%error, "renewed the server certificate for this run only");
            }
        }
        Ok(identity)
    }

    /// Issues a certificate for the key of a pair.
    fn issue_for(&self, pair: &Pair, key: &[u8], now: i64) -> Result<String, IdentityError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| pair.blame(PemError::Key))?;
        let key = KeyPair::try_from(&key).map_err(|_| pair.blame(PemError::Key))?;
        Ok(certificate::issue(&key, [""; 0], Validity::starting(now))?.pem())
    }

    fn write_certificate(&self, pair: &Pair, pem: &str) -> Result<(), IdentityError> {
        Staged::write(self.dir, "crt", pem.as_bytes(), Secrecy::Public)
            .and_then(|staged| staged.replace(&pair.certificate))
            .map_err(io_error(&pair.certificate))
    }
}

impl Pair {
    fn in_folder(dir: &Path, name: &str) -> Self {
        Self {
            key: dir.join(format!("{name}.key")),
            certificate: dir.join(format!("{name}.crt")),
        }
    }

    fn incomplete(&self, has_key: bool) -> IdentityError {
        let (missing, present) = match has_key {
            true => (&self.certificate, &self.key),
            false => (&self.key, &self.certificate),
        };
        IdentityError::Incomplete {
            missing: missing.clone(),
            present: present.clone(),
        }
    }

    fn blame(&self, source: PemError) -> IdentityError {
        let path = match source {
            PemError::Mismatch => {
                return IdentityError::Mismatch {
                    key: self.key.clone(),
                    certificate: self.certificate.clone(),
                };
            }
            PemError::NoCertificate | PemError::Certificate => self.certificate.clone(),
            PemError::NoKey | PemError::Key => self.key.clone(),
        };
        IdentityError::Damaged { path, source }
    }
}

fn at(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn read(path: &Path, secrecy: Secrecy) -> Result<Option<Vec<u8>>, IdentityError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_error(path))?,
    };
    if secrecy == Secrecy::Secret {
        check_mode(path, &file)?;
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(io_error(path))?;
    Ok(Some(content))
}

/// Asks the open file, not the path, which could be another file by then.
#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file
        .metadata()
        .map_err(io_error(path))?
        .permissions()
        .mode()
        & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::LooseMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Elsewhere the file has the access rights of its folder, which are the user's own by default.
#[cfg(not(unix))]
fn check_mode(_path: &Path, _file: &File) -> Result<(), IdentityError> {
    Ok(())
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { path, source }
}

const GITIGNORE: &[u8] = b"*.key\n*.crt\n";

/// Together a quarter of a second: far more than the microseconds between the two files of one
/// identity, and little enough to wait for an error.
const ATTEMPTS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
