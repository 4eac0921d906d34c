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

use super::Link;
use crate::{
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
    signal: Notify,
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

impl Hub {
    pub(crate) fn new(thread: usize, limit: usize) -> Arc<Self> {
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
            signal: Notify::new(),
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
            self.signal.notify_one();
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
            self.signal.notify_one();
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
        self.signal.notify_one();
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
        let mut served = 0;
        let mut slice = Vec::with_capacity(SLICE);
        loop {
            self.signal.notified().await;
            let touched = std::mem::take(&mut *lock(&self.touched));
            for links in touched.chunks(SLICE) {
                links.iter().for_each(|link| link.wake_here());
                tokio::task::yield_now().await;
            }
            // Asked first: what is added from here on asks again.
            let due = self.due.swap(false, Ordering::AcqRel);
            let end = self.end();
            if !due || end == served {
                continue;
            }
            let mut after = None;
            loop {
                self.slice(after, &mut slice);
                let Some(last) = slice.last() else { break };
                after = Some(last.id);
                for link in slice.drain(..) {
                    link.catch_up();
                }
                // Arriving packets are not to wait for the whole fan-out.
                tokio::task::yield_now().await;
            }
            served = end;
            self.trim(end);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections served between two yields: about a third of a millisecond.
const SLICE: usize = 32;
/// What an entry costs beside its payload.
const ENTRY_OVERHEAD: usize = 128;
