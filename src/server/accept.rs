//! The accept loop: who may shake hands, and on which thread.

use std::sync::{Arc, atomic::Ordering};

use quinn::Incoming;

use super::{ServerInner, join};

/// Takes connections until the endpoint is closed; one task, on the endpoint's thread.
pub(super) async fn run(server: Arc<ServerInner>) {
    while let Some(incoming) = server.endpoint.accept().await {
        if server.stopping.load(Ordering::Acquire) {
            incoming.refuse();
            continue;
        }
        let Some(incoming) = screen(&server, incoming) else {
            continue;
        };
        let at = server.next_thread.fetch_add(1, Ordering::Relaxed) % server.hubs.len();
        let hub = server.hubs[at].clone();
        let owned = server.clone();
        // `Incoming::accept` spawns the connection's driver where it is called.
        server.network.runtime(at).spawn(async move {
            match incoming.accept() {
                Ok(connecting) => join::serve(owned, connecting, hub).await,
                Err(error) => tracing::debug!(%error, "a connection was not accepted"),
            }
        });
    }
    if !server.stopping.load(Ordering::Acquire) {
        tracing::error!("the server's socket is gone: nobody can join any more");
    }
}

/// Lets a first packet through, asks its sender to prove its address, or turns it away.
fn screen(server: &ServerInner, incoming: Incoming) -> Option<Incoming> {
    let limits = &server.wiring.limits;
    let joining = server.joining.load(Ordering::Acquire);
    let from = incoming.remote_address().ip();
    let here = {
        let addresses = &server.addresses;
        let addresses = addresses
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        addresses.get(&from).copied().unwrap_or(0)
    };
    let crowded = here >= limits.connections_per_address;
    if crowded || joining >= limits.handshakes {
        if !incoming.remote_address_validated() && incoming.may_retry() {
            // Costs an honest client one round trip, and one that forged its address everything.
            let _ = incoming.retry();
            return None;
        }
        if crowded || joining >= limits.handshakes * HANDSHAKES_VALIDATED {
            incoming.refuse();
            return None;
        }
    }
    Some(incoming)
}

/// How many times the budget of handshakes those may take that have proven their address.
const HANDSHAKES_VALIDATED: usize = 4;
