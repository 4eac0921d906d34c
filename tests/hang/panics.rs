//! Panics of the program, wherever its code runs: none of them may take a lock or a call with it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use farfire::{InvokeError, RemoteEvent, RemoteFunction, What};
use futures_util::future::join_all;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sim::{ASK, NEWS, Sim, idle, ms, settle, until};

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
