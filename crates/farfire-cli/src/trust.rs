//! `farfire trust`: the servers that this person has joined, and what is done about one that has changed.

use std::io::{self, Write};

use farfire::tls::{Code, KnownServer, Via};

use crate::{
    date::date,
    exit::{self, Complaint},
    join,
    json::Record,
    paint::{BOLD, Paint, printable},
    trouble,
};

/// What is done.
#[derive(clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Command {
    /// List the servers that were joined before
    #[command(after_help = AFTER_HELP)]
    List {
        /// Print a JSON record per line, for programs
        #[arg(long)]
        json: bool,
    },
    /// Trust a server that was refused not long ago
    #[command(after_help = AFTER_HELP)]
    Accept {
        /// The code that was shown with the refusal, once it is compared with the host's screen
        code: String,
    },
    /// Forget a server: it is asked about again the next time
    #[command(after_help = AFTER_HELP)]
    Forget {
        /// Its code, as `farfire trust list` shows it
        code: String,
    },
}

/// Does it.
pub(crate) fn run(command: Command) -> Result<(), Complaint> {
    let known = join::known_servers()?;
    let failed = |error| trouble::known_servers(&error);
    match command {
        Command::List { json } => {
            let servers = known.list().map_err(failed)?;
            let text = match json {
                true => servers.iter().map(|server| record(server) + "\n").collect(),
                false => screen(&servers, Paint::stdout()) + "\n",
            };
            print(&text);
            Ok(())
        }
        Command::Accept { code } => {
            let code = read(&code)?;
            let Some(server) = known.accept_code(&code).map_err(failed)? else {
                return Err(Complaint::new(
                    format!("no server of code {code} was refused not long ago"),
                    "join it first: farfire join ADDRESS shows the code of whoever answers",
                ));
            };
            let addresses = server.last_addrs.join(", ");
            print(&format!(
                "{code} at {} is trusted from now on.\n",
                printable(&addresses)
            ));
            Ok(())
        }
        Command::Forget { code } => {
            let code = read(&code)?;
            match known.forget(&code).map_err(failed)? {
                0 => Err(Complaint::new(
                    format!("no server of code {code} is known"),
                    "`farfire trust list` shows those that are",
                )),
                _ => {
                    print(&format!("{code} is forgotten.\n"));
                    Ok(())
                }
            }
        }
    }
}

fn read(code: &str) -> Result<Code, Complaint> {
    code.parse().map_err(|error| trouble::code(&error))
}

fn screen(servers: &[KnownServer], paint: Paint) -> String {
    if servers.is_empty() {
        return "No server is known yet: those that you join are remembered here.".into();
    }
    let heading = format!(
        "{:16}  {:11}  {:11}  {:7}  {:21}  name",
        "code", "first", "last", "by", "address"
    );
    let mut lines = vec![paint.paint(BOLD, &heading)];
    lines.extend(servers.iter().map(|server| {
        let address = server.last_addrs.first().map_or("-", String::as_str);
        format!(
            "{:16}  {:11}  {:11}  {:7}  {:21}  {}",
            server.pin.code(),
            date(server.first_seen),
            date(server.last_seen),
            way(server.via),
            printable(address),
            printable(&server.name),
        )
    }));
    lines.join("\n")
}

fn record(server: &KnownServer) -> String {
    let record = Record::new("known")
        .text("code", &server.pin.code().to_string())
        .text("pin", &server.pin.to_string())
        .text("name", &server.name)
        .texts("addresses", server.last_addrs.clone())
        .text("first_seen", &date(server.first_seen))
        .text("last_seen", &date(server.last_seen))
        .text("via", way(server.via));
    match server.next {
        Some(next) => record.text("next_code", &next.code().to_string()).finish(),
        None => record.finish(),
    }
}

const fn way(via: Via) -> &'static str {
    match via {
        Via::Link => "link",
        Via::Code => "code",
        Via::Mdns => "mdns",
        Via::Manual => "address",
        _ => "other",
    }
}

fn print(text: &str) {
    // A pipe whose other end is closed wants no more.
    let _ = io::stdout().write_all(text.as_bytes());
}

const AFTER_HELP: &str = exit::help!(
    "\
Servers are known by their identity and not by their address: addresses change hands.

Examples:
  farfire trust list
  farfire trust accept P3W8-0HKN-5VJC-X   after a refusal, and a look at the host's screen
  farfire trust forget K7QF-2MXA-9RTD-3"
);
