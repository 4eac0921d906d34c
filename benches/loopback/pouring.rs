//! Both sides, given more than one thing at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use farfire::{Client, FireError};
use tokio::runtime::Builder;

use crate::{
    bare::Bare,
    clock::PAYLOAD,
    farfire_side::{CALL, Ours, SINKING, SUNK, body},
    throughput::wait_until,
};

impl Bare {
    /// Writes so many bytes in batches, and waits until they have arrived.
    pub(crate) fn pour(&self, bytes: usize, batch: usize) -> Duration {
        let (connection, sunk) = (self.connection.clone(), self.sunk.clone());
        sunk.store(0, Ordering::Relaxed);
        let began = Instant::now();
        self.here(async move {
            let mut send = connection.open_uni().await.unwrap();
            let chunk = Bytes::from(vec![0; batch]);
            let mut left = bytes;
            while left > 0 {
                let now = left.min(batch);
                send.write_chunk(chunk.slice(..now)).await.unwrap();
                left -= now;
            }
            send.finish().unwrap();
            let _ = send.stopped().await;
        });
        wait_until(|| sunk.load(Ordering::Relaxed) >= bytes);
        began.elapsed()
    }

    /// Sends datagrams, each when there is room; gives how many arrived.
    pub(crate) fn pour_datagrams(&self, count: usize) -> (usize, Duration) {
        let (connection, sunk) = (self.connection.clone(), self.sunk.clone());
        sunk.store(0, Ordering::Relaxed);
        let began = Instant::now();
        self.here(async move {
            let datagram = Bytes::from_static(&[0; PAYLOAD.len()]);
            for _ in 0..count {
                let sent = connection.send_datagram_wait(datagram.clone()).await;
                sent.unwrap();
            }
        });
        settle(&sunk, count, began)
    }

    pub(crate) fn many_calls(&self, count: usize, at_once: usize) -> Duration {
        let connection = self.connection.clone();
        let began = Instant::now();
        self.here(async move {
            let each = count / at_once;
            let caller = |connection: quinn::Connection| async move {
                for _ in 0..each {
                    let (mut send, mut receive) = connection.open_bi().await.unwrap();
                    send.write_all(&PAYLOAD).await.unwrap();
                    send.finish().unwrap();
                    receive.read_to_end(1024).await.unwrap();
                }
            };
            let callers: Vec<_> = (0..at_once)
                .map(|_| tokio::spawn(caller(connection.clone())))
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
        });
        began.elapsed()
    }
}

impl Ours {
    /// Fires one by one, waiting only where the outbox is full, until all have arrived.
    pub(crate) fn pour_reliable(&self, count: usize) -> Duration {
        self.sunk.store(0, Ordering::Relaxed);
        let began = Instant::now();
        for _ in 0..count {
            while let Err(error) = self.client.fire_server(&SUNK, &body()) {
                assert!(matches!(error, FireError::QueueFull { .. }), "{error}");
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        wait_until(|| self.sunk.load(Ordering::Relaxed) >= count);
        began.elapsed()
    }

    /// Fires one by one, each when there is room or without asking; gives how many arrived.
    pub(crate) fn pour_unreliable(&self, count: usize, patient: bool) -> (usize, Duration) {
        self.sunk.store(0, Ordering::Relaxed);
        let program = Builder::new_current_thread().build().unwrap();
        let began = Instant::now();
        program.block_on(async {
            for _ in 0..count {
                match patient {
                    true => self.client.fire_server_async(&SINKING, &body()).await,
                    false => self.client.fire_server(&SINKING, &body()),
                }
                .unwrap();
            }
        });
        settle(&self.sunk, count, began)
    }

    /// Each call is made in the callback of one before.
    pub(crate) fn many_calls(&self, count: usize, at_once: usize) -> Duration {
        let (done, wait) = mpsc::channel();
        let calls = Arc::new(Calls {
            unmade: AtomicUsize::new(count),
            unanswered: AtomicUsize::new(count),
            done,
        });
        let began = Instant::now();
        for _ in 0..at_once {
            next(self.client.clone(), calls.clone());
        }
        drop(calls);
        wait.recv().unwrap();
        began.elapsed()
    }
}

/// What is left of the calls of one round.
struct Calls {
    unmade: AtomicUsize,
    unanswered: AtomicUsize,
    /// Told of the last answer only: bare quinn's callers tell nobody of each, and a thread that is told takes
    /// turns with theirs.
    done: mpsc::Sender<()>,
}

fn next(client: Client, calls: Arc<Calls>) {
    let take = |unmade: usize| unmade.checked_sub(1);
    let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
    if calls.unmade.fetch_update(set, fetch, take).is_err() {
        return;
    }
    client.invoke_server(&CALL, &body()).then(move |result| {
        result.unwrap();
        if calls.unanswered.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = calls.done.send(());
        }
        next(client, calls);
    });
}

/// Waits until all have arrived, or no more come; gives how many did, and how long it took to the last.
fn settle(sunk: &AtomicUsize, count: usize, began: Instant) -> (usize, Duration) {
    let (mut arrived, mut last) = (0, Instant::now());
    while arrived < count && last.elapsed() < QUIET {
        let now = sunk.load(Ordering::Relaxed);
        if now > arrived {
            (arrived, last) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    (arrived, last.duration_since(began))
}

/// Nothing is on its way any more.
const QUIET: Duration = Duration::from_millis(100);
