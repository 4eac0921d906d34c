//! Where the processes of a run live: network namespaces of their own, or loopback behind relays.
//!
//! The test makes the namespaces and unmakes them; no packet leaves them.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    time::Duration,
};

use crate::relay::{Relay, Weather};

pub(crate) enum Ground {
    Namespaces(#[expect(dead_code, reason = "they are unmade with it")] Namespaces),
    Loopback,
}

/// One for the server, and one for each client, joined to the server's by a cable of its own.
pub(crate) struct Namespaces {
    clients: usize,
}

/// How one client reaches the server.
pub(crate) enum Way {
    /// Where the client finds the server, and its number.
    Cable(SocketAddr, usize),
    Relay(Relay),
}

/// Where a way is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The client's end of the cable is down: it cannot send.
    Here,
    /// The server's end is down: what the client sends gets lost.
    There,
}

impl Ground {
    /// Namespaces if this system lets us have them.
    pub(crate) fn new(clients: usize) -> Self {
        if env::var("FARFIRE_CHAOS_GROUND").is_ok_and(|ground| ground == "loopback") {
            return Self::Loopback;
        }
        match Namespaces::new(clients) {
            Some(namespaces) => Self::Namespaces(namespaces),
            None => Self::Loopback,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Namespaces(_) => "network namespaces, cut off by taking links down",
            Self::Loopback => {
                "loopback, cut off by UDP relays; namespaces were SKIPPED: not to be had, or not wanted"
            }
        }
    }

    /// What the server listens on.
    pub(crate) fn listen(&self) -> &'static str {
        match self {
            Self::Namespaces(_) => "0.0.0.0:0",
            Self::Loopback => "127.0.0.1:0",
        }
    }

    /// This program, where the server lives.
    pub(crate) fn server(&self) -> Command {
        match self {
            Self::Namespaces(_) => inside("s"),
            Self::Loopback => Command::new(this()),
        }
    }

    /// This program, where a client lives.
    pub(crate) fn client(&self, number: usize) -> Command {
        match self {
            Self::Namespaces(_) => inside(number),
            Self::Loopback => Command::new(this()),
        }
    }

    /// A way for a new client to a server that listens on `port`.
    pub(crate) fn way(&self, number: usize, port: u16) -> Way {
        match self {
            Self::Namespaces(_) => Way::Cable((far_end(number), port).into(), number),
            Self::Loopback => {
                let weather = Weather {
                    delay: Duration::from_millis(1),
                    lost_of_1000: 0,
                    seed: number as u64 + 1,
                };
                Way::Relay(Relay::to((Ipv4Addr::LOCALHOST, port).into(), weather))
            }
        }
    }
}

impl Way {
    /// Where the client finds the server.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Cable(address, _) => *address,
            Self::Relay(relay) => relay.address(),
        }
    }

    pub(crate) fn cut(&self, cut: Cut) {
        match self {
            Self::Cable(_, number) => set_link(*number, cut, "down"),
            Self::Relay(relay) => relay.cut(true),
        }
    }

    pub(crate) fn mend(&self, cut: Cut) {
        match self {
            Self::Cable(_, number) => set_link(*number, cut, "up"),
            Self::Relay(relay) => relay.cut(false),
        }
    }
}

impl Namespaces {
    fn new(clients: usize) -> Option<Self> {
        sweep();
        // Dropped, and undone, also when it was made half.
        let namespaces = Self { clients };
        let server = namespace("s");
        run_ip(&format!("netns add {server}"))?;
        run_ip(&format!("-n {server} link set lo up"))?;
        for number in 0..clients {
            let client = namespace(number);
            let address = far_end(number);
            let [a, b, c, _] = address.octets();
            for command in [
                format!("netns add {client}"),
                format!(
                    "link add far{number} netns {server} type veth peer name near netns {client}"
                ),
                format!("-n {server} addr add {address}/24 dev far{number}"),
                format!("-n {client} addr add {a}.{b}.{c}.2/24 dev near"),
                format!("-n {server} link set far{number} up"),
                format!("-n {client} link set near up"),
            ] {
                run_ip(&command)?;
            }
        }
        Some(namespaces)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for number in 0..self.clients {
            let _ = run_ip(&format!("netns del {}", namespace(number)));
        }
        let _ = run_ip(&format!("netns del {}", namespace("s")));
    }
}

/// Unmakes the namespaces of runs that were interrupted.
fn sweep() {
    let Ok(list) = Command::new("ip").args(["netns", "list"]).output() else {
        return;
    };
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let words: Vec<_> = name.split('-').collect();
        if let ["farfire", run, _] = words[..]
            && run.parse::<u32>().is_ok()
            && !Path::new("/proc").join(run).exists()
        {
            let _ = run_ip(&format!("netns del {name}"));
        }
    }
}

fn set_link(number: usize, cut: Cut, state: &str) {
    let done = match cut {
        Cut::Here => run_ip(&format!("-n {} link set near {state}", namespace(number))),
        Cut::There => run_ip(&format!(
            "-n {} link set far{number} {state}",
            namespace("s")
        )),
    };
    done.expect("a link that this test has made");
}

fn run_ip(ip: &str) -> Option<()> {
    let status = Command::new("ip")
        .args(ip.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok()?.success().then_some(())
}

fn inside(number: impl ToString) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &namespace(number)]);
    command.arg(this());
    command
}

fn namespace(number: impl ToString) -> String {
    format!("farfire-{}-{}", process::id(), number.to_string())
}

/// The server's end of a client's cable.
fn far_end(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, number as u8, 1)
}

fn this() -> PathBuf {
    env::current_exe().expect("the path of this test")
}
