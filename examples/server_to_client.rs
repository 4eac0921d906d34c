//! Server to client: a `RemoteEvent` that the server fires at one client.
//!
//! ```lua
//! -- Script in ServerScriptService
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local Players = game:GetService("Players")
//! local remoteEvent = ReplicatedStorage:WaitForChild("RemoteEventTest")
//! local function onPlayerAdded(player)
//!     print("[Server] Firing event to player", player.Name)
//!     remoteEvent:FireClient(player, Players.MaxPlayers, Players.RespawnTime)
//! end
//! Players.PlayerAdded:Connect(onPlayerAdded)
//!
//! -- LocalScript in StarterPlayerScripts
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local Players = game:GetService("Players")
//! local remoteEvent = ReplicatedStorage:WaitForChild("RemoteEventTest")
//! local player = Players.LocalPlayer
//! local function onNotifyPlayer(maxPlayers, respawnTime)
//!     print("[Client] Event received by player", player.Name)
//!     print(maxPlayers, respawnTime)
//! end
//! remoteEvent.OnClientEvent:Connect(onNotifyPlayer)
//! ```
//!
//! prints:
//!
//! ```text
//! [server] [Server] Firing event to player Ada
//! [Ada] [Client] Event received by player Ada
//! [Ada] 8 5
//! [server] [Server] Firing event to player Bo
//! [Bo] [Client] Event received by player Bo
//! [Bo] 8 5
//! ```
//!
//! The server fires before the client's script has connected its handler: the event waits for it.

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use std::sync::Arc;

use farfire::{ClientBuilder, RemoteEvent, ServerBuilder};
use tokio::sync::Notify;

const REMOTE_EVENT: RemoteEvent<(usize, f64)> = RemoteEvent::new("RemoteEventTest");
const RESPAWN_TIME: f64 = 5.0;

fn server(server: ServerBuilder) -> common::Outcome {
    let server = server
        .remotes(&[&REMOTE_EVENT])
        .on_player_added(|player| {
            println!("[Server] Firing event to player {player}");
            let server = player.server();
            server.fire_client(
                &player,
                &REMOTE_EVENT,
                &(server.max_players(), RESPAWN_TIME),
            )
        })
        .start()?;
    common::listening(&server);
    common::everyone_has_gone();
    server.shutdown_blocking();
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn client(client: ClientBuilder) -> common::Outcome {
    let client = client.remotes(&[&REMOTE_EVENT]).connect().await?;
    common::joined(&client);
    let player = client.local_player().clone();
    let notified = Arc::new(Notify::new());
    let notify = notified.clone();

    client.on_client_event(&REMOTE_EVENT, move |(max_players, respawn_time)| {
        println!("[Client] Event received by player {}", player.name);
        println!("{max_players} {respawn_time}");
        notify.notify_one();
    });
    notified.notified().await;
    client.leave().await;
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Ada", "Bo"], server, client)
}
