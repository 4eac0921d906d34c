//! The server fires at each player that joins, before the player's handler is there.

use farfire::{Client, RemoteEvent};

use crate::{
    stage::{answer_caught_up, caught_up},
    world::{Notes, World, within},
};

const REMOTE_EVENT: RemoteEvent<(usize, f64)> = RemoteEvent::new("RemoteEventTest");
const RESPAWN_TIME: f64 = 5.0;

/// A server that runs script 2a, and its lines.
fn script_2a() -> (World, Notes) {
    let lines = Notes::new();
    let print = lines.clone();
    let world = World::with(|server| {
        server
            .remotes(&[&REMOTE_EVENT])
            .max_players(8)
            .on_player_added(move |player| {
                print.push(format!("[Server] Firing event to player {player}"));
                let server = player.server();
                let args = (server.max_players(), RESPAWN_TIME);
                server.fire_client(&player, &REMOTE_EVENT, &args)
            })
    });
    answer_caught_up(&world.server);
    (world, lines)
}

fn script_2b(client: &Client) -> Notes {
    let lines = Notes::new();
    let print = lines.clone();
    let player = client.local_player().clone();
    client.on_client_event(&REMOTE_EVENT, move |(max_players, respawn_time)| {
        print.push(format!("[Client] Event received by player {}", player.name));
        print.push(format!("{max_players} {respawn_time}"));
    });
    lines
}

#[tokio::test]
async fn each_client_gets_its_own_event_once() {
    let (world, of_server) = script_2a();
    let (ada, _) = within(world.join("Ada")).await;
    let of_ada = script_2b(&ada);
    let (bo, _) = within(world.join("Bo")).await;
    let of_bo = script_2b(&bo);
    of_ada.wait(2).await;
    of_bo.wait(2).await;
    caught_up(&ada).await;
    caught_up(&bo).await;
    assert_eq!(
        of_server.all(),
        [
            "[Server] Firing event to player Ada",
            "[Server] Firing event to player Bo"
        ]
    );
    assert_eq!(
        of_ada.all(),
        ["[Client] Event received by player Ada", "8 5"]
    );
    assert_eq!(of_bo.all(), ["[Client] Event received by player Bo", "8 5"]);
}

#[tokio::test]
async fn an_event_waits_for_a_script_that_runs_late() {
    let (world, _) = script_2a();
    let (ada, _) = within(world.join("Ada")).await;
    // The name is right before any event arrives.
    assert_eq!(ada.local_player().name, "Ada");
    // The event is here, and nobody listens.
    caught_up(&ada).await;
    let lines = script_2b(&ada);
    assert_eq!(
        lines.wait(2).await,
        ["[Client] Event received by player Ada", "8 5"]
    );
    caught_up(&ada).await;
    assert_eq!(lines.all().len(), 2);
}
