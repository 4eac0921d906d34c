//! The table of scenarios: what is played, and the lines that each process must print.
//!
//! Knows nothing of processes or the network.

use super::place::COUNT;

/// One thing that remotes promise, played out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    ClientToServer,
    ServerToClient,
    ServerToAll,
    Relay,
    Function,
    LastCallback,
    CallbackError,
    ClientReturns,
    ClientError,
    NeverReturns,
    Killed,
    Counter,
    Sizes,
    /// Not a scenario to compare: the server that round trips are measured on.
    Echo,
}

/// A step of a scenario, after everyone has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The server's script runs.
    Server,
    /// Every player's script runs.
    Players,
    /// The first player's script runs.
    First,
    /// The server's script runs, and the extra player is killed while it is being called.
    Kill,
}

/// Who plays.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) players: Vec<String>,
    /// The one that joins to be killed.
    pub(super) extra: String,
    pub(super) max_players: usize,
}

impl Scenario {
    pub(super) const ALL: [Self; 13] = [
        Self::ClientToServer,
        Self::ServerToClient,
        Self::ServerToAll,
        Self::Relay,
        Self::Function,
        Self::LastCallback,
        Self::CallbackError,
        Self::ClientReturns,
        Self::ClientError,
        Self::NeverReturns,
        Self::Killed,
        Self::Counter,
        Self::Sizes,
    ];

    /// The section of the scenarios that it is from, and a letter where that has several.
    pub(super) const fn number(self) -> &'static str {
        match self {
            Self::ClientToServer => "1",
            Self::ServerToClient => "2",
            Self::ServerToAll => "3",
            Self::Relay => "4",
            Self::Function => "5a",
            Self::LastCallback => "5b",
            Self::CallbackError => "5c",
            Self::ClientReturns => "7a",
            Self::ClientError => "7b",
            Self::NeverReturns => "7c",
            Self::Killed => "7d",
            Self::Counter => "8a",
            Self::Sizes => "8b",
            Self::Echo => "rtt",
        }
    }

    pub(super) fn from_number(number: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .chain([Self::Echo])
            .find(|scenario| scenario.number() == number)
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::ClientToServer => "client to server",
            Self::ServerToClient => "server to client",
            Self::ServerToAll => "server to all clients",
            Self::Relay => "client to client",
            Self::Function => "remote function",
            Self::LastCallback => "the last callback wins",
            Self::CallbackError => "a callback fails",
            Self::ClientReturns => "InvokeClient returns",
            Self::ClientError => "a client's callback fails",
            Self::NeverReturns => "a client never returns",
            Self::Killed => "a client is killed",
            Self::Counter => "unreliable counter",
            Self::Sizes => "unreliable sizes",
            Self::Echo => "round trips",
        }
    }

    /// What must come, in one line for people; the lines themselves are below.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::ClientToServer => "the server prints each player once",
            Self::ServerToClient => "fired on join, printed by a late script",
            Self::ServerToAll => "every client prints 5 4 3 2 1",
            Self::Relay => "everyone prints \"Ada hi\", Ada too",
            Self::Function => "every client gets its part",
            Self::LastCallback => "of two callbacks only the second runs",
            Self::CallbackError => "\"boom\" reaches the caller; then it works",
            Self::ClientReturns => "the server gets 7 from everyone",
            Self::ClientError => "\"boom\" reaches the server",
            Self::NeverReturns => "each call ends with Timeout, in time",
            Self::Killed => "its call fails promptly, others return",
            Self::Counter => "a subset of 1..1000, nothing twice",
            Self::Sizes => "1000 bytes arrive, 1001 are refused",
            Self::Echo => "",
        }
    }

    pub(super) const fn acts(self) -> &'static [Act] {
        match self {
            Self::ClientToServer
            | Self::ServerToClient
            | Self::Function
            | Self::LastCallback
            | Self::CallbackError
            | Self::Sizes => &[Act::Players],
            Self::ServerToAll | Self::ClientReturns | Self::ClientError | Self::NeverReturns => {
                &[Act::Server]
            }
            Self::Relay | Self::Echo => &[Act::First],
            Self::Killed => &[Act::Kill],
            Self::Counter => &[Act::Server, Act::Players],
        }
    }

    /// What the server must print; the players act at the same time, so in any order.
    pub(super) fn server_lines(self, cast: &Cast) -> Vec<String> {
        let each = |line: fn(&str) -> String| -> Vec<String> {
            cast.players.iter().map(|name| line(name)).collect()
        };
        match self {
            Self::ClientToServer => each(|name| format!("{name} fired the RemoteEvent")),
            Self::ServerToClient => each(|name| format!("[Server] Firing event to player {name}")),
            Self::ServerToAll | Self::Relay | Self::Counter | Self::Echo => Vec::new(),
            Self::Function | Self::LastCallback | Self::CallbackError => {
                each(|name| format!("{name} requested a new part"))
            }
            Self::ClientReturns => each(|name| format!("{name} returned 7")),
            Self::ClientError => each(|name| format!("InvokeClient to {name} raised boom")),
            Self::NeverReturns => each(|name| format!("InvokeClient to {name} raised Timeout")),
            Self::Killed => {
                let mut lines = each(|name| format!("{name} returned 7"));
                let extra = &cast.extra;
                lines.push(format!("InvokeClient to {extra} raised Disconnected"));
                lines
            }
            Self::Sizes => each(|name| format!("{name} sent 1000 bytes")),
        }
    }

    /// What the player called `name` must print, in this order.
    pub(super) fn player_lines(self, name: &str, cast: &Cast) -> Vec<String> {
        match self {
            Self::ClientToServer
            | Self::ClientReturns
            | Self::ClientError
            | Self::NeverReturns
            | Self::Echo => Vec::new(),
            Self::ServerToClient => vec![
                format!("[Client] Event received by player {name}"),
                format!("{} 5", cast.max_players),
            ],
            Self::ServerToAll => (1..=5).rev().map(|t: u32| t.to_string()).collect(),
            Self::Relay => vec![format!("{} hi", cast.players[0])],
            Self::Function | Self::LastCallback => vec![CREATED.into()],
            Self::CallbackError => vec!["InvokeServer raised boom".into(), CREATED.into()],
            Self::Killed if name == cast.extra => vec![CALLED.into()],
            Self::Killed => Vec::new(),
            Self::Counter => vec![format!("a subset of 1..{COUNT}, nothing twice")],
            Self::Sizes => vec!["1001 bytes: 1 too many".into()],
        }
    }
}

