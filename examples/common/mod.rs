//! The stage for the examples: one process for the server and one for each client.
//!
//! An example without arguments starts itself once more per process, and shows every line behind the
//! name of the process that printed it. By hand, in terminals of their own:
//!
//! ```text
//! cargo run --example client_to_server -- server
//! cargo run --example client_to_server -- client ADDRESS PIN NAME
//! ```
//!
//! or, with as many clients as one likes, each on the network of one's choice:
//!
//! ```text
//! farfire playtest --net wifi -- target/debug/examples/client_to_server server -- target/debug/examples/client_to_server client
//! ```
//!
//! Lines of the play go to standard output. Where the server is and who has joined goes to standard
//! error, and is how the process that started the others knows. Knows nothing about remotes.

#![expect(clippy::print_stdout, reason = "an example talks to its user")]
#![allow(dead_code, reason = "no example needs everything")]

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
};

use farfire::{
    Client, ClientBuilder, Network, Server, ServerBuilder, conditioner,
    tls::{Identity, Pin, Trust},
};

/// How an example, and each of its parts, ends.
pub(crate) type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Plays `server`, or one `client`, or both with these clients, as the arguments say.
pub(crate) fn play(
    clients: &[&str],
    server: fn(ServerBuilder) -> Outcome,
    client: fn(ClientBuilder) -> Outcome,
) -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        [] => play_all(clients),
        ["server"] => {
            let identity = Identity::self_signed(["localhost"])?;
            let builder = Server::builder("127.0.0.1:0", identity);
            server(builder.network(&network()?).max_players(8))
        }
        ["client", address, pin, name] => client(joining(address, pin, name)?),
        // As `farfire playtest` starts it.
        ["client"] => {
            let [address, pin, name] = ["FARFIRE_ADDRESS", "FARFIRE_PIN", "FARFIRE_NAME"]
                .map(|name| env::var(name).map_err(|error| format!("{name}: {error}")));
            client(joining(&address?, &pin?, &name?)?)
        }
        _ => Err("give no arguments, or `server`, or `client ADDRESS PIN NAME`".into()),
    }
}

fn joining(
    address: &str,
    pin: &str,
    name: &str,
) -> Result<ClientBuilder, Box<dyn Error + Send + Sync>> {
    let trust = Trust::pinned([pin.parse::<Pin>()?]);
    let builder = Client::builder(address, trust).name(name);
    Ok(builder.network(&network()?))
}

/// The network that `FARFIRE_NET` asks for, which is this machine's if it is not set.
fn network() -> Result<Network, Box<dyn Error + Send + Sync>> {
    let conditioner = conditioner::from_env()?;
    Ok(Network::builder().conditioner(&conditioner).build()?)
}

/// Says how to join: the handlers are in place.
pub(crate) fn listening(server: &Server) {
    eprintln!("listening: {} {}", server.local_addr(), server.pin());
}

/// Says that a client has joined: from now on it takes part in everything.
pub(crate) fn joined(client: &Client) {
    eprintln!("joined: {}", client.local_player().name);
}

/// Waits for Enter, which stands for the moment when all clients have joined.
pub(crate) fn everyone_has_joined() {
    let _ = io::stdin().lock().read_line(&mut String::new());
}

/// Waits for the end of the input (Ctrl-D), which comes when all clients have gone.
pub(crate) fn everyone_has_gone() {
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
}

/// Starts the server, then one client after the other, and shows what they print.
fn play_all(names: &[&str]) -> Outcome {
    let mut server = Process::start("server", &["server"])?;
    let place = server.said("listening: ")?;
    let (address, pin) = place.split_once(' ').ok_or("no address and pin")?;

    let mut clients = Vec::new();
    for name in names {
        let client = Process::start(name, &["client", address, pin, name])?;
        client.said("joined: ")?;
        clients.push(client);
    }
    server.press_enter();
    for client in clients {
        client.end()?;
    }
    server.end()
}

/// This program, started again; what it prints is shown as it comes.
struct Process {
    child: Child,
    /// The lines of its standard error.
    said: Receiver<String>,
    output: JoinHandle<()>,
}

impl Process {
    fn start(name: &str, arguments: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (send, said) = mpsc::channel();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let label = name.to_owned();
        let output = thread::spawn(move || {
            for line in lines(out) {
                println!("[{label}] {line}");
            }
        });
        let label = name.to_owned();
        thread::spawn(move || {
            for line in lines(err) {
                eprintln!("[{label}] ({line})");
                // Nobody listens any more once the play has begun.
                let _ = send.send(line);
            }
        });
        Ok(Self {
            child,
            said,
            output,
        })
    }

    /// Waits until it says something that begins like this, and gives the rest.
    fn said(&self, beginning: &str) -> Result<String, String> {
        let rest = |line: String| line.strip_prefix(beginning).map(str::to_owned);
        let found = self.said.iter().find_map(rest);
        found.ok_or_else(|| format!("a process ended without {beginning:?}"))
    }

    fn press_enter(&mut self) {
        if let Some(input) = &mut self.child.stdin {
            // It may have ended already, on purpose.
            let _ = input.write_all(b"\n");
        }
    }

    /// Closes its input, and waits for its end and its last line.
    fn end(mut self) -> Outcome {
        let status = self.child.wait()?;
        let _ = self.output.join();
        match status.success() {
            true => Ok(()),
            false => Err(format!("a process failed: {status}").into()),
        }
    }
}

fn lines(pipe: Option<impl Read>) -> impl Iterator<Item = String> {
    let lines = pipe
        .into_iter()
        .flat_map(|pipe| BufReader::new(pipe).lines());
    lines.map_while(Result::ok)
}
