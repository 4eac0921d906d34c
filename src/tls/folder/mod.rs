//! The folder that a server's identity lives in: read, made once, renewed, and never silently
//! replaced.
//!
//! Knows nothing about connections, and about certificates only when to ask for another one.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rcgen::KeyPair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::certificate::{self, Validity};
use super::{Identity, IdentityError, PemError};

/// Where the two files of an identity are.
pub(super) struct Folder<'a> {
    dir: &'a Path,
    key: PathBuf,
    certificate: PathBuf,
}

impl<'a> Folder<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        Self {
            dir,
            key: dir.join("server.key"),
            certificate: dir.join("server.crt"),
        }
    }

    /// See [`Identity::load_or_create`]; `now` is in seconds since 1970.
    pub(super) fn load_or_create(&self, now: i64) -> Result<Identity, IdentityError> {
        let mut incomplete = None;
        for _ in 0..ATTEMPTS {
            let key = read(&self.key, Secrecy::Secret)?;
            let certificate = read(&self.certificate, Secrecy::Public)?;
            match (key, certificate) {
                (Some(key), Some(certificate)) => return self.assemble(&key, &certificate, now),
                // Whoever else may be doing the same: the next round loads what is there then.
                (None, None) => self.create(now)?,
                // Another process may be between the two files.
                (key, _) => {
                    incomplete = Some(key.is_some());
                    thread::sleep(PAUSE);
                }
            }
        }
        let (missing, present) = match incomplete {
            Some(true) => (self.certificate.clone(), self.key.clone()),
            Some(false) => (self.key.clone(), self.certificate.clone()),
            // Each was deleted as soon as it was made.
            None => return Err(io_error(&self.key)(ErrorKind::NotFound.into())),
        };
        Err(IdentityError::Incomplete { missing, present })
    }

    fn create(&self, now: i64) -> Result<(), IdentityError> {
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
        let staged_certificate =
            Staged::write(self.dir, "crt", issued.as_bytes(), Secrecy::Public)?;
        let staged_key = Staged::write(self.dir, "key", key.as_bytes(), Secrecy::Secret)?;
        // The key decides which of several processes made the identity.
        if staged_key.publish_new(&self.key)? {
            staged_certificate.replace(&self.certificate)?;
            tracing::info!(dir = %self.dir.display(), "made a new server identity");
        }
        Ok(())
    }

    fn assemble(
        &self,
        key: &[u8],
        certificate: &[u8],
        now: i64,
    ) -> Result<Identity, IdentityError> {
        let identity = Identity::from_pem(certificate, key).map_err(|source| self.blame(source))?;
        if !certificate::needs_renewal(&identity.certified_key().cert, now) {
            return Ok(identity);
        }
        let renewed = self.renew(key, now)?;
        let identity =
            Identity::from_pem(renewed.as_bytes(), key).map_err(|source| self.blame(source))?;
        // A folder that cannot be written to, such as a mounted secret, should not keep a server
        // from starting.
        match Staged::write(self.dir, "crt", renewed.as_bytes(), Secrecy::Public)
            .and_then(|staged| staged.replace(&self.certificate))
        {
            Ok(()) => {
                tracing::info!(path = %self.certificate.display(), "renewed the server certificate")
            }
            Err(error) => {
                tracing::warn!(%error, "renewed the server certificate for this run only");
            }
        }
        Ok(identity)
    }

    fn renew(&self, key: &[u8], now: i64) -> Result<String, IdentityError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| self.blame(PemError::Key))?;
        let key = KeyPair::try_from(&key).map_err(|_| self.blame(PemError::Key))?;
        Ok(certificate::issue(&key, [""; 0], Validity::starting(now))?.pem())
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Secret,
    Public,
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

/// A complete file that does not have its name yet; deleted unless it gets one.
struct Staged<'a> {
    path: PathBuf,
    content: &'a [u8],
    secrecy: Secrecy,
}

impl<'a> Staged<'a> {
    fn write(
        dir: &Path,
        extension: &str,
        content: &'a [u8],
        secrecy: Secrecy,
    ) -> Result<Self, IdentityError> {
        // Unlike a process id, random is unique across containers that share the folder. The
        // extension keeps what a crash leaves behind out of git.
        let random = RandomState::new().hash_one(extension);
        let path = dir.join(format!(".{random:016x}.{extension}"));
        // Made first: what a failed write leaves behind is deleted too.
        let staged = Self {
            path,
            content,
            secrecy,
        };
        write_new(&staged.path, content, secrecy).map_err(io_error(&staged.path))?;
        Ok(staged)
    }

    /// Gives it the name `target` unless that is taken, and says whether it did.
    fn publish_new(self, target: &Path) -> Result<bool, IdentityError> {
        let published = match fs::hard_link(&self.path, target) {
            // A file system without links. A crash during this leaves a file that is reported as
            // damaged.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                write_new(target, self.content, self.secrecy)
            }
            linked => linked,
        };
        match published {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            published => published.map(|()| true).map_err(io_error(target)),
        }
    }

    /// Gives it the name `target`, in place of what had that name.
    fn replace(self, target: &Path) -> Result<(), IdentityError> {
        fs::rename(&self.path, target).map_err(io_error(target))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // It has been renamed, or there is nobody left to tell.
        let _ = fs::remove_file(&self.path);
    }
}

fn write_new(path: &Path, content: &[u8], secrecy: Secrecy) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secrecy == Secrecy::Secret {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = secrecy;
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
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
