//! Incoming calls: from the peer's stream to the handler and back.
//!
//! The connection's task owns the stream; the handler never does. A handler that is not ready at once
//! runs on the program's runtime and holds its permit until it ends, whether or not anybody waits.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    FutureExt,
    future::{Either, select},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{error::Elapsed, timeout, timeout_at},
};

use super::{
    Link, Wiring,
    call::{check_barrier, put_in_front},
    handlers::WaitingPlace,
    stream::{CollectError, Reader, Writer},
};
use crate::{
    clock,
    codec::EncodeError,
    config::MAX_TIMEOUT,
    handler::{
        Answer, CallFailure, FunctionHandler, HandlerFuture, IncidentId, guarded, incident_of,
    },
    inbox::Context as HandlerContext,
    nesting::{self, Nested},
    registry::Entry,
    remote::RemoteKind,
    session::{
        Side, Violation,
        budget::{Bucket, Offence, Offences},
    },
    wire::{
        code::CallCode,
        invoke::{
            MAX_REPLY_HEADER, MAX_REQUEST_HEADER, Reply, RequestHeader, decode_request,
            put_ok_header,
        },
    },
};

/// What the calls of one peer share.
pub(super) struct Serving<C> {
    pub(super) wiring: Arc<Wiring<C>>,
    pub(super) context: C,
    pub(super) link: Arc<Link>,
    /// Places for calls that wait for a handler.
    unanswered: Arc<Semaphore>,
    /// Buckets of the functions that have a rate of their own.
    rates: Mutex<BTreeMap<u32, Bucket>>,
    offences: Arc<Offences>,
    calls_over: AtomicU64,
    bad_calls: AtomicU64,
}

impl<C: HandlerContext> Serving<C> {
    pub(super) fn new(
        wiring: Arc<Wiring<C>>,
        context: C,
        link: Arc<Link>,
        offences: Arc<Offences>,
    ) -> Arc<Self> {
        Arc::new(Self {
            unanswered: Arc::new(Semaphore::new(wiring.limits.calls_queued)),
            wiring,
            context,
            link,
            rates: Mutex::default(),
            offences,
            calls_over: AtomicU64::new(0),
            bad_calls: AtomicU64::new(0),
        })
    }

