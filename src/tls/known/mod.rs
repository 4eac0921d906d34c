//! The servers that a player has joined before, in a file, and what they say about one that answers now.
//!
//! Knows nothing about connections: it is asked before a handshake whom to believe, and after a failed one
//! what to say, never during one.

mod announced;
mod file;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use self::announced::Announced;
use self::file::{Entry, Refused};
use super::certificate::now;
use super::{Code, Pin};

/// The servers that a player has joined or accepted, in a file of its own; clones share it.
///
/// They are told apart by their pins, not by their addresses, which change on every local network. The file holds at most
/// 1024 of them (the one not joined for longest makes room), and nothing secret. Several processes may use it at a
/// time: none loses what another wrote. A damaged file is an error, and left as it is.
///
/// Every method reads the file, and blocks on the disk, those that write for up to five seconds if another process holds
/// its lock (`known_servers.lock` beside it).
///
/// ```
/// use farfire::tls::{KnownServers, Pin, Via};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("known_servers.toml");
/// let known = KnownServers::open(path)?;
/// let pin = Pin::from_bytes([7; 32]);
/// known.accept(pin, "desert-duel", "192.168.1.7:4433", Via::Manual)?;
/// assert_eq!(known.list()?[0].name, "desert-duel");
/// assert_eq!(known.forget(&pin.code())?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KnownServers {
    path: Arc<Path>,
    announced: Arc<Announced>,
}

impl KnownServers {
    /// Uses the file at `path`, which need not exist yet.
    ///
    /// # Errors
    ///
    /// [`KnownServersError`] if it cannot be read or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KnownServersError> {
        let path: Arc<Path> = path.as_ref().into();
        file::read(&path)?;
        let announced = Arc::default();
        Ok(Self { path, announced })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The servers, the one joined last first.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn list(&self) -> Result<Vec<KnownServer>, KnownServersError> {
        let mut servers = file::read(&self.path)?.server;
        servers.sort_by_key(|server| std::cmp::Reverse(server.last_seen));
        Ok(servers.into_iter().map(KnownServer::from).collect())
    }

