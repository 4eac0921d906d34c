//! What Linux tells in its files: firewall, buffers and clock.
//!
//! Reads them below a root, which a test can make itself.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::finding::{Finding, Verdict};

/// The files of a Linux system.
pub(super) struct Linux {
    root: PathBuf,
}

impl Linux {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether a firewall may keep players out.
    pub(super) fn firewall(&self, port: u16) -> Finding {
        const WHAT: &str = "firewall";
        let ufw = self.read("etc/ufw/ufw.conf").unwrap_or_default();
        if ufw
            .lines()
            .any(|line| line.trim().eq_ignore_ascii_case("enabled=yes"))
        {
            let allow = format!("sudo ufw allow {port}/udp");
            return match self.read("etc/ufw/user.rules") {
                Some(rules) if is_allowed_by_ufw(&rules, port) => {
                    Finding::fine(WHAT, format!("ufw is on and lets UDP port {port} in"))
                }
                Some(_) => Finding::problem(
                    WHAT,
                    format!("ufw is on and has no rule that lets UDP port {port} in"),
                )
                .remedy(allow),
                None => {
                    Finding::note(WHAT, "ufw is on; only root can read its rules").remedy(allow)
                }
            };
        }
        let running = self.running();
        if running.iter().any(|name| name == "firewalld") {
            return Finding::note(WHAT, "firewalld is on; what it lets in depends on its zone")
                .remedy(format!("sudo firewall-cmd --add-port={port}/udp"));
        }
        let modules = self.read("proc/modules").unwrap_or_default();
        let filters = ["nf_tables ", "iptable_filter ", "ip6table_filter "];
        if modules
            .lines()
            .any(|line| filters.iter().any(|name| line.starts_with(name)))
        {
            return Finding::note(
                WHAT,
                "no ufw and no firewalld; only root can see whether there are other rules",
            )
            .remedy(format!(
                "sudo nft list ruleset, and look for what drops UDP port {port}"
            ));
        }
        Finding::fine(
            WHAT,
            "none was found on this machine; routers have their own",
        )
    }

    /// Whether a burst of packets fits into what a socket may hold.
    pub(super) fn buffers(&self) -> Finding {
        const WHAT: &str = "buffers";
        let most = |name| {
            let text = self.read(&format!("proc/sys/net/core/{name}"))?;
            text.trim().parse::<u64>().ok()
        };
        let (Some(receive), Some(send)) = (most("rmem_max"), most("wmem_max")) else {
            return Finding::new(
                WHAT,
                Verdict::Unchecked,
                "the limits are not shown here, as in most containers",
            );
        };
        let least = receive.min(send);
        let kib = |bytes: u64| format!("{} KiB", bytes / 1024);
        let found = format!("sockets may hold {} in and {} out", kib(receive), kib(send));
        let remedy = format!("sudo sysctl -w net.core.rmem_max={ASKED} net.core.wmem_max={ASKED}");
        match least {
            ASKED.. => Finding::fine(WHAT, found),
            ENOUGH.. => Finding::fine(WHAT, format!("{found}: enough for a hundred players")),
            _ => Finding::problem(WHAT, format!("{found}: bursts of packets will be lost"))
                .remedy(remedy),
        }
    }

    /// Whether the clock can be right. A pinned server is trusted whatever the date; certificates and
    /// logs are not.
    pub(super) fn clock(&self) -> Finding {
        const WHAT: &str = "clock";
        let remedy = "timedatectl set-ntp true, or set it by hand";
        let built = std::env::current_exe()
            .and_then(fs::metadata)
            .and_then(|file| file.modified())
            .unwrap_or(UNIX_EPOCH);
        if SystemTime::now() + DAY < built {
            return Finding::problem(WHAT, "it is earlier than this program was made")
                .remedy(remedy);
        }
        let synchronized = self.root.join("run/systemd/timesync/synchronized").exists();
        if synchronized {
            return Finding::fine(WHAT, "synchronized with the network's time");
        }
        let running = self.running();
        match running.iter().find(|name| KEEPERS.contains(&name.as_str())) {
            Some(keeper) => Finding::fine(WHAT, format!("kept by {keeper}")),
            None => Finding::note(WHAT, "plausible, but nothing was found that keeps it right; playing by link does not need it")
                .remedy(remedy),
        }
    }

    /// The names of the programs that run.
    fn running(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join("proc")) else {
            return Vec::new();
        };
        let named = entries.flatten().filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            Some(name.trim().to_owned())
        });
        named.collect()
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }
}

