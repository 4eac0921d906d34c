//! What is known about one connection at one moment, gathered from whoever knows it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::Link;
use crate::{
    clock,
    remote::is_reserved,
    session::ledger::{EventTotals, RemoteStats},
    wire::control::Control,
};

/// What is known about one connection at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkStats {
    /// The round trip of the transport, without queueing or handlers (R106).
    pub network_ping: Duration,
    /// The last round trip of a reliable message through the queues of both sides, measured every
    /// five seconds; `None` before the first.
    pub data_ping: Option<Duration>,
    /// UDP bytes sent.
    pub sent_bytes: u64,
    /// UDP bytes received.
    pub received_bytes: u64,
    /// UDP datagrams sent.
    pub sent_datagrams: u64,
    /// How often the system was asked to send some: fewer than datagrams where it takes several at a
    /// time.
    pub send_calls: u64,
    /// The longest UDP payload that the path is known to carry, in bytes.
    pub mtu: u16,
    /// QUIC packets sent.
    pub sent_packets: u64,
    /// QUIC packets that were declared lost; late ones are among them.
    pub lost_packets: u64,
    /// Bytes accepted and not yet handed to QUIC.
    pub queued_bytes: usize,
    /// Calls to the peer that wait for their turn.
    pub queued_calls: usize,
    /// Calls of the peer under way.
    pub serving_calls: usize,
    /// Calls made to the peer so far, whatever became of them.
    pub calls_out: u64,
    /// Calls that the peer made so far, those that were refused included.
    pub calls_in: u64,
    /// Bytes of the peer's events that wait in early queues and inboxes.
    pub held_bytes: usize,
    /// Asynchronous handlers of the peer's events that have not returned.
    pub waiting_handlers: usize,
    /// The ledger: what became of the events of each remote of the program's.
    pub remotes: Vec<RemoteStats>,
}

/// What only ever grows.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) calls_out: AtomicU64,
    pub(super) calls_in: AtomicU64,
}

/// What one connection, or several, carry and have carried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) calls_out: u64,
    pub(crate) calls_in: u64,
    pub(crate) events: EventTotals,
    // What there is at this moment.
    pub(crate) queued_bytes: usize,
    pub(crate) queued_calls: usize,
    pub(crate) serving_calls: usize,
    pub(crate) held_bytes: usize,
    pub(crate) waiting_handlers: usize,
}

impl Load {
    pub(crate) fn add(&mut self, other: &Self) {
        self.add_past(other);
        self.queued_bytes += other.queued_bytes;
        self.queued_calls += other.queued_calls;
        self.serving_calls += other.serving_calls;
        self.held_bytes += other.held_bytes;
        self.waiting_handlers += other.waiting_handlers;
    }

    /// Adds what only ever grows.
    pub(crate) fn add_past(&mut self, other: &Self) {
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.calls_out += other.calls_out;
        self.calls_in += other.calls_in;
        self.events.add(&other.events);
    }
}

impl Link {
    pub(crate) fn stats(&self) -> LinkStats {
        let quic = self.connection.stats();
        let data_ping = match self.data_ping.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        };
        let load = self.load();
        let mut remotes = self.ledger.snapshot();
        remotes.retain(|stats| !is_reserved(&stats.remote));
        LinkStats {
            network_ping: quic.path.rtt,
            data_ping,
            sent_bytes: load.sent_bytes,
            received_bytes: load.received_bytes,
            sent_datagrams: quic.udp_tx.datagrams,
            send_calls: quic.udp_tx.ios,
            mtu: quic.path.current_mtu,
            sent_packets: quic.path.sent_packets,
            lost_packets: quic.path.lost_packets,
            queued_bytes: load.queued_bytes,
            queued_calls: load.queued_calls,
            serving_calls: load.serving_calls,
            calls_out: load.calls_out,
            calls_in: load.calls_in,
            held_bytes: load.held_bytes,
            waiting_handlers: load.waiting_handlers,
            remotes,
        }
    }

    /// What can be summed over connections; it takes no allocation.
    pub(crate) fn load(&self) -> Load {
        let (queued_bytes, queued_calls) = {
            let state = self.lock();
            (
                state.outbox.bytes() + state.outbox.unreliable_bytes(),
                state.calls.len(),
            )
        };
        let quic = self.connection.stats();
        Load {
            sent_bytes: quic.udp_tx.bytes,
            received_bytes: quic.udp_rx.bytes,
            calls_out: self.counts.calls_out.load(Ordering::Relaxed),
            calls_in: self.counts.calls_in.load(Ordering::Relaxed),
            events: self.ledger.totals(),
            queued_bytes,
            queued_calls,
            serving_calls: self.serving.load(Ordering::Relaxed),
            held_bytes: self.held.bytes(),
            waiting_handlers: self.waiting.count(),
        }
    }

    /// Asks the peer for a sign of life through all queues.
    pub(super) fn ping(self: &Arc<Self>) {
        let nonce = clock::since(self.born).as_micros() as u64;
        self.asked.store(nonce, Ordering::Relaxed);
        // Whoever is told nothing between two of these holds no room for it.
        self.lock().outbox.give_back();
        self.push_sign_of_life(&Control::Ping { nonce });
    }

    /// For the driver, which sends what may leave in this turn; else it leaves at the next flush.
    pub(super) fn push_sign_of_life(self: &Arc<Self>, control: &Control) {
        let may_leave = {
            let mut state = self.lock();
            state.outbox.push_control(control);
            self.may_leave(&state)
        };
        if !may_leave {
            self.wake_to_send(false, false);
        }
    }

    /// False if this is no answer to the last ping.
    pub(super) fn pong(&self, nonce: u64) -> bool {
        // The answer to an older ping must not cost the newer one its own.
        let asked = nonce != 0
            && (self.asked)
                .compare_exchange(nonce, 0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !asked {
            return false;
        }
        let now = clock::since(self.born).as_micros() as u64;
        let took = Duration::from_micros(now.saturating_sub(nonce).max(1));
        let micros = took.as_micros() as u64;
        self.data_ping.store(micros, Ordering::Relaxed);
        true
    }
}
