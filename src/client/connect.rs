//! Connecting: from an address to a player.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use quinn::{Connection, ConnectionError, TransportErrorCode, VarInt};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{Client, ClientInner, Disconnected, Here, LocalPlayer, ServerLimits};
use crate::{
    config::ConfigError,
    link::{Link, Wiring, driver::Driver, reason::DisconnectReason},
    network::{self, Network},
    player::{NAME_RULE, PlayerId},
    registry::DeclareError,
    session::Side,
    tls::{self, CertificateFault, Pin, Trust, Verdict},
    wire::{
        self, PROTOCOL_VERSION,
        code::CloseCode,
        hello::{Answer, Hello, Refused, Welcome},
    },
};

/// Where the connection is to live.
pub(super) struct Place {
    pub(super) network: Network,
    /// Nobody else uses the network: the socket carries this connection only.
    pub(super) alone: bool,
}

/// Connects on a network thread, and hands the client over when it has joined.
pub(super) async fn run(
    place: Place,
    wiring: Arc<Wiring<Here>>,
    (address, trust): (String, Trust),
    (name, token): (String, Bytes),
) -> Result<Client, ConnectError> {
    if token.len() > wire::MAX_TOKEN_BYTES {
        return Err(ConnectError::TokenTooLong { bytes: token.len() });
    }
    if name.len() > wire::MAX_NAME_BYTES {
        // It cannot even be asked for.
        return Err(ConnectError::BadName {
            detail: NAME_RULE.into(),
        });
    }
    let at = place.network.assign();
    let runtime = place.network.runtime(at).clone();
    let network = place.network.clone();
    // The network thread keeps the time, unless a handler of somebody else blocks it.
    let patience = network.sleep_until(network.now() + wiring.timeouts.join + BLOCKED);
    let (send, receive) = oneshot::channel();
    runtime.spawn(async move {
        let mut send = send;
        let joined = tokio::select! {
            joined = join(&place, at, &wiring, &address, &trust, name, token) => joined,
            // Nobody waits for it any more.
            () = send.closed() => return,
        };
        match joined {
            Ok((connection, welcome)) => {
                play(place.network, at, wiring, connection, welcome, send).await
            }
            Err(error) => _ = send.send(Err(error)),
        }
    });
    tokio::select! {
        joined = receive => joined.unwrap_or(Err(ConnectError::Lost {
            reason: lost("the network thread stopped"),
        })),
        () = patience => Err(ConnectError::JoinTimeout),
    }
}

async fn join(
    place: &Place,
    at: usize,
    wiring: &Wiring<Here>,
    address: &str,
    trust: &Trust,
    name: String,
    token: Bytes,
) -> Result<(Connection, Welcome), ConnectError> {
    let patience = wiring.timeouts.join;
    let deadline = Instant::now() + patience;
    let (host, peers) = resolve(address, deadline).await?;
    let connection = first_to_answer(place, at, wiring, trust, &host, &peers, deadline).await?;
    if connection
        .max_datagram_size()
        .is_none_or(|most| most < wire::MAX_DATAGRAM)
    {
        connection.close(
            VarInt::from_u32(CloseCode::PROTOCOL_VIOLATION.as_u32()),
            b"",
        );
        return Err(ConnectError::Protocol);
    }
    let mut hello = Hello {
        name,
        token,
        remotes: wiring.registry.infos(),
    };
    let hello = hello.encode().or_else(|error| {
        // Mismatches are found on this side as well, from the server's own list.
        tracing::debug!(%error, "the server is not told which remotes this client has");
        hello.remotes.clear();
        hello.encode()
    });
    let hello = hello.map_err(|error| ConnectError::Setup {
        detail: error.to_string(),
    })?;
    match timeout_at(deadline, greet(&connection, &hello)).await {
        Ok(Ok(Answer::Welcome(mut welcome))) => {
            if !wiring
                .registry
                .announce(std::mem::take(&mut welcome.remotes))
            {
                connection.close(
                    VarInt::from_u32(CloseCode::PROTOCOL_VIOLATION.as_u32()),
                    b"",
                );
                return Err(ConnectError::Protocol);
            }
            Ok((connection, welcome))
        }
        Ok(Ok(Answer::Refused(refused))) => {
            // Answering with the same code tells the server that it was read.
            connection.close(VarInt::from_u32(refused.code.as_u32()), b"");
            Err(ConnectError::from(refused))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            connection.close(VarInt::from_u32(CloseCode::JOIN_TIMEOUT.as_u32()), b"");
            Err(ConnectError::JoinTimeout)
        }
    }
}

