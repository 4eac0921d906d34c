//! Unreliable events: at most once, never in pieces, the newest first.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use farfire::{DropCause, FireError, Flush, Limits, RemoteEvent, UnreliableRemoteEvent};

use crate::world::{Notes, World, count_of, generous, ledger, settle, until, within};

const BLOB: UnreliableRemoteEvent<Bytes> = UnreliableRemoteEvent::new("Blob");
const POSE: UnreliableRemoteEvent<(u32, Bytes)> = UnreliableRemoteEvent::new("Pose");

/// Three bytes say how long a blob of this size is.
const LARGEST: usize = 1000 - 3;

/// R42-R44: 1000 encoded bytes are delivered, 1001 are an error at the call.
#[tokio::test]
async fn a_thousand_bytes_travel_and_one_more_is_too_large() {
    let world = World::with(|server| server.remotes(&[&BLOB]));
    let up = Notes::<usize>::new();
    let seen = up.clone();
    world
        .server
        .on_server_event(&BLOB, move |_, blob| seen.push(blob.len()));
    let (ada, player) = within(world.join("Ada")).await;
    let down = Notes::<usize>::new();
    let seen = down.clone();
    ada.on_client_event(&BLOB, move |blob| seen.push(blob.len()));

    let largest = Bytes::from(vec![1; LARGEST]);
    assert_eq!(BLOB.encoded_len(&largest).unwrap(), 1000);
    // Fired again while nothing arrives: any one of them may be lost.
    until(|| {
        ada.fire_server(&BLOB, &largest).unwrap();
        !up.all().is_empty()
    })
    .await;
    until(|| {
        world.server.fire_client(&player, &BLOB, &largest).unwrap();
        !down.all().is_empty()
    })
    .await;
    assert_eq!((up.all()[0], down.all()[0]), (LARGEST, LARGEST));

    let larger = Bytes::from(vec![1; LARGEST + 1]);
    assert_eq!(BLOB.encoded_len(&larger).unwrap(), 1001);
    let too_large = FireError::TooLarge {
        remote: "Blob",
        size: 1001,
        limit: 1000,
    };
    let accepted = ledger(&ada.stats(), BLOB.name()).accepted;
    assert_eq!(ada.fire_server(&BLOB, &larger), Err(too_large.clone()));
    let server = &world.server;
    assert_eq!(
        server.fire_client(&player, &BLOB, &larger),
        Err(too_large.clone())
    );
    assert_eq!(server.fire_all_clients(&BLOB, &larger), Err(too_large));
    assert_eq!(ledger(&ada.stats(), BLOB.name()).accepted, accepted);
}

/// R45: small events share datagrams, large ones never push each other over the limit.
#[tokio::test]
async fn events_of_all_sizes_travel_together() {
    let world = World::with(|server| server.limits(generous()).remotes(&[&POSE]));
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    world.server.on_server_event(&POSE, move |_, (n, blob)| {
        assert_eq!(blob.len(), n as usize * 61 % 990);
        seen.push(n);
    });
    // All of them fit half of the outbox, so that they leave together, at the flush, and none gives way.
    let mut limits = Limits::default();
    limits.unreliable_outbox_bytes = 512 * 1024;
    let client = world.client("Ada").limits(limits).flush(Flush::Tick);
    let ada = within(client.connect()).await.unwrap();
    for n in 0..300 {
        let blob = Bytes::from(vec![9; n as usize * 61 % 990]);
        ada.fire_server(&POSE, &(n, blob)).unwrap();
    }
    ada.flush();
    until(|| ledger(&ada.stats(), POSE.name()).sent == 300).await;
    // Lost on loopback are at most those that found a buffer full.
    until(|| notes.all().len() >= 100).await;
    settle(&ada).await;
    let seen = notes.all();
    let different: BTreeSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len());
}

/// R38: broadcasts of unreliable events reach everyone.
#[tokio::test]
async fn an_unreliable_broadcast_reaches_everyone() {
    let world = World::with(|server| server.remotes(&[&POSE]));
    let (ada, _) = within(world.join("Ada")).await;
    let (bob, bob_there) = within(world.join("Bob")).await;
    let [seen_by_ada, seen_by_bob] = [&ada, &bob].map(|client| {
        let notes = Notes::<u32>::new();
        let seen = notes.clone();
        client.on_client_event(&POSE, move |(n, _)| seen.push(n));
        notes
    });
    let server = &world.server;
    until(|| {
        server.fire_all_clients(&POSE, &(1, Bytes::new())).unwrap();
        !seen_by_ada.all().is_empty() && !seen_by_bob.all().is_empty()
    })
    .await;
    until(|| {
        let all_but_bob = server.fire_all_clients_except(&bob_there, &POSE, &(2, Bytes::new()));
        all_but_bob.unwrap();
        seen_by_ada.all().contains(&2)
    })
    .await;
    settle(&bob).await;
    assert!(!seen_by_bob.all().contains(&2));
}

