//! A server to be measured: a link, or an address and what it is trusted by.
//!
//! Measuring remembers nobody. Knows nothing of what is measured.

use farfire::{
    Client, ClientBuilder, ConnectError,
    lan::{Address, DEFAULT_PORT, JoinLink},
    tls::{Pin, Trust},
};

use crate::{
    exit::{Complaint, USAGE},
    join::known_servers,
    paint::printable,
    trouble::{self, Way},
};

/// How a server is reached.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    Link(Box<JoinLink>),
    Address(String, Trust),
}

impl Reach {
    /// Reads a link, or an address that may leave the usual port out. Without a pin an address is trusted
    /// only if this person has joined that server before.
    pub(crate) fn read(text: &str, pin: Option<Pin>) -> Result<Self, Complaint> {
        let text = text.trim();
        if text.contains("://") {
            let link = text.parse::<JoinLink>();
            let link = link.map_err(|error| trouble::link(&error))?;
            if pin.is_some_and(|pin| pin != link.pin()) {
                let error = "the link names another server than `--pin`";
                return Err(
                    Complaint::new(error, "leave out `--pin`: the link has one").code(USAGE)
                );
            }
            return Ok(Self::Link(Box::new(link)));
        }
        let attempts = [text.to_owned(), format!("{text}:{DEFAULT_PORT}")];
        let address = attempts
            .iter()
            .find_map(|attempt| attempt.parse::<Address>().ok());
        let Some(address) = address else {
            let error = format!("{:?} is no address and no link", printable(text));
            let help = "write HOST:PORT, such as 192.168.1.7:4433, or the link in quotes";
            return Err(Complaint::new(error, help).code(USAGE));
        };
        let trust = match pin {
            Some(pin) => Trust::pinned([pin]),
            None => Trust::known_servers(known_servers()?),
        };
        Ok(Self::Address(address.to_string(), trust))
    }

    /// A client of that server that has yet to connect.
    pub(crate) fn client(&self) -> ClientBuilder {
        match self {
            Self::Link(link) => Client::join(&**link),
            Self::Address(address, trust) => Client::builder(address, trust.clone()),
        }
    }

    /// What to say when it did not let a client in.
    pub(crate) fn complaint(&self, error: &ConnectError) -> Complaint {
        let way = match self {
            Self::Link(link) => Way::Link {
                has_token: link.token().is_some(),
            },
            Self::Address(..) => Way::Address,
        };
        trouble::connect(error, way)
    }

    /// What a link calls the server.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Link(link) => link.name(),
            Self::Address(..) => None,
        }
    }
}
