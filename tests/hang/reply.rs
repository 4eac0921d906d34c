//! Replies that never come whole, and requests that never do.

use std::{
    future::{Future, IntoFuture},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use farfire::{Delivery, DisconnectReason, InvokeError, Stage, What};
use quinn::{Connection, RecvStream, SendStream, VarInt};

use crate::{
    raw::{Reply, Request, answer, ok, put_varint},
    sim::{
        ASK, BIG, NEWS, Sim, UNIT, abandon, at_once, client_of_raw, idle, in_time, ms, settle,
        timed, timed_out, until,
    },
};

/// Takes one call, and says `bytes` without ending the reply.
async fn half_reply(connection: &Connection, bytes: &[u8]) -> (SendStream, RecvStream) {
    let (mut send, mut recv) = connection.accept_bi().await.unwrap();
    recv.read_to_end(1 << 20).await.unwrap();
    send.write_all(bytes).await.unwrap();
    (send, recv)
}

/// H6: half a reply, then silence.
#[tokio::test(start_paused = true)]
async fn h06_half_a_reply_then_silence() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    for half in [&[1][..], &[1, 0, 1], &ok(0, &[7])] {
        let call = sim.server.invoke_client(&player, &ASK, &1).timeout(ms(800));
        let (result, (send, _recv)) = tokio::join!(timed(call), half_reply(&raw.connection, half));
        timed_out(&result, ms(800), Stage::Receive);
        let stopped = send.stopped().await.unwrap();
        assert_eq!(stopped, Some(VarInt::from_u32(0x11)), "CALLER_DEADLINE");
    }
    idle(&player.stats());
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// H7: one byte each second does not prolong anything.
#[tokio::test(start_paused = true)]
async fn h07_a_reply_in_drips() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    let drip = raw.connection.clone();
    let drip = tokio::spawn(async move {
        let mut reply = Vec::from([1, 0]);
        put_varint(&mut reply, 1000);
        let (mut send, _recv) = half_reply(&drip, &reply).await;
        let mut drops = 0;
        while send.write_all(&[0]).await.is_ok() {
            drops += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        drops
    });
    let call = sim
        .server
        .invoke_client(&player, &BIG, &Vec::new())
        .timeout(ms(5500));
    timed_out(&timed(call).await, ms(5500), Stage::Receive);
    assert!(drip.await.unwrap() >= 5, "it did drip");
    idle(&player.stats());
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// H7: nor does an endless reply cost more than its limit.
#[tokio::test(start_paused = true)]
async fn h07_an_endless_reply_is_cut_at_the_limit() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    let endless = raw.connection.clone();
    let endless = tokio::spawn(async move {
        let (mut send, _recv) = half_reply(&endless, &[1, 0]).await;
        while send.write_all(&[0; 10_000]).await.is_ok() {}
        send.stopped().await.unwrap()
    });
    let call = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(5000));
    let (result, took) = timed(call).await;
    let error = result.unwrap_err();
    let too_large = InvokeError::TooLarge {
        what: What::Response,
        limit: 64 * 1024,
    };
    assert_eq!(error, too_large);
    assert_eq!(error.delivery(), Delivery::Executed);
    at_once(took);
    let response_too_large = VarInt::from_u32(0x33);
    assert_eq!(endless.await.unwrap(), Some(response_too_large));
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// H8: alive, acknowledging, and never answering; it costs nobody else anything.
#[tokio::test(start_paused = true)]
async fn h08_alive_and_never_answering() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    let (honest, other) = sim.join().await;
    honest.on_client_invoke(&ASK, |n| n + 1);
    let silent = raw.connection.clone();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(silent.accept_bi().await.unwrap());
        }
    });
    for round in 0..10 {
        let calls = (0..32).map(|_| {
            let call = sim.server.invoke_client(&player, &ASK, &1).timeout(ms(250));
            tokio::spawn(timed(call))
        });
        let calls: Vec<_> = calls.collect();
        let (result, took) = timed(sim.server.invoke_client(&other, &ASK, &round)).await;
        assert_eq!(result, Ok(round + 1));
        at_once(took);
        for call in calls {
            let (result, took) = call.await.unwrap();
            // It holds on to every stream, and so it runs out of them in the end.
            let error = result.unwrap_err();
            let InvokeError::Timeout { stage, .. } = error else {
                panic!("{error:?}");
            };
            assert!(matches!(stage, Stage::Wait | Stage::Open), "{stage:?}");
            in_time(took, ms(250));
        }
        idle(&player.stats());
    }
    silent.abort();
    let _ = silent.await;
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// H15: what a caller gave up half way does not look complete to the callee, whatever it waited for.
#[tokio::test(start_paused = true)]
async fn h15_half_a_request_does_not_look_whole() {
    let sim = Sim::new();
    let tiny = VarInt::from_u32(1024);
    let (raw, player) = sim.raw(|raw| _ = raw.stream_receive_window(tiny)).await;
    // At `Send`: the rest never comes, and no end.
    let big = vec![7; 100_000];
    abandon(sim.server.invoke_client(&player, &BIG, &big), ms(100)).await;
    let (send, mut recv) = raw.connection.accept_bi().await.unwrap();
    let read = recv.read_to_end(usize::MAX).await;
    let cancelled = VarInt::from_u32(0x10);
    assert_eq!(
        read,
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(
            cancelled
        )))
    );
    assert_eq!(send.stopped().await.unwrap(), Some(cancelled));
    // At `Wait`: the request is there, and so is the wish to have no reply.
    abandon(sim.server.invoke_client(&player, &ASK, &1), ms(100)).await;
    let (send, mut recv) = raw.connection.accept_bi().await.unwrap();
    recv.read_to_end(1000).await.unwrap();
    assert_eq!(send.stopped().await.unwrap(), Some(cancelled));
    // At `Receive`, and never awaited at all.
    let call = sim.server.invoke_client(&player, &ASK, &1);
    let (_, (send, _recv)) =
        tokio::join!(abandon(call, ms(100)), half_reply(&raw.connection, &[1, 0]));
    assert_eq!(send.stopped().await.unwrap(), Some(cancelled));
    drop(sim.server.invoke_client(&player, &ASK, &1));
    settle().await;
    idle(&player.stats());
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// H15: dropped after every possible number of polls, a call has run entirely or not at all, and the
/// connection is none the worse.
#[tokio::test(start_paused = true)]
async fn h15_dropped_after_every_number_of_polls() {
    let sim = Sim::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let counts = ran.clone();
    let whole = vec![7; 60_000];
    let expected = whole.clone();
    sim.server.on_server_invoke(&BIG, move |_, args| {
        assert_eq!(args, expected, "half a request ran");
        counts.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    });
    let (client, player) = sim.join().await;
    for polls in 0..400 {
        let call = client.invoke_server(&BIG, &whole).into_future();
        let mut call = std::pin::pin!(call);
        // Turns of the runtime, not time: everything here happens at one instant.
        for _ in 0..polls {
            let mut cx = Context::from_waker(Waker::noop());
            if call.as_mut().poll(&mut cx).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(client.invoke_server(&BIG, &whole).await, Ok(Vec::new()));
    assert!(ran.load(Ordering::Relaxed) > 1, "some were whole");
    settle().await;
    idle(&client.stats());
    idle(&player.stats());
}

/// H15: what a raw caller ends half way never runs.
#[tokio::test(start_paused = true)]
async fn h15_half_a_request_never_runs() {
    let sim = Sim::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let counts = ran.clone();
    sim.server.on_server_invoke(&ASK, move |_, n| {
        counts.fetch_add(1, Ordering::Relaxed);
        n
    });
    let (raw, player) = sim.raw(|_| {}).await;
    let request = Request {
        function: raw.remotes["Ask"],
        millis: 1000,
        body: vec![7],
        ..Request::default()
    };
    let whole = request.encode();
    for cut in 0..whole.len() {
        let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
        send.write_all(&whole[..cut]).await.unwrap();
        send.finish().unwrap();
        let malformed = Reply::Reset(0x28);
        assert_eq!(crate::raw::read_reply(&mut recv).await, malformed);
        let (mut send, _recv) = raw.connection.open_bi().await.unwrap();
        send.write_all(&whole[..cut]).await.unwrap();
        settle().await;
        send.reset(VarInt::from_u32(0x10)).unwrap();
    }
    let mut longer = whole.clone();
    longer.push(0);
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&longer).await.unwrap();
    send.finish().unwrap();
    assert_eq!(crate::raw::read_reply(&mut recv).await, Reply::Reset(0x28));
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    assert_eq!(raw.ask(&request).await, Reply::Ok(vec![7]));
    settle().await;
    idle(&player.stats());
}

/// H16: nothing, or nearly nothing, is not `()`.
#[tokio::test(start_paused = true)]
async fn h16_an_empty_end_is_no_result() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    let call = async |reply: &[u8]| {
        let call = sim
            .server
            .invoke_client(&player, &UNIT, &())
            .timeout(ms(500));
        let reply = async {
            let (mut send, _recv) = half_reply(&raw.connection, reply).await;
            send.finish().unwrap();
            _ = send.stopped().await;
        };
        let ((result, took), ()) = tokio::join!(timed(call), reply);
        at_once(took);
        result
    };
    let nothing = call(&[]).await.unwrap_err();
    assert_eq!(nothing, InvokeError::Abandoned);
    assert_eq!(nothing.delivery(), Delivery::Unknown);
    for nearly in [
        &[1][..],
        &[1, 0],
        &[1, 0, 1],
        &[1, 0, 0, 0],
        &[0, 0, 0],
        &[4, 0, 0],
    ] {
        let error = call(nearly).await.unwrap_err();
        let undecodable = InvokeError::Decode {
            what: What::Response,
        };
        assert_eq!(error, undecodable, "{nearly:?}");
    }
    assert_eq!(call(&ok(0, &[])).await, Ok(()));
    // A stream that is merely dropped has no verdict either.
    let call = sim
        .server
        .invoke_client(&player, &UNIT, &())
        .timeout(ms(500));
    let (result, ()) = tokio::join!(call.into_future(), async {
        let (mut send, _recv) = half_reply(&raw.connection, &[1]).await;
        send.reset(VarInt::from_u32(0)).unwrap();
    });
    assert_eq!(result, Err(InvokeError::Abandoned));
    idle(&player.stats());
}

