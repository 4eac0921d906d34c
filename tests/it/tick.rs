//! `Flush::Tick`: what was accepted leaves at the flush, together.

use std::future::IntoFuture;

use farfire::{Flush, RemoteEvent, RemoteFunction, UnreliableRemoteEvent};

use crate::world::{Notes, World, ledger, settle, within};

const NUMBER: RemoteEvent<u32> = RemoteEvent::new("Number");
const LOOSE: RemoteEvent<u32> = RemoteEvent::new("Loose").unordered();
const ASIDE: RemoteEvent<u32> = RemoteEvent::new("Aside").lane("aside");
const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Pose");
/// Waits for no events, and so has none sent: it only moves packets.
const PEEK: RemoteFunction<(), ()> = RemoteFunction::new("Peek").unordered();
const ADD: RemoteFunction<u32, u32> = RemoteFunction::new("Add");

fn world() -> World {
    let world = World::with(|server| {
        server
            .flush(Flush::Tick)
            .remotes(&[&NUMBER, &LOOSE, &ASIDE, &POSE, &PEEK, &ADD])
    });
    world.server.on_server_invoke(&PEEK, |_, ()| ());
    world
}

/// R24, R96: broadcasts and single events wait for the flush, whatever the network does meanwhile,
/// and then leave in the order in which they were accepted.
#[tokio::test]
async fn a_server_holds_everything_until_the_flush() {
    let world = world();
    let server = &world.server;
    let (ada, player) = within(world.join("Ada")).await;
    let (bob, bob_there) = within(world.join("Bob")).await;
    bob.on_client_invoke(&ADD, |n| n + 1);
    let notes = Notes::<u32>::new();
    for remote in [&NUMBER, &LOOSE, &ASIDE] {
        let seen = notes.clone();
        ada.on_client_event(remote, move |n| seen.push(n));
    }
    let seen = notes.clone();
    ada.on_client_event(&POSE, move |n| seen.push(n));
    for tick in 0..5 {
        let before = notes.all().len();
        server.fire_all_clients(&NUMBER, &(tick * 4)).unwrap();
        server
            .fire_client(&player, &NUMBER, &(tick * 4 + 1))
            .unwrap();
        server.fire_all_clients(&NUMBER, &(tick * 4 + 2)).unwrap();
        server.fire_client(&player, &LOOSE, &100).unwrap();
        server.fire_client(&player, &ASIDE, &100).unwrap();
        server.fire_client(&player, &POSE, &100).unwrap();
        server.fire_all_clients(&NUMBER, &(tick * 4 + 3)).unwrap();
        for _ in 0..10 {
            within(ada.invoke_server(&PEEK, &()).into_future())
                .await
                .unwrap();
            // What a call to another player takes along is that player's.
            let call = server.invoke_client(&bob_there, &ADD, &1);
            assert_eq!(within(call.into_future()).await, Ok(2));
        }
        assert_eq!(notes.all().len(), before);
        let stats = player.stats();
        for remote in [&NUMBER, &LOOSE, &ASIDE] {
            assert!(ledger(&stats, remote.name()).queued > 0);
        }
        assert!(ledger(&stats, POSE.name()).queued > 0);
        server.flush();
        notes.wait(before + 6).await;
        settle(&ada).await;
    }
    let seen = notes.all().into_iter().filter(|n| *n < 100);
    assert_eq!(seen.collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
}

/// R24, R96: the same for a client.
#[tokio::test]
async fn a_client_holds_everything_until_the_flush() {
    let world = World::with(|server| server.remotes(&[&NUMBER, &PEEK]));
    world.server.on_server_invoke(&PEEK, |_, ()| ());
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&NUMBER, move |_, n| seen.push(n));
    let ada = world.client("Ada").flush(Flush::Tick);
    let ada = within(ada.connect()).await.unwrap();
    for tick in 0..5 {
        ada.fire_server(&NUMBER, &(tick * 2)).unwrap();
        ada.fire_server(&NUMBER, &(tick * 2 + 1)).unwrap();
        for _ in 0..10 {
            within(ada.invoke_server(&PEEK, &()).into_future())
                .await
                .unwrap();
        }
        assert_eq!(ledger(&ada.stats(), NUMBER.name()).queued, 2);
        ada.flush();
        let seen = notes.wait(tick as usize * 2 + 2).await;
        assert_eq!(seen, (0..tick * 2 + 2).collect::<Vec<_>>());
    }
}

