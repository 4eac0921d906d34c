//! The identity that the server announces for later: told to the program, and kept with what is known of the server.
//!
//! Knows nothing about when it is announced.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::runtime::Handle;

use crate::{
    handler::guarded,
    tls::{KnownServers, NextIdentity, Pin},
};

type Hook = Arc<dyn Fn(NextIdentity) + Send + Sync>;

/// What one connection has heard of its server's next identity.
pub(super) struct Successor {
    heard: Mutex<Heard>,
    /// Where the server is kept, and as whom.
    entry: Option<(KnownServers, Pin)>,
    program: Handle,
}

#[derive(Default)]
struct Heard {
    next: Option<NextIdentity>,
    times: usize,
    hooks: Vec<Hook>,
    /// Nothing will be heard any more.
    closed: bool,
}

impl Successor {
    pub(super) fn new(entry: Option<(KnownServers, Pin)>, program: Handle) -> Self {
        Self {
            heard: Mutex::default(),
            entry,
            program,
        }
    }

    /// Has `hook` hear of it, at once if there is something to hear.
    pub(super) fn on_announced(&self, hook: Hook) {
        let next = {
            let mut heard = self.lock();
            if !heard.closed {
                heard.hooks.push(hook.clone());
            }
            heard.next
        };
        if let Some(next) = next {
            let _ = guarded(|| hook(next));
        }
    }

    /// The server says that it will have the identity `pin` after this time.
    pub(super) fn announced(&self, pin: Pin, after: Duration) {
        let from = SystemTime::now() + after.min(LONGEST);
        let next = NextIdentity { pin, from };
        let hooks = {
            let mut heard = self.lock();
            let is_new = heard.next.is_none_or(|known| known.pin != pin);
            // A server that changes its mind at every packet would have this side write as often.
            if !is_new || heard.times == MOST {
                return;
            }
            heard.times += 1;
            heard.next = Some(next);
            heard.hooks.clone()
        };
        for hook in hooks {
            let _ = guarded(|| hook(next));
        }
        let writing =
            (self.entry.as_ref()).and_then(|(known, current)| known.announced(*current, pin));
        if let Some(writing) = writing {
            // One at a time. Nobody waits for it: the server says it again at the next visit.
            self.program.spawn_blocking(move || {
                if let Err(error) = writing.run() {
                    tracing::warn!(%error, "the server's next identity is not remembered");
                }
            });
        }
    }

    /// Forgets the hooks, and those to come: they may hold the client.
    pub(super) fn close(&self) {
        let hooks = {
            let mut heard = self.lock();
            heard.closed = true;
            std::mem::take(&mut heard.hooks)
        };
        // What they hold is the program's, and is not dropped under the lock.
        drop(hooks);
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Successor").field(&self.lock().next).finish()
    }
}

/// More than any overlap, and short enough to be added to a clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Announcements of one connection that are listened to.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::{Weak, mpsc};

    use super::*;

    /// What a hook holds, and sets another when it goes.
    struct Last(Weak<Successor>);

    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(successor) = self.0.upgrade() {
                successor.on_announced(Arc::new(|_| ()));
            }
        }
    }

    #[tokio::test]
    async fn the_end_drops_what_hooks_hold_and_keeps_none_that_come_later() {
        let successor = Arc::new(Successor::new(None, Handle::current()));
        let last = Last(Arc::downgrade(&successor));
        successor.on_announced(Arc::new(move |_| _ = &last));
        let (done, closed) = mpsc::channel();
        let closing = successor.clone();
        std::thread::spawn(move || {
            closing.close();
            let _ = done.send(());
        });
        let closed = closed.recv_timeout(Duration::from_secs(20));
        closed.expect("no lock is held while the hooks go");
        let held = Arc::new(());
        let late = held.clone();
        successor.on_announced(Arc::new(move |_| _ = &late));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    /// However many threads the program has for what blocks.
    #[tokio::test]
    async fn of_several_announcements_the_last_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let known = KnownServers::open(folder.path().join("known.toml")).expect("no file yet");
        for round in 0..10 {
            let current = Pin::from_bytes([100 + round; 32]);
            let via = crate::tls::Via::Manual;
            known.accept(current, "", "", via).expect("a file");
            let entry = Some((known.clone(), current));
            let successor = Successor::new(entry, Handle::current());
            let pins = (1..=MOST as u8).map(|n| Pin::from_bytes([n; 32]));
            let last = pins.clone().next_back();
            pins.for_each(|pin| successor.announced(pin, Duration::ZERO));
            let begun = tokio::time::Instant::now();
            let next = || {
                known
                    .find(&current)
                    .expect("a file")
                    .expect("it is known")
                    .next
            };
            while next() != last {
                assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", next());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Nothing older comes after it: whoever writes has said so.
            while known
                .announced(current, last.expect("there are some"))
                .is_none()
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(next(), last);
        }
    }
}