    /// The server that has, or once had, this pin.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn find(&self, pin: &Pin) -> Result<Option<KnownServer>, KnownServersError> {
        Ok(file::read(&self.path)?
            .of(pin)
            .cloned()
            .map(KnownServer::from))
    }

    /// Trusts the server with this pin from now on, called `name` and last seen at `address`; both may be empty.
    ///
    /// Ask a person first, who compares the [`Code`] with the host's screen.
    ///
    /// # Errors
    ///
    /// [`KnownServersError`] if the file cannot be read or written, or is damaged.
    pub fn accept(
        &self,
        pin: Pin,
        name: &str,
        address: &str,
        via: Via,
    ) -> Result<(), KnownServersError> {
        file::change(&self.path, |contents| {
            contents.remember(pin, name, address, Some(via), now());
        })
    }

    /// Trusts a server from now on that was refused not long ago, and returns it; `None` if none of this code was.
    ///
    /// The last 16 that were refused are kept, so that a person who has seen the error can decide in another
    /// program.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn accept_code(&self, code: &Code) -> Result<Option<KnownServer>, KnownServersError> {
        file::change(&self.path, |contents| {
            let at = contents
                .refused
                .iter()
                .position(|one| code.matches(&one.pin))?;
            let Refused {
                pin, name, address, ..
            } = contents.refused[at].clone();
            contents.remember(pin, &name, &address, Some(Via::Manual), now());
            contents.of(&pin).cloned().map(KnownServer::from)
        })
    }

    /// Forgets the servers of this code, and says how many there were: 0 or 1, unless somebody made two keys of one code.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn forget(&self, code: &Code) -> Result<usize, KnownServersError> {
        file::change(&self.path, |contents| {
            let before = contents.server.len();
            contents.server.retain(|server| !code.matches(&server.pin));
            contents
                .refused
                .retain(|refused| !code.matches(&refused.pin));
            before - contents.server.len()
        })
    }

    /// Everyone who is believed without further questions.
    pub(crate) fn pins(&self) -> Result<Vec<Pin>, KnownServersError> {
        let servers = file::read(&self.path)?.server;
        Ok(servers.iter().flat_map(Entry::believed).collect())
    }

    /// Whom to believe where `pin` was given: that server, or what it has become since.
    pub(crate) fn pins_for(&self, pin: Pin) -> Result<Vec<Pin>, KnownServersError> {
        let contents = file::read(&self.path)?;
        Ok(match contents.of(&pin) {
            Some(server) => server.believed().collect(),
            None => vec![pin],
        })
    }

    /// A server that is believed was joined. One that is new is added if it is said how it came to be known.
    pub(crate) fn joined(
        &self,
        pin: Pin,
        name: &str,
        address: &str,
        via: Option<Via>,
    ) -> Result<(), KnownServersError> {
        file::change(&self.path, |contents| {
            contents.remember(pin, name, address, via, now());
        })
    }

    /// A server that was joined announces the identity that it will have. Gives what is to be run
    /// where blocking is allowed, unless it is under way.
    pub(crate) fn announced(&self, pin: Pin, next: Pin) -> Option<WriteAnnounced> {
        let begins = self.announced.note(pin, next);
        begins.then(|| WriteAnnounced {
            known: self.clone(),
            done: false,
        })
    }

    /// What is known of a server that was refused; keeps it for [`accept_code`](Self::accept_code).
    pub(crate) fn refused(
        &self,
        pin: Pin,
        name: &str,
        addresses: [&str; 2],
    ) -> Result<Known, KnownServersError> {
        let known = match file::read(&self.path)?.like(name, &addresses) {
            Some(before) => Known::Changed {
                before: Box::new(before.clone().into()),
            },
            None => Known::Nothing,
        };
        // What matters is said either way.
        let kept = file::change(&self.path, |contents| {
            contents.keep_refused(pin, name, addresses[0], now());
        });
        if let Err(error) = kept {
            tracing::debug!(%error, "a refused server is not kept");
        }
        Ok(known)
    }
}

impl fmt::Debug for KnownServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownServers").field(&self.path).finish()
    }
}

/// Writes down what servers have announced, until there is no more.
pub(crate) struct WriteAnnounced {
    known: KnownServers,
    done: bool,
}

impl WriteAnnounced {
    /// Blocks on the disk. Of several errors, the last one counts.
    pub(crate) fn run(mut self) -> Result<(), KnownServersError> {
        let mut outcome = Ok(());
        loop {
            let news = self.known.announced.take();
            if news.is_empty() {
                self.done = true;
                return outcome;
            }
            outcome = file::change(&self.known.path, |contents| {
                for server in &mut contents.server {
                    let next = news.get(&server.pin).copied();
                    if let Some(next) = next.filter(|next| !server.retired.contains(next)) {
                        server.next = (next != server.pin).then_some(next);
                    }
                }
            });
        }
    }
}

/// Also where it never ran, as with a runtime that has ended.
impl Drop for WriteAnnounced {
    fn drop(&mut self) {
        if !self.done {
            self.known.announced.give_up();
        }
    }
}

/// One server that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownServer {
    /// Who it is.
    pub pin: Pin,
    /// What its host called it; empty if nobody said. At most 64 characters, without control characters.
    pub name: String,
    /// Where it was reached, the latest first, as `HOST:PORT`; at most 8.
    pub last_addrs: Vec<String>,
    /// When it was first joined or accepted.
    pub first_seen: SystemTime,
    /// When it was last joined or accepted.
    pub last_seen: SystemTime,
    /// How its pin came to be known.
    pub via: Via,
    /// The pin that it announced for later.
    pub next: Option<Pin>,
}

