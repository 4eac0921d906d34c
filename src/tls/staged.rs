//! Files that are complete before they get their name, so that nobody ever reads half of one.
//!
//! Knows nothing about what is in them.

use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    Secret,
    Public,
}

/// A complete file that does not have its name yet; deleted unless it gets one.
pub(super) struct Staged<'a> {
    path: PathBuf,
    content: &'a [u8],
    secrecy: Secrecy,
}

impl<'a> Staged<'a> {
    pub(super) fn write(
        dir: &Path,
        extension: &str,
        content: &'a [u8],
        secrecy: Secrecy,
    ) -> io::Result<Self> {
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
        write_new(&staged.path, content, secrecy)?;
        Ok(staged)
    }

    /// Gives it the name `target` unless that is taken, and says whether it did.
    pub(super) fn publish_new(self, target: &Path) -> io::Result<bool> {
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
            published => published.map(|()| true),
        }
    }

    /// Gives it the name `target`, in place of what had that name.
    pub(super) fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // It has been renamed, or there is nobody left to tell.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file that must not be there yet.
pub(super) fn write_new(path: &Path, content: &[u8], secrecy: Secrecy) -> io::Result<()> {
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
