//! Join a playtest by its link, say hello, and hear it from the server.
//!
//! ```text
//! cargo run --example lan_join -- LINK NAME
//! ```
//!
//! prints `NAME: hello`.

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::{env, error::Error};

use farfire::{Client, RemoteEvent};

const CHAT: RemoteEvent<String> = RemoteEvent::new("Chat");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let link = arguments
        .next()
        .ok_or("give the link that the host shows")?;
    let name = arguments.next().unwrap_or_default();

    let client = Client::join(link).name(name).connect().await?;
    client.fire_server(&CHAT, &"hello".to_owned())?;
    let heard = client.next_client_event(&CHAT).await;
    println!("{}", heard.ok_or("the host has gone")?);
    client.leave().await;
    Ok(())
}
