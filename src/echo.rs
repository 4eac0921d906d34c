//! The built-in echo: remotes that every server answers by sending back what it was sent.
//!
//! They are for measuring: a client that knows nothing of a game can tell how long its events take there
//! and back, which the transport's own round trip does not say. Each has a budget of its own
//! ([`Limits::echo`](crate::Limits::echo)) and spends none of the game's; none is in the game's lists.
//! What comes beyond that budget is dropped or answered as busy, and is an [`Offence`](crate::Offence) as
//! with any other remote. Whoever measures joins as a player, and takes a seat.
//! A server that wants none switches them off with [`ServerBuilder::echo`](crate::ServerBuilder::echo).
//!
//! This module knows nothing about what is measured, and a server none of it until the first client
//! joins that declares one of the remotes.
//!
//! ```
//! use farfire::{Client, Server, echo, tls::{Identity, Trust}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder("127.0.0.1:0", Identity::self_signed(["localhost"])?).start()?;
//! # let (address, pin) = (server.local_addr().to_string(), server.pin());
//! let client = Client::builder(address, Trust::pinned([pin]))
//!     .remotes(&echo::ALL)
//!     .connect()
//!     .await?;
//! let asked = std::time::Instant::now();
//! client.invoke_server(&echo::FUNCTION, &"marco".into()).await?;
//! println!("{:?} there and back", asked.elapsed());
//! # server.shutdown().await;
//! # Ok(())
//! # }
//! ```

use std::sync::Once;

use bytes::Bytes;

use crate::{
    config::Rate,
    handler,
    player::Player,
    registry::{DeclareError, Registry},
    remote::{Remote, RemoteEvent, RemoteFunction, UnreliableRemoteEvent},
    wire::{invoke::MAX_REPLY_HEADER, remote::DeclaredRemotes},
};

/// The reliable echo: an event of the same bytes comes back, in order with the game's.
pub const RELIABLE: RemoteEvent<Bytes> =
    RemoteEvent::builtin("farfire.echo.reliable").max_payload(MAX_PAYLOAD);

/// The unreliable echo: there and back at most once.
pub const UNRELIABLE: UnreliableRemoteEvent<Bytes> =
    UnreliableRemoteEvent::builtin("farfire.echo.unreliable");

/// The echo as a call: its result is its argument.
pub const FUNCTION: RemoteFunction<Bytes, Bytes> =
    RemoteFunction::builtin("farfire.echo.function").max_payload(MAX_PAYLOAD);

/// All of them, for [`ClientBuilder::remotes`](crate::ClientBuilder::remotes): a server answers those that
/// a client has declared when it joins.
pub const ALL: [&dyn Remote; 3] = [&RELIABLE, &UNRELIABLE, &FUNCTION];

/// The echo of one server.
pub(crate) struct Echo(Option<Once>);

impl Echo {
    pub(crate) fn new(on: bool) -> Self {
        Self(on.then(Once::new))
    }

    /// Declares the echoes and answers them, if this client is the first that declares one.
    pub(crate) fn open_for(
        &self,
        declared: &DeclaredRemotes,
        registry: &Registry<Player>,
        rate: Rate,
    ) {
        let Some(once) = &self.0 else { return };
        if once.is_completed() || !declared.iter().any(|remote| is_echo(remote.name())) {
            return;
        }
        once.call_once(|| {
            // It can only be that the server has as many remotes as there may be.
            if let Err(error) = open(registry, rate) {
                tracing::debug!(%error, "there is no echo");
            }
        });
    }
}

fn is_echo(name: &str) -> bool {
    ALL.iter().any(|remote| remote.name() == name)
}

fn open(registry: &Registry<Player>, rate: Rate) -> Result<(), DeclareError> {
    let reliable = registry.entry(&RELIABLE.rate(rate))?;
    let unreliable = registry.entry(&UNRELIABLE.rate(rate))?;
    let function = registry.entry(&FUNCTION.rate(rate))?;
    // An echo that does not fit into the player's outbox is the player's loss.
    let answer = handler::event(|player: &Player, bytes: Bytes| {
        let _ = player.server().fire_client(player, &RELIABLE, &bytes);
    });
    registry.listen(reliable, false, answer);
    let answer = handler::event(|player: &Player, bytes: Bytes| {
        let _ = player.server().fire_client(player, &UNRELIABLE, &bytes);
    });
    registry.listen(unreliable, false, answer);
    let answer = handler::function(MAX_REPLY_HEADER, |_: &Player, bytes: Bytes| bytes);
    registry.answer(function, Some(answer));
    Ok(())
}

/// A quarter of what a client may send in one event: what is measured is time, not room.
const MAX_PAYLOAD: usize = 16 * 1024 + 16;
