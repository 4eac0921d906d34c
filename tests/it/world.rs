//! The harness: a server and its clients in one process, over real QUIC on loopback.

use std::{
    future::{Future, IntoFuture},
    sync::{Arc, Mutex},
    time::Duration,
};

use farfire::{
    Client, ClientBuilder, DropCause, LinkStats, Player, Rate, RemoteFunction, RemoteStats, Server,
    ServerBuilder,
    tls::{Identity, Trust},
};
use tokio::sync::{Notify, Semaphore};

/// Once a call of this has returned, all that either side fired before it is done with.
pub(crate) const SETTLE: RemoteFunction<(), ()> = RemoteFunction::new("Settle");

/// A server, and how to join it.
pub(crate) struct World {
    pub(crate) server: Server,
}

impl World {
    /// A server with everything at its defaults.
    pub(crate) fn new() -> Self {
        Self::with(|server| server)
    }

    /// A server that `describe` has the last word on.
    pub(crate) fn with(describe: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let identity = Identity::self_signed(["localhost"]).expect("an identity");
        let server = describe(Server::builder("127.0.0.1:0", identity))
            .start()
            .expect("a server");
        server.on_server_invoke(&SETTLE, |_, ()| ());
        Self { server }
    }

    /// A client that has yet to connect.
    pub(crate) fn client(&self, name: &str) -> ClientBuilder {
        let trust = Trust::pinned([self.server.pin()]);
        Client::builder(self.server.local_addr().to_string(), trust).name(name)
    }

    /// A client that has joined, and its player once the server counts it in broadcasts.
    pub(crate) async fn join(&self, name: &str) -> (Client, Player) {
        let client = self.client(name).connect().await.expect("to join");
        let player = self.player(&client).await;
        (client, player)
    }

    /// The server's side of a client.
    pub(crate) async fn player(&self, client: &Client) -> Player {
        let id = client.local_player().id;
        self.server
            .player(id)
            .expect("a welcomed player is among the players")
    }
}

/// Limits under which a client may fire as fast as it can.
pub(crate) fn generous() -> farfire::Limits {
    let mut limits = farfire::Limits::default();
    limits.events = Rate::per_second(1_000_000);
    limits.unreliable_events = Rate::per_second(1_000_000);
    limits
}

/// Waits until every reliable event that was fired before, to and by `client`, is done with.
pub(crate) async fn settle(client: &Client) {
    let call = client.invoke_server(&SETTLE, &());
    within(call.timeout(Duration::from_secs(20)).into_future())
        .await
        .expect("to settle");
}

/// The ledger of one remote.
pub(crate) fn ledger(stats: &LinkStats, remote: &str) -> RemoteStats {
    let found = stats.remotes.iter().find(|stats| stats.remote == remote);
    found.expect("an event of that remote").clone()
}

/// How many of `drops` have this cause.
pub(crate) fn count_of(drops: &[(DropCause, u64)], cause: DropCause) -> u64 {
    let counts = drops.iter().filter(|(why, _)| *why == cause);
    counts.map(|(_, count)| count).sum()
}

/// Waits for something that nobody announces, such as a count in the statistics.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Things that handlers note down, for the test to wait for.
#[derive(Clone, Default)]
pub(crate) struct Notes<T = String> {
    inner: Arc<(Mutex<Vec<T>>, Notify)>,
}

impl<T: Clone> Notes<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new((Mutex::new(Vec::new()), Notify::new())),
        }
    }

    pub(crate) fn push(&self, note: T) {
        self.inner.0.lock().unwrap().push(note);
        self.inner.1.notify_waiters();
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.inner.0.lock().unwrap().clone()
    }

    /// Forgets them.
    pub(crate) fn clear(&self) {
        self.inner.0.lock().unwrap().clear();
    }

    /// Waits until there are `count` notes, and gives all that there are.
    pub(crate) async fn wait(&self, count: usize) -> Vec<T> {
        self.wait_until(|notes| notes.len() >= count).await
    }

    /// Waits until the notes are as `enough` wants them, and gives all that there are.
    pub(crate) async fn wait_until(&self, enough: impl Fn(&[T]) -> bool) -> Vec<T> {
        within(async {
            loop {
                let mut news = std::pin::pin!(self.inner.1.notified());
                news.as_mut().enable();
                {
                    let notes = self.inner.0.lock().unwrap();
                    if enough(&notes) {
                        return notes.clone();
                    }
                }
                news.await;
            }
        })
        .await
    }
}

/// Keeps handlers waiting until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        self.0.close();
    }

    pub(crate) async fn pass(&self) {
        let _ = self.0.acquire().await;
    }
}

/// Fails the test when `future` takes longer than anything here should.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("to be done by now")
}
