//! Peers that do not let a call through: no permit, no stream, no room, nobody there.

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use farfire::{
    BusyScope, CloseCode, Delivery, DisconnectReason, DropCause, InvokeError, Limits, RemoteEvent,
    Stage,
};
use quinn::VarInt;

use crate::{
    raw::answer,
    sim::{ASK, BIG, NEWS, Sim, at_once, client_of_raw, idle, ms, settle, timed, timed_out, until},
};

/// H1: every permit is taken. Those in line end by their own deadlines, one more is refused, and none of
/// them is ever sent, since that is what they were told.
#[tokio::test(start_paused = true)]
async fn h01_calls_in_line_end_by_their_own_deadlines_and_are_never_sent() {
    let mut limits = Limits::default();
    (limits.calls_in_flight, limits.calls_waiting) = (3, 3);
    let sim = Sim::with(|server| server.limits(limits));
    let (raw, player) = sim.raw(|_| {}).await;
    let call = |timeout| {
        let call = sim
            .server
            .invoke_client(&player, &ASK, &1)
            .timeout(ms(timeout));
        tokio::spawn(timed(call))
    };
    let in_flight: Vec<_> = (0..3).map(|_| call(1000)).collect();
    settle().await;
    let in_line: Vec<_> = (0..3).map(|_| call(500)).collect();
    settle().await;
    assert_eq!(player.stats().queued_calls, 3);
    let (refused, took) = timed(sim.server.invoke_client(&player, &ASK, &2)).await;
    let busy = InvokeError::Busy {
        scope: BusyScope::LocalQueue,
        retry_after: None,
    };
    assert_eq!(refused, Err(busy.clone()));
    assert_eq!(busy.delivery(), Delivery::NotSent);
    at_once(took);
    for call in in_line {
        timed_out(&call.await.unwrap(), ms(500), Stage::Admit);
    }
    assert_eq!(player.stats().queued_calls, 0, "their places are free");
    for call in in_flight {
        timed_out(&call.await.unwrap(), ms(1000), Stage::Wait);
    }
    idle(&player.stats());
    let honest = sim.server.invoke_client(&player, &ASK, &9).into_future();
    let honest = tokio::spawn(honest);
    let mut arrived = Vec::new();
    while arrived.last() != Some(&9) {
        let (mut send, mut recv) = raw.connection.accept_bi().await.unwrap();
        let request = recv.read_to_end(1000).await.unwrap();
        arrived.push(request[request.len() - 1]);
        let _ = send.write_all(&crate::raw::ok(0, &[7])).await;
        let _ = send.finish();
    }
    assert_eq!(arrived, [1, 1, 1, 9]);
    assert_eq!(honest.await.unwrap(), Ok(7));
}

/// H1: a call for which there is no room may be the first to take a broadcast out of the log: it leaves all the same.
#[tokio::test(start_paused = true)]
async fn h01_a_full_line_of_calls_keeps_no_broadcast_back() {
    let sim = Sim::with(|server| {
        let mut limits = Limits::default();
        (limits.calls_in_flight, limits.calls_waiting) = (1, 1);
        server.limits(limits)
    });
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |_| std::future::pending::<u32>());
    let heard = Arc::new(AtomicUsize::new(0));
    let counts = heard.clone();
    client.on_client_event(&NEWS, move |_| _ = counts.fetch_add(1, Ordering::Relaxed));
    let ask = |n| sim.server.invoke_client(&player, &ASK, &n).into_future();
    let under_way = tokio::spawn(ask(1));
    settle().await;
    let in_line = tokio::spawn(ask(2));
    settle().await;
    assert_eq!(player.stats().queued_calls, 1);
    for round in 1..20 {
        sim.server.fire_all_clients(&NEWS, &1).unwrap();
        let refused = ask(3).await;
        assert!(
            matches!(refused, Err(InvokeError::Busy { .. })),
            "{refused:?}"
        );
        until(ms(60), || heard.load(Ordering::Relaxed) == round).await;
    }
    drop((under_way, in_line));
}

/// H1: those who wait in line without a result hold nobody up when they are dropped.
#[tokio::test(start_paused = true)]
async fn h01_a_dropped_call_leaves_the_line() {
    let mut limits = Limits::default();
    (limits.calls_in_flight, limits.calls_waiting) = (1, 2);
    let sim = Sim::with(|server| server.limits(limits));
    let (_raw, player) = sim.raw(|_| {}).await;
    let deaf = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    let deaf = tokio::spawn(timed(deaf));
    settle().await;
    for _ in 0..100 {
        crate::sim::abandon(sim.server.invoke_client(&player, &ASK, &2), ms(5)).await;
        assert_eq!(player.stats().queued_calls, 0);
    }
    deaf.abort();
}

/// H2: the peer grants no streams.
#[tokio::test(start_paused = true)]
async fn h02_no_stream_credit() {
    let sim = Sim::new();
    let none = VarInt::from_u32(0);
    let (raw, player) = sim
        .raw(|raw| _ = raw.max_concurrent_bidi_streams(none))
        .await;
    let call = || sim.server.invoke_client(&player, &ASK, &1).timeout(ms(700));
    timed_out(&timed(call()).await, ms(700), Stage::Open);
    idle(&player.stats());
    raw.connection
        .set_max_concurrent_bi_streams(VarInt::from_u32(10));
    raw.answer(&[7]);
    assert_eq!(call().await, Ok(7));
}

