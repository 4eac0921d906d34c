//! Inboxes and subscriptions: how a program listens.
//!
//! An inbox is a handler that keeps events until the program takes them, for game loops that want
//! them once per tick. Knows the registry; knows nothing about connections.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use crate::{
    handler::{self, EventHandler, Heard},
    registry::{Entry, Registry},
    remote::Payload,
    session::{Held, budget::Offence},
};

/// What handlers get beside their arguments, and what their peer may keep waiting here.
pub(crate) trait Context: Clone + Send + Sync + 'static {
    fn held(&self) -> &Arc<Held>;
    /// The peer did something that it should not, and has now done so `count` times.
    fn offended(&self, _: Offence, _count: u64) {}
    /// The peer says that it will have the identity with these bytes as its pin, after this time.
    fn next_identity(&self, _pin: [u8; 32], _after: Duration) {}
}

/// A connected handler.
///
/// Dropping it leaves the handler connected, as in Roblox; [`disconnect`](Self::disconnect) ends it.
pub struct Subscription {
    entry: Weak<dyn Listening>,
    number: u64,
}

/// An entry of a registry whose context does not matter.
pub(crate) trait Listening: Send + Sync {
    fn forget(&self, number: u64);
    fn listens(&self, number: u64) -> bool;
}

impl<C: Send + Sync> Listening for Entry<C> {
    fn forget(&self, number: u64) {
        Self::forget(self, number);
    }

    fn listens(&self, number: u64) -> bool {
        Self::listens(self, number)
    }
}

impl Subscription {
    pub(crate) fn new<C: Send + Sync + 'static>(entry: &Arc<Entry<C>>, number: u64) -> Self {
        let entry: Arc<dyn Listening> = entry.clone();
        Self {
            entry: Arc::downgrade(&entry),
            number,
        }
    }

    /// Ends the handler; it may be called inside the handler, and more than once (R89).
    pub fn disconnect(&self) {
        if let Some(entry) = self.entry.upgrade() {
            entry.forget(self.number);
        }
    }

    /// Whether the handler still gets events (R88).
    pub fn is_connected(&self) -> bool {
        self.entry
            .upgrade()
            .is_some_and(|entry| entry.listens(self.number))
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("connected", &self.is_connected())
            .finish()
    }
}

/// What an inbox does with an event when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InboxOverflow {
    /// Drops the event that came last; what is kept has no gaps.
    #[default]
    DropNewest,
    /// Drops the event that waited longest, or that of the same player where its bytes are too many;
    /// what is kept is recent. The drop is counted with the event that came.
    DropOldest,
}

/// Events that wait for the program to take them.
///
/// It holds at most as many events as was said when it was opened, and of one player no more bytes
/// than the `held_bytes` of its limits. What does not fit is dropped by the overflow policy and
/// counted. Dropping the inbox ends it.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
    subscription: Subscription,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Notify,
    capacity: usize,
    overflow: InboxOverflow,
}

struct State<T> {
    items: VecDeque<Item<T>>,
    /// Nothing more will come.
    closed: bool,
}

struct Item<T> {
    value: T,
    share: Share,
}

/// What an item takes of what its peer may keep waiting; given back when it is dropped.
struct Share {
    held: Arc<Held>,
    bytes: usize,
}

