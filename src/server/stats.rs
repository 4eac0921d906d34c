//! What a server carries and has carried: the sums over its players, and what becomes of those who
//! want to be.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::ServerInner;
use crate::{
    link::{Link, Load, reason::DisconnectReason},
    session::ledger::EventTotals,
    wire::code::CloseCode,
};

/// What a server carries at one moment, and has carried since it started; per player, see
/// [`Player::stats`](crate::Player::stats).
///
/// Sums are over the players who are here and those who have left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Players connected.
    pub players: usize,
    /// Handshakes and joins under way.
    pub joining: usize,
    /// Remotes declared.
    pub remotes: usize,
    /// Players who have joined so far.
    pub joined: u64,
    /// Handshakes that were completed.
    pub handshakes: u64,
    /// Handshakes that failed or took too long.
    pub failed_handshakes: u64,
    /// First packets that were refused or ignored without a handshake, as there were too many, or too many from
    /// one address.
    pub turned_away: u64,
    /// Connections that shook hands and were not let in, by the code that they were told.
    pub refused: Vec<(CloseCode, u64)>,
    /// Connections of players that ended because they broke the rules.
    pub violations: u64,
    /// UDP bytes sent to players.
    pub sent_bytes: u64,
    /// UDP bytes received from players.
    pub received_bytes: u64,
    /// Calls made to players.
    pub calls_out: u64,
    /// Calls that players made, those that were refused included.
    pub calls_in: u64,
    /// What became of all events, in both directions.
    pub events: EventTotals,
    /// Bytes accepted for players and not yet handed to QUIC.
    pub queued_bytes: usize,
    /// Bytes of broadcasts that not every player has taken; of the thread that has most of them.
    pub broadcast_bytes: usize,
    /// Calls to players that wait for their turn.
    pub queued_calls: usize,
    /// Calls of players under way; of players who have left, the handlers that run on.
    pub serving_calls: usize,
    /// Bytes of events that wait in early queues and inboxes.
    pub held_bytes: usize,
    /// Asynchronous handlers of players' events that have not returned, those of players who have left
    /// included.
    pub waiting_handlers: usize,
}

/// What outlives players, or never was one.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) joined: AtomicU64,
    handshakes: AtomicU64,
    failed_handshakes: AtomicU64,
    turned_away: AtomicU64,
    past: Mutex<Past>,
}

#[derive(Default, Clone)]
struct Past {
    load: Load,
    violations: u64,
    refused: BTreeMap<CloseCode, u64>,
    /// The links of players who have left, with handlers that run on.
    busy: BTreeMap<u64, Arc<Link>>,
}

impl Totals {
    pub(super) fn handshake(&self) {
        self.handshakes.fetch_add(1, Relaxed);
    }

    pub(super) fn failed_handshake(&self) {
        self.failed_handshakes.fetch_add(1, Relaxed);
    }

    pub(super) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self, code: CloseCode) {
        let mut past = self.past();
        *past.refused.entry(code).or_default() += 1;
    }

    /// A player has left. Handlers that it left running count until [`finished`](Self::finished).
    pub(super) fn departed(&self, link: &Arc<Link>, load: &Load, reason: &DisconnectReason) {
        let mut past = self.past();
        past.load.add_past(load);
        let broke = matches!(reason, DisconnectReason::Violation { .. });
        past.violations += u64::from(broke);
        if link.handlers().is_some() {
            past.busy.insert(link.id(), link.clone());
        }
    }

    /// The handlers of a player who has left have returned, or nobody waits for them any more.
    pub(super) fn finished(&self, link: &Link) {
        // Dropped when the lock is released, should it be the last.
        let link = self.past().busy.remove(&link.id());
        drop(link);
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn gather(server: &ServerInner) -> ServerStats {
    let totals = &server.totals;
    let (players, past) = {
        let players = server.players();
        let past = totals.past();
        (players.values().cloned().collect::<Vec<_>>(), past.clone())
    };
    // Outside the lock, which joining and leaving take: a player who leaves now is still readable.
    let mut load = past.load;
    for player in &players {
        load.add(&player.link().load());
    }
    for link in past.busy.values() {
        let (calls, events) = link.left_running();
        load.serving_calls += calls;
        load.waiting_handlers += events;
    }
    ServerStats {
        players: players.len(),
        joining: server.joining.load(Relaxed),
        remotes: server.wiring.registry.declared(),
        joined: totals.joined.load(Relaxed),
        handshakes: totals.handshakes.load(Relaxed),
        failed_handshakes: totals.failed_handshakes.load(Relaxed),
        turned_away: totals.turned_away.load(Relaxed),
        refused: past.refused.into_iter().collect(),
        violations: past.violations,
        sent_bytes: load.sent_bytes,
        received_bytes: load.received_bytes,
        calls_out: load.calls_out,
        calls_in: load.calls_in,
        events: load.events,
        queued_bytes: load.queued_bytes,
        broadcast_bytes: server.hubs.iter().map(|hub| hub.bytes()).max().unwrap_or(0),
        queued_calls: load.queued_calls,
        serving_calls: load.serving_calls,
        held_bytes: load.held_bytes,
        waiting_handlers: load.waiting_handlers,
    }
}
