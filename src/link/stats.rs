//! What is known about one connection at one moment, gathered from whoever knows it.

use std::{sync::atomic::Ordering, time::Duration};

use super::Link;
use crate::{remote::is_reserved, session::ledger::RemoteStats};

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
    /// The ledger: what became of the events of each remote of the program's.
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
        let mut remotes = self.ledger.snapshot();
        remotes.retain(|stats| !is_reserved(stats.remote));
        LinkStats {
            network_ping: quic.path.rtt,
            data_ping,
            sent_bytes: quic.udp_tx.bytes,
            received_bytes: quic.udp_rx.bytes,
            sent_datagrams: quic.udp_tx.datagrams,
            send_calls: quic.udp_tx.ios,
            mtu: quic.path.current_mtu,
            sent_packets: quic.path.sent_packets,
            lost_packets: quic.path.lost_packets,
            queued_bytes,
            queued_calls,
            serving_calls: self.serving.load(Ordering::Relaxed),
            remotes,
        }
    }
}
