//! The farfire command line.
//!
//! It uses the public API of the library alone: what it does, any program can do.
#![forbid(unsafe_code)]

mod bench;
mod exit;
mod json;
mod paint;
mod playtest;
mod signal;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::exit::complain;

/// QUIC networking for multiplayer games: remote events and remote functions.
#[derive(Parser)]
#[command(name = "farfire", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play every kind of remote between real processes, and check what each of them prints.
    Playtest(playtest::Options),
    /// Measure latency under load: open loop, against quinn, UDP and TCP if wanted.
    Bench(bench::Options),
    #[command(name = bench::SERVER, hide = true)]
    BenchServer,
    #[command(name = playtest::SERVER, hide = true)]
    PlaytestServer,
    #[command(name = playtest::CLIENT, hide = true)]
    PlaytestClient { name: String },
}

impl Command {
    async fn run(self) -> ExitCode {
        match self {
            Self::Playtest(options) => playtest::run(options).await,
            Self::Bench(options) => bench::run(options).await,
            Self::BenchServer => bench::be_the_server(),
            Self::PlaytestServer => playtest::serve().await,
            Self::PlaytestClient { name } => playtest::play(name).await,
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
Example:
  farfire playtest --players 4     a server and four players, each a process of its own"
);
