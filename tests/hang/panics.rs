//! Panics of the program, wherever its code runs: none of them may take a lock or a call with it.

use std::{
    fs,
    future::{IntoFuture, pending},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use farfire::{
    DisconnectReason, HandlerError, InvokeError, Player, RemoteEvent, RemoteFunction,
    ServerBuilder, What,
};
use futures_util::future::join_all;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    log::Log,
    sim::{ASK, NEWS, Sim, at_once, idle, ms, settle, timed, until},
};

/// H29: no lock is taken in a way that a panic elsewhere would spread by, or held where something waits.
#[test]
fn h29_every_lock_survives_a_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for file in sources(&root.join("src")) {
        if file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("mod tests {").next().unwrap();
        // As one line, so that it does not matter where it is broken.
        let code: String = code.split_whitespace().collect();
        for taken in ["lock()", "read()", "write()"] {
            for left in [".unwrap()", ".expect(", "?"] {
                if code.contains(&format!("{taken}{left}")) {
                    wrong.push(format!("{} has {taken}{left}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("await_holding_lock = \"warn\""));
}

/// H29: handlers, hooks, callbacks, encoders and decoders panic, all at once; nobody else notices.
#[tokio::test(start_paused = true)]
async fn h29_panics_everywhere_cost_their_own_call() {
    const BOMB: RemoteFunction<Bomb, Bomb> = RemoteFunction::new("Bomb");
    const THROW: RemoteEvent<Bomb> = RemoteEvent::new("Throw");
    let sim = Sim::with(|server| {
        server
            .remotes(&[&BOMB, &THROW])
            .on_player_added(|_| blow("on_player_added"))
            .on_player_removing(|_, _| panic!("on_player_removing"))
    });
    let heard = Arc::new(AtomicUsize::new(0));
    let counts = heard.clone();
    sim.server
        .on_server_event(&NEWS, |_, _| blow("an event handler"));
    sim.server.on_server_event(&NEWS, move |_, _| {
        counts.fetch_add(1, Ordering::Relaxed);
    });
    sim.server
        .on_server_event(&NEWS, |_, _| async { blow("an async event handler") });
    sim.server.on_server_event(&THROW, |_, _| {});
    sim.server.on_server_invoke(&BOMB, |_, bomb| bomb);
    sim.server.on_server_invoke(&ASK, |_, n| async move {
        assert_ne!(n % 3, 1, "at first");
        tokio::time::sleep(ms(1)).await;
        assert_ne!(n % 3, 2, "after a while");
        n
    });
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |n| -> u32 { panic!("a client's handler: {n}") });
    client.on_client_invoke(&BOMB, |bomb| bomb);
    client.on_disconnected(|_| panic!("on_disconnected"));
    let called_back = Arc::new(AtomicUsize::new(0));
    for round in 0..50 {
        client.fire_server(&NEWS, &round).unwrap();
        client.fire_server(&THROW, &Bomb(ON_DECODE)).unwrap();
        let calls = (0..12).map(async |n| {
            let result = client.invoke_server(&ASK, &n).await;
            match n % 3 {
                0 => assert_eq!(result, Ok(n)),
                _ => assert!(
                    matches!(result, Err(InvokeError::Panicked { .. })),
                    "{result:?}"
                ),
            }
        });
        join_all(calls).await;
        let result = sim.server.invoke_client(&player, &ASK, &1).await;
        assert!(
            matches!(result, Err(InvokeError::Panicked { .. })),
            "{result:?}"
        );
        // Its arguments do not decode there, nor its result here; its result does not encode there.
        let calls = [client.invoke_server(&BOMB, &Bomb(ON_DECODE)), {
            sim.server.invoke_client(&player, &BOMB, &Bomb(ON_DECODE))
        }];
        for call in calls {
            let what = What::Request;
            assert_eq!(call.await.unwrap_err(), InvokeError::Decode { what });
        }
        let result = client.invoke_server(&BOMB, &Bomb(ON_ENCODING_AGAIN)).await;
        assert!(
            matches!(result, Err(InvokeError::Panicked { .. })),
            "{result:?}"
        );
        let result = client.invoke_server(&BOMB, &Bomb(ON_DECODING_AGAIN)).await;
        let what = What::Response;
        assert_eq!(result.unwrap_err(), InvokeError::Decode { what });
        let counts = called_back.clone();
        client
            .invoke_server(&BOMB, &Bomb(ON_DECODING_AGAIN))
            .then(move |result| {
                counts.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
                panic!("a callback");
            });
    }
    until(ms(100), || called_back.load(Ordering::Relaxed) == 50).await;
    assert_eq!(heard.load(Ordering::Relaxed), 50);
    settle().await;
    idle(&client.stats());
    idle(&player.stats());
    assert_eq!(client.invoke_server(&ASK, &0).await, Ok(0));
    client.leave().await;
    player.left().await;
    until(ms(100), || sim.server.players().is_empty()).await;
}

/// H29: what a connection has to drop is the program's, and may panic. The player leaves for the reason it left.
#[tokio::test(start_paused = true)]
async fn h29_a_panic_while_a_connection_is_dropped_ends_nothing_else() {
    struct OnDrop;
    impl Drop for OnDrop {
        fn drop(&mut self) {
            blow("a handler's future");
        }
    }
    let removed = Removed::default();
    let sim = Sim::with(|server| removed.note(server));
    // One leaves a future with the connection; before it is begun, the log panics about the other.
    sim.server.on_server_event(&NEWS, |_, _| {
        let bomb = OnDrop;
        async move {
            pending::<()>().await;
            drop(bomb);
        }
    });
    sim.server
        .on_server_event(&NEWS, |_, _| -> Result<(), HandlerError> {
            Err("not today".into())
        });
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |_| pending::<u32>());
    let call = tokio::spawn(sim.server.invoke_client(&player, &ASK, &1).into_future());
    settle().await;
    let logged = Log::panicking_at("event handler failed").listen();
    client.fire_server(&NEWS, &1).unwrap();
    let (reason, _) = timed(player.left()).await;
    drop(logged);
    assert_eq!(removed.all(), [(player.clone(), reason.clone())]);
    assert!(sim.server.players().is_empty());
    let error = call.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, InvokeError::Disconnected { reason: why, .. } if *why == reason),
        "{error:?}"
    );
}

