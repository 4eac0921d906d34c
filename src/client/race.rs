//! The race of a server's addresses: the first that proves to be the server wins.
//!
//! An address that answers first and is somebody else's neither wins nor stops the race. Knows nothing of what is
//! said after the handshake.

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use quinn::{Connection, ConnectionError, TransportErrorCode};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Here,
    connect::{ConnectError, Place},
};
use crate::{
    link::{Wiring, reason::DisconnectReason},
    network,
    session::Side,
    tls::{self, Known, Pin, Trust, Verdict},
    wire::{self, PROTOCOL_VERSION},
};

/// The address that won.
pub(super) struct Winner {
    pub(super) connection: Connection,
    /// When its handshake began.
    pub(super) started: Instant,
    /// The address as it was given, `HOST:PORT`.
    pub(super) address: String,
    /// The proven pin, if it was believed by its pin.
    pub(super) pin: Option<Pin>,
}

/// Why none did, and the address that this is about, as it was given.
pub(super) struct Lost {
    pub(super) error: ConnectError,
    pub(super) address: String,
}

/// Tries the addresses in order, each a moment after the one before, or at once when that has failed.
pub(super) async fn run(
    place: &Place,
    at: usize,
    wiring: &Wiring<Here>,
    trust: &Trust,
    addresses: &[String],
    deadline: Instant,
) -> Result<Winner, Lost> {
    let mut lookups: FuturesUnordered<_> = addresses
        .iter()
        .enumerate()
        .map(|(rank, address)| async move { (rank, resolve(address, deadline).await) })
        .collect();
    let mut waiting: VecDeque<(usize, String, SocketAddr)> = VecDeque::new();
    let mut attempts = FuturesUnordered::new();
    let mut tried = Vec::new();
    let mut worst: Option<Lost> = None;
    let mut next_start = Instant::now();
    loop {
        tokio::select! {
            biased;
            Some(ended) = attempts.next(), if !attempts.is_empty() => {
                let (rank, started, attempt): (usize, Instant, Attempt) = ended;
                match attempt {
                    Ok((connection, pin)) => return Ok(Winner {
                        connection,
                        started,
                        address: addresses[rank].clone(),
                        pin,
                    }),
                    Err(error) => {
                        note(&mut worst, error, &addresses[rank]);
                        next_start = Instant::now();
                    }
                }
            }
            Some((rank, found)) = lookups.next(), if !lookups.is_empty() => match found {
                Ok((host, peers)) => {
                    let new = peers.into_iter().filter(|peer| !tried.contains(peer)).collect::<Vec<_>>();
                    for peer in new.into_iter().take(MAX_PEERS - tried.len()) {
                        tried.push(peer);
                        waiting.push_back((rank, host.clone(), peer));
                    }
                    // As they were given, however long each took to look up.
                    waiting.make_contiguous().sort_by_key(|(rank, ..)| *rank);
                }
                Err(error) => note(&mut worst, error, &addresses[rank]),
            },
            () = sleep_until(next_start), if !waiting.is_empty() => {
                if let Some((rank, host, peer)) = waiting.pop_front() {
                    attempts.push(async move {
                        let started = Instant::now();
                        let attempt = shake_hands(place, at, wiring, trust, &host, peer, deadline);
                        (rank, started, attempt.await)
                    });
                }
                next_start = Instant::now() + HEAD_START;
            }
            else => break,
        }
    }
    Err(match worst {
        Some(lost) if weight(&lost.error) > SILENCE || tried.is_empty() => lost,
        _ => Lost {
            error: ConnectError::Unreachable {
                addresses: tried,
                waited: wiring.timeouts.join,
            },
            address: addresses.first().cloned().unwrap_or_default(),
        },
    })
}

/// Keeps the error that says most; of equals the first.
fn note(worst: &mut Option<Lost>, error: ConnectError, address: &str) {
    if worst
        .as_ref()
        .is_none_or(|lost| weight(&error) > weight(&lost.error))
    {
        *worst = Some(Lost {
            error,
            address: address.into(),
        });
    }
}

/// Whoever answered says more than what this side could not do, and both more than silence.
fn weight(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Address { .. } => 0,
        ConnectError::Unreachable { .. } => SILENCE,
        ConnectError::Socket { .. } | ConnectError::Setup { .. } => 2,
        _ => 3,
    }
}