/// H17: a reply that comes "after" events which never come.
#[tokio::test(start_paused = true)]
async fn h17_a_reply_behind_events_that_never_come() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    let call = sim.server.invoke_client(&player, &ASK, &1).timeout(ms(600));
    let (result, ()) = tokio::join!(timed(call), async {
        let (mut send, _recv) = half_reply(&raw.connection, &ok(5, &[7])).await;
        send.finish().unwrap();
    });
    timed_out(&result, ms(600), Stage::Barrier);
    idle(&player.stats());
    raw.answer(&[7]);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(7));
}

/// H17: requests that come "after" events which never come; their places come back.
#[tokio::test(start_paused = true)]
async fn h17_requests_behind_events_that_never_come() {
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, n| n);
    let (raw, player) = sim.raw(|_| {}).await;
    let mut request = Request {
        function: raw.remotes["Ask"],
        millis: 300,
        barrier: 1 << 32,
        body: vec![7],
    };
    for _ in 0..20 {
        let calls = (0..48).map(|_| raw.ask(&request));
        let (replies, took) = timed(futures_util::future::join_all(calls)).await;
        assert_eq!(
            replies,
            [const { Reply::System(0x30) }; 48],
            "CALLEE_DEADLINE"
        );
        assert!(took >= ms(300) && took < ms(400), "{took:?}");
    }
    idle(&player.stats());
    request.barrier = 0;
    assert_eq!(raw.ask(&request).await, Reply::Ok(vec![7]));
    // A barrier that no events can explain costs the connection.
    request.barrier = (1 << 32) + 1;
    let (_send, _recv) = raw.call(&request).await;
    let left = player.left().await;
    assert!(
        matches!(left, DisconnectReason::Violation { .. }),
        "{left:?}"
    );
}

