//! Invocations: the caller's half of a call, with a deadline of its own.

mod callback;

use std::{
    fmt,
    future::{IntoFuture, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use self::callback::{Callback, run_later};
use crate::{
    blocking::{may_not_block, wait},
    codec::{self, EncodeError},
    config::{MAX_TIMEOUT, Timeouts},
    handler::{self, guarded},
    link::{
        Link, SubmitError,
        call::{BusyScope, CallSlot, InvokeError, OutgoingCall, Stage, What},
    },
    nesting,
    network::Network,
    registry::{Entry, describe},
    remote::Payload,
    wire::{
        MAX_CALL_DEPTH,
        code::CallCode,
        invoke::MAX_REQUEST_HEADER,
        remote::{Announcement, RemoteInfo},
    },
};

/// A call that is about to be made: `.await` it, after choosing a [`timeout`](Self::timeout) if the
/// default will not do.
///
/// The arguments are encoded when it is made, the call goes out when it is first awaited.
///
/// A call that is made in the handler of another is *within* that one. At most 8 calls may be within each
/// other, from either side; the next is [`InvokeError::TooDeep`], so that handlers which call each other
/// without end are found out, and do not wait for their deadlines. What counts is where `invoke_server` or
/// `invoke_client` is called: in a task that a handler spawned it is in no handler.
///
/// # Cancel safety
///
/// Dropping the future cancels the call: the stream is reset, and a handler that has not begun does
/// not begin. A handler on the server that has begun runs to its end, unless the function is declared
/// [cancellable](crate::RemoteFunction::cancellable).
#[must_use = "a call is made when it is awaited"]
pub struct Invocation<R> {
    call: Result<Prepared, InvokeError>,
    name: &'static str,
    timeout: Duration,
    longest: Duration,
    /// Within how many other calls it is made, as far as that is known where it is made.
    depth: u8,
    network: Network,
    result: PhantomData<fn() -> R>,
}

/// Everything a call needs but its deadline.
pub(crate) struct Prepared {
    pub(crate) link: Arc<Link>,
    id: u32,
    request: Vec<u8>,
    ordered: bool,
    reply_limit: usize,
    announce: Box<dyn FnOnce(u32) -> Vec<Announcement> + Send>,
}

impl Prepared {
    /// Encodes the arguments of a call to `id` of `entry`.
    pub(crate) fn new<A: Payload, C>(
        link: Arc<Link>,
        entry: &Entry<C>,
        id: u32,
        args: &A,
        (request_limit, reply_limit): (usize, usize),
        announce: impl FnOnce(u32) -> Vec<Announcement> + Send + 'static,
    ) -> Result<Self, InvokeError> {
        let own = |direction: usize| {
            entry
                .spec
                .policy
                .max_payload
                .map_or(direction, |own| own.min(direction))
        };
        let mut request = Vec::with_capacity(MAX_REQUEST_HEADER + SMALL_ARGUMENTS);
        request.resize(MAX_REQUEST_HEADER, 0);
        codec::encode(args, &mut request, own(request_limit)).map_err(|error| match error {
            EncodeError::TooLarge { limit, .. } => InvokeError::TooLarge {
                what: What::Request,
                limit,
            },
            error => InvokeError::Encode(error),
        })?;
        Ok(Self {
            link,
            id,
            request,
            ordered: !entry.spec.policy.unordered,
            reply_limit: own(reply_limit),
            announce: Box::new(announce),
        })
    }

    /// Itself, unless it is within too many others.
    fn within_depth(self, depth: u8) -> Result<Self, InvokeError> {
        match depth > MAX_CALL_DEPTH {
            true => Err(InvokeError::TooDeep {
                limit: MAX_CALL_DEPTH,
            }),
            false => Ok(self),
        }
    }

    /// Puts it in line.
    fn submit(self, depth: u8, deadline: Instant, slot: Arc<CallSlot>) -> Result<(), InvokeError> {
        let call = OutgoingCall {
            id: self.id,
            request: self.request,
            ordered: self.ordered,
            barrier: 0,
            depth,
            deadline,
            reply_limit: self.reply_limit,
            slot,
        };
        let submitted = self.link.submit(call, self.announce);
        submitted.map_err(|error| match error {
            SubmitError::Full => InvokeError::Busy {
                scope: BusyScope::LocalQueue,
                retry_after: None,
            },
            SubmitError::Closed(reason) => InvokeError::Disconnected {
                stage: Stage::Admit,
                reason,
            },
        })
    }
}

impl<R: Payload> Invocation<R> {
    pub(crate) fn new(
        name: &'static str,
        timeout: Duration,
        timeouts: &Timeouts,
        network: Network,
        call: Result<Prepared, InvokeError>,
    ) -> Self {
        Self {
            call,
            name,
            timeout,
            longest: timeouts.call_max,
            depth: nesting::depth(),
            network,
            result: PhantomData,
        }
    }

    /// Sets how long the call may take in all, from being awaited to the decoded result.
    ///
    /// Held between one millisecond and the longest that the configuration allows, which is 60 s at
    /// most: there is no call without an end.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the call and blocks this thread until it resolves.
    ///
    /// # Errors
    ///
    /// As awaiting it, and [`InvokeError::WouldBlock`] on a thread of an asynchronous runtime or of the
    /// network, which would stand still.
    pub fn blocking(self) -> Result<R, InvokeError> {
        if may_not_block() {
            return Err(InvokeError::WouldBlock);
        }
        wait(self.into_future())
    }

    /// Makes the call now, and runs `callback` with its result on the network's thread.
    ///
    /// For programs that do not await: the callback runs exactly once, by the deadline, and must not
    /// block. A call made in the callback of another never leaves the network's thread.
    pub fn then(self, callback: impl FnOnce(Result<R, InvokeError>) + Send + 'static) {
        let began = self.network.now();
        let deadline = self.deadline(began);
        let (network, name) = (self.network, self.name);
        let call = self.call.and_then(|call| call.within_depth(self.depth));
        let call = match call {
            Ok(call) => call,
            Err(error) => {
                let error = error.about(name, network.now().duration_since(began));
                return run_later(&network, 0, callback, error);
            }
        };
        let (slot, link) = (CallSlot::new(), call.link.clone());
        let times = (name, began, deadline);
        let callback = Callback::start(&slot, link.clone(), network, times, callback);
        match call.submit(self.depth, deadline, slot.clone()) {
            // Its deadline may have come before it was in line.
            Ok(()) if !slot.is_waiting() => link.withdraw(&slot),
            Ok(()) => {}
            Err(error) => callback.refuse(error),
        }
    }

    fn deadline(&self, began: Instant) -> Instant {
        let longest = self.longest.min(MAX_TIMEOUT);
        began + self.timeout.clamp(SHORTEST, longest)
    }

    async fn run(self) -> Result<R, InvokeError> {
        let network = self.network.clone();
        let began = network.now();
        let name = self.name;
        self.resolve(began)
            .await
            .map_err(|error| error.about(name, network.now().duration_since(began)))
    }

    async fn resolve(self, began: Instant) -> Result<R, InvokeError> {
        let deadline = self.deadline(began);
        let call = self.call?.within_depth(self.depth)?;
        let (slot, link) = (CallSlot::new(), call.link.clone());
        call.submit(self.depth, deadline, slot.clone())?;
        // Gives the call up when it is dropped, and does nothing once there is a result.
        let mut waiting = Waiting {
            slot,
            link,
            over: false,
        };
        // Kept by the network's timer, not by the runtime that awaits, if any.
        let sleep = self.network.sleep_until(deadline);
        let mut sleep = pin!(sleep);
        let result = poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = waiting.slot.poll_result(cx) {
                    return Poll::Ready(result);
                }
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // Nothing to give up: the result came at the last moment.
                let Some(stage) = waiting.give_up(CallCode::CALLER_DEADLINE) else {
                    continue;
                };
                let elapsed = self.network.now().duration_since(began);
                return Poll::Ready(Err(waiting.link.overdue(stage, elapsed)));
            }
        })
        .await;
        waiting.over = true;
        drop(waiting);
        decoded(&result?)
    }
}