/// Tries every address of the server, each a moment after the one before: the first that answers and
/// proves its identity is the one.
async fn first_to_answer(
    place: &Place,
    at: usize,
    wiring: &Wiring<Here>,
    trust: &Trust,
    host: &str,
    peers: &[SocketAddr],
    deadline: Instant,
) -> Result<Connection, ConnectError> {
    let attempts = peers.iter().enumerate().map(|(number, peer)| async move {
        tokio::time::sleep(HEAD_START * number as u32).await;
        shake_hands(place, at, wiring, trust, host, *peer, deadline).await
    });
    let mut attempts: FuturesUnordered<_> = attempts.collect();
    let mut unlike_silence = None;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connection) => return Ok(connection),
            Err(ConnectError::Unreachable { .. }) => {}
            Err(error) => unlike_silence = unlike_silence.or(Some(error)),
        }
    }
    // Whoever answered says more than those who did not.
    Err(unlike_silence.unwrap_or_else(|| ConnectError::Unreachable {
        addresses: peers.to_vec(),
        waited: wiring.timeouts.join,
    }))
}

async fn shake_hands(
    place: &Place,
    at: usize,
    wiring: &Wiring<Here>,
    trust: &Trust,
    host: &str,
    peer: SocketAddr,
    deadline: Instant,
) -> Result<Connection, ConnectError> {
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
        Ok(Ok(connection)) => Ok(connection),
        Err(_) | Ok(Err(ConnectionError::TimedOut)) => Err(ConnectError::Unreachable {
            addresses: vec![peer],
            waited: wiring.timeouts.join,
        }),
        Ok(Err(error)) => Err(failed(peer, error, trust, &verdict)),
    }
}

