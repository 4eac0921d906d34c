//! Waiting for a future on a plain thread: how a program without a runtime uses what is asynchronous.
//!
//! Knows nothing about what is waited for.

use std::{
    future::IntoFuture,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crate::network;

/// Waits for a future of this library on the current thread, which sleeps meanwhile.
///
/// For programs without an asynchronous runtime: everything in farfire that is `async` may be waited for
/// like this, [`Inbox::recv`](crate::Inbox::recv), [`Server::next_server_event`](crate::Server::next_server_event),
/// [`Gather::next`](crate::Gather::next) and [`Client::wait_for_remote`](crate::Client::wait_for_remote) among
/// it. Futures of other libraries may want a runtime of their own, and panic or never end without it.
///
/// ```
/// # use farfire::{BlockError, Client, RemoteEvent, Server, block_on, tls::{Identity, Trust}};
/// const READY: RemoteEvent<u32> = RemoteEvent::new("Ready");
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::self_signed(["localhost"])?;
/// let server = Server::builder("127.0.0.1:0", identity).remotes(&[&READY]).start()?;
/// let mut ready = server.server_events(&READY);
/// let trust = Trust::pinned([server.pin()]);
/// let client = Client::builder(server.local_addr().to_string(), trust).connect_blocking()?;
/// client.fire_server(&READY, &7)?;
/// let (player, number) = block_on(ready.recv())?.expect("the server runs");
/// assert_eq!((player.id(), number), (client.local_player().id, 7));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`BlockError::WouldBlock`] on a thread of an asynchronous runtime or of the network, which would stand
/// still. The future has not been polled then, and is dropped.
pub fn block_on<F: IntoFuture>(future: F) -> Result<F::Output, BlockError> {
    match may_not_block() {
        true => Err(BlockError::WouldBlock),
        false => Ok(wait(future.into_future())),
    }
}

/// The same as [`block_on`], for `timeout` at most.
///
/// # Errors
///
/// As [`block_on`], and [`BlockError::TimedOut`], after which the future is dropped: what that means, it
/// says under "Cancel safety".
pub fn block_on_for<F: IntoFuture>(timeout: Duration, future: F) -> Result<F::Output, BlockError> {
    if may_not_block() {
        return Err(BlockError::WouldBlock);
    }
    // Later than any clock is never.
    let deadline = Instant::now().checked_add(timeout);
    wait_until(deadline, future.into_future()).ok_or(BlockError::TimedOut { waited: timeout })
}

/// Whether blocking here would stall a runtime or the network.
pub(crate) fn may_not_block() -> bool {
    network::current_thread() != 0 || tokio::runtime::Handle::try_current().is_ok()
}

/// Waits, wherever this is.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    wait_until(None, future).expect("without a deadline it waits for the end")
}

fn wait_until<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let Some(deadline) = deadline else {
            thread::park();
            continue;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// Why [`block_on`] gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// It was called on a thread of an asynchronous runtime or of the network.
    #[error("waiting here would stall a runtime: await the future instead")]
    WouldBlock,
    /// The time was up.
    #[error("not ready after {waited:?}")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
}
