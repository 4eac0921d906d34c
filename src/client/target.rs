//! What a client joins: where, whom it believes, and what it remembers of it.
//!
//! Reads and writes the known servers where blocking is allowed, before and after a handshake. Knows nothing about the handshake.

use tokio::runtime::Handle;

use super::{
    connect::ConnectError,
    race::{Lost, Winner},
};
use crate::tls::{KnownServers, Pin, Trust, Via};

/// Where a server may be, and whom to believe there.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// At least one, `HOST:PORT` each, the best first.
    pub(super) addresses: Vec<String>,
    pub(super) trust: Trust,
    /// What the server is called, as far as the player knows; may be empty.
    pub(super) name: String,
    /// Where it is remembered, beside where the trust comes from.
    pub(super) remember: Option<(KnownServers, Via)>,
}

impl Target {
    /// Whom to believe now.
    pub(super) async fn believed(&self, program: &Handle) -> Result<Trust, ConnectError> {
        let trust = self.trust.clone();
        let remember = self.remember.clone();
        if self.store().is_none() {
            return Ok(trust);
        }
        blocking(program, move || match (trust.known(), remember) {
            (Some(known), _) => Ok(Trust::pinned(known.pins()?)),
            (None, Some((known, _))) if !trust.pins().is_empty() => {
                let mut pins = Vec::new();
                for pin in trust.pins() {
                    pins.extend(known.pins_for(*pin)?);
                }
                Ok(Trust::pinned(pins))
            }
            (None, _) => Ok(trust),
        })
        .await
    }

    /// Adds to a refusal what is known of the server that was refused.
    pub(super) async fn explain(&self, lost: Lost, program: &Handle) -> ConnectError {
        let Lost {
            error,
            address: given,
        } = lost;
        let Some(known) = self.trust.known().cloned() else {
            return error;
        };
        let ConnectError::UntrustedServer {
            address, pin, code, ..
        } = error
        else {
            return error;
        };
        let name = self.name.clone();
        let asked = blocking(program, move || {
            Ok(known.refused(pin, &name, [&given, &address.to_string()])?)
        });
        match asked.await {
            Ok(known) => ConnectError::UntrustedServer {
                address,
                pin,
                code,
                known,
            },
            Err(error) => error,
        }
    }

    /// Remembers that a server was joined. That it cannot be written down is no reason not to play.
    pub(super) async fn joined(&self, winner: Met, program: &Handle) {
        let Some((known, via)) = self.store() else {
            return;
        };
        let Met {
            pin: Some(pin),
            address,
        } = winner
        else {
            return;
        };
        let name = self.name.clone();
        let written = blocking(
            program,
            move || Ok(known.joined(pin, &name, &address, via)?),
        );
        if let Err(error) = written.await {
            tracing::warn!(%error, "the server is not remembered");
        }
    }

    /// Where this server is kept.
    pub(super) fn store(&self) -> Option<(KnownServers, Option<Via>)> {
        match &self.remember {
            Some((known, via)) => Some((known.clone(), Some(*via))),
            None => self.trust.known().map(|known| (known.clone(), None)),
        }
    }
}

/// The server that was met, for remembering it.
#[derive(Debug, Clone)]
pub(super) struct Met {
    /// Proven, and there if it was believed by it.
    pub(super) pin: Option<Pin>,
    pub(super) address: String,
}

impl From<&Winner> for Met {
    fn from(winner: &Winner) -> Self {
        Self {
            pin: winner.pin,
            address: winner.address.clone(),
        }
    }
}

/// Runs what blocks on the disk away from network threads and the caller's.
async fn blocking<T: Send + 'static>(
    program: &Handle,
    work: impl FnOnce() -> Result<T, ConnectError> + Send + 'static,
) -> Result<T, ConnectError> {
    match program.spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(ConnectError::Setup {
            detail: "the program's runtime is shutting down".into(),
        }),
    }
}