/// What a reply says, in the caller's type.
fn decoded<R: Payload>(body: &[u8]) -> Result<R, InvokeError> {
    handler::arguments(body).map_err(|error| {
        // Whoever listens to the log must not keep a callback from running.
        let _ = guarded(|| tracing::debug!(%error, "a result does not decode"));
        InvokeError::Decode {
            what: What::Response,
        }
    })
}

impl<R: Payload> IntoFuture for Invocation<R> {
    type Output = Result<R, InvokeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<R> fmt::Debug for Invocation<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("function", &self.name)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A caller that waits.
struct Waiting {
    slot: Arc<CallSlot>,
    link: Arc<Link>,
    /// There is a result.
    over: bool,
}

impl Waiting {
    /// Waits no longer. Gives how far the call had come; nothing if it has its result already.
    fn give_up(&self, code: CallCode) -> Option<Stage> {
        self.link.give_up(&self.slot, code)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over {
            self.give_up(CallCode::CANCELLED);
        }
    }
}

/// The error of a function that the other side declares differently.
pub(crate) fn mismatch(name: &'static str, ours: &RemoteInfo, theirs: &RemoteInfo) -> InvokeError {
    InvokeError::SignatureMismatch {
        name,
        ours: describe(ours),
        theirs: describe(theirs),
    }
}

/// Less than a timer can tell is no time at all.
const SHORTEST: Duration = Duration::from_millis(1);
/// What most arguments fit in.
const SMALL_ARGUMENTS: usize = 96;
