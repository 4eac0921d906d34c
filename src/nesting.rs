//! How deep the running handler is in calls that called each other (H18).
//!
//! A handler that makes a call whose handler makes a call, and so on without end, would use up the
//! permits of both sides and then wait for its deadlines. So calls carry their depth, and a call
//! learns it from the handler that makes it. Knows nothing about handlers, nor what a call is.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
};

thread_local! {
    static DEPTH: Cell<u8> = const { Cell::new(0) };
}

/// The depth of a call that is made here: 0 outside handlers of calls.
pub(crate) fn depth() -> u8 {
    DEPTH.get()
}

/// Runs what a call of `depth` runs: the calls that it makes are one deeper.
pub(crate) fn within<T>(depth: u8, run: impl FnOnce() -> T) -> T {
    let _outer = Outer(DEPTH.replace(depth.saturating_add(1)));
    run()
}

/// A future of a call's handler; whoever polls it, what it calls is one deeper than the call.
pub(crate) struct Nested<F> {
    pub(crate) depth: u8,
    pub(crate) future: F,
}

impl<F: Future + Unpin> Future for Nested<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let depth = self.depth;
        within(depth, || Pin::new(&mut self.future).poll(cx))
    }
}

/// What was there before, and is again, also after a panic.
struct Outer(u8);

impl Drop for Outer {
    fn drop(&mut self) {
        DEPTH.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, task::Waker};

    use super::*;

    #[test]
    fn what_runs_within_a_call_is_one_deeper() {
        assert_eq!(depth(), 0);
        within(0, || {
            assert_eq!(depth(), 1);
            // Another call, which this one has nothing to do with, on the same thread.
            within(6, || assert_eq!(depth(), 7));
            assert_eq!(depth(), 1);
        });
        assert_eq!(depth(), 0);
        assert_eq!(within(u8::MAX, depth), u8::MAX);
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        let _ = catch_unwind(|| within(3, || panic!("on purpose")));
        assert_eq!(depth(), 0);
    }

    #[test]
    fn a_future_is_as_deep_wherever_it_is_polled() {
        let future = Box::pin(async {
            let first = depth();
            let mut waited = false;
            std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            (first, depth())
        });
        let mut nested = Nested { depth: 4, future };
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut nested).poll(&mut cx), Poll::Pending);
        assert_eq!(depth(), 0);
        let later = std::thread::spawn(move || {
            let mut cx = Context::from_waker(Waker::noop());
            Pin::new(&mut nested).poll(&mut cx)
        });
        assert_eq!(later.join().expect("no panic"), Poll::Ready((5, 5)));
    }
}
