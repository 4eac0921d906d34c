//! The server: one authority, many players.

mod accept;
mod addresses;
pub(crate) mod admission;
mod builder;
mod events;
mod functions;
mod join;
#[cfg(feature = "testing")]
mod leftovers;
mod playtest;
mod stats;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, OnceCell},
    task::AbortHandle,
};

#[cfg(feature = "testing")]
#[doc(hidden)]
pub use self::leftovers::Leftovers;
use self::{addresses::Addresses, admission::Authenticate, stats::Totals};
pub use self::{
    builder::{ServerBuilder, StartError},
    functions::Gather,
    playtest::{PlaytestBuilder, PlaytestError, PlaytestServer},
    stats::ServerStats,
};
use crate::{
    blocking::{may_not_block, wait},
    echo::Echo,
    handler::{Outcome, guarded, sealed::Resolved},
    lan::JoinTokens,
    link::{Wiring, hub::Hub, reason::DisconnectReason},
    network::Network,
    player::{Player, PlayerId},
    registry::DeclareError,
    remote::Remote,
    session::budget::Offence,
    tls::{Certificates, Identity, NextIdentity, Pin},
    wire::{code::CloseCode, control::Control},
};

/// A running server.
///
/// A cheap handle: clones are the same server, and it stops when the last one is dropped. Every method
/// takes `&self` and none blocks, except those that say so.
///
/// ```
/// use farfire::{RemoteEvent, Server, tls::Identity};
///
/// pub const CHAT: RemoteEvent<String> = RemoteEvent::new("Chat");
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::self_signed(["localhost"])?;
/// let server = Server::builder("127.0.0.1:0", identity).remotes(&[&CHAT]).start()?;
/// server.on_server_event(&CHAT, |player, line| {
///     if line.len() <= 200 {
///         let _ = player.server().fire_all_clients(&CHAT, &format!("{player}: {line}"));
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    inner: Arc<ServerInner>,
    /// Held by the handles that keep the server running.
    _alive: Option<Arc<StopOnDrop>>,
}

struct StopOnDrop(Arc<ServerInner>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        let server = self.0.clone();
        // Without blocking: whoever wants to wait calls `shutdown`.
        self.0
            .network
            .runtime(0)
            .spawn(async move { server.stop().await });
    }
}

pub(crate) struct ServerInner {
    wiring: Arc<Wiring<Player>>,
    network: Network,
    /// One per network thread.
    hubs: Vec<Arc<Hub>>,
    tasks: Mutex<Vec<AbortHandle>>,
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    certificates: Arc<Certificates>,
    /// The identity that was announced.
    next: Mutex<Option<NextIdentity>>,
    settings: Vec<(String, String)>,
    echo: Echo,
    authenticate: Option<Authenticate>,
    tokens: Option<JoinTokens>,
    hooks: Mutex<Hooks>,
    players: Mutex<BTreeMap<u64, Player>>,
    totals: Arc<Totals>,
    /// Notified when a player has left.
    departures: Notify,
    addresses: Arc<Addresses>,
    /// Handshakes and joins under way.
    joining: AtomicUsize,
    /// Places taken, by players and by those about to be.
    seats: AtomicUsize,
    last_player: AtomicU64,
    next_thread: AtomicUsize,
    /// Held while a broadcast is appended to all logs.
    broadcasting: Mutex<()>,
    stopping: AtomicBool,
    /// Set when everything has stopped; whoever comes meanwhile waits for it.
    stopped: OnceCell<()>,
}

pub(crate) type AddedHook = Arc<dyn Fn(Player) -> Resolved<()> + Send + Sync>;
pub(crate) type ViolationHook = Arc<dyn Fn(Player, Offence, u64) + Send + Sync>;
pub(crate) type RemovingHook = Arc<dyn Fn(Player, DisconnectReason) + Send + Sync>;

#[derive(Default)]
struct Hooks {
    added: Vec<AddedHook>,
    removing: Vec<RemovingHook>,
    violation: Vec<ViolationHook>,
    /// The server has stopped: none is kept any more, or one that holds the server would keep it for ever.
    closed: bool,
}

pub(crate) fn added_hook<T: Outcome<(), M>, M>(
    hook: impl Fn(Player) -> T + Send + Sync + 'static,
) -> AddedHook {
    Arc::new(move |player| hook(player).resolve())
}

impl Server {
    /// Starts to describe a server on `address`, such as `"[::]:4433"`, that proves itself with `identity`.
    pub fn builder(address: impl Into<String>, identity: Identity) -> ServerBuilder {
        ServerBuilder::new(address.into(), identity)
    }

    /// Starts to describe a playtest server called `name`: its identity is made if it is missing, it listens on port 4433
    /// or the next free one, and its [link](PlaytestServer::link) is all that players need.
    pub fn playtest(name: impl Into<String>) -> PlaytestBuilder {
        PlaytestBuilder::new(name.into())
    }

