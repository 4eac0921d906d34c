//! The built-in programs of a live playtest: a server and bots, and what both of them compile.
//!
//! They are launched as anybody's programs are: the server prints where it is, the bots read it in their
//! environment, and both end with their input. What they print for the launcher alone begins as below.

pub(super) mod bot;
pub(super) mod server;

use std::{
    io::{self, BufRead, Write},
    process, thread,
    time::Duration,
};

use farfire::{
    Network, RemoteEvent, RemoteFunction, UnreliableRemoteEvent, conditioner, values::Vector3,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, Receiver};

/// Where a player is.
const MOVE: UnreliableRemoteEvent<Vector3> = UnreliableRemoteEvent::new("Move").latest_wins();
/// Where some players are, by their ids.
const WORLD: UnreliableRemoteEvent<Vec<(u64, Vector3)>> = UnreliableRemoteEvent::new("World");
/// What a player says, and what the server makes of it: who, and what.
const SAY: RemoteEvent<String> = RemoteEvent::new("Say");
const CHAT: RemoteEvent<(String, String)> = RemoteEvent::new("Chat");
/// Buys an item; the gold that is left.
const BUY: RemoteFunction<String, Result<u32, Refusal>> = RemoteFunction::new("Buy");
/// The server asks a player, who answers with the number.
const ASK: RemoteFunction<u32, u32> = RemoteFunction::new("Ask");

/// Why nothing was bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Refusal {
    NotForSale,
    NotEnoughGold,
}

/// Prints a line for the launcher.
fn say(line: impl AsRef<str>) {
    // Nobody reads any more: the end of the input will end this process.
    let _ = writeln!(io::stdout(), "{}", line.as_ref());
}

/// What this process plays over, as its environment has it.
fn network() -> Result<Network, String> {
    let conditioner = conditioner::from_env().map_err(|error| error.to_string())?;
    Network::builder()
        .conditioner(&conditioner)
        .build()
        .map_err(|error| error.to_string())
}

/// What this process is told; it ends with its input, even when everything else in it stands still.
fn told() -> Receiver<String> {
    let (sender, lines) = mpsc::channel(TOLD);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
        process::exit(0);
    });
    lines
}

/// Begins a line of a bot's figures, and one of the server's about a player, whose name is next.
pub(super) const BOT_FIGURES: &str = "@bot ";
pub(super) const SEAT_FIGURES: &str = "@seat ";
/// How often each prints figures.
const FIGURES: Duration = Duration::from_secs(1);
/// In bytes.
const LONGEST_TEXT: usize = 200;
const TOLD: usize = 16;
