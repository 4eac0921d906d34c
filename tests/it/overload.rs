//! Overload has a declared policy, and one player that does not read costs only itself.

use std::{
    pin::pin,
    sync::{Mutex, mpsc},
    time::Duration,
};

use bytes::Bytes;
use farfire::{
    Client, DisconnectReason, DropCause, FireError, Limits, Overflow, Player, RemoteEvent,
    Timeouts, UnreliableRemoteEvent,
};

use crate::world::{Notes, World, count_of, ledger, settle, until, within};

const FREEZE: RemoteEvent<()> = RemoteEvent::new("Freeze");
const CHUNK: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Chunk");
const STRICT: RemoteEvent<Bytes> = RemoteEvent::new("Strict").overflow(Overflow::Disconnect);
const POSE: UnreliableRemoteEvent<(u32, Bytes)> = UnreliableRemoteEvent::new("Pose");
const NUMBER: RemoteEvent<u32> = RemoteEvent::new("Number");

/// More than QUIC and the outbox take for a player that does not read, with room to spare.
const BOUND: usize = 2 * 1024 * 1024;

/// A client whose network thread stands still, until it is told to go on.
struct Frozen {
    client: Client,
    player: Player,
    chunks: Notes<u32>,
    go_on: mpsc::Sender<()>,
}

/// As patient as the test, so that no connection ends of silence.
fn patient() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.idle = Duration::from_secs(120);
    timeouts
}

fn world() -> World {
    World::with(|server| {
        let remotes: [&dyn farfire::Remote; 5] = [&FREEZE, &CHUNK, &STRICT, &POSE, &NUMBER];
        server.timeouts(patient()).remotes(&remotes)
    })
}

async fn freeze(world: &World) -> Frozen {
    let client = world.client("Ice").timeouts(patient()).connect();
    let client = within(client).await.unwrap();
    let player = world.player(&client).await;
    let chunks = Notes::new();
    let seen = chunks.clone();
    client.on_client_event(&CHUNK, move |(n, _)| seen.push(n));
    let (go_on, told) = mpsc::channel();
    let (told, frozen) = (Mutex::new(told), Notes::<()>::new());
    let begun = frozen.clone();
    client.on_client_event(&FREEZE, move |()| {
        begun.push(());
        // An error means that the test is over.
        let _ = told.lock().unwrap().recv();
    });
    world.server.fire_client(&player, &FREEZE, &()).unwrap();
    frozen.wait(1).await;
    Frozen {
        client,
        player,
        chunks,
        go_on,
    }
}

fn chunk(n: u32) -> (u32, Bytes) {
    (n, vec![4; 16 * 1024].into())
}

/// Fires chunks until there is no room, and says how many were accepted.
fn fill(world: &World, player: &Player) -> (u32, FireError) {
    let mut accepted = 0;
    loop {
        match world.server.fire_client(player, &CHUNK, &chunk(accepted)) {
            Ok(()) => accepted += 1,
            Err(error) => return (accepted, error),
        }
        assert!(accepted as usize * 16 * 1024 <= BOUND, "it must end");
    }
}

