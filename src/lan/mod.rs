//! Playing with the people in the room: join links, codes, tokens, addresses and discovery.
//!
//! What is here is vocabulary: texts and values that a host gives out and a player takes in. It knows
//! nothing about servers and clients, which use it: [`Server::playtest`](crate::Server::playtest) hosts
//! with all of it, and [`Client::join`](crate::Client::join) takes a link. Whom to trust is decided in
//! [`tls`](crate::tls).
//!
//! # What protects a playtest
//!
//! - A [link](JoinLink) or a [`Code`] carries the server's identity: whoever answers in its place is refused. It is as
//!   safe as the channel that it was sent over.
//! - A [token](JoinToken) in the link lets its holder in, until the host makes another one.
//! - An address alone protects from the second visit on, not at the first: see [`KnownServers`](crate::tls::KnownServers).
//! - What `discovery` finds is anybody's claim. It tells everyone on the network that the
//!   server exists, and its name.

mod address;
#[cfg(feature = "discovery")]
pub mod discovery;
mod interfaces;
mod link;
mod token;

pub use self::{
    address::{Address, AddressError},
    interfaces::{Interface, InterfaceKind, interfaces},
    link::{JoinLink, LinkError},
    token::{JoinToken, JoinTokens, TokenError},
};
#[doc(no_inline)]
pub use crate::tls::{Code, CodeError};

#[cfg(feature = "discovery")]
pub(crate) use self::interfaces::is_private;
pub(crate) use self::token::TokenVerdict;

/// The port that a playtest server tries first.
pub const DEFAULT_PORT: u16 = 4433;
