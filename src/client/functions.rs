//! A client's functions: calling the server, and answering it.

use std::sync::Arc;

use super::{Client, Here};
use crate::{
    handler::{self, Outcome},
    invocation::{Invocation, Prepared, mismatch},
    link::call::{InvokeError, Stage},
    remote::{Payload, RemoteFunction},
    wire::invoke::MAX_REPLY_HEADER,
};

impl Client {
    /// Calls a function on the server (R48).
    ///
    /// It always resolves, by its [timeout](Invocation::timeout) (10 s unless set), and at once when
    /// the connection ends. Events fired before it are seen there before it runs, and events that its
    /// handler fired are seen here before it returns, unless the function is
    /// [unordered](RemoteFunction::unordered).
    ///
    /// # Errors
    ///
    /// Awaiting it gives an [`InvokeError`], whose [`delivery`](InvokeError::delivery) says whether the
    /// handler can have run.
    pub fn invoke_server<A: Payload, R: Payload>(
        &self,
        function: &RemoteFunction<A, R>,
        args: &A,
    ) -> Invocation<R> {
        let call = self.prepare(function, args);
        let timeouts = &self.inner.wiring.timeouts;
        let declared = function.spec.policy.timeout;
        Invocation::new(
            function.name(),
            declared.unwrap_or(timeouts.invoke_server),
            timeouts,
            self.inner.network.clone(),
            call,
        )
    }

    /// Sets the handler that answers the server's calls; the last one set is the one that runs (R50).
    ///
    /// Calls that came before any handler was set are answered now (R55). A handler that is still
    /// running when the server gives up is stopped.
    ///
    /// # Panics
    ///
    /// If this program declares the function's name in another way; [`declare`](Self::declare) tells
    /// beforehand.
    pub fn on_client_invoke<A: Payload, R: Payload, T, M>(
        &self,
        function: &RemoteFunction<A, R>,
        handler: impl Fn(A) -> T + Send + Sync + 'static,
    ) where
        T: Outcome<R, M>,
    {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(function);
        let handler = handler::function(MAX_REPLY_HEADER, move |_: &Here, args| handler(args));
        registry.answer(&entry, Some(handler));
    }

    /// Takes the handler of a function away: new calls wait for another one.
    ///
    /// # Panics
    ///
    /// As [`on_client_invoke`](Self::on_client_invoke).
    pub fn clear_client_invoke<A: Payload, R: Payload>(&self, function: &RemoteFunction<A, R>) {
        let registry = &self.inner.wiring.registry;
        registry.answer(&registry.expect(function), None);
    }

    fn prepare<A: Payload, R: Payload>(
        &self,
        function: &RemoteFunction<A, R>,
        args: &A,
    ) -> Result<Prepared, InvokeError> {
        let inner = &self.inner;
        let entry = inner
            .wiring
            .registry
            .entry(function)
            .map_err(InvokeError::Declare)?;
        let name = entry.spec.name;
        let Some(id) = entry.id() else {
            return Err(match inner.link.ended().cloned() {
                Some(reason) => InvokeError::Disconnected {
                    stage: Stage::Admit,
                    reason,
                },
                None => InvokeError::UnknownFunction { name },
            });
        };
        if let Some(theirs) = entry.theirs() {
            return Err(mismatch(name, &entry.info, theirs));
        }
        let limits = (
            inner.server_limits.call_payload,
            inner.wiring.limits.payload_from_server,
        );
        Prepared::new(Arc::clone(&inner.link), entry, id, args, limits, |_| {
            Vec::new()
        })
    }
}
