//! What somebody types after `farfire join`: a link, a code or an address.
//!
//! Knows nothing of what is done with it.

use farfire::{
    lan::{Address, DEFAULT_PORT, JoinLink},
    tls::Code,
};

use crate::{
    exit::{self, Complaint},
    trouble::{self, Way},
};

/// Which server is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Link(JoinLink),
    Code(Code),
    Address(Address),
}

impl Target {
    /// Reads it; an address may leave the usual port out.
    pub(super) fn read(text: &str) -> Result<Self, Complaint> {
        let text = text.trim();
        if text.contains("://") {
            let link = text.parse().map_err(|error| trouble::link(&error))?;
            return Ok(Self::Link(link));
        }
        if !is_address(text) {
            let code = text.parse().map_err(|error| trouble::code(&error))?;
            return Ok(Self::Code(code));
        }
        // With a port, or with the usual one, or as an IPv6 address without brackets.
        let attempts = [
            text.to_owned(),
            format!("{text}:{DEFAULT_PORT}"),
            format!("[{text}]:{DEFAULT_PORT}"),
        ];
        if let Some(address) = attempts.iter().find_map(|attempt| attempt.parse().ok()) {
            return Ok(Self::Address(address));
        }
        let error = text.parse::<Address>().err();
        let why = error.map_or_else(String::new, |error| error.to_string());
        let (why, help) = why
            .rsplit_once(": ")
            .unwrap_or((&why, "write HOST:PORT, such as 192.168.1.7:4433"));
        let complaint = Complaint::new(format!("{text:?} is no address: {why}"), help);
        Err(complaint.code(exit::USAGE))
    }

    pub(super) fn way(&self) -> Way {
        match self {
            Self::Link(link) => Way::Link {
                has_token: link.token().is_some(),
            },
            Self::Code(_) => Way::Code,
            Self::Address(_) => Way::Address,
        }
    }
}

/// A code has neither colons nor dots, and a host's name in a local network has one of them.
fn is_address(text: &str) -> bool {
    text.contains([':', '.']) || text.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_codes_and_addresses_are_told_apart() {
        let pin = "0".repeat(52);
        let link = format!(" farfire://192.168.1.7:4433/x#p={pin}\n");
        assert!(matches!(Target::read(&link), Ok(Target::Link(_))));
        assert!(matches!(
            Target::read("0000-0000-0000-0"),
            Ok(Target::Code(_))
        ));
        assert!(matches!(
            Target::read("0000 0000 0000 0"),
            Ok(Target::Code(_))
        ));
        for (text, address) in [
            ("192.168.1.7:5000", "192.168.1.7:5000"),
            ("192.168.1.7", "192.168.1.7:4433"),
            ("desk.local", "desk.local:4433"),
            ("localhost", "localhost:4433"),
            ("[fd00::7]:5000", "[fd00::7]:5000"),
            ("[fd00::7]", "[fd00::7]:4433"),
            ("fd00::7", "[fd00::7]:4433"),
        ] {
            assert_eq!(
                Target::read(text),
                Ok(Target::Address(address.parse().unwrap())),
                "{text}"
            );
        }
    }

    #[test]
    fn mistakes_say_which_of_them_was_meant() {
        let wrong = |text| Target::read(text).unwrap_err();
        let damaged = wrong("farfire://192.168.1.7:4433/x");
        assert!(
            damaged.error.starts_with("the link is damaged"),
            "{damaged}"
        );
        assert_eq!(wrong("http://192.168.1.7/#p=0").code, exit::USAGE);
        let typo = wrong("0000-0000-0001-0");
        assert!(typo.error.starts_with("the code is wrong"), "{typo}");
        let port = wrong("192.168.1.7:99999");
        assert!(port.error.contains("is no address"), "{port}");
        assert_eq!((typo.code, port.code), (exit::USAGE, exit::USAGE));
    }
}
