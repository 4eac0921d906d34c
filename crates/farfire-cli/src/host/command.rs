//! What the host can type at its prompt.
//!
//! Knows nothing of what a command does.

use farfire::conditioner::Preset;

use crate::world::addend;

/// One line at the host's prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Say(String),
    Add(i64),
    Kick {
        /// A name, or `#` and an id.
        who: String,
        message: String,
    },
    /// `None` switches the simulated network off.
    Net(Option<Preset>),
    Players,
    Link,
    /// Another link; the one before lets nobody in any more.
    Renew,
    Help,
    Quit,
}

impl Command {
    /// Reads a line; an error says what to type instead. An empty line is no command.
    pub(super) fn read(line: &str) -> Result<Option<Self>, String> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        Ok(Some(match word {
            "" => return Ok(None),
            "say" => Self::Say(rest.into()),
            "add" => Self::Add(
                addend(rest)
                    .ok_or_else(|| format!("{rest:?} is no whole number: try `add` or `add 10`"))?,
            ),
            "kick" => {
                let (who, message) = kicked(rest).ok_or("whom? Try `kick NAME` or `kick #ID`")?;
                Self::Kick { who, message }
            }
            "net" if rest == "off" => Self::Net(None),
            "net" => Self::Net(Some(rest.parse().map_err(|_| {
                let names: Vec<_> = Preset::ALL.iter().map(ToString::to_string).collect();
                format!(
                    "there is no network {rest:?}: try {} or off",
                    names.join(", ")
                )
            })?)),
            "players" => Self::Players,
            "link" => Self::Link,
            "renew" => Self::Renew,
            "help" | "?" => Self::Help,
            "quit" | "exit" => Self::Quit,
            _ => return Err(format!("there is no command {word:?}: `help` lists them")),
        }))
    }
}

/// Whom to kick and what to tell them; a name with spaces goes in quotes.
fn kicked(rest: &str) -> Option<(String, String)> {
    let (who, message) = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
    };
    let message = match message.trim() {
        "" => "the host says goodbye",
        message => message,
    };
    (!who.is_empty()).then(|| (who.into(), message.into()))
}

/// What `help` answers.
pub(super) const HELP: &str = "\
say TEXT             everybody reads it
add [N]              adds to the shared counter
players              who is there, and how they are connected
kick NAME [MESSAGE]  or #ID; a name with spaces goes in quotes
net PRESET           plays over lan, wifi, mobile_4g, intercontinental or awful; `net off` ends it
link                 shows the link again
renew                makes another one: with --token the one before lets nobody in any more
quit                 ends the game for everybody";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_reads() {
        let read = |line| Command::read(line).unwrap().unwrap();
        let kick = |who: &str, message: &str| Command::Kick {
            who: who.into(),
            message: message.into(),
        };
        assert_eq!(read("say  hello all "), Command::Say("hello all".into()));
        assert_eq!(read("add"), Command::Add(1));
        assert_eq!(read("add -5"), Command::Add(-5));
        assert_eq!(read("kick Ada"), kick("Ada", "the host says goodbye"));
        assert_eq!(read("kick #3 too loud"), kick("#3", "too loud"));
        assert_eq!(read("kick \"Ada L\" bye"), kick("Ada L", "bye"));
        assert_eq!(read("net wifi"), Command::Net(Some(Preset::Wifi)));
        assert_eq!(read("net off"), Command::Net(None));
        assert_eq!(read(" quit"), Command::Quit);
        assert_eq!(Command::read("  "), Ok(None));
    }

    #[test]
    fn what_is_wrong_says_what_to_type_instead() {
        let wrong = |line| Command::read(line).unwrap_err();
        assert!(wrong("net 5g").contains("wifi"), "{}", wrong("net 5g"));
        assert!(wrong("kick").contains("kick NAME"));
        assert!(wrong("kick \"Ada").contains("kick NAME"));
        assert!(wrong("add x").contains("add 10"));
        assert!(wrong("hello").contains("`help`"));
    }

    #[test]
    fn help_lists_every_preset() {
        for preset in Preset::ALL {
            assert!(HELP.contains(preset.name()), "{preset}");
        }
    }
}
