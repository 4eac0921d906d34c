//! A playtest server in one go: identity, port, token, announcement and link.
//!
//! Knows nothing about players; what it starts is a [`Server`] like any other.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::task::AbortHandle;

use super::{Server, ServerBuilder, ServerInner, StartError};
use crate::{
    lan::{
        Address, DEFAULT_PORT, Interface, InterfaceKind, JoinLink, JoinToken, JoinTokens,
        TokenError, interfaces,
    },
    network::program_runtime,
    remote::Remote,
    tls::{Code, Identity, IdentityError},
};

/// Describes a [`PlaytestServer`].
#[must_use = "a server runs after `start`"]
pub struct PlaytestBuilder {
    name: String,
    source: Source,
    ip: Option<IpAddr>,
    port: Option<u16>,
    needs_token: bool,
    #[cfg_attr(
        not(feature = "discovery"),
        allow(dead_code, reason = "announced with the feature alone")
    )]
    game: String,
    advertise: bool,
    configure: Vec<Box<dyn FnOnce(ServerBuilder) -> ServerBuilder + Send>>,
}

/// Where the identity comes from.
#[derive(Debug)]
enum Source {
    Folder(PathBuf),
    Given(Identity),
}

impl PlaytestBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            source: Source::Folder("certs".into()),
            ip: None,
            port: None,
            needs_token: false,
            game: String::new(),
            advertise: true,
            configure: Vec::new(),
        }
    }

    /// The folder that the identity is kept in, and made in if it is missing (default `certs`).
    pub fn folder(mut self, dir: impl Into<PathBuf>) -> Self {
        self.source = Source::Folder(dir.into());
        self
    }

    /// Uses this identity, and no folder.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.source = Source::Given(identity);
        self
    }

    /// Listens on this address of the machine alone (default all of them, IPv6 and IPv4).
    pub fn ip(mut self, ip: impl Into<IpAddr>) -> Self {
        self.ip = Some(ip.into());
        self
    }

    /// Listens on this port and on no other; 0 takes any (default 4433, or one of the ten after it if it is taken).
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Whether joining takes a token, which the link then holds (default no).
    ///
    /// Without one, whoever reaches the server can join, by its code or address too. With one, it takes the link.
    pub fn token(mut self, needed: bool) -> Self {
        self.needs_token = needed;
        self
    }

    /// What the game is called, for discovery (default nothing).
    pub fn game(mut self, game: impl Into<String>) -> Self {
        self.game = game.into();
        self
    }

    /// Whether the server announces itself on the local network (default yes), which takes the feature `discovery`.
    ///
    /// Everyone on the network then sees that it exists, its name and how many play. It is announced on private networks only.
    pub fn advertise(mut self, on: bool) -> Self {
        self.advertise = on;
        self
    }

    /// Declares remotes; see [`ServerBuilder::remotes`].
    pub fn remotes(self, remotes: &[&'static dyn Remote]) -> Self {
        let remotes = remotes.to_vec();
        self.configure(move |server| server.remotes(&remotes))
    }

    /// How many players may be in at a time; see [`ServerBuilder::max_players`].
    pub fn max_players(self, players: usize) -> Self {
        self.configure(move |server| server.max_players(players))
    }

    /// Sets anything else that a server has: limits, hooks, threads.
    pub fn configure(
        mut self,
        configure: impl FnOnce(ServerBuilder) -> ServerBuilder + Send + 'static,
    ) -> Self {
        self.configure.push(Box::new(configure));
        self
    }

    /// Loads or makes the identity, opens a port and starts to take players.
    ///
    /// Blocks on the disk for a moment. That the server cannot announce itself is no error; see
    /// [`PlaytestServer::not_advertised`].
    ///
    /// # Errors
    ///
    /// [`PlaytestError`] says what is missing, and what to do about it.
    pub fn start(self) -> Result<PlaytestServer, PlaytestError> {
        let (identity, folder) = match self.source {
            Source::Folder(dir) => (Identity::load_or_create(&dir)?, Some(dir)),
            Source::Given(identity) => (identity, None),
        };
        let tokens = match self.needs_token {
            true => Some(JoinTokens::new(JoinToken::generate()?)),
            false => None,
        };
        let describe = |server: ServerBuilder| match &tokens {
            Some(tokens) => server.join_tokens(tokens.clone()),
            None => server,
        };
        let builder = describe(Server::builder("", identity));
        let builder = self
            .configure
            .into_iter()
            .fold(builder, |builder, set| set(builder));
        let first = self.port.unwrap_or(DEFAULT_PORT);
        let further = match self.port {
            Some(_) => 0,
            None => FURTHER_PORTS,
        };
        let address = SocketAddr::new(self.ip.unwrap_or_else(any_ip), first);
        let server = builder.on_any_of(address, further).start();
        let server = server.map_err(|error| taken(error, first, first.saturating_add(further)))?;
        let mut extras = Extras {
            name: self.name,
            tokens,
            port_taken: (first != 0 && server.local_addr().port() != first).then_some(first),
            not_advertised: None,
            tasks: Vec::new(),
        };
        if let Some(dir) = folder {
            extras.tasks.push(watch(&server, dir)?);
        }
        #[cfg(feature = "discovery")]
        match self.advertise {
            true => match announce(&server, &extras, &self.game) {
                Ok(task) => extras.tasks.push(task?),
                Err(error) => extras.not_advertised = Some(error.to_string()),
            },
            false => extras.not_advertised = Some("it was not asked to".into()),
        }
        #[cfg(not(feature = "discovery"))]
        {
            let why = match self.advertise {
                true => "this program was built without discovery",
                false => "it was not asked to",
            };
            extras.not_advertised = Some(why.into());
        }
        Ok(PlaytestServer {
            server,
            extras: Arc::new(extras),
        })
    }
}