/// Whether one of ufw's own notes about its rules allows the port to everybody.
fn is_allowed_by_ufw(rules: &str, port: u16) -> bool {
    let notes = rules
        .lines()
        .filter_map(|line| line.strip_prefix("### tuple ### "));
    notes.into_iter().any(|note| {
        // Action, protocol, port, to, sport, from, direction.
        let words: Vec<_> = note.split_whitespace().collect();
        let [action, protocol, ports, _, _, from, ..] = words[..] else {
            return false;
        };
        let covers = |part: &str| match part.split_once(':') {
            Some((first, last)) => {
                let within = |first: u16, last: u16| (first..=last).contains(&port);
                matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if within(first, last))
            }
            None => part.parse() == Ok(port),
        };
        action == "allow"
            && ["udp", "any"].contains(&protocol)
            && from == "0.0.0.0/0"
            && (ports == "any" || ports.split(',').any(covers))
    })
}

/// What a farfire socket asks the system for.
const ASKED: u64 = 8 * 1024 * 1024;
/// Below this the library warns: Linux doubles what is asked for.
const ENOUGH: u64 = 200 * 1024;
/// File systems of other machines may be a little ahead.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Programs that keep a clock right.
const KEEPERS: [&str; 5] = ["chronyd", "ntpd", "ntpd-rs", "openntpd", "systemd-timesyn"];

#[cfg(test)]
mod tests {
    use super::*;

    struct Made(tempfile::TempDir);

    impl Made {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(folder)
        }

        fn linux(&self) -> Linux {
            Linux::new(self.0.path())
        }
    }

    const ON: (&str, &str) = ("etc/ufw/ufw.conf", "# comment\nENABLED=yes\n");

    #[test]
    fn ufw_is_asked_for_the_port() {
        let rules = "### tuple ### allow tcp 4433 0.0.0.0/0 any 0.0.0.0/0 in\n\
                     ### tuple ### allow udp 4430:4440 0.0.0.0/0 any 0.0.0.0/0 in\n\
                     ### tuple ### allow any 5000 0.0.0.0/0 any 0.0.0.0/0 in\n\
                     ### tuple ### allow udp 6000 0.0.0.0/0 any 10.0.0.1 in\n";
        let made = Made::with(&[ON, ("etc/ufw/user.rules", rules)]);
        assert_eq!(made.linux().firewall(4433).verdict, Verdict::Fine);
        assert_eq!(made.linux().firewall(5000).verdict, Verdict::Fine);
        let closed = made.linux().firewall(6000);
        assert_eq!(closed.verdict, Verdict::Problem);
        assert_eq!(closed.remedy.unwrap(), "sudo ufw allow 6000/udp");
    }

    #[test]
    fn a_firewall_whose_rules_are_hidden_is_a_note() {
        let verdict = |files: &[(&str, &str)]| Made::with(files).linux().firewall(4433).verdict;
        assert_eq!(verdict(&[ON]), Verdict::Note);
        assert_eq!(verdict(&[("proc/77/comm", "firewalld\n")]), Verdict::Note);
        assert_eq!(
            verdict(&[("proc/modules", "nf_tables 1 1 - Live 0x0\n")]),
            Verdict::Note
        );
        assert_eq!(
            verdict(&[("etc/ufw/ufw.conf", "ENABLED=no\n")]),
            Verdict::Fine
        );
    }

    #[test]
    fn buffers_are_compared_with_what_a_socket_asks_for() {
        let verdict = |bytes: &str| {
            let files = [
                ("proc/sys/net/core/rmem_max", bytes),
                ("proc/sys/net/core/wmem_max", "9000000"),
            ];
            Made::with(&files).linux().buffers().verdict
        };
        assert_eq!(verdict("16777216\n"), Verdict::Fine);
        assert_eq!(verdict("212992\n"), Verdict::Fine);
        assert_eq!(verdict("65536\n"), Verdict::Problem);
        assert_eq!(
            Made::with(&[]).linux().buffers().verdict,
            Verdict::Unchecked
        );
    }

    #[test]
    fn a_clock_that_somebody_keeps_is_fine() {
        let verdict = |files: &[(&str, &str)]| Made::with(files).linux().clock().verdict;
        assert_eq!(
            verdict(&[("run/systemd/timesync/synchronized", "")]),
            Verdict::Fine
        );
        assert_eq!(verdict(&[("proc/9/comm", "chronyd\n")]), Verdict::Fine);
        assert_eq!(verdict(&[]), Verdict::Note);
    }
}
