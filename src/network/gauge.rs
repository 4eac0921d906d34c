//! The gauge: how much may be in flight before a queue stands on the path.
//!
//! Loss-based congestion control fills the queue of a router and keeps it full, which reliable data does not
//! mind and unreliable events do: they arrive old. The gauge listens to what congestion control is told,
//! and says how many more bytes go without a queue. It decides nothing itself: whoever sends unreliable
//! events asks it, and everything else takes what congestion control gives.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};

/// Bytes in flight on a path, and how many may be; written by the connection's task in quinn.
#[derive(Debug)]
pub(crate) struct Gauge {
    in_flight: AtomicU64,
    allowed: AtomicU64,
    /// How many times something was acknowledged.
    acks: AtomicU64,
    sender: AtomicWaker,
}

impl Gauge {
    /// The gauge of the path that `connection` uses now.
    pub(crate) fn of(connection: &quinn::Connection) -> Option<Arc<Self>> {
        let controller = connection.congestion_state().into_any();
        let gauged = controller.downcast::<Gauged>().ok()?;
        Some(gauged.gauge.clone())
    }

    /// How many bytes more may be in flight without a queue.
    pub(crate) fn room(&self) -> u64 {
        let allowed = self.allowed.load(Relaxed);
        allowed.saturating_sub(self.in_flight.load(Relaxed))
    }

    /// Has `sender` woken by the next acknowledgement, which makes room.
    pub(crate) fn wait(&self, sender: &Waker) {
        self.sender.register(sender);
    }

    /// How many times something was acknowledged, and so whether anything was since.
    pub(crate) fn acks(&self) -> u64 {
        self.acks.load(Relaxed)
    }
}

/// Congestion control of another kind, and a gauge that listens to it.
pub(super) struct Gauged {
    control: Box<dyn Controller>,
    meter: Meter,
    gauge: Arc<Gauge>,
}

/// Makes congestion control of a kind, with a gauge.
pub(super) struct WithGauge<F>(pub(super) Arc<F>);

impl<F: ControllerFactory + Send + Sync + 'static> ControllerFactory for WithGauge<F> {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let control = self.0.clone().build(now, mtu);
        let meter = Meter::new(now, control.initial_window());
        let gauge = Gauge {
            in_flight: AtomicU64::new(0),
            allowed: AtomicU64::new(meter.allowed),
            acks: AtomicU64::new(0),
            sender: AtomicWaker::new(),
        };
        Box::new(Gauged {
            control,
            meter,
            gauge: Arc::new(gauge),
        })
    }
}

