//! What a handler returns is what the caller gets.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use farfire::{Limits, RemoteFunction};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{made, making};
use crate::world::{Gate, Notes, World, within};

const DOUBLE: RemoteFunction<u32, u32> = RemoteFunction::new("Double");
const GREET: RemoteFunction<(String, Option<u8>), (String, u8)> = RemoteFunction::new("Greet");
const NOTHING: RemoteFunction<(), ()> = RemoteFunction::new("Nothing");
const SLOW: RemoteFunction<u32, u32> = RemoteFunction::new("Slow");

/// R48, R51, R52: arguments go, the player is known, several values come back; nothing as well.
#[tokio::test]
async fn a_call_to_the_server_returns_what_its_handler_returned() {
    let world = World::with(|server| server.remotes(&[&GREET, &NOTHING]));
    world
        .server
        .on_server_invoke(&GREET, |player, (word, times)| {
            (format!("{word}, {player}"), times.unwrap_or(7))
        });
    world.server.on_server_invoke(&NOTHING, |_, ()| {});
    let (ada, _) = within(world.join("Ada")).await;
    let greeting = made(ada.invoke_server(&GREET, &("Hello".into(), None))).await;
    assert_eq!(greeting, Ok(("Hello, Ada".into(), 7)));
    assert_eq!(made(ada.invoke_server(&NOTHING, &())).await, Ok(()));
}

/// R51, R52, the other way round; only the client that is called answers.
#[tokio::test]
async fn a_call_to_a_client_returns_what_its_handler_returned() {
    let world = World::with(|server| server.remotes(&[&GREET, &NOTHING]));
    let mut players = Vec::new();
    let mut clients = Vec::new();
    for name in ["Ada", "Bo"] {
        let (client, player) = within(world.join(name)).await;
        client.on_client_invoke(&GREET, move |(word, times)| {
            (format!("{word} from {name}"), times.unwrap_or(0))
        });
        client.on_client_invoke(&NOTHING, |()| {});
        clients.push(client);
        players.push(player);
    }
    for (player, name) in players.iter().zip(["Ada", "Bo"]) {
        let call = world
            .server
            .invoke_client(player, &GREET, &("Hello".into(), Some(1)));
        assert_eq!(made(call).await, Ok((format!("Hello from {name}"), 1)));
        let call = world.server.invoke_client(player, &NOTHING, &());
        assert_eq!(made(call).await, Ok(()));
    }
}

/// R54: handlers may wait, and what they return then is the result.
#[tokio::test]
async fn handlers_may_be_asynchronous_on_both_sides() {
    let world = World::with(|server| server.remotes(&[&DOUBLE, &SLOW]));
    world
        .server
        .on_server_invoke(&DOUBLE, |_, number| async move {
            tokio::task::yield_now().await;
            number * 2
        });
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&SLOW, |number| async move {
        tokio::task::yield_now().await;
        number + 1
    });
    assert_eq!(made(ada.invoke_server(&DOUBLE, &21)).await, Ok(42));
    let call = world.server.invoke_client(&player, &SLOW, &41);
    assert_eq!(made(call).await, Ok(42));
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Refused {
    TooPoor { gold: u32 },
    SoldOut,
}

/// Design 5: typed application errors are part of the result, whatever their type.
#[tokio::test]
async fn a_functions_own_errors_are_results() {
    const BUY: RemoteFunction<u32, Result<String, Refused>> = RemoteFunction::new("Buy");
    let world = World::with(|server| server.remotes(&[&BUY]));
    let buy = |gold| match gold {
        0 => Err(Refused::SoldOut),
        1..10 => Err(Refused::TooPoor { gold }),
        _ => Ok("sword".to_owned()),
    };
    world
        .server
        .on_server_invoke(&BUY, move |_, gold| buy(gold));
    let (ada, player) = within(world.join("Ada")).await;
    // An asynchronous one as well.
    ada.on_client_invoke(&BUY, move |gold| async move { buy(gold) });
    for gold in [0, 3, 10] {
        assert_eq!(made(ada.invoke_server(&BUY, &gold)).await, Ok(buy(gold)));
        let call = world.server.invoke_client(&player, &BUY, &gold);
        assert_eq!(made(call).await, Ok(buy(gold)));
    }
}

