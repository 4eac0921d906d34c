//! What a server holds beside its players, for tests that look for what was left behind.
//!
//! No part of the stable interface.

use super::Server;

/// Counts of what a server holds; those of one that nobody plays on are what it began with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftovers {
    /// QUIC connections that are not yet forgotten, and with them their streams.
    pub connections: usize,
    /// Tasks on the network threads and on the timer's.
    pub tasks: usize,
    /// Places taken.
    pub seats: usize,
    /// Addresses with connections, or with handlers of calls that still run.
    pub addresses: usize,
    /// Links that take part in broadcasts, or are to be woken or flushed.
    pub links: usize,
    /// Broadcasts that not everyone has taken.
    pub broadcasts: usize,
}

impl Server {
    /// What it holds at this moment.
    #[doc(hidden)]
    pub fn leftovers(&self) -> Leftovers {
        let inner = &self.inner;
        let (links, broadcasts) = inner
            .hubs
            .iter()
            .map(|hub| hub.leftovers())
            .fold((0, 0), |sum, hub| (sum.0 + hub.0, sum.1 + hub.1));
        Leftovers {
            connections: inner.endpoint.open_connections(),
            tasks: inner.network.alive_tasks(),
            seats: inner.seats.load(std::sync::atomic::Ordering::Acquire),
            addresses: inner.addresses.len(),
            links,
            broadcasts,
        }
    }
}
