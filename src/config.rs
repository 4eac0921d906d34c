//! Limits and timeouts: plain values with documented defaults.
//!
//! Knows nothing about where they are enforced.

use std::{fmt, time::Duration};

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
///
/// # Memory
///
/// What one player can make a server hold is at most the sum of
///
/// - what QUIC keeps: 384 KiB of streams (with a larger burst of `bytes_from_client` three times that, up to 1 MiB,
///   and never less than four times `payload_from_client`) and 256 KiB of datagrams that came, 512 KiB that was
///   not acknowledged;
/// - `payload_from_client` for each of 64 unfinished events and of `calls_running + calls_queued`
///   requests;
/// - `held_bytes`;
/// - `outbox_bytes`, `broadcast_bytes` and `unreliable_outbox_bytes`.
///
/// With the defaults that is less than 14 MiB, of which an honest player uses next to nothing. Not in the sum:
/// what handlers keep, results that are not read yet, and the keys of
/// [`latest_by`](crate::UnreliableRemoteEvent::latest_by).
///
/// ```
/// let mut limits = farfire::Limits::default();
/// limits.outbox_bytes = 1024 * 1024;
/// // `Server::builder(..).limits(limits)`
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Players at a time (default 100); a join beyond that is refused as full (R108).
    pub max_players: usize,
    /// Reliable events from one client (default 500/s, burst 500; R117).
    pub events: Rate,
    /// Unreliable events from one client (default 500/s, burst 500; R117). Datagrams, and events in
    /// them beyond that, at four times this and [`echo`](Self::echo) together end its connection, whatever
    /// `offences_per_minute` says: each has cost something before it can be refused.
    pub unreliable_events: Rate,
    /// Events of each of the [built-in echoes](crate::echo), and calls of it, from one client
    /// (default 200/s, burst 200); they count against no other budget.
    pub echo: Rate,
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
    /// Bytes of reliable events that are read from one client (default 16 MiB/s, burst 128 KiB). What is more
    /// waits at the client until it is read: nothing is dropped, and calls go on. What is on its way counts as well:
    /// one stream has 128 KiB in each round trip and one connection 384 KiB, or with a larger burst that and three
    /// times that, up to 256 KiB and 1 MiB. On a server only.
    pub bytes_from_client: Rate,
    /// Bytes of the encoded arguments of one reliable event or call from a client, and of the results
    /// that a client gives (default 64 KiB; on a client only for those results).
    pub payload_from_client: usize,
    /// Bytes of the encoded arguments of one reliable event or call from the server, and of the
    /// results that it gives (default 1 MiB; server and client).
    pub payload_from_server: usize,
    /// Events of one remote and player kept for a handler that is not there yet
    /// (default 256; server and client; R34).
    pub early_events: usize,
    /// Asynchronous handlers of one peer's events that have not returned (default 256; server and
    /// client). Beyond that, events that such a handler takes are kept like early ones, and handed out
    /// as handlers return.
    pub handlers_waiting: usize,
    /// Bytes that one connection may keep in early events and inboxes (default 1 MiB and 4 KiB, so
    /// that the largest event fits with what it costs; server and client).
    pub held_bytes: usize,
    /// Bytes of reliable events accepted but not yet sent to one peer
    /// (default 256 KiB on top of what QUIC itself holds; server and client).
    pub outbox_bytes: usize,
    /// Bytes of unreliable events waiting for room on the network; the oldest give way
    /// (default 32 KiB; server and client). However much room there is, what the network has left behind for
    /// 10 ms gives way once newer ones wait, unless it was fired with `fire_server_async` or `fire_client_async`.
    pub unreliable_outbox_bytes: usize,
    /// Bytes of broadcasts accepted and not yet handed to every player (default 4 MiB).
    pub broadcast_bytes: usize,
    /// Handshakes under way at the same time (default 256); beyond that, or when as many have begun at once and more
    /// than 64 in a second, addresses must first prove themselves with a QUIC Retry, and beyond four times that
    /// they are refused or not answered.
    pub handshakes: usize,
    /// Connections from one IP address, joined or joining (default 64). As many may be made in one go, or
    /// 64 if that is more, and an eighth of that in each second after it; more are refused or not
    /// answered. In that rate, one that does not join, or leaves within five seconds, counts as 4, and one that is
    /// thrown out for what it did as 17; no more than half of what may come in one go is ever missing.
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
            echo: Rate::per_second(200),
            calls_running: 16,
            calls_queued: 32,
            calls_in_flight: 32,
            calls_waiting: 1024,
            bytes_from_client: Rate::per_second(16 * 1024 * 1024).burst(128 * 1024),
            payload_from_client: 64 * 1024,
            payload_from_server: 1024 * 1024,
            early_events: 256,
            handlers_waiting: 256,
            held_bytes: 1024 * 1024 + 4096,
            outbox_bytes: 256 * 1024,
            unreliable_outbox_bytes: 32 * 1024,
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
/// Those of [`Timeouts::default`], named at each field, on either side: what only one of them uses, the
/// other ignores.
///
/// ```
/// # use std::time::Duration;
/// let mut timeouts = farfire::Timeouts::default();
/// timeouts.idle = Duration::from_secs(20);
/// // `Server::builder(..).timeouts(timeouts)`, and nothing else has changed
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the first packet of a client to its place among the players; on a client, all of
    /// `connect` (default 5 s).
    pub join: Duration,
    /// Silence after which a connection is given up (default 15 s). Of the two sides' the shorter counts,
    /// so that a server's must leave room for its clients' `keep_alive`.
    ///
    /// After an interruption QUIC tries again at intervals that double, so that only one of up to half of
    /// this is sure to be survived: beyond that, the next attempt of a busy connection may come too late. The
    /// default is for interruptions of seven seconds.
    pub idle: Duration,
    /// How often a client shows that it is alive (default 3 s; must be shorter than `idle`).
    pub keep_alive: Duration,
    /// How long a call to the server waits when neither the call nor the function says so
    /// (default 10 s; client).
    pub invoke_server: Duration,
    /// How long a call to a client waits when neither the call nor the function says so
    /// (default 5 s: a client may be frozen or hostile; server).
    pub invoke_client: Duration,
    /// The longest that any call waits, whatever it, its function or the two above say (default and
    /// upper bound 60 s).
    pub call_max: Duration,
    /// How long a peer may take to send the arguments of a call (default 5 s).
    pub request_read: Duration,
    /// How long a peer may take to accept a reply (default 5 s).
    pub reply_write: Duration,
    /// How long leaving waits for the other side to read what was sent before (default 1 s).
    pub leave: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            join: Duration::from_secs(5),
            idle: Duration::from_secs(15),
            keep_alive: Duration::from_secs(3),
            invoke_server: Duration::from_secs(10),
            invoke_client: Duration::from_secs(5),
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
    check_limits(limits)?;
    check_timeouts(timeouts)
}

