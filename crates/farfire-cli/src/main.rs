//! The farfire command line.
//!
//! It uses the public API of the library alone: what it does, any program can do.
#![forbid(unsafe_code)]

mod bench;
mod cert;
mod compare;
mod console;
mod date;
mod discover;
mod doctor;
mod exit;
mod folder;
mod host;
mod join;
mod json;
mod launch;
mod names;
mod net;
mod paint;
mod ping;
mod playtest;
mod qr;
mod reach;
mod shell;
mod signal;
mod trouble;
mod trust;
mod world;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::exit::{complain, conclude};

/// QUIC networking for multiplayer games: remote events and remote functions.
#[derive(Parser)]
#[command(name = "farfire", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Host a game on the local network: prints a link, and a code to type and to scan.
    Host(host::Options),
    /// Join a game by its link, its code or its address.
    Join(join::Options),
    /// List the servers that announce themselves on this network.
    Discover(discover::Options),
    /// Look for what may keep people from playing on this machine.
    Doctor(doctor::Options),
    /// Show or replace the identity of a host.
    #[command(subcommand)]
    Cert(cert::Command),
    /// List, accept or forget the servers that were joined before.
    #[command(subcommand)]
    Trust(trust::Command),
    /// Play every kind of remote between real processes, and check what each of them prints.
    Playtest(playtest::Options),
    /// Measure how far away a server is: as an event, a datagram, a call, and on the network.
    Ping(ping::Options),
    /// Measure latency under load: open loop, against quinn, UDP and TCP if wanted.
    Bench(bench::Options),
    /// Compare two benchmarks: better, worse or within noise.
    Compare(compare::Options),
    #[command(name = bench::SERVER, hide = true)]
    BenchServer,
    /// Print the completions for a shell.
    Completions(shell::Options),
    /// Print a manual page.
    Man(shell::ManOptions),
    #[command(name = playtest::SERVER, hide = true)]
    PlaytestServer,
    #[command(name = playtest::CLIENT, hide = true)]
    PlaytestClient { name: String },
    #[command(name = launch::SERVER, hide = true)]
    LiveServer,
    #[command(name = launch::BOT, hide = true)]
    Bot,
    #[command(name = launch::GUARD, hide = true)]
    Guard {
        net: String,
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

impl Command {
    async fn run(self) -> ExitCode {
        match self {
            Self::Host(options) => conclude(host::run(options).await),
            Self::Join(options) => conclude(join::run(options).await),
            Self::Discover(options) => conclude(discover::run(options).await),
            Self::Doctor(options) => conclude(doctor::run(options).await),
            Self::Cert(command) => conclude(cert::run(command)),
            Self::Trust(command) => conclude(trust::run(command)),
            Self::Completions(options) => conclude(shell::completions(Cli::command(), &options)),
            Self::Man(options) => conclude(shell::man(Cli::command(), &options)),
            Self::Playtest(options) => playtest::run(options).await,
            Self::Ping(options) => conclude(ping::run(options).await),
            Self::Bench(options) => conclude(bench::run(options).await),
            Self::Compare(options) => conclude(compare::run(&options)),
            Self::BenchServer => bench::be_the_server(),
            Self::PlaytestServer => playtest::serve().await,
            Self::PlaytestClient { name } => playtest::play(name).await,
            Self::LiveServer => launch::serve().await,
            Self::Bot => launch::play().await,
            Self::Guard { net, command } => launch::guard(net, command).await,
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return teach(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli.command.run()),
        Err(error) => {
            complain(
                &format!("no asynchronous runtime: {error}"),
                "the system may be out of file descriptors: see `ulimit -n`",
            );
            ExitCode::FAILURE
        }
    }
}

/// Answers a command line that is a question, or a mistake.
fn teach(error: &clap::Error) -> ExitCode {
    let text = format!("{}\n", error.to_string().trim_end());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::from(exit::USAGE)
        }
        _ => {
            // What is wrong comes first, then hints and usage, each set off by an empty line.
            let what = text.split("\n\n").next().unwrap_or_default();
            let what = what.strip_prefix("error: ").unwrap_or(what);
            complain(
                what.trim_end(),
                "`farfire --help` shows what there is, and `--help` after a command its options",
            );
            ExitCode::from(exit::USAGE)
        }
    }
}

const AFTER_HELP: &str = exit::help!(
    "\
Examples:
  farfire host                     opens a game for friends in the same network
  farfire join LINK                joins it, with the link that the host shows
  farfire doctor                   looks for what may be in the way
  farfire playtest --players 4     a server and four players, each a process of its own"
);
