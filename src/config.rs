//! Limits and timeouts: plain values with documented defaults.
//!
//! Knows nothing about where they are enforced.

use std::time::Duration;

/// How often something may happen: a token bucket of `burst` tokens, refilled at `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// Tokens that come back each second.
    pub per_second: u32,
    /// Tokens that a full bucket holds.
    pub burst: u32,
}

impl Rate {
    /// `n` per second, in bursts of up to `n`.
    pub const fn per_second(n: u32) -> Self {
        Self {
            per_second: n,
            burst: n,
        }
    }

    /// The same rate with another burst.
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }
}

/// When accepted events leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Flush {
    /// As soon as the network thread gets to it; events fired in the same turn share packets.
    #[default]
    Immediate,
    /// When the program calls `flush`; calls and replies do not wait and take the events that were
    /// fired before them along.
    Tick,
}

/// How much one peer may cost.
///
/// # Defaults
///
/// Those of [`Limits::default`], named at each field. On a client only the fields that say so matter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Players at a time (default 100); a join beyond that is refused as full (R108).
    pub max_players: usize,
    /// Reliable events from one client (default 500/s, burst 500; R117).
    pub events: Rate,
    /// Unreliable events from one client (default 500/s, burst 500; R117).
    pub unreliable_events: Rate,
    /// Calls from one peer whose handlers run at the same time (default 16; server and client).
    pub calls_running: usize,
    /// Calls from one peer that wait for their turn, for a handler or for earlier events
    /// (default 32); one more is answered as busy (server and client).
    pub calls_queued: usize,
    /// Calls to one peer in flight at the same time (default 32; server and client); later ones wait
    /// in line, inside their deadline.
    pub calls_in_flight: usize,
    /// Calls to one peer waiting in that line (default 1024; server and client); one more fails.
    pub calls_waiting: usize,
    /// Encoded arguments of one reliable event or call from a client (default 64 KiB).
    pub payload_from_client: usize,
    /// Encoded arguments of one reliable event or call from the server, and its results
    /// (default 1 MiB; server and client).
    pub payload_from_server: usize,
    /// Events of one remote and player kept for a handler that is not there yet
    /// (default 256; server and client; R34).
    pub early_events: usize,
    /// Bytes that one connection may keep in early events and inboxes (default 1 MiB; server and client).
    pub held_bytes: usize,
    /// Bytes of reliable events accepted but not yet sent to one peer
    /// (default 256 KiB on top of what QUIC itself holds; server and client).
    pub outbox_bytes: usize,
    /// Bytes of unreliable events waiting for room on the network; the oldest give way
    /// (default 8 KiB; server and client).
    pub unreliable_outbox_bytes: usize,
    /// Bytes of broadcasts accepted and not yet handed to every player (default 4 MiB).
    pub broadcast_bytes: usize,
    /// Handshakes under way at the same time (default 256); beyond that addresses must first prove
    /// themselves with a QUIC Retry, and beyond four times that they are refused.
    pub handshakes: usize,
    /// Connections from one IP address, joined or joining (default 64).
    pub connections_per_address: usize,
    /// [Offences](crate::Offence), such as events over budget or payloads that do not decode, that a
    /// client may commit in one minute before it is kicked (default 10,000).
    pub offences_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_players: 100,
            events: Rate::per_second(500),
            unreliable_events: Rate::per_second(500),
            calls_running: 16,
            calls_queued: 32,
            calls_in_flight: 32,
            calls_waiting: 1024,
            payload_from_client: 64 * 1024,
            payload_from_server: 1024 * 1024,
            early_events: 256,
            held_bytes: 1024 * 1024,
            outbox_bytes: 256 * 1024,
            unreliable_outbox_bytes: 8 * 1024,
            broadcast_bytes: 4 * 1024 * 1024,
            handshakes: 256,
            connections_per_address: 64,
            offences_per_minute: 10_000,
        }
    }
}

/// How long things may take.
///
/// # Defaults
///
/// Those of [`Timeouts::default`], named at each field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the first packet of a client to its place among the players (default 5 s).
    pub join: Duration,
    /// Silence after which a connection is given up (default 10 s).
    pub idle: Duration,
    /// How often a client shows that it is alive (default 3 s; must be shorter than `idle`).
    pub keep_alive: Duration,
    /// How long a call waits when neither the call nor the function says so
    /// (default 10 s for calls to the server, 5 s for calls to a client).
    pub call: Duration,
    /// The longest wait that a call may ask for (default and upper bound 60 s).
    pub call_max: Duration,
    /// How long a peer may take to send the arguments of a call (default 5 s).
    pub request_read: Duration,
    /// How long a peer may take to accept a reply (default 5 s).
    pub reply_write: Duration,
    /// How long leaving waits for the other side to read what was sent before (default 1 s).
    pub leave: Duration,
}

