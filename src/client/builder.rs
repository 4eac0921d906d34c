//! Describing a client.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    Client, Here,
    connect::{self, ConnectError},
    target::Target,
};
use crate::{
    blocking::{may_not_block, wait},
    config::{self, Flush, Limits, Timeouts},
    lan::{Address, JoinLink, LinkError},
    link::Wiring,
    network::{Network, program_runtime},
    registry::{DeclareError, Registry},
    remote::Remote,
    session::Side,
    tls::{KnownServers, Trust, Via},
};

/// Describes a [`Client`].
#[must_use = "a client joins with `connect`"]
pub struct ClientBuilder {
    target: Result<Target, LinkError>,
    pub(super) name: String,
    pub(super) token: Bytes,
    limits: Limits,
    timeouts: Timeouts,
    flush: Flush,
    network: Option<Network>,
    registry: Registry<Here>,
    declared: Result<(), DeclareError>,
}

impl ClientBuilder {
    pub(super) fn new(address: String, trust: Trust) -> Self {
        let target = Target {
            addresses: vec![address],
            trust,
            name: String::new(),
            remember: None,
        };
        Self::with(Ok(target), Bytes::new())
    }

    pub(super) fn by_link(link: Result<JoinLink, LinkError>) -> Self {
        let token = link.as_ref().ok().and_then(JoinLink::token);
        let token = token.map(|token| Bytes::copy_from_slice(token.secret_bytes()));
        let target = link.map(|link| Target {
            addresses: link.addresses().iter().map(Address::to_string).collect(),
            trust: Trust::pinned([link.pin()]),
            name: link.name().unwrap_or_default().into(),
            remember: None,
        });
        Self::with(target, token.unwrap_or_default())
    }

    fn with(target: Result<Target, LinkError>, token: Bytes) -> Self {
        Self {
            target,
            name: String::new(),
            token,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            flush: Flush::default(),
            network: None,
            registry: Registry::new(false),
            declared: Ok(()),
        }
    }

    /// The name to play under; the server may give another, and gives one if this is empty.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Secret bytes for the server's authentication, at most 4096. They are sent only after the
    /// server has proven its identity.
    pub fn token(mut self, token: impl Into<Bytes>) -> Self {
        self.token = token.into();
        self
    }

    /// Remembers the server among `known` when it has been joined, and how its pin came to be known.
    ///
    /// Needed where a link or the program gives the pin; [`Trust::known_servers`] remembers by itself. A server that has
    /// announced and taken a new identity since the link was made is then recognized. That it cannot be
    /// written down is logged, and does not keep the client from playing; it may take up to five seconds more if another process
    /// holds the lock of the file.
    pub fn remember(mut self, known: &KnownServers, via: Via) -> Self {
        if let Ok(target) = &mut self.target {
            target.remember = Some((known.clone(), via));
        }
        self
    }

    /// What the server is called, as far as the player knows, such as by discovery; a link says it by itself.
    ///
    /// With [`Trust::known_servers`], a server of a known name and with another identity is refused.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        if let Ok(target) = &mut self.target {
            target.name = name.into();
        }
        self
    }

    /// Another address at which the server may be, tried beside the first; at most 16.
    pub fn also_at(mut self, address: impl Into<String>) -> Self {
        if let Ok(target) = &mut self.target
            && target.addresses.len() <= MAX_FURTHER_ADDRESSES
        {
            target.addresses.push(address.into());
        }
        self
    }

    /// Declares remotes, so that a mismatch with the server's is reported on both sides at once.
    pub fn remotes(mut self, remotes: &[&dyn Remote]) -> Self {
        let declared = self.registry.declare_all(remotes);
        self.declared = self.declared.and(declared);
        self
    }

    /// How much the server may cost this client.
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

    /// The threads to run on (default one of its own); clients that share them share a UDP socket.
    pub fn network(mut self, network: &Network) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Connects, proves nothing but the token, and joins.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says what went wrong and what to do about it. It always resolves, at the latest
    /// after the `join` timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing has joined, or it leaves again.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let (network, wiring, target, hello) = self.prepare()?;
        connect::run(network, wiring, target, hello).await
    }

    /// The same for a program without a runtime.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`ConnectError::WouldBlock`] on a thread of an asynchronous
    /// runtime, which would stand still.
    pub fn connect_blocking(self) -> Result<Client, ConnectError> {
        if may_not_block() {
            return Err(ConnectError::WouldBlock);
        }
        wait(self.connect())
    }

    #[expect(
        clippy::type_complexity,
        reason = "taken apart at once by the one caller"
    )]
    fn prepare(
        self,
    ) -> Result<(connect::Place, Arc<Wiring<Here>>, Target, (String, Bytes)), ConnectError> {
        let target = self.target?;
        self.declared?;
        config::check(&self.limits, &self.timeouts)?;
        let place = match self.network {
            Some(network) => connect::Place {
                network,
                alone: false,
            },
            None => {
                let network = Network::new().map_err(ConnectError::Threads)?;
                connect::Place {
                    network,
                    alone: true,
                }
            }
        };
        let wiring = Arc::new(Wiring {
            side: Side::Client,
            registry: Arc::new(self.registry),
            changed: Arc::new(Notify::new()),
            program: program_runtime().map_err(ConnectError::Threads)?,
            limits: Arc::new(self.limits),
            timeouts: Arc::new(self.timeouts),
            flush: self.flush,
        });
        Ok((place, wiring, target, (self.name, self.token)))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("target", &self.target)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// As many as a join link may have.
const MAX_FURTHER_ADDRESSES: usize = 16;
