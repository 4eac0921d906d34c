//! Client to client, by way of the server.
//!
//! Roblox's documentation has no script for it, only this:
//!
//! > Clients cannot communicate directly with other clients, although you can effectively dispatch an
//! > event from one client to another by using the FireServer() method, then calling FireClient() or
//! > FireAllClients() in the event handler for OnServerEvent.
//!
//! ```lua
//! -- LocalScript in StarterPlayerScripts
//! said.OnClientEvent:Connect(function(name, text)
//!     print(name, text)
//! end)
//! say:FireServer("hi")
//!
//! -- Script in ServerScriptService
//! say.OnServerEvent:Connect(function(player, text)
//!     if #text <= 200 then
//!         said:FireAllClients(player.Name, text)
//!     end
//! end)
//! ```
//!
//! prints:
//!
//! ```text
//! [Bo] Ada hi
//! [Ada] Ada hi
//! ```
//!
//! The server is where a text is checked, and where it gets the name of its sender.

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use std::sync::Arc;

use farfire::{ClientBuilder, FireError, Player, RemoteEvent, ServerBuilder};
use tokio::sync::Notify;

/// What a client says; the server knows who it is.
const SAY: RemoteEvent<String> = RemoteEvent::new("Say");
/// Who said what.
const SAID: RemoteEvent<(String, String)> = RemoteEvent::new("Said");

const LONGEST_TEXT: usize = 200;

fn server(server: ServerBuilder) -> common::Outcome {
    let server = server.remotes(&[&SAY, &SAID]).start()?;

    server.on_server_event(&SAY, |player: Player, text| -> Result<(), FireError> {
        if text.len() > LONGEST_TEXT {
            return Ok(());
        }
        let said = (player.name().to_owned(), text);
        player.server().fire_all_clients(&SAID, &said)
    });
    common::listening(&server);
    common::everyone_has_gone();
    server.shutdown_blocking();
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn client(client: ClientBuilder) -> common::Outcome {
    let client = client.remotes(&[&SAY, &SAID]).connect().await?;
    common::joined(&client);
    let heard = Arc::new(Notify::new());
    let notify = heard.clone();

    client.on_client_event(&SAID, move |(name, text)| {
        println!("{name} {text}");
        notify.notify_one();
    });
    // Ada comes last, so Bo is there to hear her.
    if client.local_player().name == "Ada" {
        client.fire_server(&SAY, &"hi".to_owned())?;
    }
    heard.notified().await;
    client.leave().await;
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Bo", "Ada"], server, client)
}
