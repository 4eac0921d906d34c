//! The farfire command line.
//!
//! It uses the public API of the library alone: what it does, any program can do.
#![forbid(unsafe_code)]

mod playtest;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};

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
    #[command(name = playtest::SERVER, hide = true)]
    PlaytestServer,
    #[command(name = playtest::CLIENT, hide = true)]
    PlaytestClient { name: String },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return teach(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(
                &format!("no asynchronous runtime: {error}"),
                "the system may be out of file descriptors: see `ulimit -n`",
            );
            return ExitCode::FAILURE;
        }
    };
    match cli.command {
        Command::Playtest(options) => runtime.block_on(playtest::run(options)),
        Command::PlaytestServer => runtime.block_on(playtest::serve()),
        Command::PlaytestClient { name } => runtime.block_on(playtest::play(name)),
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
            ExitCode::from(USAGE)
        }
        _ => {
            // What is wrong comes first, then hints and usage, each set off by an empty line.
            let what = text.split("\n\n").next().unwrap_or_default();
            let what = what.strip_prefix("error: ").unwrap_or(what);
            complain(
                what.trim_end(),
                "`farfire --help` shows what there is, and `--help` after a command its options",
            );
            ExitCode::from(USAGE)
        }
    }
}

/// Says what is wrong and what to do about it, where errors belong.
fn complain(error: &str, help: &str) {
    let _ = writeln!(io::stderr(), "error: {error}\nhelp: {help}");
}

const AFTER_HELP: &str = "\
Example:
  farfire playtest --players 4     a server and four players, each a process of its own

Exit codes:
  0              everything came as expected
  1              something differed, or could not be run
  2              the command line is wrong
  129, 130, 143  ended with its terminal, by Ctrl-C, by SIGTERM";

/// The exit code of a wrong command line.
const USAGE: u8 = 2;
