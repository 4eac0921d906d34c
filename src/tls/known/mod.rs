//! The servers that a player has joined before, in a file, and what that says about one that answers now.
//!
//! Knows nothing about connections: it is asked after a handshake, never during one.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Code, Pin};

/// The servers that a player knows, in a file; clones share it.
#[derive(Clone)]
pub struct KnownServers {
    path: std::sync::Arc<Path>,
}

/// One server that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownServer {
    /// Who it is.
    pub pin: Pin,
    /// What its host called it; empty if nobody said.
    pub name: String,
    /// Where it was last reached, the latest first, as `HOST:PORT`; at most 8.
    pub last_addrs: Vec<String>,
    /// When it was first joined or accepted.
    pub first_seen: SystemTime,
    /// When it was last joined.
    pub last_seen: SystemTime,
    /// How its pin came to be known.
    pub via: Via,
    /// The identities that it announced for later.
    pub next: Option<Pin>,
}

/// How the pin of a server came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Via {
    /// From a join link.
    Link,
    /// From a typed code.
    Code,
    /// It was found on the network and accepted.
    Mdns,
    /// It answered at an address and was accepted.
    Manual,
}

/// What is known of a server that was refused, in [`ConnectError::UntrustedServer`](crate::ConnectError::UntrustedServer).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Known {
    /// Other pins were given, by a link, a code or the program: there is nothing to decide.
    Pinned {
        /// The pins that would have been accepted.
        expected: Vec<Pin>,
    },
    /// Nothing: neither this server, nor another of this name or at this address.
    Nothing,
    /// Under this name or at this address another server was joined before.
    Changed {
        /// The one that was joined before.
        before: Box<KnownServer>,
    },
}

impl Known {
    /// The refusal in words, with what to do.
    pub(crate) fn explain(&self, address: std::net::SocketAddr, received: &Code) -> String {
        let _ = (address, received);
        todo!()
    }
}

impl KnownServers {
    /// Uses the file at `path`, which need not exist yet.
    ///
    /// # Errors
    ///
    /// [`KnownServersError`] if it cannot be read or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KnownServersError> {
        todo!()
    }
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The servers, the one joined last first.
    pub fn list(&self) -> Result<Vec<KnownServer>, KnownServersError> {
        todo!()
    }
    /// The server with this pin.
    pub fn find(&self, pin: &Pin) -> Result<Option<KnownServer>, KnownServersError> {
        todo!()
    }
    /// Trusts the server with this pin from now on; `address` is `HOST:PORT`.
    pub fn accept(
        &self,
        pin: Pin,
        name: &str,
        address: &str,
        via: Via,
    ) -> Result<(), KnownServersError> {
        todo!()
    }
    /// Trusts a server that was refused not long ago; `None` if none of this code was.
    pub fn accept_code(&self, code: &Code) -> Result<Option<KnownServer>, KnownServersError> {
        todo!()
    }
    /// Forgets the servers of this code, and says how many there were.
    pub fn forget(&self, code: &Code) -> Result<usize, KnownServersError> {
        todo!()
    }
}

impl fmt::Debug for KnownServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownServers").field(&self.path).finish()
    }
}

/// Why the known servers could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownServersError {
    /// The file cannot be understood. It is left as it is.
    #[error("{}, line {line}: {detail}: correct that line, or delete the file, and confirm each server again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// Another process keeps the file locked.
    #[error("{} is in use by another process for too long: end it and try again", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The system would not let the file be read or written.
    #[error("cannot read or write {}: check its owner and that the disk is not full", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
