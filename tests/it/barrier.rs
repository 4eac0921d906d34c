//! The causal barrier: a call, or a reply, is seen after the events that were fired before it.

use std::{
    future::IntoFuture,
    sync::{Arc, Mutex},
};

use farfire::{Flush, RemoteEvent, RemoteFunction};
use tokio::sync::Notify;

use crate::world::{Notes, World, generous, ledger, within};

const EVENT: RemoteEvent<(u32, String)> = RemoteEvent::new("Event");
const OTHER: RemoteEvent<u32> = RemoteEvent::new("Other");
const CALL: RemoteFunction<u32, u32> = RemoteFunction::new("Call");

/// Event `n`, in a size between nothing and some packets.
fn event(n: u32) -> (u32, String) {
    (n, "x".repeat((n as usize * 97) % 3000))
}

/// Design 2.2, D9.
#[tokio::test]
async fn a_call_to_the_server_is_seen_after_the_events_before_it() {
    let world = World::with(|server| server.limits(generous()));
    let server = &world.server;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    server.on_server_event(&EVENT, move |_, (n, _)| seen.push(n));
    let seen = notes.clone();
    server.on_server_event(&OTHER, move |_, n| seen.push(n));
    let seen = notes.clone();
    server.on_server_invoke(&CALL, move |_, n| {
        seen.push(n);
        n
    });
    let (ada, _) = within(world.join("Ada")).await;
    let mut n = 0;
    for round in 0..200 {
        for _ in 0..round % 30 {
            ada.fire_server(&EVENT, &event(n)).unwrap();
            ada.fire_server(&OTHER, &(n + 1)).unwrap();
            n += 2;
        }
        let reply = within(ada.invoke_server(&CALL, &n).into_future()).await;
        assert_eq!(reply, Ok(n));
        n += 1;
        let seen = notes.all();
        assert!(seen.iter().copied().eq(0..n), "round {round}: {seen:?}");
    }
}

/// Design 2.2, D9.
#[tokio::test]
async fn a_call_to_a_client_is_seen_after_the_events_before_it() {
    let world = World::with(|server| server.remotes(&[&EVENT, &OTHER, &CALL]));
    let server = &world.server;
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&EVENT, move |(n, _)| seen.push(n));
    let seen = notes.clone();
    ada.on_client_event(&OTHER, move |n| seen.push(n));
    let seen = notes.clone();
    ada.on_client_invoke(&CALL, move |n| {
        seen.push(n);
        n
    });
    let mut n = 0;
    for round in 0..200 {
        for _ in 0..round % 30 {
            server.fire_client(&player, &EVENT, &event(n)).unwrap();
            server.fire_all_clients(&OTHER, &(n + 1)).unwrap();
            n += 2;
        }
        let reply = within(server.invoke_client(&player, &CALL, &n).into_future()).await;
        assert_eq!(reply, Ok(n));
        n += 1;
        let seen = notes.all();
        assert!(seen.iter().copied().eq(0..n), "round {round}: {seen:?}");
    }
}

/// Design 2.2, D10: fired before it returned, seen before its reply.
#[tokio::test]
async fn events_of_a_handler_are_seen_before_its_reply() {
    const SLOW: RemoteFunction<u32, u32> = RemoteFunction::new("Slow");
    let world = World::with(|server| server.remotes(&[&EVENT, &OTHER, &CALL, &SLOW]));
    let fire = |player: &farfire::Player, n| {
        let server = player.server();
        for n in n..n + 20 {
            match n % 2 {
                0 => server.fire_client(player, &EVENT, &event(n)).unwrap(),
                _ => server.fire_all_clients(&OTHER, &n).unwrap(),
            }
        }
    };
    world.server.on_server_invoke(&CALL, move |player, n| {
        fire(&player, n);
        n + 20
    });
    // On the program's runtime, and so from another thread than the network's.
    world
        .server
        .on_server_invoke(&SLOW, move |player, n| async move {
            tokio::task::yield_now().await;
            fire(&player, n);
            n + 20
        });
    let (ada, _) = within(world.join("Ada")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&EVENT, move |(n, _)| seen.push(n));
    let seen = notes.clone();
    ada.on_client_event(&OTHER, move |n| seen.push(n));
    let mut n = 0;
    for round in 0..100 {
        let function = if round % 2 == 0 { &CALL } else { &SLOW };
        n = within(ada.invoke_server(function, &n).into_future())
            .await
            .unwrap();
        assert!(notes.all().into_iter().eq(0..n), "round {round}");
    }
}

