//! Remote events and remote functions over QUIC, for multiplayer games.
//!
//! farfire gives any Rust program the *remotes* of Roblox: [`RemoteEvent`], [`UnreliableRemoteEvent`]
//! and [`RemoteFunction`], between one authoritative [`Server`] and its players. A remote is a constant
//! that both sides compile: a name, the types of its arguments, and how it travels.
//!
//! ```
//! use farfire::{Client, RemoteFunction, Server, tls::{Identity, Trust}};
//!
//! const PRICE: RemoteFunction<String, u32> = RemoteFunction::new("Price");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::self_signed(["localhost"])?;
//! let server = Server::builder("127.0.0.1:0", identity).remotes(&[&PRICE]).start()?;
//! server.on_server_invoke(&PRICE, |player, item| match item.as_str() {
//!     "sword" => Ok(30),
//!     _ => Err(format!("{player}, nobody sells that")),
//! });
//!
//! let trust = Trust::pinned([server.pin()]);
//! let client = Client::builder(server.local_addr().to_string(), trust).name("Ada").connect().await?;
//! assert_eq!(client.invoke_server(&PRICE, &"sword".into()).await?, 30);
//! # server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go next
//!
//! | to | see |
//! |---|---|
//! | declare remotes | [`RemoteEvent`], [`UnreliableRemoteEvent`], [`RemoteFunction`]; [`values`] for vectors and colors |
//! | run a server | [`Server`], [`ServerBuilder`], [`Player`] |
//! | join one | [`Client`], [`ClientBuilder`], [`ConnectError`] |
//! | write a handler | [`Outcome`]: a value, a `Result`, or a future of either |
//! | take events once per tick | [`Inbox`], [`Flush::Tick`] |
//! | call, and know what became of it | [`Invocation`], [`InvokeError::delivery`] |
//! | say who a server is, and whom to trust | [`tls`] |
//! | bound what a peer may cost | [`Limits`], [`Timeouts`], [`Rate`] |
//! | host and join a playtest on a local network | [`Server::playtest`], [`Client::join`], [`lan`] |
//! | see what happens | [`LinkStats`], [`RemoteStats`]; logs go to `tracing` |
//! | know how far away a server is | [`echo`], [`Client::join_times`] |
//! | choose threads | [`Network`] |
//! | play over a bad network | [`conditioner`]; in tests also `testing`, a feature |
//!
//! # What is guaranteed
//!
//! - Reliable events of one direction of one connection arrive in the order in which they were
//!   accepted, across remotes and broadcasts, unless a remote has a [`lane`](RemoteEvent::lane) of its
//!   own or is [`unordered`](RemoteEvent::unordered).
//! - A call runs after the events that were fired before it, and returns after those that its handler
//!   fired. It resolves exactly once, by its deadline, whatever the peer does.
//! - Unreliable events arrive at most once, and never larger than 1000 bytes.
//! - Nothing is lost silently: firing is refused or accepted, and what was accepted is counted as sent or
//!   dropped, with the cause, in the [ledger](RemoteStats).
//! - A peer costs at most its [`Limits`]. One that does not read delays nobody else.
//!
//! # What is not
//!
//! - That an event was accepted says nothing about its arrival: it is no receipt. A [`RemoteFunction`] is.
//! - There is no order between lanes, between players, or against unreliable events.
//! - Nothing survives the connection. A player that connects again is a new one.
//! - Arguments are of the declared type and nothing more: whether a client may do what it asks for, and
//!   whether its numbers are numbers, is for the handler to check.
//!
//! # Threads
//!
//! Sockets and connections live on threads of farfire's own ([`Network`]). Handlers that are plain
//! closures run there and must not block; asynchronous ones are polled once there and go on, if they
//! have to wait, on the tokio runtime on which the server or client was started, else on a small one that
//! farfire makes. A program needs no runtime of its own: [`ServerBuilder::start`] never waits, and
//! what does wait has a blocking form, or is waited for with [`block_on`].
//!
//! # Numbers in these docs
//!
//! A number such as R25, in these pages and in the source, stands for a statement about what remotes do.
//! `docs/remotes.md` in the repository has a line for each.

#![forbid(unsafe_code)]

// Vocabulary: what both sides compile, and how its values become bytes. Nothing that runs.
mod codec;
pub mod config;
pub mod remote;
mod shape;
pub mod values;
// Bytes: what travels, as pure functions. No tasks, no sockets, no clock.
mod wire;
// Meaning: what the bytes of a peer are allowed to do. A machine, with time as an argument.
pub mod handler;
mod inbox;
mod nesting;
mod registry;
mod session;
// Plumbing: threads, sockets, TLS and streams.
mod blocking;
mod clock;
pub mod conditioner;
mod fire;
mod invocation;
pub mod lan;
mod link;
mod network;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
// The front door: what programs hold.
pub mod client;
pub mod echo;
mod player;
pub mod server;
// Beside them: what must hold for any bytes, for tests and fuzzers.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
// And the path of an event without its network, for benchmarks.
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod measuring;

#[doc(inline)]
pub use crate::{
    blocking::{BlockError, block_on, block_on_for},
    client::{Client, ClientBuilder, ConnectError, JoinTimes, LocalPlayer, WaitError},
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
        Gather, PlaytestBuilder, PlaytestError, PlaytestServer, Server, ServerBuilder, ServerStats,
        StartError,
        admission::{Admission, JoinRequest, Refusal, Token},
    },
    session::{
        budget::Offence,
        ledger::{DropCause, EventTotals, RemoteStats},
    },
    wire::{
        PROTOCOL_VERSION,
        code::{CallCode, CloseCode},
    },
};

/// The programs in the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
