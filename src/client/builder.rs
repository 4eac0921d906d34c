//! Describing a client.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    Client, Here,
    connect::{self, ConnectError},
};
use crate::{
    blocking::{may_not_block, wait},
    config::{self, Flush, Limits, Timeouts},
    link::Wiring,
    network::{Network, program_runtime},
    registry::{DeclareError, Registry},
    remote::Remote,
    session::Side,
    tls::Trust,
};

/// Describes a [`Client`].
#[must_use = "a client joins with `connect`"]
pub struct ClientBuilder {
    pub(super) address: String,
    pub(super) trust: Trust,
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
        Self {
            address,
            trust,
            name: String::new(),
            token: Bytes::new(),
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
        let (network, wiring, address, hello) = self.prepare()?;
        connect::run(network, wiring, address, hello).await
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
    ) -> Result<
        (
            connect::Place,
            Arc<Wiring<Here>>,
            (String, Trust),
            (String, Bytes),
        ),
        ConnectError,
    > {
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
        Ok((
            place,
            wiring,
            (self.address, self.trust),
            (self.name, self.token),
        ))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("address", &self.address)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
