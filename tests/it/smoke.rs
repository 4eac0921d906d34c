//! One of everything.

use std::future::IntoFuture;

use farfire::{RemoteEvent, RemoteFunction, UnreliableRemoteEvent};

use crate::world::{Notes, World, within};

const UP: RemoteEvent<(u32, String)> = RemoteEvent::new("Up");
const DOWN: RemoteEvent<String> = RemoteEvent::new("Down");
const POSE: UnreliableRemoteEvent<[f32; 3]> = UnreliableRemoteEvent::new("Pose");
const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");
const NAME: RemoteFunction<(), String> = RemoteFunction::new("Name");

#[tokio::test]
async fn events_and_calls_go_both_ways() {
    let world = World::with(|server| server.remotes(&[&UP, &DOWN, &POSE, &ADD, &NAME]));
    let notes = Notes::<String>::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&UP, move |player, (number, text)| {
            seen.push(format!("{player} {number} {text}"))
        });
    let seen = notes.clone();
    world
        .server
        .on_server_event(&POSE, move |_, pose| seen.push(format!("{pose:?}")));
    world.server.on_server_invoke(&ADD, |_, (a, b)| a + b);

    let (ada, player) = within(world.join("Ada")).await;
    let seen = notes.clone();
    ada.on_client_event(&DOWN, move |text| seen.push(text));
    ada.on_client_invoke(&NAME, |()| async { "it is Ada".to_string() });
    ada.fire_server(&UP, &(7, "hi".into())).unwrap();
    assert_eq!(notes.wait(1).await, ["Ada 7 hi"]);
    assert_eq!(
        within(ada.invoke_server(&ADD, &(2, 3)).into_future()).await,
        Ok(5)
    );
    world
        .server
        .fire_client(&player, &DOWN, &"down".into())
        .unwrap();
    notes.wait(2).await;
    world.server.fire_all_clients(&DOWN, &"all".into()).unwrap();
    assert_eq!(notes.wait(3).await, ["Ada 7 hi", "down", "all"]);
    assert_eq!(
        within(
            world
                .server
                .invoke_client(&player, &NAME, &())
                .into_future()
        )
        .await,
        Ok("it is Ada".into())
    );
    ada.fire_server(&POSE, &[1.0, 2.0, 3.0]).unwrap();
    notes.wait(4).await;
    within(ada.leave()).await;
    within(player.left()).await;
    within(world.server.shutdown()).await;
}
