//! `farfire join`: a player in the world of a host, found by link, code or address.
//!
//! Knows nothing of certificates: whom to trust is the library's to find out, and the player's to decide.

mod session;
mod target;

use std::{env, io, path::PathBuf, thread, time::Duration};

use farfire::{
    Client, ClientBuilder, ConnectError, Remote,
    lan::{
        JoinLink,
        discovery::{self, Scope},
    },
    tls::{Known, KnownServers, Trust, Via},
};
use tokio::sync::oneshot;

use self::{session::Session, target::Target};
use crate::{
    console::{self, Console},
    exit::{self, Complaint},
    folder,
    paint::{BOLD, Paint, printable},
    signal, trouble,
    world::{ADD, NEWS, PLAYERS, SAY},
};

/// Which game is joined, and as whom.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The link, the code or the address that the host shows; a link goes in quotes
    #[arg(value_name = "LINK|CODE|ADDRESS")]
    target: String,
    /// What the others see; without it the name that you have on this machine
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Trust a server that is joined by its address for the first time, without being asked
    #[arg(long)]
    trust_new: bool,
    /// Look for a code on this machine alone
    #[arg(long)]
    local: bool,
    /// Print a JSON record per line, for programs
    #[arg(long)]
    json: bool,
}

/// Plays until one of the sides ends it.
pub(crate) async fn run(options: Options) -> Result<(), Complaint> {
    let mut signals = signal::listen()?;
    let target = Target::read(&options.target)?;
    let known = known_servers()?;
    let joining = Joining {
        options: &options,
        known: &known,
    };
    let client = tokio::select! {
        client = joining.join(&target) => client?,
        signal = signals.next() => return Err(signal.complaint("nothing was joined")),
    };
    let console = match options.json {
        true => Console::for_programs(),
        false => Console::for_people(),
    };
    Session::new(client, console, options.json)
        .run(&mut signals)
        .await
}

/// The servers that this person has joined before.
pub(crate) fn known_servers() -> Result<KnownServers, Complaint> {
    let path: PathBuf = folder::known_servers()?;
    KnownServers::open(path).map_err(|error| trouble::known_servers(&error))
}

struct Joining<'a> {
    options: &'a Options,
    known: &'a KnownServers,
}

impl Joining<'_> {
    async fn join(&self, target: &Target) -> Result<Client, Complaint> {
        let way = target.way();
        let joined = match target {
            Target::Link(link) => self.by_link(link, Via::Link).await,
            Target::Code(code) => {
                self.say(&format!("Looking for the server of code {code} ..."));
                let found = discovery::find(code, PATIENCE, scope(self.options.local)).await;
                let found = found.map_err(|error| trouble::discovery(&error))?;
                self.by_link(&found.link(), Via::Code).await
            }
            Target::Address(address) => return self.by_address(&address.to_string()).await,
        };
        joined.map_err(|error| trouble::connect(&error, way))
    }

    async fn by_link(&self, link: &JoinLink, via: Via) -> Result<Client, ConnectError> {
        let builder = Client::join(link).remember(self.known, via);
        self.describe(builder).connect().await
    }

    /// Who answers at an address is known, or somebody has to decide.
    async fn by_address(&self, address: &str) -> Result<Client, Complaint> {
        let way = trouble::Way::Address;
        let connect = || {
            let trust = Trust::known_servers(self.known.clone());
            let builder = Client::builder(address, trust).remember(self.known, Via::Manual);
            self.describe(builder).connect()
        };
        let error = match connect().await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let ConnectError::UntrustedServer {
            pin,
            code,
            known: Known::Nothing,
            ..
        } = &error
        else {
            return Err(trouble::connect(&error, way));
        };
        let code = code.to_string();
        if !self.options.trust_new {
            if self.options.json || !console::is_terminal() {
                return Err(unknown(address, &code));
            }
            if !ask(address, &code).await {
                let error = format!("{address} was not joined: its code is not the host's");
                let help = "ask the host for its link; something may be answering in its place";
                return Err(Complaint::new(error, help).code(exit::UNTRUSTED));
            }
        }
        let accepted = self.known.accept(*pin, "", address, Via::Manual);
        accepted.map_err(|error| trouble::known_servers(&error))?;
        // Whoever answers now has to be the one that was shown.
        connect()
            .await
            .map_err(|error| trouble::connect(&error, way))
    }

    fn describe(&self, builder: ClientBuilder) -> ClientBuilder {
        const REMOTES: [&dyn Remote; 4] = [&SAY, &ADD, &NEWS, &PLAYERS];
        let name = self.options.name.clone().unwrap_or_else(own_name);
        builder.name(name).remotes(&REMOTES)
    }

    fn say(&self, line: &str) {
        if !self.options.json {
            let _ = io::Write::write_all(&mut io::stdout(), format!("{line}\n").as_bytes());
        }
    }
}

/// Where servers are looked for.
pub(crate) fn scope(local: bool) -> Scope {
    match local {
        true => Scope::Loopback,
        false => Scope::Lan,
    }
}

/// Shows the code of whoever answered, and asks whether it is the host's.
async fn ask(address: &str, code: &str) -> bool {
    let paint = Paint::stdout();
    let code = paint.paint(BOLD, code);
    let question = format!(
        "{} has not been joined before. Its code is\n\n    {code}\n\n\
         Compare it with the host's screen. Is it the same? [y/N] ",
        printable(address)
    );
    let mut out = io::stdout();
    let asked = io::Write::write_all(&mut out, question.as_bytes());
    if asked.and_then(|()| io::Write::flush(&mut out)).is_err() {
        return false;
    }
    // Not on the runtime's blocking pool, which would wait for an answer when a signal ends this.
    let (send, answer) = oneshot::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = io::stdin().read_line(&mut line);
        let _ = send.send(line);
    });
    let answer = answer.await.unwrap_or_default();
    ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

fn unknown(address: &str, code: &str) -> Complaint {
    let error = format!(
        "{address} has not been joined before, and nobody is here to compare its code {code}"
    );
    let help = "compare it with the host's screen, then join with --trust-new; or join with the host's link";
    Complaint::new(error, help).code(exit::UNTRUSTED)
}

/// The name that this person has on this machine.
fn own_name() -> String {
    let set = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
    set("USER")
        .or_else(|| set("USERNAME"))
        .unwrap_or_else(|| "player".into())
}

/// How long a server of a code is looked for.
const PATIENCE: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = exit::help!(
    "\
A link or a code says who the server is: whoever answers in its place is refused. An address does not: the first
time you are shown a code to compare with the host's screen, from then on the server is known.
What you type goes to everybody; /add counts, /players lists, /quit leaves. Where the input ends, you leave.

Examples:
  farfire join \"farfire://192.168.1.7:4433/playtest#p=...\"   the link that the host sent
  farfire join K7QF-2MXA-9RTD-3                              the code on the host's screen
  farfire join 192.168.1.7                                   its address, with the usual port"
);