/// Design 2.2: an asynchronous handler counts when it was polled once, not when it is done.
#[tokio::test]
async fn an_asynchronous_event_handler_counts_when_it_has_begun() {
    let world = World::new();
    let (notes, end) = (Notes::<&str>::new(), Arc::new(Notify::new()));
    let (seen, ending) = (notes.clone(), end.clone());
    world.server.on_server_event(&OTHER, move |_, _| {
        let (seen, ending) = (seen.clone(), ending.clone());
        async move {
            seen.push("begun");
            ending.notified().await;
            seen.push("done");
        }
    });
    let seen = notes.clone();
    world.server.on_server_invoke(&CALL, move |_, n| {
        seen.push("called");
        n
    });
    let (ada, _) = within(world.join("Ada")).await;
    ada.fire_server(&OTHER, &1).unwrap();
    assert_eq!(
        within(ada.invoke_server(&CALL, &1).into_future()).await,
        Ok(1)
    );
    assert_eq!(notes.all(), ["begun", "called"]);
    end.notify_one();
    assert_eq!(notes.wait(3).await, ["begun", "called", "done"]);
}

/// Design 2.2: events that wait for a handler, or are dropped for lack of one, hold no call up.
#[tokio::test]
async fn a_missing_handler_never_stalls_a_call() {
    let world = World::with(|server| server.limits(generous()).remotes(&[&OTHER, &CALL]));
    world.server.on_server_invoke(&CALL, |_, n| n);
    let (ada, player) = within(world.join("Ada")).await;
    for n in 0..300 {
        ada.fire_server(&OTHER, &n).unwrap();
        world.server.fire_client(&player, &OTHER, &n).unwrap();
    }
    // There and back: on both sides nobody listens.
    assert_eq!(
        within(ada.invoke_server(&CALL, &1).into_future()).await,
        Ok(1)
    );
    assert_eq!(ledger(&player.stats(), OTHER.name()).received, 300);
    assert_eq!(ledger(&ada.stats(), OTHER.name()).received, 300);
}

/// Design 2.2: an event counts when it was put into an inbox.
#[tokio::test]
async fn an_inbox_has_the_events_before_a_call() {
    let world = World::with(|server| server.limits(generous()));
    let inbox = Arc::new(Mutex::new(world.server.server_events(&OTHER)));
    let events = inbox.clone();
    world
        .server
        .on_server_invoke(&CALL, move |_, _| events.lock().unwrap().len() as u32);
    let (ada, _) = within(world.join("Ada")).await;
    for round in 1..=50 {
        for n in 0..10 {
            ada.fire_server(&OTHER, &n).unwrap();
        }
        let waiting = within(ada.invoke_server(&CALL, &0).into_future()).await;
        assert_eq!(waiting, Ok(round * 10));
    }
    let numbers: Vec<_> = inbox.lock().unwrap().drain().map(|(_, n)| n).collect();
    assert!(numbers.into_iter().eq((0..50).flat_map(|_| 0..10)));
}

/// Design 2.2: a function that gave up order waits for no events, of neither side.
#[tokio::test]
async fn an_unordered_call_overtakes_events() {
    const FREE: RemoteFunction<u32, u32> = RemoteFunction::new("Free").unordered();
    let world = World::with(|server| server.flush(Flush::Tick).remotes(&[&OTHER, &FREE]));
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&OTHER, move |_, n| seen.push(n));
    world.server.on_server_invoke(&FREE, |player, n| {
        player
            .server()
            .fire_client(&player, &OTHER, &n)
            .map_or(0, |()| n)
    });
    // The events of both sides are held back, so a call that waited for them would never return.
    let ada = world.client("Ada").flush(Flush::Tick);
    let ada = within(ada.connect()).await.unwrap();
    let seen = notes.clone();
    ada.on_client_event(&OTHER, move |n| seen.push(10 + n));
    ada.fire_server(&OTHER, &1).unwrap();
    assert_eq!(
        within(ada.invoke_server(&FREE, &2).into_future()).await,
        Ok(2)
    );
    assert!(notes.all().is_empty());
    ada.flush();
    assert_eq!(notes.wait(1).await, [1]);
    world.server.flush();
    assert_eq!(notes.wait(2).await, [1, 12]);
}

/// Design 2.2: lanes and unordered events are outside the barrier, which does not wait for them.
#[tokio::test]
async fn a_call_does_not_count_other_lanes() {
    const ASIDE: RemoteEvent<u32> = RemoteEvent::new("Aside").lane("aside");
    const LOOSE: RemoteEvent<u32> = RemoteEvent::new("Loose").unordered();
    let world = World::with(|server| server.limits(generous()).remotes(&[&ASIDE, &LOOSE]));
    world.server.on_server_invoke(&CALL, |_, n| n);
    let notes = Notes::<u32>::new();
    for remote in [&ASIDE, &LOOSE, &OTHER] {
        let seen = notes.clone();
        world
            .server
            .on_server_event(remote, move |_, n| seen.push(n));
    }
    let (ada, _) = within(world.join("Ada")).await;
    // Counted as if they were on the default lane, these would leave every call waiting.
    for n in 0..100 {
        for remote in [&ASIDE, &LOOSE, &OTHER] {
            ada.fire_server(remote, &n).unwrap();
        }
        assert_eq!(
            within(ada.invoke_server(&CALL, &n).into_future()).await,
            Ok(n)
        );
    }
    notes.wait(300).await;
}
