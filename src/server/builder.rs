//! Describing and starting a server.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
};

use tokio::sync::{Notify, OnceCell};

use super::{
    AddedHook, RemovingHook, Server, ServerInner, ViolationHook, accept, added_hook,
    addresses::Addresses,
    admission::{Admission, Authenticate, JoinRequest, Refusal},
    stats::Totals,
};
use crate::{
    clock,
    config::{self, ConfigError, Flush, Limits, Timeouts},
    echo::Echo,
    handler::Outcome,
    lan::JoinTokens,
    link::{Wiring, hub::Hub, reason::DisconnectReason},
    network::{self, Network, program_runtime},
    player::Player,
    registry::{Change, DeclareError, Registry},
    remote::Remote,
    session::{Side, budget::Offence},
    tls::{self, Certificates, Identity},
    wire,
};

/// Describes a [`Server`].
#[must_use = "a server runs after `start`"]
pub struct ServerBuilder {
    address: String,
    /// The address is a playtest's, and if its port is taken, this many after it will do.
    ports: u16,
    identity: Identity,
    limits: Limits,
    timeouts: Timeouts,
    flush: Flush,
    network: Option<Network>,
    registry: Registry<Player>,
    declared: Result<(), DeclareError>,
    settings: BTreeMap<String, String>,
    echo: bool,
    authenticate: Option<Authenticate>,
    tokens: Option<JoinTokens>,
    added: Vec<AddedHook>,
    removing: Vec<RemovingHook>,
    violation: Vec<ViolationHook>,
}

impl ServerBuilder {
    pub(super) fn new(address: String, identity: Identity) -> Self {
        Self {
            address,
            ports: 0,
            identity,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            flush: Flush::default(),
            network: None,
            registry: Registry::new(true),
            declared: Ok(()),
            settings: BTreeMap::new(),
            echo: true,
            authenticate: None,
            tokens: None,
            added: Vec::new(),
            removing: Vec::new(),
            violation: Vec::new(),
        }
    }

    /// Declares remotes, so that clients know of them when they join.
    ///
    /// A declared remote without a handler keeps early events, and calls wait for one.
    pub fn remotes(mut self, remotes: &[&dyn Remote]) -> Self {
        let declared = self.registry.declare_all(remotes);
        self.declared = self.declared.and(declared);
        self
    }

    /// How many players may be connected at a time (default 100).
    pub fn max_players(mut self, players: usize) -> Self {
        self.limits.max_players = players;
        self
    }

    /// How much one player may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long things may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// When accepted events leave (default at once).
    pub fn flush(mut self, flush: Flush) -> Self {
        self.flush = flush;
        self
    }

    /// The threads to run on (default one of its own).
    pub fn network(mut self, network: &Network) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// A text that clients can read when they have joined; at most 64 of at most 1024 bytes.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Whether the [built-in echoes](crate::echo) answer (default yes), so that players can measure how
    /// far away the server is. [`Limits::echo`] bounds what they cost.
    pub fn echo(mut self, on: bool) -> Self {
        self.echo = on;
        self
    }