/// H17: and so does a reply's; the call hears of it at once.
#[tokio::test(start_paused = true)]
async fn h17_an_impossible_barrier_ends_the_connection() {
    let sim = Sim::new();
    let (raw, player) = sim.raw(|_| {}).await;
    let call = sim.server.invoke_client(&player, &ASK, &1).timeout(ms(600));
    let (result, ()) = tokio::join!(timed(call), async {
        let (mut send, _recv) = half_reply(&raw.connection, &ok(u64::MAX, &[7])).await;
        send.finish().unwrap();
    });
    let error = result.0.unwrap_err();
    assert!(matches!(error, InvokeError::Protocol { .. }), "{error:?}");
    assert_eq!(error.delivery(), Delivery::Unknown);
    at_once(result.1);
    player.left().await;
}

/// H17, honestly: the barrier is reached while the caller waits.
#[tokio::test(start_paused = true)]
async fn h17_a_late_event_lets_the_call_through() {
    let net = farfire::testing::SimNet::new();
    let (client, server, _raw) = client_of_raw(&net, |_| {}).await;
    answer(&server, &[7]);
    assert_eq!(client.invoke_server(&ASK, &1).await, Ok(7));
    let sim = Sim::new();
    sim.server.on_server_event(&NEWS, |_, _| {});
    sim.server.on_server_invoke(&ASK, |_, n| n);
    let (raw, player) = sim.raw(|_| {}).await;
    let request = Request {
        function: raw.remotes["Ask"],
        millis: 5000,
        barrier: 2,
        body: vec![7],
    };
    let event = [2, raw.remotes["News"] as u8, 1];
    let mut lane = raw.connection.open_uni().await.unwrap();
    lane.write_all(&[1, 0]).await.unwrap();
    lane.write_all(&event).await.unwrap();
    let ((reply, took), ()) = tokio::join!(timed(raw.ask(&request)), async {
        tokio::time::sleep(ms(1000)).await;
        lane.write_all(&event).await.unwrap();
    });
    assert_eq!(reply, Reply::Ok(vec![7]));
    assert!(took >= ms(1000) && took < ms(1100), "{took:?}");
    until(ms(100), || player.stats().serving_calls == 0).await;
}
