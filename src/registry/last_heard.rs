//! What was looked up for the event before: of a run of events of one remote, only the first looks.
//!
//! Knows nothing about when a run ends, which is when it is to let go.

use std::{ops::Deref, sync::Arc};

use arc_swap::{ArcSwap, Cache};

use super::{Dispatch, Entry, Listener, Registry};
use crate::handler::HandlerFuture;

/// The remote of the event before.
pub(crate) struct LastHeard<C>(Option<Hearing<C>>);

/// A remote that events arrive for, and who listened last.
pub(crate) struct Hearing<C> {
    id: u32,
    pub(crate) entry: Arc<Entry<C>>,
    /// Whether there was an event of it in this run.
    again: bool,
    /// From the second event of a run on: looking whether they are still the ones is a plain load.
    listeners: Option<Cache<Ears<C>, Listeners<C>>>,
}

type Listeners<C> = Arc<Vec<Arc<Listener<C>>>>;

struct Ears<C>(Arc<Entry<C>>);

impl<C> Deref for Ears<C> {
    type Target = ArcSwap<Vec<Arc<Listener<C>>>>;

    fn deref(&self) -> &Self::Target {
        &self.0.listeners
    }
}

impl<C: 'static> LastHeard<C> {
    pub(crate) fn nobody() -> Self {
        Self(None)
    }

    /// The remote that carries `id`, if this side has declared it: an id is bound once and for all.
    #[inline]
    pub(crate) fn hear(&mut self, registry: &Registry<C>, id: u32) -> Option<&mut Hearing<C>> {
        if self.0.as_ref().is_none_or(|hearing| hearing.id != id) {
            self.0 = registry.by_id(id).map(|entry| Hearing {
                id,
                entry,
                again: false,
                listeners: None,
            });
        }
        self.0.as_mut()
    }

    /// Ends the run, and lets go of handlers, which may be disconnected and dropped before the next event comes.
    pub(crate) fn let_go(&mut self) {
        if let Some(hearing) = &mut self.0 {
            hearing.again = false;
            hearing.listeners = None;
        }
    }
}

impl<C> Hearing<C> {
    /// As [`Entry::dispatch`].
    #[inline]
    pub(crate) fn dispatch(
        &mut self,
        context: &C,
        payload: &[u8],
        pending: &mut Vec<HandlerFuture<()>>,
    ) -> Dispatch {
        if !std::mem::replace(&mut self.again, true) {
            return self.entry.dispatch(context, payload, pending);
        }
        let ears = || Cache::new(Ears(self.entry.clone()));
        let listeners = self.listeners.get_or_insert_with(ears);
        self.entry
            .tell_all(listeners.load(), context, payload, pending)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{handler, remote::RemoteEvent};

    const HIT: RemoteEvent<u8> = RemoteEvent::new("Hit");
    const MISS: RemoteEvent<u8> = RemoteEvent::new("Miss");

    struct Peer {
        registry: Registry<()>,
        last: LastHeard<()>,
    }

    impl Peer {
        fn new() -> Self {
            let (registry, last) = (Registry::new(true), LastHeard::nobody());
            registry
                .declare_all(&[&HIT, &MISS])
                .expect("their names differ");
            Self { registry, last }
        }

        fn hear(&mut self, id: u32) -> Dispatch {
            let remote = self.last.hear(&self.registry, id).expect("declared");
            remote.dispatch(&(), &[7], &mut Vec::new())
        }

        fn listen(&self, remote: &RemoteEvent<u8>, once: bool) -> (u64, Arc<AtomicUsize>) {
            let (entry, heard) = (self.registry.expect(remote), Arc::<AtomicUsize>::default());
            let count = heard.clone();
            let call =
                handler::event(move |_: &(), _: u8| _ = count.fetch_add(1, Ordering::Relaxed));
            (self.registry.listen(&entry, once, call), heard)
        }
    }

    #[test]
    fn handlers_that_come_and_go_during_a_run_hear_what_is_theirs() {
        let mut peer = Peer::new();
        let (first, heard_first) = peer.listen(&HIT, false);
        (0..3).for_each(|_| assert_eq!(peer.hear(1), Dispatch::Dispatched));
        let (_, heard_second) = peer.listen(&HIT, false);
        let (_, heard_once) = peer.listen(&HIT, true);
        (0..2).for_each(|_| assert_eq!(peer.hear(1), Dispatch::Dispatched));
        peer.registry.expect(&HIT).forget(first);
        assert_eq!(peer.hear(1), Dispatch::Dispatched);
        let heard = [heard_first, heard_second, heard_once];
        assert_eq!(heard.map(|heard| heard.load(Ordering::Relaxed)), [5, 3, 1]);
        peer.registry.close();
        assert_eq!(peer.hear(1), Dispatch::Unheard);
    }

    #[test]
    fn remotes_that_take_turns_keep_their_handlers_apart() {
        let mut peer = Peer::new();
        let ((_, hits), (_, misses)) = (peer.listen(&HIT, false), peer.listen(&MISS, false));
        for id in [1, 2, 2, 1, 1, 1, 2] {
            assert_eq!(peer.hear(id), Dispatch::Dispatched);
        }
        assert_eq!(
            [hits, misses].map(|heard| heard.load(Ordering::Relaxed)),
            [4, 3]
        );
    }

    #[test]
    fn handlers_that_were_let_go_are_dropped_with_their_subscription() {
        let mut peer = Peer::new();
        let (number, heard) = peer.listen(&HIT, false);
        (0..3).for_each(|_| assert_eq!(peer.hear(1), Dispatch::Dispatched));
        peer.last.let_go();
        peer.registry.expect(&HIT).forget(number);
        assert_eq!(Arc::strong_count(&heard), 1);
    }
}
