//! Host a playtest: everybody who gets the link can join, and nobody hears of certificates.
//!
//! ```text
//! cargo run --example lan_host
//! ```
//!
//! prints the link and who joins; `cargo run --example lan_join -- LINK NAME` elsewhere joins. The identity is made in the folder
//! `certs`, or the one that is given, and kept there. Enter, or the end of the input, ends it.

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::{env, error::Error, io};

use farfire::{RemoteEvent, Server};

const CHAT: RemoteEvent<String> = RemoteEvent::new("Chat");

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| "certs".into());

    let host = Server::playtest("chat")
        .folder(folder)
        .remotes(&[&CHAT])
        .start()?;
    host.on_player_added(|player| println!("{player} joined"));
    host.on_server_event(&CHAT, |player, line| {
        player
            .server()
            .fire_all_clients(&CHAT, &format!("{player}: {line}"))
    });
    println!("{}", host.link());

    if let Some(port) = host.port_taken() {
        eprintln!("port {port} is taken: using {}", host.local_addr().port());
    }
    io::stdin().read_line(&mut String::new())?;
    host.shutdown_blocking();
    Ok(())
}
