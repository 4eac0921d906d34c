//! What is measured: one combination of kind, direction, payload, clients and rate.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{payload::Payload, schedule::Schedule};

/// What carries an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A RemoteEvent
    Reliable,
    /// An UnreliableRemoteEvent
    Unreliable,
    /// A call of a RemoteFunction, and its result
    Function,
    /// One RemoteEvent from the server to every client
    Broadcast,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// To the server and back: a round trip
    Echo,
    /// To the server: one way
    Up,
    /// From the server: one way
    Down,
}

/// One thing to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) direction: Direction,
    pub(crate) payload: Payload,
    pub(crate) clients: u32,
    /// Events per second of each client; of the server where it broadcasts.
    pub(crate) rate: f64,
    pub(crate) tick: Option<f64>,
    /// Ping-pong: the next event waits for the last one.
    pub(crate) closed: bool,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

impl Cell {
    /// The schedule of a run that begins at `start`.
    pub(crate) fn schedule(&self, run: u16, start: u64) -> Schedule {
        let measured_from = start + self.warm_up.as_nanos() as u64;
        Schedule {
            start,
            measured_from,
            end: measured_from + self.duration.as_nanos() as u64,
            rate: self.rate,
            senders: match self.kind {
                Kind::Broadcast => 1,
                Kind::Reliable | Kind::Unreliable | Kind::Function => self.clients,
            },
            tick: self.tick,
            run,
        }
    }

    /// Who receives each event.
    pub(crate) fn receivers(&self) -> u64 {
        match self.kind {
            Kind::Broadcast => u64::from(self.clients),
            Kind::Reliable | Kind::Unreliable | Kind::Function => 1,
        }
    }

    /// Whether what was accepted has to arrive.
    pub(crate) fn is_reliable(&self) -> bool {
        self.kind != Kind::Unreliable
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Unreliable => "unreliable",
            Self::Function => "function",
            Self::Broadcast => "broadcast",
        }
    }
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
