//! Server to all clients: a `RemoteEvent` that the server fires at everybody.
//!
//! ```lua
//! -- Script in ServerScriptService
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local remoteEvent = ReplicatedStorage:WaitForChild("RemoteEventTest")
//! local secondsRemaining = 5
//! -- Fire the RemoteEvent every second until time expires
//! for t = secondsRemaining, 1, -1 do
//!     remoteEvent:FireAllClients(t)
//!     task.wait(1)
//! end
//!
//! -- LocalScript in StarterPlayerScripts
//! local ReplicatedStorage = game:GetService("ReplicatedStorage")
//! local remoteEvent = ReplicatedStorage:WaitForChild("RemoteEventTest")
//! local function onTimerUpdate(seconds)
//!     print(seconds)
//! end
//! -- Call "onTimerUpdate()" when the server fires the RemoteEvent
//! remoteEvent.OnClientEvent:Connect(onTimerUpdate)
//! ```
//!
//! prints, a second apart, and the same for Bo:
//!
//! ```text
//! [Ada] 5
//! [Ada] 4
//! [Ada] 3
//! [Ada] 2
//! [Ada] 1
//! ```
//!
//! The server above counts from its start. This one waits for its clients, or they would miss the
//! first numbers: an event goes to those who are connected when it is fired.

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use std::{thread::sleep, time::Duration};

use farfire::{ClientBuilder, RemoteEvent, ServerBuilder};

const REMOTE_EVENT: RemoteEvent<u32> = RemoteEvent::new("RemoteEventTest");
const SECONDS_REMAINING: u32 = 5;

fn server(server: ServerBuilder) -> common::Outcome {
    let server = server.remotes(&[&REMOTE_EVENT]).start()?;
    common::listening(&server);
    common::everyone_has_joined();

    for t in (1..=SECONDS_REMAINING).rev() {
        server.fire_all_clients(&REMOTE_EVENT, &t)?;
        sleep(Duration::from_secs(1));
    }
    server.shutdown_blocking();
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn client(client: ClientBuilder) -> common::Outcome {
    let client = client.remotes(&[&REMOTE_EVENT]).connect().await?;
    common::joined(&client);

    client.on_client_event(&REMOTE_EVENT, |seconds| println!("{seconds}"));
    client.disconnected().await;
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Ada", "Bo"], server, client)
}
