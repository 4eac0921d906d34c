//! What a server tells everyone on the network about itself, as the texts of an mDNS record.
//!
//! Whoever reads them does not know who wrote them. Knows nothing about how they travel.

use crate::tls::Pin;

/// What a server says about itself on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advertisement {
    /// What the host calls the server; up to 200 bytes are announced.
    pub name: String,
    /// Who it is.
    pub pin: Pin,
    /// Which game it runs; up to 200 bytes are announced.
    pub game: String,
    /// How many players are in.
    pub players: usize,
    /// How many may be in.
    pub max_players: usize,
    /// Whether joining takes a token.
    pub needs_token: bool,
}

impl Advertisement {
    /// Says that a server called `name` has this pin, and nothing more; set the other fields.
    pub fn new(name: impl Into<String>, pin: Pin) -> Self {
        Self {
            name: name.into(),
            pin,
            game: String::new(),
            players: 0,
            max_players: 0,
            needs_token: false,
        }
    }

    /// The texts of the record, by key.
    pub(super) fn texts(&self) -> Vec<(&'static str, String)> {
        let mut texts = vec![
            ("v", VERSION.to_owned()),
            ("n", cut(&self.name)),
            ("p", self.pin.to_string()),
            ("g", cut(&self.game)),
            ("pl", format!("{}/{}", self.players, self.max_players)),
        ];
        if self.needs_token {
            texts.push(("tok", "1".into()));
        }
        texts
    }

    /// Reads the texts of a record; `None` if it is none that this version understands.
    pub(crate) fn read<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        text("v").filter(|version| *version == VERSION)?;
        let pin = text("p")?.parse().ok()?;
        let players = text("pl").and_then(|players| players.split_once('/'));
        let number = |text: &str| text.parse::<u32>().map_or(0, |number| number as usize);
        let (players, max_players) = players.unwrap_or(("", ""));
        Some(Self {
            name: cut(text("n").unwrap_or_default()),
            pin,
            game: cut(text("g").unwrap_or_default()),
            players: number(players),
            max_players: number(max_players),
            needs_token: text("tok") == Some("1"),
        })
    }
}

/// Without control characters, which have no place on a screen, and short enough for a record.
fn cut(text: &str) -> String {
    let mut cut = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if cut.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        cut.push(c);
    }
    cut
}

const VERSION: &str = "1";
/// A text of a record has 255 with its key.
const MAX_TEXT_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn read(texts: &HashMap<String, String>) -> Option<Advertisement> {
        Advertisement::read(|key| texts.get(key).map(String::as_str))
    }

    fn texts(advertisement: &Advertisement) -> HashMap<String, String> {
        let texts = advertisement.texts().into_iter();
        texts.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn the_texts_are_those_of_the_specification() {
        let mut said = Advertisement::new("desert-duel", Pin::from_bytes([0; 32]));
        said.game = "duel".into();
        (said.players, said.max_players, said.needs_token) = (3, 8, true);
        let texts = said.texts();
        let texts: Vec<_> = texts
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let pin = format!("p={}", "0".repeat(52));
        assert_eq!(
            texts,
            ["v=1", "n=desert-duel", &pin, "g=duel", "pl=3/8", "tok=1"]
        );
    }

    #[test]
    fn what_is_not_understood_is_no_server() {
        let good = texts(&Advertisement::new("a", Pin::from_bytes([1; 32])));
        assert!(read(&good).is_some());
        for (key, value) in [("v", "2"), ("v", ""), ("p", ""), ("p", "0000")] {
            let mut bad = good.clone();
            bad.insert(key.into(), value.into());
            assert_eq!(read(&bad), None, "{key}={value}");
        }
        for (players, read_as) in [
            ("", (0, 0)),
            ("3", (0, 0)),
            ("3/8", (3, 8)),
            ("-1/99999999999", (0, 0)),
        ] {
            let mut odd = good.clone();
            odd.insert("pl".into(), players.into());
            let claims = read(&odd).unwrap();
            assert_eq!((claims.players, claims.max_players), read_as);
        }
    }

    proptest! {
        #[test]
        fn every_advertisement_fits_and_survives(
            name: String, game: String, bytes: [u8; 32], players: u32, max_players: u32, needs_token: bool,
        ) {
            let mut said = Advertisement::new(name, Pin::from_bytes(bytes));
            said.game = game;
            (said.players, said.max_players) = (players as usize, max_players as usize);
            said.needs_token = needs_token;
            for (key, value) in said.texts() {
                prop_assert!(key.len() + 1 + value.len() <= 255);
            }
            let heard = read(&texts(&said)).unwrap();
            prop_assert_eq!(&heard.name, &cut(&said.name));
            prop_assert_eq!((heard.pin, heard.needs_token), (said.pin, needs_token));
            prop_assert_eq!(read(&texts(&heard)), Some(heard));
        }

        #[test]
        fn no_texts_panic(texts: HashMap<String, String>, pin: String, players: String) {
            let mut texts = texts;
            texts.extend([("v".into(), "1".into()), ("p".into(), pin), ("pl".into(), players)]);
            let _ = read(&texts);
        }
    }
}
