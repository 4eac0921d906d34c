//! The registry: names to remotes to erased handlers.
//!
//! One registry serves one `Server` or one `Client`. It is generic over the context `C` that handlers
//! get beside their arguments, and knows nothing about connections, threads or time. Whoever needs to
//! know that it changed passes a callback.

mod error;
mod last_heard;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};

pub use self::error::DeclareError;
pub(crate) use self::last_heard::LastHeard;
use self::table::Table;
use crate::{
    handler::{EventHandler, FunctionHandler, HandlerFuture, Heard},
    remote::{self, Declaration, Remote, Spec, sealed::Declared},
    wire::{
        MAX_REMOTES,
        remote::{Announcement, RemoteInfo},
    },
};

pub(crate) struct Registry<C> {
    /// Its entries are added to under the lock of `announced`.
    table: Table<C>,
    /// Serialises writers, and holds what the server announced and nobody here has declared yet.
    announced: Mutex<Announced>,
    /// The server hands out ids; a client learns them.
    assigns_ids: bool,
    /// Counts handlers that came and remotes that were declared: held events look at it.
    generation: AtomicU64,
    /// Nothing will come any more: handlers are dropped as soon as they are set.
    closed: AtomicBool,
    changed: OnceLock<Box<dyn Fn(Change) + Send + Sync>>,
}

/// What happened to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A handler was added, or a remote was bound to its id.
    Listening,
    /// A remote was declared.
    Declared,
}

/// What a client has heard of the server's remotes.
#[derive(Default)]
struct Announced {
    by_name: HashMap<String, Announcement>,
    names: HashMap<u32, String>,
}

/// One remote of a registry: its declaration, its id on the wire, and its handlers.
pub(crate) struct Entry<C> {
    pub(crate) spec: Spec,
    pub(crate) declaration: Declaration,
    /// Name, kind and signature, as the other side is told them.
    pub(crate) info: RemoteInfo,
    pub(crate) slot: u32,
    /// 0 until the server has named one.
    id: AtomicU32,
    /// Clients only: what the server declares under this name, where that differs.
    theirs: OnceLock<RemoteInfo>,
    listeners: ArcSwap<Vec<Arc<Listener<C>>>>,
    function: ArcSwapOption<Function<C>>,
    /// What the table finds behind this one.
    next: OnceLock<Arc<Self>>,
}

struct Function<C>(FunctionHandler<C>);

struct Listener<C> {
    number: u64,
    once: bool,
    taken: AtomicBool,
    handler: EventHandler<C>,
}

