//! Leaving: who is told of it, why, how often, and that nothing accepted is lost on the way out.

use std::{
    future::IntoFuture,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use farfire::{
    Client, CloseCode, Delivery, DisconnectReason, FireError, Flush, InvokeError, Limits, Player,
    Rate, RemoteEvent, RemoteFunction, Server, Timeouts, UnreliableRemoteEvent, tls::Trust,
};
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::{
    raw::RawClient,
    world::{Notes, World, within},
};

const COUNT: RemoteEvent<u32> = RemoteEvent::new("Count");
const SIDE: RemoteEvent<u32> = RemoteEvent::new("Side").lane("side");
const FAR: RemoteEvent<(u32, String)> = RemoteEvent::new("Far").lane("far");
const BULK: RemoteEvent<(u32, String)> = RemoteEvent::new("Bulk");
const ANYHOW: RemoteEvent<u32> = RemoteEvent::new("Anyhow").unordered();
const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Pose");
const NEVER: RemoteFunction<(), ()> = RemoteFunction::new("Never");

/// Events fired by those who are about to leave.
const MANY: u32 = 2000;

type Departure = (String, DisconnectReason);

/// Notes who leaves, and why; the player has to be readable then (R99).
fn departures(server: &Server) -> Notes<Departure> {
    let notes = Notes::new();
    let gone = notes.clone();
    server.on_player_removing(move |player, reason| {
        assert!(!player.is_connected());
        assert!(player.id().as_u64() > 0);
        assert_eq!(player.profile::<()>(), Some(&()));
        gone.push((player.name().to_string(), reason));
    });
    notes
}

/// Notes why a client's connection ended.
fn endings(client: &Client) -> Notes<DisconnectReason> {
    let notes = Notes::new();
    let ended = notes.clone();
    client.on_disconnected(move |reason| ended.push(reason));
    notes
}

fn departed(name: &str, reason: DisconnectReason) -> Departure {
    (name.into(), reason)
}

fn kicked(message: &str) -> DisconnectReason {
    DisconnectReason::Kicked {
        message: message.into(),
    }
}

fn generous() -> Limits {
    let mut limits = Limits::default();
    limits.events = Rate::per_second(1_000_000);
    limits.outbox_bytes = 16 * 1024 * 1024;
    limits.early_events = 10 * MANY as usize;
    limits.held_bytes = 64 * 1024 * 1024;
    limits
}

/// Long enough that a busy machine is not taken for a peer that does not answer.
fn patient() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.leave = Duration::from_secs(60);
    timeouts
}

/// R99, design 2.11: a player that leaves is announced once, readable, with the reason.
#[tokio::test]
async fn leaving_is_announced_once_with_the_player_readable() {
    let world = World::new();
    let gone = departures(&world.server);
    let (ada, player) = within(world.join("Ada")).await;
    let ended = endings(&ada);
    assert_eq!(within(ada.leave()).await, DisconnectReason::Left);
    assert_eq!(within(player.left()).await, DisconnectReason::Left);
    assert_eq!(
        gone.wait(1).await,
        [departed("Ada", DisconnectReason::Left)]
    );
    assert_eq!(ended.wait(1).await, [DisconnectReason::Left]);
    // A hook set afterwards is told at once.
    assert_eq!(endings(&ada).all(), [DisconnectReason::Left]);
    assert_eq!(player.name(), "Ada");
    assert_eq!(world.server.player(player.id()), None);
    within(world.server.shutdown()).await;
    assert_eq!(gone.all().len(), 1);
}

/// Design 1: a client leaves when its last handle is dropped.
#[tokio::test]
async fn dropping_the_last_handle_leaves() {
    let world = World::new();
    let gone = departures(&world.server);
    let (ada, player) = within(world.join("Ada")).await;
    let ended = endings(&ada);
    let clone = ada.clone();
    drop(ada);
    assert!(clone.is_connected());
    drop(clone);
    assert_eq!(within(player.left()).await, DisconnectReason::Left);
    assert_eq!(
        gone.wait(1).await,
        [departed("Ada", DisconnectReason::Left)]
    );
    assert_eq!(ended.wait(1).await, [DisconnectReason::Left]);
}

