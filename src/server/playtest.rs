//! A playtest server in one go: identity, port, token, announcement and link.

use std::{ops::Deref, path::PathBuf};

use super::{Server, ServerBuilder, StartError};
use crate::{
    lan::{Interface, JoinLink, JoinToken},
    tls::{Code, Identity, IdentityError},
};

/// Describes a [`PlaytestServer`].
#[must_use = "a server runs after `start`"]
#[derive(Debug)]
pub struct PlaytestBuilder {}

impl PlaytestBuilder {
    /// Where the identity is kept (default `certs`).
    pub fn folder(self, dir: impl Into<PathBuf>) -> Self {
        todo!()
    }
    /// Uses this identity and no folder.
    pub fn identity(self, identity: Identity) -> Self {
        todo!()
    }
    /// Listens on this port and no other (default 4433 or one of the ten after it).
    pub fn port(self, port: u16) -> Self {
        todo!()
    }
    /// Whether joining takes the token in the link (default yes).
    pub fn token(self, needed: bool) -> Self {
        todo!()
    }
    /// The name of the game, for discovery.
    pub fn game(self, game: impl Into<String>) -> Self {
        todo!()
    }
    /// Whether the server announces itself on the network (default yes, with the feature `discovery`).
    pub fn advertise(self, on: bool) -> Self {
        todo!()
    }
    /// See [`ServerBuilder::remotes`].
    pub fn remotes(self, remotes: &[&dyn crate::remote::Remote]) -> Self {
        todo!()
    }
    /// See [`ServerBuilder::max_players`].
    pub fn max_players(self, players: usize) -> Self {
        todo!()
    }
    /// Sets anything else about the server.
    pub fn configure(self, configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        todo!()
    }
    /// Starts it.
    pub fn start(self) -> Result<PlaytestServer, PlaytestError> {
        todo!()
    }
}

/// A running playtest server; everything that a [`Server`] has, it has.
#[derive(Debug, Clone)]
pub struct PlaytestServer {}

impl PlaytestServer {
    /// The server itself.
    pub fn server(&self) -> &Server {
        todo!()
    }
    /// What players need to join, with the addresses of now.
    pub fn link(&self) -> JoinLink {
        todo!()
    }
    /// What players in the same room can type instead.
    pub fn code(&self) -> Code {
        todo!()
    }
    /// The addresses of this machine, the best first.
    pub fn interfaces(&self) -> Vec<Interface> {
        todo!()
    }
    /// The port that was wanted, if it was taken and another one is used.
    pub fn port_taken(&self) -> Option<u16> {
        todo!()
    }
    /// Makes a new token; links that were given out let nobody in any more.
    pub fn replace_token(&self) -> Option<JoinToken> {
        todo!()
    }
    /// Why the server does not announce itself, if it should and does not.
    pub fn not_advertised(&self) -> Option<&str> {
        todo!()
    }
}

impl Deref for PlaytestServer {
    type Target = Server;
    fn deref(&self) -> &Server {
        self.server()
    }
}

/// Why a playtest server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaytestError {
    /// The identity cannot be loaded or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The ports are all taken.
    #[error("the ports {first} to {last} are all taken: stop another server, or choose a port")]
    PortsTaken {
        /// The first that was tried.
        first: u16,
        /// The last.
        last: u16,
    },
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system has no random numbers for a token.
    #[error(transparent)]
    Token(#[from] crate::lan::TokenError),
}
