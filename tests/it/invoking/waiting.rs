//! Calls wait for a handler that is not there yet, and run the one that is there when they run.

use std::time::Duration;

use farfire::{Delivery, InvokeError, Limits, RemoteFunction, Stage};

use super::{made, making};
use crate::world::{Gate, Notes, World, until, within};

const ASK: RemoteFunction<u32, String> = RemoteFunction::new("Ask");
const OTHER: RemoteFunction<(), ()> = RemoteFunction::new("Other");

/// R55: the caller never knows that the handler was late.
#[tokio::test]
async fn a_call_waits_for_the_servers_handler() {
    let world = World::with(|server| server.remotes(&[&ASK]));
    let (ada, player) = within(world.join("Ada")).await;
    let call = making(ada.invoke_server(&ASK, &1));
    until(|| player.stats().serving_calls == 1).await;
    world
        .server
        .on_server_invoke(&ASK, |_, n| format!("late {n}"));
    assert_eq!(within(call).await.unwrap(), Ok("late 1".into()));
}

/// R55 and design 2.12: a client may even not have heard of the function yet.
#[tokio::test]
async fn a_call_waits_for_the_clients_handler() {
    let world = World::with(|server| server.remotes(&[&ASK]));
    let (ada, player) = within(world.join("Ada")).await;
    let call = making(world.server.invoke_client(&player, &ASK, &1));
    until(|| ada.stats().serving_calls == 1).await;
    ada.on_client_invoke(&ASK, |n| format!("late {n}"));
    assert_eq!(within(call).await.unwrap(), Ok("late 1".into()));
    // Declared without a handler is the same.
    let (bo, player) = within(async {
        let bo = world.client("Bo").remotes(&[&ASK]).connect().await.unwrap();
        let player = world.player(&bo).await;
        (bo, player)
    })
    .await;
    let call = making(world.server.invoke_client(&player, &ASK, &2));
    until(|| bo.stats().serving_calls == 1).await;
    bo.on_client_invoke(&ASK, |n| format!("late {n}"));
    assert_eq!(within(call).await.unwrap(), Ok("late 2".into()));
}

/// R60, H8: the wait has an end; the handler may have run, as far as the caller knows.
#[tokio::test]
async fn a_call_without_a_handler_times_out() {
    let world = World::with(|server| server.remotes(&[&ASK]));
    let (ada, player) = within(world.join("Ada")).await;
    let timeout = Duration::from_millis(100);
    let up = made(ada.invoke_server(&ASK, &1).timeout(timeout)).await;
    let down = world.server.invoke_client(&player, &ASK, &1);
    let down = made(down.timeout(timeout)).await;
    for error in [up.unwrap_err(), down.unwrap_err()] {
        let InvokeError::Timeout { stage, elapsed } = error else {
            panic!("{error:?}");
        };
        // Both sides keep the same deadline: the other's word may be arriving when this one's is up.
        assert!(
            matches!(stage, Stage::Wait | Stage::Receive | Stage::Barrier),
            "{stage:?}"
        );
        assert!(elapsed >= timeout && elapsed < Duration::from_secs(10));
        assert_eq!(error.delivery(), Delivery::Unknown);
    }
    // Nothing is left of them at the other side.
    until(|| player.stats().serving_calls + ada.stats().serving_calls == 0).await;
}

/// R50, D8: the last handler is the one that runs; what runs already goes on with the old one.
#[tokio::test]
async fn a_new_handler_takes_the_later_calls_and_leaves_the_running_ones() {
    let world = World::with(|server| server.remotes(&[&ASK]));
    let (ada, player) = within(world.join("Ada")).await;
    let (gate, begun) = (Gate::new(), Notes::new());
    let old = |gate: Gate, begun: Notes<u32>| {
        move |n: u32| {
            let (gate, begun) = (gate.clone(), begun.clone());
            async move {
                begun.push(n);
                gate.pass().await;
                format!("old {n}")
            }
        }
    };
    let handler = old(gate.clone(), begun.clone());
    world.server.on_server_invoke(&ASK, move |_, n| handler(n));
    ada.on_client_invoke(&ASK, old(gate.clone(), begun.clone()));
    let up = making(ada.invoke_server(&ASK, &1));
    let down = making(world.server.invoke_client(&player, &ASK, &1));
    begun.wait(2).await;

    world
        .server
        .on_server_invoke(&ASK, |_, n| format!("new {n}"));
    ada.on_client_invoke(&ASK, |n| format!("new {n}"));
    assert_eq!(made(ada.invoke_server(&ASK, &2)).await, Ok("new 2".into()));
    let call = world.server.invoke_client(&player, &ASK, &2);
    assert_eq!(made(call).await, Ok("new 2".into()));
    gate.open();
    assert_eq!(within(up).await.unwrap(), Ok("old 1".into()));
    assert_eq!(within(down).await.unwrap(), Ok("old 1".into()));
}