/// What is unlike between the lines that a process must print and those it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) process: String,
    pub(super) missing: Vec<String>,
    pub(super) unexpected: Vec<String>,
}

/// Whether the order of lines counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Counts,
    Any,
}

/// Compares what came with what must come; nothing if they are the same.
pub(super) fn compare(
    process: &str,
    expected: &[String],
    came: &[String],
    order: Order,
) -> Option<Difference> {
    let mut unexpected = came.to_vec();
    let mut missing = Vec::new();
    for line in expected {
        match unexpected.iter().position(|other| other == line) {
            Some(at) => drop(unexpected.remove(at)),
            None => missing.push(line.clone()),
        }
    }
    let disordered = order == Order::Counts && expected != came;
    if missing.is_empty() && unexpected.is_empty() && disordered {
        // The right lines in the wrong order: all of them are out of place.
        (missing, unexpected) = (expected.to_vec(), came.to_vec());
    }
    (!missing.is_empty() || !unexpected.is_empty()).then(|| Difference {
        process: process.into(),
        missing,
        unexpected,
    })
}

/// What a client prints that got its part.
const CREATED: &str = "The server created the requested part: Part";
/// What the client prints that is about to be killed; the playtest waits for it.
pub(super) const CALLED: &str = "called by the server";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_in_another_order_differ_only_where_order_counts() {
        let (expected, came) = (lines(&["a", "b"]), lines(&["b", "a"]));
        assert_eq!(compare("server", &expected, &came, Order::Any), None);
        assert!(compare("Ada", &expected, &came, Order::Counts).is_some());
    }

    #[test]
    fn a_line_too_many_and_a_line_too_few_are_both_named() {
        let difference = compare(
            "Ada",
            &lines(&["a", "b"]),
            &lines(&["a", "a"]),
            Order::Counts,
        );
        let expected = Difference {
            process: "Ada".into(),
            missing: lines(&["b"]),
            unexpected: lines(&["a"]),
        };
        assert_eq!(difference, Some(expected));
    }

    #[test]
    fn every_scenario_is_found_by_its_number() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_number(scenario.number()), Some(scenario));
        }
    }
}
