//! The conditioner: a bad network on demand, underneath QUIC.
//!
//! It sits between quinn and the UDP socket of a [`Network`](crate::Network), so that loss detection,
//! congestion control and everything above feel what players feel. It is seeded: the same seed and the
//! same packets at the same times meet the same fate. It knows nothing about what is in the packets.

mod env;
mod model;
mod socket;

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use self::env::{EnvError, from_env};
pub(crate) use self::socket::ConditionedSocket;

/// What happens to packets in one direction.
///
/// # Defaults
///
/// [`Conditions::default`] changes nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Conditions {
    /// How long each packet is on its way, on top of the real network.
    pub delay: Duration,
    /// Up to this much more, evenly spread; packets stay in order unless `reorder` says otherwise.
    pub jitter: Duration,
    /// Which packets are lost.
    pub loss: Loss,
    /// The share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// The share of packets that fall behind those that follow, 0 to 1.
    pub reorder: f64,
    /// Bits per second that pass; what comes faster waits in the queue.
    pub rate: Option<u64>,
    /// Bytes that wait for the rate; what does not fit is lost (default 64 KiB).
    pub queue: usize,
    /// The longest UDP payload that passes, in bytes; QUIC needs 1200.
    pub mtu: Option<usize>,
}

/// Which packets are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability, independently.
    Random(f64),
    /// In bursts, after Gilbert and Elliott: a link that is mostly good and sometimes bad.
    Bursts {
        /// The chance that a good link turns bad, for each packet.
        worsen: f64,
        /// The chance that a bad link turns good, for each packet; one over it is the mean length of a burst.
        recover: f64,
        /// The share that a bad link loses; a good one loses nothing.
        lost: f64,
    },
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: 0.0,
            rate: None,
            queue: 64 * 1024,
            mtu: None,
        }
    }
}

impl Conditions {
    /// A delay and an independent loss, the two that matter most.
    pub fn new(delay: Duration, loss: f64) -> Self {
        Self {
            delay,
            loss: if loss > 0.0 {
                Loss::Random(loss)
            } else {
                Loss::None
            },
            ..Self::default()
        }
    }

    fn is_clear(&self) -> bool {
        *self
            == Self {
                queue: self.queue,
                ..Self::default()
            }
    }
}

/// Kinds of network to try a game on; half of each delay is in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// A cable at home: 1 ms there and back.
    Lan,
    /// A shared radio: 8 ms, jitter, short bursts of loss.
    Wifi,
    /// A phone on the move: 60 ms, jitter, 12 Mbit/s, some loss.
    Mobile4g,
    /// The other side of the world: 220 ms, steady, a little loss.
    Intercontinental,
    /// What nobody should have to play on: 300 ms, heavy jitter, bursts of loss, 2 Mbit/s.
    Awful,
}

impl Preset {
    /// Every preset, best first.
    pub const ALL: [Self; 5] = [
        Self::Lan,
        Self::Wifi,
        Self::Mobile4g,
        Self::Intercontinental,
        Self::Awful,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wifi => "wifi",
            Self::Mobile4g => "mobile_4g",
            Self::Intercontinental => "intercontinental",
            Self::Awful => "awful",
        }
    }

    /// What it does in each direction.
    pub fn conditions(self) -> Conditions {
        let ms = Duration::from_millis;
        let clear = Conditions::default();
        match self {
            Self::Lan => Conditions {
                delay: Duration::from_micros(500),
                ..clear
            },
            Self::Wifi => Conditions {
                delay: ms(4),
                jitter: ms(6),
                loss: Loss::Bursts {
                    worsen: 0.005,
                    recover: 0.3,
                    lost: 0.5,
                },
                reorder: 0.001,
                ..clear
            },
            Self::Mobile4g => Conditions {
                delay: ms(30),
                jitter: ms(20),
                loss: Loss::Random(0.01),
                rate: Some(12_000_000),
                queue: 256 * 1024,
                ..clear
            },
            Self::Intercontinental => Conditions {
                delay: ms(110),
                jitter: ms(3),
                loss: Loss::Random(0.002),
                ..clear
            },
            Self::Awful => Conditions {
                delay: ms(150),
                jitter: ms(80),
                loss: Loss::Bursts {
                    worsen: 0.02,
                    recover: 0.2,
                    lost: 0.8,
                },
                duplicate: 0.01,
                reorder: 0.02,
                rate: Some(2_000_000),
                ..clear
            },
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| UnknownPreset { name: name.into() })
    }
}

/// A name that no preset has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no network preset: choose lan, wifi, mobile_4g, intercontinental or awful")]
#[non_exhaustive]
pub struct UnknownPreset {
    /// The name.
    pub name: String,
}

/// A bad network for the sockets of a [`Network`](crate::Network), changeable while it runs.
///
/// Clones are the same conditioner. Switched off, packets pass it untouched. [`from_env`] makes one that
/// the environment sets.
///
/// ```
/// use farfire::{Network, conditioner::{Conditioner, Preset}};
///
/// # fn main() -> std::io::Result<()> {
/// let conditioner = Conditioner::new(7);
/// conditioner.set_preset(Some(Preset::Wifi));
/// let network = Network::builder().conditioner(&conditioner).build()?;
/// // `Client::builder(..).network(&network)` now plays over bad radio; later:
/// conditioner.set_preset(None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Conditioner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outbound: Conditions,
    inbound: Conditions,
    stats: ConditionerStats,
}

impl Conditioner {
    /// A conditioner that is off until it is told what to do.
    pub fn new(seed: u64) -> Self {
        let (on, state) = (AtomicBool::new(false), Mutex::default());
        Self {
            shared: Arc::new(Shared { seed, on, state }),
        }
    }

    /// Sets what happens to packets on the way out and on the way in.
    ///
    /// Packets that are on their way keep the fate they have met.
    pub fn set(&self, outbound: Conditions, inbound: Conditions) {
        let mut state = self.lock();
        self.shared.on.store(
            !(outbound.is_clear() && inbound.is_clear()),
            Ordering::Release,
        );
        state.outbound = outbound;
        state.inbound = inbound;
    }

    /// Sets both directions to a preset, or clears them.
    pub fn set_preset(&self, preset: Option<Preset>) {
        let conditions = preset.map(Preset::conditions).unwrap_or_default();
        self.set(conditions.clone(), conditions);
    }

    /// What it has done so far.
    pub fn stats(&self) -> ConditionerStats {
        self.lock().stats.clone()
    }

    fn is_on(&self) -> bool {
        self.shared.on.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a conditioner has done, in packets, both directions together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionerStats {
    /// Packets that it saw.
    pub seen: u64,
    /// Of those, lost by [`Loss`].
    pub lost: u64,
    /// Of those, lost because the queue was full.
    pub overflowed: u64,
    /// Of those, longer than the MTU.
    pub too_long: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Fallen behind later ones.
    pub reordered: u64,
}
