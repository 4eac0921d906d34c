//! Joining: from a handshake to a player among the others, and back out.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Counted, ServerInner,
    accept::Places,
    addresses::FromAddress,
    admission::{Admission, JoinRequest, Refusal, Token},
    stats::Totals,
};
use crate::{
    clock,
    handler::{guarded, incident_of, sealed::Resolved},
    lan::TokenVerdict,
    link::{Link, driver::Driver, hub::Hub, reason::DisconnectReason, run_event_handler},
    network,
    player::{self, Player},
    wire::{
        self, PROTOCOL_VERSION,
        code::CloseCode,
        hello::{Answer, Hello, HelloError, Limits, Refused, Welcome},
    },
};

/// A refusal on its way to the client.
struct No {
    code: CloseCode,
    detail: String,
}

impl No {
    fn because(code: CloseCode) -> Self {
        Self {
            code,
            detail: String::new(),
        }
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadToken => Self::because(CloseCode::BAD_TOKEN),
            Refusal::ExpiredToken => Self::because(CloseCode::EXPIRED_TOKEN),
            Refusal::Banned { reason } => Self {
                code: CloseCode::BANNED,
                detail: reason,
            },
            Refusal::Other { reason } => Self {
                code: CloseCode::REFUSED,
                detail: reason,
            },
        }
    }
}

/// Takes a connection from its first packet to its end; one task, on the connection's thread.
///
/// What joining takes is in a box of its own, which is gone when the player plays: what is inline in a
/// task stays for as long as the task.
pub(super) fn serve(
    server: Arc<ServerInner>,
    incoming: Incoming,
    places: Places,
    hub: Arc<Hub>,
) -> impl Future<Output = ()> + Send {
    let joining = Box::pin(join(server, incoming, places, hub));
    async move {
        if let Some(joined) = joining.await {
            joined.play().await;
        }
    }
}

/// A player, until it has left.
struct Joined {
    present: Present,
    driver: Box<Driver<Player>>,
    link: Arc<Link>,
    seat: Counted,
    address: FromAddress,
}

impl Joined {
    /// In a box, as what is inline in a task may be there several times.
    async fn play(self: Box<Self>) {
        let program = self.present.server.wiring.program.clone();
        let totals = self.present.server.totals.clone();
        let joined = clock::now();
        let reason = self.driver.run().await;
        let (link, mut address, now) = (self.link, self.address, clock::now());
        self.present.leave(reason);
        drop(self.seat);
        let thrown_out = matches!(link.ended(), Some(DisconnectReason::Violation { .. }));
        address.left(now - joined, thrown_out, now);
        let running = link.handlers();
        let left = Left { totals, link };
        // Handlers that still run count against the address: whoever leaves and comes back would have as
        // many again each time.
        if let Some(running) = running {
            program.spawn(async move {
                running.done().await;
                drop((address, left));
            });
        }
    }
}

/// A player who has left, and counts until its handlers have returned.
struct Left {
    totals: Arc<Totals>,
    link: Arc<Link>,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.totals.finished(&self.link);
    }
}

/// From the first packet to a player among the others; `None` if it does not become one.
async fn join(
    server: Arc<ServerInner>,
    incoming: Incoming,
    Places { joining, address }: Places,
    hub: Arc<Hub>,
) -> Option<Box<Joined>> {
    let deadline = Instant::now() + server.wiring.timeouts.join;
    // It spawns the connection's driver where it is called, which is why this is called here.
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => {
            server.totals.failed_handshake();
            tracing::debug!(%error, "a connection was not accepted");
            return None;
        }
    };
    let connection = match timeout_at(deadline, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            server.totals.failed_handshake();
            tracing::debug!(%error, "a handshake failed");
            return None;
        }
        Err(_) => {
            server.totals.failed_handshake();
            tracing::debug!("a handshake took too long");
            return None;
        }
    };
    server.totals.handshake();
    let address = address.or_else(|| {
        let from = connection.remote_address().ip();
        server.addresses.count(from, clock::now())
    });
    let Some(mut address) = address else {
        turn_away(&server, &connection, CloseCode::TOO_MANY_ATTEMPTS);
        return None;
    };
    if connection
        .max_datagram_size()
        .is_none_or(|most| most < wire::MAX_DATAGRAM)
    {
        turn_away(&server, &connection, CloseCode::PROTOCOL_VIOLATION);
        return None;
    }
    let hello = timeout_at(deadline, hello(&connection)).await;
    let (send, hello) = match hello {
        Ok(Ok((send, Ok(hello)))) => (send, hello),
        Ok(Ok((send, Err(error)))) => {
            let code = CloseCode::from(&error);
            match error {
                HelloError::Version { .. } => {
                    refuse(&server, &connection, send, No::because(code)).await;
                }
                HelloError::Malformed(_) => turn_away(&server, &connection, code),
            }
            return None;
        }
        Ok(Err(code)) => {
            turn_away(&server, &connection, code);
            return None;
        }
        Err(_) => {
            turn_away(&server, &connection, CloseCode::JOIN_TIMEOUT);
            return None;
        }
    };
    // A long hello takes a while to read, and another to compare: others have their turn between.
    tokio::task::yield_now().await;
    let admission = tokio::select! {
        admission = timeout_at(deadline, admit(&server, &connection, &hello)) => admission,
        // It need not be asked for when it has already gone.
        _ = connection.closed() => return None,
    };
    let admission = match admission {
        Ok(Ok(admission)) => admission,
        Ok(Err(no)) => {
            if no.code == CloseCode::INTERNAL {
                address.excuse();
            }
            refuse(&server, &connection, send, no).await;
            return None;
        }
        Err(_) => {
            let no = No::because(CloseCode::JOIN_TIMEOUT);
            refuse(&server, &connection, send, no).await;
            return None;
        }
    };
    if server.stopping.load(Ordering::Acquire) {
        refuse(&server, &connection, send, No::because(CloseCode::SHUTDOWN)).await;
        return None;
    }
    let Some(seat) = server.take_seat() else {
        let full = No {
            code: CloseCode::FULL,
            detail: format!("all {} places are taken", server.wiring.limits.max_players),
        };
        address.excuse();
        refuse(&server, &connection, send, full).await;
        return None;
    };
    drop(joining);
    let (present, link) =
        enter(&server, &connection, hub, send, hello, admission, deadline).await?;
    let driver = Driver::new(server.wiring.clone(), present.player.clone(), link.clone());
    Some(Box::new(Joined {
        present,
        driver: Box::new(driver),
        link,
        seat,
        address,
    }))
}

