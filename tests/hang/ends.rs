//! Connections that end, and those that never begin, while somebody waits.

use std::{
    future::IntoFuture,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use farfire::{
    Admission, Client, ConnectError, Delivery, DisconnectReason, InvokeError, Refusal, Stage,
    testing::SimNet, tls::Trust,
};
use quinn::VarInt;

use crate::{
    raw::{Place, RawServer, connect},
    sim::{ASK, SERVER, Sim, at_once, idle, in_time, ms, settle, timed, until},
    states::{STAGES, Stuck, one_at_a_time},
};

/// H13: the peer closes, whatever its call is waiting for.
#[tokio::test(start_paused = true)]
async fn h13_a_close_ends_a_call_at_once_in_every_state() {
    for stage in STAGES {
        let sim = one_at_a_time();
        let stuck = Stuck::at(&sim, stage).await;
        let closed = tokio::time::Instant::now();
        stuck.raw.connection.close(VarInt::from_u32(0x100), b"");
        let (result, _) = stuck.call.await.unwrap();
        at_once(closed.elapsed());
        let error = result.unwrap_err();
        let left = InvokeError::Disconnected {
            stage,
            reason: DisconnectReason::Left,
        };
        assert_eq!(error, left);
        let delivery = match stage {
            Stage::Admit | Stage::Open | Stage::Send => Delivery::NotSent,
            _ => Delivery::Unknown,
        };
        assert_eq!(error.delivery(), delivery, "{stage:?}");
        assert_eq!(stuck.player.left().await, DisconnectReason::Left);
        idle(&stuck.player.stats());
        let (after, took) = timed(sim.server.invoke_client(&stuck.player, &ASK, &1)).await;
        let gone = InvokeError::Disconnected {
            stage: Stage::Admit,
            reason: DisconnectReason::Left,
        };
        assert_eq!(after, Err(gone));
        at_once(took);
    }
}

/// H13: a kick is an end like any other.
#[tokio::test(start_paused = true)]
async fn h13_a_kick_ends_a_call_in_every_state() {
    for stage in STAGES {
        let sim = one_at_a_time();
        let stuck = Stuck::at(&sim, stage).await;
        let kicked = tokio::time::Instant::now();
        stuck.player.kick("enough");
        let reason = DisconnectReason::Kicked {
            message: "enough".into(),
        };
        // Nothing new is accepted, and it is told the truth about why.
        let (refused, took) = timed(sim.server.invoke_client(&stuck.player, &ASK, &1)).await;
        at_once(took);
        let admit = InvokeError::Disconnected {
            stage: Stage::Admit,
            reason: reason.clone(),
        };
        assert_eq!(refused, Err(admit));
        let (result, _) = stuck.call.await.unwrap();
        // The raw peer ignores the goodbye, so all of the grace is used.
        assert!(kicked.elapsed() <= ms(1010), "{:?}", kicked.elapsed());
        assert_eq!(result, Err(InvokeError::Disconnected { stage, reason }));
        idle(&stuck.player.stats());
    }
}

/// H23: a player that comes back is a new one, and old calls do not follow it.
#[tokio::test(start_paused = true)]
async fn h23_pending_calls_fail_and_never_migrate() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    let call = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    let call = tokio::spawn(timed(call));
    settle().await;
    raw.connection.close(VarInt::from_u32(0x100), b"");
    let (again, new) = sim.raw(|_| {}).await;
    assert_ne!(player, new);
    let (result, took) = call.await.unwrap();
    let left = InvokeError::Disconnected {
        stage: Stage::Wait,
        reason: DisconnectReason::Left,
    };
    assert_eq!(result, Err(left));
    assert!(took <= ms(200), "{took:?}");
    let nothing = tokio::time::timeout(ms(3000), again.connection.accept_bi()).await;
    assert!(nothing.is_err(), "a call has followed");
    again.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&new, &ASK, &1).await, Ok(7));
}

/// H24: authentication that never decides.
#[tokio::test(start_paused = true)]
async fn h24_stalled_authentication() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    let sim = Sim::with(|server| {
        server.authenticate(move |join| {
            let stall = join.token.as_bytes() == b"stall";
            counts.fetch_add(1, Ordering::Relaxed);
            async move {
                if stall {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Refusal>(Admission::new())
            }
        })
    });
    let (result, took) = timed(sim.client(None).token("stall").connect()).await;
    assert!(
        matches!(result, Err(ConnectError::JoinTimeout)),
        "{result:?}"
    );
    in_time(took, Duration::from_secs(5));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    until(ms(1100), || sim.server.stats().joining == 0).await;
    assert!(sim.server.players().is_empty());
    // Dropped while it stalls, it leaves nothing behind either.
    crate::sim::abandon(sim.client(None).token("stall").connect(), ms(500)).await;
    until(ms(100), || sim.server.stats().joining == 0).await;
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |n| n + 1);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(2));
}

