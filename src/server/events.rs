//! A server's events: firing to clients, and listening to them.

use std::sync::Arc;

use bytes::Bytes;

use super::Server;
use crate::{
    fire::{FireError, event_limit, unless_full, when_there_is_room, with_encoded},
    handler::{self, Outcome},
    inbox::{INBOX_CAPACITY, Inbox, InboxOverflow, Subscription, next_event},
    link::hub::Broadcast,
    player::Player,
    registry::Entry,
    remote::{EventRemote, Payload},
    session::outbox::Outgoing,
};

impl Server {
    /// Fires an event to one client; no other observes it (R15).
    ///
    /// Accepted means queued: it says nothing about arrival. `args` are encoded before this returns.
    ///
    /// # Errors
    ///
    /// [`FireError`]; nothing was sent then.
    pub fn fire_client<A: Payload>(
        &self,
        player: &Player,
        remote: &impl EventRemote<A>,
        args: &A,
    ) -> Result<(), FireError> {
        let entry = self.inner.wiring.registry.entry(remote)?;
        self.encoded(entry, args, |payload| {
            self.fire_one(player, entry, payload, false)
        })?
    }

    /// The same, waiting for room in the player's outbox instead of failing with
    /// [`FireError::QueueFull`].
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
    pub async fn fire_client_async<A: Payload>(
        &self,
        player: &Player,
        remote: &impl EventRemote<A>,
        args: &A,
    ) -> Result<(), FireError> {
        let entry = self.inner.wiring.registry.entry(remote)?;
        let fired = self.encoded(entry, args, |payload| {
            unless_full(self.fire_one(player, entry, payload, true), payload)
        })?;
        match fired {
            Ok(result) => result,
            Err(payload) => {
                when_there_is_room(player.link(), || {
                    self.fire_one(player, entry, &payload, true)
                })
                .await
            }
        }
    }

