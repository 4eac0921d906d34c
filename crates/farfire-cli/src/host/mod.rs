//! `farfire host`: a server on the local network, with all that friends need to join it.
//!
//! Knows nothing of certificates: the library makes and keeps them.

mod command;
mod game;
mod invitation;
mod session;

use std::{net::Ipv4Addr, path::PathBuf};

use farfire::{
    Network, PlaytestError, PlaytestServer, Server, StartError,
    conditioner::{Conditioner, Preset},
};

use self::{game::Game, invitation::Invitation, session::Session};
use crate::{
    console::Console,
    exit::{self, Complaint},
    folder,
    paint::Paint,
    signal, trouble,
};

/// How a game is hosted.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// What players see: in the link, and in what `farfire discover` lists
    #[arg(long, default_value = "playtest", value_name = "NAME")]
    name: String,
    /// The UDP port; without it 4433, or one of the next ten if that is taken
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// How many players may be in at a time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_players: u16,
    /// Let nobody in who does not have the link: it carries a secret then
    #[arg(long)]
    token: bool,
    /// Let in whoever has the code or the address, too; this is the default
    #[arg(long, conflicts_with = "token")]
    open: bool,
    /// Only for players on this machine
    #[arg(long)]
    local: bool,
    /// Begin on a simulated network: lan, wifi, mobile_4g, intercontinental or awful
    #[arg(long, value_name = "PRESET")]
    net: Option<Preset>,
    /// The folder of the server's identity; without it `certs` if that is here, else one of your own
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Do not tell the network that there is a server: no code, no `farfire discover`
    #[arg(long)]
    no_discovery: bool,
    /// Print a JSON record per line, for programs
    #[arg(long)]
    json: bool,
}

/// Hosts until somebody ends it.
pub(crate) async fn run(options: Options) -> Result<(), Complaint> {
    let mut signals = signal::listen()?;
    let conditioner = Conditioner::new(SEED);
    conditioner.set_preset(options.net);
    let (game, seen) = Game::new();
    let server = start(&options, &conditioner, game.clone())?;
    game.open(&server);
    let paint = Paint::stdout();
    // Before it is shown: one that comes in between is then told once too often.
    let shown = server.pin();
    let invitation = Invitation::of(&server, &options);
    let mut console = match options.json {
        true => Console::for_programs(),
        false => Console::for_people(),
    };
    let text = match options.json {
        true => invitation.record(),
        false => invitation.screen(paint, console.is_terminal()),
    };
    console.print(&text);
    let session = Session {
        server: server.clone(),
        game,
        seen,
        conditioner,
        net: options.net,
        console,
        paint,
        json: options.json,
        meters: Default::default(),
        rows: Vec::new(),
        shown,
    };
    session.run(&mut signals).await
}

fn start(
    options: &Options,
    conditioner: &Conditioner,
    game: Game,
) -> Result<PlaytestServer, Complaint> {
    let network = Network::builder()
        .conditioner(conditioner)
        .build()
        .map_err(|error| {
            let error = format!("the system gives no thread for the network: {error}");
            Complaint::new(error, "see `ulimit -u`")
        })?;
    let builder = Server::playtest(&options.name)
        .folder(folder::identity(options.dir.clone())?)
        .game(GAME)
        .token(options.token)
        .advertise(!options.no_discovery)
        .max_players(options.max_players.into())
        .configure(move |builder| game.prepare(builder).network(&network));
    let builder = match options.local {
        true => builder.ip(Ipv4Addr::LOCALHOST),
        false => builder,
    };
    let builder = match options.port {
        Some(port) => builder.port(port),
        None => builder,
    };
    builder.start().map_err(complaint)
}

fn complaint(error: PlaytestError) -> Complaint {
    match error {
        PlaytestError::Identity(error) => trouble::identity(&error),
        PlaytestError::PortTaken { first, last } if first == last => Complaint::new(
            format!("UDP port {first} is taken by another program"),
            "leave --port out to get the next free one, or let the system choose: --port 0",
        ),
        PlaytestError::PortTaken { first, last } => Complaint::new(
            format!("the UDP ports {first} to {last} are all taken"),
            "stop a server that you do not need, or let the system choose: --port 0",
        ),
        PlaytestError::Start(StartError::Bind { address, source }) => {
            let port = address.port();
            match source.kind() {
                std::io::ErrorKind::PermissionDenied => Complaint::new(
                    format!("this user may not use UDP port {port}"),
                    "choose a port from 1024 up, such as --port 4433",
                ),
                _ => Complaint::new(
                    format!("UDP port {port} cannot be used: {source}"),
                    "`farfire doctor` looks for the reason",
                ),
            }
        }
        error => Complaint::new(error.to_string(), "`farfire doctor` looks for the reason"),
    }
}

/// What discovery says is played here.
const GAME: &str = "farfire-host";
/// A simulated network is the same every time.
const SEED: u64 = 1;

const AFTER_HELP: &str = exit::help!(
    "\
Send the link to your friends, or let them scan the code on the screen: it says where this server is and who
it is, and nobody can answer in its place. Whoever sits beside you types `farfire join` and the code.
What you can type while it runs: say, add, players, kick, net, link, renew, help, quit.

Examples:
  farfire host                             for friends in the same network
  farfire host --name desert-duel --token  only for those who have the link
  farfire host --net wifi                  to feel what a radio network does; `net off` ends it
  farfire host --json < /dev/null          as a service: it runs until it gets a signal"
);
