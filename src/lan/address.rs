//! Where a server may be reached: a host and a port, as text.
//!
//! Knows nothing about looking a name up.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A host, by name or IP address, and a port, such as `192.168.1.7:4433` or `[fd00::7]:4433`.
///
/// Host names are in lower case. An IPv6 zone (`%eth0`) means something on one machine only, and is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, which is not 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The IP address, if the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => f.pad(&format!("[{host}]:{port}")),
            false => f.pad(&format!("{host}:{port}")),
        }
    }
}

/// Without the zone of an IPv6 address, which is of no use elsewhere.
impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_canonical().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = split(text)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        // `parse` also takes a leading plus.
        let port =
            port.filter(|_| text.ends_with(|c: char| c.is_ascii_digit()) && !text.contains('+'));
        Ok(Self {
            host,
            port: port.ok_or(AddressError::Port)?,
        })
    }
}

/// The host, checked and in its one spelling, and the text of the port.
fn split(text: &str) -> Result<(String, &str), AddressError> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(AddressError::Host)?;
        if host.contains('%') {
            return Err(AddressError::Zone);
        }
        let host: Ipv6Addr = host.parse().map_err(|_| AddressError::Host)?;
        let port = rest.strip_prefix(':').ok_or(AddressError::Port)?;
        return Ok((host.to_string(), port));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| match is_host(text) {
        true => AddressError::Port,
        false => AddressError::Host,
    })?;
    if host.contains(':') {
        return Err(AddressError::Brackets);
    }
    match is_host(host) {
        true => Ok((host.to_ascii_lowercase(), port)),
        false => Err(AddressError::Host),
    }
}

/// An IPv4 address or a DNS name: labels of letters, digits, hyphens and underscores.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let fits = (1..=MAX_LABEL_BYTES).contains(&label.len());
        let edges = !label.starts_with('-') && !label.ends_with('-');
        let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        fits && edges && label.bytes().all(inner)
    };
    let is_name = host.len() <= MAX_HOST_BYTES && host.split('.').all(is_label);
    // A name whose last label is a number is an IPv4 address or a mistake (RFC 3696).
    let last = host.rsplit('.').next().unwrap_or_default();
    match last.bytes().all(|c| c.is_ascii_digit()) {
        true => host.parse::<std::net::Ipv4Addr>().is_ok(),
        false => is_name,
    }
}

/// What the domain name system allows.
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The host is neither a name nor an IP address.
    #[error("it has no host name or IP address: write HOST:PORT, such as 192.168.1.7:4433")]
    Host,
    /// An IPv6 address is not in brackets.
    #[error("an IPv6 address stands in brackets: write [ADDRESS]:PORT, such as [fd00::7]:4433")]
    Brackets,
    /// An IPv6 address has a zone.
    #[error(
        "an IPv6 zone (%) means something on one machine only: use another address of the host"
    )]
    Zone,
    /// The port is missing or no number from 1 to 65535.
    #[error("it has no port from 1 to 65535: write HOST:PORT, such as 192.168.1.7:4433")]
    Port,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("192.168.1.7:4433", "192.168.1.7:4433"),
            ("Desk.local:1", "desk.local:1"),
            ("my_pc:65535", "my_pc:65535"),
            ("[fd00::7]:4433", "[fd00::7]:4433"),
            ("[FD00:0:0::7]:4433", "[fd00::7]:4433"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
        }
        let mapped: SocketAddr = "[::ffff:10.0.0.7]:4433".parse().unwrap();
        assert_eq!(Address::from(mapped).to_string(), "10.0.0.7:4433");
    }

    #[test]
    fn damage_is_named() {
        for (text, error) in [
            ("", AddressError::Host),
            (":4433", AddressError::Host),
            ("a b:4433", AddressError::Host),
            ("-a:4433", AddressError::Host),
            ("a..b:4433", AddressError::Host),
            ("300.1.1.1:4433", AddressError::Host),
            ("1.2.3:4433", AddressError::Host),
            ("[fd00::7:4433", AddressError::Host),
            ("[10.0.0.1]:4433", AddressError::Host),
            ("fd00::7:4433", AddressError::Brackets),
            ("[fe80::7%eth0]:4433", AddressError::Zone),
            ("desk", AddressError::Port),
            ("desk:", AddressError::Port),
            ("desk:0", AddressError::Port),
            ("desk:+1", AddressError::Port),
            ("desk:65536", AddressError::Port),
            ("[fd00::7]", AddressError::Port),
            ("[fd00::7]x:1", AddressError::Port),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_socket_address_survives_its_text(address: SocketAddr) {
            prop_assume!(address.port() != 0);
            let address = Address::from(address);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn what_is_read_is_written_back(text in "[a-c0-9.:\\[\\]%+-]{0,20}|.*") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
