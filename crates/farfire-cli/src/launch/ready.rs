//! When a server is ready, and where it is: what its lines say.
//!
//! Knows nothing of processes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use farfire::tls::Pin;

/// Waits for the line that says so.
#[derive(Debug)]
pub(super) struct Ready {
    /// What the line must contain; without it, an address or a link.
    text: Option<String>,
    pub(super) place: Place,
}

/// What is known of where a server is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `HOST:PORT`, for a client on this machine.
    pub(super) address: Option<String>,
    pub(super) pin: Option<String>,
    pub(super) link: Option<String>,
}

impl Ready {
    pub(super) fn new(text: Option<String>) -> Self {
        let place = Place::default();
        Self { text, place }
    }

    /// Hears a line, and says whether the server is ready with it.
    pub(super) fn hear(&mut self, line: &str) -> bool {
        for word in line.split_whitespace() {
            self.place.learn(word.trim_matches(QUOTES));
        }
        match &self.text {
            Some(text) => line.contains(text),
            None => self.place.address.is_some() || self.place.link.is_some(),
        }
    }
}

impl Place {
    fn learn(&mut self, word: &str) {
        if let Some(at) = word.find(SCHEME) {
            let link = &word[at..];
            let rest = &link[SCHEME.len()..];
            let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
            let address = rest.split(['/', '?']).next().unwrap_or_default();
            self.address = reachable(address).or_else(|| Some(address.into()));
            let pin = fragment.split('&').find_map(|pair| pair.strip_prefix("p="));
            self.pin = pin.map(String::from).or_else(|| self.pin.take());
            self.link = Some(link.into());
            return;
        }
        if word.parse::<Pin>().is_ok() {
            self.pin = Some(word.into());
        }
        // `addr=127.0.0.1:4433`, `https://127.0.0.1:4433/`.
        let word = word.rsplit('=').next().unwrap_or(word);
        let word = word.rsplit("://").next().unwrap_or(word);
        let word = word.split('/').next().unwrap_or(word);
        if let Some(address) = reachable(word) {
            // That of a link is the one to use.
            if self.link.is_none() {
                self.address = Some(address);
            }
        }
    }
}

/// The address at which a client on this machine reaches what listens at `word`, if that is one.
fn reachable(word: &str) -> Option<String> {
    if let Some(port) = word.strip_prefix("localhost:") {
        return port.parse::<u16>().is_ok().then(|| word.into());
    }
    let mut address: SocketAddr = word.parse().ok()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    (address.port() != 0).then(|| address.to_string())
}

/// What people put around an address, but for the brackets that are part of one.
const QUOTES: [char; 10] = ['(', ')', '<', '>', '"', '\'', '`', ',', ';', '.'];
const SCHEME: &str = "farfire://";

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(line: &str) -> (bool, Place) {
        let mut ready = Ready::new(None);
        (ready.hear(line), ready.place)
    }

    #[test]
    fn an_address_is_found_where_servers_print_it() {
        for (line, address) in [
            ("listening: 127.0.0.1:4433 and so on", "127.0.0.1:4433"),
            ("Listening on 0.0.0.0:80.", "127.0.0.1:80"),
            ("ready addr=[::]:4433, tick=60", "[::1]:4433"),
            ("open https://localhost:8080/play", "localhost:8080"),
        ] {
            let (is_ready, place) = heard(line);
            assert!(is_ready, "{line}");
            assert_eq!(place.address.as_deref(), Some(address), "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_taken_for_one() {
        for line in ["starting at 12:30:07", "127.0.0.1:0", "version 1.2.3.4", ""] {
            assert_eq!(heard(line), (false, Place::default()), "{line}");
        }
    }

    #[test]
    fn a_link_brings_address_and_pin_and_stays_whole() {
        let link = "farfire://192.168.1.7:4433/duel?a=10.0.0.5:4433#p=ABC&t=secret";
        let (is_ready, place) = heard(&format!("join: {link}"));
        assert!(is_ready);
        assert_eq!(place.address.as_deref(), Some("192.168.1.7:4433"));
        assert_eq!(place.pin.as_deref(), Some("ABC"));
        assert_eq!(place.link.as_deref(), Some(link));
    }

    #[test]
    fn with_a_text_an_address_is_not_enough_and_not_forgotten() {
        let mut ready = Ready::new(Some("world loaded".into()));
        assert!(!ready.hear("listening: 127.0.0.1:4433"));
        assert!(ready.hear("the world loaded in 3 s"));
        assert_eq!(ready.place.address.as_deref(), Some("127.0.0.1:4433"));
    }
}
