//! Durations nobody should ask for, and clocks that are not the call's.

use std::{
    future::IntoFuture,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use farfire::{
    Client, ConnectError, InvokeError, Server, Stage, StartError, Timeouts,
    tls::{Identity, Trust},
};

use crate::{
    raw::{Place, RawClient, Reply, Request},
    sim::{ASK, Sim, UNIT, client_of_raw, in_time, ms, timed, timed_out},
};

/// H10: no configuration switches a bound off.
#[tokio::test]
async fn h10_no_timeout_can_be_switched_off() {
    let set: [fn(&mut Timeouts, Duration); 8] = [
        |timeouts, value| timeouts.idle = value,
        |timeouts, value| timeouts.keep_alive = value,
        |timeouts, value| timeouts.invoke_server = value,
        |timeouts, value| timeouts.invoke_client = value,
        |timeouts, value| timeouts.call_max = value,
        |timeouts, value| timeouts.request_read = value,
        |timeouts, value| timeouts.reply_write = value,
        |timeouts, value| timeouts.leave = value,
    ];
    for set in set {
        for value in [Duration::ZERO, Duration::from_secs(601), Duration::MAX] {
            let mut timeouts = Timeouts::default();
            set(&mut timeouts, value);
            let identity = Identity::self_signed(["sim"]).unwrap();
            let started = Server::builder("127.0.0.1:0", identity)
                .timeouts(timeouts.clone())
                .start();
            assert!(
                matches!(started, Err(StartError::Config(_))),
                "{timeouts:?}"
            );
            let joined = Client::builder("127.0.0.1:1", Trust::pinned([]))
                .timeouts(timeouts.clone())
                .connect()
                .await;
            assert!(
                matches!(joined, Err(ConnectError::Config(_))),
                "{timeouts:?}"
            );
        }
    }
}

/// H5: what a call waits for by itself is its side's own, whatever else of the timeouts is set.
#[tokio::test(start_paused = true)]
async fn h05_setting_one_timeout_changes_no_other() {
    let mut timeouts = Timeouts::default();
    timeouts.idle = Duration::from_secs(60);
    let sim = Sim::with(|server| server.timeouts(timeouts.clone()));
    let client = sim.client(None).timeouts(timeouts.clone());
    let client = client.connect().await.unwrap();
    let player = sim.server.players().remove(0);
    sim.server
        .on_server_invoke(&UNIT, |_, ()| std::future::pending::<()>());
    client.on_client_invoke(&UNIT, |()| std::future::pending::<()>());
    let to_client = timed(sim.server.invoke_client(&player, &UNIT, &())).await;
    timed_out(&to_client, ms(5000), Stage::Wait);
    let to_server = timed(client.invoke_server(&UNIT, &())).await;
    timed_out(&to_server, ms(10_000), Stage::Wait);

    timeouts.invoke_client = ms(700);
    let sim = Sim::with(|server| server.timeouts(timeouts));
    let (client, player) = sim.join().await;
    client.on_client_invoke(&UNIT, |()| std::future::pending::<()>());
    let to_client = timed(sim.server.invoke_client(&player, &UNIT, &())).await;
    timed_out(&to_client, ms(700), Stage::Wait);
}

/// H25: any duration is held between a millisecond and the longest allowed, and then kept.
#[tokio::test(start_paused = true)]
async fn h25_any_duration_is_clamped_and_kept() {
    let sim = Sim::new();
    let (_raw, player) = sim.raw(|_| {}).await;
    let mut silly = vec![
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::MAX,
        Duration::from_secs(1 << 40),
        Duration::from_millis(1 << 36),
        Duration::from_secs(60) + Duration::from_nanos(1),
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..100 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        silly.push(Duration::from_nanos(random >> (random % 64)));
    }
    for duration in silly {
        let call = sim
            .server
            .invoke_client(&player, &ASK, &1)
            .timeout(duration);
        let (result, took) = timed(call).await;
        assert!(
            matches!(result, Err(InvokeError::Timeout { .. })),
            "{result:?}"
        );
        in_time(took, duration.clamp(ms(1), ms(60_000)));
    }
}

/// H25: nor does a peer's idea of a deadline stretch a call, or overflow a clock.
#[tokio::test(start_paused = true)]
async fn h25_a_peers_deadline_is_capped() {
    let sim = Sim::new();
    sim.server
        .on_server_invoke(&ASK, |_, _| std::future::pending::<u32>());
    let (raw, player) = sim.raw(|_| {}).await;
    let mut request = Request {
        function: raw.remotes["Ask"],
        millis: u64::from(u32::MAX),
        body: vec![7],
        ..Request::default()
    };
    let (reply, took) = timed(raw.ask(&request)).await;
    assert_eq!(reply, Reply::System(0x30), "CALLEE_DEADLINE");
    assert!(took >= ms(60_000) && took < ms(60_100), "{took:?}");
    // Whose time is up already is not run at all.
    let ran = Arc::new(AtomicBool::new(false));
    let runs = ran.clone();
    sim.server
        .on_server_invoke(&UNIT, move |_, ()| runs.store(true, Ordering::Relaxed));
    let unit = Request {
        function: raw.remotes["Unit"],
        ..Request::default()
    };
    assert_eq!(raw.ask(&unit).await, Reply::System(0x30));
    assert!(!ran.load(Ordering::Relaxed));
    request.millis = 1 << 40;
    assert_eq!(raw.ask(&request).await, Reply::Reset(0x28), "malformed");
    assert!(player.is_connected());
}

/// H25: a caller whose own runtime has a paused clock still has its deadline in real time.
#[tokio::test(start_paused = true)]
async fn h25_the_callers_clock_does_not_matter() {
    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = Server::builder("127.0.0.1:0", identity)
        .remotes(&[&ASK])
        .start()
        .unwrap();
    let address = server.local_addr();
    // A raw peer on a runtime of its own, whose clock runs.
    let (send, joined) = tokio::sync::oneshot::channel();
    let peer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let raw = RawClient::join(Place::Loopback, address, |_| {}).await;
            send.send(()).unwrap();
            raw.connection.closed().await;
        });
    });
    joined.await.unwrap();
    let player = server.players().remove(0);
    // Ahead of the real clock by an hour, then standing still.
    tokio::time::advance(Duration::from_secs(3600)).await;
    for _ in 0..2 {
        let call = server.invoke_client(&player, &ASK, &1).timeout(ms(300));
        let mut call = call.into_future();
        let began = std::time::Instant::now();
        // Without a timer of this runtime, whose clock would jump to it.
        let mut cx = Context::from_waker(Waker::noop());
        let result = loop {
            if let Poll::Ready(result) = call.as_mut().poll(&mut cx) {
                break result;
            }
            assert!(began.elapsed() < ms(20_000), "it hangs");
            std::thread::sleep(ms(1));
        };
        let took = began.elapsed();
        assert!(
            matches!(result, Err(InvokeError::Timeout { .. })),
            "{result:?}"
        );
        assert!(took >= ms(300) && took < ms(5000), "{took:?}");
    }
    player.kick("that is all");
    peer.join().unwrap();
}

/// A callee cannot make a call end later than its caller wants, nor in the wrong way.
#[tokio::test(start_paused = true)]
async fn h25_the_deadline_is_the_callers_on_both_sides() {
    let net = farfire::testing::SimNet::new();
    let (client, server, _raw) = client_of_raw(&net, |_| {}).await;
    let call = client.invoke_server(&ASK, &1).timeout(ms(1234));
    let (result, stream) = tokio::join!(timed(call), server.accept_bi());
    timed_out(&result, ms(1234), Stage::Wait);
    let (_send, mut recv) = stream.unwrap();
    let request = recv.read_to_end(1000).await.unwrap();
    let expected = Request {
        function: 1,
        millis: 1234,
        body: vec![1],
        ..Request::default()
    };
    assert_eq!(request, expected.encode());
}