impl fmt::Debug for PlaytestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaytestBuilder")
            .field("name", &self.name)
            .field("identity", &self.source)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// A running playtest server: a [`Server`], which it derefs to, and what its players need to join.
///
/// A cheap handle: clones are the same server, and it stops when the last one is dropped.
///
/// ```
/// use farfire::{Client, RemoteEvent, Server};
///
/// static CHAT: RemoteEvent<String> = RemoteEvent::new("Chat");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let host = Server::playtest("desert-duel").folder(folder).remotes(&[&CHAT]).start()?;
/// host.on_server_event(&CHAT, |player, line| println!("{player}: {line}"));
/// println!("{}", host.link());
///
/// let client = Client::join(host.link()).name("Ada").connect().await?;
/// client.fire_server(&CHAT, &"hello".into())?;
/// # client.leave().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PlaytestServer {
    server: Server,
    extras: Arc<Extras>,
}

struct Extras {
    name: String,
    tokens: Option<JoinTokens>,
    port_taken: Option<u16>,
    not_advertised: Option<String>,
    /// Ended when the last handle is dropped, at the latest.
    tasks: Vec<AbortHandle>,
}

impl Drop for Extras {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl PlaytestServer {
    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Everything that a player needs to join, with the addresses that this machine has now.
    ///
    /// It holds the token, if one is needed: whoever has the link can join, until the token is replaced.
    pub fn link(&self) -> JoinLink {
        let port = self.server.local_addr().port();
        let mut addresses = self
            .interfaces()
            .into_iter()
            .map(|interface| Address::from(SocketAddr::new(interface.address, port)));
        let first = addresses.next();
        let first =
            first.unwrap_or_else(|| Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        let link = JoinLink::new(first, self.server.pin())
            .also_at(addresses)
            .with_name(&self.extras.name);
        match &self.extras.tokens {
            Some(tokens) => link.with_token(tokens.current()),
            None => link,
        }
    }

    /// What players on the same network can type instead of the link, if no token is needed.
    pub fn code(&self) -> Code {
        self.server.pin().code()
    }

    /// The addresses at which players may reach it, the best first; that of this machine alone only if there is no other.
    pub fn interfaces(&self) -> Vec<Interface> {
        let ip = self.server.local_addr().ip();
        let mut all = interfaces().unwrap_or_default();
        if ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            all.retain(|interface| interface.address.is_ipv4());
        } else if !ip.is_unspecified() {
            all.retain(|interface| interface.address == ip);
        }
        let is_local = |interface: &Interface| interface.kind == InterfaceKind::Loopback;
        if !all.iter().all(is_local) {
            all.retain(|interface| !is_local(interface));
        }
        all
    }

    /// The port that was to be used, if it was taken and another one is used.
    pub fn port_taken(&self) -> Option<u16> {
        self.extras.port_taken
    }

    /// Replaces the token, so that links given out so far let nobody in any more, and returns the new link; players who are in
    /// stay.
    ///
    /// # Errors
    ///
    /// [`TokenError::NoRandomness`] if the system has no random numbers to give.
    pub fn replace_token(&self) -> Result<JoinLink, TokenError> {
        if let Some(tokens) = &self.extras.tokens {
            tokens.replace(JoinToken::generate()?);
        }
        Ok(self.link())
    }

