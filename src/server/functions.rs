//! A server's functions: answering clients, and calling them.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream::FuturesUnordered};

use super::Server;
use crate::{
    handler::{self, Outcome},
    invocation::{Invocation, Prepared, mismatch},
    link::call::InvokeError,
    player::Player,
    remote::{Payload, RemoteFunction},
    wire::invoke::MAX_REPLY_HEADER,
};

impl Server {
    /// Sets the handler of a function; the last one set is the one that runs (R50).
    ///
    /// Calls that run already go on with the old one. Calls that came before any handler was set are
    /// answered now (R55). The handler's result is the caller's; an `Err` becomes
    /// [`InvokeError::Failed`] there. A handler runs to its end even if the caller goes away (R63),
    /// unless the function is [cancellable](RemoteFunction::cancellable).
    ///
    /// # Panics
    ///
    /// If this program declares the function's name in another way; [`declare`](Self::declare) tells
    /// beforehand.
    pub fn on_server_invoke<A: Payload, R: Payload, T, M>(
        &self,
        function: &RemoteFunction<A, R>,
        handler: impl Fn(Player, A) -> T + Send + Sync + 'static,
    ) where
        T: Outcome<R, M>,
    {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(function);
        let handler = handler::function(MAX_REPLY_HEADER, move |player: &Player, args| {
            handler(player.clone(), args)
        });
        registry.answer(&entry, Some(handler));
    }

    /// Takes the handler of a function away: new calls wait for another one.
    ///
    /// # Panics
    ///
    /// As [`on_server_invoke`](Self::on_server_invoke).
    pub fn clear_server_invoke<A: Payload, R: Payload>(&self, function: &RemoteFunction<A, R>) {
        let registry = &self.inner.wiring.registry;
        registry.answer(&registry.expect(function), None);
    }

    /// Calls a function on one client.
    ///
    /// It always resolves, by its [timeout](Invocation::timeout) (5 s unless set), and at once when
    /// the player leaves: a client that fails, lies or never answers costs this call and nothing else.
    ///
    /// # Errors
    ///
    /// Awaiting it gives an [`InvokeError`], whose [`delivery`](InvokeError::delivery) says whether the
    /// handler can have run.
    pub fn invoke_client<A: Payload, R: Payload>(
        &self,
        player: &Player,
        function: &RemoteFunction<A, R>,
        args: &A,
    ) -> Invocation<R> {
        let call = self.prepare(player, function, args);
        let timeouts = &self.inner.wiring.timeouts;
        let declared = function.spec.policy.timeout;
        Invocation::new(
            function.name(),
            declared.unwrap_or(timeouts.invoke_client),
            timeouts,
            self.inner.network.clone(),
            call,
        )
    }

    /// Calls a function on each of these clients at the same time; outcomes come as they arrive.
    ///
    /// Each call has the deadline of an [`invoke_client`](Self::invoke_client): that of the
    /// [function](RemoteFunction::timeout), else 5 s unless set. It starts when the outcomes are first
    /// asked for.
    ///
    /// ```no_run
    /// # use farfire::{RemoteFunction, Server};
    /// const VOTE: RemoteFunction<String, bool> = RemoteFunction::new("Vote");
    /// # async fn vote(server: &Server) {
    /// let mut votes = server.invoke_clients(&server.players(), &VOTE, &"Kick the bot?".into());
    /// while let Some((player, vote)) = votes.next().await {
    ///     println!("{player}: {vote:?}");
    /// }
    /// # }
    /// ```
    pub fn invoke_clients<'a, A: Payload, R: Payload>(
        &self,
        players: impl IntoIterator<Item = &'a Player>,
        function: &RemoteFunction<A, R>,
        args: &A,
    ) -> Gather<R> {
        let calls = players.into_iter();
        let calls =
            calls.map(|player| (player.clone(), self.invoke_client(player, function, args)));
        Gather {
            prepared: calls.collect(),
            calls: FuturesUnordered::new(),
        }
    }

    fn prepare<A: Payload, R: Payload>(
        &self,
        player: &Player,
        function: &RemoteFunction<A, R>,
        args: &A,
    ) -> Result<Prepared, InvokeError> {
        let wiring = &self.inner.wiring;
        let entry = wiring
            .registry
            .entry(function)
            .map_err(InvokeError::Declare)?;
        let id = entry.slot + 1;
        if let Some(theirs) = player.link().mismatch(id) {
            return Err(mismatch(entry.spec.name, &entry.info, &theirs));
        }
        let limits = (
            wiring.limits.payload_from_server,
            wiring.limits.payload_from_client,
        );
        let registry = wiring.registry.clone();
        let link = Arc::clone(player.link());
        Prepared::new(link, entry, id, args, limits, move |from| {
            registry.announcements(from)
        })
    }
}

type Outcomes<R> = Pin<Box<dyn Future<Output = (Player, Result<R, InvokeError>)> + Send>>;

/// Calls to several clients; also a [`Stream`] of their outcomes.
///
/// Every player called yields exactly one outcome, whatever becomes of it. Dropping this cancels the
/// calls that have none yet.
#[must_use = "the calls are made when this is awaited"]
pub struct Gather<R> {
    /// Calls that have not been made: all of them, or none.
    prepared: Vec<(Player, Invocation<R>)>,
    calls: FuturesUnordered<Outcomes<R>>,
}

impl<R: Payload> Gather<R> {
    /// Sets how long each call may take, as [`Invocation::timeout`] does.
    ///
    /// It has no effect on calls that have been made, which the first outcome that is waited for does.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let prepared = self.prepared.into_iter();
        let prepared = prepared.map(|(player, call)| (player, call.timeout(timeout)));
        self.prepared = prepared.collect();
        self
    }

    /// Waits for the next outcome; `None` when all have come.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: an outcome is taken only when this returns.
    pub async fn next(&mut self) -> Option<(Player, Result<R, InvokeError>)> {
        StreamExt::next(self).await
    }
}

impl<R: Payload> Stream for Gather<R> {
    type Item = (Player, Result<R, InvokeError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        for (player, call) in std::mem::take(&mut self.prepared) {
            self.calls
                .push(Box::pin(async move { (player, call.await) }));
        }
        Pin::new(&mut self.calls).poll_next(cx)
    }
}

impl<R> fmt::Debug for Gather<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather")
            .field("waiting", &(self.prepared.len() + self.calls.len()))
            .finish()
    }
}