fn check_limits(limits: &Limits) -> Result<(), ConfigError> {
    const ONE: &str = "at least 1";
    const BYTES: &str = "1 to 1 GiB";
    let rates = [
        ("events.per_second", limits.events.per_second),
        ("events.burst", limits.events.burst),
        (
            "unreliable_events.per_second",
            limits.unreliable_events.per_second,
        ),
        ("unreliable_events.burst", limits.unreliable_events.burst),
        ("echo.per_second", limits.echo.per_second),
        ("echo.burst", limits.echo.burst),
        (
            "bytes_from_client.per_second",
            limits.bytes_from_client.per_second,
        ),
        ("bytes_from_client.burst", limits.bytes_from_client.burst),
        ("offences_per_minute", limits.offences_per_minute),
    ];
    for (field, value) in rates {
        within(field, value, 1, u32::MAX, ONE)?;
    }
    let (from_client, from_server) = (limits.payload_from_client, limits.payload_from_server);
    let counts = [
        (
            "max_players",
            limits.max_players,
            1,
            1_000_000,
            "1 to 1,000,000",
        ),
        (
            "calls_running",
            limits.calls_running,
            1,
            MAX_CALLS,
            "1 to 64",
        ),
        (
            "calls_in_flight",
            limits.calls_in_flight,
            1,
            MAX_CALLS,
            "1 to 64",
        ),
        (
            "calls_waiting",
            limits.calls_waiting,
            1,
            65_536,
            "1 to 65,536",
        ),
        (
            "payload_from_client",
            from_client,
            1,
            MAX_PAYLOAD,
            "1 to 16 MiB",
        ),
        (
            "payload_from_server",
            from_server,
            1,
            MAX_PAYLOAD,
            "1 to 16 MiB",
        ),
        // What they may take is bounded by `held_bytes`.
        ("early_events", limits.early_events, 1, usize::MAX, ONE),
        (
            "handlers_waiting",
            limits.handlers_waiting,
            1,
            65_536,
            "1 to 65,536",
        ),
        (
            "held_bytes",
            limits.held_bytes,
            1024,
            MAX_BYTES,
            "1 KiB to 1 GiB",
        ),
        ("outbox_bytes", limits.outbox_bytes, 1, MAX_BYTES, BYTES),
        // The largest event has to fit, with others around it.
        (
            "unreliable_outbox_bytes",
            limits.unreliable_outbox_bytes,
            2048,
            MAX_BYTES,
            "2 KiB to 1 GiB",
        ),
        (
            "broadcast_bytes",
            limits.broadcast_bytes,
            1,
            MAX_BYTES,
            BYTES,
        ),
        ("handshakes", limits.handshakes, 1, 65_536, "1 to 65,536"),
        (
            "connections_per_address",
            limits.connections_per_address,
            1,
            usize::MAX,
            ONE,
        ),
    ];
    for (field, value, least, most, allowed) in counts {
        within(field, value, least, most, allowed)?;
    }
    // 7/8 of the streams that each side may open must cover these, see the wire specification.
    let calls = limits.calls_running.saturating_add(limits.calls_queued);
    within(
        "calls_running + calls_queued",
        calls,
        1,
        MAX_CALLS,
        "at most 64 together",
    )
}