/// R104: a kicked player is told the message, or the default one.
#[tokio::test]
async fn a_kick_tells_the_player_why() {
    let world = World::new();
    let gone = departures(&world.server);
    for (message, told) in [
        ("no tables here", "no tables here"),
        ("", "you were removed from this server"),
    ] {
        let (ada, player) = within(world.join("Ada")).await;
        let ended = endings(&ada);
        player.kick(message);
        assert_eq!(within(ada.disconnected()).await, kicked(told));
        assert_eq!(ended.wait(1).await, [kicked(told)]);
        assert_eq!(within(player.left()).await, kicked(told));
    }
    let all = [
        departed("Ada", kicked("no tables here")),
        departed("Ada", kicked("you were removed from this server")),
    ];
    assert_eq!(gone.wait(2).await, all);
    // What is too long to be sent is cut, not lost.
    let (ada, player) = within(world.join("Ada")).await;
    world.server.kick(&player, "é".repeat(1000));
    assert_eq!(within(ada.disconnected()).await, kicked(&"é".repeat(128)));
}

/// Design 2.11: `shutdown` tells everyone, and nobody is left when it returns.
#[tokio::test]
async fn a_shutdown_tells_everyone() {
    let world = World::new();
    let gone = departures(&world.server);
    let mut clients = Vec::new();
    for name in ["Ada", "Bob", "Cy"] {
        clients.push(within(world.join(name)).await.0);
    }
    within(world.server.shutdown()).await;
    assert_eq!(world.server.players(), []);
    let mut all = gone.all();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let expected = ["Ada", "Bob", "Cy"].map(|name| departed(name, DisconnectReason::Shutdown));
    assert_eq!(all, expected);
    for client in clients {
        assert_eq!(
            within(client.disconnected()).await,
            DisconnectReason::Shutdown
        );
    }
    let late = world.client("Late").timeouts({
        let mut timeouts = Timeouts::default();
        timeouts.join = Duration::from_millis(200);
        timeouts
    });
    within(late.connect()).await.unwrap_err();
}

/// Design 1, 3: a server stops when its last handle is dropped; those of players do not keep it.
#[tokio::test]
async fn dropping_the_last_handle_of_a_server_stops_it() {
    let world = World::new();
    let gone = departures(&world.server);
    let (ada, player) = within(world.join("Ada")).await;
    let through_player = player.server();
    drop(world);
    assert_eq!(within(ada.disconnected()).await, DisconnectReason::Shutdown);
    assert_eq!(
        gone.wait(1).await,
        [departed("Ada", DisconnectReason::Shutdown)]
    );
    drop(through_player);
}

/// Design 2.11, 6: a player whose connection goes silent is given up, and so is a server.
#[tokio::test]
async fn a_silent_connection_is_given_up_by_both_sides() {
    let timeouts = || {
        let mut timeouts = patient();
        timeouts.idle = Duration::from_millis(1500);
        timeouts.keep_alive = Duration::from_millis(300);
        timeouts
    };
    let world = World::with(|server| server.timeouts(timeouts()));
    let gone = departures(&world.server);
    let wire = Wire::to(world.server.local_addr(), None).await;
    let ada = Client::builder(
        wire.address.to_string(),
        Trust::pinned([world.server.pin()]),
    )
    .name("Ada")
    .timeouts(timeouts());
    let ada = within(ada.connect()).await.unwrap();
    let player = world.player(&ada).await;
    let ended = endings(&ada);
    let calling = tokio::spawn(
        ada.invoke_server(&NEVER, &())
            .timeout(Duration::from_secs(60))
            .into_future(),
    );
    wire.cut();
    assert_eq!(within(ada.disconnected()).await, DisconnectReason::TimedOut);
    assert_eq!(within(player.left()).await, DisconnectReason::TimedOut);
    assert_eq!(
        gone.wait(1).await,
        [departed("Ada", DisconnectReason::TimedOut)]
    );
    assert_eq!(ended.wait(1).await, [DisconnectReason::TimedOut]);
    assert!(within(calling).await.unwrap().is_err());
}

/// R99: a player removed for a violation leaves like any other, and the server knows what it did.
#[tokio::test]
async fn a_violation_is_a_reason_like_any_other() {
    let world = World::new();
    let gone = departures(&world.server);
    let eve = RawClient::join(world.server.local_addr(), "Eve").await;
    let _stream = eve.uni(&[0xff]).await;
    let reason = DisconnectReason::Violation {
        code: CloseCode::MALFORMED,
    };
    assert_eq!(gone.wait(1).await, [departed("Eve", reason.clone())]);
    let text = reason.to_string();
    assert!(text.contains("broke the rules"), "{text}");
    assert_eq!(eve.closed().await.0, CloseCode::MALFORMED);
    within(world.server.shutdown()).await;
    assert_eq!(gone.all().len(), 1);
}

