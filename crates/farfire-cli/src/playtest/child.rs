//! A child's half of the conversation with the playtest; [`process`](super::process) has the rules.
//!
//! Knows nothing of scenarios.

use std::{
    env,
    io::{self, BufRead, Write},
    process::{self, ExitCode},
    thread,
};

use farfire::{Network, conditioner};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::process::{FAILED, OK};
use crate::net::{self, Net};

/// Prints a line of the script.
pub(super) fn say(line: impl AsRef<str>) {
    // Nobody reads any more: the end of the input will end this process.
    let _ = writeln!(io::stdout(), "{}", line.as_ref());
}

/// What this process plays over, as its environment has it.
pub(super) fn network() -> Result<Network, String> {
    let conditioner = conditioner::from_env().map_err(|error| error.to_string())?;
    Network::builder()
        .conditioner(&conditioner)
        .build()
        .map_err(|error| error.to_string())
}

/// Whether that is worse than what the machine has.
pub(super) fn is_conditioned() -> bool {
    env::var(net::VARIABLE).is_ok_and(|net| net != Net::default().to_string())
}

/// Follows orders, one answer each, until there are no more.
pub(super) async fn obey(
    mut follow: impl AsyncFnMut(&[&str]) -> Result<String, String>,
) -> ExitCode {
    let mut orders = orders();
    // A terminal's Ctrl-C is for the playtest, which ends this process; dying of it here first would
    // look like a failure.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    while let Some(order) = orders.recv().await {
        let words: Vec<_> = order.split_whitespace().collect();
        match follow(&words).await {
            Ok(note) => say(format!("{OK} {note}")),
            // One line, whatever the error has to say.
            Err(why) => say(format!("{FAILED} {}", why.replace('\n', " "))),
        }
    }
    ExitCode::SUCCESS
}

/// Reads orders on a thread of its own, so that this process ends with its parent even when
/// everything else in it stands still.
fn orders() -> UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for order in io::stdin().lock().lines() {
            let Ok(order) = order else { break };
            if sender.send(order).is_err() {
                break;
            }
        }
        process::exit(0);
    });
    orders
}