/// R54: a handler that waits holds no other call up, and replies come when they are ready.
#[tokio::test]
async fn replies_may_come_in_another_order_than_the_calls() {
    let world = World::with(|server| server.remotes(&[&SLOW, &DOUBLE]));
    let (ada, player) = within(world.join("Ada")).await;
    let (gate, begun) = (Gate::new(), Notes::new());
    let slow = |gate: Gate, begun: Notes<u32>| {
        move |number: u32| {
            let (gate, begun) = (gate.clone(), begun.clone());
            async move {
                begun.push(number);
                if number == 0 {
                    gate.pass().await;
                }
                number
            }
        }
    };
    let handler = slow(gate.clone(), begun.clone());
    world
        .server
        .on_server_invoke(&SLOW, move |_, number| handler(number));
    ada.on_client_invoke(&SLOW, slow(gate.clone(), begun.clone()));

    let first = making(ada.invoke_server(&SLOW, &0));
    let first_down = making(world.server.invoke_client(&player, &SLOW, &0));
    begun.wait(2).await;
    for number in 1..=5 {
        assert_eq!(made(ada.invoke_server(&SLOW, &number)).await, Ok(number));
        let call = world.server.invoke_client(&player, &SLOW, &number);
        assert_eq!(made(call).await, Ok(number));
    }
    assert!(!first.is_finished() && !first_down.is_finished());
    gate.open();
    assert_eq!(within(first).await.unwrap(), Ok(0));
    assert_eq!(within(first_down).await.unwrap(), Ok(0));
}

/// R54, H1: each gets its own reply, however many are under way; the rest waits in line.
#[tokio::test]
async fn as_many_calls_as_one_likes_all_resolve_each_with_its_own_result() {
    let running = Limits::default().calls_running;
    let world = World::with(|server| server.remotes(&[&DOUBLE]));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (now.clone(), most.clone());
    world.server.on_server_invoke(&DOUBLE, move |_, number| {
        let (now, most) = (counted.clone(), peak.clone());
        async move {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            // The later ones of each batch are ready first.
            for _ in 0..(64 - number % 64) {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, SeqCst);
            number * 2
        }
    });
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&DOUBLE, |number| async move {
        tokio::task::yield_now().await;
        number * 2
    });
    for calls in [64, 200] {
        let up = join_all((0..calls).map(|number| made(ada.invoke_server(&DOUBLE, &number))));
        let down = join_all((0..calls).map(|number| {
            let call = world.server.invoke_client(&player, &DOUBLE, &number);
            made(call)
        }));
        let (up, down) = tokio::join!(up, down);
        let all: Vec<_> = (0..calls).map(|number| Ok(number * 2)).collect();
        assert_eq!(up, all);
        assert_eq!(down, all);
    }
    assert!(most.load(SeqCst) > 1, "they ran one after the other");
    assert!(most.load(SeqCst) <= running, "more ran than may");
}

/// Invocations 3.2: the line is first in, first out.
#[tokio::test]
async fn calls_that_wait_in_line_leave_it_in_order() {
    let mut limits = Limits::default();
    limits.calls_in_flight = 1;
    let world = World::with(|server| server.remotes(&[&DOUBLE]));
    let notes = Notes::new();
    let seen = notes.clone();
    world.server.on_server_invoke(&DOUBLE, move |_, number| {
        seen.push(number);
        number * 2
    });
    let ada = within(world.client("Ada").limits(limits).connect())
        .await
        .unwrap();
    let calls = join_all((0..100).map(|number| made(ada.invoke_server(&DOUBLE, &number)))).await;
    assert!(calls.into_iter().all(|result| result.is_ok()));
    assert_eq!(notes.all(), (0..100).collect::<Vec<_>>());
}

/// H18: a handler may call back whoever called it.
#[tokio::test]
async fn a_call_may_go_back_and_forth_between_both_sides() {
    const UP: RemoteFunction<u32, u32> = RemoteFunction::new("Up");
    const DOWN: RemoteFunction<u32, u32> = RemoteFunction::new("Down");
    let world = World::with(|server| server.remotes(&[&UP, &DOWN]));
    world
        .server
        .on_server_invoke(&UP, |player, left| async move {
            let below = match left {
                0 => 0,
                _ => {
                    let server = player.server();
                    server.invoke_client(&player, &DOWN, &(left - 1)).await?
                }
            };
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(below + 1)
        });
    let (ada, _) = within(world.join("Ada")).await;
    let client = ada.clone();
    ada.on_client_invoke(&DOWN, move |left| {
        let call = (left > 0).then(|| client.invoke_server(&UP, &(left - 1)));
        async move {
            let below = match call {
                Some(call) => call.await?,
                None => 0,
            };
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(below + 1)
        }
    });
    assert_eq!(made(ada.invoke_server(&UP, &8)).await, Ok(9));
    within(ada.leave()).await;
}

/// Design 2.2: a function may give the barrier up; it is a function like any other otherwise.
#[tokio::test]
async fn an_unordered_function_is_answered_like_any_other() {
    const QUICK: RemoteFunction<u32, u32> = RemoteFunction::new("Quick").unordered();
    let world = World::with(|server| server.remotes(&[&QUICK]));
    world
        .server
        .on_server_invoke(&QUICK, |_, number| number + 1);
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&QUICK, |number| number + 2);
    assert_eq!(made(ada.invoke_server(&QUICK, &1)).await, Ok(2));
    let call = world.server.invoke_client(&player, &QUICK, &1);
    assert_eq!(made(call).await, Ok(3));
}
