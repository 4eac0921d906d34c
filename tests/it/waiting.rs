//! Asynchronous event handlers that do not return: a client can make a server keep so many of them,
//! and no more. What comes then is kept like early events, loses its turn and not its order.

use std::time::Duration;

use farfire::{
    Client, ConnectError, DropCause, Limits, RemoteEvent, RemoteFunction, Server,
    UnreliableRemoteEvent,
    conditioner::{Conditioner, Conditions},
    testing::SimNet,
    tls::{Identity, Trust},
};

use crate::world::{Gate, Notes, World, count_of, generous, ledger, settle, until, within};

const SLOW: RemoteEvent<u32> = RemoteEvent::new("Slow");
const SLOWER: RemoteEvent<u32> = RemoteEvent::new("Slower");
const QUICK: RemoteEvent<u32> = RemoteEvent::new("Quick");
const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Pose");
const ASK: RemoteFunction<(), u32> = RemoteFunction::new("Ask");

fn few(limits: impl FnOnce(&mut Limits)) -> Limits {
    let mut few = generous();
    few.handlers_waiting = 4;
    limits(&mut few);
    few
}

/// A world with handlers that note when they begin, and wait for the gate.
fn stuck(limits: Limits) -> (World, Gate, Notes<(&'static str, u32)>) {
    let world = World::with(|server| server.limits(limits).remotes(&[&POSE]));
    let (gate, begun) = (Gate::new(), Notes::new());
    for (name, remote) in [("slow", SLOW), ("slower", SLOWER)] {
        let (gate, begun) = (gate.clone(), begun.clone());
        world.server.on_server_event(&remote, move |_, n| {
            let (gate, begun) = (gate.clone(), begun.clone());
            async move {
                begun.push((name, n));
                gate.pass().await;
            }
        });
    }
    let notes = begun.clone();
    world
        .server
        .on_server_event(&QUICK, move |_, n| notes.push(("quick", n)));
    (world, gate, begun)
}

/// Design 6, R26: the events wait for their handlers, and nothing else waits for them.
#[tokio::test]
async fn events_wait_when_as_many_handlers_do_as_may() {
    let (world, gate, begun) = stuck(few(|_| ()));
    let (client, player) = world.join("Ada").await;
    for n in 0..10 {
        client.fire_server(&SLOW, &n).unwrap();
        client.fire_server(&QUICK, &n).unwrap();
    }
    settle(&client).await;
    let of = |notes: &[(&'static str, u32)], name| -> Vec<u32> {
        let of = notes.iter().filter(|(which, _)| *which == name);
        of.map(|(_, n)| *n).collect()
    };
    assert_eq!(of(&begun.all(), "slow"), [0, 1, 2, 3], "no more may wait");
    assert_eq!(of(&begun.all(), "quick"), Vec::from_iter(0..10));
    let stats = ledger(&player.stats(), "Slow");
    assert_eq!((stats.dispatched, stats.held), (4, 6));
    assert!(stats.is_balanced(), "{stats:?}");

    gate.open();
    let all = begun.wait(20).await;
    assert_eq!(of(&all, "slow"), Vec::from_iter(0..10), "in their order");
    until(|| ledger(&player.stats(), "Slow").held == 0).await;
    let stats = ledger(&player.stats(), "Slow");
    assert_eq!((stats.dispatched, stats.refused), (10, vec![]));
}

/// Design 2.7: what is not even kept is counted, under a cause of its own.
#[tokio::test]
async fn more_than_may_be_kept_is_dropped_and_counted() {
    let (world, gate, begun) = stuck(few(|limits| limits.early_events = 3));
    let (client, player) = world.join("Ada").await;
    for n in 0..10 {
        client.fire_server(&SLOW, &n).unwrap();
    }
    settle(&client).await;
    let stats = ledger(&player.stats(), "Slow");
    assert_eq!((stats.dispatched, stats.held), (4, 3));
    assert_eq!(stats.refused, [(DropCause::HandlersBusy, 3)]);
    gate.open();
    let all = begun.wait(7).await;
    assert_eq!(all, Vec::from_iter((0..7).map(|n| ("slow", n))));
}

/// R32, R25: events that wait for a place are for every handler, unlike those that came too early.
#[tokio::test]
async fn an_event_that_waited_goes_to_every_handler() {
    let (world, gate, begun) = stuck(few(|_| ()));
    let notes = begun.clone();
    world
        .server
        .on_server_event(&SLOW, move |_, n| notes.push(("second", n)));
    let (client, _) = world.join("Ada").await;
    for n in 0..6 {
        client.fire_server(&SLOW, &n).unwrap();
    }
    settle(&client).await;
    assert_eq!(begun.all().len(), 8);
    gate.open();
    let all = begun.wait(12).await;
    let second = all.iter().filter(|(which, _)| *which == "second");
    assert_eq!(second.count(), 6);
}

/// R35: unreliable events are not kept, for a handler that waits either.
#[tokio::test]
async fn unreliable_events_do_not_wait_for_a_place() {
    let (world, gate, begun) = stuck(few(|_| ()));
    let notes = begun.clone();
    world.server.on_server_event(&POSE, move |_, n| {
        let notes = notes.clone();
        async move { notes.push(("pose", n)) }
    });
    let (client, player) = world.join("Ada").await;
    for n in 0..4 {
        client.fire_server(&SLOW, &n).unwrap();
    }
    begun.wait(4).await;
    let dropped = || {
        let stats = player.stats();
        let pose = stats.remotes.iter().find(|stats| stats.remote == "Pose");
        pose.map_or(0, |pose| count_of(&pose.refused, DropCause::HandlersBusy))
    };
    within(async {
        while dropped() == 0 {
            client.fire_server(&POSE, &0).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    gate.open();
    begun
        .wait_until(|notes| {
            let _ = client.fire_server(&QUICK, &0);
            let _ = client.fire_server(&POSE, &1);
            notes.contains(&("pose", 1))
        })
        .await;
}

/// Design 2.2: an event that is kept holds up no call, and a handler whose own call it would be.
#[tokio::test]
async fn a_handler_that_waits_for_its_own_client_is_not_held_up() {
    let mut limits = generous();
    limits.handlers_waiting = 1;
    let world = World::with(|server| server.limits(limits));
    let answers = Notes::new();
    let notes = answers.clone();
    world.server.on_server_event(&SLOW, move |player, _| {
        let notes = notes.clone();
        async move {
            let answer = player.server().invoke_client(&player, &ASK, &()).await;
            notes.push(answer);
        }
    });
    let (client, _) = world.join("Ada").await;
    client.on_client_invoke(&ASK, |()| 7);
    for n in 0..20 {
        client.fire_server(&SLOW, &n).unwrap();
    }
    assert_eq!(answers.wait(20).await, vec![Ok(7); 20]);
}

/// Every remote gets its turn at the places that become free.
#[tokio::test]
async fn no_remote_takes_all_the_places_that_become_free() {
    let mut limits = generous();
    limits.handlers_waiting = 1;
    let (world, _, begun) = stuck(limits);
    let (client, player) = world.join("Ada").await;
    // A gate that lets one through at a time.
    let turns = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    const TURN: RemoteEvent<u32> = RemoteEvent::new("Turn");
    const OTHER: RemoteEvent<u32> = RemoteEvent::new("OtherTurn");
    for (name, remote) in [("one", TURN), ("other", OTHER)] {
        let (turns, begun) = (turns.clone(), begun.clone());
        world.server.on_server_event(&remote, move |_, n| {
            let (turns, begun) = (turns.clone(), begun.clone());
            async move {
                begun.push((name, n));
                turns.acquire().await.expect("never closed").forget();
            }
        });
    }
    client
        .wait_for_remote_within(&OTHER, Duration::from_secs(20))
        .await
        .unwrap();
    for n in 0..10 {
        client.fire_server(&TURN, &n).unwrap();
    }
    for n in 0..10 {
        client.fire_server(&OTHER, &n).unwrap();
    }
    settle(&client).await;
    for count in 2..=10 {
        turns.add_permits(1);
        begun.wait(count).await;
    }
    let others = begun
        .all()
        .iter()
        .filter(|(who, _)| *who == "other")
        .count();
    assert!((3..=6).contains(&others), "{:?}", begun.all());
    turns.add_permits(1000);
    begun.wait(20).await;
    assert!(player.is_connected());
}

/// Design 6: handlers that were left behind count against the address, or coming back would be a way
/// to have more of them.
#[tokio::test]
async fn handlers_left_behind_count_against_the_address() {
    let (world, gate, begun) = stuck(few(|limits| limits.connections_per_address = 1));
    let (client, player) = world.join("Ada").await;
    client.fire_server(&SLOW, &0).unwrap();
    begun.wait(1).await;
    client.leave().await;
    player.left().await;
    let refused = world.client("Ada").connect().await.map(drop);
    assert!(
        matches!(
            refused,
            Err(ConnectError::Busy { .. } | ConnectError::Refused { .. })
        ),
        "{refused:?}"
    );
    gate.open();
    within(async {
        while world.client("Ada").connect().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Design 2.11: whoever is being kicked is not heard any more, and neither is what was kept of it. On
/// virtual time, and with a long way for the goodbye.
#[tokio::test(start_paused = true)]
async fn what_is_kept_of_a_player_who_is_kicked_reaches_no_handler() {
    let net = SimNet::new();
    let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"]).unwrap())
        .limits(few(|_| ()))
        .remotes(&[&SLOW])
        .network(&net.network(None))
        .start()
        .unwrap();
    let (gate, begun) = (Gate::new(), Notes::new());
    let (pass, begin) = (gate.clone(), begun.clone());
    server.on_server_event(&SLOW, move |_, n| {
        begin.push(n);
        let pass = pass.clone();
        async move { pass.pass().await }
    });
    let far = Conditioner::new(7);
    let conditions = Conditions::new(Duration::from_millis(200), 0.0);
    far.set(conditions.clone(), conditions);
    let client = Client::builder("10.0.0.1:4433", Trust::pinned([server.pin()]))
        .network(&net.network(Some(&far)))
        .connect()
        .await
        .unwrap();
    let player = server.player(client.local_player().id).unwrap();
    for n in 0..6 {
        client.fire_server(&SLOW, &n).unwrap();
    }
    begun.wait(4).await;
    until(|| ledger(&player.stats(), "Slow").held == 2).await;

    player.kick("enough");
    // Virtual: long enough to begin with the goodbye, and not to end it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.open();
    player.left().await;
    assert_eq!(begun.all(), [0, 1, 2, 3]);
    let stats = ledger(&player.stats(), "Slow");
    assert_eq!(stats.refused, [(DropCause::ConnectionEnded, 2)]);
}