    /// Takes a call that the peer opened, or refuses it because it has too many under way. The future
    /// is of this side's half, and gives `done` at its end.
    pub(super) fn admit<T: Send + 'static>(
        self: &Arc<Self>,
        send: quinn::SendStream,
        recv: quinn::RecvStream,
        done: T,
    ) -> Option<Pin<Box<dyn Future<Output = T> + Send>>> {
        let limits = &self.wiring.limits;
        let send = Writer::new(send, CallCode::ABANDONED);
        let recv = Reader::new(recv, CallCode::ABANDONED);
        self.link.counts.calls_in.fetch_add(1, Ordering::Relaxed);
        let under_way = self.link.serving.fetch_add(1, Ordering::AcqRel);
        let place = Place(self.link.clone());
        if self.link.is_ending() {
            refuse(send, recv, CallCode::DRAINING);
            return None;
        }
        if under_way >= limits.calls_running + limits.calls_queued {
            refuse(send, recv, CallCode::BUSY);
            self.book(CallCode::BUSY);
            return None;
        }
        let serving = self.clone();
        Some(Box::pin(async move {
            let _place = place;
            serving.serve(send, recv).await;
            done
        }))
    }

    /// Counts a call that was refused as an offence, where the client is to blame.
    fn book(&self, code: CallCode) {
        if self.wiring.side == Side::Client {
            return;
        }
        let (offence, counter) = match code {
            CallCode::BUSY | CallCode::RATE_LIMITED => (Offence::CallRate, &self.calls_over),
            CallCode::UNKNOWN_FUNCTION
            | CallCode::REQUEST_TOO_LARGE
            | CallCode::REQUEST_MALFORMED
            | CallCode::CANCELLED => (Offence::BadCall, &self.bad_calls),
            _ => return,
        };
        let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::debug!(player = self.link.id, %offence, count, "calls refused");
            self.context.offended(offence, count);
        }
        if self.offences.one_too_many(clock::now()) {
            self.link.punish(&Violation::TooManyOffences);
        }
    }

    async fn serve(&self, mut send: Writer, mut recv: Reader) {
        let timeouts = &self.wiring.timeouts;
        let began = clock::now();
        let most = match self.wiring.side {
            Side::Server => self.wiring.limits.payload_from_client,
            Side::Client => self.wiring.limits.payload_from_server,
        };
        let request = {
            let read = pin!(recv.read_to_end(most + MAX_REQUEST_HEADER, || ()));
            within(timeouts.request_read, read).await
        };
        let request = match request {
            Ok(Ok(request)) => request,
            Ok(Err(CollectError::TooLarge)) => {
                self.book(CallCode::REQUEST_TOO_LARGE);
                return refuse(send, recv, CallCode::REQUEST_TOO_LARGE);
            }
            // The caller gave up, or is gone.
            Ok(Err(error @ (CollectError::Reset(_) | CollectError::Lost))) => {
                if matches!(error, CollectError::Reset(_)) {
                    self.book(CallCode::CANCELLED);
                }
                send.set_code(CallCode::CANCELLED);
                return;
            }
            Err(_) => return refuse(send, recv, CallCode::REQUEST_STALLED),
        };
        let Ok((header, body)) = decode_request(request) else {
            self.book(CallCode::REQUEST_MALFORMED);
            return refuse(send, recv, CallCode::REQUEST_MALFORMED);
        };
        drop(recv);

        let deadline = began + header.remaining.min(MAX_TIMEOUT);
        let verdict = {
            let mut work = pin!(self.work(&header, body, deadline));
            // Most handlers are done at once, and need neither a timer nor a look at the stream.
            match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
                Poll::Ready(verdict) => verdict,
                Poll::Pending => {
                    let work = pin!(timeout_at(deadline.into(), work));
                    match select(work, pin!(send.stopped())).await {
                        Either::Left((Ok(verdict), _)) => verdict,
                        Either::Left((Err(_), _)) => Verdict::system(CallCode::CALLEE_DEADLINE),
                        // Nobody waits any more. A handler that has begun goes on or not, as declared.
                        Either::Right(_) => {
                            send.set_code(CallCode::CANCELLED);
                            return;
                        }
                    }
                }
            }
        };
        if let Verdict::System { code, .. } = &verdict {
            self.book(*code);
        }
        // One that gave up order waits for no events, and has none sent early.
        let barrier = header.barrier.map_or(0, |_| self.link.reply_barrier());
        let reply = verdict.into_reply(barrier);
        let write = pin!(send.write_last(reply));
        if within(timeouts.reply_write, write).await.is_err() {
            tracing::debug!(player = self.link.id, "a reply was not taken in time");
        }
    }

    /// Everything between the request and the verdict; the caller bounds it.
    async fn work(&self, header: &RequestHeader, body: Bytes, deadline: Instant) -> Verdict {
        if let Some(barrier) = header.barrier {
            if check_barrier(&self.link, barrier).is_err() {
                return Verdict::system(CallCode::REQUEST_MALFORMED);
            }
            self.link.passed.reach(barrier).await;
        }
        let entry = match self.answered(header.function).await {
            Ok(entry) => entry,
            Err(code) => return Verdict::system(code),
        };
        if entry
            .spec
            .policy
            .max_payload
            .is_some_and(|most| body.len() > most)
        {
            return Verdict::system(CallCode::REQUEST_TOO_LARGE);
        }
        if !self.within_rate(&entry) {
            return Verdict::system(CallCode::RATE_LIMITED);
        }
        let (handler, permit) = loop {
            let running = &self.link.running;
            // None is free while others wait for one, who come first.
            let permit = match running.clone().try_acquire_owned() {
                Ok(permit) => permit,
                // Closed only with the link, which ends this as well.
                Err(_) => match running.clone().acquire_owned().await {
                    Ok(permit) => permit,
                    Err(_) => return Verdict::system(CallCode::ABANDONED),
                },
            };
            // Looked up when its turn has come: the handler that is set then is the one that runs.
            if let Some(handler) = entry.function() {
                break (handler, permit);
            }
            drop(permit);
            if let Err(code) = self.answered(header.function).await {
                return Verdict::system(code);
            }
        };
        let now = clock::now();
        if now >= deadline {
            // Its turn came together with its end: nobody waits for a result.
            return Verdict::system(CallCode::CALLEE_DEADLINE);
        }
        Verdict::of(
            self.run(&entry, handler, (&body, header.depth), permit, now)
                .await,
        )
    }

    /// Waits until the function has a handler, which it may not have yet (R55).
    async fn answered(&self, id: u32) -> Result<Arc<Entry<C>>, CallCode> {
        let mut place = None;
        // The first look is without a listener: mostly there is nothing to wait for.
        let mut waited = false;
        loop {
            let mut changed = pin!(self.wiring.changed.notified());
            if waited {
                changed.as_mut().enable();
            }
            match self.wiring.registry.by_id(id) {
                Some(entry) if entry.theirs().is_some() || self.link.mismatch(id).is_some() => {
                    return Err(CallCode::SIGNATURE);
                }
                Some(entry) if entry.declaration.kind != RemoteKind::Function => {
                    return Err(CallCode::UNKNOWN_FUNCTION);
                }
                Some(entry) if entry.function().is_some() => return Ok(entry),
                Some(_) => {}
                // Ids come from the server: it knows all that exist, a client may yet hear of one.
                None if self.wiring.side == Side::Server => return Err(CallCode::UNKNOWN_FUNCTION),
                None => {}
            }
            if waited {
                // As many wait for a handler as there are queued places: others may still be answered.
                if place.is_none() {
                    place = Some(self.unanswered.clone().try_acquire_owned());
                }
                if let Some(Err(_)) = &place {
                    return Err(CallCode::NO_HANDLER);
                }
                changed.await;
            }
            waited = true;
        }
    }

    fn within_rate(&self, entry: &Entry<C>) -> bool {
        let Some(rate) = entry.spec.policy.rate else {
            return true;
        };
        let now = clock::now();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates
            .entry(entry.slot)
            .or_insert_with(|| Bucket::new(rate, now))
            .take(now)
    }

    async fn run(
        &self,
        entry: &Entry<C>,
        handler: FunctionHandler<C>,
        (body, depth): (&[u8], u8),
        permit: OwnedSemaphorePermit,
        began: Instant,
    ) -> Result<Vec<u8>, CallFailure> {
        let most = match self.wiring.side {
            Side::Server => self.wiring.limits.payload_from_server,
            Side::Client => self.wiring.limits.payload_from_client,
        };
        let most = entry
            .spec
            .policy
            .max_payload
            .map_or(most, |own| own.min(most));
        let answer = nesting::within(depth, || handler(&self.context, body, most));
        let future = match answer {
            Answer::Now(result) => {
                watch(entry.spec.name, 1, began);
                return result;
            }
            Answer::Later(future) => future,
        };
        let mut future = Nested { depth, future };
        let first = poll_once(&self.wiring, &mut future);
        watch(entry.spec.name, 1, began);
        match first {
            Ok(Poll::Ready(result)) => return result,
            Ok(Poll::Pending) => {}
            Err(incident) => return Err(CallFailure::Panicked(incident)),
        }
        let task = self.wiring.program.spawn(async move {
            let _permit = permit;
            future.await
        });
        let cancellable = entry.spec.policy.cancellable || self.wiring.side == Side::Client;
        let mut task = Running { task, cancellable };
        match (&mut task.task).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => {
                Err(CallFailure::Panicked(incident_of(&*error.into_panic())))
            }
            // Nobody else aborts it: the program's runtime has ended.
            Err(_) => Err(CallFailure::RuntimeEnded),
        }
    }
}

