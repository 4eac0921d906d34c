//! Remotes: stateless values that name a channel, its types and its policy.
//!
//! A remote is what both sides compile: a name, the types of its arguments, and how it travels. It
//! knows nothing about connections, ids or handlers; those are looked up by name where it is used.

mod name;

pub use self::name::NameError;

pub(crate) use self::name::{hash, is_reserved};

use std::{any::TypeId, fmt, marker::PhantomData, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::config::Rate;

/// What can travel as the arguments or the result of a remote.
///
/// Implemented for every owned type that serde can write and read: tuples, structs, enums,
/// `Option`, collections, [`Bytes`](bytes::Bytes). Prefer `Bytes` to `Vec<u8>`, which serde writes
/// element by element.
pub trait Payload: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Payload for T {}

/// The three kinds of remote (R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "complete by definition: the wire knows three"
)]
pub enum RemoteKind {
    /// Reliable; ordered unless declared otherwise.
    Event,
    /// At most once, unordered, at most 1000 bytes.
    Unreliable,
    /// A call with one reply.
    Function,
}

impl fmt::Display for RemoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "RemoteEvent",
            Self::Unreliable => "UnreliableRemoteEvent",
            Self::Function => "RemoteFunction",
        })
    }
}

/// A reliable event: fired without waiting, delivered exactly once while the connection lives.
///
/// All reliable events of one direction of one connection share one order, across remotes, unless
/// a remote is moved to a [`lane`](Self::lane) or declared [`unordered`](Self::unordered).
///
/// ```
/// use farfire::{RemoteEvent, values::{BrickColor, Vector3}};
///
/// pub const PART: RemoteEvent<(BrickColor, Vector3)> = RemoteEvent::new("RemoteEventTest");
/// assert_eq!(PART.name(), "RemoteEventTest");
/// ```
pub struct RemoteEvent<A> {
    pub(crate) spec: Spec,
    types: PhantomData<fn(A) -> A>,
}

impl<A: Payload> RemoteEvent<A> {
    /// Names a reliable event; both sides agree by this name.
    ///
    /// # Panics
    ///
    /// At compile time when used in a `const`: if `name` is empty or longer than 100 characters, or
    /// begins with `farfire.`.
    pub const fn new(name: &'static str) -> Self {
        Self::with(Spec::new(name))
    }

    /// The same for a name that is known only at run time.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, too long or reserved, or the process has made too many.
    pub fn named(name: impl AsRef<str>) -> Result<Self, NameError> {
        Spec::named(name.as_ref()).map(Self::with)
    }

    /// Moves this remote to a stream of its own, called `lane`.
    ///
    /// Events of one lane stay in order; a lost packet on one lane delays no other lane. Against
    /// other lanes there is no order, and calls do not wait for events on lanes. A connection has 15
    /// lanes beside the default one; with more names than that the rest go on the default lane, which
    /// is logged. Where bandwidth is short, calls and the default lane go before all other lanes.
    ///
    /// # Panics
    ///
    /// At compile time when used in a `const`: if `lane` is empty or longer than 64 bytes.
    pub const fn lane(mut self, lane: &'static str) -> Self {
        check_lane(lane);
        self.spec.policy.lane = Some(lane);
        self
    }

    /// Gives up order: each event travels on a short stream of its own, still exactly once.
    pub const fn unordered(mut self) -> Self {
        self.spec.policy.unordered = true;
        self
    }

    /// Allows encoded arguments of up to `bytes`, instead of the limit of the direction.
    ///
    /// It can only lower what the receiving side accepts: the receiver's limit holds as well.
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.spec.policy.max_payload = Some(bytes);
        self
    }

    /// Chooses what happens when a player's outbox is full.
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.spec.policy.overflow = overflow;
        self
    }

    /// Limits how often one client may fire this remote; more is dropped and counted (R124).
    ///
    /// # Panics
    ///
    /// At compile time when used in a `const`: if the rate lets nothing through.
    pub const fn rate(mut self, rate: Rate) -> Self {
        check_rate(rate);
        self.spec.policy.rate = Some(rate);
        self
    }
}

/// An unreliable event: at most once, in no order, never more than 1000 encoded bytes.
pub struct UnreliableRemoteEvent<A> {
    pub(crate) spec: Spec,
    pub(crate) key: Option<fn(&A) -> u64>,
    types: PhantomData<fn(A) -> A>,
}

impl<A: Payload> UnreliableRemoteEvent<A> {
    /// Names an unreliable event; both sides agree by this name.
    ///
    /// # Panics
    ///
    /// At compile time when used in a `const`: if `name` is empty or longer than 100 characters, or
    /// begins with `farfire.`.
    pub const fn new(name: &'static str) -> Self {
        Self::with(Spec::new(name))
    }

    /// The same for a name that is known only at run time.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, too long or reserved, or the process has made too many.
    pub fn named(name: impl AsRef<str>) -> Result<Self, NameError> {
        Spec::named(name.as_ref()).map(Self::with)
    }

    /// Drops an event that arrives after a newer one of this remote (R47).
    pub const fn latest_wins(mut self) -> Self {
        self.spec.policy.latest_wins = true;
        self
    }

