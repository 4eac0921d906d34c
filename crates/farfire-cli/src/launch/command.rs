//! What is typed at the prompt.
//!
//! Knows nothing of who is playing.

use crate::net::Net;

/// A typed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// For everyone, or for one.
    Net(Option<Who>, Net),
    Add,
    Kick(Who),
    Kill(Who),
    Freeze(Who),
    Thaw(Who),
    Tell(Who, String),
    Status,
    Help,
    Quit,
}

/// One process, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    Server,
    Number(usize),
    Name(String),
}

impl Command {
    /// Nothing, if nothing was typed.
    pub(super) fn parse(line: &str) -> Result<Option<Self>, String> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let alone = |command| match rest {
            "" => Ok(Some(command)),
            more => Err(format!("`{word}` takes nothing, so what is {more:?}?")),
        };
        let whom = |command: fn(Who) -> Self| match rest {
            "" => Err(format!("whom? `{word} 2`, by number or by name")),
            one if one.contains(char::is_whitespace) => Err(format!("one at a time: `{word} 2`")),
            one => Ok(Some(command(Who::parse(one)))),
        };
        match word {
            "" => Ok(None),
            "net" => match rest.rsplit_once(char::is_whitespace) {
                None if rest.is_empty() => {
                    Err("which network? `net wifi`, `net 2 awful`, `net off`".into())
                }
                None => Ok(Some(Self::Net(None, rest.parse()?))),
                Some((who, net)) => {
                    let who = Who::parse(who.trim_end());
                    Ok(Some(Self::Net(Some(who), net.parse()?)))
                }
            },
            "add" => alone(Self::Add),
            "kick" => whom(Self::Kick),
            "kill" => whom(Self::Kill),
            "freeze" => whom(Self::Freeze),
            "thaw" => whom(Self::Thaw),
            "tell" => match rest.split_once(char::is_whitespace) {
                Some((who, text)) => {
                    let who = Who::parse(who);
                    Ok(Some(Self::Tell(who, text.trim_start().into())))
                }
                None => Err("what, and whom? `tell 2 hello`".into()),
            },
            "status" => alone(Self::Status),
            "help" | "?" => alone(Self::Help),
            "quit" | "exit" => alone(Self::Quit),
            other => Err(format!("there is no command {other:?}: `help` lists them")),
        }
    }
}

impl Who {
    fn parse(word: &str) -> Self {
        match word.parse() {
            Ok(number) => Self::Number(number),
            Err(_) if word == "server" => Self::Server,
            Err(_) => Self::Name(word.into()),
        }
    }
}

/// What `help` prints.
pub(super) const HELP: [&str; 12] = [
    "net wifi            everyone plays over wifi; or lan, mobile_4g, intercontinental, awful, off",
    "net 2 awful         only player 2 does; players go by number or by name",
    "add                 one more player joins",
    "kick 2              the built-in server removes player 2",
    "kill 2              the process of player 2 is killed: the server has to find out",
    "freeze 2, thaw 2    it stands still, and goes on",
    "tell 2 TEXT         a line for its standard input; the built-in bots say it in the chat",
    "status              how everyone does, now",
    "quit                the end, as Ctrl-C",
    "In the table: lost is what QUIC gave up on, in percent; moves arrive at the server, 60 of them,",
    "and worlds at the player, 20 of them; calls were answered, declined by the shop, or failed;",
    "asked are calls of the server to the player that came back, and that did not.",
];

#[cfg(test)]
mod tests {
    use farfire::conditioner::Preset;

    use super::*;

    #[test]
    fn every_command_is_understood() {
        let bo = || Who::Name("Bo".into());
        for (line, command) in [
            ("net wifi", Command::Net(None, Net(Some(Preset::Wifi)))),
            (
                " net  2   awful ",
                Command::Net(Some(Who::Number(2)), Net(Some(Preset::Awful))),
            ),
            ("net server off", Command::Net(Some(Who::Server), Net(None))),
            ("add", Command::Add),
            ("kick Bo", Command::Kick(bo())),
            ("kill 2", Command::Kill(Who::Number(2))),
            ("freeze Bo", Command::Freeze(bo())),
            ("thaw 2", Command::Thaw(Who::Number(2))),
            ("tell Bo  go  on", Command::Tell(bo(), "go  on".into())),
            ("status", Command::Status),
            ("help", Command::Help),
            ("quit", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), Ok(Some(command)), "{line}");
        }
        assert_eq!(Command::parse("  "), Ok(None));
    }

    #[test]
    fn what_is_not_understood_says_what_would_be() {
        for (line, part) in [
            ("net", "`net 2 awful`"),
            ("net wifii", "choose lan, wifi,"),
            ("net 2 wifii", "choose lan, wifi,"),
            ("kick", "`kick 2`"),
            ("kick 1 2", "one at a time"),
            ("tell 2", "`tell 2 hello`"),
            ("add 3", "takes nothing"),
            ("dance", "`help` lists them"),
        ] {
            let error = Command::parse(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
