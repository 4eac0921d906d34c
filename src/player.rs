//! Players: what a server holds of a connected client.

use std::{
    any::Any,
    fmt,
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
};

use crate::{
    inbox::Context,
    link::{Link, LinkStats, reason::DisconnectReason},
    server::{Server, ServerInner},
    session::{Held, budget::Offence},
    wire::code::CloseCode,
};

/// A player's number: unique for as long as its server runs, never used again.
///
/// It can travel in arguments, as a `u64`. From a client it is a claim: who fired an event, the handler is
/// told by its [`Player`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct PlayerId(pub(crate) u64);

impl PlayerId {
    /// The number itself.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connected client, as its server sees it.
///
/// A cheap handle: clones are the same player, compared and hashed by id. It stays readable after the
/// player has left. A player that connects again is a new one.
#[derive(Clone)]
pub struct Player {
    inner: Arc<PlayerInner>,
}

struct PlayerInner {
    name: Box<str>,
    profile: Arc<dyn Any + Send + Sync>,
    link: Arc<Link>,
    server: Arc<ServerInner>,
}

impl Player {
    pub(crate) fn new(
        name: &str,
        profile: Arc<dyn Any + Send + Sync>,
        link: Arc<Link>,
        server: Arc<ServerInner>,
    ) -> Self {
        Self {
            inner: Arc::new(PlayerInner {
                name: name.into(),
                profile,
                link,
                server,
            }),
        }
    }

    /// The number that tells this player from all others of the server.
    pub fn id(&self) -> PlayerId {
        PlayerId(self.inner.link.id)
    }

    /// The name it joined with, or that [authentication](crate::ServerBuilder::authenticate) gave it.
    ///
    /// Names need not be unique.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What authentication learnt of the player, if it is a `T`.
    pub fn profile<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.inner.profile.downcast_ref()
    }

    /// The server it plays on: how handlers reach it.
    ///
    /// Unlike a captured `Server`, this handle does not keep the server running.
    pub fn server(&self) -> Server {
        Server::passing(self.inner.server.clone())
    }

    /// Where its packets come from now; it may change while it plays.
    pub fn address(&self) -> SocketAddr {
        self.inner.link.remote_address()
    }

    /// Removes the player; its client is told `message` (R104).
    ///
    /// What was fired to it before is still delivered, within the `leave` timeout.
    pub fn kick(&self, message: impl AsRef<str>) {
        let text = match message.as_ref() {
            "" => "you were removed from this server",
            text => text,
        };
        self.inner.link.finish(CloseCode::KICKED, text, true);
    }

    /// Whether it is still connected.
    pub fn is_connected(&self) -> bool {
        self.inner.link.ended().is_none()
    }

    /// Waits until it has left, and says why; then it is no longer among the players.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn left(&self) -> DisconnectReason {
        let reason = self.inner.link.closed().await;
        self.inner.server.departed(self).await;
        reason
    }

    /// Pings, traffic, queues and the ledger, at this moment.
    pub fn stats(&self) -> LinkStats {
        self.inner.link.stats()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.inner.link
    }
}

impl Context for Player {
    fn held(&self) -> &Arc<Held> {
        &self.inner.link.held
    }

    fn offended(&self, offence: Offence, count: u64) {
        self.inner.server.offended(self, offence, count);
    }
}

impl PartialEq for Player {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner.link, &other.inner.link)
    }
}

impl Eq for Player {}

impl Hash for Player {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Player({} {:?})", self.id(), self.name())
    }
}

impl fmt::Display for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a player may be called this.
pub(crate) fn is_name(name: &str) -> bool {
    // The length in bytes comes first, so that counting characters is bounded.
    name.len() <= 4 * MAX_NAME_CHARS
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(char::is_control)
}

/// What [`is_name`] asks for, in words.
pub(crate) const NAME_RULE: &str = "a name has at most 64 characters and no control characters";
/// Long enough for any name that fits above a head.
const MAX_NAME_CHARS: usize = 64;