    /// Decides who may join (default everyone).
    ///
    /// It runs on the program's runtime, before there is a [`Player`], and within the `join` timeout.
    /// If it panics, the player is refused.
    ///
    /// ```
    /// # use farfire::{Admission, Refusal, Server, tls::Identity};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// struct Account { level: u32 }
    ///
    /// let server = Server::builder("127.0.0.1:0", Identity::self_signed(["localhost"])?)
    ///     .authenticate(|join| async move {
    ///         match join.token.as_bytes() {
    ///             b"let me in" => Ok(Admission::new().profile(Account { level: 7 })),
    ///             _ => Err(Refusal::BadToken),
    ///         }
    ///     })
    ///     .on_player_added(|player| {
    ///         assert_eq!(player.profile::<Account>().map(|account| account.level), Some(7));
    ///     })
    ///     .start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn authenticate<F>(
        mut self,
        hook: impl Fn(JoinRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Admission, Refusal>> + Send + 'static,
    {
        self.authenticate = Some(Box::new(move |request| Box::pin(hook(request))));
        self
    }

    /// See [`Server::on_player_added`]; set here, it misses nobody.
    pub fn on_player_added<T, M>(
        mut self,
        hook: impl Fn(Player) -> T + Send + Sync + 'static,
    ) -> Self
    where
        T: Outcome<(), M>,
    {
        self.added.push(added_hook(hook));
        self
    }

    /// See [`Server::on_player_removing`].
    pub fn on_player_removing(
        mut self,
        hook: impl Fn(Player, DisconnectReason) + Send + Sync + 'static,
    ) -> Self {
        self.removing.push(Arc::new(hook));
        self
    }

    /// Lets in only those who bring the current one of `tokens`, as a join link does for them (default everyone).
    ///
    /// It is asked before [`authenticate`](Self::authenticate), which may refuse for further reasons.
    pub fn join_tokens(mut self, tokens: impl Into<JoinTokens>) -> Self {
        self.tokens = Some(tokens.into());
        self
    }

    /// Runs `hook` when a client does something that no honest client does for long: at the first
    /// [`Offence`] of each kind and remote, the second, the fourth, and so on, with the number so far.
    ///
    /// By then it is dropped and counted; [`offences_per_minute`](Limits::offences_per_minute) kicks
    /// the client without being asked. The hook is for what a program knows better: it may log, mark
    /// or [kick](Player::kick) the player. It runs on the network thread and must not block. What
    /// breaks the protocol itself ends the connection at once, and
    /// [`on_player_removing`](Self::on_player_removing) says so.
    ///
    /// ```
    /// # use farfire::{Offence, Server, tls::Identity};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder("127.0.0.1:0", Identity::self_signed(["localhost"])?)
    ///     .on_violation(|player, offence, count| match offence {
    ///         Offence::Undecodable { .. } if count >= 64 => player.kick("update your game"),
    ///         _ => eprintln!("{player}: {offence}, {count} times so far"),
    ///     })
    ///     .start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_violation(
        mut self,
        hook: impl Fn(Player, Offence, u64) + Send + Sync + 'static,
    ) -> Self {
        self.violation.push(Arc::new(hook));
        self
    }

    /// For a playtest: its own address, and how many ports after it will do.
    pub(super) fn on_any_of(mut self, address: SocketAddr, ports: u16) -> Self {
        self.address = address.to_string();
        self.ports = ports;
        self
    }

    /// Opens the socket and starts to take players.
    ///
    /// It does not wait for anything, and can be called with and without a runtime. Asynchronous
    /// handlers run on the runtime that it is called on, else on a small one of farfire's.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is wrong with the description, or what the system refused.
    pub fn start(self) -> Result<Server, StartError> {
        self.declared?;
        config::check(&self.limits, &self.timeouts)?;
        check_settings(&self.settings)?;
        let address = resolve(&self.address)?;
        let network = match self.network {
            Some(network) => network,
            None => Network::new().map_err(StartError::Threads)?,
        };
        let program = program_runtime().map_err(StartError::Threads)?;

        let certificates = Certificates::new(&self.identity);
        let crypto = tls::server_config(&certificates, &[wire::ALPN]).map_err(|error| {
            StartError::Identity {
                detail: error.to_string(),
            }
        })?;
        let config = network::server_config(crypto, &self.limits, &self.timeouts);
        let ports = address.port()..=address.port().saturating_add(self.ports);
        let addresses = ports.map(|port| SocketAddr::new(address.ip(), port));
        let endpoint = network
            .server_endpoint(addresses, config)
            .map_err(|(address, source)| StartError::Bind { address, source })?;
        let address = endpoint
            .local_addr()
            .map_err(|source| StartError::Bind { address, source })?;

        let hub = |at| {
            let thread = network.thread_number(at);
            Hub::new(thread, self.limits.broadcast_bytes, network.is_polled())
        };
        let hubs: Vec<_> = (0..network.threads()).map(hub).collect();
        let changed = Arc::new(Notify::new());
        let registry = Arc::new(self.registry);
        watch(&registry, &hubs, &changed);
        let wiring = Wiring {
            side: Side::Server,
            registry,
            changed,
            program,
            limits: Arc::new(self.limits),
            timeouts: Arc::new(self.timeouts),
            flush: self.flush,
        };
        let addresses = Addresses::new(&wiring.limits, clock::now());
        let inner = Arc::new(ServerInner {
            wiring: Arc::new(wiring),
            tasks: Mutex::default(),
            endpoint,
            address,
            certificates,
            next: Mutex::new(self.identity.next()),
            settings: self.settings.into_iter().collect(),
            echo: Echo::new(self.echo),
            authenticate: self.authenticate,
            tokens: self.tokens,
            hooks: Mutex::new(super::Hooks {
                added: self.added,
                removing: self.removing,
                violation: self.violation,
                closed: false,
            }),
            players: Mutex::default(),
            totals: Arc::<Totals>::default(),
            departures: Notify::new(),
            addresses,
            joining: AtomicUsize::new(0),
            seats: AtomicUsize::new(0),
            last_player: AtomicU64::new(0),
            next_thread: AtomicUsize::new(0),
            broadcasting: Mutex::default(),
            stopping: AtomicBool::new(false),
            stopped: OnceCell::new(),
            hubs,
            network,
        });
        let mut tasks = Vec::new();
        for (at, hub) in inner.hubs.iter().enumerate() {
            let task = inner.network.runtime(at).spawn(hub.clone().run());
            tasks.push(task.abort_handle());
        }
        let accepting = inner.network.runtime(0).spawn(accept::run(inner.clone()));
        tasks.push(accepting.abort_handle());
        *inner
            .tasks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = tasks;
        Ok(Server::new(inner))
    }
}

