//! Invocations: the caller's half of a call, with a deadline of its own.

use std::{
    fmt,
    future::{IntoFuture, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

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
        let thread = match &self.call {
            Ok(call) => self.network.thread_of(call.link.thread()),
            Err(_) => 0,
        };
        let runtime = self.network.runtime(thread).clone();
        runtime.spawn(async move {
            let result = self.run().await;
            // A panic is logged, as a handler's is.
            let _ = guarded(|| callback(result));
        });
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
        let call = self.call?;
        if self.depth > MAX_CALL_DEPTH {
            return Err(InvokeError::TooDeep {
                limit: MAX_CALL_DEPTH,
            });
        }
        let longest = self.longest.min(MAX_TIMEOUT);
        let deadline = began + self.timeout.clamp(SHORTEST, longest);
        let slot = CallSlot::new();
        let outgoing = OutgoingCall {
            id: call.id,
            request: call.request,
            ordered: call.ordered,
            barrier: 0,
            depth: self.depth,
            deadline,
            reply_limit: call.reply_limit,
            slot: slot.clone(),
        };
        let link = call.link;
        if let Err(error) = link.submit(outgoing, call.announce) {
            return Err(match error {
                SubmitError::Full => InvokeError::Busy {
                    scope: BusyScope::LocalQueue,
                    retry_after: None,
                },
                SubmitError::Closed(reason) => InvokeError::Disconnected {
                    stage: Stage::Admit,
                    reason,
                },
            });
        }
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
                return Poll::Ready(Err(match waiting.link.parting() {
                    Some(reason) => InvokeError::Disconnected { stage, reason },
                    None => InvokeError::Timeout {
                        stage,
                        elapsed: self.network.now().duration_since(began),
                    },
                }));
            }
        })
        .await;
        waiting.over = true;
        drop(waiting);
        let body = result?;
        handler::arguments(&body).map_err(|error| {
            tracing::debug!(%error, "a result does not decode");
            InvokeError::Decode {
                what: What::Response,
            }
        })
    }
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
        let stage = self.slot.give_up(code)?;
        if stage == Stage::Admit {
            self.link.withdraw(&self.slot);
        }
        Some(stage)
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
