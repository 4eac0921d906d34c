//! Runs the programs that measure, and takes what they print.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// Builds a benchmark of this crate, and gives the program.
pub(crate) fn build(root: &Path, bench: &str) -> io::Result<PathBuf> {
    let arguments = ["bench", "--locked", "-p", "farfire", "--no-run", "--bench"];
    let mut cargo = cargo(root);
    cargo
        .args(arguments)
        .arg(bench)
        .arg("--message-format=json");
    let built = output(&mut cargo)?;
    let program = built.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message.get("target")?.get("name")?.as_str()? == bench;
        let program = message.get("executable")?.as_str()?;
        is_it.then(|| PathBuf::from(program))
    });
    program.ok_or_else(|| io::Error::other(format!("cargo built no {bench}")))
}

pub(crate) fn cargo(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root);
    // What cargo told this program: build scripts that look at it would run again, and all that needs them.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// The program, held on one core where the system can do that.
pub(crate) fn on_one_core(program: &Path) -> Command {
    match output(Command::new("taskset").args(["-c", "0", "true"])) {
        Ok(_) => {
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(program);
            command
        }
        Err(_) => Command::new(program),
    }
}

/// What a command prints; what it complains of goes to the terminal.
pub(crate) fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(io::Error::other),
        false => {
            // Its name alone: where it is says nothing to readers of the page.
            let program = Path::new(command.get_program()).file_name();
            let program = program.unwrap_or_default().to_string_lossy();
            Err(io::Error::other(format!(
                "{program} ended with {}",
                output.status
            )))
        }
    }
}
