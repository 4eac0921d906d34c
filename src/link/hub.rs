//! The hub of one network thread: broadcasts, and who has something to send.
//!
//! A broadcast is appended once to the hub's log; each connection keeps a cursor into it and takes the
//! entries up to its end whenever anything touches its outbox, so that no later event can overtake an
//! earlier broadcast. The hub's task visits those that nothing has touched, in slices. It knows
//! nothing about streams.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Link, State};
use crate::{
    config::Flush,
    remote::{Policy, RemoteKind},
    wire::remote::Announcement,
};

pub(crate) struct Hub {
    thread: usize,
    log: Mutex<Log>,
    /// The log's end, readable without the lock.
    end: AtomicU64,
    links: Mutex<BTreeMap<u64, Arc<Link>>>,
    /// Links that were touched from other threads, and are to be woken.
    touched: Mutex<Vec<Arc<Link>>>,
    /// Links that have something to send at the next flush.
    parked: Mutex<Vec<Arc<Link>>>,
    /// The log is to be handed out, and what is in it to be sent.
    due: AtomicBool,
    signal: Signal,
}

/// How the hub's task hears that there is something to do.
struct Signal {
    /// The thread never sleeps: the task looks, and waking it would take a system call for nothing.
    polls: bool,
    given: AtomicBool,
    notify: Notify,
}

struct Log {
    entries: VecDeque<Arc<Broadcast>>,
    /// The number of the first entry.
    start: u64,
    bytes: usize,
    limit: usize,
}

/// An event for everyone, encoded once.
#[derive(Debug)]
pub(crate) struct Broadcast {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) kind: RemoteKind,
    pub(crate) policy: Policy,
    pub(crate) payload: Bytes,
    pub(crate) except: Option<u64>,
}

impl Signal {
    fn give(&self) {
        match self.polls {
            true => self.given.store(true, Ordering::Release),
            false => self.notify.notify_one(),
        }
    }

    async fn wait(&self) {
        if !self.polls {
            return self.notify.notified().await;
        }
        while !self.given.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        self.given.swap(false, Ordering::AcqRel);
    }
}

/// Handing the log out to everybody, as far as it has come.
struct Visit {
    /// The end of the log when it began.
    end: u64,
    /// The last link that was visited.
    after: Option<u64>,
}

impl Hub {
    /// For the network thread of this number; `polls` if that never sleeps.
    pub(crate) fn new(thread: usize, limit: usize, polls: bool) -> Arc<Self> {
        Arc::new(Self {
            thread,
            log: Mutex::new(Log {
                entries: VecDeque::new(),
                start: 0,
                bytes: 0,
                limit,
            }),
            end: AtomicU64::new(0),
            links: Mutex::default(),
            touched: Mutex::default(),
            parked: Mutex::default(),
            due: AtomicBool::new(false),
            signal: Signal {
                polls,
                given: AtomicBool::new(false),
                notify: Notify::new(),
            },
        })
    }

    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// Appends an event for everyone; [`is_full`](Self::is_full) says beforehand if there is no room.
    pub(crate) fn broadcast(&self, broadcast: Arc<Broadcast>, wake: bool) {
        let crowded = {
            let mut log = lock(&self.log);
            log.bytes += broadcast.payload.len() + ENTRY_OVERHEAD;
            log.entries.push_back(broadcast);
            self.end
                .store(log.start + log.entries.len() as u64, Ordering::Release);
            log.bytes * 2 > log.limit
        };
        // Under `Flush::Tick` a log that fills up does not wait for the tick.
        if wake || crowded {
            self.due.store(true, Ordering::Release);
            self.signal.give();
        }
    }

    /// Bytes waiting and the limit, if there is no room for `broadcast`.
    pub(crate) fn is_full(&self, broadcast: &Broadcast) -> Option<(usize, usize)> {
        let log = lock(&self.log);
        let full =
            log.bytes > 0 && log.bytes + broadcast.payload.len() + ENTRY_OVERHEAD > log.limit;
        full.then_some((log.bytes, log.limit))
    }