/// H2, from the client's side.
#[tokio::test(start_paused = true)]
async fn h02_no_stream_credit_from_a_server() {
    let net = farfire::testing::SimNet::new();
    // One for the hello, which a server must grant.
    let one = VarInt::from_u32(1);
    let (client, server, _raw) = client_of_raw(&net, |raw| {
        raw.max_concurrent_bidi_streams(one);
    })
    .await;
    // It never comes back: the peer holds on to the stream of a first call.
    let (first, held) = tokio::join!(
        timed(client.invoke_server(&ASK, &1).timeout(ms(300))),
        server.accept_bi()
    );
    timed_out(&first, ms(300), Stage::Wait);
    let call = || client.invoke_server(&ASK, &1).timeout(ms(700));
    timed_out(&timed(call()).await, ms(700), Stage::Open);
    idle(&client.stats());
    drop(held);
    answer(&server, &[7]);
    assert_eq!(call().await, Ok(7));
}

/// H3: the peer takes the stream and reads nothing of it.
#[tokio::test(start_paused = true)]
async fn h03_no_flow_control_credit() {
    let sim = Sim::new();
    let tiny = VarInt::from_u32(1024);
    let (raw, player) = sim.raw(|raw| _ = raw.stream_receive_window(tiny)).await;
    let big = vec![7; 1_000_000];
    let call = sim
        .server
        .invoke_client(&player, &BIG, &big)
        .timeout(ms(900));
    let (result, stream) = tokio::join!(timed(call), raw.connection.accept_bi());
    timed_out(&result, ms(900), Stage::Send);
    idle(&player.stats());
    let (_send, mut recv) = stream.unwrap();
    let read = recv.read_to_end(usize::MAX).await;
    let Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) = read else {
        panic!("half a request ended well: {read:?}");
    };
    assert_eq!(code, VarInt::from_u32(0x11), "CALLER_DEADLINE");
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// H3: nor of any other stream; the whole connection has no room.
#[tokio::test(start_paused = true)]
async fn h03_no_flow_control_credit_on_the_connection() {
    let sim = Sim::new();
    let (raw, player) = sim
        .raw(|raw| _ = raw.receive_window(VarInt::from_u32(2048)))
        .await;
    let big = vec![7; 1_000_000];
    let calls = (0..5).map(|_| {
        let call = sim
            .server
            .invoke_client(&player, &BIG, &big)
            .timeout(ms(900));
        tokio::spawn(timed(call))
    });
    for call in calls.collect::<Vec<_>>() {
        timed_out(&call.await.unwrap(), ms(900), Stage::Send);
    }
    idle(&player.stats());
    // Reading what was reset gives the room back.
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// Not a call, but as stuck: an event of which the peer wants no more. It is not left in the queue, to take up
/// its room for as long as the peer likes.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_stopped_half_way_ends_its_connection_and_is_accounted_for() {
    const LOOSE: RemoteEvent<Vec<u8>> = RemoteEvent::new("Loose").unordered();
    let sim = Sim::with(|server| server.remotes(&[&LOOSE]));
    let tiny = VarInt::from_u32(1024);
    let (raw, player) = sim.raw(|raw| _ = raw.stream_receive_window(tiny)).await;
    let server = &sim.server;
    server
        .fire_client(&player, &LOOSE, &vec![7; 100_000])
        .unwrap();
    let mut stream = raw.connection.accept_uni().await.unwrap();
    stream.stop(VarInt::from_u32(0)).unwrap();
    let (reason, took) = timed(player.left()).await;
    let code = CloseCode::PROTOCOL_VIOLATION;
    assert_eq!(reason, DisconnectReason::Violation { code });
    at_once(took);
    let stats = player.stats();
    let loose = stats.remotes.iter().find(|stats| stats.remote == "Loose");
    let loose = loose.unwrap();
    assert!(loose.is_balanced(), "{loose:?}");
    assert_eq!((loose.accepted, loose.queued, loose.sent), (1, 0, 0));
    assert_eq!(loose.unsent, [(DropCause::ConnectionEnded, 1)]);
}

/// H4: nobody accepts streams.
#[tokio::test(start_paused = true)]
async fn h04_nobody_accepts_the_stream() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    for _ in 0..150 {
        let call = sim.server.invoke_client(&player, &ASK, &1).timeout(ms(100));
        timed_out(&timed(call).await, ms(100), Stage::Wait);
    }
    idle(&player.stats());
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
    assert!(player.is_connected());
}

/// H4, from the client's side.
#[tokio::test(start_paused = true)]
async fn h04_no_server_accepts_the_stream() {
    let net = farfire::testing::SimNet::new();
    let (client, server, _raw) = client_of_raw(&net, |_| {}).await;
    let call = || client.invoke_server(&ASK, &1).timeout(ms(400));
    timed_out(&timed(call()).await, ms(400), Stage::Wait);
    idle(&client.stats());
    answer(&server, &[7]);
    assert_eq!(call().await, Ok(7));
}