/// Every event the server saw of a player, and at the end that it left.
fn everything(world: &World) -> Notes<String> {
    let notes = Notes::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&COUNT, move |_, n| seen.push(format!("count {n}")));
    let seen = notes.clone();
    world
        .server
        .on_server_event(&SIDE, move |_, n| seen.push(format!("side {n}")));
    let seen = notes.clone();
    world
        .server
        .on_server_event(&FAR, move |_, (n, _)| seen.push(format!("far {n}")));
    let seen = notes.clone();
    world
        .server
        .on_server_event(&ANYHOW, move |_, n| seen.push(format!("anyhow {n}")));
    let seen = notes.clone();
    world
        .server
        .on_player_removing(move |_, reason| seen.push(format!("end: {reason}")));
    notes
}

/// The same of a client.
fn everything_at(client: &Client) -> Notes<String> {
    let notes = Notes::new();
    let seen = notes.clone();
    client.on_client_event(&COUNT, move |n| seen.push(format!("count {n}")));
    let seen = notes.clone();
    client.on_client_event(&SIDE, move |n| seen.push(format!("side {n}")));
    let seen = notes.clone();
    client.on_client_event(&FAR, move |(n, _)| seen.push(format!("far {n}")));
    let seen = notes.clone();
    client.on_client_event(&ANYHOW, move |n| seen.push(format!("anyhow {n}")));
    let seen = notes.clone();
    client.on_disconnected(move |reason| seen.push(format!("end: {reason}")));
    notes
}

async fn until_the_end(notes: &Notes<String>) -> Vec<String> {
    let ended = |notes: &[String]| notes.iter().any(|note| note.starts_with("end: "));
    notes.wait_until(ended).await
}

/// All `count` events of `kind` are among the notes, in order if there is one, and the end is last.
#[track_caller]
fn assert_all(notes: &[String], kind: &str, count: u32, in_order: bool) {
    let mut seen: Vec<u32> = notes
        .iter()
        .filter_map(|note| note.strip_prefix(kind)?.trim().parse().ok())
        .collect();
    if !in_order {
        seen.sort_unstable();
    }
    assert!(
        seen.iter().copied().eq(0..count),
        "{} of {count} {kind} events: {:?}..",
        seen.len(),
        &seen[..seen.len().min(5)]
    );
    assert!(notes.last().is_some_and(|note| note.starts_with("end: ")));
}

fn ordinary(world: impl FnOnce(farfire::ServerBuilder) -> farfire::ServerBuilder) -> World {
    World::with(|server| {
        world(
            server
                .limits(generous())
                .timeouts(patient())
                .remotes(&[&COUNT, &SIDE, &FAR, &BULK, &ANYHOW, &POSE, &NEVER]),
        )
    })
}

async fn join(world: &World, name: &str) -> (Client, Player) {
    let client = world.client(name).limits(generous()).timeouts(patient());
    let client = within(client.connect()).await.unwrap();
    let player = world.player(&client).await;
    (client, player)
}

/// Design 2.11: whatever a client fired before it left arrives, and then it leaves.
#[tokio::test]
async fn a_client_that_leaves_loses_nothing_it_fired() {
    let world = ordinary(|server| server);
    let notes = everything(&world);
    let (ada, _) = join(&world, "Ada").await;
    for n in 0..MANY {
        ada.fire_server(&COUNT, &n).unwrap();
    }
    assert_eq!(within(ada.leave()).await, DisconnectReason::Left);
    let notes = notes.wait(MANY as usize + 1).await;
    assert_all(&notes, "count", MANY, true);
    let counted = ada.stats().remotes;
    assert!(counted[0].is_balanced() && counted[0].unsent.is_empty());
    assert_eq!(counted[0].sent, u64::from(MANY));
}

/// Design 2.11: the same for a client whose last handle is dropped.
#[tokio::test]
async fn a_client_that_is_dropped_loses_nothing_it_fired() {
    let world = ordinary(|server| server);
    let notes = everything(&world);
    let (ada, _) = join(&world, "Ada").await;
    for n in 0..MANY {
        ada.fire_server(&COUNT, &n).unwrap();
    }
    drop(ada);
    assert_all(&notes.wait(MANY as usize + 1).await, "count", MANY, true);
}