impl Timeouts {
    pub(crate) fn server() -> Self {
        Self {
            call: Duration::from_secs(5),
            ..Self::default()
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            join: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            keep_alive: Duration::from_secs(3),
            call: Duration::from_secs(10),
            call_max: Duration::from_secs(60),
            request_read: Duration::from_secs(5),
            reply_write: Duration::from_secs(5),
            leave: Duration::from_secs(1),
        }
    }
}

/// A configuration value that would break a guarantee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {given}, which breaks a guarantee: choose {allowed}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The field of [`Limits`] or [`Timeouts`].
    pub field: &'static str,
    /// The value it had.
    pub given: String,
    /// What it may be.
    pub allowed: &'static str,
}

/// Refuses values under which a call could hang, a budget would be none, or memory has no bound.
pub(crate) fn check(limits: &Limits, timeouts: &Timeouts) -> Result<(), ConfigError> {
    let positive: [(&'static str, usize); 13] = [
        ("max_players", limits.max_players),
        ("events.burst", limits.events.burst as usize),
        (
            "unreliable_events.burst",
            limits.unreliable_events.burst as usize,
        ),
        ("calls_running", limits.calls_running),
        ("calls_in_flight", limits.calls_in_flight),
        ("payload_from_client", limits.payload_from_client),
        ("payload_from_server", limits.payload_from_server),
        ("outbox_bytes", limits.outbox_bytes),
        ("broadcast_bytes", limits.broadcast_bytes),
        ("handshakes", limits.handshakes),
        ("connections_per_address", limits.connections_per_address),
        ("offences_per_minute", limits.offences_per_minute as usize),
        ("calls_waiting", limits.calls_waiting),
    ];
    for (field, value) in positive {
        if value == 0 {
            return Err(ConfigError {
                field,
                given: "0".into(),
                allowed: "at least 1",
            });
        }
    }
    let refuse = |field, given: String, allowed| {
        Err(ConfigError {
            field,
            given,
            allowed,
        })
    };
    // 7/8 of the streams that each side may open must cover these, see the wire specification.
    if limits.calls_running + limits.calls_queued > 64 {
        let sum = limits.calls_running + limits.calls_queued;
        return refuse(
            "calls_running + calls_queued",
            sum.to_string(),
            "at most 64 together",
        );
    }
    if limits.calls_in_flight > 64 {
        let given = limits.calls_in_flight.to_string();
        return refuse("calls_in_flight", given, "1 to 64");
    }
    if limits.unreliable_outbox_bytes < 2048 {
        let given = limits.unreliable_outbox_bytes.to_string();
        return refuse("unreliable_outbox_bytes", given, "at least 2048");
    }
    if limits.payload_from_client > MAX_PAYLOAD || limits.payload_from_server > MAX_PAYLOAD {
        let given = limits
            .payload_from_client
            .max(limits.payload_from_server)
            .to_string();
        return refuse(
            "payload_from_client / payload_from_server",
            given,
            "at most 16 MiB",
        );
    }
    let within: [(&'static str, Duration, Duration, &'static str); 8] = [
        ("join", timeouts.join, MAX_TIMEOUT, "1 ms to 60 s"),
        (
            "idle",
            timeouts.idle,
            Duration::from_secs(600),
            "1 ms to 600 s",
        ),
        (
            "keep_alive",
            timeouts.keep_alive,
            Duration::from_secs(600),
            "1 ms to 600 s",
        ),
        ("call", timeouts.call, MAX_TIMEOUT, "1 ms to 60 s"),
        ("call_max", timeouts.call_max, MAX_TIMEOUT, "1 ms to 60 s"),
        (
            "request_read",
            timeouts.request_read,
            MAX_TIMEOUT,
            "1 ms to 60 s",
        ),
        (
            "reply_write",
            timeouts.reply_write,
            MAX_TIMEOUT,
            "1 ms to 60 s",
        ),
        ("leave", timeouts.leave, MAX_TIMEOUT, "1 ms to 60 s"),
    ];
    for (field, value, most, allowed) in within {
        if value < Duration::from_millis(1) || value > most {
            return refuse(field, format!("{value:?}"), allowed);
        }
    }
    if timeouts.keep_alive >= timeouts.idle {
        let given = format!("{:?}", timeouts.keep_alive);
        return refuse("keep_alive", given, "less than idle");
    }
    if timeouts.call > timeouts.call_max {
        return refuse("call", format!("{:?}", timeouts.call), "at most call_max");
    }
    Ok(())
}

/// No call waits longer than this, whatever it asks for.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Above this a remote is the wrong tool; it bounds what one frame can make a receiver hold.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
