//! Where the files of the person who plays are: the servers that are known, and the identity of a host.
//!
//! Knows nothing of what is in them.

use std::{env, path::PathBuf};

use crate::exit::Complaint;

/// The file of the servers that this person has joined.
pub(crate) fn known_servers() -> Result<PathBuf, Complaint> {
    Ok(own()?.join("known_servers.toml"))
}

/// The folder of a host's identity: the one that was asked for, else `certs` where it is in the current folder, as
/// in a project, else one of the person's own.
pub(crate) fn identity(asked: Option<PathBuf>) -> Result<PathBuf, Complaint> {
    match asked {
        Some(folder) => Ok(folder),
        None if PathBuf::from(CERTS).is_dir() => Ok(CERTS.into()),
        None => Ok(own()?.join(CERTS)),
    }
}

/// `FARFIRE_HOME`, else what the system has for settings.
fn own() -> Result<PathBuf, Complaint> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    // What is not absolute is to be ignored, says the XDG specification.
    let xdg = || set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let settings = || match cfg!(windows) {
        true => set("APPDATA"),
        false => xdg().or_else(|| set("HOME").map(|home| home.join(".config"))),
    };
    set(HOME)
        .or_else(|| settings().map(|settings| settings.join("farfire")))
        .ok_or_else(|| {
            let error = "there is no home folder to remember servers in";
            Complaint::new(error, "set FARFIRE_HOME to a folder")
        })
}

const HOME: &str = "FARFIRE_HOME";
const CERTS: &str = "certs";