fn check_timeouts(timeouts: &Timeouts) -> Result<(), ConfigError> {
    const CALLS: &str = "1 ms to 60 s";
    const LINKS: &str = "1 ms to 600 s";
    let (least, long) = (Duration::from_millis(1), Duration::from_secs(600));
    for (field, value, most, allowed) in [
        ("join", timeouts.join, MAX_TIMEOUT, CALLS),
        ("idle", timeouts.idle, long, LINKS),
        ("keep_alive", timeouts.keep_alive, long, LINKS),
        ("invoke_server", timeouts.invoke_server, MAX_TIMEOUT, CALLS),
        ("invoke_client", timeouts.invoke_client, MAX_TIMEOUT, CALLS),
        ("call_max", timeouts.call_max, MAX_TIMEOUT, CALLS),
        ("request_read", timeouts.request_read, MAX_TIMEOUT, CALLS),
        ("reply_write", timeouts.reply_write, MAX_TIMEOUT, CALLS),
        ("leave", timeouts.leave, MAX_TIMEOUT, CALLS),
    ] {
        within(field, value, least, most, allowed)?;
    }
    // Else whoever has nothing to say is given up.
    if timeouts.keep_alive >= timeouts.idle {
        return Err(refused("keep_alive", timeouts.keep_alive, "less than idle"));
    }
    Ok(())
}

fn within<T: PartialOrd + fmt::Debug>(
    field: &'static str,
    value: T,
    least: T,
    most: T,
    allowed: &'static str,
) -> Result<(), ConfigError> {
    match value < least || value > most {
        true => Err(refused(field, value, allowed)),
        false => Ok(()),
    }
}

fn refused(field: &'static str, given: impl fmt::Debug, allowed: &'static str) -> ConfigError {
    ConfigError {
        field,
        given: format!("{given:?}"),
        allowed,
    }
}

