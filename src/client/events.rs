//! A client's events: firing to the server, and listening to it.

use super::{Client, Here};
use crate::{
    fire::{FireError, event_limit, unless_full, when_there_is_room, with_encoded},
    handler::{self, Outcome},
    inbox::{INBOX_CAPACITY, Inbox, InboxOverflow, Subscription, next_event},
    registry::Entry,
    remote::{EventRemote, Payload},
    session::outbox::Outgoing,
};

impl Client {
    /// Fires an event to the server.
    ///
    /// Accepted means queued: it says nothing about arrival. `args` are encoded before this returns.
    ///
    /// # Errors
    ///
    /// [`FireError`]; nothing was sent then.
    pub fn fire_server<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
        args: &A,
    ) -> Result<(), FireError> {
        let entry = self.inner.wiring.registry.entry(remote)?;
        self.encoded(entry, args, |payload| self.fire(entry, payload, false))?
    }

    /// The same, waiting for room in the outbox instead of failing with [`FireError::QueueFull`].
    ///
    /// An unreliable event waits for room as well, instead of taking the place of older ones: whoever
    /// fires as fast as this returns loses none before the network. It may be old when it leaves.
    ///
    /// # Errors
    ///
    /// [`FireError`], but for that one.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: dropped before it returns, nothing was fired.
    pub async fn fire_server_async<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
        args: &A,
    ) -> Result<(), FireError> {
        let entry = self.inner.wiring.registry.entry(remote)?;
        // Mostly there is room, and nothing has to be kept to fire it once more.
        let fired = self.encoded(entry, args, |payload| {
            unless_full(self.fire(entry, payload, true), payload)
        })?;
        match fired {
            Ok(result) => result,
            Err(payload) => {
                when_there_is_room(&self.inner.link, || self.fire(entry, &payload, true)).await
            }
        }
    }

    /// Runs `handler` for every event that the server fires, in the order of arrival (R14, R25).
    ///
    /// Events that came before any handler are given to the first one (R30-R32). The handler runs on
    /// the network thread and must not block: make it asynchronous, or use
    /// [`client_events`](Self::client_events), if it has much to do. Asynchronous handlers may overlap
    /// (R26). A handler that fails or panics is logged, and stops nothing.
    ///
    /// # Panics
    ///
    /// If this program declares the remote's name in another way; [`declare`](Self::declare) tells
    /// beforehand.
    pub fn on_client_event<A: Payload, T, M>(
        &self,
        remote: &impl EventRemote<A>,
        handler: impl Fn(A) -> T + Send + Sync + 'static,
    ) -> Subscription
    where
        T: Outcome<(), M>,
    {
        self.listen(remote, false, handler)
    }

    /// Runs `handler` for the next event only (R90). Of early events it takes one and leaves the rest.
    ///
    /// # Panics
    ///
    /// As [`on_client_event`](Self::on_client_event).
    pub fn on_client_event_once<A: Payload, T, M>(
        &self,
        remote: &impl EventRemote<A>,
        handler: impl Fn(A) -> T + Send + Sync + 'static,
    ) -> Subscription
    where
        T: Outcome<(), M>,
    {
        self.listen(remote, true, handler)
    }

    /// Waits for the next event (R91); `None` when the connection ends first.
    ///
    /// # Panics
    ///
    /// As [`on_client_event`](Self::on_client_event).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it may lose the event that arrived at that moment.
    pub async fn next_client_event<A: Payload>(&self, remote: &impl EventRemote<A>) -> Option<A> {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(remote);
        next_event(registry, entry, |_: &Here, args| args).await
    }

    /// Opens an inbox for a game loop: up to 4096 events wait, and the newest give way.
    ///
    /// # Panics
    ///
    /// As [`on_client_event`](Self::on_client_event).
    pub fn client_events<A: Payload>(&self, remote: &impl EventRemote<A>) -> Inbox<A> {
        self.client_events_with(remote, INBOX_CAPACITY, InboxOverflow::default())
    }

    /// Opens an inbox with another capacity and overflow policy.
    ///
    /// # Panics
    ///
    /// As [`on_client_event`](Self::on_client_event).
    pub fn client_events_with<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
        capacity: usize,
        overflow: InboxOverflow,
    ) -> Inbox<A> {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(remote);
        Inbox::open(registry, &entry, capacity, overflow, |_: &Here, args| args)
    }

    fn listen<A: Payload, T, M>(
        &self,
        remote: &impl EventRemote<A>,
        once: bool,
        handler: impl Fn(A) -> T + Send + Sync + 'static,
    ) -> Subscription
    where
        T: Outcome<(), M>,
    {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(remote);
        let number = registry.listen(
            &entry,
            once,
            handler::event(move |_: &Here, args| handler(args)),
        );
        Subscription::new(&entry, number)
    }

    fn encoded<A: Payload, T>(
        &self,
        entry: &Entry<Here>,
        args: &A,
        lend: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, FireError> {
        let limit = event_limit(entry, self.inner.server_limits.event_payload);
        with_encoded(args, limit, lend).map_err(|error| FireError::encode(entry.spec.name, error))
    }

    fn fire(&self, entry: &Entry<Here>, payload: &[u8], patient: bool) -> Result<(), FireError> {
        let link = &self.inner.link;
        let name = entry.spec.name;
        let Some(id) = entry.id() else {
            return Err(match link.ended() {
                Some(reason) => FireError::Disconnected {
                    reason: reason.clone(),
                },
                None => FireError::UnknownRemote { remote: name },
            });
        };
        if let Some(theirs) = entry.theirs() {
            return Err(FireError::mismatch(&entry.info, name, theirs));
        }
        let (kind, policy) = (entry.declaration.kind, &entry.spec.policy);
        let event = Outgoing {
            id,
            name,
            kind,
            policy,
            payload,
            patient,
        };
        link.fire(&event, |_| Vec::new())
            .map_err(|error| FireError::push(error, link.ended()))
    }
}
