//! What is known about one connection at one moment, gathered from whoever knows it.

use std::{sync::atomic::Ordering, time::Duration};

use super::Link;
use crate::{clock, session::ledger::RemoteStats, wire::control::Control};

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
    /// The ledger: what became of the events of each remote.
    pub remotes: Vec<RemoteStats>,
}

impl Link {
    pub(crate) fn stats(&self) -> LinkStats {
        let (queued_bytes, queued_calls) = {
            let state = self.lock();
            (
                state.outbox.bytes() + state.outbox.unreliable_bytes(),
                state.calls.len(),
            )
        };
        let quic = self.connection.stats();
        let data_ping = match self.data_ping.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        };
        LinkStats {
            network_ping: quic.path.rtt,
            data_ping,
            sent_bytes: quic.udp_tx.bytes,
            received_bytes: quic.udp_rx.bytes,
            sent_packets: quic.path.sent_packets,
            lost_packets: quic.path.lost_packets,
            queued_bytes,
            queued_calls,
            serving_calls: self.serving.load(Ordering::Relaxed),
            remotes: self.ledger.snapshot(),
        }
    }

    /// Asks the peer for a sign of life through all queues.
    pub(super) fn ping(&self) {
        let nonce = clock::since(self.born).as_micros() as u64;
        self.asked.store(nonce, Ordering::Relaxed);
        self.lock().outbox.push_control(&Control::Ping { nonce });
    }

    /// False if this is no answer to the last ping.
    pub(super) fn pong(&self, nonce: u64) -> bool {
        if self.asked.swap(0, Ordering::Relaxed) != nonce || nonce == 0 {
            return false;
        }
        let now = clock::since(self.born).as_micros() as u64;
        let took = Duration::from_micros(now.saturating_sub(nonce).max(1));
        let micros = took.as_micros() as u64;
        self.data_ping.store(micros, Ordering::Relaxed);
        true
    }
}