/// Design 2.11: lanes and unordered events are delivered before the goodbye as well.
#[tokio::test]
async fn a_client_that_leaves_loses_nothing_on_any_lane() {
    let world = ordinary(|server| server);
    let notes = everything(&world);
    let (ada, _) = join(&world, "Ada").await;
    let weight = "x".repeat(500);
    for n in 0..MANY {
        ada.fire_server(&COUNT, &n).unwrap();
        ada.fire_server(&FAR, &(n, weight.clone())).unwrap();
        ada.fire_server(&ANYHOW, &n).unwrap();
        ada.fire_server(&SIDE, &n).unwrap();
    }
    within(ada.leave()).await;
    let notes = notes.wait(4 * MANY as usize + 1).await;
    for (kind, in_order) in [
        ("count", true),
        ("far", true),
        ("side", true),
        ("anyhow", false),
    ] {
        assert_all(&notes, kind, MANY, in_order);
    }
}

/// Design 2.11: whatever was fired to a player before it was kicked arrives before it knows.
#[tokio::test]
async fn a_kicked_player_sees_everything_fired_before() {
    let world = ordinary(|server| server);
    let (ada, player) = join(&world, "Ada").await;
    let notes = everything_at(&ada);
    for n in 0..MANY {
        world.server.fire_client(&player, &COUNT, &n).unwrap();
    }
    player.kick("enough");
    let refused = world.server.fire_client(&player, &COUNT, &MANY);
    assert!(
        matches!(
            refused,
            Err(FireError::Closing | FireError::Disconnected { .. })
        ),
        "{refused:?}"
    );
    let notes = notes.wait(MANY as usize + 1).await;
    assert_all(&notes, "count", MANY, true);
    assert_eq!(notes.last().unwrap(), "end: kicked: enough");
}

/// Design 2.11: lanes, unordered events and broadcasts too.
#[tokio::test]
async fn a_kicked_player_sees_everything_on_any_lane() {
    let world = ordinary(|server| server);
    let (ada, player) = join(&world, "Ada").await;
    let notes = everything_at(&ada);
    let weight = "x".repeat(500);
    for n in 0..MANY {
        world.server.fire_all_clients(&COUNT, &n).unwrap();
        world
            .server
            .fire_client(&player, &FAR, &(n, weight.clone()))
            .unwrap();
        world.server.fire_client(&player, &ANYHOW, &n).unwrap();
        world.server.fire_all_clients(&SIDE, &n).unwrap();
    }
    player.kick("enough");
    let notes = notes.wait(4 * MANY as usize + 1).await;
    for (kind, in_order) in [
        ("count", true),
        ("far", true),
        ("side", true),
        ("anyhow", false),
    ] {
        assert_all(&notes, kind, MANY, in_order);
    }
}

/// Design 2.11: the goodbye comes last, also where QUIC still has much of another lane to send.
#[tokio::test]
async fn a_goodbye_overtakes_no_lane() {
    // Both lanes together fit into what QUIC takes at once, and are far more than it sends at once.
    const LOAD: u32 = 100;
    let world = ordinary(|server| server);
    let load = |n| (n, "x".repeat(1500));
    // Fired in a handler, all of it is handed to QUIC in one go: the default lane is the first to be sent.
    world.server.on_server_event(&POSE, move |player, _| {
        let server = player.server();
        for n in 0..LOAD {
            server.fire_client(&player, &BULK, &load(n)).unwrap();
        }
        for n in 0..LOAD {
            server.fire_client(&player, &FAR, &load(n)).unwrap();
        }
        player.kick("enough");
    });
    let (ada, _) = join(&world, "Ada").await;
    let notes = everything_at(&ada);
    ada.fire_server(&POSE, &0).unwrap();
    assert_all(&until_the_end(&notes).await, "far", LOAD, true);

    let world = ordinary(|server| server);
    let notes = everything(&world);
    let (bob, player) = join(&world, "Bob").await;
    let leaver = bob.clone();
    bob.on_client_event(&COUNT, move |_| {
        for n in 0..LOAD {
            leaver.fire_server(&BULK, &load(n)).unwrap();
        }
        for n in 0..LOAD {
            leaver.fire_server(&FAR, &load(n)).unwrap();
        }
        leaver.leave_blocking();
    });
    world.server.fire_client(&player, &COUNT, &0).unwrap();
    assert_all(&until_the_end(&notes).await, "far", LOAD, true);
}

