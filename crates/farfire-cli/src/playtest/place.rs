//! The place: the remotes that the server and the clients of a playtest share, and its settings.
//!
//! What a game has in the code that both of its sides compile. Several scenarios use one name with
//! different arguments, as separate places do, so each runs on a server of its own.

use std::{fmt, time::Duration};

use farfire::{
    RemoteEvent, RemoteFunction, Timeouts, UnreliableRemoteEvent,
    values::{BrickColor, Vector3},
};
use serde::{Deserialize, Serialize};

use super::scenario::Scenario;

pub(super) const CREATE_PART: RemoteEvent<(BrickColor, Vector3)> =
    RemoteEvent::new("RemoteEventTest");
pub(super) const NOTIFY_PLAYER: RemoteEvent<(u32, f64)> = RemoteEvent::new("RemoteEventTest");
pub(super) const TIMER: RemoteEvent<u32> = RemoteEvent::new("RemoteEventTest");

/// What a player says, and what the server makes of it.
pub(super) const SAY: RemoteEvent<String> = RemoteEvent::new("Say");
pub(super) const CHAT: RemoteEvent<(String, String)> = RemoteEvent::new("Chat");

pub(super) const REQUEST_PART: RemoteFunction<(BrickColor, Vector3), Part> =
    RemoteFunction::new("RemoteFunctionTest");
pub(super) const ASK_CLIENT: RemoteFunction<(), u32> = RemoteFunction::new("RemoteFunctionTest");

pub(super) const COUNTER: UnreliableRemoteEvent<u32> =
    UnreliableRemoteEvent::new("UnreliableRemoteEventTest");
pub(super) const TEXT: UnreliableRemoteEvent<String> =
    UnreliableRemoteEvent::new("UnreliableRemoteEventTest");

/// Come back as they are sent, for the round trips.
pub(super) const ECHO: RemoteEvent<u32> = RemoteEvent::new("Echo");
pub(super) const ECHO_CALL: RemoteFunction<u32, u32> = RemoteFunction::new("EchoCall");

/// A part of the world; displays as its name, as instances do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) color: BrickColor,
    pub(super) position: Vector3,
}

impl Part {
    pub(super) fn new(color: BrickColor, position: Vector3) -> Self {
        Self {
            name: "Part".into(),
            color,
            position,
        }
    }

    /// The one that every script of the playtest asks for.
    pub(super) fn requested() -> Self {
        Self::new(BrickColor::red(), Vector3::new(0.0, 25.0, 0.0))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// How much of the time that the scenarios take is waited out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Full,
    Fast,
}

impl Pace {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Fast => "fast",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Full, Self::Fast]
            .into_iter()
            .find(|pace| pace.word() == word)
    }

    const fn choose(self, full: u64, fast: u64) -> Duration {
        Duration::from_millis(match self {
            Self::Full => full,
            Self::Fast => fast,
        })
    }

    /// Between two numbers of the countdown.
    pub(super) const fn countdown(self) -> Duration {
        self.choose(1000, 100)
    }

    /// How long an event waits for the script that is late.
    pub(super) const fn late(self) -> Duration {
        self.choose(1000, 100)
    }

    /// Between two numbers of the unreliable counter.
    pub(super) const fn counter(self) -> Duration {
        self.choose(10, 1)
    }
}

/// How long things may take in a scenario; both sides use the same.
pub(super) fn timeouts(scenario: Scenario, pace: Pace) -> Timeouts {
    let mut timeouts = Timeouts::default();
    // Dozens of processes may join at once, on a machine with few cores.
    timeouts.join = Duration::from_secs(20);
    match scenario {
        Scenario::NeverReturns => {
            timeouts.invoke_server = pace.choose(1000, 300);
            timeouts.invoke_client = timeouts.invoke_server;
        }
        Scenario::Killed => {
            timeouts.idle = KILLED_IDLE;
            timeouts.keep_alive = Duration::from_millis(500);
            timeouts.invoke_server = Duration::from_secs(30);
            timeouts.invoke_client = timeouts.invoke_server;
        }
        _ => {}
    }
    timeouts
}

/// `Players.MaxPlayers` for so many players: the 8 of the scenarios unless that is too few.
pub(super) fn max_players(players: usize) -> usize {
    // One more, for the process that is killed.
    (players + 1).max(8)
}

/// `Players.RespawnTime`, in seconds.
pub(super) const RESPAWN_TIME: f64 = 5.0;
/// The longest text that the relay passes on, in bytes.
pub(super) const MAX_CHAT_BYTES: usize = 200;
/// Begins a text that was sent before, and perhaps lost.
pub(super) const AGAIN: char = '+';
/// Where the unreliable counter ends.
pub(super) const COUNT: u32 = 1000;
/// After so long without a packet a killed client is given up; three seconds lose six keep-alives, so
/// a busy machine does not look like a dead one.
pub(super) const KILLED_IDLE: Duration = Duration::from_secs(3);
