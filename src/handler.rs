//! Handlers: plain closures at the edge, one erased shape inside.
//!
//! A handler may return a value, a `Result`, or a future of either; [`Outcome`] is the one way in.
//! Knows nothing about remotes' names, connections or runtimes: a future that is not ready is handed
//! back to the caller.

use std::{
    any::Any,
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    codec::{self, EncodeError, PayloadError},
    remote::Payload,
};

/// What a handler may return for a remote whose result is `R`.
///
/// Implemented for `R` itself, for `Result<R, E>` where `E` becomes a [`HandlerError`], and for
/// futures of both. `M` only keeps these apart; the compiler infers it.
///
/// An asynchronous handler that uses `?` names its error type once, in its last expression, because
/// nothing else says what it is:
///
/// ```
/// # use farfire::{HandlerError, RemoteFunction, Server};
/// # const CONFIRM: RemoteFunction<String, bool> = RemoteFunction::new("Confirm");
/// # const BUY: RemoteFunction<String, u32> = RemoteFunction::new("Buy");
/// # fn describe(server: &Server) {
/// server.on_server_invoke(&BUY, |player, item| async move {
///     let sure = player.server().invoke_client(&player, &CONFIRM, &item).await?;
///     if !sure {
///         return Err("not bought".into());
///     }
///     Ok::<_, HandlerError>(30)
/// });
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler of this remote must return `{R}`, but this one returns `{Self}`",
    label = "returns `{Self}`",
    note = "allowed: `{R}`, `Result<{R}, E>` with `E: Into<HandlerError>`, or a `Send + 'static` future of either",
    note = "an event handler returns `()`: end its last expression with `;`"
)]
pub trait Outcome<R, M> {
    /// Whether what is returned is a future.
    #[doc(hidden)]
    const WAITS: bool;

    /// Turns the return value into one of the two things that the runtime can do with it.
    #[doc(hidden)]
    fn resolve(self) -> Resolved<R>;
}

/// Marks a handler that returns its value.
#[derive(Debug)]
#[non_exhaustive]
pub struct Value;
/// Marks a handler that returns a `Result`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fallible;
/// Marks a handler that returns a future.
#[derive(Debug)]
#[non_exhaustive]
pub struct Async<M>(std::marker::PhantomData<M>);

impl<R> Outcome<R, Value> for R {
    const WAITS: bool = false;

    fn resolve(self) -> Resolved<R> {
        Resolved::Now(Ok(self))
    }
}

impl<R, E: Into<HandlerError>> Outcome<R, Fallible> for Result<R, E> {
    const WAITS: bool = false;

    fn resolve(self) -> Resolved<R> {
        Resolved::Now(self.map_err(Into::into))
    }
}

impl<R, F: Future<Output = R> + Send + 'static> Outcome<R, Async<Value>> for F {
    const WAITS: bool = true;

    fn resolve(self) -> Resolved<R> {
        Resolved::Later(Box::pin(async move { Ok(self.await) }))
    }
}

impl<R, E, F> Outcome<R, Async<Fallible>> for F
where
    E: Into<HandlerError>,
    F: Future<Output = Result<R, E>> + Send + 'static,
{
    const WAITS: bool = true;

    fn resolve(self) -> Resolved<R> {
        Resolved::Later(Box::pin(async move { self.await.map_err(Into::into) }))
    }
}

pub(crate) mod sealed {
    use super::HandlerFuture;

    /// A handler's result, or the way to it. Not nameable outside, so `Outcome` cannot be
    /// implemented there.
    #[expect(missing_debug_implementations, reason = "holds a future")]
    #[expect(unnameable_types, reason = "that is the point")]
    pub enum Resolved<R> {
        Now(Result<R, super::HandlerError>),
        Later(HandlerFuture<R>),
    }
}

use sealed::Resolved;

pub(crate) type HandlerFuture<R> = Pin<Box<dyn Future<Output = Result<R, HandlerError>> + Send>>;

/// A handler's refusal, made of a message that the developer chose.
///
/// A message (from `&str` or `String`) is sent to the caller, cut to 256 bytes. Everything else is
/// [internal](Self::internal): the caller only sees an incident number, the text stays in the log of
/// the side that ran the handler.
///
/// ```
/// use farfire::HandlerError;
///
/// fn buy(gold: u32) -> Result<u32, HandlerError> {
///     gold.checked_sub(10).ok_or_else(|| "not enough gold".into())
/// }
/// assert_eq!(buy(3).unwrap_err().to_string(), "not enough gold");
/// ```
pub struct HandlerError(Reason);

enum Reason {
    Message(String),
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl HandlerError {
    /// A failure whose text stays on this side.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Reason::Internal(error.into()))
    }

    /// The text for the other side, or nothing for an internal failure.
    pub(crate) fn message(&self) -> Option<&str> {
        match &self.0 {
            Reason::Message(text) => Some(text),
            Reason::Internal(_) => None,
        }
    }
}

impl From<&str> for HandlerError {
    fn from(message: &str) -> Self {
        Self(Reason::Message(message.into()))
    }
}