    /// Drops an event that arrives after a newer one with the same key: one remote, many entities.
    ///
    /// The receiver remembers at most 4096 keys per connection; past that it forgets them all, and a
    /// late event may then pass once.
    pub const fn latest_by(mut self, key: fn(&A) -> u64) -> Self {
        self.key = Some(key);
        self
    }

    /// Limits how often one client may fire this remote; more is dropped and counted (R124).
    ///
    /// # Panics
    ///
    /// At compile time when used in a `const`: if the rate lets nothing through.
    pub const fn rate(mut self, rate: Rate) -> Self {
        check_rate(rate);
        self.spec.policy.rate = Some(rate);
        self
    }
}

/// A remote function: a call that resolves with the handler's result or a typed error.
///
/// If no result is needed, a [`RemoteEvent`] is cheaper and cannot fail late (R65).
pub struct RemoteFunction<A, R> {
    pub(crate) spec: Spec,
    types: PhantomData<fn(A) -> R>,
}

impl<A: Payload, R: Payload> RemoteFunction<A, R> {
    /// Names a remote function; both sides agree by this name.
    ///
    /// # Panics
    ///
    /// At compile time when used in a `const`: if `name` is empty or longer than 100 characters, or
    /// begins with `farfire.`.
    pub const fn new(name: &'static str) -> Self {
        Self::with(Spec::new(name))
    }

    /// The same for a name that is known only at run time.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, too long or reserved, or the process has made too many.
    pub fn named(name: impl AsRef<str>) -> Result<Self, NameError> {
        Spec::named(name.as_ref()).map(Self::with)
    }

    /// Lets a call overtake the events that were fired before it.
    pub const fn unordered(mut self) -> Self {
        self.spec.policy.unordered = true;
        self
    }

    /// Allows encoded arguments and results of up to `bytes`, instead of the limit of the
    /// direction; it can only lower what the receiving side accepts.
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.spec.policy.max_payload = Some(bytes);
        self
    }

    /// Sets how long a call waits unless the call itself says so.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.spec.policy.timeout = Some(timeout);
        self
    }

    /// Limits how often one client may call this function; more is refused as busy (R124).
    ///
    /// # Panics
    ///
    /// At compile time when used in a `const`: if the rate lets nothing through.
    pub const fn rate(mut self, rate: Rate) -> Self {
        check_rate(rate);
        self.spec.policy.rate = Some(rate);
        self
    }

    /// Lets the server stop a running handler when its caller goes away.
    ///
    /// By default a handler on the server runs to its end, so that a client cannot stop a purchase
    /// half way; mark pure reads as cancellable.
    pub const fn cancellable(mut self) -> Self {
        self.spec.policy.cancellable = true;
        self
    }
}

/// What happens to a reliable event when the player's outbox has no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The call fails with [`FireError::QueueFull`](crate::FireError::QueueFull).
    #[default]
    Reject,
    /// The player is disconnected as a slow consumer.
    Disconnect,
}

/// A remote of any kind, for [lists of remotes](crate::ServerBuilder::remotes).
pub trait Remote: sealed::Declared + Send + Sync {
    /// The name both sides agree by.
    fn name(&self) -> &'static str;
    /// Which of the three kinds this is.
    fn kind(&self) -> RemoteKind;
}

/// An event remote of either kind, with arguments of type `A`: what can be fired and listened to.
pub trait EventRemote<A>: Remote {}

impl<A: Payload> EventRemote<A> for RemoteEvent<A> {}

impl<A: Payload> EventRemote<A> for UnreliableRemoteEvent<A> {}

/// Everything the registry wants to know of a remote.
#[derive(Clone)]
pub(crate) struct Declaration {
    pub(crate) spec: Spec,
    pub(crate) kind: RemoteKind,
    pub(crate) types: TypeId,
    pub(crate) shape: fn() -> Option<String>,
    /// The entity key of an encoded event, for `latest_by`.
    pub(crate) key: Option<KeyOf>,
}

/// Reads the entity key out of an encoded event; `None` if it cannot be decoded.
pub(crate) type KeyOf = std::sync::Arc<dyn Fn(&[u8]) -> Option<u64> + Send + Sync>;

pub(crate) mod sealed {
    #[expect(
        unnameable_types,
        reason = "that is the point: no other types are remotes"
    )]
    pub trait Declared {
        #[expect(private_interfaces, reason = "sealed: callable only inside the crate")]
        fn spec(&self) -> &super::Spec;
        fn types(&self) -> std::any::TypeId;
        fn kind_of(&self) -> super::RemoteKind;
        #[expect(private_interfaces, reason = "sealed: callable only inside the crate")]
        fn declaration(&self) -> super::Declaration;
    }
}

/// A name with its hash, and the policy: what every kind of remote has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) hash: u64,
    pub(crate) policy: Policy,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) lane: Option<&'static str>,
    pub(crate) unordered: bool,
    pub(crate) latest_wins: bool,
    pub(crate) cancellable: bool,
    pub(crate) overflow: Overflow,
    pub(crate) max_payload: Option<usize>,
    pub(crate) rate: Option<Rate>,
    pub(crate) timeout: Option<Duration>,
    /// One of farfire's own: it has a budget of its own, and is in no list of the program's.
    pub(crate) builtin: bool,
}

