//! What is launched: the programs, and how they are run.
//!
//! Knows nothing of processes.

use std::{ffi::OsString, io, time::Duration};

use super::{BOT, SERVER};
use crate::{
    exit::{self, Complaint},
    net::Nets,
};

/// What is launched, and how.
pub(crate) struct Plan {
    pub(crate) programs: Programs,
    pub(crate) players: usize,
    pub(crate) nets: Nets,
    pub(crate) limit: Option<Duration>,
    pub(crate) ready: Option<String>,
    pub(crate) wait: Duration,
    pub(crate) json: bool,
    pub(crate) keep_going: bool,
}

/// The programs of a playtest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    BuiltIn,
    Own {
        server: Vec<OsString>,
        client: Vec<OsString>,
    },
}

impl Programs {
    /// Reads `SERVER [ARGS] -- CLIENT [ARGS]`.
    pub(crate) fn parse(words: &[OsString]) -> Result<Self, Complaint> {
        let parts: Vec<_> = words.split(|word| word == "--").collect();
        let complain = |error: &str| {
            let help = "the form is `farfire playtest -- SERVER [ARGS] -- CLIENT [ARGS]`; \
                        a program that needs `--` itself goes into `sh -c '...'`";
            Err(Complaint::new(error, help).code(exit::USAGE))
        };
        match &parts[..] {
            [_] => complain("there is a program for the server, and none for the clients"),
            [[], _] => complain("there is no program for the server before the second `--`"),
            [_, []] => complain("there is no program for the clients behind the second `--`"),
            [server, client] => Ok(Self::Own {
                server: server.to_vec(),
                client: client.to_vec(),
            }),
            _ => complain("there are more than two programs"),
        }
    }

    /// The command line of the process with this number.
    pub(super) fn of(&self, number: usize) -> io::Result<Vec<OsString>> {
        Ok(match self {
            Self::BuiltIn => {
                let part = if number == 0 { SERVER } else { BOT };
                vec![std::env::current_exe()?.into(), part.into()]
            }
            Self::Own { server, .. } if number == 0 => server.clone(),
            Self::Own { client, .. } => client.clone(),
        })
    }
}

/// Reads `30s`, `5m`, `1h` or `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a number and its unit: 500ms, 30s, 5m, 1h".into()),
    };
    let number: u32 = number
        .parse()
        .map_err(|_| "a whole number before the unit: 30s".to_string())?;
    Ok(Duration::from_millis(u64::from(number) * milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn two_programs_are_parted_by_two_dashes() {
        let programs = Programs::parse(&words("./server --fast -- ./client 7")).unwrap();
        let (server, client) = (words("./server --fast"), words("./client 7"));
        assert_eq!(programs, Programs::Own { server, client });
        for (line, part) in [
            ("./server", "none for the clients"),
            ("-- ./client", "before the second"),
            ("./server --", "behind the second"),
            ("a -- b -- c", "more than two"),
        ] {
            let complaint = Programs::parse(&words(line)).unwrap_err();
            assert!(complaint.error.contains(part), "{line}: {complaint}");
            assert_eq!(complaint.code, exit::USAGE);
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["30", "s", "-1s", "1.5s", "99999999999s", "1 s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
