//! Where and when figures were measured: without it they cannot be compared.

use std::{fs, path::Path, process::Command, thread};

use serde_json::{Value, json};

use super::run::output;

/// A line for what was measured between two looks at the machine's load.
pub(crate) fn line(root: &Path, command: &str, load_before: &str) -> Value {
    let git = |arguments: &[&str]| said(Command::new("git").current_dir(root).args(arguments));
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let commit = git(&["rev-parse", "--short", "HEAD"]);
    let changed = if changed.is_empty() {
        ""
    } else {
        " and changes"
    };
    json!({"provenance": {
        "command": command,
        "commit": format!("{commit}{changed}"),
        "cores": thread::available_parallelism().map_or(0, usize::from).to_string(),
        "cpu": cpu(),
        "date": said(Command::new("date").args(["-u", "+%F %R UTC"])),
        "kernel": said(Command::new("uname").args(["-sr"])),
        "load": format!("{load_before} to {}", load()),
        "rustc": said(Command::new("rustc").arg("--version")),
    }})
}

/// How many wanted a core in the last minute: on an idle machine about as many as one starts.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.unwrap_or("unknown").to_owned()
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or("unknown", |(_, name)| name.trim()).to_owned()
}

/// Empty where the system has no such command.
fn said(command: &mut Command) -> String {
    output(command).unwrap_or_default().trim().to_owned()
}