    /// Fires an event to these clients, encoded once; those that have left are passed over.
    ///
    /// # Errors
    ///
    /// [`FireError`] if the arguments cannot be sent to anybody, or the first error of a single player,
    /// such as a full outbox or other types; the others still got it.
    pub fn fire_clients<'a, A: Payload>(
        &self,
        players: impl IntoIterator<Item = &'a Player>,
        remote: &impl EventRemote<A>,
        args: &A,
    ) -> Result<(), FireError> {
        let entry = self.inner.wiring.registry.entry(remote)?;
        self.encoded(entry, args, |payload| {
            let mut result = Ok(());
            for player in players {
                match self.fire_one(player, entry, payload, false) {
                    Ok(()) | Err(FireError::Disconnected { .. } | FireError::Closing) => {}
                    Err(error) => result = result.and(Err(error)),
                }
            }
            result
        })?
    }

    /// Fires an event to every client connected now, encoded once (R17, R29).
    ///
    /// The cost to the caller does not grow with the number of players. A player that is too far
    /// behind to take it, by `outbox_bytes` and `broadcast_bytes` together, is disconnected as a slow
    /// consumer: nobody else waits for it. Of unreliable events it misses some.
    ///
    /// # Errors
    ///
    /// [`FireError`]; nobody got it then.
    pub fn fire_all_clients<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
        args: &A,
    ) -> Result<(), FireError> {
        self.broadcast(remote, args, None)
    }

    /// Fires an event to every client connected now but `player`.
    ///
    /// # Errors
    ///
    /// As [`fire_all_clients`](Self::fire_all_clients).
    pub fn fire_all_clients_except<A: Payload>(
        &self,
        player: &Player,
        remote: &impl EventRemote<A>,
        args: &A,
    ) -> Result<(), FireError> {
        self.broadcast(remote, args, Some(player.id().as_u64()))
    }

    /// Runs `handler` for every event that a client fires, in the order of arrival (R13, R25).
    ///
    /// The handler runs on the network thread and must not block: make it asynchronous, or use
    /// [`server_events`](Self::server_events), if it has much to do. Asynchronous handlers may overlap
    /// (R26). A handler that fails or panics is logged, and stops nothing.
    ///
    /// # Panics
    ///
    /// If this program declares the remote's name in another way; [`declare`](Self::declare) tells
    /// beforehand.
    pub fn on_server_event<A: Payload, T, M>(
        &self,
        remote: &impl EventRemote<A>,
        handler: impl Fn(Player, A) -> T + Send + Sync + 'static,
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
    /// As [`on_server_event`](Self::on_server_event).
    pub fn on_server_event_once<A: Payload, T, M>(
        &self,
        remote: &impl EventRemote<A>,
        handler: impl Fn(Player, A) -> T + Send + Sync + 'static,
    ) -> Subscription
    where
        T: Outcome<(), M>,
    {
        self.listen(remote, true, handler)
    }

    /// Waits for the next event (R91); `None` when the server stops first.
    ///
    /// # Panics
    ///
    /// As [`on_server_event`](Self::on_server_event).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it may lose the event that arrived at that moment.
    pub async fn next_server_event<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
    ) -> Option<(Player, A)> {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(remote);
        next_event(registry, entry, |player: &Player, args| {
            (player.clone(), args)
        })
        .await
    }

    /// Opens an inbox for a game loop: up to 4096 events wait, and the newest give way.
    ///
    /// # Panics
    ///
    /// As [`on_server_event`](Self::on_server_event).
    pub fn server_events<A: Payload>(&self, remote: &impl EventRemote<A>) -> Inbox<(Player, A)> {
        self.server_events_with(remote, INBOX_CAPACITY, InboxOverflow::default())
    }

    /// Opens an inbox with another capacity and overflow policy.
    ///
    /// # Panics
    ///
    /// As [`on_server_event`](Self::on_server_event).
    pub fn server_events_with<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
        capacity: usize,
        overflow: InboxOverflow,
    ) -> Inbox<(Player, A)> {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(remote);
        Inbox::open(
            registry,
            &entry,
            capacity,
            overflow,
            |player: &Player, args| (player.clone(), args),
        )
    }

    fn listen<A: Payload, T, M>(
        &self,
        remote: &impl EventRemote<A>,
        once: bool,
        handler: impl Fn(Player, A) -> T + Send + Sync + 'static,
    ) -> Subscription
    where
        T: Outcome<(), M>,
    {
        let registry = &self.inner.wiring.registry;
        let entry = registry.expect(remote);
        let call = handler::event(move |player: &Player, args| handler(player.clone(), args));
        let number = registry.listen(&entry, once, call);
        Subscription::new(&entry, number)
    }

    fn encoded<A: Payload, T>(
        &self,
        entry: &Entry<Player>,
        args: &A,
        lend: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, FireError> {
        let limit = event_limit(entry, self.inner.wiring.limits.payload_from_server);
        with_encoded(args, limit, lend).map_err(|error| FireError::encode(entry.spec.name, error))
    }

    fn fire_one(
        &self,
        player: &Player,
        entry: &Entry<Player>,
        payload: &[u8],
        patient: bool,
    ) -> Result<(), FireError> {
        let id = entry.slot + 1;
        let link = player.link();
        if let Some(theirs) = link.mismatch(id) {
            return Err(FireError::mismatch(&entry.info, entry.spec.name, &theirs));
        }
        let event = Outgoing {
            id,
            name: entry.spec.name,
            kind: entry.declaration.kind,
            policy: &entry.spec.policy,
            payload,
            patient,
        };
        let announce = |from| self.inner.wiring.registry.announcements(from);
        link.fire(&event, announce)
            .map_err(|error| FireError::push(error, link.ended()))
    }

    fn broadcast<A: Payload>(
        &self,
        remote: &impl EventRemote<A>,
        args: &A,
        except: Option<u64>,
    ) -> Result<(), FireError> {
        let inner = &self.inner;
        let entry = inner.wiring.registry.entry(remote)?;
        let payload = self.encoded(entry, args, Bytes::copy_from_slice)?;
        let broadcast = Arc::new(Broadcast {
            id: entry.slot + 1,
            name: entry.spec.name,
            kind: entry.declaration.kind,
            policy: entry.spec.policy,
            payload,
            except,
        });
        let wake = inner.wiring.flush == crate::config::Flush::Immediate;
        // All or none, and in one order everywhere: room is made sure of on every thread before any of
        // them gets it, and nobody comes between.
        let broadcasting = inner.broadcasting.lock();
        if let Some((queued, limit)) = inner.hubs.iter().find_map(|hub| hub.is_full(&broadcast)) {
            return Err(FireError::QueueFull { queued, limit });
        }
        inner
            .hubs
            .iter()
            .for_each(|hub| hub.broadcast(broadcast.clone(), wake));
        drop(broadcasting);
        Ok(())
    }
}