    /// The identity that is announced for later, if there is one.
    pub fn next_identity(&self) -> Option<NextIdentity> {
        *self.inner.next()
    }

    /// Proves itself with `identity` from the next handshake on, and announces the one that follows it, if there is one, to
    /// every player and to those who join.
    ///
    /// Players who are in stay. For a renewed certificate, or when the time of a prepared identity has come: see
    /// [`Identity::prepare_next`].
    pub fn set_identity(&self, identity: &Identity) {
        self.inner.certificates.set(identity);
        let next = identity.next();
        let before = std::mem::replace(&mut *self.inner.next(), next);
        let announcement = self.inner.next_identity().or_else(|| {
            // One that will not come after all is withdrawn, and one that has come needs no word.
            let gone = before.filter(|before| before.pin != identity.pin());
            gone.map(|_| Control::NextIdentity {
                pin: *identity.pin().as_bytes(),
                after: 0,
            })
        });
        let Some(announcement) = announcement else {
            return;
        };
        for player in self.players() {
            player.link().tell(&announcement);
        }
    }

    fn new(inner: Arc<ServerInner>) -> Self {
        let alive = Arc::new(StopOnDrop(inner.clone()));
        Self {
            inner,
            _alive: Some(alive),
        }
    }

    /// A handle that does not keep the server running.
    pub(crate) fn passing(inner: Arc<ServerInner>) -> Self {
        Self {
            inner,
            _alive: None,
        }
    }

    /// The address it listens on, with the port that was found if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.address
    }

    /// The pin of its identity, which clients trust it by.
    pub fn pin(&self) -> Pin {
        self.inner.certificates.pin()
    }

    /// Declares a remote now, and tells the clients that are connected (R4).
    ///
    /// Using a remote declares it as well; declaring early only makes it known early.
    ///
    /// # Errors
    ///
    /// [`DeclareError`] if the name is taken by a remote of another kind or with other types.
    pub fn declare(&self, remote: &dyn Remote) -> Result<(), DeclareError> {
        self.inner.wiring.registry.entry(remote).map(drop)
    }

    /// Runs `hook` for each player that joins from now on, before anything of that player's is
    /// dispatched (R98).
    ///
    /// It is not told of players who are here already; to miss nobody, set it on the
    /// [builder](ServerBuilder::on_player_added). The player takes part in broadcasts as soon as it has
    /// returned, or waits for the first time if it is asynchronous; events fired in it are the first
    /// that the client sees.
    pub fn on_player_added<T, M>(&self, hook: impl Fn(Player) -> T + Send + Sync + 'static)
    where
        T: Outcome<(), M>,
    {
        let hook = added_hook(hook);
        self.inner.keep(|hooks| hooks.added.push(hook));
    }

    /// Runs `hook` once for each player that leaves; the player is still readable (R99).
    pub fn on_player_removing(
        &self,
        hook: impl Fn(Player, DisconnectReason) + Send + Sync + 'static,
    ) {
        let hook: RemovingHook = Arc::new(hook);
        self.inner.keep(|hooks| hooks.removing.push(hook));
    }

    /// The players connected now, in the order they joined (R105).
    pub fn players(&self) -> Vec<Player> {
        self.inner.players().values().cloned().collect()
    }

    /// The player with this id, if it is connected.
    pub fn player(&self, id: PlayerId) -> Option<Player> {
        self.inner.players().get(&id.0).cloned()
    }

    /// How many players may be connected at a time (R101).
    pub fn max_players(&self) -> usize {
        self.inner.wiring.limits.max_players
    }

    /// Removes a player; see [`Player::kick`].
    pub fn kick(&self, player: &Player, message: impl AsRef<str>) {
        player.kick(message);
    }

    /// Sends everything that was accepted; with [`Flush::Tick`](crate::Flush::Tick), the end of a tick.
    pub fn flush(&self) {
        self.inner.hubs.iter().for_each(|hub| hub.flush());
    }

    /// What the server carries and has carried: what an operator's display wants to show.
    ///
    /// Reading it takes some microseconds per player, and nothing from anybody in between.
    pub fn stats(&self) -> ServerStats {
        stats::gather(&self.inner)
    }

    /// Stops the server: no more joins, every player is sent what was fired to it and then told.
    ///
    /// Returns when all are gone, at the latest after the `leave` timeout and a little; then all
    /// handlers are dropped. Doing it twice is harmless, and each waits for the whole of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped half way, the server goes on stopping.
    pub async fn shutdown(&self) {
        let server = self.inner.clone();
        let stopping = self
            .inner
            .network
            .runtime(0)
            .spawn(async move { server.stop().await });
        let _ = stopping.await;
    }

    /// The same for a program without a runtime.
    ///
    /// On a thread of a runtime, which it would stall, it only starts the shutdown.
    pub fn shutdown_blocking(&self) {
        let server = self.inner.clone();
        let stopping = self
            .inner
            .network
            .runtime(0)
            .spawn(async move { server.stop().await });
        if !may_not_block() {
            let _ = wait(stopping);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.inner.address)
            .field("players", &self.inner.players().len())
            .finish_non_exhaustive()
    }
}