    /// Bytes of broadcasts that not everyone has taken.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.log).bytes
    }

    /// The position from which a player takes broadcasts that joins now.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Gives every entry from `cursor` on to `take`, and returns the new cursor.
    pub(super) fn read(&self, cursor: u64, mut take: impl FnMut(&Broadcast)) -> u64 {
        let log = lock(&self.log);
        // Entries before the start have been taken by everyone who was there.
        let skip = cursor.saturating_sub(log.start) as usize;
        log.entries
            .iter()
            .skip(skip)
            .for_each(|broadcast| take(broadcast));
        log.start + log.entries.len() as u64
    }

    pub(crate) fn add(&self, link: Arc<Link>) {
        lock(&self.links).insert(link.id, link);
    }

    pub(crate) fn remove(&self, id: u64) {
        // Dropped when the lock is released, should it be the last: it holds what is the program's.
        let link = lock(&self.links).remove(&id);
        drop(link);
    }

    /// Wakes a link from another thread, together with the others touched at the same time.
    pub(super) fn touch(&self, link: Arc<Link>) {
        let first = {
            let mut touched = lock(&self.touched);
            touched.push(link);
            touched.len() == 1
        };
        if first {
            self.signal.give();
        }
    }

    /// Notes a link that has something to send at the next flush.
    ///
    /// Marked under the lock: whoever sees the mark and flushes finds the link in the list.
    pub(super) fn park(&self, link: &Arc<Link>) {
        let mut parked = lock(&self.parked);
        if !link.parked.swap(true, Ordering::AcqRel) {
            parked.push(link.clone());
        }
    }

    /// Sends everything that was accepted.
    pub(crate) fn flush(&self) {
        let parked = std::mem::take(&mut *lock(&self.parked));
        for link in parked {
            link.flush();
        }
        self.due.store(true, Ordering::Release);
        self.signal.give();
    }

    /// Tells every client of the remotes up to `id`.
    pub(crate) fn announce_all(&self, id: u32, announce: impl Fn(u32) -> Vec<Announcement>) {
        let links: Vec<_> = lock(&self.links).values().cloned().collect();
        for link in links {
            link.announce(id, &announce);
        }
    }

    /// Has every connection look at the registry again.
    pub(crate) fn wake_all(&self) {
        let links: Vec<_> = lock(&self.links).values().cloned().collect();
        for link in links {
            link.wake();
        }
    }

    /// How many links it holds on to, and how many broadcasts.
    #[cfg(feature = "testing")]
    pub(crate) fn leftovers(&self) -> (usize, usize) {
        let held = lock(&self.touched).len() + lock(&self.parked).len();
        (
            lock(&self.links).len() + held,
            lock(&self.log).entries.len(),
        )
    }

    /// The hub's task, on its network thread; runs until it is dropped with its runtime or aborted.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut touched = VecDeque::new();
        let mut slice = Vec::with_capacity(SLICE);
        // The end up to which everybody has been visited, and the visit under way.
        let (mut served, mut visit) = (0, None::<Visit>);
        loop {
            if touched.is_empty() && visit.is_none() {
                self.signal.wait().await;
            }
            // Those that somebody touched while a broadcast is handed out do not wait for its end.
            touched.extend(std::mem::take(&mut *lock(&self.touched)));
            let mut woken = 0;
            while woken < SLICE
                && let Some(link) = touched.pop_front()
            {
                // Whoever has had a turn since, as a packet came, has another entry for what was fired later.
                if link.alarm.is_scheduled() {
                    link.wake_here();
                    woken += 1;
                }
            }
            // Asked first: what is added from here on asks again.
            if visit.is_none() && self.due.swap(false, Ordering::AcqRel) {
                let end = self.end();
                visit = (end != served).then_some(Visit { end, after: None });
            }
            if let Some(Visit { end, after }) = &mut visit {
                self.slice(*after, &mut slice);
                *after = slice.last().map(|link| link.id);
                slice.drain(..).for_each(|link| link.catch_up());
                if after.is_none() {
                    served = *end;
                    self.trim(served);
                    visit = None;
                }
            }
            // Arriving packets are not to wait for the whole fan-out.
            tokio::task::yield_now().await;
        }
    }

    fn slice(&self, after: Option<u64>, slice: &mut Vec<Arc<Link>>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let links = lock(&self.links);
        let next = links.range((from, Bound::Unbounded)).take(SLICE);
        slice.extend(next.map(|(_, link)| link.clone()));
    }

    /// Forgets the entries before `end`, which every player has taken.
    fn trim(&self, end: u64) {
        let mut log = lock(&self.log);
        while log.start < end {
            let Some(gone) = log.entries.pop_front() else {
                break;
            };
            log.bytes -= gone.payload.len() + ENTRY_OVERHEAD;
            log.start += 1;
        }
    }
}

impl Link {
    /// Takes the broadcasts that this player has not taken yet, and has them sent; for the thread of its task.
    fn catch_up(self: &Arc<Self>) {
        let (left, sent) = {
            let mut state = self.lock();
            let news = self.apply_log(&mut state);
            // Others may have taken them already, and left them to the flush that this is.
            let news = news || (self.flush == Flush::Tick && !state.outbox.is_taken());
            state.due |= news;
            // Most have nothing else to send, and need no turn of their task for it.
            let sent = news && Self::is_at_leisure(&state) && self.hand_over(&mut state, false);
            let taken = state.outbox.is_taken();
            state.due &= self.flush == Flush::Immediate || !taken;
            (news && !taken || state.ending.is_some(), sent)
        };
        if sent {
            self.credit.give();
        }
        if left {
            self.wake_here();
        }
    }

    /// Whether there is nothing to send but unreliable events, and they need not wait.
    fn is_at_leisure(state: &State) -> bool {
        state.ending.is_none()
            && state.calls.is_empty()
            && state.outbox.has_only_unreliable()
            && !state.outbox.is_blocked()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections served between two yields.
const SLICE: usize = 8;
/// What an entry costs beside its payload.
const ENTRY_OVERHEAD: usize = 128;
