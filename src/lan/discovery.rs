//! Servers of the local network that announce themselves by mDNS. What is found is a claim, not a proof.

use std::time::Duration;

use super::{Address, Code, JoinLink};
use crate::tls::{KnownServers, Pin};

/// What a server tells everyone on the network about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advertisement {
    /// What the host calls the server, cut to 64 characters.
    pub name: String,
    /// Who it is.
    pub pin: Pin,
    /// Which game it runs; at most 64 characters.
    pub game: String,
    /// Players who are in.
    pub players: usize,
    /// Players who may be in.
    pub max_players: usize,
    /// Whether joining takes a token.
    pub needs_token: bool,
}

impl Advertisement {
    /// Says that a server called `name` has this pin, and nothing more.
    pub fn new(name: impl Into<String>, pin: Pin) -> Self {
        todo!()
    }
}

/// A server that claims to be on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// What it says about itself.
    pub claims: Advertisement,
    /// Where it says that it is.
    pub addresses: Vec<Address>,
    /// Whether its pin is among the servers that the player knows. A server that is not can claim anything; one that is still has to prove it.
    pub verified: bool,
}

/// Which interfaces discovery uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scope {
    /// Those of private networks.
    #[default]
    Lan,
    /// This machine alone, for tests.
    Loopback,
}

/// Announces a server while it is kept.
#[derive(Debug)]
pub struct Advertiser {}

impl Advertiser {
    /// Begins to announce a server that listens on `port`.
    pub fn start(
        advertisement: &Advertisement,
        port: u16,
        scope: Scope,
    ) -> Result<Self, DiscoveryError> {
        todo!()
    }
    /// Announces other numbers.
    pub fn update(&mut self, advertisement: &Advertisement) -> Result<(), DiscoveryError> {
        todo!()
    }
}

/// Looks for servers while it is kept.
#[derive(Debug)]
pub struct Browser {}

impl Browser {
    /// Begins to look; servers that `known` holds are marked.
    pub fn start(known: Option<&KnownServers>, scope: Scope) -> Result<Self, DiscoveryError> {
        todo!()
    }
    /// Waits until something changes.
    pub async fn changed(&mut self) -> Result<(), DiscoveryError> {
        todo!()
    }
    /// The servers that are there now; at most 256.
    pub fn servers(&self) -> Vec<Found> {
        todo!()
    }
}

/// Looks for the server of this code, and makes a link to it that carries its full pin.
pub async fn find(code: &Code, within: Duration, scope: Scope) -> Result<JoinLink, DiscoveryError> {
    todo!()
}

/// Why servers cannot be announced or found.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The machine is on no private network.
    #[error("this machine is on no private network: join by link or address instead")]
    NoPrivateNetwork,
    /// No server of that code answered.
    #[error(
        "no server of code {code} answered within {waited:?}: check that its host is on this network, or ask for its link"
    )]
    NotFound {
        /// The code.
        code: Code,
        /// How long was waited.
        waited: Duration,
    },
    /// mDNS does not work here.
    #[error("discovery does not work here ({detail}): join by link or address instead")]
    System {
        /// What is wrong.
        detail: String,
    },
}
