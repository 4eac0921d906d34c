//! `farfire playtest`: a server and its players as processes of their own, over real QUIC.
//!
//! By itself it plays every kind of remote and compares line by line with what must come: [`director`]
//! directs; what is played is in [`scenario`] and [`place`], the parts are in [`server`] and [`client`],
//! and [`process`] has the conversation between them. With `--live`, or programs behind `--`, it hands
//! over to [`launch`].

mod child;
mod client;
mod director;
mod place;
mod process;
mod report;
mod scenario;
mod server;

use std::{ffi::OsString, process::ExitCode, time::Duration};

pub(crate) use self::{client::play, server::serve};
use crate::{
    exit::{self, complain},
    launch::{self, Plan, Programs},
    net::{Nets, Setting},
};

/// The hidden commands that start a child.
pub(crate) const SERVER: &str = "__server";
pub(crate) const CLIENT: &str = "__client";

/// How a playtest is run.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP, override_usage = USAGE)]
pub(crate) struct Options {
    /// How many players join, 1 to 64
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    players: u8,
    /// The network of every player, or of one: wifi, 2=mobile_4g, server=lan
    #[arg(long, value_name = "[N=]PRESET")]
    net: Vec<Setting>,
    /// Bots that play on until Ctrl-C, with their figures and a prompt
    #[arg(long)]
    live: bool,
    /// End a live playtest after so long: 30s, 5m
    #[arg(long = "for", value_name = "TIME", value_parser = launch::duration)]
    limit: Option<Duration>,
    /// Your server is ready when it prints this [default: an address or a link]
    #[arg(long, value_name = "TEXT", requires = "programs")]
    ready: Option<String>,
    /// How long your clients wait for that
    #[arg(long, value_name = "TIME", default_value = "20s", requires = "programs", value_parser = launch::duration)]
    wait: Duration,
    /// Wait less between events: the same lines, sooner
    #[arg(long, conflicts_with_all = ["live", "programs"])]
    fast: bool,
    /// Print a JSON record per line, for programs
    #[arg(long)]
    json: bool,
    /// The order in which players join and act; the same number gives the same order
    #[arg(long, default_value_t = 0, value_name = "NUMBER", conflicts_with_all = ["live", "programs"])]
    seed: u64,
    /// Play on with the rest after something differed, or crashed
    #[arg(long)]
    keep_going: bool,
    /// Your own programs instead of the built-in ones
    #[arg(
        last = true,
        value_name = "SERVER [ARGS] -- CLIENT [ARGS]",
        conflicts_with = "live"
    )]
    programs: Vec<OsString>,
}

/// Runs the playtest that the options ask for.
pub(crate) async fn run(options: Options) -> ExitCode {
    let players = usize::from(options.players);
    let nets = match Nets::new(&options.net, players) {
        Ok(nets) => nets,
        Err(error) => {
            complain(
                &error,
                "give more `--players`, or the number of another one",
            );
            return ExitCode::from(exit::USAGE);
        }
    };
    let programs = match &options.programs[..] {
        [] if options.live => Programs::BuiltIn,
        [] if options.limit.is_some() => {
            complain(
                "the scenarios end by themselves, so `--for` has no meaning for them",
                "add `--live` for bots that play for that long",
            );
            return ExitCode::from(exit::USAGE);
        }
        [] => return director::run(&options, nets).await,
        words => match Programs::parse(words) {
            Ok(programs) => programs,
            Err(complaint) => return exit::conclude(Err(complaint)),
        },
    };
    launch::run(Plan {
        programs,
        players,
        nets,
        limit: options.limit,
        ready: options.ready,
        wait: options.wait,
        json: options.json,
        keep_going: options.keep_going,
    })
    .await
}

const USAGE: &str = "farfire playtest [OPTIONS]
       farfire playtest --live [OPTIONS]
       farfire playtest [OPTIONS] -- SERVER [ARGS] -- CLIENT [ARGS]";

const AFTER_HELP: &str = exit::help!(
    "\
Examples:
  farfire playtest --players 4     a server and four players, each a process of its own
  farfire playtest --fast --json   for scripts: one JSON record per line
  farfire playtest --net wifi --net 2=awful     the same lines over bad networks
  farfire playtest --live          bots that play, and a prompt: type `help` there
  farfire playtest --players 3 -- ./my-server -- ./my-client --fullscreen

Networks: lan, wifi, mobile_4g, intercontinental, awful, off

Your programs get these variables:
  FARFIRE_PLAYER   the client's number, from 1
  FARFIRE_NAME     a name for it
  FARFIRE_NET      its network, which `farfire::conditioner::from_env` understands; it can
                   change while the program runs
  FARFIRE_ADDRESS  where the server listens, if it printed HOST:PORT
  FARFIRE_PIN      the server's pin, if it printed one
  FARFIRE_LINK     the server's link, if it printed one that begins with farfire://
Clients start when the server has printed one line with its address or link, or the `--ready`
text; without that they start after `--wait`, and without those variables. The standard input
of each program stays open until it shall end; then Ctrl-C reaches it, and two seconds later
it is killed, with whatever it has started."
);