impl Controller for Gauged {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        // What only acknowledges is not acknowledged itself, and not in flight.
        let counted = if bytes > BARE { bytes } else { 0 };
        let in_flight = self.gauge.in_flight.load(Relaxed) + counted;
        self.gauge.in_flight.store(in_flight, Relaxed);
        self.meter.peak = self.meter.peak.max(in_flight);
        self.control.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &quinn_proto::RttEstimator,
    ) {
        self.meter.sample(now, sent);
        self.control.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.gauge.in_flight.store(in_flight, Relaxed);
        if self.meter.read(now) {
            self.gauge.allowed.store(self.meter.allowed, Relaxed);
        }
        self.gauge.acks.fetch_add(1, Relaxed);
        self.gauge.sender.wake();
        self.control
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        let in_flight = self.gauge.in_flight.load(Relaxed);
        let in_flight = in_flight.saturating_sub(lost_bytes);
        self.gauge.in_flight.store(in_flight, Relaxed);
        self.control
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.control.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.control.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.control.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            control: self.control.clone_box(),
            meter: self.meter.clone(),
            gauge: self.gauge.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.control.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What a path takes, by how long packets are in flight: read when what was allowed last has had its effect.
#[derive(Debug, Clone)]
struct Meter {
    /// Bytes that may be under path.
    allowed: u64,
    /// When that was found out.
    since: Instant,
    /// The shortest round trip so far: no queue.
    base: Option<Duration>,
    /// What was sent since then: when the first of it was acknowledged, and the shortest round trip, which
    /// tells what stands in a queue and is no burst.
    seen: Option<(Instant, Duration)>,
    /// Most bytes that were in flight since then.
    peak: u64,
    /// Readings in a row without a queue.
    clear: u32,
    /// Readings in a row that found a queue although next to nothing was allowed.
    stuck: u32,
}

impl Meter {
    fn new(now: Instant, initial: u64) -> Self {
        Self {
            allowed: initial,
            since: now,
            base: None,
            seen: None,
            peak: 0,
            clear: SEEMS_WIDE,
            stuck: 0,
        }
    }

    /// A packet that was sent at `sent` was acknowledged.
    fn sample(&mut self, now: Instant, sent: Instant) {
        let took = now.saturating_duration_since(sent);
        self.base = Some(self.base.map_or(took, |base| base.min(took)));
        // What was sent before tells of what was allowed before.
        if sent >= self.since {
            let (first, shortest) = self.seen.unwrap_or((now, took));
            self.seen = Some((first, shortest.min(took)));
        }
    }

    /// Finds out anew what is allowed, if it is time; false if nothing has changed.
    fn read(&mut self, now: Instant) -> bool {
        let (Some(base), Some((first, shortest))) = (self.base, self.seen) else {
            return false;
        };
        if now.saturating_duration_since(first) < READING {
            return false;
        }
        let (queue, before) = (shortest - base, self.allowed);
        let share = (base + QUEUE).as_secs_f64() / shortest.as_secs_f64().max(f64::MIN_POSITIVE);
        if queue > QUEUE {
            let used = before.min(self.peak) as f64;
            self.allowed = ((used * share.max(0.5)) as u64).max(FLOOR);
            self.clear = 0;
        } else {
            self.clear = if queue < QUEUE / 2 { self.clear + 1 } else { 0 };
            // Nothing is learned of what nobody uses.
            if self.peak + PACKET >= before {
                self.allowed += match self.clear > SEEMS_WIDE {
                    true => before / 2,
                    false => PACKET / 2,
                };
            }
        }
        self.stuck = match queue > QUEUE && before <= FLOOR {
            true => self.stuck + 1,
            false => 0,
        };
        if self.stuck == PATIENCE {
            // It is not ours: the path has become longer, or others fill it.
            (self.base, self.stuck, self.clear) = (Some(shortest), 0, SEEMS_WIDE);
        }
        (self.seen, self.peak, self.since) = (None, 0, now);
        true
    }
}

/// A queue this long is aimed at: without any, a path cannot be known to be full.
const QUEUE: Duration = Duration::from_millis(4);
/// A reading takes this long, more than a tick: what a burst adds to itself is gone before the next one.
const READING: Duration = Duration::from_millis(20);
/// Packets with nothing but acknowledgements are smaller.
const BARE: u64 = 64;
/// As large as packets are until a path is known to take larger ones.
const PACKET: u64 = 1200;
/// Always allowed, whatever is measured: a few packets a round trip, without which nothing would be measured.
pub(crate) const FLOOR: u64 = 4 * PACKET;
/// Readings without a queue after which a path may be much wider than it is used.
const SEEMS_WIDE: u32 = 8;
/// Readings after which a queue that does not go away is taken for the length of the path.
const PATIENCE: u32 = 4;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A path on which packets leave one by one, and a sender that has as many in flight as it may.
    struct Path {
        meter: Meter,
        now: Instant,
        round_trip: Duration,
        /// Of each packet.
        takes: Duration,
        free: Instant,
        /// When it was sent, and when it will have been acknowledged.
        flying: VecDeque<(Instant, Instant)>,
        acknowledged: u64,
    }

    impl Path {
        fn new(round_trip: Duration, takes: Duration) -> Self {
            let now = Instant::now();
            Self {
                meter: Meter::new(now, 32 * PACKET),
                now,
                round_trip,
                takes,
                free: now,
                flying: VecDeque::new(),
                acknowledged: 0,
            }
        }

        /// Gives what share of the path was used, and the longest that a packet then waits for others.
        fn run(&mut self, time: Duration) -> (f64, Duration) {
            let (end, before) = (self.now + time, self.acknowledged);
            let mut longest = Duration::ZERO;
            while self.now < end {
                while self.flying.len() as u64 * PACKET < self.meter.allowed {
                    longest = longest.max(self.free.saturating_duration_since(self.now));
                    self.free = self.free.max(self.now) + self.takes;
                    let back = self.free + self.round_trip;
                    self.flying.push_back((self.now, back));
                }
                let flying = self.flying.len() as u64 * PACKET;
                self.meter.peak = self.meter.peak.max(flying);
                let (sent, back) = self.flying.pop_front().unwrap();
                self.now = back;
                self.acknowledged += 1;
                self.meter.sample(back, sent);
                self.meter.read(back);
            }
            let could = time.as_secs_f64() / self.takes.as_secs_f64();
            ((self.acknowledged - before) as f64 / could, longest)
        }
    }

    const MS: Duration = Duration::from_millis(1);

    /// Nobody acknowledges them, so they would be counted for ever.
    #[test]
    fn packets_that_only_acknowledge_are_not_in_flight() {
        let now = Instant::now();
        let congestion = Arc::new(quinn::congestion::CubicConfig::default());
        let control = Arc::new(WithGauge(congestion)).build(now, 1200);
        let mut gauged = control.into_any().downcast::<Gauged>().unwrap();
        let room = gauged.gauge.room();
        for number in 0..100 {
            gauged.on_sent(now, BARE, number);
        }
        assert_eq!(gauged.gauge.room(), room);
        gauged.on_sent(now, PACKET, 100);
        assert_eq!(gauged.gauge.room(), room - PACKET);
        gauged.on_end_acks(now, 0, false, Some(100));
        assert_eq!(gauged.gauge.room(), room);
    }

    #[test]
    fn a_path_is_used_to_the_full_and_no_queue_stands() {
        for (round_trip, takes) in [
            (40 * MS, 5 * MS),
            (40 * MS, MS),
            (5 * MS, MS / 5),
            (250 * MS, MS),
        ] {
            let mut path = Path::new(round_trip, takes);
            path.run(Duration::from_secs(10));
            let (used, longest) = path.run(Duration::from_secs(10));
            assert!(used > 0.9, "{round_trip:?}, {takes:?}: {used}");
            let most = QUEUE * 2 + takes * 2;
            assert!(longest <= most, "{round_trip:?}, {takes:?}: {longest:?}");
        }
    }

    #[test]
    fn a_path_that_becomes_longer_is_used_to_the_full_again() {
        let mut path = Path::new(10 * MS, MS);
        path.run(Duration::from_secs(5));
        path.round_trip = 80 * MS;
        path.run(Duration::from_secs(20));
        let (used, longest) = path.run(Duration::from_secs(5));
        assert!(used > 0.9, "{used}");
        assert!(longest <= QUEUE * 2 + 2 * MS, "{longest:?}");
    }

    #[test]
    fn what_is_not_used_is_neither_widened_nor_narrowed() {
        let now = Instant::now();
        let mut meter = Meter::new(now, 32 * PACKET);
        for n in 0..1_000 {
            let sent = now + MS * 50 * n;
            meter.peak = PACKET;
            // Up to 30 ms of jitter: some packets have none.
            meter.sample(sent + 60 * MS + MS * (n * 7 % 31), sent);
            meter.read(sent + 100 * MS);
        }
        assert!(meter.allowed >= FLOOR, "{}", meter.allowed);
        assert!(meter.allowed <= 32 * PACKET, "{}", meter.allowed);
    }
}
