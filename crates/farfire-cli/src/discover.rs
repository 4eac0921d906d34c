//! `farfire discover`: the servers that announce themselves on this network.
//!
//! What they say is a claim; joining by link or code is what proves it.

use std::{
    io::{self, Write},
    time::Duration,
};

use farfire::lan::discovery::{Browser, Found};
use tokio::time::{Instant, timeout_at};
use unicode_width::UnicodeWidthStr;

use crate::{
    exit::{self, Complaint},
    join,
    json::Record,
    paint::{BOLD, GREEN, Paint, YELLOW, printable},
    signal, trouble,
};

/// How long is looked.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// How long to look, 1 to 60
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Look on this machine alone
    #[arg(long)]
    local: bool,
    /// Print a JSON record per line, for programs
    #[arg(long)]
    json: bool,
}

/// Looks for a while, then lists what was found.
pub(crate) async fn run(options: Options) -> Result<(), Complaint> {
    let mut signals = signal::listen()?;
    let known = join::known_servers()?;
    let mut browser = Browser::start(Some(&known), join::scope(options.local))
        .map_err(|error| trouble::discovery(&error))?;
    let deadline = Instant::now() + Duration::from_secs(options.seconds);
    loop {
        tokio::select! {
            signal = signals.next() => return Err(signal.complaint("nothing was changed")),
            changed = timeout_at(deadline, browser.changed()) => match changed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(trouble::discovery(&error)),
                Err(_) => break,
            },
        }
    }
    let servers = browser.servers();
    let text = match options.json {
        true => servers.iter().map(|found| record(found) + "\n").collect(),
        false => screen(&servers, options.seconds, Paint::stdout()) + "\n",
    };
    // A pipe whose other end is closed wants no more.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn screen(servers: &[Found], seconds: u64, paint: Paint) -> String {
    if servers.is_empty() {
        return format!(
            "No server announced itself within {seconds} s. Guest networks and firewalls often stop discovery;\n\
             a link or an address works without it: farfire join LINK|ADDRESS"
        );
    }
    let cells: Vec<[String; 5]> = servers
        .iter()
        .map(|found| {
            let claims = &found.claims;
            let address = found.addresses.first().map(ToString::to_string);
            [
                printable(&claims.name).into_owned(),
                claims.pin.code().to_string(),
                address.unwrap_or_else(|| "-".into()),
                format!("{}/{}", claims.players, claims.max_players),
                match claims.needs_token {
                    true => "link only".into(),
                    false => "open".into(),
                },
            ]
        })
        .collect();
    let heading = ["server", "code", "address", "players", "joining"];
    let width = |at: usize| {
        let widths = cells.iter().map(|row: &[String; 5]| row[at].width());
        widths.max().unwrap_or(0).max(heading[at].len())
    };
    let line = |row: [&str; 5]| {
        let padded = row.iter().enumerate().map(|(at, cell)| {
            format!(
                "{cell}{}",
                " ".repeat(width(at).saturating_sub(cell.width()))
            )
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    let mut lines = vec![paint.paint(BOLD, &format!("{}  identity", line(heading)))];
    for (row, found) in cells.iter().zip(servers) {
        let identity = match found.verified {
            true => paint.paint(GREEN, "verified: joined before"),
            false => paint.paint(YELLOW, "unverified"),
        };
        let row = row.each_ref().map(String::as_str);
        lines.push(format!("{}  {identity}", line(row)));
    }
    lines.push(String::new());
    lines.push("Anybody can claim to be anything here: compare the code with the host's screen, then farfire join CODE".into());
    lines.join("\n")
}

fn record(found: &Found) -> String {
    let claims = &found.claims;
    Record::new("server")
        .text("name", &claims.name)
        .text("game", &claims.game)
        .text("code", &claims.pin.code().to_string())
        .text("pin", &claims.pin.to_string())
        .texts("addresses", found.addresses.iter().map(ToString::to_string))
        .plain("players", claims.players)
        .plain("max_players", claims.max_players)
        .plain("needs_token", claims.needs_token)
        .plain("verified", found.verified)
        .finish()
}

const AFTER_HELP: &str = exit::help!(
    "\
`verified` means that you have joined the server of this identity before; whoever claims to be it still has to
prove that when you join. `unverified` is a claim that nobody has checked.

Examples:
  farfire discover                  what is on this network
  farfire discover --seconds 10     for slow radio
  farfire discover --json | jq -r .code"
);
