//! Clients that open, hold and reset calls as fast as they can.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use quinn::VarInt;

use crate::{
    raw::{RawClient, Reply, Request, read_reply},
    sim::{ASK, BIG, Sim, at_once, idle, ms, settle, timed, until},
};

/// H20: requests that never come whole take a player's own places, for a while, and nothing else.
#[tokio::test(start_paused = true)]
async fn h20_requests_in_drips() {
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, n| n + 1);
    let (raw, player) = sim.raw(|_| {}).await;
    let (other, _) = sim.join().await;
    let request = ask(&raw, 1);
    let mut drips = Vec::new();
    for _ in 0..47 {
        let (mut send, recv) = raw.connection.open_bi().await.unwrap();
        send.write_all(&[1]).await.unwrap();
        drips.push((send, recv));
    }
    settle().await;
    assert_eq!(player.stats().serving_calls, 47);
    // Each is read by itself: the forty-eighth is answered. With another drip, it is not.
    let (reply, took) = timed(raw.ask(&request)).await;
    assert_eq!(reply, Reply::Ok(vec![2]));
    at_once(took);
    let (mut send, recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&[1]).await.unwrap();
    drips.push((send, recv));
    settle().await;
    for _ in 0..16 {
        let (reply, took) = timed(raw.ask(&request)).await;
        assert_eq!(reply, Reply::Reset(0x20), "BUSY");
        at_once(took);
    }
    let (result, took) = timed(other.invoke_server(&ASK, &1)).await;
    assert_eq!(result, Ok(2));
    at_once(took);
    // More drips gain no time.
    for _ in 0..5 {
        tokio::time::sleep(ms(900)).await;
        for (send, _) in &mut drips {
            let _ = send.write_all(&[0]).await;
        }
    }
    let mut took = Duration::ZERO;
    for (_, recv) in &mut drips {
        let (reply, waited) = timed(read_reply(recv)).await;
        // The drips are no request either way; which is found first does not matter.
        assert_eq!(reply, Reply::Reset(0x29), "REQUEST_STALLED");
        took += waited;
    }
    assert!(took < ms(700), "{took:?}");
    settle().await;
    idle(&player.stats());
    assert_eq!(raw.ask(&request).await, Reply::Ok(vec![2]));
    assert!(player.is_connected());
}

/// H21: replies that nobody reads are given up, and so are their places.
#[tokio::test(start_paused = true)]
async fn h21_replies_that_nobody_reads() {
    let sim = Sim::new();
    sim.server
        .on_server_invoke(&BIG, |_, args| vec![7; 1000 * usize::from(args[0])]);
    sim.server.on_server_invoke(&ASK, |_, n| n + 1);
    let tiny = VarInt::from_u32(1024);
    let (raw, player) = sim.raw(|raw| _ = raw.stream_receive_window(tiny)).await;
    let (other, _) = sim.join().await;
    let request = Request {
        function: raw.remotes["Big"],
        millis: 1000,
        body: vec![1, 200],
        ..Request::default()
    };
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    for _ in 0..10 {
        let mut unread = Vec::new();
        for _ in 0..48 {
            unread.push(raw.call(&request).await);
        }
        settle().await;
        assert_eq!(player.stats().serving_calls, 48);
        assert_eq!(raw.ask(&ask(&raw, 1)).await, Reply::Reset(0x20), "BUSY");
        assert_eq!(other.invoke_server(&ASK, &1).await, Ok(2));
        let took = until(ms(6000), || player.stats().serving_calls == 0).await;
        assert!(took < ms(5100), "{took:?}");
        for (_, recv) in &mut unread {
            let reply = read_reply(recv).await;
            assert!(matches!(reply, Reply::Reset(_)), "{reply:?}");
        }
    }
    assert_eq!(tasks.num_alive_tasks(), before);
    idle(&player.stats());
    assert_eq!(raw.ask(&ask(&raw, 1)).await, Reply::Ok(vec![2]));
}

/// Rapid reset: whoever opens calls and resets them does not get more handlers to run at a time.
#[tokio::test(start_paused = true)]
async fn h05_resets_do_not_buy_handlers() {
    let sim = Sim::new();
    let (running, most, begun) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let counts = (running.clone(), most.clone(), begun.clone());
    sim.server.on_server_invoke(&ASK, move |_, n| {
        let (running, most, begun) = counts.clone();
        async move {
            begun.fetch_add(1, Ordering::Relaxed);
            most.fetch_max(
                running.fetch_add(1, Ordering::Relaxed) + 1,
                Ordering::Relaxed,
            );
            tokio::time::sleep(ms(1000)).await;
            running.fetch_sub(1, Ordering::Relaxed);
            n
        }
    });
    let (raw, player) = sim.raw(|_| {}).await;
    let (other, _) = sim.join().await;
    let request = ask(&raw, 1).encode();
    for round in 0..2000 {
        let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
        send.write_all(&request).await.unwrap();
        match round % 3 {
            0 => _ = send.reset(VarInt::from_u32(0x10)),
            1 => _ = send.finish(),
            _ => {
                let _ = send.finish();
                tokio::time::sleep(ms(1)).await;
            }
        }
        let _ = recv.stop(VarInt::from_u32(0x10));
        if round % 500 == 0 {
            let call = other.invoke_server(&ASK, &1).timeout(ms(1200));
            assert_eq!(call.await, Ok(1));
        }
    }
    assert_eq!(
        most.load(Ordering::Relaxed),
        17,
        "sixteen, and the other player's"
    );
    let took = until(ms(3000), || running.load(Ordering::Relaxed) == 0).await;
    assert!(took <= ms(2100), "{took:?}");
    idle(&player.stats());
    assert!(begun.load(Ordering::Relaxed) >= 20);
    let (reply, took) = timed(raw.ask(&ask(&raw, 7))).await;
    assert_eq!(reply, Reply::Ok(vec![7]));
    assert!(took < ms(1100), "{took:?}");
}

/// A flood of calls that are complete, and too many: what does not run waits or is refused at once.
#[tokio::test(start_paused = true)]
async fn h05_more_calls_than_places_are_refused_at_once() {
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, n| async move {
        tokio::time::sleep(ms(100)).await;
        n
    });
    let (raw, player) = sim.raw(|_| {}).await;
    let request = ask(&raw, 1);
    let (replies, took) = timed(join_all((0..80).map(|_| raw.ask(&request)))).await;
    let count = |wanted: &Reply| replies.iter().filter(|reply| *reply == wanted).count();
    assert_eq!(count(&Reply::Ok(vec![1])), 48);
    assert_eq!(count(&Reply::Reset(0x20)), 32, "BUSY");
    // Three lots of sixteen.
    assert!(took >= ms(300) && took < ms(400), "{took:?}");
    settle().await;
    idle(&player.stats());
}

fn ask(raw: &RawClient, n: u8) -> Request {
    Request {
        function: raw.remotes["Ask"],
        millis: 10_000,
        body: vec![n],
        ..Request::default()
    }
}
