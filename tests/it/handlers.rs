//! A handler is whatever the program has: a closure or a function, now or later, with or without a
//! way to fail. The types of a closure's arguments are inferred.

use std::sync::Arc;

use farfire::{
    Client, HandlerError, InvokeError, Player, RemoteEvent, RemoteFunction, UnreliableRemoteEvent,
};

use crate::world::{Notes, World, within};

const HIT: RemoteEvent<(u32, String)> = RemoteEvent::new("Hit");
const HALF: RemoteFunction<u32, u32> = RemoteFunction::new("Half");

/// What a program might keep its state in.
#[derive(Clone)]
struct Game(Arc<Notes<String>>);

impl Game {
    fn new() -> Self {
        Self(Arc::new(Notes::new()))
    }

    fn hit(&self, who: &str, damage: u32, how: &str) {
        self.0.push(format!("{who} {damage} {how}"));
    }

    async fn hit_later(self, who: String, damage: u32) -> Result<(), HandlerError> {
        tokio::task::yield_now().await;
        self.hit(&who, damage, "method, later");
        Ok(())
    }

    fn half(&self, n: u32) -> Result<u32, HandlerError> {
        half(n)
    }
}

fn half(n: u32) -> Result<u32, HandlerError> {
    match n % 2 {
        0 => Ok(n / 2),
        _ => Err("odd".into()),
    }
}

fn named(_: Player, (_, how): (u32, String)) {
    assert!(!how.is_empty());
}

async fn named_later(player: Player, (damage, _): (u32, String)) -> Result<(), HandlerError> {
    tokio::task::yield_now().await;
    player
        .server()
        .fire_client(&player, &HIT, &(damage, "named, later".into()))
        .map_err(HandlerError::internal)
}

/// Design 1: all the forms, for events on the server; every one of them gets every event.
#[tokio::test]
async fn every_form_of_event_handler_works_on_the_server() {
    let world = World::with(|server| server.remotes(&[&HIT]));
    let server = &world.server;
    let game = Game::new();

    let g = game.clone();
    server.on_server_event(&HIT, move |player, (damage, how)| {
        g.hit(player.name(), damage, how.as_str());
    });
    let g = game.clone();
    server.on_server_event(&HIT, move |player, (damage, _)| {
        let game = g.clone();
        async move { game.hit(player.name(), damage, "later") }
    });
    let g = game.clone();
    server.on_server_event(&HIT, move |player, (damage, _)| {
        half(damage)?;
        g.hit(player.name(), damage, "fallible");
        Ok::<_, HandlerError>(())
    });
    let g = game.clone();
    server.on_server_event(&HIT, move |player, (damage, _)| {
        let game = g.clone();
        async move {
            tokio::task::yield_now().await;
            half(damage)?;
            game.hit(player.name(), damage, "fallible, later");
            Ok::<_, HandlerError>(())
        }
    });
    server.on_server_event(&HIT, named);
    server.on_server_event(&HIT, named_later);
    let g = game.clone();
    server.on_server_event(&HIT, move |player, (damage, _)| {
        g.clone().hit_later(player.to_string(), damage)
    });

    let (ada, _) = within(world.join("Ada")).await;
    let mut echo = ada.client_events(&HIT);
    ada.fire_server(&HIT, &(8, "now".into())).unwrap();
    let mut notes = game.0.wait(5).await;
    notes.sort_unstable();
    let all = [
        "Ada 8 fallible",
        "Ada 8 fallible, later",
        "Ada 8 later",
        "Ada 8 method, later",
        "Ada 8 now",
    ];
    assert_eq!(notes, all);
    assert_eq!(within(echo.recv()).await, Some((8, "named, later".into())));

    // Those that can fail do so, and the others run.
    ada.fire_server(&HIT, &(7, "now".into())).unwrap();
    let notes = game.0.wait(8).await;
    assert!(notes[5..].iter().all(|note| !note.contains("fallible")));
    assert_eq!(within(echo.recv()).await, Some((7, "named, later".into())));
}

/// Design 1: the same on the client, whose handlers have no player.
#[tokio::test]
async fn every_form_of_event_handler_works_on_the_client() {
    async fn named_later(args: (u32, String)) {
        tokio::task::yield_now().await;
        drop(args);
    }
    fn named(args: (u32, String)) -> Result<(), std::io::Error> {
        drop(args);
        Ok(())
    }
    let world = World::with(|server| server.remotes(&[&HIT]));
    let (ada, player) = within(world.join("Ada")).await;
    let game = Game::new();
    let g = game.clone();
    ada.on_client_event(&HIT, move |(damage, how)| g.hit("", damage, how.as_str()));
    let g = game.clone();
    ada.on_client_event(&HIT, move |(damage, _)| {
        let game = g.clone();
        async move { game.hit("", damage, "later") }
    });
    let g = game.clone();
    ada.on_client_event(&HIT, move |(damage, _)| {
        half(damage)?;
        g.hit("", damage, "fallible");
        Ok::<_, HandlerError>(())
    });
    let g = game.clone();
    ada.on_client_event(&HIT, move |(damage, _)| {
        g.clone().hit_later(String::new(), damage)
    });
    ada.on_client_event(&HIT, named);
    ada.on_client_event(&HIT, named_later);
    let hit = (8, "now".into());
    world.server.fire_client(&player, &HIT, &hit).unwrap();
    let mut notes = game.0.wait(4).await;
    notes.sort_unstable();
    let all = [" 8 fallible", " 8 later", " 8 method, later", " 8 now"];
    assert_eq!(notes, all);
}

async fn halved(ada: &Client, n: u32) -> Result<u32, InvokeError> {
    within(ada.invoke_server(&HALF, &n).into_future()).await
}

