//! Client to server to client: a `RemoteFunction` that a client invokes.
//!
//! ```lua
//! -- LocalScript in StarterPlayerScripts
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local remoteFunction = ReplicatedStorage:WaitForChild("RemoteFunctionTest")
//! -- Invoke the Function
//! -- Pass a brick color and position when invoking the function
//! local newPart = remoteFunction:InvokeServer(BrickColor.Red(), Vector3.new(0, 25, 0))
//! print("The server created the requested part:", newPart)
//!
//! -- Script in ServerScriptService
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local remoteFunction = ReplicatedStorage:WaitForChild("RemoteFunctionTest")
//! -- Script in ServerScriptService to create Part with the passed properties
//! local function createPart(player, partColor, partPosition)
//!     print(player.Name .. " requested a new part")
//!     local newPart = Instance.new("Part")
//!     -- Use partColor and partPosition to set the Part's BrickColor and Position
//!     newPart.BrickColor = partColor
//!     newPart.Position = partPosition
//!     newPart.Parent = workspace
//!     return newPart
//! end
//! -- Bind createPart() to the RemoteFunction's OnServerInvoke callback
//! remoteFunction.OnServerInvoke = createPart
//! ```
//!
//! prints:
//!
//! ```text
//! [server] Ada requested a new part
//! [Ada] The server created the requested part: Part
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use farfire::{
    ClientBuilder, Player, RemoteFunction, ServerBuilder,
    values::{BrickColor, Vector3},
};
use serde::{Deserialize, Serialize};

const REMOTE_FUNCTION: RemoteFunction<(BrickColor, Vector3), Part> =
    RemoteFunction::new("RemoteFunctionTest");

/// An instance travels as what it is made of, not as a reference.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    name: String,
    color: BrickColor,
    position: Vector3,
}

#[tokio::main(flavor = "current_thread")]
async fn client(client: ClientBuilder) -> common::Outcome {
    let client = client.remotes(&[&REMOTE_FUNCTION]).connect().await?;
    common::joined(&client);

    let new_part = client
        .invoke_server(
            &REMOTE_FUNCTION,
            &(BrickColor::red(), Vector3::new(0.0, 25.0, 0.0)),
        )
        .await?;
    println!("The server created the requested part: {}", new_part.name);
    client.leave().await;
    Ok(())
}

fn create_part(player: Player, (color, position): (BrickColor, Vector3)) -> Part {
    println!("{player} requested a new part");
    Part {
        name: "Part".to_owned(),
        color,
        position,
    }
}

fn server(server: ServerBuilder) -> common::Outcome {
    let server = server.remotes(&[&REMOTE_FUNCTION]).start()?;
    server.on_server_invoke(&REMOTE_FUNCTION, create_part);
    common::listening(&server);
    common::everyone_has_gone();
    server.shutdown_blocking();
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Ada"], server, client)
}