/// Fills until the network has taken what it takes, so that there is no room and will be none.
async fn fill_up(world: &World, player: &Player) -> u32 {
    let (witness, _) = within(world.join("Witness")).await;
    let (mut accepted, mut idle) = (0, 0);
    while idle < 3 {
        match world.server.fire_client(player, &CHUNK, &chunk(accepted)) {
            Ok(()) => (accepted, idle) = (accepted + 1, 0),
            Err(FireError::QueueFull { .. }) => {
                idle += 1;
                // There and back: the network thread has had its turn with the player's queue too.
                settle(&witness).await;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(accepted as usize * 16 * 1024 <= BOUND, "it must end");
    }
    within(witness.leave()).await;
    accepted
}

/// Design 2.8: without credit the call says so, nothing is counted, and all that was accepted arrives.
#[tokio::test]
async fn a_full_outbox_rejects_and_keeps_what_it_took() {
    let world = world();
    let ice = freeze(&world).await;
    let (accepted, error) = fill(&world, &ice.player);
    assert!(
        matches!(error, FireError::QueueFull { queued, limit } if queued <= limit && limit == 256 * 1024),
        "{error:?}"
    );
    let accepted = {
        let stats = ledger(&ice.player.stats(), CHUNK.name());
        assert_eq!(stats.accepted, u64::from(accepted));
        assert!(stats.unsent.is_empty());
        accepted
    };
    assert!(ice.player.stats().queued_bytes <= 256 * 1024);
    ice.go_on.send(()).unwrap();
    settle(&ice.client).await;
    assert!(ice.chunks.all().into_iter().eq(0..accepted));
    assert!(ice.player.is_connected());
}

/// Design 2.8: `Overflow::Disconnect` gives the player up.
#[tokio::test]
async fn a_remote_may_disconnect_a_player_that_does_not_read() {
    let world = world();
    let ice = freeze(&world).await;
    let accepted = fill_up(&world, &ice.player).await;
    let payload = Bytes::from(vec![0; 16 * 1024]);
    let refused = world.server.fire_client(&ice.player, &STRICT, &payload);
    assert!(matches!(refused, Err(FireError::QueueFull { .. })));
    let reason = within(ice.player.left()).await;
    assert_eq!(reason, DisconnectReason::SlowConsumer);
    let stats = ledger(&ice.player.stats(), CHUNK.name());
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!((stats.accepted, stats.queued), (u64::from(accepted), 0));
    assert!(count_of(&stats.unsent, DropCause::ConnectionEnded) > 0);
    ice.go_on.send(()).unwrap();
    // The reason needs room in the congestion window, which is full of what the client did not read.
    let reason = within(ice.client.disconnected()).await;
    assert!(
        matches!(
            reason,
            DisconnectReason::SlowConsumer | DisconnectReason::Lost { .. }
        ),
        "{reason:?}"
    );
}

/// Design 2.8: the waiting form waits, and goes on when there is room.
#[tokio::test]
async fn the_waiting_form_waits_for_room() {
    let world = world();
    let ice = freeze(&world).await;
    let accepted = fill_up(&world, &ice.player).await;
    let next = chunk(accepted);
    {
        let waiting = world.server.fire_client_async(&ice.player, &CHUNK, &next);
        let mut waiting = pin!(waiting);
        let patience = Duration::from_millis(50);
        let early = tokio::time::timeout(patience, &mut waiting).await;
        assert!(early.is_err(), "there was room");
        ice.go_on.send(()).unwrap();
        within(waiting).await.unwrap();
    }
    settle(&ice.client).await;
    assert!(ice.chunks.all().into_iter().eq(0..=accepted));
}

/// Design 2.8: whoever waits for room of a player that goes is told.
#[tokio::test]
async fn the_waiting_form_ends_with_the_connection() {
    let world = world();
    let ice = freeze(&world).await;
    let accepted = fill_up(&world, &ice.player).await;
    let next = chunk(accepted);
    let mut waiting = pin!(world.server.fire_client_async(&ice.player, &CHUNK, &next));
    let patience = Duration::from_millis(50);
    assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
    ice.player.kick("too slow");
    let error = within(waiting).await.unwrap_err();
    assert!(
        matches!(error, FireError::Disconnected { .. } | FireError::Closing),
        "{error:?}"
    );
    within(ice.player.left()).await;
    let stats = ledger(&ice.player.stats(), CHUNK.name());
    assert!(stats.is_balanced() && stats.queued == 0, "{stats:?}");
    ice.go_on.send(()).unwrap();
}

/// Design 2.8: one frozen player costs only itself, and bounded memory.
#[tokio::test]
async fn the_others_are_not_disturbed_by_a_frozen_player() {
    let world = world();
    let ice = freeze(&world).await;
    let (bob, bob_there) = within(world.join("Bob")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    bob.on_client_event(&NUMBER, move |n| seen.push(n));
    bob.on_client_event(&CHUNK, |_| ());
    fill_up(&world, &ice.player).await;
    for n in 0..200 {
        let server = &world.server;
        within(server.fire_client_async(&bob_there, &CHUNK, &chunk(n)))
            .await
            .unwrap();
        server.fire_client(&bob_there, &NUMBER, &n).unwrap();
    }
    settle(&bob).await;
    assert!(notes.all().into_iter().eq(0..200));
    assert!(ice.player.is_connected() && ice.player.stats().queued_bytes <= 256 * 1024);

    // Broadcasts are accepted for it beyond its credit, up to a hard cap; the others get them all.
    let chunks = Notes::<u32>::new();
    let seen = chunks.clone();
    bob.on_client_event(&CHUNK, move |(n, _)| seen.push(n));
    let mut fired = 0;
    while ice.player.is_connected() {
        world
            .server
            .fire_all_clients(&CHUNK, &chunk(fired))
            .unwrap();
        fired += 1;
        settle(&bob).await;
        let cap = Limits::default().outbox_bytes + Limits::default().broadcast_bytes;
        assert!(fired as usize * 16 * 1024 <= BOUND + cap, "it must end");
    }
    assert_eq!(
        within(ice.player.left()).await,
        DisconnectReason::SlowConsumer
    );
    let stats = ledger(&ice.player.stats(), CHUNK.name());
    assert_eq!(count_of(&stats.unsent, DropCause::OutboxFull), 1);
    assert!(stats.is_balanced(), "{stats:?}");
    assert!(chunks.all().into_iter().eq(0..fired));
    assert!(bob_there.is_connected());
    ice.go_on.send(()).unwrap();
}

/// Design 2.8: of unreliable broadcasts a player that is behind misses some, counted, and stays.
#[tokio::test]
async fn a_frozen_player_misses_unreliable_events_and_gets_the_newest() {
    let world = world();
    let ice = freeze(&world).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ice.client
        .on_client_event(&POSE, move |(n, _)| seen.push(n));
    let mut n = 0;
    let superseded = || {
        let stats = ledger(&ice.player.stats(), POSE.name());
        assert!(stats.is_balanced());
        count_of(&stats.unsent, DropCause::Superseded)
    };
    until(|| {
        for _ in 0..50 {
            let pose = (n, Bytes::from(vec![0; 900]));
            world.server.fire_client(&ice.player, &POSE, &pose).unwrap();
            n += 1;
        }
        superseded() > 1000
    })
    .await;
    assert!(ice.player.stats().queued_bytes <= Limits::default().unreliable_outbox_bytes);
    ice.go_on.send(()).unwrap();
    // The last that was fired had nothing after it that could take its place.
    until(|| notes.all().contains(&(n - 1))).await;
    assert!(ice.player.is_connected());
}

/// Design 2.8: a broadcast reserves the log alone, and says when that is full.
#[tokio::test]
async fn a_full_log_of_broadcasts_rejects_for_everyone() {
    let mut limits = Limits::default();
    limits.broadcast_bytes = 64 * 1024;
    let world = World::with(|server| {
        let remotes: [&dyn farfire::Remote; 3] = [&FREEZE, &CHUNK, &NUMBER];
        server.limits(limits).remotes(&remotes)
    });
    let (ada, _) = within(world.join("Ada")).await;
    let chunks = Notes::<u32>::new();
    let seen = chunks.clone();
    ada.on_client_event(&CHUNK, move |(n, _)| seen.push(n));
    // While the server's own thread stands in a handler, nobody empties the log.
    let (go_on, told) = mpsc::channel::<()>();
    let (told, frozen) = (Mutex::new(told), Notes::<()>::new());
    let begun = frozen.clone();
    world.server.on_server_event(&FREEZE, move |_, ()| {
        begun.push(());
        let _ = told.lock().unwrap().recv();
    });
    ada.fire_server(&FREEZE, &()).unwrap();
    frozen.wait(1).await;
    let mut accepted = 0;
    let error = loop {
        match world.server.fire_all_clients(&CHUNK, &chunk(accepted)) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(accepted, 3);
    assert!(
        matches!(error, FireError::QueueFull { limit, .. } if limit == 64 * 1024),
        "{error:?}"
    );
    go_on.send(()).unwrap();
    settle(&ada).await;
    assert_eq!(chunks.all(), [0, 1, 2]);
}