async fn hello(
    connection: &Connection,
) -> Result<(SendStream, Result<Hello, HelloError>), CloseCode> {
    let gone = |_| CloseCode::NONE;
    let (send, mut recv): (SendStream, RecvStream) = connection.accept_bi().await.map_err(gone)?;
    let bytes = recv
        .read_to_end(wire::MAX_HELLO_BYTES + wire::varint::MAX_LEN)
        .await;
    let bytes = bytes.map_err(|error| match error {
        quinn::ReadToEndError::TooLong => CloseCode::TOO_LARGE,
        quinn::ReadToEndError::Read(quinn::ReadError::Reset(_)) => CloseCode::PROTOCOL_VIOLATION,
        quinn::ReadToEndError::Read(_) => CloseCode::NONE,
    })?;
    // The end of a long one has just cost a turn of its own.
    tokio::task::yield_now().await;
    Ok((send, Hello::decode(bytes.into())))
}

async fn admit(
    server: &Arc<ServerInner>,
    connection: &Connection,
    hello: &Hello,
) -> Result<Admission, No> {
    match server
        .tokens
        .as_ref()
        .map(|tokens| tokens.judge(&hello.token))
    {
        None | Some(TokenVerdict::Good) => {}
        Some(TokenVerdict::Expired) => return Err(Refusal::ExpiredToken.into()),
        Some(TokenVerdict::Wrong) => return Err(Refusal::BadToken.into()),
    }
    let mut admission = match &server.authenticate {
        None => Admission::new(),
        Some(authenticate) => {
            let request = JoinRequest {
                name: hello.name.clone(),
                // A copy: a slice would keep the whole hello with it.
                token: Token(Bytes::copy_from_slice(&hello.token)),
                address: connection.remote_address(),
            };
            let hook =
                guarded(|| authenticate(request)).map_err(|_| No::because(CloseCode::INTERNAL))?;
            // On the program's runtime: the hook may ask a database, and must not stall the network.
            let mut task = AbortOnDrop(server.wiring.program.spawn(hook));
            match (&mut task.0).await {
                Ok(verdict) => verdict?,
                Err(error) => {
                    if error.is_panic() {
                        incident_of(&*error.into_panic());
                    }
                    return Err(No::because(CloseCode::INTERNAL));
                }
            }
        }
    };
    let name = admission.name.get_or_insert_with(|| hello.name.clone());
    if !player::is_name(name) {
        return Err(No {
            code: CloseCode::BAD_NAME,
            detail: player::NAME_RULE.into(),
        });
    }
    Ok(admission)
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes a player of whoever is admitted, and tells it so.
async fn enter(
    server: &Arc<ServerInner>,
    connection: &Connection,
    hub: Arc<Hub>,
    mut send: SendStream,
    hello: Hello,
    admission: Admission,
    deadline: Instant,
) -> Option<(Present, Arc<Link>)> {
    let wiring = &server.wiring;
    let limits = &wiring.limits;
    let id = server.next_player();
    let name = admission.name.unwrap_or_default();
    let name = if name.is_empty() {
        format!("Player{id}")
    } else {
        name
    };

    let thread = hub.thread();
    let link = Link::new(
        id,
        connection.clone(),
        Some(hub),
        thread,
        limits,
        limits.calls_in_flight,
        wiring.flush,
    );
    server
        .echo
        .open_for(&hello.remotes, &wiring.registry, limits.echo);
    tokio::task::yield_now().await;
    // As many as fit; the player is told of the others when it takes part in broadcasts.
    let mut remotes = wiring.registry.announcements(0);
    link.set_declared(&hello.remotes, &remotes).await;
    let mut room = wire::MAX_WELCOME_BYTES - ROOM_FOR_THE_REST;
    let fit = remotes.iter().take_while(|announcement| {
        let size = announcement.remote.name().len() + announcement.remote.shape().len();
        let fits = size + ANNOUNCEMENT_OVERHEAD <= room;
        room = room.saturating_sub(size + ANNOUNCEMENT_OVERHEAD);
        fits
    });
    remotes.truncate(fit.count());
    link.set_announced(remotes.last().map_or(0, |last| last.id));
    let bytes = |most: usize| u32::try_from(most).unwrap_or(u32::MAX);
    let welcome = Answer::Welcome(Welcome {
        player_id: id,
        name: name.clone(),
        remotes,
        limits: Limits {
            max_event_payload: bytes(limits.payload_from_client),
            max_call_payload: bytes(limits.payload_from_client),
            calls_in_flight: bytes(limits.calls_running + limits.calls_queued),
        },
        settings: server.settings.clone(),
    });
    let welcome = match welcome.encode() {
        Ok(welcome) => welcome,
        Err(error) => {
            tracing::error!(%error, "the welcome does not fit: too many remotes or settings");
            refuse(server, connection, send, No::because(CloseCode::INTERNAL)).await;
            return None;
        }
    };
    network::open_window(connection, limits);
    let player = Player::new(&name, admission.profile, link.clone(), server.clone());
    server.totals.joined.fetch_add(1, Ordering::Relaxed);
    server.enter(&player);
    let present = Present::new(server.clone(), player.clone());
    tracing::debug!(?player, "joined");
    for hook in server.added() {
        // Up to the first point at which it waits, it is over before the player's events begin.
        match guarded(|| hook(player.clone())) {
            Ok(Resolved::Now(Ok(()))) | Err(_) => {}
            Ok(Resolved::Now(Err(error))) => tracing::warn!(%error, "on_player_added failed"),
            Ok(Resolved::Later(future)) => {
                run_event_handler(wiring, None, future, "on_player_added")
            }
        }
    }
    // Remotes may have been added since the welcome was written, by the hooks for one.
    link.activate(|from| wiring.registry.announcements(from));
    // Among the players by now, it is also told of what is announced from here on.
    if let Some(next) = server.next_identity() {
        link.tell(&next);
    }
    // Last, so that a client that has joined takes part in everything.
    match timeout_at(deadline, send.write_all(&welcome)).await {
        Ok(Ok(())) => _ = send.finish(),
        // The connection is gone, which its task will find.
        Ok(Err(_)) => {}
        Err(_) => close(connection, CloseCode::JOIN_TIMEOUT),
    }
    Some((present, link))
}

/// A player among the others, who leaves exactly once, also when the connection's task is dropped.
struct Present {
    server: Arc<ServerInner>,
    player: Player,
    reason: DisconnectReason,
}

impl Present {
    fn new(server: Arc<ServerInner>, player: Player) -> Self {
        let reason = DisconnectReason::Lost {
            detail: "the connection's task ended".into(),
        };
        Self {
            server,
            player,
            reason,
        }
    }

    fn leave(mut self, reason: DisconnectReason) {
        self.reason = reason;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let Self {
            server,
            player,
            reason,
        } = self;
        // Its task may have ended before the driver's began: nobody else tells those who wait for it.
        player.link().abandon(reason.clone());
        for hook in server.removing() {
            let _ = guarded(|| hook(player.clone(), reason.clone()));
        }
        server.leave(player, reason);
        // A log is the program's code, and this may run because it panicked.
        let _ = guarded(|| tracing::debug!(?player, %reason, "left"));
    }
}

/// Tells the client why it is not let in, and waits until it knows.
async fn refuse(server: &ServerInner, connection: &Connection, mut send: SendStream, no: No) {
    let No { code, detail } = no;
    server.totals.refused(code);
    tracing::debug!(%code, detail, "a player was refused");
    let answer = Answer::Refused(Refused {
        code,
        detail,
        protocol: PROTOCOL_VERSION,
    });
    if let Ok(bytes) = answer.encode() {
        let told = pin!(async {
            if send.write_all(&bytes).await.is_ok() {
                let _ = send.finish();
                connection.closed().await;
            }
        });
        let _ = timeout(REFUSAL_GRACE, told).await;
    }
    close(connection, code);
}

fn turn_away(server: &ServerInner, connection: &Connection, code: CloseCode) {
    server.totals.refused(code);
    close(connection, code);
}

fn close(connection: &Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code.as_u32()), code.text().as_bytes());
}

/// Settings, at their longest, and the other fields of a welcome.
const ROOM_FOR_THE_REST: usize = 2 * wire::MAX_SETTINGS * (wire::MAX_SETTING_BYTES + 8) + 1024;
/// The id, the kind and two lengths.
const ANNOUNCEMENT_OVERHEAD: usize = 12;
/// The client has read a refusal well before this, or never will.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);
