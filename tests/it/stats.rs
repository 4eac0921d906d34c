//! What an operator's display shows: sums over players, also over those who have left.

use std::{future::IntoFuture, time::Duration};

use farfire::{CloseCode, DropCause, Limits, Rate, Refusal, RemoteEvent, RemoteFunction};

use crate::{
    raw::RawClient,
    world::{Gate, World, settle, until, within},
};

const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
const EARLY: RemoteEvent<u32> = RemoteEvent::new("Early");
const SELDOM: RemoteEvent<u32> = RemoteEvent::new("Seldom").rate(Rate::per_second(1));
const SLOW: RemoteEvent<u32> = RemoteEvent::new("Slow");
const ASK: RemoteFunction<(), ()> = RemoteFunction::new("AskThem");

/// Design 2.7: the sums are those of the players, before and after they leave.
#[tokio::test]
async fn a_servers_sums_outlive_its_players() {
    let world = World::with(|server| server.remotes(&[&HIT, &EARLY, &SELDOM, &SLOW, &ASK]));
    let server = &world.server;
    server.on_server_event(&HIT, |_, _| ());
    server.on_server_event(&SELDOM, |_, _| ());
    let gate = Gate::new();
    let pass = gate.clone();
    server.on_server_event(&SLOW, move |_, _| {
        let gate = pass.clone();
        async move { gate.pass().await }
    });
    let before = server.stats();
    assert_eq!(
        (before.joined, before.players, before.handshakes),
        (0, 0, 0)
    );

    let (ada, ada_player) = world.join("Ada").await;
    let (bob, _) = world.join("Bob").await;
    ada.on_client_invoke(&ASK, |()| ());
    for client in [&ada, &bob] {
        for n in 0..10 {
            client.fire_server(&HIT, &n).unwrap();
            client.fire_server(&SELDOM, &n).unwrap();
        }
        client.fire_server(&EARLY, &0).unwrap();
        client.fire_server(&SLOW, &0).unwrap();
        settle(client).await;
    }
    server.fire_all_clients(&HIT, &1).unwrap();
    within(async { server.invoke_client(&ada_player, &ASK, &()).await })
        .await
        .unwrap();
    until(|| server.stats().events.sent == 2).await;

    let stats = server.stats();
    assert_eq!((stats.players, stats.joined, stats.handshakes), (2, 2, 2));
    assert_eq!((stats.calls_in, stats.calls_out), (2, 1));
    let events = stats.events;
    assert_eq!((events.accepted, events.received, events.held), (2, 44, 2));
    assert_eq!(stats.waiting_handlers, 2);
    assert!(stats.held_bytes > 0);
    let dropped = events.refused(DropCause::RateLimit);
    assert!((14..=18).contains(&dropped), "{dropped}");
    assert_eq!(events.dispatched + events.held + dropped, events.received);
    assert!(stats.received_bytes > 0 && stats.sent_bytes > 0);
    let sum = |count: fn(&farfire::LinkStats) -> u64| -> u64 {
        server
            .players()
            .iter()
            .map(|player| count(&player.stats()))
            .sum()
    };
    assert_eq!(sum(|stats| stats.calls_in), 2);
    assert_eq!(sum(|stats| stats.waiting_handlers as u64), 2);

    gate.open();
    until(|| server.stats().waiting_handlers == 0).await;
    ada.leave().await;
    until(|| server.stats().players == 1).await;
    let after = server.stats();
    assert_eq!((after.joined, after.calls_in, after.calls_out), (2, 2, 1));
    assert_eq!(after.events.received, 44);
    // What was kept went with its player, and is counted as that.
    let gone = after.events.refused(DropCause::ConnectionEnded);
    assert_eq!((after.events.held, gone), (1, 1));
    assert!(after.received_bytes >= stats.received_bytes);
}

/// What players have left running is still there, and is counted until it is not.
#[tokio::test]
async fn handlers_that_outlive_their_player_are_counted() {
    let world = World::new();
    let server = &world.server;
    let gate = Gate::new();
    let pass = gate.clone();
    server.on_server_event(&SLOW, move |_, _| {
        let gate = pass.clone();
        async move { gate.pass().await }
    });
    let pass = gate.clone();
    server.on_server_invoke(&ASK, move |_, ()| {
        let gate = pass.clone();
        async move { gate.pass().await }
    });
    let running = || {
        let stats = server.stats();
        (stats.serving_calls, stats.waiting_handlers)
    };
    let (ada, player) = world.join("Ada").await;
    ada.fire_server(&SLOW, &0).unwrap();
    let call = ada.invoke_server(&ASK, &());
    let call = tokio::spawn(call.timeout(Duration::from_secs(60)).into_future());
    until(|| running() == (1, 1)).await;
    ada.leave().await;
    player.left().await;
    within(call).await.unwrap().unwrap_err();
    assert_eq!(server.stats().players, 0);
    assert_eq!(running(), (1, 1));
    gate.open();
    until(|| running() == (0, 0)).await;
}

/// Design 2.10: who is not let in is counted by the reason, and who is thrown out as well.
#[tokio::test]
async fn refusals_and_violations_are_counted() {
    let world = World::with(|server| {
        let mut limits = Limits::default();
        limits.max_players = 1;
        server.limits(limits).authenticate(|join| async move {
            match join.name.as_str() {
                "Mallory" => Err(Refusal::BadToken),
                _ => Ok(farfire::Admission::new()),
            }
        })
    });
    for _ in 0..2 {
        within(world.client("Mallory").connect()).await.unwrap_err();
    }
    let (ada, _) = world.join("Ada").await;
    within(world.client("Bob").connect()).await.unwrap_err();
    let stats = world.server.stats();
    let refused = [(CloseCode::FULL, 1), (CloseCode::BAD_TOKEN, 2)];
    assert_eq!(stats.refused, refused);
    assert_eq!(
        (stats.joined, stats.handshakes, stats.violations),
        (1, 4, 0)
    );

    ada.leave().await;
    until(|| world.server.stats().players == 0).await;
    let eve = RawClient::join(world.server.local_addr(), "Eve").await;
    eve.uni(&[0xff]).await;
    until(|| world.server.stats().violations == 1).await;
    // Nobody who speaks something else gets through a handshake.
    let other = RawClient::connect(world.server.local_addr(), b"other/1").await;
    assert!(other.is_err());
    until(|| world.server.stats().failed_handshakes == 1).await;
    tokio::time::timeout(Duration::from_secs(20), world.server.shutdown())
        .await
        .unwrap();
}
