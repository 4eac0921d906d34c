//! What the scenarios share: how to know that the network is quiet.

use std::{future::IntoFuture, time::Duration};

use farfire::{Client, DropCause, LinkStats, RemoteFunction, RemoteStats, Server};

use crate::world::within;

const CAUGHT_UP: RemoteFunction<(), ()> = RemoteFunction::new("CaughtUp");

/// Has a server answer [`caught_up`].
pub(crate) fn answer_caught_up(server: &Server) {
    server.on_server_invoke(&CAUGHT_UP, |_, ()| ());
}

/// Waits until everything that was fired before has reached its handlers, or waits for one: a call
/// and its reply do not overtake events.
pub(crate) async fn caught_up(client: &Client) {
    within(client.invoke_server(&CAUGHT_UP, &()).into_future())
        .await
        .unwrap();
}

/// Waits until `what` holds, where nothing tells when it does.
pub(crate) async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// The ledger of one remote.
pub(crate) fn ledger(stats: LinkStats, remote: &str) -> RemoteStats {
    let mut remotes = stats.remotes.into_iter();
    remotes.find(|found| found.remote == remote).unwrap()
}

/// How many events were dropped on arrival for this reason.
pub(crate) fn refused(stats: &RemoteStats, cause: DropCause) -> u64 {
    let found = stats.refused.iter().find(|(found, _)| *found == cause);
    found.map_or(0, |(_, count)| *count)
}
