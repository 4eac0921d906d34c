//! The contenders: farfire, and what it is measured against, each as a server and as clients.
//!
//! All are driven by the same generator, from a thread that is not their own, and all tell the same
//! recorder of what arrives. What differs is only what is in between.

pub(crate) mod farfire;
mod quinn;
mod tcp;
mod udp;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::farfire::tls::{Pin, Trust};
use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, Kind},
    recording::Sink,
    schedule::Send as SendEvents,
};
use crate::{exit::Complaint, reach::Reach};

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Contender {
    Farfire,
    Quinn,
    Udp,
    Tcp,
}

impl Contender {
    /// What is written beside its figures.
    pub(crate) fn label(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Farfire, _) => "farfire",
            (Self::Quinn, Kind::Unreliable) => "quinn datagram",
            (Self::Quinn, Kind::Function) => "quinn bidi",
            (Self::Quinn, Kind::Reliable | Kind::Broadcast) => "quinn stream",
            (Self::Udp, _) => "udp",
            (Self::Tcp, _) => "tcp nodelay",
        }
    }
}

/// Where a contender's server is reached, and what its clients trust it by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Door {
    pub(crate) contender: Contender,
    pub(crate) address: SocketAddr,
    pub(crate) secret: Vec<u8>,
}

/// One end of all connections of a contender.
pub(crate) trait Side: SendEvents + Send + Sync {
    /// Gets ready to send and receive what `cell` asks for.
    fn load(&self, cell: &Cell) -> Result<(), Complaint>;
    /// Where arrivals are told.
    fn sink(&self) -> &Sink;
    /// What has gone over the wire since the beginning.
    fn traffic(&self) -> Traffic;
    /// What there is to say of this end beside its traffic: sockets, pings, losses.
    fn state(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// Bytes and system calls of one end, of all its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) datagrams: u64,
    /// 0 where it is not known.
    pub(crate) send_calls: u64,
}

impl Traffic {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            sent_bytes: self.sent_bytes.saturating_sub(before.sent_bytes),
            received_bytes: self.received_bytes.saturating_sub(before.received_bytes),
            datagrams: self.datagrams.saturating_sub(before.datagrams),
            send_calls: self.send_calls.saturating_sub(before.send_calls),
        }
    }
}

/// How the network of farfire is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) clients: u32,
    /// The name of a preset.
    pub(crate) net: Option<String>,
    pub(crate) seed: u64,
    pub(crate) busy_poll: bool,
    /// Bursts end with a flush.
    pub(crate) ticks: bool,
}

/// Starts the server of a contender.
pub(crate) fn serve(
    contender: Contender,
    setting: &Setting,
) -> Result<(Door, Arc<dyn Side>), Complaint> {
    match contender {
        Contender::Farfire => farfire::Serving::start(setting),
        Contender::Quinn => quinn::serve().map_err(|error| trouble("quinn", &*error)),
        Contender::Udp => udp::serve().map_err(|error| trouble("UDP", &error)),
        Contender::Tcp => tcp::serve().map_err(|error| trouble("TCP", &error)),
    }
}

/// Connects the clients of a contender; how long each took comes with them.
pub(crate) fn connect(
    door: &Door,
    setting: &Setting,
) -> Result<(Arc<dyn Side>, Vec<Duration>), Complaint> {
    match door.contender {
        Contender::Farfire => {
            let pin = <[u8; 32]>::try_from(&door.secret[..]).unwrap_or_default();
            let trust = Trust::pinned([Pin::from_bytes(pin)]);
            let reach = Reach::Address(door.address.to_string(), trust);
            farfire::Clients::connect(&reach, true, setting)
        }
        Contender::Quinn => {
            quinn::connect(door, setting).map_err(|error| trouble("quinn", &*error))
        }
        Contender::Udp => udp::connect(door, setting).map_err(|error| trouble("UDP", &error)),
        Contender::Tcp => tcp::connect(door, setting).map_err(|error| trouble("TCP", &error)),
    }
}

fn trouble(what: &str, error: &dyn std::error::Error) -> Complaint {
    Complaint::new(
        format!("the {what} baseline cannot be measured: {error}"),
        "the system may be out of ports, threads or file descriptors: see `ulimit -a`",
    )
}