/// R50: a call that waits for its turn is a later call.
#[tokio::test]
async fn a_call_that_waits_its_turn_runs_the_handler_that_is_set_then() {
    let mut limits = Limits::default();
    limits.calls_running = 1;
    let world = World::with(|server| server.remotes(&[&ASK]).limits(limits));
    let (ada, player) = within(world.join("Ada")).await;
    let (gate, begun) = (Gate::new(), Notes::new());
    let (wait, note) = (gate.clone(), begun.clone());
    world.server.on_server_invoke(&ASK, move |_, n| {
        let (gate, begun) = (wait.clone(), note.clone());
        async move {
            begun.push(n);
            gate.pass().await;
            format!("old {n}")
        }
    });
    let first = making(ada.invoke_server(&ASK, &1));
    begun.wait(1).await;
    let second = making(ada.invoke_server(&ASK, &2));
    until(|| player.stats().serving_calls == 2).await;
    world.server.clear_server_invoke(&ASK);
    gate.open();
    assert_eq!(within(first).await.unwrap(), Ok("old 1".into()));
    assert!(!second.is_finished());
    world
        .server
        .on_server_invoke(&ASK, |_, n| format!("new {n}"));
    assert_eq!(within(second).await.unwrap(), Ok("new 2".into()));
}

/// R49, R55: a handler can be taken away, and calls wait as if there had never been one.
#[tokio::test]
async fn without_its_handler_a_function_keeps_calls_waiting_again() {
    let world = World::with(|server| server.remotes(&[&ASK]));
    world
        .server
        .on_server_invoke(&ASK, |_, n| format!("first {n}"));
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&ASK, |n| format!("first {n}"));
    let down = |n| world.server.invoke_client(&player, &ASK, &n);
    assert_eq!(
        made(ada.invoke_server(&ASK, &1)).await,
        Ok("first 1".into())
    );
    assert_eq!(made(down(1)).await, Ok("first 1".into()));

    world.server.clear_server_invoke(&ASK);
    ada.clear_client_invoke(&ASK);
    let (up, down) = (making(ada.invoke_server(&ASK, &2)), making(down(2)));
    until(|| player.stats().serving_calls == 1 && ada.stats().serving_calls == 1).await;
    world
        .server
        .on_server_invoke(&ASK, |_, n| format!("second {n}"));
    ada.on_client_invoke(&ASK, |n| format!("second {n}"));
    assert_eq!(within(up).await.unwrap(), Ok("second 2".into()));
    assert_eq!(within(down).await.unwrap(), Ok("second 2".into()));
}

/// Design 2.12: calls that wait for a handler take queued places, not running ones.
#[tokio::test]
async fn calls_without_a_handler_do_not_keep_others_from_running() {
    let mut limits = Limits::default();
    (limits.calls_running, limits.calls_queued) = (1, 3);
    let world = World::with(|server| server.remotes(&[&ASK, &OTHER]).limits(limits));
    world.server.on_server_invoke(&OTHER, |_, ()| async {
        tokio::task::yield_now().await;
    });
    let (ada, player) = within(world.join("Ada")).await;
    let waiting: Vec<_> = (0..3)
        .map(|n| making(ada.invoke_server(&ASK, &n)))
        .collect();
    until(|| player.stats().serving_calls == 3).await;
    for _ in 0..20 {
        assert_eq!(made(ada.invoke_server(&OTHER, &())).await, Ok(()));
    }
    // All of the queued places are taken: one more has no hope of an answer.
    let error = made(ada.invoke_server(&ASK, &3)).await.unwrap_err();
    assert_eq!(error, InvokeError::NoHandler);
    assert_eq!(error.delivery(), Delivery::Rejected);
    world.server.on_server_invoke(&ASK, |_, n| n.to_string());
    for (n, call) in waiting.into_iter().enumerate() {
        assert_eq!(within(call).await.unwrap(), Ok(n.to_string()));
    }
}

/// Design 2.12: running calls do not count as waiting ones.
#[tokio::test]
async fn a_call_may_wait_for_a_handler_while_others_run() {
    let mut limits = Limits::default();
    (limits.calls_running, limits.calls_queued) = (2, 1);
    let world = World::with(|server| server.remotes(&[&ASK, &OTHER]).limits(limits));
    let (gate, begun) = (Gate::new(), Notes::new());
    let (wait, note) = (gate.clone(), begun.clone());
    world.server.on_server_invoke(&OTHER, move |_, ()| {
        let (gate, begun) = (wait.clone(), note.clone());
        async move {
            begun.push(());
            gate.pass().await;
        }
    });
    let (ada, player) = within(world.join("Ada")).await;
    let running = [(); 2].map(|()| making(ada.invoke_server(&OTHER, &())));
    begun.wait(2).await;
    let waiting = making(ada.invoke_server(&ASK, &1));
    until(|| player.stats().serving_calls == 3).await;
    world.server.on_server_invoke(&ASK, |_, n| n.to_string());
    gate.open();
    assert_eq!(within(waiting).await.unwrap(), Ok("1".into()));
    for call in running {
        assert_eq!(within(call).await.unwrap(), Ok(()));
    }
}