impl Spec {
    const fn new(name: &'static str) -> Self {
        assert!(
            !is_reserved(name),
            "remotes whose names begin with \"farfire.\" are farfire's own"
        );
        Self::checked(name)
    }

    const fn builtin(name: &'static str) -> Self {
        assert!(is_reserved(name), "farfire's own names have a prefix");
        let mut spec = Self::checked(name);
        spec.policy.builtin = true;
        spec
    }

    const fn checked(name: &'static str) -> Self {
        name::check(name);
        Self {
            name,
            hash: hash(name),
            policy: Policy {
                lane: None,
                unordered: false,
                latest_wins: false,
                cancellable: false,
                overflow: Overflow::Reject,
                max_payload: None,
                rate: None,
                timeout: None,
                builtin: false,
            },
        }
    }

    fn named(name: &str) -> Result<Self, NameError> {
        name::at_run_time(name).map(Self::new)
    }
}

const fn check_rate(rate: Rate) {
    // Without anything per second it is a number of times, which may be wanted.
    assert!(rate.burst > 0, "a rate has bursts of at least one");
}

const fn check_lane(lane: &str) {
    assert!(!lane.is_empty(), "a lane's name must not be empty");
    assert!(
        lane.len() <= MAX_LANE_BYTES,
        "a lane's name has at most 64 bytes"
    );
}

macro_rules! remote {
    ($name:ident < $($t:ident),+ >, $kind:expr, $key:expr) => {
        impl<$($t: Payload),+> $name<$($t),+> {
            pub(crate) const fn builtin(name: &'static str) -> Self {
                Self::with(Spec::builtin(name))
            }

            /// The name both sides agree by.
            pub const fn name(&self) -> &'static str {
                self.spec.name
            }
        }

        impl<$($t: Payload),+> Remote for $name<$($t),+> {
            fn name(&self) -> &'static str {
                self.spec.name
            }

            fn kind(&self) -> RemoteKind {
                $kind
            }
        }

        impl<$($t: Payload),+> sealed::Declared for $name<$($t),+> {
            #[expect(private_interfaces, reason = "sealed: callable only inside the crate")]
            fn spec(&self) -> &Spec {
                &self.spec
            }

            fn types(&self) -> TypeId {
                TypeId::of::<($($t,)+)>()
            }

            fn kind_of(&self) -> RemoteKind {
                $kind
            }

            #[expect(private_interfaces, reason = "sealed: callable only inside the crate")]
            fn declaration(&self) -> Declaration {
                Declaration {
                    spec: self.spec,
                    kind: $kind,
                    types: self.types(),
                    shape: || {
                        let shapes = [$(crate::shape::of::<$t>()),+];
                        let shapes: Option<Vec<_>> = shapes.into_iter().collect();
                        shapes.map(|shapes| crate::shape::shorten(shapes.join(" -> ")))
                    },
                    key: ($key)(self),
                }
            }
        }

        impl<$($t),+> Clone for $name<$($t),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($t),+> Copy for $name<$($t),+> {}

        impl<$($t),+> fmt::Debug for $name<$($t),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.spec.name)
            }
        }
    };
}

remote!(RemoteEvent<A>, RemoteKind::Event, |_: &Self| None);
remote!(
    UnreliableRemoteEvent<A>,
    RemoteKind::Unreliable,
    Self::key_of
);
remote!(RemoteFunction<A, R>, RemoteKind::Function, |_: &Self| None);

macro_rules! encoded_len {
    ($name:ident) => {
        impl<A: Payload> $name<A> {
            /// How many bytes `args` take on the wire, of the limit that counts (R43).
            ///
            /// # Errors
            ///
            /// If the value cannot be encoded at all.
            pub fn encoded_len(&self, args: &A) -> Result<usize, crate::codec::EncodeError> {
                crate::codec::encoded_len(args)
            }
        }
    };
}

encoded_len!(RemoteEvent);
encoded_len!(UnreliableRemoteEvent);

impl<A> RemoteEvent<A> {
    const fn with(spec: Spec) -> Self {
        Self {
            spec,
            types: PhantomData,
        }
    }
}

impl<A> UnreliableRemoteEvent<A> {
    const fn with(spec: Spec) -> Self {
        Self {
            spec,
            key: None,
            types: PhantomData,
        }
    }
}

impl<A, R> RemoteFunction<A, R> {
    const fn with(spec: Spec) -> Self {
        Self {
            spec,
            types: PhantomData,
        }
    }
}

impl<A: Payload> UnreliableRemoteEvent<A> {
    fn key_of(&self) -> Option<KeyOf> {
        let key = self.key?;
        Some(std::sync::Arc::new(move |payload: &[u8]| {
            crate::codec::decode::<A>(payload)
                .ok()
                .map(|args| key(&args))
        }))
    }
}

/// Names are sent once per stream; see the wire specification.
const MAX_LANE_BYTES: usize = 64;
