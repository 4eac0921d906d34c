//! What a program's authentication hook is asked, and what it answers.

use std::{any::Any, fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;

/// Somebody who wants to join.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JoinRequest {
    /// The name it asks for; checked for length and control characters, nothing else.
    pub name: String,
    /// The token it brought; empty if none. Hidden from `Debug`.
    pub token: Token,
    /// Where it connects from; proven to receive packets there.
    pub address: SocketAddr,
}

/// Secret bytes that a client brings to be let in.
#[derive(Clone)]
pub struct Token(pub(super) Bytes);

impl Token {
    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// What authentication grants.
pub struct Admission {
    pub(super) name: Option<String>,
    pub(super) profile: Arc<dyn Any + Send + Sync>,
}

impl Admission {
    /// Lets the player in under the name it asked for.
    pub fn new() -> Self {
        Self {
            name: None,
            profile: Arc::new(()),
        }
    }

    /// Gives the player another name than it asked for.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Attaches what is known of the player, for [`Player::profile`](crate::Player::profile).
    pub fn profile<T: Any + Send + Sync>(mut self, profile: T) -> Self {
        self.profile = Arc::new(profile);
        self
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why authentication refuses a player; the client gets it as a typed error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is missing or wrong.
    BadToken,
    /// The token was good once.
    ExpiredToken,
    /// The player may not play here, for this reason.
    Banned {
        /// A text for the player, cut to 256 bytes.
        reason: String,
    },
    /// Another reason.
    Other {
        /// A text for the player, cut to 256 bytes.
        reason: String,
    },
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Other { reason }
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Other {
            reason: reason.into(),
        }
    }
}

/// The hook itself.
pub(super) type Authenticate = Box<
    dyn Fn(JoinRequest) -> Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send>>
        + Send
        + Sync,
>;
