//! The server invokes a client, which may fail it in every way that there is.

use std::{
    future::IntoFuture,
    time::{Duration, Instant},
};

use farfire::{Delivery, DisconnectReason, InvokeError, RemoteFunction, Stage, Timeouts};

use crate::{
    process::Process,
    world::{Notes, World, within},
};

/// As in the example of the same name, whose client these tests start.
const REMOTE_FUNCTION: RemoteFunction<String, u32> = RemoteFunction::new("RemoteFunctionTest");
const LIMIT: Duration = Duration::from_millis(300);

fn world() -> World {
    World::with(|server| server.remotes(&[&REMOTE_FUNCTION]))
}

#[tokio::test]
async fn the_server_gets_what_the_callback_returns() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&REMOTE_FUNCTION, |_| 7);
    let call = world
        .server
        .invoke_client(&player, &REMOTE_FUNCTION, &"how many?".into());
    assert_eq!(within(call.into_future()).await, Ok(7));
}

#[tokio::test]
async fn a_callback_that_fails_fails_the_call() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&REMOTE_FUNCTION, |_| Err::<u32, _>("boom"));
    let ask = || {
        let call = world
            .server
            .invoke_client(&player, &REMOTE_FUNCTION, &"how many?".into());
        within(call.into_future())
    };
    let message = "boom".to_owned();
    assert_eq!(ask().await, Err(InvokeError::Failed { message }));

    ada.on_client_invoke(&REMOTE_FUNCTION, |_| -> u32 { panic!("boom") });
    let error = ask().await.unwrap_err();
    assert!(matches!(error, InvokeError::Panicked { .. }), "{error:?}");

    ada.on_client_invoke(&REMOTE_FUNCTION, |_| 7);
    assert_eq!(ask().await, Ok(7));
}

#[tokio::test]
async fn a_client_that_never_returns_costs_the_timeout() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&REMOTE_FUNCTION, |_| std::future::pending::<u32>());
    assert_timeout(&world, &player).await;
}

#[tokio::test]
async fn a_client_without_a_callback_costs_the_timeout() {
    let world = world();
    let (_ada, player) = within(world.join("Ada")).await;
    assert_timeout(&world, &player).await;
}

async fn assert_timeout(world: &World, player: &farfire::Player) {
    let asked = Instant::now();
    let call = world
        .server
        .invoke_client(player, &REMOTE_FUNCTION, &"how many?".into())
        .timeout(LIMIT);
    let error = within(call.into_future()).await.unwrap_err();
    assert!(asked.elapsed() >= LIMIT, "{:?}", asked.elapsed());
    assert!(
        matches!(
            error,
            InvokeError::Timeout {
                stage: Stage::Wait,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(player.is_connected(), "a late answer is no offence");
}

#[tokio::test]
async fn a_client_that_leaves_fails_the_call_at_once() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let asked = Notes::new();
    let note = asked.clone();
    ada.on_client_invoke(&REMOTE_FUNCTION, move |question| {
        note.push(question);
        std::future::pending::<u32>()
    });
    let call = world
        .server
        .invoke_client(&player, &REMOTE_FUNCTION, &"how many?".into())
        .timeout(Duration::from_secs(60));
    let call = tokio::spawn(call.into_future());
    asked.wait(1).await;
    within(ada.leave()).await;
    // `within` is far below the timeout of the call.
    let error = within(call).await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            InvokeError::Disconnected {
                reason: DisconnectReason::Left,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_that_is_killed_fails_the_call_by_the_idle_timeout() {
    let mut timeouts = Timeouts::default();
    // More than the three seconds after which a quiet client shows that it is alive.
    timeouts.idle = Duration::from_secs(4);
    let world = World::with(|server| server.remotes(&[&REMOTE_FUNCTION]).timeouts(timeouts));
    let (address, pin) = (world.server.local_addr(), world.server.pin());
    let bo = Process::example(
        "invoke_client",
        &["client", &address.to_string(), &pin.to_string(), "Bo"],
    );
    bo.said("joined: ");
    let player = world.server.players().remove(0);
    let call = world
        .server
        .invoke_client(&player, &REMOTE_FUNCTION, &"how many?".into())
        .timeout(Duration::from_secs(60));
    let call = tokio::spawn(call.into_future());
    let (mut bo, line) = tokio::task::spawn_blocking(move || {
        let line = bo.line();
        (bo, line)
    })
    .await
    .unwrap();
    assert_eq!(line, "The server asks: how many?");
    bo.kill();
    let error = within(call).await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            InvokeError::Disconnected {
                reason: DisconnectReason::TimedOut,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(!player.is_connected());
}

/// The close that answers the server's goodbye must not be lost with the program that ends on it.
#[tokio::test]
async fn programs_that_end_when_the_server_stops_do_not_hold_it_up() {
    let mut timeouts = Timeouts::default();
    // Waited out, it would show; and so would the ten seconds of idling of the clients.
    timeouts.leave = Duration::from_secs(60);
    let world = World::with(|server| server.remotes(&[&REMOTE_FUNCTION]).timeouts(timeouts));
    let (address, pin) = (world.server.local_addr(), world.server.pin());
    let clients: Vec<_> = (0..6)
        .map(|_| {
            Process::example(
                "invoke_client",
                &["client", &address.to_string(), &pin.to_string(), "Bo"],
            )
        })
        .collect();
    let clients = tokio::task::spawn_blocking(move || {
        clients
            .iter()
            .for_each(|client| drop(client.said("joined: ")));
        clients
    });
    let clients = clients.await.unwrap();
    let asked = Instant::now();
    within(world.server.shutdown()).await;
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    tokio::task::spawn_blocking(move || clients.into_iter().for_each(|client| drop(client.end())))
        .await
        .unwrap();
}
