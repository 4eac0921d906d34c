//! A client invokes, the server makes a part and returns it.

use std::{
    fmt,
    future::IntoFuture,
    sync::{Arc, Weak},
};

use farfire::{
    Client, EventRemote, InvokeError, Player, RemoteFunction, Server,
    values::{BrickColor, Vector3},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    logs,
    stage::until,
    world::{Notes, World, within},
};

type Args = (BrickColor, Vector3);
/// A callback may return nothing.
const REMOTE_FUNCTION: RemoteFunction<Args, Option<Part>> =
    RemoteFunction::new("RemoteFunctionTest");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Part {
    color: BrickColor,
    position: Vector3,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part")
    }
}

async fn script_5a(client: &Client, lines: &Notes) -> Result<Option<Part>, InvokeError> {
    let args = (BrickColor::red(), Vector3::new(0.0, 25.0, 0.0));
    let new_part = within(client.invoke_server(&REMOTE_FUNCTION, &args).into_future()).await?;
    let name = match &new_part {
        Some(part) => part.to_string(),
        None => "nil".to_owned(),
    };
    lines.push(format!("The server created the requested part: {name}"));
    Ok(new_part)
}

fn run_5a(client: &Client, lines: &Notes) -> JoinHandle<Result<Option<Part>, InvokeError>> {
    let (client, lines) = (client.clone(), lines.clone());
    tokio::spawn(async move { script_5a(&client, &lines).await })
}

fn script_5b(server: &Server, lines: &Notes) {
    let print = lines.clone();
    server.on_server_invoke(&REMOTE_FUNCTION, move |player, (color, position)| {
        print.push(format!("{player} requested a new part"));
        Some(Part { color, position })
    });
}

fn world() -> World {
    World::with(|server| server.remotes(&[&REMOTE_FUNCTION]))
}

#[tokio::test]
async fn the_client_gets_what_the_callback_returns() {
    let world = world();
    let (of_server, of_ada) = (Notes::new(), Notes::new());
    script_5b(&world.server, &of_server);
    let (ada, _) = within(world.join("Ada")).await;
    let part = script_5a(&ada, &of_ada).await.unwrap();
    assert_eq!(of_server.all(), ["Ada requested a new part"]);
    assert_eq!(
        of_ada.all(),
        ["The server created the requested part: Part"]
    );
    let (color, position) = (BrickColor::red(), Vector3::new(0.0, 25.0, 0.0));
    assert_eq!(part, Some(Part { color, position }));
}

#[tokio::test]
async fn a_call_waits_for_a_callback_that_comes_late() {
    let world = world();
    let lines = Notes::new();
    let (ada, player) = within(world.join("Ada")).await;
    let call = run_5a(&ada, &lines);
    until(|| player.stats().serving_calls == 1).await;
    lines.push("the callback is set".into());
    script_5b(&world.server, &lines);
    within(call).await.unwrap().unwrap();
    assert_eq!(
        lines.all(),
        [
            "the callback is set",
            "Ada requested a new part",
            "The server created the requested part: Part"
        ]
    );
}

#[tokio::test]
async fn of_two_callbacks_the_last_one_set_runs() {
    let world = world();
    let lines = Notes::new();
    let print = lines.clone();
    world
        .server
        .on_server_invoke(&REMOTE_FUNCTION, move |_, _| {
            print.push("the first".into());
            None
        });
    script_5b(&world.server, &lines);
    let (ada, _) = within(world.join("Ada")).await;
    script_5a(&ada, &lines).await.unwrap();
    assert_eq!(
        lines.all(),
        [
            "Ada requested a new part",
            "The server created the requested part: Part"
        ]
    );
}

#[tokio::test]
async fn a_callback_that_refuses_tells_the_caller_why() {
    logs::listen();
    let world = world();
    let lines = Notes::new();
    world.server.on_server_invoke(&REMOTE_FUNCTION, |_, _| {
        Err::<Option<Part>, _>("boom of a refusal")
    });
    let (ada, _) = within(world.join("Ada")).await;
    let error = script_5a(&ada, &lines).await.unwrap_err();
    assert!(error.to_string().contains("boom of a refusal"));
    let message = "boom of a refusal".to_owned();
    assert_eq!(error, InvokeError::Failed { message });
    assert_eq!(logs::with(&["boom of a refusal"]).len(), 1);
    assert!(lines.all().is_empty());

    script_5b(&world.server, &lines);
    script_5a(&ada, &lines).await.unwrap();
    assert_eq!(lines.all().len(), 2);
}

