//! Remotes: which ones exist, when a client knows of them, and what happens where two sides disagree.

use std::{
    fmt,
    future::IntoFuture,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use farfire::{
    Client, ConnectError, DeclareError, DropCause, FireError, InvokeError, LinkStats, NameError,
    Player, Remote, RemoteEvent, RemoteFunction, RemoteKind, StartError, UnreliableRemoteEvent,
    WaitError,
};
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::world::{Notes, World, within};

const CHAT: RemoteEvent<String> = RemoteEvent::new("Chat");
const MARK: RemoteEvent<u32> = RemoteEvent::new("Mark");
const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");

/// Remotes that one side takes for something else than the other.
mod here {
    use super::*;

    pub(super) const HIT: RemoteEvent<(u32, f32)> = RemoteEvent::new("Hit");
    pub(super) const POSE: UnreliableRemoteEvent<[f32; 3]> = UnreliableRemoteEvent::new("Pose");
    pub(super) const BUY: RemoteFunction<u32, bool> = RemoteFunction::new("Buy");
    pub(super) const WARP: RemoteEvent<u8> = RemoteEvent::new("Warp");
    pub(super) const ALL: [&dyn Remote; 4] = [&HIT, &POSE, &BUY, &WARP];
}

mod there {
    use super::*;

    pub(super) const HIT: RemoteEvent<String> = RemoteEvent::new("Hit");
    pub(super) const POSE: UnreliableRemoteEvent<[f64; 3]> = UnreliableRemoteEvent::new("Pose");
    pub(super) const BUY: RemoteFunction<String, bool> = RemoteFunction::new("Buy");
    pub(super) const WARP: RemoteFunction<u8, u8> = RemoteFunction::new("Warp");
    pub(super) const ALL: [&dyn Remote; 4] = [&HIT, &POSE, &BUY, &WARP];
}

fn notes_of(client: &Client, remote: &RemoteEvent<String>) -> Notes<String> {
    let notes = Notes::new();
    let seen = notes.clone();
    client.on_client_event(remote, move |text| seen.push(text));
    notes
}

fn refused(stats: &LinkStats, remote: &str, cause: DropCause) -> u64 {
    count(stats, remote, cause, |remote| &remote.refused)
}

fn unsent(stats: &LinkStats, remote: &str, cause: DropCause) -> u64 {
    count(stats, remote, cause, |remote| &remote.unsent)
}

fn count(
    stats: &LinkStats,
    remote: &str,
    cause: DropCause,
    drops: impl Fn(&farfire::RemoteStats) -> &Vec<(DropCause, u64)>,
) -> u64 {
    let remote = stats.remotes.iter().find(|one| one.remote == remote);
    remote.map_or(0, |remote| {
        let drops = drops(remote).iter().filter(|(why, _)| *why == cause);
        drops.map(|(_, count)| count).sum()
    })
}

/// Sees a round trip through: what was sent before it has arrived and been dealt with.
async fn settle(client: &Client) {
    assert_eq!(
        within(client.invoke_server(&ADD, &(1, 2)).into_future()).await,
        Ok(3)
    );
}

/// A server that adds, so that [`settle`] works.
fn adding(remotes: &[&dyn Remote]) -> World {
    let world = World::with(|server| server.remotes(remotes));
    world.server.on_server_invoke(&ADD, |_, (a, b)| a + b);
    world
}

/// Design 2.12, R111: what the server declares can be used as soon as one has joined.
#[tokio::test]
async fn declared_remotes_are_known_when_joined() {
    let world = World::with(|server| server.remotes(&[&CHAT, &ADD]));
    let notes = Notes::new();
    let heard = notes.clone();
    world
        .server
        .on_server_event(&CHAT, move |_, text| heard.push(text));
    world.server.on_server_invoke(&ADD, |_, (a, b)| a + b);
    let ada = within(world.client("Ada").connect()).await.unwrap();
    ada.fire_server(&CHAT, &"at once".into()).unwrap();
    settle(&ada).await;
    assert_eq!(notes.all(), ["at once"]);
    // At once, that is without waiting for anything.
    let found = tokio::time::timeout(Duration::ZERO, ada.wait_for_remote(&CHAT)).await;
    assert_eq!(found, Ok(Ok(())));
    // The harness has one of its own.
    assert_eq!(world.server.stats().remotes, 2 + 1);
}

/// R4, design 2.13: whatever a running server first does with a remote makes it known to its clients.
#[tokio::test]
async fn first_use_on_a_running_server_announces_a_remote() {
    const HEARD: RemoteEvent<()> = RemoteEvent::new("Heard");
    const FIRED: RemoteEvent<String> = RemoteEvent::new("Fired");
    const CAST: UnreliableRemoteEvent<()> = UnreliableRemoteEvent::new("Cast");
    const ASKED: RemoteFunction<(), u8> = RemoteFunction::new("Asked");
    const CALLED: RemoteFunction<(), u8> = RemoteFunction::new("Called");
    const KEPT: RemoteEvent<()> = RemoteEvent::new("Kept");
    let world = World::new();
    let server = &world.server;
    let (ada, player) = within(world.join("Ada")).await;
    let (bob, _) = within(world.join("Bob")).await;
    ada.on_client_invoke(&CALLED, |()| 7);
    let error = ada.fire_server(&HEARD, &()).unwrap_err();
    assert!(
        matches!(error, FireError::UnknownRemote { .. }),
        "{error:?}"
    );

    server.on_server_event(&HEARD, |_, ()| {});
    server.fire_client(&player, &FIRED, &"hi".into()).unwrap();
    server.fire_all_clients(&CAST, &()).unwrap();
    server.on_server_invoke(&ASKED, |_, ()| 8);
    let called = within(server.invoke_client(&player, &CALLED, &()).into_future()).await;
    assert_eq!(called, Ok(7));
    server.declare(&KEPT).unwrap();

    for client in [&ada, &bob] {
        let all: [&dyn Remote; 6] = [&HEARD, &FIRED, &CAST, &ASKED, &CALLED, &KEPT];
        for remote in all {
            within(client.wait_for_remote(remote)).await.unwrap();
        }
        client.fire_server(&HEARD, &()).unwrap();
        client.fire_server(&KEPT, &()).unwrap();
        let asked = within(client.invoke_server(&ASKED, &()).into_future()).await;
        assert_eq!(asked, Ok(8));
    }
    assert_eq!(notes_of(&ada, &FIRED).wait(1).await, ["hi"]);
}

/// R4: also for the client that is joining at that moment.
#[tokio::test]
async fn a_remote_added_while_a_client_joins_reaches_that_client() {
    const SECRET: RemoteEvent<()> = RemoteEvent::new("Secret");
    let world = World::with(|server| {
        server.on_player_added(|player: Player| {
            player.server().declare(&SECRET).unwrap();
        })
    });
    let (ada, _) = within(world.join("Ada")).await;
    within(ada.wait_for_remote(&SECRET)).await.unwrap();
    ada.fire_server(&SECRET, &()).unwrap();
}

/// R111: a wait for a remote ends when it comes, for everyone who waits.
#[tokio::test]
async fn waiting_for_a_remote_ends_when_it_comes() {
    const LATE: RemoteFunction<(), ()> = RemoteFunction::new("Late");
    let world = World::new();
    let (ada, _) = within(world.join("Ada")).await;
    let waits: Vec<_> = (0..3)
        .map(|_| {
            let ada = ada.clone();
            tokio::spawn(async move { ada.wait_for_remote(&LATE).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waits.iter().all(|wait| !wait.is_finished()));
    world.server.on_server_invoke(&LATE, |_, ()| ());
    for wait in waits {
        assert_eq!(within(wait).await.unwrap(), Ok(()));
    }
    assert_eq!(
        within(ada.invoke_server(&LATE, &()).into_future()).await,
        Ok(())
    );
}

/// R112: with a time limit, the wait ends by then and says what to look for.
#[tokio::test]
async fn waiting_for_a_remote_ends_when_the_time_is_up() {
    let world = World::new();
    let (ada, _) = within(world.join("Ada")).await;
    let (patience, began) = (Duration::from_millis(50), Instant::now());
    let waited = within(ada.wait_for_remote_within(&CHAT, patience)).await;
    assert!(began.elapsed() >= patience);
    let error = waited.unwrap_err();
    let timeout = WaitError::Timeout {
        remote: "Chat",
        waited: patience,
    };
    assert_eq!(error, timeout);
    assert_eq!(
        error.to_string(),
        "the server had no remote \"Chat\" within 50ms: is it declared there?"
    );
    // It came late, but it came.
    world.server.declare(&CHAT).unwrap();
    let minute = Duration::from_secs(60);
    within(ada.wait_for_remote_within(&CHAT, minute))
        .await
        .unwrap();
}

/// R111: the wait ends with the connection, too.
#[tokio::test]
async fn waiting_for_a_remote_ends_with_the_connection() {
    let world = World::new();
    let (ada, player) = within(world.join("Ada")).await;
    let waiting = tokio::spawn({
        let ada = ada.clone();
        async move { ada.wait_for_remote(&CHAT).await }
    });
    player.kick("enough");
    let error = within(waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, WaitError::Disconnected { .. }), "{error:?}");
    assert_eq!(error.to_string(), "not connected: kicked: enough");
    let again = within(ada.wait_for_remote(&CHAT)).await;
    assert_eq!(again, Err(error));
}

/// R113: without a time limit, a warning is logged after five seconds, and the wait goes on.
#[tokio::test]
async fn a_long_wait_for_a_remote_is_warned_of() {
    let warnings = Notes::new();
    let _logged = tracing::subscriber::set_default(Warnings(warnings.clone()));
    let world = World::new();
    let (ada, _) = within(world.join("Ada")).await;
    let began = Instant::now();
    let waiting = tokio::spawn({
        let ada = ada.clone();
        async move { ada.wait_for_remote(&CHAT).await }
    });
    let about_chat = |notes: &[String]| notes.iter().any(|note| note.contains("Chat"));
    let all = warnings.wait_until(about_chat).await;
    assert!(began.elapsed() >= Duration::from_secs(5));
    let text = all.iter().find(|text| text.contains("Chat")).unwrap();
    assert!(text.contains("is it declared there?"), "{text}");
    assert!(!waiting.is_finished());
    world.server.declare(&CHAT).unwrap();
    assert_eq!(within(waiting).await.unwrap(), Ok(()));
}

/// R5, design 2.12: what the server does not have fails at the call, by name and with what to do.
#[tokio::test]
async fn a_remote_that_the_server_lacks_fails_at_the_call() {
    const NOISE: UnreliableRemoteEvent<()> = UnreliableRemoteEvent::new("Noise");
    let world = World::new();
    let client = world.client("Ada").remotes(&[&CHAT, &ADD]).connect();
    let ada = within(client).await.unwrap();
    let error = ada.fire_server(&CHAT, &String::new()).unwrap_err();
    assert_eq!(error, FireError::UnknownRemote { remote: "Chat" });
    let text = "no remote \"Chat\": list it in `remotes` there, or use it there first";
    assert!(error.to_string().contains(text), "{error}");
    let error = ada.fire_server(&NOISE, &()).unwrap_err();
    assert_eq!(error, FireError::UnknownRemote { remote: "Noise" });
    let error = within(ada.fire_server_async(&CHAT, &String::new())).await;
    assert_eq!(error, Err(FireError::UnknownRemote { remote: "Chat" }));
    let error = within(ada.invoke_server(&ADD, &(1, 2)).into_future())
        .await
        .unwrap_err();
    assert_eq!(error, InvokeError::UnknownFunction { name: "Add" });
    let text = "no remote function \"Add\": declare it on the server";
    assert!(error.to_string().contains(text), "{error}");
    assert!(error.is_retry_safe());

    // The connection is none the worse for it.
    world.server.on_server_invoke(&ADD, |_, (a, b)| a + b);
    within(ada.wait_for_remote(&ADD)).await.unwrap();
    settle(&ada).await;
}

/// Design 2.12: a mismatch is reported by name with both shapes, on both sides, and only that remote fails.
#[tokio::test]
async fn a_signature_mismatch_names_the_remote_and_both_shapes() {
    let world = adding(&[&here::HIT, &here::POSE, &here::BUY, &CHAT, &ADD]);
    let server = &world.server;
    let client = world
        .client("Ada")
        .remotes(&[&there::HIT, &there::POSE, &there::BUY, &CHAT]);
    let ada = within(client.connect()).await.unwrap();
    let player = world.player(&ada).await;

    let error = ada.fire_server(&there::HIT, &"x".into()).unwrap_err();
    let expected = FireError::SignatureMismatch {
        remote: "Hit",
        ours: "RemoteEvent of str".into(),
        theirs: "RemoteEvent of (u32, f32)".into(),
    };
    assert_eq!(error, expected);
    let text = "remote \"Hit\" is RemoteEvent of str here and RemoteEvent of (u32, f32) on the other \
                side: build both from the same code";
    assert_eq!(error.to_string(), text);
    let error = ada.fire_server(&there::POSE, &[0.0; 3]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("[f64; 3]") && text.contains("[f32; 3]"),
        "{text}"
    );
    let error = within(ada.invoke_server(&there::BUY, &"x".into()).into_future())
        .await
        .unwrap_err();
    assert!(
        matches!(error, InvokeError::SignatureMismatch { name: "Buy", .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("str -> bool") && text.contains("u32 -> bool"),
        "{text}"
    );
    assert!(error.is_retry_safe());
    let error = within(ada.wait_for_remote(&there::HIT)).await.unwrap_err();
    assert!(
        matches!(error, WaitError::SignatureMismatch { remote: "Hit", .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("str") && text.contains("(u32, f32)"),
        "{text}"
    );

    // The server's side of it.
    let error = server.fire_client(&player, &here::HIT, &(1, 2.0));
    let expected = FireError::SignatureMismatch {
        remote: "Hit",
        ours: "RemoteEvent of (u32, f32)".into(),
        theirs: "RemoteEvent of str".into(),
    };
    assert_eq!(error, Err(expected));
    let error = within(server.invoke_client(&player, &here::BUY, &1).into_future())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("str -> bool") && text.contains("u32 -> bool"),
        "{text}"
    );

    // To everyone it goes to everyone else, and the ledger has the one who did not get it.
    let client = world.client("Bob").remotes(&[&here::HIT, &here::POSE]);
    let bob = within(client.connect()).await.unwrap();
    let hits = Notes::new();
    let hit = hits.clone();
    bob.on_client_event(&here::HIT, move |args| hit.push(args));
    server.fire_all_clients(&here::HIT, &(1, 2.0)).unwrap();
    server.fire_all_clients(&here::POSE, &[1.0; 3]).unwrap();
    assert_eq!(hits.wait(1).await, [(1, 2.0)]);
    settle(&ada).await;
    let stats = player.stats();
    assert_eq!(unsent(&stats, "Hit", DropCause::SignatureMismatch), 1);
    assert_eq!(unsent(&stats, "Pose", DropCause::SignatureMismatch), 1);

    // And every other remote of the same client works.
    let chat = notes_of(&ada, &CHAT);
    server.fire_all_clients(&CHAT, &"fine".into()).unwrap();
    assert_eq!(chat.wait(1).await, ["fine"]);
}

/// Design 2.12: the same for two kinds under one name.
#[tokio::test]
async fn a_name_of_two_kinds_fails_as_a_mismatch_on_both_sides() {
    let world = adding(&[&here::WARP, &ADD]);
    let client = world.client("Ada").remotes(&[&there::WARP]);
    let ada = within(client.connect()).await.unwrap();
    let player = world.player(&ada).await;
    let error = within(ada.invoke_server(&there::WARP, &1).into_future())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("RemoteFunction of u8 -> u8 here and RemoteEvent of u8 on the other side"),
        "{text}"
    );
    let error = world
        .server
        .fire_client(&player, &here::WARP, &1)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("RemoteEvent of u8 here and RemoteFunction of u8 -> u8 on the other side"),
        "{text}"
    );
    settle(&ada).await;
}

/// Design 2.12, 2.13: what the server declares later is compared as well, by both sides.
#[tokio::test]
async fn a_mismatch_with_a_remote_declared_later_is_found_by_the_server_too() {
    let world = adding(&[&CHAT, &ADD]);
    let server = &world.server;
    let client =
        world
            .client("Ada")
            .remotes(&[&there::HIT, &there::POSE, &there::BUY, &there::WARP, &CHAT]);
    let ada = within(client.connect()).await.unwrap();
    let player = world.player(&ada).await;
    let bob = world.client("Bob").remotes(&[&here::HIT, &here::POSE]);
    let bob = within(bob.connect()).await.unwrap();
    let hits = Notes::new();
    let hit = hits.clone();
    bob.on_client_event(&here::HIT, move |args| hit.push(args));

    // Using it declares it, and that is soon enough.
    let error = server.fire_client(&player, &here::HIT, &(1, 2.0));
    let expected = FireError::SignatureMismatch {
        remote: "Hit",
        ours: "RemoteEvent of (u32, f32)".into(),
        theirs: "RemoteEvent of str".into(),
    };
    assert_eq!(error, Err(expected));
    let error = within(server.invoke_client(&player, &here::BUY, &1).into_future())
        .await
        .unwrap_err();
    assert!(
        matches!(error, InvokeError::SignatureMismatch { name: "Buy", .. }),
        "{error:?}"
    );
    server.fire_all_clients(&here::HIT, &(1, 2.0)).unwrap();
    server.fire_all_clients(&here::POSE, &[1.0; 3]).unwrap();
    assert_eq!(hits.wait(1).await, [(1, 2.0)]);
    settle(&ada).await;
    let stats = player.stats();
    assert_eq!(unsent(&stats, "Hit", DropCause::SignatureMismatch), 1);
    assert_eq!(unsent(&stats, "Pose", DropCause::SignatureMismatch), 1);
    // The client knows by now, too, and what both mean alike still works.
    let error = ada.fire_server(&there::HIT, &"x".into()).unwrap_err();
    assert!(
        matches!(error, FireError::SignatureMismatch { .. }),
        "{error:?}"
    );
    ada.fire_server(&CHAT, &"hello".into()).unwrap();
}

/// Design 2.12: a client that declares a remote only after events of it came finds the same mismatch.
#[tokio::test]
async fn a_mismatch_found_late_costs_that_remote_only() {
    let world = adding(&[&here::HIT, &here::POSE, &here::BUY, &here::WARP, &ADD]);
    let server = &world.server;
    let (ada, player) = within(world.join("Ada")).await;
    let fire = || {
        server.fire_client(&player, &here::HIT, &(1, 2.0)).unwrap();
        server.fire_client(&player, &here::WARP, &1).unwrap();
        server.fire_client(&player, &here::POSE, &[1.0; 3]).unwrap();
    };
    fire();
    settle(&ada).await;
    // Two of them are kept by now.
    for remote in there::ALL {
        let error = within(ada.wait_for_remote(remote)).await.unwrap_err();
        assert!(
            matches!(error, WaitError::SignatureMismatch { .. }),
            "{error:?}"
        );
    }
    settle(&ada).await;
    fire();
    let called = server.invoke_client(&player, &here::BUY, &1).into_future();
    let error = within(called).await.unwrap_err();
    assert!(
        matches!(error, InvokeError::SignatureMismatch { name: "Buy", .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("not the same on the other side"), "{text}");
    settle(&ada).await;
    assert!(ada.is_connected());
    let stats = ada.stats();
    for remote in ["Hit", "Warp"] {
        let count = refused(&stats, remote, DropCause::SignatureMismatch);
        assert_eq!(count, 2, "{remote}: {stats:?}");
    }
    within(async {
        while refused(&ada.stats(), "Pose", DropCause::SignatureMismatch) < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Design 2.12: the same where the server is the one to declare late.
#[tokio::test]
async fn a_mismatch_with_a_remote_added_late_costs_that_remote_only() {
    let world = adding(&[&ADD]);
    let client = world.client("Ada").remotes(&there::ALL).connect();
    let ada = within(client).await.unwrap();
    let player = world.player(&ada).await;
    for remote in here::ALL {
        world.server.declare(remote).unwrap();
    }
    for remote in there::ALL {
        let error = within(ada.wait_for_remote(remote)).await.unwrap_err();
        assert!(
            matches!(error, WaitError::SignatureMismatch { .. }),
            "{error:?}"
        );
    }
    // Whether the server finds out by itself or not, nothing gets through and nothing breaks.
    let _ = world.server.fire_client(&player, &here::HIT, &(1, 2.0));
    let _ = world.server.fire_client(&player, &here::WARP, &1);
    let _ = world.server.fire_client(&player, &here::POSE, &[1.0; 3]);
    let called = world.server.invoke_client(&player, &here::BUY, &1);
    let error = within(called.into_future()).await.unwrap_err();
    assert!(
        matches!(error, InvokeError::SignatureMismatch { name: "Buy", .. }),
        "{error:?}"
    );
    settle(&ada).await;
    assert!(ada.is_connected());
}

/// Design 2.12: one name declared in two ways in one program is a typed error, where there is one to give.
#[tokio::test]
async fn a_name_declared_twice_in_one_program_is_found_at_once() {
    let types = DeclareError::Types {
        name: "Hit",
        declared: "(u32, f32)".into(),
        requested: "str".into(),
    };
    let kinds = DeclareError::Kind {
        name: "Warp",
        declared: RemoteKind::Event,
        requested: RemoteKind::Function,
    };
    assert_eq!(
        types.to_string(),
        "remote \"Hit\" is declared with (u32, f32) and used with str: give one of them another name"
    );
    assert_eq!(
        kinds.to_string(),
        "remote \"Warp\" is declared as a RemoteEvent and used as a RemoteFunction: give one of them \
         another name"
    );

    let identity = farfire::tls::Identity::self_signed(["localhost"]).unwrap();
    let start = farfire::Server::builder("127.0.0.1:0", identity)
        .remotes(&[&here::HIT, &there::HIT])
        .start();
    match start {
        Err(StartError::Declare(error)) => assert_eq!(error, types),
        other => panic!("{other:?}"),
    }

    let world = World::with(|server| server.remotes(&[&here::HIT, &here::WARP]));
    let server = &world.server;
    let client = world.client("Ada").remotes(&[&here::WARP, &there::WARP]);
    match within(client.connect()).await {
        Err(ConnectError::Declare(error)) => assert_eq!(error, kinds),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.server.players(), []);

    let client = world.client("Ada").remotes(&[&here::HIT, &here::WARP]);
    let ada = within(client.connect()).await.unwrap();
    let player = world.player(&ada).await;
    assert_eq!(server.declare(&there::HIT), Err(types.clone()));
    assert_eq!(ada.declare(&there::WARP), Err(kinds.clone()));
    // Saying the same twice is no clash.
    assert_eq!(server.declare(&here::HIT), Ok(()));

    let text = String::new();
    let declared = Err(FireError::Declare(types.clone()));
    assert_eq!(ada.fire_server(&there::HIT, &text), declared);
    assert_eq!(server.fire_all_clients(&there::HIT, &text), declared);
    assert_eq!(server.fire_client(&player, &there::HIT, &text), declared);
    assert_eq!(server.fire_clients([&player], &there::HIT, &text), declared);
    let declared = Err(InvokeError::Declare(kinds.clone()));
    let up = ada.invoke_server(&there::WARP, &1).into_future();
    assert_eq!(within(up).await, declared);
    let down = server.invoke_client(&player, &there::WARP, &1);
    assert_eq!(within(down.into_future()).await, declared);
    let waited = within(ada.wait_for_remote(&there::HIT)).await;
    assert_eq!(waited, Err(WaitError::Declare(types.clone())));

    panics_with(&types, || {
        drop(server.on_server_event(&there::HIT, |_, _| {}))
    });
    panics_with(&types, || {
        drop(server.on_server_event_once(&there::HIT, |_, _| {}));
    });
    panics_with(&types, || drop(server.server_events(&there::HIT)));
    panics_with(&kinds, || server.on_server_invoke(&there::WARP, |_, n| n));
    panics_with(&types, || drop(ada.on_client_event(&there::HIT, |_| {})));
    panics_with(&types, || drop(ada.client_events(&there::HIT)));
    panics_with(&kinds, || ada.on_client_invoke(&there::WARP, |n| n));
    assert!(ada.is_connected());
}

#[track_caller]
fn panics_with(error: &DeclareError, misuse: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(misuse)).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>(), Some(&error.to_string()));
}

/// Design 1: a name made at run time is a name like any other, and the same as a constant one.
#[tokio::test]
async fn names_made_at_run_time_are_names_like_any_other() {
    let chat = RemoteEvent::<String>::named(format!("Ch{}", "at")).unwrap();
    let room = |n: u32| RemoteEvent::<String>::named(format!("Room {n} 🚪")).unwrap();
    let world = World::new();
    world.server.declare(&chat).unwrap();
    world.server.declare(&room(1)).unwrap();
    let (ada, player) = within(world.join("Ada")).await;
    let (chats, rooms) = (notes_of(&ada, &CHAT), notes_of(&ada, &room(1)));
    let others = notes_of(&ada, &room(2));
    for (remote, text) in [(chat, "chat"), (room(2), "two"), (room(1), "one")] {
        world
            .server
            .fire_client(&player, &remote, &text.into())
            .unwrap();
    }
    assert_eq!(rooms.wait(1).await, ["one"]);
    assert_eq!(others.wait(1).await, ["two"]);
    assert_eq!(chats.wait(1).await, ["chat"]);

    assert_eq!(RemoteEvent::<()>::named("").unwrap_err(), NameError::Empty);
    let long = UnreliableRemoteEvent::<()>::named("é".repeat(101)).unwrap_err();
    assert_eq!(long, NameError::TooLong { characters: 101 });
    assert!(long.to_string().contains("101"), "{long}");
    assert!(RemoteFunction::<(), ()>::named("é".repeat(100)).is_ok());
}

/// Design 1: remotes are told apart by their names, not by the hashes that they are looked up by.
#[tokio::test]
async fn two_names_with_one_hash_are_two_remotes() {
    // These two are known to have the same hash in 64-bit FNV-1a.
    const ONE: RemoteEvent<String> = RemoteEvent::new("8yn0iYCKYHlIj4-BwPqk");
    const TWO: RemoteFunction<u8, u8> = RemoteFunction::new("GReLUrM4wMqfg9yzV3KQ");
    let world = World::with(|server| server.remotes(&[&ONE, &TWO]));
    world.server.on_server_invoke(&TWO, |_, n| n + 1);
    let (ada, player) = within(world.join("Ada")).await;
    let notes = notes_of(&ada, &ONE);
    let two = within(ada.invoke_server(&TWO, &1).into_future()).await;
    assert_eq!(two, Ok(2));
    world
        .server
        .fire_client(&player, &ONE, &"one".into())
        .unwrap();
    assert_eq!(notes.wait(1).await, ["one"]);
}

/// Design 2.3, 2.12: events of a remote that a client has not declared yet wait for it, in order.
#[tokio::test]
async fn events_of_a_remote_not_declared_yet_wait_for_it() {
    const LATER: RemoteEvent<u32> = RemoteEvent::new("Later");
    const LATER_ON_A_LANE: RemoteEvent<u32> = RemoteEvent::new("LaterOnALane").lane("side");
    const LATER_ANYHOW: RemoteEvent<u32> = RemoteEvent::new("LaterAnyhow").unordered();
    const LATER_CALL: RemoteFunction<u32, u32> = RemoteFunction::new("LaterCall");
    let world = adding(&[&MARK, &ADD]);
    let server = &world.server;
    let (ada, player) = within(world.join("Ada")).await;
    let marks = Notes::new();
    let mark = marks.clone();
    ada.on_client_event(&MARK, move |n| mark.push(n));
    for n in 0..5 {
        server.fire_client(&player, &LATER, &n).unwrap();
        server.fire_client(&player, &LATER_ON_A_LANE, &n).unwrap();
        server.fire_client(&player, &LATER_ANYHOW, &n).unwrap();
    }
    let call = tokio::spawn(
        server
            .invoke_client(&player, &LATER_CALL, &20)
            .into_future(),
    );
    server.fire_client(&player, &MARK, &1).unwrap();
    marks.wait(1).await;

    let notes = Notes::new();
    let later = notes.clone();
    ada.on_client_event(&LATER, move |n| later.push(n));
    assert_eq!(notes.wait(5).await, [0, 1, 2, 3, 4]);
    server.fire_client(&player, &LATER, &5).unwrap();
    assert_eq!(notes.wait(6).await, [0, 1, 2, 3, 4, 5]);

    let on_a_lane = Notes::new();
    let later = on_a_lane.clone();
    ada.on_client_event(&LATER_ON_A_LANE, move |n| later.push(n));
    assert_eq!(on_a_lane.wait(5).await, [0, 1, 2, 3, 4]);
    let anyhow = Notes::new();
    let later = anyhow.clone();
    ada.on_client_event(&LATER_ANYHOW, move |n| later.push(n));
    let mut all = anyhow.wait(5).await;
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4]);
    ada.on_client_invoke(&LATER_CALL, |n| n + 1);
    assert_eq!(within(call).await.unwrap(), Ok(21));
}

/// `DeclareError::TooMany`: a server has at most 4096 remotes, and a client can know them all.
#[tokio::test]
async fn a_server_has_thousands_of_remotes_and_not_more() {
    // The harness has one of its own.
    const MOST: usize = 4096 - 1;
    let world = World::new();
    let numbered = |n: usize| RemoteEvent::<u32>::named(format!("Numbered {n}")).unwrap();
    for n in 0..MOST {
        world.server.declare(&numbered(n)).unwrap();
    }
    let error = world.server.declare(&CHAT).unwrap_err();
    assert_eq!(error, DeclareError::TooMany);
    assert!(
        error.to_string().contains("at most 4096 remotes"),
        "{error}"
    );
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::new();
    for n in [0, MOST - 1] {
        let seen = notes.clone();
        ada.on_client_event(&numbered(n), move |n| seen.push(n));
        world
            .server
            .fire_client(&player, &numbered(n), &(n as u32))
            .unwrap();
    }
    assert_eq!(notes.wait(2).await, [0, MOST as u32 - 1]);
}

/// Design 2.12: a client with more remotes than its hello has room for joins all the same, and finds
/// mismatches by itself.
#[tokio::test]
async fn a_client_with_many_remotes_of_many_types_joins() {
    type Row = (u8, u16, u32, u64, i8, i16, i32, i64, f32, f64, bool, char);
    type Rows = (Row, String, Row, bool, Row, char, Row);
    let wide: Vec<_> = (0..400)
        .map(|n| RemoteEvent::<Rows>::named(format!("Wide {n}")).unwrap())
        .collect();
    let mut all: Vec<&dyn Remote> = wide.iter().map(|remote| remote as &dyn Remote).collect();
    let world = World::with(|server| server.remotes(&all).remotes(&[&here::HIT]));
    all.push(&there::HIT);
    let ada = within(world.client("Ada").remotes(&all).connect())
        .await
        .unwrap();
    ada.fire_server(&wide[399], &Rows::default()).unwrap();
    let error = ada.fire_server(&there::HIT, &String::new()).unwrap_err();
    assert!(
        matches!(error, FireError::SignatureMismatch { .. }),
        "{error:?}"
    );
}

/// A log is the program's code: it may ask what it likes of whoever it is told of.
#[tokio::test]
async fn a_log_may_look_at_the_player_that_it_hears_of() {
    struct Curious(Player, Notes<usize>);
    impl Subscriber for Curious {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.1.push(self.0.stats().queued_calls);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }
    let world = World::new();
    let client = world.client("Ada").remotes(&[&there::HIT]).connect();
    let ada = within(client).await.unwrap();
    let player = world.player(&ada).await;
    let (server, heard) = (world.server.clone(), Notes::new());
    let log = Curious(player, heard.clone());
    std::thread::spawn(move || {
        let declare = || server.declare(&here::HIT).unwrap();
        tracing::subscriber::with_default(log, declare);
    });
    heard.wait(1).await;
}

/// Notes the warnings that are logged on this thread.
struct Warnings(Notes<String>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
