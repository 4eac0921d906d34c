//! What every peer has to do, and how it is measured: the one home of payloads, loads and figures.
//!
//! Knows nothing about any library.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};

/// What every message carries, 41 bytes: a body, eight bytes more, and the tag.
///
/// Arrays of bytes, so that each library's serializer makes 41 bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body(pub [u8; 32], pub [u8; 8], pub u8);

impl Body {
    pub const LEN: usize = 41;
    /// To be sent back the way it came.
    pub const ECHO: Self = Self::tagged(0);
    /// To be counted.
    pub const COUNT: Self = Self::tagged(1);
    /// To be answered with what was counted.
    pub const REPORT: Self = Self::tagged(2);
    /// To be sent back when the counter has been set to zero.
    pub const RESET: Self = Self::tagged(3);

    const fn tagged(tag: u8) -> Self {
        Self([7; 32], [7; 8], tag)
    }

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.0);
        bytes[32..40].copy_from_slice(&self.1);
        bytes[40] = self.2;
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(
            bytes[..32].try_into().expect("32 bytes"),
            bytes[32..40].try_into().expect("8 bytes"),
            bytes[40],
        )
    }
}

/// How a message travels, where a peer has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Reliable,
    Unreliable,
}

/// The server's half of every load of events.
#[derive(Default)]
pub struct Counter {
    count: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Counter {
    /// What to answer, and how, to a message that came as `kind`.
    pub fn take(&mut self, kind: Kind, body: Body) -> Option<(Kind, Body)> {
        match body.2 {
            0 => Some((kind, body)),
            1 => {
                let now = Instant::now();
                self.first.get_or_insert(now);
                self.last = Some(now);
                self.count += 1;
                None
            }
            2 => {
                let span = match (self.first, self.last) {
                    (Some(first), Some(last)) => last - first,
                    _ => Duration::ZERO,
                };
                let mut report = body;
                report.0[..8].copy_from_slice(&self.count.to_le_bytes());
                report.1 = (span.as_nanos() as u64).to_le_bytes();
                Some((Kind::Reliable, report))
            }
            _ => {
                *self = Self::default();
                Some((Kind::Reliable, body))
            }
        }
    }
}

/// What is asked of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// One event there and back at a time.
    RoundTrip(Kind),
    /// As many events as will go, one after the other, in one direction.
    Flood(Kind),
    /// Calls, so many in flight.
    Calls { in_flight: usize },
}

impl Load {
    pub const ALL: [Self; 6] = [
        Self::RoundTrip(Kind::Reliable),
        Self::RoundTrip(Kind::Unreliable),
        Self::Calls { in_flight: 1 },
        Self::Calls { in_flight: 64 },
        Self::Flood(Kind::Reliable),
        Self::Flood(Kind::Unreliable),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RoundTrip(Kind::Reliable) => "reliable",
            Self::RoundTrip(Kind::Unreliable) => "unreliable",
            Self::Flood(Kind::Reliable) => "reliable-flood",
            Self::Flood(Kind::Unreliable) => "unreliable-flood",
            Self::Calls { in_flight: 1 } => "call",
            Self::Calls { .. } => "calls-64",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::RoundTrip(Kind::Reliable) => "reliable event, round trip, us",
            Self::RoundTrip(Kind::Unreliable) => "unreliable event, round trip, us",
            Self::Flood(Kind::Reliable) => "reliable events, thousands a second",
            Self::Flood(Kind::Unreliable) => "unreliable events, thousands a second",
            Self::Calls { in_flight: 1 } => "call, us",
            Self::Calls { .. } => "calls, 64 in flight, thousands a second",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|load| load.name() == name)
    }

    /// Whether it is about events that may be lost.
    pub fn is_unreliable(self) -> bool {
        matches!(
            self,
            Self::RoundTrip(Kind::Unreliable) | Self::Flood(Kind::Unreliable)
        )
    }

    /// Whether less is better.
    pub fn is_time(self) -> bool {
        matches!(self, Self::RoundTrip(_) | Self::Calls { in_flight: 1 })
    }
}

/// What one run of one load gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Microseconds, of loads that are timed one by one.
    pub p50: f64,
    pub p99: f64,
    /// A second.
    pub rate: f64,
    /// The share that arrived.
    pub delivered: f64,
}

impl Figures {
    pub fn of_trips(mut trips: Vec<Duration>) -> Self {
        let total: Duration = trips.iter().sum();
        let rate = trips.len() as f64 / total.as_secs_f64();
        trips.sort_unstable();
        let at = |share: usize| trips[trips.len() * share / 100].as_secs_f64() * 1e6;
        Self {
            p50: at(50),
            p99: at(99),
            rate,
            delivered: 1.0,
        }
    }

    fn of_flood(sent: u64, report: Body) -> Self {
        let count = counted(report);
        let span = Duration::from_nanos(u64::from_le_bytes(report.1));
        Self {
            p50: 0.0,
            p99: 0.0,
            rate: count as f64 / span.as_secs_f64().max(1e-9),
            delivered: count as f64 / sent as f64,
        }
    }

    fn of_calls(calls: u64, took: Duration) -> Self {
        Self {
            p50: 0.0,
            p99: 0.0,
            rate: calls as f64 / took.as_secs_f64(),
            delivered: 1.0,
        }
    }
}

fn counted(report: Body) -> u64 {
    u64::from_le_bytes(report.0[..8].try_into().expect("8 bytes"))
}

/// A client that can send events and take what comes back.
pub trait Events {
    /// Waits where it would otherwise be dropped.
    async fn send(&mut self, kind: Kind, body: Body);
    /// What is held back leaves.
    async fn flush(&mut self) {}
    async fn receive(&mut self) -> Body;
}

/// A client that can call.
pub trait Calls {
    async fn call(&self, body: Body) -> Body;
}

pub async fn drive_events(link: &mut impl Events, load: Load, count: u64) -> Figures {
    match load {
        Load::RoundTrip(kind) => {
            let mut trips = Vec::with_capacity(count as usize);
            for _ in 0..count {
                let began = Instant::now();
                link.send(kind, Body::ECHO).await;
                link.flush().await;
                link.receive().await;
                trips.push(began.elapsed());
            }
            Figures::of_trips(trips)
        }
        Load::Flood(kind) => {
            link.send(Kind::Reliable, Body::RESET).await;
            link.flush().await;
            link.receive().await;
            for _ in 0..count {
                link.send(kind, Body::COUNT).await;
            }
            link.flush().await;
            let mut last = (0, Instant::now());
            loop {
                link.send(Kind::Reliable, Body::REPORT).await;
                link.flush().await;
                let report = link.receive().await;
                let now = counted(report);
                if now > last.0 {
                    last = (now, Instant::now());
                }
                // What has not come for so long has been lost.
                if now >= count || last.1.elapsed() > Duration::from_millis(300) {
                    return Figures::of_flood(count, report);
                }
            }
        }
        Load::Calls { .. } => unreachable!("calls are driven as calls"),
    }
}

pub async fn drive_calls(link: &impl Calls, in_flight: usize, count: u64) -> Figures {
    if in_flight == 1 {
        let mut trips = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let began = Instant::now();
            link.call(Body::ECHO).await;
            trips.push(began.elapsed());
        }
        return Figures::of_trips(trips);
    }
    let began = Instant::now();
    let mut pending = FuturesUnordered::new();
    let mut started = 0;
    for _ in 0..count {
        while started < count && pending.len() < in_flight {
            pending.push(link.call(Body::ECHO));
            started += 1;
        }
        pending.next().await;
    }
    Figures::of_calls(count, began.elapsed())
}