impl ServerInner {
    fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a hook, unless the server has stopped; then it is dropped, without the lock.
    fn keep(&self, add: impl FnOnce(&mut Hooks)) {
        let mut hooks = self.hooks();
        if !hooks.closed {
            return add(&mut hooks);
        }
        drop(hooks);
        drop(add);
    }

    fn added(&self) -> Vec<AddedHook> {
        self.hooks().added.clone()
    }

    fn removing(&self) -> Vec<RemovingHook> {
        self.hooks().removing.clone()
    }

    /// Tells the program what a client did that it should not.
    pub(crate) fn offended(&self, player: &Player, offence: Offence, count: u64) {
        let hooks = self.hooks().violation.clone();
        for hook in hooks {
            let _ = guarded(|| hook(player.clone(), offence, count));
        }
    }

    fn next(&self) -> MutexGuard<'_, Option<NextIdentity>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What players are told of the identity that follows.
    fn next_identity(&self) -> Option<Control> {
        let next = (*self.next())?;
        let after = next.from.duration_since(SystemTime::now());
        Some(Control::NextIdentity {
            pin: *next.pin.as_bytes(),
            after: u32::try_from(after.unwrap_or_default().as_secs()).unwrap_or(u32::MAX),
        })
    }

    fn players(&self) -> MutexGuard<'_, BTreeMap<u64, Player>> {
        self.players.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_player(&self) -> u64 {
        self.last_player.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn enter(&self, player: &Player) {
        self.players().insert(player.id().0, player.clone());
        if self.stopping.load(Ordering::Acquire) {
            player.link().finish(CloseCode::SHUTDOWN, "", true);
        }
    }

    fn leave(&self, player: &Player, reason: &DisconnectReason) {
        let load = player.link().load();
        {
            let mut players = self.players();
            players.remove(&player.id().0);
            // Under the same lock: whoever reads counts each player once.
            self.totals.departed(player.link(), &load, reason);
        }
        self.departures.notify_waiters();
    }

    /// Counts a join under way until the guard is dropped.
    fn joining(self: &Arc<Self>) -> Counted {
        self.joining.fetch_add(1, Ordering::AcqRel);
        Counted {
            server: self.clone(),
            what: What::Joining,
        }
    }

    /// Takes one of the places, if there is one.
    fn take_seat(self: &Arc<Self>) -> Option<Counted> {
        let most = self.wiring.limits.max_players;
        let take = |taken| (taken < most).then_some(taken + 1);
        self.seats
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .ok()?;
        Some(Counted {
            server: self.clone(),
            what: What::Seat,
        })
    }

    async fn stop(self: Arc<Self>) {
        self.stopping.store(true, Ordering::Release);
        for player in self.players().values() {
            player.link().finish(CloseCode::SHUTDOWN, "", true);
        }
        let patience = self.wiring.timeouts.leave + STOP_SLACK;
        let _ = tokio::time::timeout(patience, self.emptied()).await;
        self.stopped.get_or_init(|| self.close()).await;
    }

    async fn close(&self) {
        self.endpoint
            .close(CloseCode::SHUTDOWN.as_u32().into(), b"");
        // The last packets are still to leave.
        let _ = tokio::time::timeout(STOP_SLACK, self.endpoint.wait_idle()).await;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(AbortHandle::abort);
        self.wiring.registry.close();
        // Dropped when the lock is released: they hold what is the program's.
        let closed = Hooks {
            closed: true,
            ..Hooks::default()
        };
        let hooks = std::mem::replace(&mut *self.hooks(), closed);
        drop(hooks);
    }

    /// Waits until `player` is no longer among the players.
    pub(crate) async fn departed(&self, player: &Player) {
        loop {
            let mut departure = pin!(self.departures.notified());
            departure.as_mut().enable();
            if !self.players().contains_key(&player.id().0) {
                return;
            }
            departure.await;
        }
    }

    async fn emptied(&self) {
        loop {
            let departure = self.departures.notified();
            if self.players().is_empty() {
                return;
            }
            departure.await;
        }
    }
}

/// Something counted that ends when this is dropped.
struct Counted {
    server: Arc<ServerInner>,
    what: What,
}

enum What {
    Joining,
    Seat,
}

impl Drop for Counted {
    fn drop(&mut self) {
        match self.what {
            What::Joining => _ = self.server.joining.fetch_sub(1, Ordering::AcqRel),
            What::Seat => _ = self.server.seats.fetch_sub(1, Ordering::AcqRel),
        }
    }
}

/// What stopping takes beside the players' own time.
const STOP_SLACK: Duration = Duration::from_millis(500);
