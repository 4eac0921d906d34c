//! The accept loop: who may shake hands, and on which thread.

use std::sync::{Arc, atomic::Ordering};

use quinn::Incoming;

use super::{Counted, ServerInner, addresses::FromAddress, join};
use crate::clock;

/// Takes connections until the endpoint is closed; one task, on the endpoint's thread.
pub(super) async fn run(server: Arc<ServerInner>) {
    while let Some(incoming) = server.endpoint.accept().await {
        if server.stopping.load(Ordering::Acquire) {
            incoming.refuse();
            continue;
        }
        let Some((incoming, places)) = screen(&server, incoming) else {
            continue;
        };
        let at = server.next_thread.fetch_add(1, Ordering::Relaxed) % server.hubs.len();
        let hub = server.hubs[at].clone();
        let owned = server.clone();
        let serve = join::serve(owned, incoming, places, hub);
        server.network.runtime(at).spawn(serve);
    }
    if !server.stopping.load(Ordering::Acquire) {
        tracing::error!("the server's socket is gone: nobody can join any more");
    }
}

/// Lets a first packet through, asks its sender to prove its address, or turns it away.
///
/// An address that is proven is counted from here on, or one address could take all the handshakes
/// there are and never finish one, or come back as fast as it is thrown out. One that may be forged is
/// not, or whoever forges it could keep its owner out.
fn screen(server: &Arc<ServerInner>, incoming: Incoming) -> Option<(Incoming, Places)> {
    let limits = &server.wiring.limits;
    let under_way = server.joining.load(Ordering::Acquire);
    let (from, now) = (incoming.remote_address().ip(), clock::now());
    let proven = incoming.remote_address_validated();
    let most = match proven {
        true => limits.handshakes * HANDSHAKES_VALIDATED,
        false => limits.handshakes,
    };
    let room = server.addresses.has_room(from, now);
    if room && under_way < most && (proven || server.addresses.believes(now)) {
        let address = match proven {
            true => server.addresses.count(from, now),
            false => None,
        };
        // Taken here, as many first packets can be screened before the first join runs.
        let joining = server.joining();
        return Some((incoming, Places { joining, address }));
    }
    // Proving an address that has no room would only be a second packet to refuse.
    if room && !proven && incoming.may_retry() {
        // Costs an honest client one round trip, and one that forged its address everything.
        let _ = incoming.retry();
        return None;
    }
    server.totals.turned_away();
    match server.addresses.answers(now) {
        true => incoming.refuse(),
        false => incoming.ignore(),
    }
    None
}

/// What somebody who joins takes up meanwhile.
pub(super) struct Places {
    pub(super) joining: Counted,
    /// There if the address is proven already.
    pub(super) address: Option<FromAddress>,
}

/// How many times the budget of handshakes those may take that have proven their address.
const HANDSHAKES_VALIDATED: usize = 4;
