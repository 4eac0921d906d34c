//! The library's errors as complaints: what happened, what to do next, and the exit code.
//!
//! The library says both in one sentence, for whoever writes a program. Here it is for whoever plays.

use farfire::{
    ConnectError,
    lan::{LinkError, discovery::DiscoveryError},
    tls::{CodeError, IdentityError, KnownServersError},
};

use crate::{
    exit::{self, Complaint},
    paint::printable,
};

/// How the server was named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Link { has_token: bool },
    Code,
    Address,
}

/// Why somebody could not join.
pub(crate) fn connect(error: &ConnectError, way: Way) -> Complaint {
    let text = printable_lines(&error.to_string());
    let help = match error {
        ConnectError::UntrustedServer { .. } => return halves(&text).code(exit::UNTRUSTED),
        ConnectError::Link(error) => return link(error),
        ConnectError::KnownServers(error) => return known_servers(error),
        ConnectError::Unreachable { .. } => {
            "check that the host still runs and that both of you are in the same network; \
             `farfire doctor` on the host's machine looks for a firewall"
        }
        ConnectError::Full { .. } => {
            "wait until somebody leaves, or ask the host for more places: farfire host --max-players N"
        }
        ConnectError::BadToken if way == (Way::Link { has_token: true }) => {
            "the link is not of this evening, or damaged: ask the host for it again"
        }
        ConnectError::BadToken => {
            let error = "the host lets in only those who have its link";
            return Complaint::new(
                error,
                "ask for the link, and join with it: farfire join LINK",
            );
        }
        ConnectError::ExpiredToken => {
            let error = "the link has expired";
            return Complaint::new(
                error,
                "ask the host for the present one, which it shows when it types `link`",
            );
        }
        ConnectError::Banned { .. } => "ask the host",
        ConnectError::BadName { .. } => "choose another name: farfire join --name NAME",
        ConnectError::Refused { reason, .. } => {
            let error = format!("the host refused: {}", printable(reason));
            let help = "ask the host, or choose another name: farfire join --name NAME";
            return Complaint::new(error, help);
        }
        ConnectError::ProtocolVersion { .. } => {
            "update farfire on the machine that has the older one"
        }
        ConnectError::Protocol => "check the port: something else may use it",
        ConnectError::Lost { .. } => "check the network, then try again",
        _ => return halves(&text),
    };
    Complaint::new(halves(&text).error, help)
}

/// Why a text is no link.
pub(crate) fn link(error: &LinkError) -> Complaint {
    let complaint = Complaint::new(
        format!(
            "the link is damaged: {}",
            printable_lines(&error.to_string())
        ),
        "copy it again, the whole line from farfire:// to its end, and put it in quotes",
    );
    match error {
        // It says who the server is in a way that cannot be checked.
        LinkError::Pin(_) | LinkError::PinAlgorithm { .. } | LinkError::NoPin => {
            complaint.code(exit::UNTRUSTED)
        }
        _ => complaint.code(exit::USAGE),
    }
}

/// Why a text is no code.
pub(crate) fn code(error: &CodeError) -> Complaint {
    let error = halves(&error.to_string()).error;
    Complaint::new(
        format!("the code is wrong: {error}"),
        "read it again from the host's screen, such as K7QF-2MXA-9RTD-3; a host's name needs its port, such as desk.local:4433",
    )
    .code(exit::USAGE)
}

/// Why an identity cannot be used.
pub(crate) fn identity(error: &IdentityError) -> Complaint {
    match error {
        IdentityError::LooseMode { path, mode } => Complaint::new(
            format!(
                "others on this machine can read the key {} (mode {mode:04o})",
                path.display()
            ),
            format!(
                "chmod 600 {}; if somebody may have read it, `farfire cert rotate --now` makes another one",
                path.display()
            ),
        ),
        error => with_source(error),
    }
}

/// Why the known servers cannot be read or written.
pub(crate) fn known_servers(error: &KnownServersError) -> Complaint {
    with_source(error)
}

/// Why nothing can be found.
pub(crate) fn discovery(error: &DiscoveryError) -> Complaint {
    match error {
        DiscoveryError::NotFound { code, waited } => Complaint::new(
            format!(
                "no server of code {code} answered within {} s",
                waited.as_secs()
            ),
            "check that its host runs and that both of you are in the same network, or ask for its link: \
             guest networks often stop discovery",
        ),
        error => halves(&error.to_string()),
    }
}

/// An error of the library, with what the system says about it.
fn with_source(error: &dyn std::error::Error) -> Complaint {
    let complaint = halves(&printable_lines(&error.to_string()));
    match error.source() {
        Some(source) => Complaint {
            error: format!("{} ({source})", complaint.error),
            ..complaint
        },
        None => complaint,
    }
}

/// What happened and what to do about it: the library puts a colon in between, or has both in lines of their own.
fn halves(text: &str) -> Complaint {
    let halves = text
        .split_once("\nhelp: ")
        .or_else(|| text.rsplit_once(": "));
    match halves {
        Some((error, help)) => Complaint::new(error, help),
        None => Complaint::new(text, "`farfire doctor` looks for what may be in the way"),
    }
}

/// As [`printable`], but with lines.
fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_what_to_do_are_told_apart() {
        let complaint = halves("no answer from 10.0.0.1:4433: check the port");
        assert_eq!(complaint.error, "no answer from 10.0.0.1:4433");
        assert_eq!(complaint.help, "check the port");
        let complaint = halves("one\n  two: three\nhelp: ask: the host");
        assert_eq!(complaint.error, "one\n  two: three");
        assert_eq!(complaint.help, "ask: the host");
    }
}
