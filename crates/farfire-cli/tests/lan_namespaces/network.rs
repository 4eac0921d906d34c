//! Two machines on a switch, made of namespaces: each of them one, and the switch a bridge in a third.

use std::{
    env,
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::processes::{Host, Person, Running};

/// This program once more, in namespaces of its own; or why that does not work here.
pub(crate) fn outer(marker: &str) -> Result<Command, String> {
    // Named namespaces are files below /run, which nobody else has to see.
    let prepare = "mount -t tmpfs tmpfs /run && ip link set lo up";
    let trial = format!(
        "{prepare} && ip netns add a && ip link add x netns a type veth peer name y && ip -n a link add z type bridge && ip netns exec a true"
    );
    let mut whys = Vec::new();
    for rights in [&[][..], &["--user", "--map-root-user"]] {
        let unshare = || {
            let mut unshare = Command::new("unshare");
            unshare
                .args(rights)
                .args(["--net", "--mount", "--", "sh", "-c"]);
            unshare
        };
        match unshare().arg(&trial).output() {
            Ok(output) if output.status.success() => {
                let this = env::current_exe().map_err(|error| error.to_string())?;
                let mut inside = unshare();
                inside
                    .arg(format!("{prepare} && exec \"$0\" \"$@\""))
                    .arg(this);
                inside.env(marker, "1");
                return Ok(inside);
            }
            Ok(output) => whys.push(complaint(&output)),
            Err(error) => whys.push(format!("unshare: {error}")),
        }
    }
    Err(format!(
        "no network namespaces can be made here ({})",
        whys.join("; ")
    ))
}

/// Two machines, the host's at [`HOST`] and the player's at [`PLAYER`].
pub(crate) struct Lan {
    switch: String,
    host: String,
    player: String,
}

impl Lan {
    pub(crate) fn new(mtu: u16) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let lan = Self {
            switch: format!("switch{number}"),
            host: format!("host{number}"),
            player: format!("player{number}"),
        };
        let Self {
            switch,
            host,
            player,
        } = &lan;
        for name in [switch, host, player] {
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
        }
        ip(&format!("-n {switch} link add br0 type bridge"));
        ip(&format!("-n {switch} link set br0 mtu {mtu} up"));
        for (name, address) in [(host, HOST), (player, PLAYER)] {
            ip(&format!(
                "link add eth0 netns {name} type veth peer name {name} netns {switch}"
            ));
            ip(&format!(
                "-n {switch} link set {name} master br0 mtu {mtu} up"
            ));
            ip(&format!("-n {name} addr add {address}/24 dev eth0"));
            ip(&format!("-n {name} link set eth0 mtu {mtu} up"));
        }
        lan
    }

    /// A host that announces itself, unless told otherwise.
    pub(crate) fn host(&self, person: &Person, more: &[&str]) -> Host {
        let mut arguments = vec!["host", "--json", "--name", "desert-duel"];
        arguments.extend(more);
        let mut running = Running::start(person.dress(within(&self.host, &arguments)));
        let invitation = running.record("host");
        Host {
            running,
            invitation,
        }
    }

    /// A command on the player's machine.
    pub(crate) fn player(&self, person: &Person, arguments: &[&str]) -> Running {
        Running::start(person.dress(within(&self.player, arguments)))
    }

    /// Gives the player's machine another address, as another lease does.
    pub(crate) fn move_player(&self) {
        let player = &self.player;
        ip(&format!("-n {player} addr del {PLAYER}/24 dev eth0"));
        ip(&format!("-n {player} addr add {MOVED}/24 dev eth0"));
    }

    /// The most bytes that a packet of the host has.
    pub(crate) fn mtu(&self) -> String {
        ip(&format!("-n {} -o link show eth0", self.host))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in [&self.host, &self.player, &self.switch] {
            // Best effort: all of it goes with this program.
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn within(namespace: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_farfire")]);
    command.args(arguments);
    command
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        complaint(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

pub(crate) const HOST: &str = "192.168.77.7";
pub(crate) const PLAYER: &str = "192.168.77.9";
pub(crate) const MOVED: &str = "192.168.77.10";