/// No call waits longer than this, whatever it asks for.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Above this a remote is the wrong tool; it bounds what one frame can make a receiver hold.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// Calls of one peer under way; more would not fit the streams that it may open.
const MAX_CALLS: usize = 64;
/// More is no bound, and sums of it must not overflow.
const MAX_BYTES: usize = 1024 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    type Change = (&'static str, fn(&mut Limits), fn(&mut Timeouts));

    /// Checks the defaults with one change.
    fn refusal((_, limit, timeout): &Change) -> Result<(), ConfigError> {
        let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
        limit(&mut limits);
        timeout(&mut timeouts);
        check(&limits, &timeouts)
    }

    macro_rules! changes {
        ($($name:literal: $value:expr => limits.$($field:ident).+ $(,)?;)*) => {
            [$(($name, |limits: &mut Limits| limits.$($field).+ = $value, |_: &mut Timeouts| ())),*]
        };
        ($($name:literal: $value:expr => timeouts.$field:ident;)*) => {
            [$(($name, |_: &mut Limits| (), |timeouts: &mut Timeouts| timeouts.$field = $value)),*]
        };
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(check(&Limits::default(), &Timeouts::default()), Ok(()));
    }

    #[test]
    fn no_budget_may_be_none() {
        let none: [Change; 21] = changes! {
            "max_players": 0 => limits.max_players;
            "events.per_second": 0 => limits.events.per_second;
            "events.burst": 0 => limits.events.burst;
            "unreliable_events.per_second": 0 => limits.unreliable_events.per_second;
            "unreliable_events.burst": 0 => limits.unreliable_events.burst;
            "bytes_from_client.per_second": 0 => limits.bytes_from_client.per_second;
            "bytes_from_client.burst": 0 => limits.bytes_from_client.burst;
            "calls_running": 0 => limits.calls_running;
            "calls_in_flight": 0 => limits.calls_in_flight;
            "calls_waiting": 0 => limits.calls_waiting;
            "payload_from_client": 0 => limits.payload_from_client;
            "payload_from_server": 0 => limits.payload_from_server;
            "early_events": 0 => limits.early_events;
            "handlers_waiting": 0 => limits.handlers_waiting;
            "held_bytes": 1023 => limits.held_bytes;
            "outbox_bytes": 0 => limits.outbox_bytes;
            "unreliable_outbox_bytes": 2047 => limits.unreliable_outbox_bytes;
            "broadcast_bytes": 0 => limits.broadcast_bytes;
            "handshakes": 0 => limits.handshakes;
            "connections_per_address": 0 => limits.connections_per_address;
            "offences_per_minute": 0 => limits.offences_per_minute;
        };
        for change in none {
            let error = refusal(&change).expect_err(change.0);
            assert_eq!(error.field, change.0);
            assert!(
                error.allowed.contains("at least 1") || error.allowed.contains(" to "),
                "{error}"
            );
        }
    }

    #[test]
    fn no_bound_may_be_none() {
        let none: [Change; 14] = changes! {
            "max_players": usize::MAX => limits.max_players;
            "calls_running": 65 => limits.calls_running;
            "calls_running + calls_queued": 49 => limits.calls_queued;
            "calls_running + calls_queued": usize::MAX => limits.calls_queued;
            "calls_in_flight": 65 => limits.calls_in_flight;
            "calls_waiting": usize::MAX => limits.calls_waiting;
            "payload_from_client": MAX_PAYLOAD + 1 => limits.payload_from_client;
            "payload_from_server": MAX_PAYLOAD + 1 => limits.payload_from_server;
            "handlers_waiting": usize::MAX => limits.handlers_waiting;
            "held_bytes": usize::MAX => limits.held_bytes;
            "outbox_bytes": usize::MAX => limits.outbox_bytes;
            "unreliable_outbox_bytes": usize::MAX => limits.unreliable_outbox_bytes;
            "broadcast_bytes": usize::MAX => limits.broadcast_bytes;
            "handshakes": usize::MAX => limits.handshakes;
        };
        for change in none {
            let error = refusal(&change).expect_err(change.0);
            assert_eq!(error.field, change.0);
        }
    }

    #[test]
    fn nothing_takes_no_time_and_nothing_takes_for_ever() {
        let never: [Change; 9] = changes! {
            "join": Duration::ZERO => timeouts.join;
            "idle": Duration::ZERO => timeouts.idle;
            "keep_alive": Duration::ZERO => timeouts.keep_alive;
            "invoke_server": Duration::ZERO => timeouts.invoke_server;
            "invoke_client": Duration::ZERO => timeouts.invoke_client;
            "call_max": Duration::ZERO => timeouts.call_max;
            "request_read": Duration::ZERO => timeouts.request_read;
            "reply_write": Duration::ZERO => timeouts.reply_write;
            "leave": Duration::ZERO => timeouts.leave;
        };
        let for_ever: [Change; 9] = changes! {
            "join": Duration::MAX => timeouts.join;
            "idle": Duration::MAX => timeouts.idle;
            "keep_alive": Duration::MAX => timeouts.keep_alive;
            "invoke_server": Duration::MAX => timeouts.invoke_server;
            "invoke_client": Duration::MAX => timeouts.invoke_client;
            "call_max": Duration::MAX => timeouts.call_max;
            "request_read": Duration::MAX => timeouts.request_read;
            "reply_write": Duration::MAX => timeouts.reply_write;
            "leave": Duration::MAX => timeouts.leave;
        };
        for change in never.into_iter().chain(for_ever) {
            let error = refusal(&change).expect_err(change.0);
            assert_eq!(error.field, change.0);
            assert!(error.allowed.starts_with("1 ms to "), "{error}");
        }
    }

    #[test]
    fn timeouts_fit_each_other() {
        let mut timeouts = Timeouts::default();
        timeouts.keep_alive = timeouts.idle;
        let error = check(&Limits::default(), &timeouts).unwrap_err();
        assert_eq!(
            (error.field, error.allowed),
            ("keep_alive", "less than idle")
        );
        assert_eq!(
            error.to_string(),
            "keep_alive is 15s, which breaks a guarantee: choose less than idle"
        );
    }

    #[test]
    fn the_ends_of_every_range_are_allowed() {
        let limits = Limits {
            max_players: 1,
            events: Rate::per_second(1),
            calls_running: 1,
            calls_queued: 63,
            calls_in_flight: 64,
            payload_from_client: 1,
            payload_from_server: MAX_PAYLOAD,
            early_events: usize::MAX,
            held_bytes: 1024,
            outbox_bytes: MAX_BYTES,
            unreliable_outbox_bytes: 2048,
            connections_per_address: usize::MAX,
            offences_per_minute: u32::MAX,
            ..Limits::default()
        };
        let timeouts = Timeouts {
            join: Duration::from_millis(1),
            idle: Duration::from_secs(600),
            invoke_server: MAX_TIMEOUT,
            invoke_client: MAX_TIMEOUT,
            call_max: MAX_TIMEOUT,
            ..Timeouts::default()
        };
        assert_eq!(check(&limits, &timeouts), Ok(()));
    }
}