    /// The tokens that let players in, if one is needed.
    pub fn tokens(&self) -> Option<&JoinTokens> {
        self.extras.tokens.as_ref()
    }

    /// Why the server is not announced on the network; `None` if it is.
    pub fn not_advertised(&self) -> Option<&str> {
        self.extras.not_advertised.as_deref()
    }
}

/// It is a server, with a few answers more.
impl Deref for PlaytestServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl fmt::Debug for PlaytestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaytestServer")
            .field("name", &self.extras.name)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// All addresses of the machine: IPv6 takes IPv4 as well, where there is IPv6.
fn any_ip() -> IpAddr {
    match std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn taken(error: StartError, first: u16, last: u16) -> PlaytestError {
    match error {
        StartError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            PlaytestError::PortTaken { first, last }
        }
        error => PlaytestError::Start(error),
    }
}

/// Looks at the folder now and then, so that what another process does with the identity takes effect: a
/// next one is prepared, or takes its place. One task, on the program's runtime, until the server is gone.
fn watch(server: &Server, dir: PathBuf) -> Result<AbortHandle, PlaytestError> {
    let weak = Arc::downgrade(&server.inner);
    let runtime = program_runtime().map_err(StartError::Threads)?;
    let task = runtime.spawn(async move {
        let dir: Arc<Path> = dir.into();
        while weak.strong_count() > 0 {
            tokio::time::sleep(LOOK).await;
            let looked = dir.clone();
            let loaded =
                tokio::task::spawn_blocking(move || Identity::load_or_create(looked)).await;
            let Some(server) = weak.upgrade().filter(runs).map(Server::passing) else {
                return;
            };
            match loaded {
                Ok(Ok(identity)) => follow(&server, &identity),
                Ok(Err(error)) => tracing::warn!(%error, "the identity cannot be loaded again"),
                Err(_) => return,
            }
        }
    });
    Ok(task.abort_handle())
}

fn runs(server: &Arc<ServerInner>) -> bool {
    !server.stopping.load(Ordering::Acquire)
}

/// Takes on what is new about the identity.
fn follow(server: &Server, identity: &Identity) {
    let next = |next: Option<crate::tls::NextIdentity>| next.map(|next| next.pin);
    if server.pin() != identity.pin() || next(server.next_identity()) != next(identity.next()) {
        server.set_identity(identity);
    }
}

/// Announces the server, and how many players it has. One task, on the program's runtime, which owns the
/// announcement and withdraws it at its end.
#[cfg(feature = "discovery")]
fn announce(
    server: &Server,
    extras: &Extras,
    game: &str,
) -> Result<Result<AbortHandle, PlaytestError>, crate::lan::discovery::DiscoveryError> {
    use crate::lan::discovery::{Advertisement, Advertiser, Scope};

    let describe = {
        let name = extras.name.clone();
        let (game, needs_token) = (game.to_owned(), extras.tokens.is_some());
        move |server: &ServerInner| {
            let mut advertisement = Advertisement::new(name.clone(), server.certificates.pin());
            advertisement.game = game.clone();
            advertisement.players = server.players().len();
            advertisement.max_players = server.wiring.limits.max_players;
            advertisement.needs_token = needs_token;
            advertisement
        }
    };
    let address = server.local_addr();
    let scope = match address.ip().is_loopback() {
        true => Scope::Loopback,
        false => Scope::Lan,
    };
    let mut said = describe(&server.inner);
    let mut advertiser = Advertiser::start(&said, address.port(), scope)?;
    let weak = Arc::downgrade(&server.inner);
    let runtime = match program_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Ok(Err(StartError::Threads(error).into())),
    };
    let task = runtime.spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(server) = weak.upgrade().filter(runs) else {
                return;
            };
            let now = describe(&server);
            if now != said && advertiser.update(&now).is_ok() {
                said = now;
            }
        }
    });
    Ok(Ok(task.abort_handle()))
}

/// Ports that are tried after the first: nobody has more servers than that.
const FURTHER_PORTS: u16 = 10;
/// How often the identity's folder and the number of players are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why a playtest server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaytestError {
    /// The identity cannot be loaded or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The port is taken, and so are those after it that would have done.
    #[error("{}: stop another server, or choose another port", ports(*.first, *.last))]
    PortTaken {
        /// The first that was tried.
        first: u16,
        /// The last.
        last: u16,
    },
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

fn ports(first: u16, last: u16) -> String {
    match first == last {
        true => format!("port {first} is taken"),
        false => format!("the ports from {first} to {last} are all taken"),
    }
}