async fn greet(connection: &Connection, hello: &[u8]) -> Result<Answer, ConnectError> {
    let lost = |error: Option<ConnectionError>| {
        let error = error.or_else(|| connection.close_reason());
        match error.map(|error| DisconnectReason::of(Side::Client, error)) {
            Some(DisconnectReason::Refused { code }) => ConnectError::from(Refused {
                code,
                detail: String::new(),
                protocol: PROTOCOL_VERSION,
            }),
            Some(reason) => ConnectError::Lost { reason },
            None => ConnectError::Protocol,
        }
    };
    let (mut send, mut recv) = connection
        .open_bi()
        .await
        .map_err(|error| lost(Some(error)))?;
    send.write_all(hello).await.map_err(|_| lost(None))?;
    let _ = send.finish();
    let answer = recv
        .read_to_end(wire::MAX_WELCOME_BYTES + wire::varint::MAX_LEN)
        .await
        .map_err(|_| lost(None))?;
    Answer::decode(&answer).map_err(|error| {
        tracing::debug!(error = error.0, "the server's answer is malformed");
        connection.close(VarInt::from_u32(CloseCode::MALFORMED.as_u32()), b"");
        ConnectError::Protocol
    })
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
    let peers: Vec<_> = match timeout_at(deadline, tokio::net::lookup_host(address)).await {
        Ok(found) => found.map_err(|error| unusable(Some(error)))?.collect(),
        Err(_) => Vec::new(),
    };
    if peers.is_empty() {
        return Err(unusable(None));
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.into(), peers))
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
            expected,
            received,
        };
    }
    if let Some(fault) = verdict.fault() {
        return ConnectError::Certificate {
            address: peer,
            fault,
        };
    }
    match error {
        ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
        {
            ConnectError::ProtocolVersion {
                ours: PROTOCOL_VERSION,
                theirs: None,
            }
        }
        ConnectionError::TransportError(error)
            if u64::from(error.code) == NO_APPLICATION_PROTOCOL =>
        {
            ConnectError::ProtocolVersion {
                ours: PROTOCOL_VERSION,
                theirs: None,
            }
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

/// Plays until the connection ends; one task, on the connection's thread.
async fn play(
    network: Network,
    at: usize,
    wiring: Arc<Wiring<Here>>,
    connection: Connection,
    welcome: Welcome,
    send: oneshot::Sender<Result<Client, ConnectError>>,
) {
    let id = welcome.player_id;
    let number = network.thread_number(at);
    let calls = welcome.limits.calls_in_flight as usize;
    let link = Link::new(
        id,
        connection,
        None,
        number,
        &wiring.limits,
        calls,
        wiring.flush,
    );
    watch(&wiring, &link);
    let held = Here(link.held.clone());
    let inner = Arc::new(ClientInner {
        wiring: wiring.clone(),
        network,
        link: link.clone(),
        player: LocalPlayer {
            id: PlayerId(id),
            name: welcome.name,
        },
        server_limits: ServerLimits {
            event_payload: welcome.limits.max_event_payload as usize,
            call_payload: welcome.limits.max_call_payload as usize,
        },
        settings: welcome.settings.into_iter().collect(),
        disconnected: Mutex::new(Disconnected::Not(Vec::new())),
    });
    let driver = Driver::new(wiring, held, link);
    // Dropped unheard, the client leaves at once.
    let _ = send.send(Ok(Client::new(inner.clone())));
    let reason = driver.run().await;
    inner.end(reason);
}

/// Has the connection look again when handlers or remotes are added.
fn watch(wiring: &Arc<Wiring<Here>>, link: &Arc<Link>) {
    let (changed, link) = (wiring.changed.clone(), Arc::downgrade(link));
    wiring.registry.on_change(move |_| {
        changed.notify_waiters();
        if let Some(link) = link.upgrade() {
            link.wake();
        }
    });
}

fn lost(detail: &str) -> DisconnectReason {
    DisconnectReason::Lost {
        detail: detail.into(),
    }
}

/// Why a client did not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no address, or the name in it has none.
    #[error("{address:?} is no address of a server: write HOST:PORT, such as 192.168.1.7:4433")]
    Address {
        /// The text.
        address: String,
        /// What the system says about it.
        source: Option<io::Error>,
    },
    /// Nobody answered.
    #[error(
        "no answer from {} within {waited:?}: check the address and the port, and that the server runs and its firewall lets UDP in",
        list(.addresses)
    )]
    Unreachable {
        /// The addresses of the server, all of which were tried.
        addresses: Vec<SocketAddr>,
        /// How long was waited.
        waited: Duration,
    },
    /// The server has another identity than the pinned one.
    #[error(
        "{address} has the identity {received}, which is not the one expected: ask its host for the current pin; if it has not changed, something answers in the server's place"
    )]
    UntrustedServer {
        /// The address.
        address: SocketAddr,
        /// The pins that would have been accepted.
        expected: Vec<Pin>,
        /// The pin of whoever answered.
        received: Pin,
    },
    /// The server's certificate is not acceptable.
    #[error("the certificate of {address} is not acceptable: {fault}")]
    Certificate {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// The two sides speak different versions: update the older one.
    #[error("this side speaks farfire/{ours} and the server {}: update the older one", match theirs { Some(theirs) => format!("farfire/{theirs}"), None => "another protocol".into() })]
    ProtocolVersion {
        /// Our version.
        ours: u32,
        /// The server's version, if it said so.
        theirs: Option<u32>,
    },
    /// The server has no place left.
    #[error("the server is full ({detail}): try again later")]
    Full {
        /// What the server says.
        detail: String,
    },
    /// The player may not play there.
    #[error("banned from this server: {reason}")]
    Banned {
        /// What the server says.
        reason: String,
    },
    /// The server wants a token, or another one.
    #[error("the server did not accept the token: ask its host for a valid one")]
    BadToken,
    /// The player cannot have this name.
    #[error("the name was not accepted: {detail}")]
    BadName {
        /// What a name has to be.
        detail: String,
    },
    /// The server refused for a reason of its own.
    #[error("the server refused: {reason} ({} {:#x})", .code.name(), .code.as_u32())]
    Refused {
        /// The code that was sent.
        code: CloseCode,
        /// What the server says.
        reason: String,
    },
    /// The server has too much to do, or too many connections from this address.
    #[error("{address} takes no more connections now: try again in a moment")]
    Busy {
        /// The address.
        address: SocketAddr,
    },
    /// The server answered, but did not let the player in in time.
    #[error("the server did not let the player in in time: its authentication is slow or stuck")]
    JoinTimeout,
    /// The server does not keep to the protocol.
    #[error("the server does not keep to the protocol: is it a farfire server?")]
    Protocol,
    /// The connection broke while joining.
    #[error("the connection broke while joining: {reason}")]
    Lost {
        /// Why.
        reason: DisconnectReason,
    },
    /// The token is longer than 4096 bytes.
    #[error("the token has {bytes} bytes and 4096 are allowed: use a shorter one")]
    TokenTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Two of the remotes cannot both be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// A limit or timeout would break a guarantee.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was given cannot be used to connect.
    #[error("cannot set the connection up: {detail}")]
    Setup {
        /// What is wrong.
        detail: String,
    },
    /// The system gives no socket.
    #[error("the system gives no UDP socket")]
    Socket {
        /// What it says.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("the system gives no thread")]
    Threads(#[source] io::Error),
    /// A blocking call was made on a thread of an asynchronous runtime, which it would stall.
    #[error("a blocking connect on a runtime's thread would stall it: await `connect` instead")]
    WouldBlock,
}

impl From<Refused> for ConnectError {
    fn from(
        Refused {
            code,
            detail,
            protocol,
        }: Refused,
    ) -> Self {
        match code {
            CloseCode::FULL => Self::Full { detail },
            CloseCode::BANNED => Self::Banned { reason: detail },
            CloseCode::BAD_TOKEN => Self::BadToken,
            CloseCode::BAD_NAME => Self::BadName { detail },
            CloseCode::PROTOCOL_VERSION => Self::ProtocolVersion {
                ours: PROTOCOL_VERSION,
                theirs: Some(protocol),
            },
            CloseCode::JOIN_TIMEOUT => Self::JoinTimeout,
            code => {
                let reason = if detail.is_empty() {
                    code.text().into()
                } else {
                    detail
                };
                Self::Refused { code, reason }
            }
        }
    }
}

/// By how much a network thread that is not blocked is never late.
const BLOCKED: Duration = Duration::from_millis(500);
fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(" or ")
}

/// How long an address has before the next one is tried as well, as happy eyeballs do (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);
/// The TLS alert `no_application_protocol`, as QUIC carries it.
const NO_APPLICATION_PROTOCOL: u64 = 0x178;