/// Design 1: all the forms, for functions on the server.
#[tokio::test]
async fn every_form_of_function_handler_works_on_the_server() {
    fn named(_: Player, n: u32) -> u32 {
        n / 2
    }
    async fn named_later(_: Player, n: u32) -> Result<u32, HandlerError> {
        tokio::task::yield_now().await;
        half(n)
    }
    let world = World::with(|server| server.remotes(&[&HALF]));
    let server = &world.server;
    let (ada, _) = within(world.join("Ada")).await;
    let message = || "odd".to_owned();

    server.on_server_invoke(&HALF, |_, n| n.div_euclid(2));
    assert_eq!(halved(&ada, 8).await, Ok(4));
    server.on_server_invoke(&HALF, |_, n| async move { n.div_euclid(2) });
    assert_eq!(halved(&ada, 10).await, Ok(5));
    server.on_server_invoke(&HALF, |_, n| half(n));
    assert_eq!(halved(&ada, 12).await, Ok(6));
    let failed = Err(InvokeError::Failed { message: message() });
    assert_eq!(halved(&ada, 13).await, failed);
    server.on_server_invoke(&HALF, |_, n| async move {
        tokio::task::yield_now().await;
        // `?` on an error with a text of its own, and on one without.
        let checked = n.checked_sub(1).ok_or("nothing to halve")?;
        let half = half(checked + 1)?;
        Ok::<_, HandlerError>(half)
    });
    assert_eq!(halved(&ada, 14).await, Ok(7));
    assert_eq!(halved(&ada, 15).await, failed);
    server.on_server_invoke(&HALF, named);
    assert_eq!(halved(&ada, 16).await, Ok(8));
    server.on_server_invoke(&HALF, named_later);
    assert_eq!(halved(&ada, 18).await, Ok(9));
    assert_eq!(halved(&ada, 19).await, failed);
    let game = Game::new();
    server.on_server_invoke(&HALF, move |_, n| game.half(n));
    assert_eq!(halved(&ada, 20).await, Ok(10));
    assert_eq!(halved(&ada, 21).await, failed);
}

/// Design 1: and on the client.
#[tokio::test]
async fn every_form_of_function_handler_works_on_the_client() {
    async fn named_later(n: u32) -> Result<u32, HandlerError> {
        tokio::task::yield_now().await;
        half(n)
    }
    let world = World::with(|server| server.remotes(&[&HALF]));
    let (ada, player) = within(world.join("Ada")).await;
    let halved = |n| within(world.server.invoke_client(&player, &HALF, &n).into_future());
    let failed = || {
        let message = "odd".to_owned();
        Err(InvokeError::Failed { message })
    };
    ada.on_client_invoke(&HALF, |n| n.div_euclid(2));
    assert_eq!(halved(8).await, Ok(4));
    ada.on_client_invoke(&HALF, |n| async move { n.div_euclid(2) });
    assert_eq!(halved(10).await, Ok(5));
    ada.on_client_invoke(&HALF, |n| half(n).map(|half| half + 1));
    assert_eq!(halved(12).await, Ok(7));
    ada.on_client_invoke(&HALF, |n| async move { half(n) });
    assert_eq!(halved(14).await, Ok(7));
    ada.on_client_invoke(&HALF, half);
    assert_eq!(halved(16).await, Ok(8));
    assert_eq!(halved(17).await, failed());
    ada.on_client_invoke(&HALF, named_later);
    assert_eq!(halved(18).await, Ok(9));
    let game = Game::new();
    ada.on_client_invoke(&HALF, move |n| game.half(n));
    assert_eq!(halved(20).await, Ok(10));
    assert_eq!(halved(21).await, failed());
}

/// Design 6: the program's own code may panic elsewhere, too: it costs that event its key, and nobody
/// the connection.
#[tokio::test]
async fn a_panic_outside_a_handler_ends_no_connection() {
    const POSE: UnreliableRemoteEvent<u32> =
        UnreliableRemoteEvent::new("Pose").latest_by(|pose| match pose {
            13 => panic!("unlucky"),
            _ => 1,
        });
    let world = World::with(|server| server.remotes(&[&POSE, &HALF]));
    let notes = Notes::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&POSE, move |_, pose| seen.push(pose));
    world.server.on_server_invoke(&HALF, |_, n| half(n));
    let (ada, _) = within(world.join("Ada")).await;
    ada.fire_server(&POSE, &13).unwrap();
    ada.fire_server(&POSE, &14).unwrap();
    assert_eq!(notes.wait(2).await, [13, 14]);
    assert_eq!(halved(&ada, 8).await, Ok(4));
}

/// Design 1: a `Result` that is the remote's own result is a value, not a failure.
#[tokio::test]
async fn a_result_that_the_remote_declares_is_a_value() {
    const CHECK: RemoteFunction<u32, Result<u32, String>> = RemoteFunction::new("Check");
    let world = World::with(|server| server.remotes(&[&CHECK]));
    let (ada, _) = within(world.join("Ada")).await;
    let check = |n| within(ada.invoke_server(&CHECK, &n).into_future());
    world
        .server
        .on_server_invoke(&CHECK, |_, n| half(n).map_err(|error| error.to_string()));
    assert_eq!(check(3).await, Ok(Err("odd".into())));
    // Around which there may be one that fails the call.
    world.server.on_server_invoke(&CHECK, |_, n| match n {
        0 => Err(HandlerError::from("no")),
        n => Ok(half(n).map_err(|error| error.to_string())),
    });
    assert_eq!(check(3).await, Ok(Err("odd".into())));
    let message = "no".to_owned();
    assert_eq!(check(0).await, Err(InvokeError::Failed { message }));
}