impl<C: 'static> Registry<C> {
    pub(crate) fn new(assigns_ids: bool) -> Self {
        Self {
            table: Table::new(),
            announced: Mutex::default(),
            assigns_ids,
            generation: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            changed: OnceLock::new(),
        }
    }

    /// Sets who hears of changes; only the first call counts.
    pub(crate) fn on_change(&self, callback: impl Fn(Change) + Send + Sync + 'static) {
        let _ = self.changed.set(Box::new(callback));
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many of them are the program's.
    pub(crate) fn declared(&self) -> usize {
        let entries = self.table.entries();
        entries.filter(|entry| !entry.spec.policy.builtin).count()
    }

    /// The entry of a remote, made on first use.
    #[inline]
    pub(crate) fn entry(
        &self,
        remote: &(impl Declared + ?Sized),
    ) -> Result<&Arc<Entry<C>>, DeclareError> {
        match self.find(remote.spec()) {
            Some(entry) if entry.is_of(remote) => Ok(entry),
            Some(entry) => entry.check(&remote.declaration()).map(|()| entry),
            None => self.declare(remote.declaration()),
        }
    }

    /// The same where the program itself registers something: a clash is a mistake in it.
    ///
    /// # Panics
    ///
    /// If it declares the name in another way.
    pub(crate) fn expect(&self, remote: &(impl Declared + ?Sized)) -> Arc<Entry<C>> {
        let entry = self.entry(remote);
        entry.unwrap_or_else(|error| panic!("{error}")).clone()
    }

    /// Declares all of `remotes`, or as many as can be; the first error is the one that counts.
    pub(crate) fn declare_all(&self, remotes: &[&dyn Remote]) -> Result<(), DeclareError> {
        let declared = remotes.iter().map(|remote| self.entry(*remote).map(drop));
        declared.fold(Ok(()), Result::and)
    }

    #[inline]
    fn find(&self, spec: &Spec) -> Option<&Arc<Entry<C>>> {
        self.table.find(spec.name, spec.hash)
    }

    #[cold]
    fn declare(&self, declaration: Declaration) -> Result<&Arc<Entry<C>>, DeclareError> {
        // Tracing a type runs the program's `Deserialize`: not under the lock.
        let shape = (declaration.shape)().unwrap_or_default();
        let info = RemoteInfo::new(declaration.spec.name, declaration.kind, &shape)
            .expect("names are checked when a remote is made, and shapes are cut");
        let entry = {
            let announced = self.write();
            if let Some(entry) = self.find(&declaration.spec) {
                drop(announced);
                return entry.check(&declaration).map(|()| entry);
            }
            if self.table.len() >= MAX_REMOTES {
                return Err(DeclareError::TooMany);
            }
            let slot = self.table.len() as u32;
            let entry = Entry {
                spec: declaration.spec,
                info,
                slot,
                id: AtomicU32::new(if self.assigns_ids { slot + 1 } else { 0 }),
                theirs: OnceLock::new(),
                listeners: ArcSwap::default(),
                function: ArcSwapOption::empty(),
                next: OnceLock::new(),
                declaration,
            };
            // Before anybody can find it: it is never seen without the id that it has.
            if let Some(announcement) = announced.by_name.get(entry.spec.name) {
                entry.bind(announcement, &self.table);
            }
            self.table.push(entry)
        };
        entry.complain();
        self.tell(Change::Declared);
        Ok(entry)
    }

    /// Takes note of the remotes that the server has, and of their ids.
    ///
    /// False if one of them takes an id or a name that is taken. Each costs the same, however many are
    /// known: the server says how many there are, and when. Whoever holds events looks at those of the
    /// ids that were announced, and at no others.
    pub(crate) fn announce(&self, news: impl IntoIterator<Item = Announcement>) -> bool {
        let mut fresh = true;
        let mut bound = Vec::new();
        {
            let mut announced = self.write();
            for one in news {
                let name = one.remote.name();
                if announced.by_name.contains_key(name) || announced.names.contains_key(&one.id) {
                    fresh = false;
                    continue;
                }
                if let Some(entry) = self.table.find(name, remote::hash(name)) {
                    entry.bind(&one, &self.table);
                    bound.push(entry);
                }
                announced.names.insert(one.id, name.into());
                announced.by_name.insert(name.into(), one);
            }
        }
        bound.iter().for_each(|entry| entry.complain());
        if !bound.is_empty() {
            self.notify(Change::Listening);
        }
        fresh
    }

    /// The entry that carries `id` on the wire, if this side has declared it.
    pub(crate) fn by_id(&self, id: u32) -> Option<Arc<Entry<C>>> {
        let entry = match self.assigns_ids {
            true => self.table.entry(id.checked_sub(1)?),
            false => self.table.by_id(id),
        };
        entry.cloned()
    }

    /// What the server calls `id`, whether or not it is declared here.
    pub(crate) fn announced_name(&self, id: u32) -> Option<String> {
        self.write().names.get(&id).cloned()
    }

    /// Everything declared here, in the order of its slots.
    pub(crate) fn infos(&self) -> Vec<RemoteInfo> {
        let entries = self.table.entries();
        entries.map(|entry| entry.info.clone()).collect()
    }

    /// On the server: the remotes from slot `from` on, with their ids.
    pub(crate) fn announcements(&self, from: u32) -> Vec<Announcement> {
        let new = self.table.entries().skip(from as usize);
        new.map(|entry| Announcement {
            id: entry.slot + 1,
            remote: entry.info.clone(),
        })
        .collect()
    }

    pub(crate) fn listen(&self, entry: &Entry<C>, once: bool, handler: EventHandler<C>) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let listener = Arc::new(Listener {
            number,
            once,
            taken: AtomicBool::new(false),
            handler,
        });
        entry.listeners.rcu(|listeners| {
            let mut listeners = Vec::clone(listeners);
            listeners.push(listener.clone());
            listeners
        });
        self.drop_late(entry);
        self.tell(Change::Listening);
        number
    }

    /// Sets the one handler of a function; the last one set is the one that runs (R50).
    pub(crate) fn answer(&self, entry: &Entry<C>, handler: Option<FunctionHandler<C>>) {
        entry
            .function
            .store(handler.map(|handler| Arc::new(Function(handler))));
        self.drop_late(entry);
        self.tell(Change::Listening);
    }

    /// Drops all handlers, those to come as well, and with them whatever they captured.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.table.entries().for_each(|entry| entry.clear());
    }

    /// Whoever sets a handler looks at this after it has: then one of the two sees the other.
    fn drop_late(&self, entry: &Entry<C>) {
        if self.closed.load(Ordering::SeqCst) {
            entry.clear();
        }
    }

    fn tell(&self, change: Change) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.notify(change);
    }

    fn notify(&self, change: Change) {
        if let Some(changed) = self.changed.get() {
            changed(change);
        }
    }

    fn write(&self) -> MutexGuard<'_, Announced> {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Entry<C> {
    /// Whether `remote`, which has the same name, is declared as this is.
    #[inline]
    fn is_of(&self, remote: &(impl Declared + ?Sized)) -> bool {
        self.declaration.types == remote.types() && self.declaration.kind == remote.kind_of()
    }

    /// The id on the wire, if the server has named one and means the same by the name.
    pub(crate) fn id(&self) -> Option<u32> {
        match self.id.load(Ordering::Acquire) {
            0 => None,
            id => Some(id),
        }
    }

    /// What the server declares under this name, where that differs from what is declared here.
    pub(crate) fn theirs(&self) -> Option<&RemoteInfo> {
        self.theirs.get()
    }

    /// Under the writers' lock.
    fn bind(&self, announcement: &Announcement, table: &Table<C>) {
        let Announcement { id, remote } = announcement;
        if self.info.differs(remote) {
            let _ = self.theirs.set(remote.clone());
        }
        table.bind(*id, self.slot);
        self.id.store(*id, Ordering::Release);
    }

    /// Says so if the server declares this remote differently.
    fn complain(&self) {
        if let Some(theirs) = self.theirs() {
            tracing::warn!(
                remote = self.spec.name,
                ours = describe(&self.info),
                theirs = describe(theirs),
                "the server declares this remote differently: it cannot be used"
            );
        }
    }

    fn check(&self, declaration: &Declaration) -> Result<(), DeclareError> {
        let name = self.spec.name;
        if self.declaration.kind != declaration.kind {
            let (declared, requested) = (self.declaration.kind, declaration.kind);
            return Err(DeclareError::Kind {
                name,
                declared,
                requested,
            });
        }
        if self.declaration.types != declaration.types {
            let requested = (declaration.shape)().unwrap_or_default();
            return Err(DeclareError::Types {
                name,
                declared: self.info.shape().into(),
                requested,
            });
        }
        Ok(())
    }

    pub(crate) fn function(&self) -> Option<FunctionHandler<C>> {
        self.function
            .load()
            .as_ref()
            .map(|function| function.0.clone())
    }

    fn clear(&self) {
        self.listeners.store(Arc::default());
        self.function.store(None);
    }

    pub(crate) fn forget(&self, number: u64) {
        self.listeners.rcu(|listeners| {
            let keep = |listener: &&Arc<Listener<C>>| listener.number != number;
            listeners.iter().filter(keep).cloned().collect::<Vec<_>>()
        });
    }

    pub(crate) fn listens(&self, number: u64) -> bool {
        self.listeners
            .load()
            .iter()
            .any(|listener| listener.number == number && !listener.taken.load(Ordering::Acquire))
    }

    /// Whether a handler may leave a future behind.
    pub(crate) fn waits(&self) -> bool {
        let listeners = self.listeners.load();
        listeners.iter().any(|listener| listener.handler.waits)
    }

    /// Gives an event to every handler. Futures that are not ready are left in `pending`.
    pub(crate) fn dispatch(
        &self,
        context: &C,
        payload: &[u8],
        pending: &mut Vec<HandlerFuture<()>>,
    ) -> Dispatch {
        self.tell_all(&self.listeners.load(), context, payload, pending)
    }

    fn tell_all(
        &self,
        listeners: &[Arc<Listener<C>>],
        context: &C,
        payload: &[u8],
        pending: &mut Vec<HandlerFuture<()>>,
    ) -> Dispatch {
        let heard = listeners
            .iter()
            .map(|listener| self.hear(listener, context, payload, pending));
        heard.max().unwrap_or(Dispatch::Unheard)
    }

    /// Gives an event that waited to the first handler alone, even if there are more by now (R32).
    pub(crate) fn dispatch_early(
        &self,
        context: &C,
        payload: &[u8],
        pending: &mut Vec<HandlerFuture<()>>,
    ) -> Dispatch {
        let listeners = self.listeners.load();
        let mut heard = listeners
            .iter()
            .map(|listener| self.hear(listener, context, payload, pending));
        heard
            .find(|heard| *heard != Dispatch::Unheard)
            .unwrap_or(Dispatch::Unheard)
    }

    fn hear(
        &self,
        listener: &Listener<C>,
        context: &C,
        payload: &[u8],
        pending: &mut Vec<HandlerFuture<()>>,
    ) -> Dispatch {
        let claim = || {
            if !listener.once {
                return true;
            }
            let first = !listener.taken.swap(true, Ordering::AcqRel);
            if first {
                // Disconnected before it runs, so that it may connect itself again (R90).
                self.forget(listener.number);
            }
            first
        };
        match (listener.handler.call)(context, payload, &claim) {
            Heard::Ran(Ok(())) | Heard::Panicked => Dispatch::Dispatched,
            Heard::Ran(Err(error)) => {
                tracing::warn!(remote = self.spec.name, %error, "event handler failed");
                Dispatch::Dispatched
            }
            Heard::Pending(future) => {
                pending.push(future);
                Dispatch::Dispatched
            }
            Heard::Full => Dispatch::InboxFull,
            Heard::Nobody => Dispatch::Unheard,
            Heard::Undecodable(error) => {
                tracing::debug!(remote = self.spec.name, %error, "event does not decode");
                Dispatch::Undecodable
            }
        }
    }
}

/// Kind and shape in words, for reports of a mismatch.
pub(crate) fn describe(info: &RemoteInfo) -> String {
    match info.shape() {
        "" => info.kind().to_string(),
        shape => format!("{} of {shape}", info.kind()),
    }
}

/// What became of an event; the best that any handler made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dispatch {
    Unheard,
    Undecodable,
    InboxFull,
    Dispatched,
}

impl<C> fmt::Debug for Registry<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("remotes", &self.table.len())
            .finish()
    }
}