/// A timeout that sets a timer only if the future is not ready at once.
///
/// It borrows the future: one that takes it has room for it twice.
async fn within<F: Future>(
    patience: Duration,
    mut future: Pin<&mut F>,
) -> Result<F::Output, Elapsed> {
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout(patience, future).await,
    }
}

/// Polls a handler's future for the first time: inline, as if on the program's runtime.
pub(super) fn poll_once<C, F: Future + Unpin>(
    wiring: &Wiring<C>,
    future: &mut F,
) -> Result<Poll<F::Output>, IncidentId> {
    let _entered = wiring.program.enter();
    // Whoever gets it next polls it again at once, so nobody needs to be woken.
    let mut cx = Context::from_waker(Waker::noop());
    guarded(|| Pin::new(future).poll(&mut cx))
}

/// Runs an asynchronous event handler: its first step here, the rest on the program's runtime, where
/// it takes a place among those of `peer`.
pub(crate) fn run_event_handler<C>(
    wiring: &Wiring<C>,
    peer: Option<&Arc<Link>>,
    mut future: HandlerFuture<()>,
    remote: &'static str,
) {
    let began = clock::now();
    let first = poll_once(wiring, &mut future);
    watch(remote, 1, began);
    match first {
        Ok(Poll::Ready(Ok(()))) | Err(_) => {}
        Ok(Poll::Ready(Err(error))) => tracing::warn!(remote, %error, "event handler failed"),
        Ok(Poll::Pending) => {
            let place = peer.map(WaitingPlace::take);
            wiring.program.spawn(async move {
                let _place = place;
                match AssertUnwindSafe(future).catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(remote, %error, "event handler failed"),
                    Err(panic) => _ = incident_of(&*panic),
                }
            });
        }
    }
}

