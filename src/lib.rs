//! Farfire: remote events and remote functions over QUIC, for multiplayer games.

// Vocabulary.
pub mod config;
pub mod remote;
pub mod values;
// Bytes.
mod codec;
mod shape;
mod wire;
// Meaning.
pub mod handler;
mod inbox;
mod registry;
mod session;
// Plumbing.
pub mod conditioner;
mod fire;
mod invocation;
mod link;
mod network;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
// The front door.
pub mod client;
mod player;
pub mod server;

#[doc(inline)]
pub use crate::{
    client::{Client, ClientBuilder, ConnectError, LocalPlayer, WaitError},
    codec::EncodeError,
    config::{ConfigError, Flush, Limits, Rate, Timeouts},
    fire::FireError,
    handler::{HandlerError, IncidentId, Outcome},
    inbox::{Inbox, InboxOverflow, Subscription},
    invocation::Invocation,
    link::{
        LinkStats,
        call::{BusyScope, Delivery, InvokeError, Stage, What},
        reason::DisconnectReason,
    },
    network::{Network, NetworkBuilder},
    player::{Player, PlayerId},
    registry::DeclareError,
    remote::{
        EventRemote, NameError, Overflow, Payload, Remote, RemoteEvent, RemoteFunction, RemoteKind,
        UnreliableRemoteEvent,
    },
    server::{
        Gather, Server, ServerBuilder, ServerStats, StartError,
        join::{Admission, JoinRequest, Refusal, Token},
    },
    session::{
        budget::Offence,
        ledger::{DropCause, RemoteStats},
    },
    wire::code::{CallCode, CloseCode},
};