impl From<Entry> for KnownServer {
    fn from(entry: Entry) -> Self {
        Self {
            pin: entry.pin,
            name: entry.name,
            last_addrs: entry.last_addrs,
            first_seen: time(entry.first_seen),
            last_seen: time(entry.last_seen),
            via: entry.via,
            next: entry.next,
        }
    }
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// How the pin of a server came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Via {
    /// From a join link.
    Link,
    /// From a typed code.
    Code,
    /// It was found on the network, and accepted.
    Mdns,
    /// It answered at an address, and was accepted.
    Manual,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Link => "by link",
            Self::Code => "by code",
            Self::Mdns => "after it was found on the network",
            Self::Manual => "by address",
        })
    }
}

/// What is known of a server that was refused, in
/// [`ConnectError::UntrustedServer`](crate::ConnectError::UntrustedServer).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Known {
    /// Other pins were given, by a link, a code or the program. There is nothing to ask: it is not that server.
    Pinned {
        /// The pins that would have been accepted.
        expected: Vec<Pin>,
    },
    /// Nothing: neither this server, nor another of this name or at this address. A person may
    /// [accept](KnownServers::accept) it.
    Nothing,
    /// Under this name or at this address another server was joined before. It is the host who can say whether the identity is a
    /// new one; do not offer to accept it in passing.
    Changed {
        /// The one that was joined before.
        before: Box<KnownServer>,
    },
}

impl Known {
    /// The refusal in words, with what to do.
    pub(crate) fn explain(&self, address: SocketAddr, pin: &Pin) -> String {
        let received = pin.code();
        match self {
            Self::Pinned { expected } => {
                let pins: Vec<_> = expected.iter().map(Pin::to_string).collect();
                let expected = match pins.is_empty() {
                    true => "no server is".to_owned(),
                    false => format!("{} is", pins.join(" or ")),
                };
                // In full: two that differ late have the same code.
                format!(
                    "{address} has the identity {pin}, and {expected} expected: ask the host for the current link; if it has \
                     not changed, something answers in the server's place"
                )
            }
            Self::Nothing => format!(
                "{address} has the identity {received}, which is not known yet: compare it with the host's screen, and \
                 accept it if they match"
            ),
            Self::Changed { before } => {
                let KnownServer { name, via, .. } = &**before;
                let name = match name.is_empty() {
                    true => String::new(),
                    false => format!("{name:?}, "),
                };
                let since = day(before.first_seen);
                format!(
                    "{address} is not the server you joined before\n  \
                     expected  {expected}   {name}first joined {since} {via}\n  \
                     received  {received}\n  \
                     Either the host made a new identity (certs/ was deleted) or something on this\n  \
                     network is answering in its place.\n\
                     help: ask the host to run `farfire cert show`. If the codes match: farfire trust accept {received}",
                    expected = before.pin.code(),
                )
            }
        }
    }
}

/// For the fuzzers: panics if a file that can be read breaks a promise.
#[cfg(any(test, fuzzing))]
pub(crate) fn file_is_sound(bytes: &[u8]) {
    match file::parse(bytes) {
        Ok(contents) => {
            let text = file::render(&contents);
            assert_eq!(file::parse(text.as_bytes()), Ok(contents));
        }
        Err((line, detail)) => {
            assert!(line <= 1 + bytes.iter().filter(|byte| **byte == b'\n').count());
            assert!(detail.len() <= 4 * 200);
        }
    }
}

/// The day of a moment, such as `3 Nov 2026`.
fn day(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let date = i64::try_from(seconds)
        .ok()
        .map(OffsetDateTime::from_unix_timestamp);
    let Some(Ok(date)) = date else {
        return "long ago".into();
    };
    let month = date.month().to_string();
    format!("{} {} {}", date.day(), &month[..3], date.year())
}

/// Why the known servers could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownServersError {
    /// The file cannot be understood. It is left as it is.
    #[error(
        "line {line} of {path} is damaged ({detail}): correct it, or delete the file and confirm each server again",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// Another process has kept the lock for five seconds.
    #[error("another process keeps {path} locked: end it and try again", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
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
}

#[cfg(test)]
mod tests;