/// H29: a log is the program's code, wherever it is told something. No player stays behind because of it.
#[tokio::test(start_paused = true)]
async fn h29_a_log_that_panics_leaves_no_player_behind() {
    for (at, joins) in [
        ("joined", false),
        ("on_player_added failed", false),
        ("left", true),
        ("", false),
    ] {
        let (removed, added) = (Removed::default(), Arc::<Mutex<Vec<Player>>>::default());
        let keep = added.clone();
        let sim = Sim::with(|server| {
            removed.note(server).on_player_added(move |player| {
                keep.lock().unwrap().push(player);
                Err::<(), HandlerError>("not today".into())
            })
        });
        let logged = Log::panicking_at(at).listen();
        let client = sim.client(None).connect().await;
        assert_eq!(client.is_ok(), joins, "{at}");
        if let Ok(client) = client {
            client.leave().await;
        }
        until(ms(100), || sim.server.players().is_empty()).await;
        drop(logged);
        assert_eq!(removed.all().len(), 1, "{at}");
        let known = added.lock().unwrap().clone();
        for player in known {
            assert_eq!(timed(player.left()).await.0, removed.all()[0].1, "{at}");
        }
        // The server goes on.
        let (client, _) = sim.join().await;
        client.leave().await;
    }
}

/// H29: whoever waits is woken by code of its own, which may panic: the others are told nonetheless.
#[tokio::test(start_paused = true)]
async fn h29_a_waker_that_panics_keeps_nobody_else_waiting() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            blow("a waker");
        }
    }
    let sim = Sim::with(|server| {
        let mut limits = farfire::Limits::default();
        limits.calls_in_flight = 2;
        server.limits(limits)
    });
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |_| pending::<u32>());
    let mut angry: Vec<_> = (0..6)
        .map(|n| sim.server.invoke_client(&player, &ASK, &n).into_future())
        .collect();
    let mut calls = Vec::new();
    let waker: Waker = Arc::new(Panics).into();
    // Of those under way as well as of those in line, each other one panics.
    for call in &mut angry {
        let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        let call = sim.server.invoke_client(&player, &ASK, &7);
        calls.push(tokio::spawn(call.into_future()));
        tokio::task::yield_now().await;
    }
    let left = tokio::spawn({
        let player = player.clone();
        async move { player.left().await }
    });
    settle().await;
    let reason = client.leave().await;
    let (results, took) = timed(async { join_all(calls).await }).await;
    at_once(took);
    for result in results {
        let error = result.unwrap().unwrap_err();
        assert!(
            matches!(error, InvokeError::Disconnected { .. }),
            "{error:?}"
        );
    }
    assert_eq!(
        (reason, left.await.unwrap()),
        (DisconnectReason::Left, DisconnectReason::Left)
    );
    assert!(sim.server.players().is_empty());
}

/// Who was removed, and why.
#[derive(Clone, Default)]
struct Removed(Arc<Mutex<Vec<(Player, DisconnectReason)>>>);

impl Removed {
    fn note(&self, server: ServerBuilder) -> ServerBuilder {
        let removed = self.0.clone();
        server.on_player_removing(move |player, reason| {
            removed.lock().unwrap().push((player, reason));
        })
    }

    fn all(&self) -> Vec<(Player, DisconnectReason)> {
        self.0.lock().unwrap().clone()
    }
}

/// Panics where the compiler is not to know.
fn blow(place: &str) {
    assert_eq!(place, "");
}

/// A payload that panics as it says.
#[derive(Debug, PartialEq)]
struct Bomb(u32);

/// When it is decoded.
const ON_DECODE: u32 = 1;
/// When it is encoded after it has been decoded.
const ON_ENCODING_AGAIN: u32 = 2;
/// When it is decoded for the second time.
const ON_DECODING_AGAIN: u32 = 3;
/// What has been decoded once.
const ONCE: u32 = 100;

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, ONCE + ON_ENCODING_AGAIN, "while encoding");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fuse = u32::deserialize(deserializer)?;
        assert_ne!(fuse, ON_DECODE, "while decoding");
        assert_ne!(fuse, ONCE + ON_DECODING_AGAIN, "while decoding again");
        Ok(Self(if fuse == 0 { 0 } else { ONCE + fuse }))
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(sources(&path)),
            false => files.push(path),
        }
    }
    files
}