/// The connection, and the pin that the server was believed by.
type Attempt = Result<(Connection, Option<Pin>), ConnectError>;

async fn shake_hands(
    place: &Place,
    at: usize,
    wiring: &Wiring<Here>,
    trust: &Trust,
    host: &str,
    peer: SocketAddr,
    deadline: Instant,
) -> Attempt {
    let setup = |error: &dyn std::fmt::Display| ConnectError::Setup {
        detail: error.to_string(),
    };
    let (crypto, verdict) =
        tls::client_config(trust, &[wire::ALPN]).map_err(|error| setup(&error))?;
    let config = network::client_config(crypto, &wiring.limits, &wiring.timeouts);
    let begin = || {
        let endpoint = place
            .network
            .client_endpoint(at, peer, place.alone)
            .map_err(|source| ConnectError::Socket { source })?;
        let connecting = endpoint.connect_with(config.clone(), peer, host);
        Ok::<_, ConnectError>((endpoint, connecting))
    };
    let connecting = match begin()? {
        // Its socket has died, with whoever used it before.
        (dead, Err(quinn::ConnectError::EndpointStopping)) => {
            place.network.forget_client_endpoint(&dead);
            begin()?.1
        }
        (_, connecting) => connecting,
    };
    let connecting = connecting.map_err(|error| setup(&error))?;
    match timeout_at(deadline, connecting).await {
        // Only now is it proven that the server holds the key to what it showed.
        Ok(Ok(connection)) => Ok((connection, verdict.believed())),
        Err(_) | Ok(Err(ConnectionError::TimedOut)) => Err(ConnectError::Unreachable {
            addresses: vec![peer],
            waited: wiring.timeouts.join,
        }),
        Ok(Err(error)) => Err(failed(peer, error, trust, &verdict)),
    }
}

async fn resolve(
    address: &str,
    deadline: Instant,
) -> Result<(String, Vec<SocketAddr>), ConnectError> {
    let unusable = |source| ConnectError::Address {
        address: address.into(),
        source,
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| unusable(None))?;
    if port.parse::<u16>().map_or(true, |port| port == 0) {
        return Err(unusable(None));
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(peer) = address.parse::<SocketAddr>() {
        // No thread is to be asked for what needs no looking up.
        return Ok((host.into(), vec![peer]));
    }
    let peers: Vec<_> = match timeout_at(deadline, tokio::net::lookup_host(address)).await {
        Ok(found) => found.map_err(|error| unusable(Some(error)))?.collect(),
        Err(_) => return Err(unusable(Some(io::ErrorKind::TimedOut.into()))),
    };
    match peers.is_empty() {
        true => Err(unusable(None)),
        false => Ok((host.into(), peers)),
    }
}

/// Says in our own terms why a handshake failed.
fn failed(
    peer: SocketAddr,
    error: ConnectionError,
    trust: &Trust,
    verdict: &Verdict,
) -> ConnectError {
    if let Some(received) = verdict.received() {
        let expected = trust.pins().to_vec();
        return ConnectError::UntrustedServer {
            address: peer,
            pin: received,
            code: received.code(),
            known: Known::Pinned { expected },
        };
    }
    if let Some(fault) = verdict.fault() {
        return ConnectError::Certificate {
            address: peer,
            fault,
        };
    }
    let other_protocol = ConnectError::ProtocolVersion {
        ours: PROTOCOL_VERSION,
        theirs: None,
    };
    match error {
        ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
        {
            other_protocol
        }
        ConnectionError::TransportError(error)
            if u64::from(error.code) == NO_APPLICATION_PROTOCOL =>
        {
            other_protocol
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            ConnectError::Busy { address: peer }
        }
        error => ConnectError::Lost {
            reason: DisconnectReason::of(Side::Client, error),
        },
    }
}

/// How long an address has before the next one is tried as well, as happy eyeballs do (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);
/// Names may have many addresses, and each attempt costs somebody a handshake.
const MAX_PEERS: usize = 32;
/// How much silence says, on the scale of [`weight`].
const SILENCE: u8 = 1;
/// The TLS alert `no_application_protocol`, as QUIC carries it.
const NO_APPLICATION_PROTOCOL: u64 = 0x178;
