//! What is done to a program and everything it has started: its process group, where there are such.

use std::io;

/// What is done to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    Freeze,
    Thaw,
    /// As Ctrl-C does, to one that stands still too.
    Interrupt,
    Kill,
}

/// Does it to every process of the group that `leader` began.
#[cfg(unix)]
pub(super) fn strike(leader: u32, blow: Blow) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process_group};

    let leader = i32::try_from(leader).ok().and_then(Pid::from_raw);
    let leader = leader.ok_or(io::ErrorKind::NotFound)?;
    let signals: &[Signal] = match blow {
        Blow::Freeze => &[Signal::STOP],
        Blow::Thaw => &[Signal::CONT],
        Blow::Interrupt => &[Signal::INT, Signal::CONT],
        Blow::Kill => &[Signal::KILL],
    };
    for &signal in signals {
        kill_process_group(leader, signal)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn strike(_leader: u32, _blow: Blow) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no process groups",
    ))
}

/// The name of a signal, where it says more than its number.
pub(super) fn name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