/// Design 2.11: a lane that is held up when its player is kicked is still sent to its end.
#[tokio::test]
async fn a_lane_that_is_held_up_is_sent_to_its_end() {
    const PIECES: u32 = 30;
    let world = ordinary(|server| server);
    let (ada, player) = join(&world, "Ada").await;
    // Nothing is acknowledged meanwhile, so that QUIC takes no more at some point. If it does, the lane
    // is not held up, and there is nothing to go wrong.
    ada.on_client_event(&COUNT, |_| thread::sleep(Duration::from_millis(500)));
    let notes = everything_at(&ada);
    world.server.fire_client(&player, &COUNT, &0).unwrap();
    for n in 0..600 {
        let load = (n, "x".repeat(1500));
        world.server.fire_client(&player, &FAR, &load).unwrap();
    }
    for n in 0..PIECES {
        world.server.fire_client(&player, &SIDE, &n).unwrap();
        // One after another, so that each is a piece of its own.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    player.kick("enough");
    let notes = until_the_end(&notes).await;
    assert_all(&notes, "far", 600, true);
    assert_all(&notes, "side", PIECES, true);
}

/// Design 2.11, `Flush::Tick`: what waits for the end of the tick leaves with the goodbye.
#[tokio::test]
async fn what_waits_for_a_tick_leaves_before_the_goodbye() {
    let world = ordinary(|server| server.flush(Flush::Tick));
    let at_server = everything(&world);
    let client = world.client("Ada").flush(Flush::Tick).timeouts(patient());
    let ada = within(client.connect()).await.unwrap();
    for n in 0..10 {
        ada.fire_server(&COUNT, &n).unwrap();
        ada.fire_server(&SIDE, &n).unwrap();
        ada.fire_server(&ANYHOW, &n).unwrap();
    }
    within(ada.leave()).await;
    let (bob, player) = join(&world, "Bob").await;
    let at_bob = everything_at(&bob);
    for n in 0..10 {
        world.server.fire_client(&player, &COUNT, &n).unwrap();
        world.server.fire_all_clients(&SIDE, &n).unwrap();
        world.server.fire_client(&player, &ANYHOW, &n).unwrap();
    }
    within(world.server.shutdown()).await;
    for notes in [at_server, at_bob] {
        let notes = notes.wait(31).await;
        assert_all(&notes, "count", 10, true);
        assert_all(&notes, "side", 10, true);
        assert_all(&notes, "anyhow", 10, false);
    }
}

/// Design 2.11: a receiver reads everything that has arrived before it takes note of the end.
#[tokio::test]
async fn a_receiver_that_is_behind_misses_nothing() {
    // So many that the goodbye arrives while the client is still busy with what came before it.
    const BACKLOG: u32 = 60_000;
    let world = ordinary(|server| server);
    let (ada, player) = join(&world, "Ada").await;
    let seen = Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    ada.on_client_event(&SIDE, move |n| {
        assert_eq!(count.fetch_add(1, Ordering::Relaxed), n);
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(10) {
            std::hint::spin_loop();
        }
    });
    let notes = Notes::new();
    let ended = notes.clone();
    ada.on_disconnected(move |_| ended.push(seen.load(Ordering::Relaxed)));
    world.server.fire_client(&player, &COUNT, &0).unwrap();
    for n in 0..BACKLOG {
        world.server.fire_client(&player, &SIDE, &n).unwrap();
    }
    player.kick("enough");
    assert_eq!(notes.wait(1).await, [BACKLOG]);
}

/// Design 2.11: a path that loses packets costs time, and no event.
#[tokio::test]
async fn leaving_over_a_lossy_path_loses_nothing() {
    let world = ordinary(|server| server);
    let notes = everything(&world);
    let wire = Wire::to(world.server.local_addr(), Some(10)).await;
    let ada = Client::builder(
        wire.address.to_string(),
        Trust::pinned([world.server.pin()]),
    )
    .limits(generous())
    .timeouts(patient());
    let ada = within(ada.connect()).await.unwrap();
    for n in 0..MANY / 4 {
        ada.fire_server(&COUNT, &n).unwrap();
        ada.fire_server(&FAR, &(n, "x".repeat(100))).unwrap();
        ada.fire_server(&ANYHOW, &n).unwrap();
    }
    within(ada.leave()).await;
    let notes = until_the_end(&notes).await;
    assert_all(&notes, "count", MANY / 4, true);
    assert_all(&notes, "far", MANY / 4, true);
    assert_all(&notes, "anyhow", MANY / 4, false);
}

/// Design 2.11: a shutdown delivers everything to everyone, within its grace.
#[tokio::test]
async fn a_shutdown_delivers_everything_to_everyone() {
    const PLAYERS: usize = 5;
    let world = ordinary(|server| server);
    let mut clients = Vec::new();
    for at in 0..PLAYERS {
        let (client, player) = join(&world, &format!("P{at}")).await;
        clients.push((everything_at(&client), client, player));
    }
    for n in 0..MANY {
        world.server.fire_all_clients(&COUNT, &n).unwrap();
        for (_, _, player) in &clients {
            world.server.fire_client(player, &SIDE, &n).unwrap();
        }
    }
    within(world.server.shutdown()).await;
    for (notes, _, _) in &clients {
        let notes = notes.wait(2 * MANY as usize + 1).await;
        assert_all(&notes, "count", MANY, true);
        assert_all(&notes, "side", MANY, true);
        assert_eq!(notes.last().unwrap(), "end: the server stopped");
    }
}

/// Design 2.11, R107: what a server that is dropped has accepted is delivered as well.
#[tokio::test]
async fn a_server_that_is_dropped_loses_nothing_it_fired() {
    let world = ordinary(|server| server);
    let (ada, player) = join(&world, "Ada").await;
    let notes = everything_at(&ada);
    for n in 0..MANY {
        world.server.fire_client(&player, &COUNT, &n).unwrap();
    }
    drop((world, player));
    assert_all(&notes.wait(MANY as usize + 1).await, "count", MANY, true);
}

/// Design 2.11: the last thing said before an unannounced end is delivered too: events of a handler.
#[tokio::test]
async fn what_a_handler_fires_before_it_kicks_arrives() {
    let world = ordinary(|server| server);
    world.server.on_server_event(&COUNT, |player, count| {
        let server = player.server();
        for n in 0..count {
            server.fire_client(&player, &COUNT, &n).unwrap();
        }
        player.kick("counted");
    });
    let (ada, _) = join(&world, "Ada").await;
    let notes = everything_at(&ada);
    ada.fire_server(&COUNT, &MANY).unwrap();
    assert_all(&notes.wait(MANY as usize + 1).await, "count", MANY, true);
}

/// R107, design 2.11: calls to and of a player that leaves fail at once, those in line included.
#[tokio::test]
async fn pending_calls_fail_at_once_when_a_connection_ends() {
    // Twice as many as may be in flight, so that some are still in line.
    const CALLS: usize = 64;
    for ender in ["client", "server"] {
        let world = ordinary(|server| server);
        let started = Notes::new();
        let (here, there) = (started.clone(), started.clone());
        world.server.on_server_invoke(&NEVER, move |_, ()| {
            here.push(());
            std::future::pending::<()>()
        });
        let (ada, player) = join(&world, "Ada").await;
        ada.on_client_invoke(&NEVER, move |()| {
            there.push(());
            std::future::pending::<()>()
        });
        let minute = Duration::from_secs(60);
        let mut calls: Vec<JoinHandle<Result<(), InvokeError>>> = Vec::new();
        for _ in 0..CALLS {
            let up = ada.invoke_server(&NEVER, &()).timeout(minute);
            calls.push(tokio::spawn(up.into_future()));
            let down = world.server.invoke_client(&player, &NEVER, &());
            calls.push(tokio::spawn(down.timeout(minute).into_future()));
        }
        // 16 run on each side.
        started.wait(32).await;
        let began = Instant::now();
        match ender {
            "client" => _ = within(ada.leave()).await,
            _ => player.kick("enough"),
        }
        for call in calls {
            let error = within(call).await.unwrap().unwrap_err();
            assert!(
                matches!(
                    error,
                    InvokeError::Disconnected { .. }
                        | InvokeError::Busy { .. }
                        | InvokeError::Draining
                ),
                "{error:?}"
            );
        }
        // The grace of a minute is for events; nobody waits it out because of a call.
        assert!(began.elapsed() < Duration::from_secs(20), "{ender}");
        let late = within(ada.invoke_server(&NEVER, &()).into_future()).await;
        let error = late.unwrap_err();
        assert!(
            matches!(error, InvokeError::Disconnected { .. }),
            "{error:?}"
        );
        assert_eq!(error.delivery(), Delivery::NotSent);
        let late = world.server.invoke_client(&player, &NEVER, &());
        let error = within(late.into_future()).await.unwrap_err();
        assert!(
            matches!(error, InvokeError::Disconnected { .. }),
            "{error:?}"
        );
    }
}

/// R107: after the end everything says so, on both sides, and waits for nothing.
#[tokio::test]
async fn everything_after_the_end_says_why_it_ended() {
    let world = ordinary(|server| server);
    let (ada, player) = join(&world, "Ada").await;
    let waiting = {
        let ada = ada.clone();
        tokio::spawn(async move { ada.next_client_event(&COUNT).await })
    };
    player.kick("enough");
    let reason = within(ada.disconnected()).await;
    let error = ada.fire_server(&COUNT, &1).unwrap_err();
    assert_eq!(error, FireError::Disconnected { reason });
    assert_eq!(error.to_string(), "not connected: kicked: enough");
    let error = within(ada.fire_server_async(&COUNT, &1)).await.unwrap_err();
    assert!(matches!(error, FireError::Disconnected { .. }), "{error:?}");
    ada.fire_server(&POSE, &1).unwrap_err();
    assert_eq!(within(waiting).await.unwrap(), None);
    assert_eq!(within(ada.next_client_event(&COUNT)).await, None);

    within(player.left()).await;
    let error = world.server.fire_client(&player, &COUNT, &1).unwrap_err();
    assert_eq!(error.to_string(), "not connected: kicked: enough");
    // To everyone is to nobody.
    world.server.fire_all_clients(&COUNT, &1).unwrap();
    world.server.fire_clients([&player], &COUNT, &1).unwrap();
}

/// `leave`, `shutdown`, `kick`: doing it twice, or after the other side did, is harmless.
#[tokio::test]
async fn ending_twice_is_harmless() {
    let world = World::new();
    let gone = departures(&world.server);
    let (ada, player) = within(world.join("Ada")).await;
    let (first, second) = within(async { tokio::join!(ada.leave(), ada.leave()) }).await;
    assert_eq!(
        (first, second),
        (DisconnectReason::Left, DisconnectReason::Left)
    );
    assert_eq!(within(ada.leave()).await, DisconnectReason::Left);
    player.kick("too late");
    assert_eq!(within(player.left()).await, DisconnectReason::Left);

    let (_bob, bob) = within(world.join("Bob")).await;
    bob.kick("first");
    bob.kick("second");
    assert_eq!(within(bob.left()).await, kicked("first"));

    let (server, again) = (world.server.clone(), world.server.clone());
    within(async { tokio::join!(server.shutdown(), again.shutdown()) }).await;
    within(world.server.shutdown()).await;
    bob.kick("third");
    let all = [
        departed("Ada", DisconnectReason::Left),
        departed("Bob", kicked("first")),
    ];
    assert_eq!(gone.all(), all);
}

/// Design 2.11: both sides may end the connection at the same moment.
#[tokio::test]
async fn both_sides_may_leave_at_once() {
    let world = ordinary(|server| server);
    let gone = departures(&world.server);
    for round in 1..=10 {
        let (ada, player) = join(&world, "Ada").await;
        player.kick("go");
        let reason = within(ada.leave()).await;
        assert!(
            reason == DisconnectReason::Left || reason == kicked("go"),
            "{reason:?}"
        );
        within(player.left()).await;
        assert_eq!(gone.wait(round).await.len(), round);
    }
}

/// Design 3: `shutdown` clears the registry, so that handlers may hold what they like.
#[tokio::test]
async fn handlers_and_what_they_captured_are_gone_after_the_end() {
    let held = Arc::new(());
    let world = World::with(|server| {
        let (auth, added, removing) = (held.clone(), held.clone(), held.clone());
        server
            .on_player_added(move |_| _ = &added)
            .on_player_removing(move |_, _| _ = &removing)
            .authenticate(move |_| {
                let _ = &auth;
                async { Ok(farfire::Admission::new()) }
            })
    });
    let (one, two, three) = (held.clone(), held.clone(), held.clone());
    // A handler that holds its own server would keep it for ever, were it not for `shutdown`.
    let server = world.server.clone();
    world.server.on_server_event(&COUNT, move |_, _| {
        let _ = (&one, &server);
    });
    world
        .server
        .on_server_event_once(&SIDE, move |_, _| _ = &two);
    world
        .server
        .on_server_invoke(&NEVER, move |_, ()| _ = &three);
    let (ada, _) = within(world.join("Ada")).await;
    let (one, two, three) = (held.clone(), held.clone(), held.clone());
    let itself = ada.clone();
    ada.on_client_event(&COUNT, move |_| {
        let _ = (&one, &itself);
    });
    ada.on_client_invoke(&NEVER, move |()| _ = &two);
    ada.on_disconnected(move |_| _ = &three);
    assert!(Arc::strong_count(&held) > 8);

    within(world.server.shutdown()).await;
    within(ada.disconnected()).await;
    drop((ada, world));
    gone(Arc::downgrade(&held), held).await;
}

/// Design 3: neither does it keep hooks that are set when it has stopped, which nobody would run.
#[tokio::test]
async fn hooks_that_are_set_after_the_end_are_not_kept() {
    let world = World::new();
    within(world.server.shutdown()).await;
    let held = Arc::new(());
    let (one, two) = (held.clone(), held.clone());
    let (server, itself) = (world.server.clone(), world.server.clone());
    world.server.on_player_added(move |_| {
        let _ = (&one, &server);
    });
    world.server.on_player_removing(move |_, _| {
        let _ = (&two, &itself);
    });
    assert_eq!(Arc::strong_count(&held), 1);
}

/// R107: a player that has left, and is kept by nobody, is gone with all that it had.
#[tokio::test]
async fn a_player_that_left_is_freed() {
    struct Account(Notes<&'static str>);
    impl Drop for Account {
        fn drop(&mut self) {
            self.0.push("freed");
        }
    }
    let notes = Notes::new();
    let freed = notes.clone();
    let world = World::with(|server| {
        server.authenticate(move |_| {
            let account = Account(freed.clone());
            async move { Ok(farfire::Admission::new().profile(account)) }
        })
    });
    let (ada, player) = within(world.join("Ada")).await;
    within(ada.leave()).await;
    within(player.left()).await;
    assert!(notes.all().is_empty());
    drop(player);
    // While the server runs on.
    notes.wait(1).await;
    within(world.join("Bob")).await;
}

/// Waits until `last` is the only one left.
async fn gone(weak: Weak<()>, last: Arc<()>) {
    within(async {
        while weak.strong_count() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(last);
}

/// A UDP path between one client and the server, which can be cut.
struct Wire {
    address: SocketAddr,
    relay: JoinHandle<()>,
}

impl Wire {
    /// A path that loses every `lost`th packet.
    async fn to(server: SocketAddr, lost: Option<u32>) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        back.connect(server).await.unwrap();
        let address = front.local_addr().unwrap();
        let relay = tokio::spawn(async move {
            let mut client = None;
            let mut count = 0;
            let mut passes = || {
                count += 1;
                lost.is_none_or(|lost| count % lost != 0)
            };
            let (mut up, mut down) = ([0; 2048], [0; 2048]);
            loop {
                tokio::select! {
                    Ok((len, from)) = front.recv_from(&mut up) => {
                        client = Some(from);
                        if passes() {
                            let _ = back.send(&up[..len]).await;
                        }
                    }
                    Ok(len) = back.recv(&mut down) => {
                        if let Some(client) = client && passes() {
                            let _ = front.send_to(&down[..len], client).await;
                        }
                    }
                }
            }
        });
        Self { address, relay }
    }

    /// From now on nothing gets through.
    fn cut(self) {
        self.relay.abort();
    }
}

/// What hooks hold is the program's, and so is its `Drop`: no lock is held meanwhile.
#[tokio::test]
async fn what_hooks_hold_may_use_the_server_when_it_goes() {
    struct Last(Server, Notes<&'static str>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.on_player_removing(|_, _| ());
            self.1.push("gone");
        }
    }
    let world = World::new();
    let notes = Notes::new();
    let last = Last(world.server.clone(), notes.clone());
    world.server.on_player_removing(move |_, _| _ = &last);
    within(world.server.shutdown()).await;
    assert_eq!(notes.all(), ["gone"]);
}