/// Has connections look again when handlers or remotes are added.
fn watch(registry: &Arc<Registry<Player>>, hubs: &[Arc<Hub>], changed: &Arc<Notify>) {
    let (hubs, changed, weak) = (hubs.to_vec(), changed.clone(), Arc::downgrade(registry));
    registry.on_change(move |change| {
        changed.notify_waiters();
        if change == Change::Declared
            && let Some(registry) = weak.upgrade()
        {
            for hub in &hubs {
                hub.announce_all(registry.len() as u32, |from| registry.announcements(from));
            }
        }
        hubs.iter().for_each(|hub| hub.wake_all());
    });
}

fn resolve(address: &str) -> Result<SocketAddr, StartError> {
    let unusable = |source| StartError::Address {
        address: address.into(),
        source,
    };
    let mut found = address
        .to_socket_addrs()
        .map_err(|error| unusable(Some(error)))?;
    found.next().ok_or_else(|| unusable(None))
}

fn check_settings(settings: &BTreeMap<String, String>) -> Result<(), StartError> {
    if settings.len() > wire::MAX_SETTINGS {
        return Err(StartError::Settings {
            name: String::new(),
        });
    }
    let long = |text: &str| text.len() > wire::MAX_SETTING_BYTES;
    match settings
        .iter()
        .find(|(name, value)| long(name) || long(value))
    {
        Some((name, _)) => Err(StartError::Settings { name: name.clone() }),
        None => Ok(()),
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("address", &self.address)
            .field("identity", &self.identity)
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Two of the remotes cannot both be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// A limit or timeout would break a guarantee.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are more than 64 settings, or this one is longer than 1024 bytes.
    #[error("setting {name:?} does not fit: at most 64 settings of at most 1024 bytes")]
    Settings {
        /// The setting that is too long; empty if there are too many.
        name: String,
    },
    /// The text is no address.
    #[error(
        "{address:?} is no address to listen on: write IP:PORT, such as 0.0.0.0:4433 or [::]:4433"
    )]
    Address {
        /// The text.
        address: String,
        /// What the system says about it.
        source: Option<io::Error>,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: is the port taken, or the address another machine's? choose another, or port 0 for any"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The identity cannot be used for TLS.
    #[error("the identity cannot be used: {detail}")]
    Identity {
        /// What the TLS library says.
        detail: String,
    },
    /// The system gives no more threads.
    #[error("the system gives no thread")]
    Threads(#[source] io::Error),
}