#[tokio::test]
async fn a_callback_that_panics_is_an_incident_in_the_servers_log() {
    logs::listen();
    let world = world();
    let lines = Notes::new();
    world
        .server
        .on_server_invoke(&REMOTE_FUNCTION, |_, _| -> Option<Part> {
            panic!("boom of a panic")
        });
    let (ada, _) = within(world.join("Ada")).await;
    let error = script_5a(&ada, &lines).await.unwrap_err();
    let InvokeError::Panicked { incident } = error else {
        panic!("{error:?}");
    };
    // The text stays on the server.
    assert!(!error.to_string().contains("boom"));
    let logged = logs::with(&[&incident.to_string()]);
    assert!(
        logged.iter().any(|line| line.contains("boom of a panic")),
        "{logged:?}"
    );
    assert!(lines.all().is_empty());

    script_5b(&world.server, &lines);
    script_5a(&ada, &lines).await.unwrap();
}

#[tokio::test]
async fn a_callback_that_takes_long_for_one_player_delays_no_other() {
    let world = world();
    let lines = Notes::new();
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    world
        .server
        .on_server_invoke(&REMOTE_FUNCTION, move |player: Player, _| {
            let wait = wait.clone();
            async move {
                if player.name() == "Ada" {
                    wait.notified().await;
                }
                None
            }
        });
    let (ada, of_ada) = within(world.join("Ada")).await;
    let (bo, _) = within(world.join("Bo")).await;
    let first = run_5a(&ada, &lines);
    until(|| of_ada.stats().serving_calls == 1).await;
    script_5a(&bo, &lines).await.unwrap();
    lines.push("that was Bo's".into());
    go_on.notify_one();
    within(first).await.unwrap().unwrap();
    assert_eq!(
        lines.all(),
        [
            "The server created the requested part: nil",
            "that was Bo's",
            "The server created the requested part: nil"
        ]
    );
}

#[tokio::test]
async fn a_callback_that_returns_nothing_gives_nil() {
    let world = world();
    let lines = Notes::new();
    world.server.on_server_invoke(&REMOTE_FUNCTION, |_, _| None);
    let (ada, _) = within(world.join("Ada")).await;
    script_5a(&ada, &lines).await.unwrap();
    assert_eq!(lines.all(), ["The server created the requested part: nil"]);
}

#[tokio::test]
async fn a_caller_that_leaves_stops_no_callback_and_leaves_nothing_behind() {
    let world = world();
    let lines = Notes::<String>::new();
    let go_on = Arc::new(Notify::new());
    let alive = Arc::new(());
    let left: Weak<()> = Arc::downgrade(&alive);
    let (print, wait) = (lines.clone(), go_on.clone());
    world
        .server
        .on_server_invoke(&REMOTE_FUNCTION, move |player: Player, _| {
            let (print, wait, alive) = (print.clone(), wait.clone(), alive.clone());
            async move {
                if player.name() == "Ada" {
                    print.push("Ada's has begun".into());
                    wait.notified().await;
                    print.push("Ada's is finished".into());
                }
                drop(alive);
                None
            }
        });
    let (ada, of_ada) = within(world.join("Ada")).await;
    let (bo, _) = within(world.join("Bo")).await;
    let call = run_5a(&ada, &Notes::new());
    lines.wait(1).await;
    within(ada.leave()).await;
    let error = within(call).await.unwrap().unwrap_err();
    assert!(
        matches!(error, InvokeError::Disconnected { .. }),
        "{error:?}"
    );
    within(of_ada.left()).await;
    until(|| world.server.stats().players == 1).await;

    script_5a(&bo, &Notes::new()).await.unwrap();
    go_on.notify_one();
    assert_eq!(
        lines.wait(2).await,
        ["Ada's has begun", "Ada's is finished"]
    );
    until(|| of_ada.stats().serving_calls == 0).await;
    // Only the callback itself still has one: the call's own is gone.
    until(|| left.strong_count() == 1).await;
    world.server.clear_server_invoke(&REMOTE_FUNCTION);
    until(|| left.strong_count() == 0).await;
}

/// The documentation's table says `OnServerInvoke:Connect(f)`, which Roblox refuses when it runs: a function
/// has one callback, and is no event. Here it does not compile. If functions were event remotes,
/// both implementations below would apply, and this would not compile either.
#[test]
fn a_function_cannot_be_connected_to_like_an_event() {
    trait Either<M> {
        fn check() {}
    }
    struct IsAnEvent;
    impl<T> Either<()> for T {}
    impl<T: EventRemote<Args>> Either<IsAnEvent> for T {}

    <RemoteFunction<Args, Option<Part>> as Either<_>>::check();
}
