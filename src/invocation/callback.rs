//! Callbacks: the caller's half of a call that nobody awaits.
//!
//! No task waits for the result: who brings it runs the callback, and the timer thread gives the call up by its
//! deadline. Knows nothing about how the call goes out.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
    time::Instant,
};

use bytes::Bytes;

use super::decoded;
use crate::{
    handler::guarded,
    link::{
        Link,
        call::{CallSlot, InvokeError, Listener},
    },
    network::{Deadline, Network},
    remote::Payload,
    wire::code::CallCode,
};

pub(super) struct Callback<R, F> {
    slot: Arc<CallSlot>,
    link: Arc<Link>,
    network: Network,
    name: &'static str,
    began: Instant,
    /// Until it has been taken to run; whoever takes it decides with what.
    waiting: Mutex<Option<Waiting<F>>>,
    result: PhantomData<fn() -> R>,
}

struct Waiting<F> {
    callback: F,
    /// Taken out of the network's queue when it is dropped.
    deadline: Deadline,
}

impl<R: Payload, F: FnOnce(Result<R, InvokeError>) + Send + 'static> Callback<R, F> {
    /// Has `callback` run with the result of the call to `name` that `slot` is of, or by `deadline`.
    pub(super) fn start(
        slot: &Arc<CallSlot>,
        link: Arc<Link>,
        network: Network,
        (name, began, deadline): (&'static str, Instant, Instant),
        callback: F,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            slot: slot.clone(),
            waiting: Mutex::new(Some(Waiting {
                callback,
                deadline: network.sleep_until(deadline),
            })),
            link,
            network,
            name,
            began,
            result: PhantomData,
        });
        slot.listen(this.clone());
        let waker = Waker::from(this.clone());
        if let Some(waiting) = &mut *this.lock() {
            // From here on it may be woken, and waits for this lock then.
            let deadline = Pin::new(&mut waiting.deadline);
            let _ = deadline.poll(&mut Context::from_waker(&waker));
        }
        this
    }

    /// Runs it with an error, as the call found no place in line: nobody else brings one, or lets go of it.
    pub(super) fn refuse(&self, error: InvokeError) {
        self.slot.give_up(CallCode::CANCELLED);
        self.fail(error);
    }

    /// Runs it with an error, after whoever brings it is done with whatever it does.
    fn fail(&self, error: InvokeError) {
        let Some(callback) = self.take() else { return };
        let thread = self.network.thread_of(self.link.thread());
        run_later(&self.network, thread, callback, self.about(error));
    }

    fn about(&self, error: InvokeError) -> InvokeError {
        let took = self.network.now().duration_since(self.began);
        error.about(self.name, took)
    }

    fn take(&self) -> Option<F> {
        // Neither the callback nor the deadline is dropped under the lock.
        let waiting = self.lock().take();
        waiting.map(|Waiting { callback, .. }| callback)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting<F>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Payload, F: FnOnce(Result<R, InvokeError>) + Send + 'static> Listener for Callback<R, F> {
    /// A result is brought by the task of the connection, on the thread that the callback belongs to, and there
    /// are no more of them in a turn than replies have arrived: it is heard at once. An error may come from
    /// anywhere, and a callback that calls again may have the next one at once.
    fn hear(&self, result: Result<Bytes, InvokeError>) {
        let body = match result {
            Ok(body) => body,
            Err(error) => return self.fail(error),
        };
        if let Some(callback) = self.take() {
            run(callback, decoded(&body).map_err(|error| self.about(error)));
        }
    }
}

/// The deadline has come.
impl<R: Payload, F: FnOnce(Result<R, InvokeError>) + Send + 'static> Wake for Callback<R, F> {
    fn wake(self: Arc<Self>) {
        let (slot, link) = (&self.slot, &self.link);
        // Nothing to give up: the result came at the last moment, and is heard.
        if let Some(stage) = link.give_up(slot, CallCode::CALLER_DEADLINE) {
            self.fail(link.overdue(stage, self.network.now().duration_since(self.began)));
        }
    }
}

/// Runs a callback with an error, in a task on that thread.
pub(super) fn run_later<R: 'static>(
    network: &Network,
    thread: usize,
    callback: impl FnOnce(Result<R, InvokeError>) + Send + 'static,
    error: InvokeError,
) {
    // The thread ends with the last handle of its network, whatever is still to run there.
    let kept = network.clone();
    network.runtime(thread).spawn(async move {
        run(callback, Err(error));
        drop(kept);
    });
}

/// A panic is logged, as a handler's is.
fn run<R>(callback: impl FnOnce(Result<R, InvokeError>), result: Result<R, InvokeError>) {
    let _ = guarded(|| callback(result));
}