/// A handler on the program's runtime; dropped when nobody waits for it any more.
struct Running<T> {
    task: tokio::task::JoinHandle<T>,
    cancellable: bool,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if self.cancellable {
            self.task.abort();
        }
    }
}

/// Names the remote whose handlers kept the network thread for long, with so many of its events or calls; gives the
/// time it is now.
pub(super) fn watch(remote: &'static str, count: u32, since: Instant) -> Instant {
    let now = clock::now();
    let took = now.saturating_duration_since(since);
    if took > SLOW_HANDLER {
        tracing::warn!(
            remote,
            count,
            ?took,
            "handlers blocked the network thread: make them async, or use an inbox"
        );
    }
    now
}

/// One of the peer's calls under way.
struct Place(Arc<Link>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::AcqRel);
    }
}

fn refuse(mut send: Writer, mut recv: Reader, code: CallCode) {
    send.set_code(code);
    recv.set_code(code);
}

/// What the caller is told.
enum Verdict {
    Ok(Vec<u8>),
    Failed(String),
    System {
        code: CallCode,
        incident: u64,
        retry_after: Option<Duration>,
    },
}

impl Verdict {
    fn system(code: CallCode) -> Self {
        let retry_after = (code == CallCode::RATE_LIMITED).then_some(Duration::from_secs(1));
        Self::System {
            code,
            incident: 0,
            retry_after,
        }
    }

    fn of(result: Result<Vec<u8>, CallFailure>) -> Self {
        let incident = |code, IncidentId(incident)| Self::System {
            code,
            incident,
            retry_after: None,
        };
        match result {
            Ok(body) => Self::Ok(body),
            Err(CallFailure::Handler(error)) => match error.message() {
                Some(message) => {
                    tracing::debug!(message, "a function handler refused a call");
                    Self::Failed(message.into())
                }
                None => {
                    let id = IncidentId::fresh();
                    tracing::error!(incident = %id, %error, "function handler failed");
                    incident(CallCode::HANDLER_INTERNAL, id)
                }
            },
            Err(CallFailure::Panicked(id)) => incident(CallCode::PANICKED, id),
            Err(CallFailure::RuntimeEnded) => Self::system(CallCode::RUNTIME_SHUTDOWN),
            Err(CallFailure::Undecodable(error)) => {
                tracing::debug!(%error, "the arguments of a call do not decode");
                Self::system(CallCode::REQUEST_MALFORMED)
            }
            Err(CallFailure::Unencodable(EncodeError::TooLarge { size, limit })) => {
                tracing::error!(size, limit, "a result is larger than allowed");
                Self::system(CallCode::RESPONSE_TOO_LARGE)
            }
            Err(CallFailure::Unencodable(error)) => {
                tracing::error!(%error, "a result cannot be encoded");
                Self::system(CallCode::RESPONSE_ENCODE)
            }
        }
    }

    fn into_reply(self, barrier: u64) -> Bytes {
        let reply = match self {
            Self::Ok(body) => {
                return put_in_front(body, MAX_REPLY_HEADER, |len, out| {
                    put_ok_header(barrier, len, out)
                });
            }
            Self::Failed(message) => Reply::Failed { barrier, message },
            Self::System {
                code,
                incident,
                retry_after,
            } => Reply::System {
                barrier,
                code,
                incident,
                retry_after,
            },
        };
        let mut out = BytesMut::with_capacity(64);
        reply.encode(&mut out);
        out.freeze()
    }
}

/// Handlers that keep the network thread for longer delay everyone.
const SLOW_HANDLER: Duration = Duration::from_millis(10);