/// Design 2.2: the barrier flushes the default lane up to itself.
#[tokio::test]
async fn a_call_takes_the_events_before_it_along() {
    let world = world();
    let server = &world.server;
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&NUMBER, move |n| seen.push(n));
    let seen = notes.clone();
    ada.on_client_invoke(&ADD, move |n| {
        seen.push(n);
        n + 1
    });
    for n in 0..50 {
        server.fire_all_clients(&NUMBER, &(3 * n)).unwrap();
        server.fire_client(&player, &NUMBER, &(3 * n + 1)).unwrap();
        let call = server.invoke_client(&player, &ADD, &(3 * n + 2));
        assert_eq!(within(call.into_future()).await, Ok(3 * n + 3));
        assert_eq!(notes.all(), (0..=3 * n + 2).collect::<Vec<_>>());
    }
}

/// Design 2.2: events that a handler fired are seen before its reply, without a flush.
#[tokio::test]
async fn a_reply_takes_the_events_before_it_along() {
    let world = world();
    world.server.on_server_invoke(&ADD, |player, n| {
        let server = player.server();
        server.fire_client(&player, &NUMBER, &n).unwrap();
        server.fire_all_clients(&NUMBER, &(n + 1)).unwrap();
        n + 2
    });
    let (ada, _) = within(world.join("Ada")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&NUMBER, move |n| seen.push(n));
    for n in 0..50 {
        let sum = within(ada.invoke_server(&ADD, &(2 * n)).into_future()).await;
        assert_eq!(sum, Ok(2 * n + 2));
        assert_eq!(notes.all(), (0..2 * n + 2).collect::<Vec<_>>());
    }
}

/// Design 2.11: leaving loses nothing that was accepted, flushed or not.
#[tokio::test]
async fn leaving_takes_everything_along() {
    let world = world();
    let up = Notes::<u32>::new();
    let seen = up.clone();
    world
        .server
        .on_server_event(&NUMBER, move |_, n| seen.push(n));
    let ada = world.client("Ada").flush(Flush::Tick);
    let ada = within(ada.connect()).await.unwrap();
    ada.fire_server(&NUMBER, &1).unwrap();
    within(ada.leave()).await;
    assert_eq!(up.wait(1).await, [1]);

    let (bob, player) = within(world.join("Bob")).await;
    let down = Notes::<u32>::new();
    let seen = down.clone();
    bob.on_client_event(&NUMBER, move |n| seen.push(n));
    world.server.fire_all_clients(&NUMBER, &1).unwrap();
    world.server.fire_client(&player, &NUMBER, &2).unwrap();
    player.kick("enough");
    within(bob.disconnected()).await;
    assert_eq!(down.all(), [1, 2]);
}

/// Waiting for room has the queue sent, as the tick may wait for the one that waits.
#[tokio::test]
async fn waiting_for_room_does_not_wait_for_the_tick() {
    const BULK: RemoteEvent<Vec<u8>> = RemoteEvent::new("Bulk");
    let world = World::with(|server| server.flush(Flush::Tick).remotes(&[&BULK]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<usize>::new();
    let seen = notes.clone();
    ada.on_client_event(&BULK, move |bytes| seen.push(bytes.len()));
    for _ in 0..40 {
        let args = vec![0; 16 * 1024];
        within(world.server.fire_client_async(&player, &BULK, &args))
            .await
            .unwrap();
    }
    world.server.flush();
    assert_eq!(notes.wait(40).await, [16 * 1024; 40]);
}

/// Design 2.13: a remote that is added is usable without a flush, also by a call that takes no events
/// along.
#[tokio::test]
async fn a_remote_that_is_added_does_not_wait_for_the_tick() {
    const FRESH: RemoteFunction<u32, u32> = RemoteFunction::new("Fresh").unordered();
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&FRESH, |n| n + 1);
    let call = world.server.invoke_client(&player, &FRESH, &1);
    assert_eq!(within(call.into_future()).await, Ok(2));
    within(ada.wait_for_remote(&FRESH)).await.unwrap();
}