/// Design 2.4: without room the newest win, and those that gave way are counted.
#[tokio::test]
async fn the_newest_win_when_there_is_no_room() {
    let mut limits = Limits::default();
    limits.unreliable_outbox_bytes = 2048;
    let world = World::with(|server| server.limits(limits).flush(Flush::Tick).remotes(&[&POSE]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&POSE, move |(n, _)| seen.push(n));
    for n in 0..100 {
        let args = (n, Bytes::from(vec![0; 480]));
        world.server.fire_client(&player, &POSE, &args).unwrap();
    }
    world.server.flush();
    until(|| ledger(&player.stats(), POSE.name()).queued == 0).await;
    let stats = ledger(&player.stats(), POSE.name());
    let superseded = count_of(&stats.unsent, DropCause::Superseded);
    assert_eq!((stats.accepted, stats.sent + superseded), (100, 100));
    assert!(stats.is_balanced());
    // Loopback loses nothing this small, so what came last is among what came.
    until(|| notes.all().contains(&99)).await;
    settle(&ada).await;
    assert!(notes.all().len() as u64 <= stats.sent);
}

/// Design 2.4: the waiting form waits for room, and nothing gives way.
#[tokio::test]
async fn the_waiting_form_loses_none_before_the_network() {
    const EVENTS: u64 = 500;
    let mut limits = generous();
    limits.unreliable_outbox_bytes = 2048;
    let world = World::with(|server| server.limits(limits.clone()).remotes(&[&POSE]));
    // Where nothing leaves before a tick, waiting makes what is queued due.
    let client = world.client("Ada").limits(limits).flush(Flush::Tick);
    let ada = within(client.connect()).await.unwrap();
    let player = within(world.player(&ada)).await;
    within(async {
        for n in 0..EVENTS as u32 {
            let args = (n, Bytes::from(vec![0; 480]));
            ada.fire_server_async(&POSE, &args).await.unwrap();
            let server = &world.server;
            server
                .fire_client_async(&player, &POSE, &args)
                .await
                .unwrap();
        }
    })
    .await;
    ada.flush();
    let both = || [ada.stats(), player.stats()].map(|stats| ledger(&stats, POSE.name()));
    until(|| both().iter().all(|stats| stats.queued == 0)).await;
    for stats in both() {
        assert_eq!((stats.accepted, stats.sent), (EVENTS, EVENTS), "{stats:?}");
        assert_eq!(stats.unsent, []);
    }
}

/// R40: an unreliable event does not wait for reliable ones that were fired before it.
#[tokio::test]
async fn unreliable_events_do_not_wait_for_reliable_ones() {
    const CHUNK: RemoteEvent<Bytes> = RemoteEvent::new("Chunk");
    let world = World::with(|server| server.remotes(&[&POSE, &CHUNK]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<&str>::new();
    let seen = notes.clone();
    ada.on_client_event(&POSE, move |_| seen.push("pose"));
    let seen = notes.clone();
    ada.on_client_event(&CHUNK, move |_| seen.push("chunk"));
    let chunk = Bytes::from(vec![0; 200 * 1024]);
    let mut overtakes = 0;
    for _ in 0..20 {
        let before = notes.all().len();
        let server = &world.server;
        server.fire_client(&player, &CHUNK, &chunk).unwrap();
        server
            .fire_client(&player, &POSE, &(0, Bytes::new()))
            .unwrap();
        settle(&ada).await;
        overtakes += usize::from(notes.all()[before] == "pose");
    }
    assert!(overtakes > 0, "{overtakes} of 20");
}

/// R47: on a network that keeps the order, nothing is stale.
#[tokio::test]
async fn latest_wins_passes_what_arrives_in_order() {
    const LATEST: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Latest").latest_wins();
    const BY_ENTITY: UnreliableRemoteEvent<(u64, u32)> =
        UnreliableRemoteEvent::new("ByEntity").latest_by(|(entity, _)| *entity);
    let world = World::with(|server| server.remotes(&[&LATEST, &BY_ENTITY]));
    let (ada, player) = within(world.join("Ada")).await;
    let (latest, by_entity) = (Notes::<u32>::new(), Notes::<(u64, u32)>::new());
    let seen = latest.clone();
    ada.on_client_event(&LATEST, move |n| seen.push(n));
    let seen = by_entity.clone();
    ada.on_client_event(&BY_ENTITY, move |update| seen.push(update));
    for n in 0..50 {
        let server = &world.server;
        server.fire_client(&player, &LATEST, &n).unwrap();
        let update = (u64::from(n % 3), n);
        server.fire_client(&player, &BY_ENTITY, &update).unwrap();
        // In small steps, so that one lost datagram is not all of them.
        tokio::time::timeout(Duration::from_millis(2), latest.wait(n as usize + 1))
            .await
            .ok();
    }
    until(|| latest.all().len() > 25 && by_entity.all().len() > 25).await;
    assert!(latest.all().is_sorted());
    for entity in 0..3 {
        let all = by_entity.all();
        let theirs = all.iter().filter(|(of, _)| *of == entity);
        assert!(theirs.is_sorted(), "{entity}");
    }
}
