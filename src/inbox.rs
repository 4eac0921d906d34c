//! Inboxes and subscriptions: how a program listens.
//!
//! An inbox is a handler that keeps events until the program takes them, for game loops that want
//! them once per tick. Knows the registry; knows nothing about connections.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{Notify, oneshot};

use crate::{
    codec,
    handler::{EventHandler, Heard},
    registry::{Entry, Registry},
    remote::Payload,
    session::{Held, budget::Offence},
};

/// What handlers get beside their arguments, and what their peer may keep waiting here.
pub(crate) trait Context: Clone + Send + Sync + 'static {
    fn held(&self) -> &Arc<Held>;
    /// The peer did something that it should not, and has now done so `count` times.
    fn offended(&self, _: Offence, _count: u64) {}
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
    /// Drops the event that waited longest; what is kept is recent.
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
    bytes: usize,
    held: Arc<Held>,
}

impl<T> Item<T> {
    fn take(self) -> T {
        self.held.give_back(self.bytes);
        self.value
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
        let handler: EventHandler<C> = Arc::new(move |context, payload| {
            let args = match codec::decode::<A>(payload) {
                Ok(args) => args,
                Err(error) => return Heard::Undecodable(error),
            };
            let bytes = payload.len() + ITEM_OVERHEAD;
            let held = context.held();
            if !held.take(bytes) {
                return Heard::Full;
            }
            let item = Item {
                value: join(context, args),
                bytes,
                held: held.clone(),
            };
            match sender.0.put(item) {
                true => Heard::Ran(Ok(())),
                false => Heard::Full,
            }
        });
        let number = registry.listen(entry, false, handler);
        Self {
            shared,
            subscription: Subscription::new(entry, number),
        }
    }

    /// Takes everything that has arrived, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let items = std::mem::take(&mut self.shared.lock().items);
        items.into_iter().map(Item::take)
    }

    /// Takes the oldest event, if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        self.shared.lock().items.pop_front().map(Item::take)
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
                    return Some(item.take());
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
        let items = std::mem::take(&mut self.shared.lock().items);
        for item in items {
            item.held.give_back(item.bytes);
        }
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
    /// False if an event was dropped that is not an older one of the same inbox.
    fn put(&self, item: Item<T>) -> bool {
        let dropped = {
            let mut state = self.lock();
            let full = state.items.len() >= self.capacity;
            if full && self.overflow == InboxOverflow::DropNewest {
                drop(state);
                item.held.give_back(item.bytes);
                return false;
            }
            let oldest = if full { state.items.pop_front() } else { None };
            state.items.push_back(item);
            oldest
        };
        self.arrived.notify_one();
        if let Some(oldest) = dropped {
            oldest.held.give_back(oldest.bytes);
        }
        true
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
    let handler: EventHandler<C> = Arc::new(move |context, payload| {
        let args = match codec::decode::<A>(payload) {
            Ok(args) => args,
            Err(error) => return Heard::Undecodable(error),
        };
        let send = send.lock().unwrap_or_else(PoisonError::into_inner).take();
        match send.map(|send| send.send(join(context, args))) {
            Some(Ok(())) => Heard::Ran(Ok(())),
            // Nobody waits any more: the event is for somebody else.
            Some(Err(_)) | None => Heard::Nobody,
        }
    });
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
