//! The client: one player's connection to a server.

mod builder;
mod connect;
mod events;
mod functions;
mod race;
mod successor;
mod target;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::successor::Successor;
pub use self::{builder::ClientBuilder, connect::ConnectError};
use crate::{
    blocking::{may_not_block, wait},
    inbox::Context,
    lan::{JoinLink, LinkError},
    link::{Link, LinkStats, Wiring, reason::DisconnectReason},
    network::Network,
    player::PlayerId,
    registry::{DeclareError, describe},
    remote::Remote,
    session::Held,
    tls::{NextIdentity, Pin, Trust},
    wire::code::CloseCode,
};

/// A client that has joined a server.
///
/// A cheap handle: clones are the same client, and it leaves when the last one is dropped. Every method
/// takes `&self` and none blocks, except those that say so.
///
/// A handler that captures a clone keeps the client connected: then [`leave`](Self::leave) ends it, or
/// the server does.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientInner>,
    _alive: Arc<LeaveOnDrop>,
}

struct LeaveOnDrop(Arc<Link>);

impl Drop for LeaveOnDrop {
    fn drop(&mut self) {
        self.0.finish(CloseCode::LEFT, "", true);
    }
}

pub(crate) struct ClientInner {
    wiring: Arc<Wiring<Here>>,
    network: Network,
    /// The server's, if it was believed by it.
    pin: Option<Pin>,
    successor: Arc<Successor>,
    link: Arc<Link>,
    player: LocalPlayer,
    server_limits: ServerLimits,
    settings: BTreeMap<String, String>,
    join_times: JoinTimes,
    disconnected: Mutex<Disconnected>,
}

/// What the server says that this client may send.
#[derive(Debug, Clone, Copy)]
struct ServerLimits {
    event_payload: usize,
    call_payload: usize,
}

enum Disconnected {
    Not(Vec<Hook>),
    Because(DisconnectReason),
}

type Hook = Box<dyn FnOnce(DisconnectReason) + Send>;

/// The context of a client's handlers: they have no player, the events wait on the one connection.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    held: Arc<Held>,
    successor: Arc<Successor>,
}

impl Context for Here {
    fn held(&self) -> &Arc<Held> {
        &self.held
    }

    fn next_identity(&self, pin: [u8; 32], after: Duration) {
        self.successor.announced(Pin::from_bytes(pin), after);
    }
}

/// The player that this client is (R100).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalPlayer {
    /// Its number on the server.
    pub id: PlayerId,
    /// Its name, as the server decided.
    pub name: String,
}

/// How long joining took, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinTimes {
    /// Until an address was found and its turn had come; next to nothing for one that is given as a number.
    pub resolve: Duration,
    /// The handshake of QUIC and TLS with the address that proved to be the server.
    pub handshake: Duration,
    /// From the hello to the server's answer, authentication included.
    pub welcome: Duration,
}

impl Client {
    /// Starts to describe a connection to `address`, such as `"192.168.1.7:4433"`, trusting the server by `trust`.
    pub fn builder(address: impl Into<String>, trust: Trust) -> ClientBuilder {
        ClientBuilder::new(address.into(), trust)
    }

    /// Starts to describe a connection by a join link, a text or a [`JoinLink`], which says where the server is and who it is.
    ///
    /// All addresses of the link are tried: the first at which the server proves its identity is used, and whoever else answers
    /// is left alone. The token of the link is sent after that proof, and not before. A damaged link is reported by
    /// [`connect`](ClientBuilder::connect).
    ///
    /// ```no_run
    /// # use farfire::{Client, tls::{KnownServers, Via}};
    /// # async fn f(link: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::join(link).name("Ada").connect().await?;
    /// println!("joined as {}", client.local_player().name);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join<L>(link: L) -> ClientBuilder
    where
        L: TryInto<JoinLink>,
        LinkError: From<L::Error>,
    {
        ClientBuilder::by_link(link.try_into().map_err(LinkError::from))
    }

    /// The pin of the server, if it was believed by one; as with [`ClientBuilder::remember`].
    pub fn server_pin(&self) -> Option<Pin> {
        self.inner.pin
    }

    /// Runs `hook` when the server announces the identity that it will have later, and at once if it has done so.
    ///
    /// A client with known servers keeps it with the server by itself. A client with a list of pins is to
    /// add this one. The hook runs on the network thread and must not block.
    pub fn on_next_identity(&self, hook: impl Fn(NextIdentity) + Send + Sync + 'static) {
        self.inner.successor.on_announced(Arc::new(hook));
    }

    fn new(inner: Arc<ClientInner>) -> Self {
        let alive = Arc::new(LeaveOnDrop(inner.link.clone()));
        Self {
            inner,
            _alive: alive,
        }
    }

    /// The player that this client is (R100).
    pub fn local_player(&self) -> &LocalPlayer {
        &self.inner.player
    }

