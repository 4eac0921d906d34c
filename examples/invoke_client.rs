//! Server to client to server: a `RemoteFunction` that the server invokes on a client.
//!
//! ```lua
//! -- Script in ServerScriptService
//! for _, player in Players:GetPlayers() do
//!     -- Yields for as long as the client likes, and raises what goes wrong there
//!     local ok, number = pcall(remoteFunction.InvokeClient, remoteFunction, player, "how many?")
//!     print(player.Name .. ":", number)
//! end
//!
//! -- LocalScript in StarterPlayerScripts
//! remoteFunction.OnClientInvoke = function(question)
//!     print("The server asks:", question)
//!     return 7
//! end
//! ```
//!
//! Roblox's documentation warns of it: a client's callback may fail, the client may leave during the
//! call, and it may never return. Here each of the three is an error, by the timeout at the latest.
//!
//! prints:
//!
//! ```text
//! [Ada] The server asks: how many?
//! [server] Ada: 7
//! [Bo] The server asks: how many?
//! [server] Bo: no answer in time
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

mod common;

use std::time::Duration;

use farfire::{ClientBuilder, InvokeError, RemoteFunction, ServerBuilder};

const REMOTE_FUNCTION: RemoteFunction<String, u32> = RemoteFunction::new("RemoteFunctionTest");
const TIMEOUT: Duration = Duration::from_millis(500);

fn server(server: ServerBuilder) -> common::Outcome {
    let server = server.remotes(&[&REMOTE_FUNCTION]).start()?;
    common::listening(&server);
    common::everyone_has_joined();

    for player in server.players() {
        let call = server.invoke_client(&player, &REMOTE_FUNCTION, &"how many?".to_owned());
        match call.timeout(TIMEOUT).blocking() {
            Ok(number) => println!("{player}: {number}"),
            Err(InvokeError::Timeout { .. }) => println!("{player}: no answer in time"),
            Err(error) => println!("{player}: {error}"),
        }
    }
    server.shutdown_blocking();
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn client(client: ClientBuilder) -> common::Outcome {
    let client = client.remotes(&[&REMOTE_FUNCTION]).connect().await?;
    let name = client.local_player().name.clone();

    client.on_client_invoke(&REMOTE_FUNCTION, move |question| {
        println!("The server asks: {question}");
        let knows = name == "Ada";
        async move {
            match knows {
                true => 7,
                false => std::future::pending().await,
            }
        }
    });
    common::joined(&client);
    client.disconnected().await;
    Ok(())
}

fn main() -> common::Outcome {
    common::play(&["Ada", "Bo"], server, client)
}