/// H24: servers that do not answer, at each step of joining.
#[tokio::test(start_paused = true)]
async fn h24_a_server_that_does_not_answer() {
    let five = Duration::from_secs(5);
    let net = SimNet::new();
    let raw = RawServer::start(Place::Memory(&net, SERVER.parse().unwrap()), |_| {});
    let join = || {
        let client = Client::builder(SERVER, Trust::pinned([raw.pin]));
        client.network(&net.network(None)).connect()
    };
    // No answer to the hello.
    let ((result, took), _held) = tokio::join!(timed(join()), raw.meet());
    assert!(
        matches!(result, Err(ConnectError::JoinTimeout)),
        "{result:?}"
    );
    in_time(took, five);
    // Half an answer.
    let ((result, took), _held) = tokio::join!(timed(join()), async {
        let (connection, mut send) = raw.meet().await;
        send.write_all(&[200, 1, 1]).await.unwrap();
        (connection, send)
    });
    assert!(
        matches!(result, Err(ConnectError::JoinTimeout)),
        "{result:?}"
    );
    in_time(took, five);
    // No handshake.
    let dumb: SocketAddr = "10.0.0.2:4433".parse().unwrap();
    let _socket = net.raw_socket(dumb, None).unwrap();
    let client = Client::builder(dumb.to_string(), Trust::pinned([raw.pin]));
    let (result, took) = timed(client.network(&net.network(None)).connect()).await;
    assert!(
        matches!(result, Err(ConnectError::Unreachable { .. })),
        "{result:?}"
    );
    in_time(took, five);
}

/// H24: clients that do not say hello keep nothing for longer than the join timeout.
#[tokio::test(start_paused = true)]
async fn h24_a_client_that_does_not_say_hello() {
    let sim = Sim::new();
    let place = Place::Memory(&sim.net, SocketAddr::from(([10, 0, 3, 1], 5000)));
    let (_endpoint, connection) = connect(place, SERVER.parse().unwrap(), |_| {}).await;
    settle().await;
    assert_eq!(sim.server.stats().joining, 1);
    let (reason, took) = timed(connection.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(close) = reason else {
        panic!("{reason}");
    };
    assert_eq!(close.error_code, VarInt::from_u32(0x109), "JOIN_TIMEOUT");
    assert!(took <= Duration::from_secs(5), "{took:?}");
    assert_eq!(sim.server.stats().joining, 0);
}

/// H28: calls to many wait for nobody who has left.
#[tokio::test(start_paused = true)]
async fn h28_a_gather_does_not_wait_for_leavers() {
    let sim = Sim::new();
    let (honest, _) = sim.join().await;
    honest.on_client_invoke(&ASK, |n| n + 1);
    let (leaver, leaving) = sim.raw(|_| {}).await;
    let (_deaf, silent) = sim.raw(|_| {}).await;
    let (gone, left) = sim.raw(|_| {}).await;
    gone.connection.close(VarInt::from_u32(0x100), b"");
    left.left().await;
    let mut players = sim.server.players();
    players.push(left.clone());
    let began = tokio::time::Instant::now();
    let mut gather = sim.server.invoke_clients(&players, &ASK, &1);
    tokio::spawn(async move {
        tokio::time::sleep(ms(1000)).await;
        leaver.connection.close(VarInt::from_u32(0x100), b"");
    });
    let mut outcomes = Vec::new();
    while let Some((player, outcome)) = gather.next().await {
        outcomes.push((player, outcome, began.elapsed()));
    }
    assert_eq!(outcomes.len(), 4);
    for (player, outcome, took) in outcomes {
        if player == leaving {
            let stage = Stage::Wait;
            let reason = DisconnectReason::Left;
            assert_eq!(outcome, Err(InvokeError::Disconnected { stage, reason }));
            assert!(took >= ms(1000) && took < ms(1100), "{took:?}");
        } else if player == left {
            let stage = Stage::Admit;
            let reason = DisconnectReason::Left;
            assert_eq!(outcome, Err(InvokeError::Disconnected { stage, reason }));
            at_once(took);
        } else if player == silent {
            // The default for calls to a client.
            crate::sim::timed_out(&(outcome, took), ms(5000), Stage::Wait);
        } else {
            assert_eq!(outcome, Ok(2));
            at_once(took);
        }
    }
    // Dropped half way, it leaves nothing behind.
    let players = sim.server.players();
    let gather = sim.server.invoke_clients(&players, &ASK, &1);
    crate::sim::abandon(
        async move {
            let mut gather = gather;
            while gather.next().await.is_some() {}
        },
        ms(100),
    )
    .await;
    settle().await;
    players.iter().for_each(|player| idle(&player.stats()));
    let again = sim
        .server
        .invoke_client(&players[0], &ASK, &4)
        .into_future();
    assert_eq!(again.await, Ok(5));
}
