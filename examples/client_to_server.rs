//! Client to server: a `RemoteEvent` that a client fires.
//!
//! ```lua
//! -- LocalScript in StarterPlayerScripts
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local remoteEvent = ReplicatedStorage:WaitForChild("RemoteEventTest")
//! -- Fire the RemoteEvent and pass additional arguments
//! remoteEvent:FireServer(BrickColor.Red(), Vector3.new(0, 25, 0))
//!
//! -- Script in ServerScriptService
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local remoteEvent = ReplicatedStorage:WaitForChild("RemoteEventTest")
//! local function onCreatePart(player, partColor, partPosition)
//!     print(player.Name .. " fired the RemoteEvent")
//!     local newPart = Instance.new("Part")
//!     newPart.BrickColor = partColor
//!     newPart.Position = partPosition
//!     newPart.Parent = workspace
//! end
//! remoteEvent.OnServerEvent:Connect(onCreatePart)
//! ```
//!
//! prints:
//!
//! ```text
//! [server] Ada fired the RemoteEvent
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use std::sync::{Arc, Mutex};

use farfire::{
    ClientBuilder, RemoteEvent, ServerBuilder,
    values::{BrickColor, Vector3},
};

/// In code that both sides compile, as Roblox keeps remotes in ReplicatedStorage.
const REMOTE_EVENT: RemoteEvent<(BrickColor, Vector3)> = RemoteEvent::new("RemoteEventTest");

#[tokio::main(flavor = "current_thread")]
async fn client(client: ClientBuilder) -> common::Outcome {
    let client = client.remotes(&[&REMOTE_EVENT]).connect().await?;
    common::joined(&client);

    client.fire_server(
        &REMOTE_EVENT,
        &(BrickColor::red(), Vector3::new(0.0, 25.0, 0.0)),
    )?;
    // What was fired before still arrives.
    client.leave().await;
    Ok(())
}

#[derive(Debug)]
#[expect(dead_code, reason = "nobody looks at the parts of this world")]
struct Part {
    color: BrickColor,
    position: Vector3,
}

fn server(server: ServerBuilder) -> common::Outcome {
    let server = server.remotes(&[&REMOTE_EVENT]).start()?;
    let workspace = Arc::new(Mutex::new(Vec::new()));

    server.on_server_event(&REMOTE_EVENT, move |player, (color, position)| {
        println!("{player} fired the RemoteEvent");
        let new_part = Part { color, position };
        workspace.lock().expect("no handler panics").push(new_part);
    });
    common::listening(&server);
    common::everyone_has_gone();
    server.shutdown_blocking();
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Ada"], server, client)
}