impl From<String> for HandlerError {
    fn from(message: String) -> Self {
        Self(Reason::Message(message))
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for HandlerError {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(Reason::Internal(error))
    }
}

impl From<std::io::Error> for HandlerError {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Message(text) => f.write_str(text),
            Reason::Internal(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Message(text) => write!(f, "HandlerError({text:?})"),
            Reason::Internal(error) => write!(f, "HandlerError(internal: {error:?})"),
        }
    }
}

/// A number that links an error seen by a caller to the log of the side that failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IncidentId(pub(crate) u64);

impl IncidentId {
    pub(crate) fn fresh() -> Self {
        static SEED: OnceLock<RandomState> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let seed = SEED.get_or_init(RandomState::new);
        Self(seed.hash_one(NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IncidentId({self})")
    }
}

/// An event handler with its argument type erased.
pub(crate) struct EventHandler<C> {
    /// Whether it may leave a future behind.
    pub(crate) waits: bool,
    pub(crate) call: EventCall<C>,
}

/// The last argument is asked once, when the payload has decoded and before the handler runs, whether
/// the event is this handler's to take; if not, it has heard [`Nobody`](Heard::Nobody).
type EventCall<C> = Box<dyn Fn(&C, &[u8], &dyn Fn() -> bool) -> Heard + Send + Sync>;

/// What became of an event at one handler.
pub(crate) enum Heard {
    /// The handler ran, and failed with this if it failed.
    Ran(Result<(), HandlerError>),
    /// The handler is asynchronous: poll this.
    Pending(HandlerFuture<()>),
    /// The handler is an inbox, and it was full.
    Full,
    /// Nobody waits behind the handler any more.
    Nobody,
    /// The bytes are not the arguments of this remote.
    Undecodable(PayloadError),
    /// The handler panicked, which has been logged.
    Panicked,
}

pub(crate) fn event<C, A: Payload, T, M>(
    handler: impl Fn(&C, A) -> T + Send + Sync + 'static,
) -> EventHandler<C>
where
    T: Outcome<(), M>,
{
    let call = Box::new(
        move |context: &C, payload: &[u8], mine: &dyn Fn() -> bool| {
            let args = match decoded::<A>(payload) {
                Ok(args) => args,
                Err(heard) => return heard,
            };
            if !mine() {
                return Heard::Nobody;
            }
            match guarded(|| handler(context, args).resolve()) {
                Ok(Resolved::Now(result)) => Heard::Ran(result),
                Ok(Resolved::Later(future)) => Heard::Pending(future),
                Err(_) => Heard::Panicked,
            }
        },
    );
    EventHandler {
        waits: T::WAITS,
        call,
    }
}

/// The arguments of an event, or what became of it without them.
pub(crate) fn decoded<A: Payload>(payload: &[u8]) -> Result<A, Heard> {
    arguments(payload).map_err(Heard::Undecodable)
}

/// A function's handler with its types erased; the `usize` is the largest reply allowed.
pub(crate) type FunctionHandler<C> = Arc<dyn Fn(&C, &[u8], usize) -> Answer + Send + Sync>;

/// The result of a call at the side that ran it, or the way to it.
pub(crate) enum Answer {
    Now(Result<Vec<u8>, CallFailure>),
    Later(Pin<Box<dyn Future<Output = Result<Vec<u8>, CallFailure>> + Send>>),
}

/// Why a call has no result, as the side that ran it sees it.
#[derive(Debug)]
pub(crate) enum CallFailure {
    Undecodable(PayloadError),
    Handler(HandlerError),
    Panicked(IncidentId),
    /// The runtime that the handler ran on ended first.
    RuntimeEnded,
    Unencodable(EncodeError),
}

/// `headroom` bytes are left free in front of each encoded result, for the reply's header.
pub(crate) fn function<C, A: Payload, R: Payload, T, M>(
    headroom: usize,
    handler: impl Fn(&C, A) -> T + Send + Sync + 'static,
) -> FunctionHandler<C>
where
    T: Outcome<R, M>,
{
    Arc::new(move |context, payload, limit| {
        let args = match arguments::<A>(payload) {
            Ok(args) => args,
            Err(error) => return Answer::Now(Err(CallFailure::Undecodable(error))),
        };
        match guarded(|| handler(context, args).resolve()) {
            Ok(Resolved::Now(result)) => Answer::Now(encode_result(result, headroom, limit)),
            Ok(Resolved::Later(future)) => Answer::Later(Box::pin(async move {
                encode_result(future.await, headroom, limit)
            })),
            Err(incident) => Answer::Now(Err(CallFailure::Panicked(incident))),
        }
    })
}

fn encode_result<R: Payload>(
    result: Result<R, HandlerError>,
    headroom: usize,
    limit: usize,
) -> Result<Vec<u8>, CallFailure> {
    let value = result.map_err(CallFailure::Handler)?;
    let mut body = Vec::with_capacity(headroom + SMALL_RESULT);
    body.resize(headroom, 0);
    // `Serialize` is the program's code, and so may panic.
    guarded(|| codec::encode(&value, &mut body, limit))
        .map_err(CallFailure::Panicked)?
        .map_err(CallFailure::Unencodable)?;
    Ok(body)
}

/// Decodes what a peer sent. `Deserialize` is the program's code, and so may panic.
pub(crate) fn arguments<A: Payload>(payload: &[u8]) -> Result<A, PayloadError> {
    guarded(|| codec::decode(payload)).unwrap_or_else(|incident| {
        Err(PayloadError::Rejected {
            why: format!("decoding it panicked (incident {incident})"),
        })
    })
}

/// Runs the program's code; a panic is logged and becomes an incident.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, IncidentId> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| incident_of(&*panic))
}

/// Logs the text of a panic under a fresh incident number.
pub(crate) fn incident_of(panic: &(dyn Any + Send)) -> IncidentId {
    let incident = IncidentId::fresh();
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    // A log is the program's code as well, and this is told where a panic has to end.
    let log = || tracing::error!(%incident, text, "handler panicked");
    let _ = catch_unwind(log);
    incident
}

/// What most results fit in.
const SMALL_RESULT: usize = 96;

/// What the compiler refuses, each next to the same program without the mistake.
///
/// A handler that fits:
/// ```
/// # use farfire::{RemoteEvent, RemoteFunction, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");
/// # fn describe(server: &Server) {
/// server.on_server_event(&HIT, |_, damage: u32| assert!(damage < 100));
/// server.on_server_invoke(&ADD, |_, (a, b)| a + b);
/// server.fire_all_clients(&HIT, &7);
/// # }
/// ```
///
/// An event handler with the arguments of another remote:
/// ```compile_fail
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// server.on_server_event(&HIT, |_, damage: String| drop(damage));
/// # }
/// ```
///
/// Arguments of another type:
/// ```compile_fail
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// server.fire_all_clients(&HIT, &"seven");
/// # }
/// ```
///
/// A function handler that returns something else; "a handler of this remote must return `u32`":
/// ```compile_fail
/// # use farfire::{RemoteFunction, Server};
/// # const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");
/// # fn describe(server: &Server) {
/// server.on_server_invoke(&ADD, |_, (a, b)| (a + b).to_string());
/// # }
/// ```
///
/// An event handler that returns a value; "a handler of this remote must return `()`":
/// ```compile_fail
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// server.on_server_event(&HIT, |_, damage: u32| damage < 100);
/// # }
/// ```
///
/// What belongs to the other side (R12):
/// ```compile_fail
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// server.fire_server(&HIT, &7);
/// # }
/// ```
/// ```compile_fail
/// # use farfire::{RemoteEvent, Client};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(client: &Client) {
/// client.fire_all_clients(&HIT, &7);
/// # }
/// ```
/// ```compile_fail
/// # use farfire::{Client, RemoteFunction};
/// # const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");
/// # fn describe(client: &Client) {
/// client.on_server_invoke(&ADD, |_, (a, b)| a + b);
/// # }
/// ```
/// ```
/// # use farfire::{Client, RemoteEvent, RemoteFunction};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");
/// # fn describe(client: &Client) {
/// client.fire_server(&HIT, &7);
/// client.on_client_invoke(&ADD, |(a, b)| a + b);
/// # }
/// ```
///
/// A handler that cannot be moved to another thread:
/// ```compile_fail
/// # use std::rc::Rc;
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// let total = Rc::new(7);
/// server.on_server_event(&HIT, move |_, damage| assert!(damage < *total));
/// # }
/// ```
/// ```
/// # use std::sync::Arc;
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// let total = Arc::new(7);
/// server.on_server_event(&HIT, move |_, damage| assert!(damage < *total));
/// # }
/// ```
///
/// A future that holds something like that across a wait:
/// ```compile_fail
/// # use std::rc::Rc;
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// server.on_server_event(&HIT, |_, damage| async move {
///     let total = Rc::new(damage);
///     std::future::ready(()).await;
///     drop(total);
/// });
/// # }
/// ```
/// ```
/// # use std::sync::Arc;
/// # use farfire::{RemoteEvent, Server};
/// # const HIT: RemoteEvent<u32> = RemoteEvent::new("Hit");
/// # fn describe(server: &Server) {
/// server.on_server_event(&HIT, |_, damage| async move {
///     let total = Arc::new(damage);
///     std::future::ready(()).await;
///     drop(total);
/// });
/// # }
/// ```
#[cfg(doctest)]
struct Refused;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    struct Picky;

    impl<'de> serde::Deserialize<'de> for Picky {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let byte = u8::deserialize(deserializer)?;
            assert_eq!(byte, 0, "not mine");
            Ok(Self)
        }
    }

    #[test]
    fn arguments_whose_decoding_panics_do_not_decode() {
        let handler = event(|_: &(), _: Picky| ());
        let hear = |byte| (handler.call)(&(), &[byte], &|| true);
        assert!(matches!(hear(0), Heard::Ran(Ok(()))));
        assert!(matches!(hear(1), Heard::Undecodable(_)));
        let handler = function(0, |_: &(), _: Picky| ());
        let answer = handler(&(), &[1], 64);
        assert!(matches!(
            answer,
            Answer::Now(Err(CallFailure::Undecodable(_)))
        ));
    }
}
