//! Where figures come from: what was built, what was asked, on which machine. Figures without it cannot be
//! compared.

use std::{env, fs, process::Command, thread, time::SystemTime};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provenance {
    pub(crate) farfire: String,
    pub(crate) protocol: u32,
    /// Whether the compiler optimised: figures of a debug build say nothing about a release.
    pub(crate) optimised: bool,
    pub(crate) command: Vec<String>,
    /// Seconds since the epoch.
    pub(crate) time: u64,
    /// Of the repository that the command was run in.
    pub(crate) git_commit: Option<String>,
    pub(crate) git_dirty: Option<bool>,
    pub(crate) machine: Machine,
}

/// What a comparison must not differ in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) system: String,
    pub(crate) kernel: Option<String>,
    pub(crate) cpu: Option<String>,
    pub(crate) cores: usize,
    pub(crate) governor: Option<String>,
    /// What the system allows sockets, in bytes: by default and at most, to read and to write.
    pub(crate) socket_buffers: Option<[u64; 4]>,
}

impl Provenance {
    pub(crate) fn here() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            farfire: env!("CARGO_PKG_VERSION").into(),
            protocol: farfire::PROTOCOL_VERSION,
            optimised: !cfg!(debug_assertions),
            command: env::args().map(|word| without_secrets(&word)).collect(),
            time: since.unwrap_or_default().as_secs(),
            git_commit: git(&["rev-parse", "HEAD"]),
            git_dirty: git(&["status", "--porcelain", "--untracked-files=no"])
                .map(|changes| !changes.is_empty()),
            machine: Machine::here(),
        }
    }
}

impl Machine {
    fn here() -> Self {
        let read = |path: &str| {
            fs::read_to_string(path)
                .ok()
                .map(|text| text.trim().to_owned())
        };
        let net = |name: &str| read(&format!("/proc/sys/net/core/{name}"))?.parse().ok();
        let buffers = ["rmem_default", "rmem_max", "wmem_default", "wmem_max"].map(net);
        Self {
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: read("/proc/cpuinfo").and_then(|text| {
                let line = text.lines().find(|line| line.starts_with("model name"))?;
                Some(line.split_once(':')?.1.trim().to_owned())
            }),
            cores: thread::available_parallelism().map_or(0, usize::from),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            socket_buffers: match buffers {
                [Some(a), Some(b), Some(c), Some(d)] => Some([a, b, c, d]),
                _ => None,
            },
        }
    }
}

/// A link in a command line lets its reader in: what is behind its address stays out of reports.
fn without_secrets(word: &str) -> String {
    match word.contains("://") {
        true => word.split(['#', '?']).next().unwrap_or_default().into(),
        false => word.into(),
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
