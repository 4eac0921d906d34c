//! Connecting: from an address to a player.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, VarInt};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    Client, ClientInner, Disconnected, Here, JoinTimes, LocalPlayer, ServerLimits, race,
    successor::Successor,
    target::{Met, Target},
};
use crate::{
    config::ConfigError,
    lan::LinkError,
    link::{Link, Wiring, driver::Driver, reason::DisconnectReason},
    network::Network,
    player::{NAME_RULE, PlayerId},
    registry::DeclareError,
    session::Side,
    tls::{CertificateFault, Code, Known, KnownServersError, Pin},
    wire::{
        self, PROTOCOL_VERSION,
        code::CloseCode,
        hello::{Answer, Hello, Refused, Welcome},
        remote::DeclaredRemotes,
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
    target: Target,
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
    let (program, target) = (wiring.program.clone(), Arc::new(target));
    let remembered = target.clone();
    runtime.spawn(async move {
        let mut send = send;
        let joined = tokio::select! {
            joined = join(&place, at, &wiring, &target, name, token) => joined,
            // Nobody waits for it any more.
            () = send.closed() => return,
        };
        match joined {
            Ok(joined) => play(place.network, at, wiring, &target, joined, send).await,
            Err(error) => _ = send.send(Err(error)),
        }
    });
    let (client, met) = tokio::select! {
        joined = receive => joined.unwrap_or(Err(ConnectError::Lost {
            reason: lost("the network thread stopped"),
        }))?,
        () = patience => return Err(ConnectError::JoinTimeout),
    };
    remembered.joined(met, &program).await;
    Ok(client)
}

/// A server that has let this client in.
struct Joined {
    connection: Connection,
    welcome: Welcome,
    met: Met,
    times: JoinTimes,
}

async fn join(
    place: &Place,
    at: usize,
    wiring: &Wiring<Here>,
    target: &Target,
    name: String,
    token: Bytes,
) -> Result<Joined, ConnectError> {
    let patience = wiring.timeouts.join;
    let began = Instant::now();
    let deadline = began + patience;
    let trust = target.believed(&wiring.program).await?;
    let addresses = &target.addresses;
    let winner = match race::run(place, at, wiring, &trust, addresses, deadline).await {
        Ok(winner) => winner,
        Err(lost) => return Err(target.explain(lost, &wiring.program).await),
    };
    let met = Met::from(&winner);
    let started = winner.started;
    let connection = winner.connection;
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
        remotes: DeclaredRemotes::new(&wiring.registry.infos()),
    };
    let hello = hello.encode().or_else(|error| {
        // Mismatches are found on this side as well, from the server's own list.
        tracing::debug!(%error, "the server is not told which remotes this client has");
        hello.remotes = DeclaredRemotes::default();
        hello.encode()
    });
    let hello = hello.map_err(|error| ConnectError::Setup {
        detail: error.to_string(),
    })?;
    let connected = Instant::now();
    match timeout_at(deadline, greet(&connection, &hello)).await {
        Ok(Ok(Answer::Welcome(mut welcome))) => {
            let times = JoinTimes {
                resolve: started - began,
                handshake: connected - started,
                welcome: connected.elapsed(),
            };
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
            Ok(Joined {
                connection,
                welcome,
                times,
                met,
            })
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

/// Plays until the connection ends; one task, on the connection's thread.
async fn play(
    network: Network,
    at: usize,
    wiring: Arc<Wiring<Here>>,
    target: &Target,
    Joined {
        connection,
        welcome,
        met,
        times,
    }: Joined,
    send: oneshot::Sender<Result<(Client, Met), ConnectError>>,
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
    let entry = target.store().map(|(known, _)| known).zip(met.pin);
    let successor = Arc::new(Successor::new(entry, wiring.program.clone()));
    let held = Here {
        held: link.held.clone(),
        successor: successor.clone(),
    };
    let inner = Arc::new(ClientInner {
        wiring: wiring.clone(),
        network,
        pin: met.pin,
        successor,
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
        join_times: times,
        disconnected: Mutex::new(Disconnected::Not(Vec::new())),
    });
    let driver = Box::new(Driver::new(wiring, held, link));
    // Dropped unheard, the client leaves at once.
    let _ = send.send(Ok((Client::new(inner.clone()), met)));
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
        "no answer from {} within {waited:?}: check the address and the port, and that the server runs and its firewall lets UDP in; one with too much to do may not answer either",
        list(.addresses)
    )]
    Unreachable {
        /// The addresses of the server, all of which were tried.
        addresses: Vec<SocketAddr>,
        /// How long was waited.
        waited: Duration,
    },
    /// The server has an identity that is not trusted.
    #[error("{}", known.explain(*address, pin))]
    UntrustedServer {
        /// The address.
        address: SocketAddr,
        /// The pin of whoever answered.
        pin: Pin,
        /// The same, as people compare it.
        code: Code,
        /// What is known of it.
        known: Known,
    },
    /// The join link is damaged.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The known servers cannot be read or written.
    #[error(transparent)]
    KnownServers(#[from] KnownServersError),
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
    /// The token was good once, and is not any more.
    #[error("the link has expired: ask its host for the current one")]
    ExpiredToken,
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
    /// The server has too much to do, or too many connections from this address. It tells some of those who ask; to
    /// the others it is [`Unreachable`](Self::Unreachable), unless there is room before their time is up.
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
            CloseCode::EXPIRED_TOKEN => Self::ExpiredToken,
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