    /// What the server's operator set under `name`, when this client joined.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.inner.settings.get(name).map(String::as_str)
    }

    /// How long the parts of joining took.
    pub fn join_times(&self) -> &JoinTimes {
        &self.inner.join_times
    }

    /// The server's address.
    pub fn server_addr(&self) -> SocketAddr {
        self.inner.link.remote_address()
    }

    /// Declares a remote now; using it declares it as well.
    ///
    /// # Errors
    ///
    /// [`DeclareError`] if the name is taken by a remote of another kind or with other types.
    pub fn declare(&self, remote: &dyn Remote) -> Result<(), DeclareError> {
        self.inner.wiring.registry.entry(remote).map(drop)
    }

    /// Waits until the server has this remote (R111); needed only for those that it adds later.
    ///
    /// After five seconds a warning is logged, and it goes on waiting (R113).
    ///
    /// # Errors
    ///
    /// [`WaitError`] if the two sides, or two places of this program, mean different things by the
    /// name, or if the connection ends.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn wait_for_remote(&self, remote: &dyn Remote) -> Result<(), WaitError> {
        let network = &self.inner.network;
        let warning = network.sleep_until(network.now() + WAIT_WARNING);
        let mut warning = pin!(warning);
        let mut ready = pin!(self.remote_ready(remote));
        tokio::select! {
            biased;
            result = &mut ready => return result,
            () = &mut warning => {
                let name = remote.name();
                tracing::warn!(remote = name, "still waiting for the server to have this remote: is it declared there?");
            }
        }
        ready.await
    }

    /// The same, for `timeout` at most (R112).
    ///
    /// # Errors
    ///
    /// As [`wait_for_remote`](Self::wait_for_remote), and [`WaitError::Timeout`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn wait_for_remote_within(
        &self,
        remote: &dyn Remote,
        timeout: Duration,
    ) -> Result<(), WaitError> {
        let network = &self.inner.network;
        let patience = network.sleep_until(network.now() + timeout.min(LONGEST_WAIT));
        tokio::select! {
            biased;
            result = self.wait_for_remote(remote) => result,
            () = patience => Err(WaitError::Timeout { remote: remote.name(), waited: timeout }),
        }
    }

    async fn remote_ready(&self, remote: &dyn Remote) -> Result<(), WaitError> {
        let wiring = &self.inner.wiring;
        let entry = wiring.registry.entry(remote).map_err(WaitError::Declare)?;
        loop {
            let mut changed = pin!(wiring.changed.notified());
            changed.as_mut().enable();
            if let Some(theirs) = entry.theirs() {
                return Err(WaitError::SignatureMismatch {
                    remote: remote.name(),
                    ours: describe(&entry.info),
                    theirs: describe(theirs),
                });
            }
            if entry.id().is_some() {
                return Ok(());
            }
            tokio::select! {
                () = changed => {}
                reason = self.inner.link.closed() => return Err(WaitError::Disconnected { reason }),
            }
        }
    }

    /// Runs `hook` once when the connection ends, for whatever reason.
    ///
    /// It runs on the network thread and must not block. If the connection has already ended, it runs
    /// here, before this returns.
    pub fn on_disconnected(&self, hook: impl FnOnce(DisconnectReason) + Send + 'static) {
        let reason = match &mut *self.inner.disconnected() {
            Disconnected::Not(hooks) => return hooks.push(Box::new(hook)),
            Disconnected::Because(reason) => reason.clone(),
        };
        hook(reason);
    }

    /// Waits until the connection has ended, and says why.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn disconnected(&self) -> DisconnectReason {
        self.inner.link.closed().await
    }

    /// Whether the connection lives.
    pub fn is_connected(&self) -> bool {
        self.inner.link.ended().is_none()
    }

    /// Leaves: everything accepted is delivered first, within the `leave` timeout.
    ///
    /// Returns when the connection has ended. Doing it twice is harmless.
    ///
    /// # Cancel safety
    ///
    /// Dropped half way, the client goes on leaving.
    pub async fn leave(&self) -> DisconnectReason {
        self.inner.link.finish(CloseCode::LEFT, "", true);
        self.inner.link.closed().await
    }

    /// The same for a program without a runtime.
    ///
    /// On a thread of a runtime, which it would stall, it only starts to leave, and gives `None`.
    pub fn leave_blocking(&self) -> Option<DisconnectReason> {
        self.inner.link.finish(CloseCode::LEFT, "", true);
        (!may_not_block()).then(|| wait(self.inner.link.closed()))
    }

    /// Sends everything that was accepted; with [`Flush::Tick`](crate::Flush::Tick), the end of a tick.
    pub fn flush(&self) {
        self.inner.link.flush();
    }

    /// Pings, traffic, queues and the ledger, at this moment.
    pub fn stats(&self) -> LinkStats {
        self.inner.link.stats()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("player", &self.inner.player)
            .field("server", &self.inner.link.remote_address())
            .finish_non_exhaustive()
    }
}

impl ClientInner {
    fn disconnected(&self) -> MutexGuard<'_, Disconnected> {
        self.disconnected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection has ended.
    fn end(&self, reason: DisconnectReason) {
        let before = std::mem::replace(
            &mut *self.disconnected(),
            Disconnected::Because(reason.clone()),
        );
        if let Disconnected::Not(hooks) = before {
            for hook in hooks {
                let _ = crate::handler::guarded(|| hook(reason.clone()));
            }
        }
        self.wiring.changed.notify_waiters();
        self.successor.close();
        self.wiring.registry.close();
    }
}

/// Why a remote did not become usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time was up.
    #[error("the server had no remote {remote:?} within {waited:?}: is it declared there?")]
    Timeout {
        /// The remote's name.
        remote: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// Both sides declare it, but differently.
    #[error(
        "remote {remote:?} is {ours} here and {theirs} on the server: build both from the same code"
    )]
    SignatureMismatch {
        /// The remote's name.
        remote: &'static str,
        /// Kind and shape on this side.
        ours: String,
        /// Kind and shape on the server.
        theirs: String,
    },
    /// The connection ended first.
    #[error("not connected: {reason}")]
    Disconnected {
        /// Why it ended.
        reason: DisconnectReason,
    },
    /// The remote is declared in two ways in this program.
    #[error(transparent)]
    Declare(DeclareError),
}

/// When a wait without an end says that it still waits (R113).
const WAIT_WARNING: Duration = Duration::from_secs(5);
/// Longer than any program runs, and short enough to be added to a clock.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
