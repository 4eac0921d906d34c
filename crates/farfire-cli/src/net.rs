//! `--net`: which of the processes plays over which network.
//!
//! Knows nothing of how a process comes by it.

use std::{fmt, str::FromStr};

use farfire::conditioner::Preset;

/// A network as people type it: a preset, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Net(pub(crate) Option<Preset>);

impl FromStr for Net {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            OFF => Ok(Self(None)),
            name => match name.parse() {
                Ok(preset) => Ok(Self(Some(preset))),
                Err(error) => Err(format!("{error}, or {OFF}")),
            },
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or(OFF, Preset::name))
    }
}

/// Whom a setting is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Every player; not the server, or packets would meet the same network twice.
    Everyone,
    Server,
    /// By the number, from 1.
    Player(usize),
}

/// One `--net`: `PRESET`, `2=PRESET` or `server=PRESET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    who: Who,
    net: Net,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((who, net)) = text.split_once('=') else {
            let (who, net) = (Who::Everyone, text.parse()?);
            return Ok(Self { who, net });
        };
        let who = match who {
            "server" => Who::Server,
            number => match number.parse() {
                Ok(number) if number > 0 => Who::Player(number),
                _ => {
                    return Err(format!(
                        "{who:?} is neither the number of a player nor `server`"
                    ));
                }
            },
        };
        let net = net.parse()?;
        Ok(Self { who, net })
    }
}

/// The networks that a playtest begins with.
#[derive(Debug, Default)]
pub(crate) struct Nets {
    pub(crate) everyone: Net,
    pub(crate) server: Net,
    /// By number; the last one counts.
    players: Vec<(usize, Net)>,
}

impl Nets {
    /// Of several settings for the same, the last one counts.
    ///
    /// # Errors
    ///
    /// If one is for a player that there is not.
    pub(crate) fn new(settings: &[Setting], players: usize) -> Result<Self, String> {
        let mut nets = Self::default();
        for Setting { who, net } in settings {
            match who {
                Who::Everyone => nets.everyone = *net,
                Who::Server => nets.server = *net,
                Who::Player(number) if *number > players => {
                    let there_are = match players {
                        1 => "there is 1".to_string(),
                        more => format!("there are {more}"),
                    };
                    return Err(format!(
                        "`--net {number}={net}` is for player {number}, and {there_are}"
                    ));
                }
                Who::Player(number) => nets.players.push((*number, *net)),
            }
        }
        Ok(nets)
    }

    /// What the player with this number plays over.
    pub(crate) fn player(&self, number: usize) -> Net {
        let mut own = self.players.iter().rev();
        own.find(|(other, _)| *other == number)
            .map_or(self.everyone, |(_, net)| *net)
    }

    /// From now on everyone plays over this, and whoever comes later too.
    pub(crate) fn set_everyone(&mut self, net: Net) {
        self.everyone = net;
        self.players.clear();
    }

    pub(crate) fn is_clear(&self) -> bool {
        let all = self.players.iter().map(|(_, net)| net);
        all.chain([&self.everyone, &self.server])
            .all(|net| net.0.is_none())
    }
}

/// The environment that tells a process, as [`farfire::conditioner::from_env`] has it.
pub(crate) const VARIABLE: &str = "FARFIRE_NET";
const OFF: &str = "off";

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(settings: &[&str], players: usize) -> Result<Nets, String> {
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
        Nets::new(&settings, players)
    }

    #[test]
    fn a_player_has_its_own_network_or_everyones() {
        let nets = nets(&["2=awful", "wifi", "3=lan", "3=off"], 3).unwrap();
        let names: Vec<_> = (1..=4).map(|at| nets.player(at).to_string()).collect();
        assert_eq!(names, ["wifi", "awful", "off", "wifi"]);
        assert_eq!(nets.server, Net(None));
        assert!(!nets.is_clear());
    }

    #[test]
    fn wrong_settings_say_what_there_is() {
        let error = "wifii".parse::<Setting>().unwrap_err();
        assert!(error.contains("choose lan, wifi, mobile_4g"), "{error}");
        assert!(error.ends_with(", or off"), "{error}");
        assert!("0=wifi".parse::<Setting>().unwrap_err().contains("\"0\""));
        let error = nets(&["3=wifi"], 2).unwrap_err();
        assert_eq!(error, "`--net 3=wifi` is for player 3, and there are 2");
    }

    #[test]
    fn nothing_asked_for_is_clear() {
        assert!(nets(&[], 2).unwrap().is_clear());
        assert!(nets(&["off", "1=off"], 2).unwrap().is_clear());
        assert!(!nets(&["server=lan"], 2).unwrap().is_clear());
    }
}
