//! Nothing is lost silently: every event that was accepted is accounted for, on both sides.

use bytes::Bytes;
use farfire::{
    DropCause, Limits, LinkStats, Rate, RemoteEvent, UnreliableRemoteEvent, values::Vector3,
};

use crate::world::{World, count_of, generous, ledger, settle, until, within};

const NUMBER: RemoteEvent<u32> = RemoteEvent::new("Number");
const CHUNK: RemoteEvent<Bytes> = RemoteEvent::new("Chunk").lane("bulk");
const LOOSE: RemoteEvent<u32> = RemoteEvent::new("Loose").unordered();
const SPARE: RemoteEvent<u32> = RemoteEvent::new("Spare");
const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Pose");

fn assert_balanced(stats: &LinkStats) {
    for remote in &stats.remotes {
        assert!(remote.is_balanced(), "{remote:?}");
    }
}

/// Design 2.7: both equations hold on both sides, and what one side sent the other received.
#[tokio::test]
async fn both_sides_account_for_every_event() {
    let world = World::with(|server| {
        let remotes: [&dyn farfire::Remote; 5] = [&NUMBER, &CHUNK, &LOOSE, &SPARE, &POSE];
        server.limits(generous()).remotes(&remotes)
    });
    let server = &world.server;
    server.on_server_event(&NUMBER, |_, _| ());
    server.on_server_event(&LOOSE, |_, _| ());
    server.on_server_event(&POSE, |_, _| ());
    let _inbox = server.server_events(&CHUNK);
    let (ada, player) = within(world.join("Ada")).await;
    ada.declare(&SPARE).unwrap();
    ada.on_client_event(&NUMBER, |n| assert!(n % 7 > 0, "one in seven"));
    ada.on_client_event(&LOOSE, |_| async {});
    ada.on_client_event(&POSE, |_| ());
    let _inbox_here = ada.client_events(&CHUNK);
    for n in 0..400 {
        let chunk = Bytes::from(vec![1; n as usize * 3]);
        within(async {
            ada.fire_server_async(&NUMBER, &n).await.unwrap();
            ada.fire_server_async(&LOOSE, &n).await.unwrap();
            ada.fire_server_async(&CHUNK, &chunk).await.unwrap();
            ada.fire_server_async(&SPARE, &n).await.unwrap();
            ada.fire_server_async(&POSE, &n).await.unwrap();
            let fired = server.fire_client_async(&player, &NUMBER, &n).await;
            fired.unwrap();
            let fired = server.fire_client_async(&player, &CHUNK, &chunk).await;
            fired.unwrap();
            server.fire_all_clients(&NUMBER, &n).unwrap();
            server.fire_all_clients(&LOOSE, &n).unwrap();
            server.fire_all_clients(&SPARE, &n).unwrap();
            server.fire_all_clients(&POSE, &n).unwrap();
        })
        .await;
    }
    settle(&ada).await;
    let expected = [(&NUMBER, 400, 800), (&LOOSE, 400, 400), (&SPARE, 400, 400)];
    let names = [NUMBER.name(), LOOSE.name(), SPARE.name(), CHUNK.name()];
    // Other lanes and unordered events are outside the barrier of the call.
    until(|| {
        let (here, there) = (ada.stats(), player.stats());
        names.iter().all(|name| {
            let (here, there) = (ledger(&here, name), ledger(&there, name));
            here.received == there.accepted && there.received == here.accepted
        })
    })
    .await;
    // A snapshot may fall between an event's arrival and its place in the books.
    until(|| {
        let all = [ada.stats(), player.stats()].map(|stats| stats.remotes);
        all.iter().flatten().all(|remote| remote.is_balanced())
    })
    .await;
    let (here, there) = (ada.stats(), player.stats());
    assert_balanced(&here);
    assert_balanced(&there);
    for (remote, up, down) in expected {
        let (here, there) = (ledger(&here, remote.name()), ledger(&there, remote.name()));
        assert_eq!((here.accepted, here.sent, here.queued), (up, up, 0));
        assert_eq!((there.accepted, there.sent, there.queued), (down, down, 0));
        assert_eq!((here.received, there.received), (down, up));
    }
    let spare = ledger(&there, SPARE.name());
    assert_eq!(
        (spare.held, spare.refused),
        (256, vec![(DropCause::EarlyFull, 144)])
    );
    // Sent and not received is what the network lost.
    until(|| {
        let (here, there) = (ada.stats(), player.stats());
        let (here, there) = (ledger(&here, POSE.name()), ledger(&there, POSE.name()));
        here.queued == 0 && there.queued == 0
    })
    .await;
    let (here, there) = (ada.stats(), player.stats());
    let (here, there) = (ledger(&here, POSE.name()), ledger(&there, POSE.name()));
    assert_eq!((here.accepted, there.accepted), (400, 400));
    assert!(there.received <= here.sent && here.received <= there.sent);
}