impl Share {
    fn take(held: &Arc<Held>, bytes: usize) -> Option<Self> {
        let held = held.take(bytes).then(|| held.clone())?;
        Some(Self { held, bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.give_back(self.bytes);
    }
}

impl<T: Send + 'static> Inbox<T> {
    /// Opens an inbox for the events of `entry`; `join` makes an item of context and arguments.
    pub(crate) fn open<C: Context, A: Payload>(
        registry: &Registry<C>,
        entry: &Arc<Entry<C>>,
        capacity: usize,
        overflow: InboxOverflow,
        join: impl Fn(&C, A) -> T + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                items: VecDeque::new(),
                closed: false,
            }),
            arrived: Notify::new(),
            capacity: capacity.max(1),
            overflow,
        });
        let sender = Sender(shared.clone());
        let call = Box::new(move |context: &C, payload: &[u8], _: &dyn Fn() -> bool| {
            let args = match handler::decoded::<A>(payload) {
                Ok(args) => args,
                Err(heard) => return heard,
            };
            let bytes = payload.len() + ITEM_OVERHEAD;
            let Some((share, room)) = sender.0.share(context.held(), bytes) else {
                return Heard::Full;
            };
            let value = join(context, args);
            match sender.0.put(Item { value, share }) && room {
                true => Heard::Ran(Ok(())),
                false => Heard::Full,
            }
        });
        let handler = EventHandler { waits: false, call };
        let number = registry.listen(entry, false, handler);
        Self {
            shared,
            subscription: Subscription::new(entry, number),
        }
    }

    /// Takes everything that has arrived, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let items = std::mem::take(&mut self.shared.lock().items);
        items.into_iter().map(|item| item.value)
    }

    /// Takes the oldest event, if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let item = self.shared.lock().items.pop_front()?;
        Some(item.value)
    }

    /// Waits for the next event; `None` when the server or client has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: an event is taken only when this returns.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let mut state = self.shared.lock();
                if let Some(item) = state.items.pop_front() {
                    return Some(item.value);
                }
                if state.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.shared.lock().items.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.subscription.disconnect();
        // Dropped outside the lock: what waits is the program's, and may do anything when it goes.
        let items = std::mem::take(&mut self.shared.lock().items);
        drop(items);
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("waiting", &self.shared.lock().items.len())
            .finish()
    }
}

impl<T> Shared<T> {
    /// Takes room for an item of `bytes`, if need be from older ones of the same peer, where the
    /// overflow policy says so; nothing if there is none. False if any of those had to go.
    fn share(&self, held: &Arc<Held>, bytes: usize) -> Option<(Share, bool)> {
        let mut room = true;
        loop {
            if let Some(share) = Share::take(held, bytes) {
                return Some((share, room));
            }
            if self.overflow == InboxOverflow::DropNewest || !held.could_take(bytes) {
                return None;
            }
            let oldest = {
                let items = &mut self.lock().items;
                let of_peer = |item: &Item<T>| Arc::ptr_eq(&item.share.held, held);
                let at = items.iter().position(of_peer)?;
                items.remove(at)
            };
            drop(oldest);
            room = false;
        }
    }

    /// False if an event had to go, this one or an older one.
    fn put(&self, item: Item<T>) -> bool {
        let oldest = {
            let mut state = self.lock();
            let full = state.items.len() >= self.capacity;
            if full && self.overflow == InboxOverflow::DropNewest {
                drop(state);
                return false;
            }
            let oldest = if full { state.items.pop_front() } else { None };
            state.items.push_back(item);
            oldest
        };
        self.arrived.notify_one();
        oldest.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handler's end of an inbox.
struct Sender<T>(Arc<Shared<T>>);

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.arrived.notify_one();
    }
}

/// Waits for one event of `entry`; `None` when the server or client ends first.
pub(crate) async fn next_event<C: Context, A: Payload, T: Send + 'static>(
    registry: &Registry<C>,
    entry: Arc<Entry<C>>,
    join: impl Fn(&C, A) -> T + Send + Sync + 'static,
) -> Option<T> {
    let (send, receive) = oneshot::channel();
    let send = Mutex::new(Some(send));
    let call = Box::new(
        move |context: &C, payload: &[u8], mine: &dyn Fn() -> bool| {
            let args = match handler::decoded::<A>(payload) {
                Ok(args) => args,
                Err(heard) => return heard,
            };
            if !mine() {
                return Heard::Nobody;
            }
            let send = send.lock().unwrap_or_else(PoisonError::into_inner).take();
            match send.map(|send| send.send(join(context, args))) {
                Some(Ok(())) => Heard::Ran(Ok(())),
                // Nobody waits any more: the event is for somebody else.
                Some(Err(_)) | None => Heard::Nobody,
            }
        },
    );
    let handler = EventHandler { waits: false, call };
    let number = registry.listen(&entry, true, handler);
    let _end = Disconnect(Subscription::new(&entry, number));
    drop(entry);
    receive.await.ok()
}

struct Disconnect(Subscription);

impl Drop for Disconnect {
    fn drop(&mut self) {
        self.0.disconnect();
    }
}

/// What an item costs beside its encoded bytes.
const ITEM_OVERHEAD: usize = 64;
/// Events that an inbox holds unless it is told otherwise.
pub(crate) const INBOX_CAPACITY: usize = 4096;
