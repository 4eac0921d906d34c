//! Cancelled calls by the thousand on one connection: nothing of them may stay.

use std::{future::IntoFuture, time::Duration};

use futures_util::future::join_all;
use quinn::VarInt;

use crate::{
    raw::Request,
    sim::{ASK, BIG, Sim, UNIT, idle, ms, settle},
};

/// Twenty thousand calls are cancelled at all stages, in both directions; then calls succeed still.
///
/// What leaks is mostly stream credit: each side may have about a hundred streams open at a time.
#[tokio::test(start_paused = true)]
async fn twenty_thousand_cancelled_calls_leave_nothing_behind() {
    let sim = Sim::new();
    let (client, player) = sim.join().await;
    sim.server.on_server_invoke(&ASK, |_, n| async move {
        tokio::time::sleep(ms(3)).await;
        n + 1
    });
    client.on_client_invoke(&ASK, |_| std::future::pending::<u32>());
    sim.server.on_server_invoke(&BIG, |_, args| args);
    client.on_client_invoke(&UNIT, |()| ());
    let big = vec![7; 2000];
    let tasks = tokio::runtime::Handle::current().metrics();
    settle().await;
    let before = tasks.num_alive_tasks();
    let mut cancelled = 0;
    for round in 0..500 {
        let calls = (0..40).map(|n| {
            let patience = Duration::from_micros(500) * ((round + n) % 8);
            let (sim, client, player, big) = (&sim, &client, &player, &big);
            async move {
                let over = match (round + n) % 5 {
                    0 => {
                        let call = client.invoke_server(&BIG, big).into_future();
                        tokio::time::timeout(patience, call).await.is_ok()
                    }
                    1 | 2 => {
                        let call = client.invoke_server(&ASK, &n).into_future();
                        tokio::time::timeout(patience, call).await.is_ok()
                    }
                    _ => {
                        let call = sim.server.invoke_client(player, &ASK, &n).into_future();
                        tokio::time::timeout(patience, call).await.is_ok()
                    }
                };
                usize::from(!over)
            }
        });
        cancelled += join_all(calls).await.into_iter().sum::<usize>();
    }
    assert!(cancelled >= 15_000, "only {cancelled} were in time");
    // The server's handlers run to their ends.
    settle().await;
    idle(&client.stats());
    idle(&player.stats());
    assert!(tasks.num_alive_tasks() <= before, "tasks are left");
    // As many at once as permits allow: each stream that leaked would be missing here.
    client.on_client_invoke(&ASK, |n| n);
    let up = join_all((0..200).map(|n| client.invoke_server(&ASK, &n).into_future())).await;
    let down = (0..200).map(|n| sim.server.invoke_client(&player, &ASK, &n).into_future());
    let down = join_all(down).await;
    for (n, (up, down)) in (0..).zip(up.into_iter().zip(down)) {
        assert_eq!((up, down), (Ok(n + 1), Ok(n)));
    }
    settle().await;
    idle(&client.stats());
    idle(&player.stats());
}

/// The same from a raw client, which cancels in ways that ours does not.
#[tokio::test(start_paused = true)]
async fn cancelled_in_odd_ways() {
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, n| async move {
        tokio::time::sleep(ms(3)).await;
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
    for round in 0..5000 {
        let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
        let code = VarInt::from_u32(round % 60);
        match round % 7 {
            // Nothing at all, and then a reset.
            0 => _ = send.reset(code),
            // A stop before anything is sent.
            1 => {
                let _ = recv.stop(code);
                let _ = send.write_all(&whole).await;
            }
            // Half of it, dropped, which ends it.
            2 => _ = send.write_all(&whole[..4]).await,
            // All of it, then a stop.
            3 => {
                let _ = send.write_all(&whole).await;
                let _ = send.finish();
                let _ = recv.stop(code);
            }
            // All of it, then a reset that comes too late.
            4 => {
                let _ = send.write_all(&whole).await;
                let _ = send.finish();
                tokio::time::sleep(Duration::from_micros(300)).await;
                let _ = send.reset(code);
            }
            // A stop while the handler runs.
            5 => {
                let _ = send.write_all(&whole).await;
                let _ = send.finish();
                tokio::time::sleep(ms(1)).await;
                let _ = recv.stop(code);
            }
            // No cancelling: the reply is dropped unread.
            _ => {
                let _ = send.write_all(&whole).await;
                let _ = send.finish();
            }
        }
    }
    settle().await;
    settle().await;
    idle(&player.stats());
    assert!(player.is_connected());
    let replies = join_all((0..48).map(|_| raw.ask(&request))).await;
    assert_eq!(
        replies,
        [const { crate::raw::Reply::Ok(Vec::new()) }; 48]
            .map(|_| { crate::raw::Reply::Ok(vec![7]) })
    );
}