/// R117, R124: events over the budget of the client, or of the remote, are dropped and counted.
#[tokio::test]
async fn events_over_budget_are_counted_as_rate_limited() {
    const SELDOM: RemoteEvent<u32> = RemoteEvent::new("Seldom").rate(Rate::per_second(1).burst(3));
    let mut limits = Limits::default();
    limits.events = Rate::per_second(1).burst(20);
    limits.unreliable_events = Rate::per_second(1).burst(5);
    let world = World::with(|server| server.limits(limits).remotes(&[&NUMBER, &SELDOM, &POSE]));
    world.server.on_server_event(&NUMBER, |_, _| ());
    world.server.on_server_event(&SELDOM, |_, _| ());
    world.server.on_server_event(&POSE, |_, _| ());
    let (ada, player) = within(world.join("Ada")).await;
    for n in 0..10 {
        ada.fire_server(&SELDOM, &n).unwrap();
    }
    for n in 0..100 {
        ada.fire_server(&NUMBER, &n).unwrap();
    }
    settle(&ada).await;
    let limited = |name: &str| {
        let stats = ledger(&player.stats(), name);
        assert!(stats.is_balanced());
        (
            stats.dispatched,
            count_of(&stats.refused, DropCause::RateLimit),
        )
    };
    // A token may have come back meanwhile, on a slow machine more than one.
    let (dispatched, dropped) = limited(SELDOM.name());
    assert!((3..=9).contains(&dispatched) && dispatched + dropped == 10);
    let (dispatched, dropped) = limited(NUMBER.name());
    assert!((10..=30).contains(&dispatched) && dispatched + dropped == 100);
    assert!(player.is_connected());
    // The budgets are separate.
    until(|| {
        ada.fire_server(&POSE, &0).unwrap();
        let stats = player.stats();
        let pose = stats.remotes.iter().find(|stats| stats.remote == "Pose");
        pose.is_some_and(|pose| count_of(&pose.refused, DropCause::RateLimit) > 0)
    })
    .await;
    assert!(limited(POSE.name()).0 >= 1);
}

/// Design 2.12: a broadcast to a client that means something else by the name is not sent to it.
#[tokio::test]
async fn a_broadcast_to_a_client_that_declares_it_otherwise_is_counted() {
    const THERE: RemoteEvent<u32> = RemoteEvent::new("Ambiguous");
    const HERE: RemoteEvent<Vector3> = RemoteEvent::new("Ambiguous");
    let world = World::with(|server| server.remotes(&[&THERE, &NUMBER]));
    let client = world.client("Ada").remotes(&[&HERE, &NUMBER]).connect();
    let ada = within(client).await.unwrap();
    let player = world.player(&ada).await;
    let server = &world.server;
    server.fire_all_clients(&THERE, &1).unwrap();
    server.fire_all_clients(&NUMBER, &2).unwrap();
    assert_eq!(within(ada.next_client_event(&NUMBER)).await, Some(2));
    let stats = ledger(&player.stats(), THERE.name());
    assert_eq!(stats.unsent, [(DropCause::SignatureMismatch, 1)]);
    assert!(stats.is_balanced() && stats.sent == 0);
    assert!(matches!(
        server.fire_client(&player, &THERE, &1),
        Err(farfire::FireError::SignatureMismatch {
            remote: "Ambiguous",
            ..
        })
    ));
    assert!(matches!(
        ada.fire_server(&HERE, &Vector3::default()),
        Err(farfire::FireError::SignatureMismatch {
            remote: "Ambiguous",
            ..
        })
    ));
}

/// Design 2.12: unreliable events of an id that a client does not know are dropped and counted.
#[tokio::test]
async fn unreliable_events_of_an_undeclared_remote_are_counted() {
    let world = World::with(|server| server.remotes(&[&POSE]));
    let (ada, player) = within(world.join("Ada")).await;
    until(|| {
        world.server.fire_client(&player, &POSE, &1).unwrap();
        let stats = ada.stats();
        assert_balanced(&stats);
        // By the name that the server gave it, though nothing here is called so.
        let undeclared = stats
            .remotes
            .iter()
            .find(|stats| stats.remote == POSE.name());
        undeclared.is_some_and(|pose| count_of(&pose.refused, DropCause::Unannounced) > 0)
    })
    .await;
}

/// Design 2.7: the connection's end is the only sender-side drop of a reliable event; what was held on
/// the other side is booked as well.
#[tokio::test]
async fn what_the_end_of_a_connection_takes_along_is_counted() {
    let world = World::with(|server| server.limits(generous()).remotes(&[&NUMBER, &SPARE]));
    world.server.on_server_event(&NUMBER, |_, _| ());
    let (ada, player) = within(world.join("Ada")).await;
    for n in 0..10 {
        ada.fire_server(&NUMBER, &n).unwrap();
        ada.fire_server(&SPARE, &n).unwrap();
    }
    within(ada.leave()).await;
    within(player.left()).await;
    let stats = player.stats();
    assert_balanced(&stats);
    let (number, spare) = (ledger(&stats, NUMBER.name()), ledger(&stats, SPARE.name()));
    assert_eq!((number.received, number.dispatched), (10, 10));
    assert_eq!((spare.received, spare.held), (10, 0));
    assert_eq!(spare.refused, [(DropCause::ConnectionEnded, 10)]);
    let sent = ledger(&ada.stats(), NUMBER.name());
    assert_eq!((sent.accepted, sent.sent, sent.queued), (10, 10, 0));
}
