//! The model of one direction of a link: what becomes of each packet.
//!
//! Plain state; time and conditions are arguments, chance is a seeded generator.

use std::time::{Duration, Instant};

use super::{ConditionerStats, Conditions, Loss};

#[derive(Debug)]
pub(super) struct Model {
    chance: Chance,
    /// Whether the link is in a burst of loss.
    bad: bool,
    /// When the last bit that is queued will have passed.
    busy_until: Option<Instant>,
    /// Packets that keep their order arrive no earlier than this.
    last: Option<Instant>,
}

/// When a packet arrives: never, once, or twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) arrives: Option<Instant>,
    pub(super) again: Option<Instant>,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            bad: false,
            busy_until: None,
            last: None,
        }
    }

    pub(super) fn judge(
        &mut self,
        conditions: &Conditions,
        stats: &mut ConditionerStats,
        now: Instant,
        bytes: usize,
    ) -> Fate {
        let gone = Fate {
            arrives: None,
            again: None,
        };
        stats.seen += 1;
        if conditions.mtu.is_some_and(|mtu| bytes > mtu) {
            stats.too_long += 1;
            return gone;
        }
        if self.loses(conditions.loss) {
            stats.lost += 1;
            return gone;
        }
        let Some(passed) = self.pass(conditions, now, bytes) else {
            stats.overflowed += 1;
            return gone;
        };
        let jitter = conditions.jitter.mul_f64(self.chance.share());
        let mut arrives = passed + conditions.delay + jitter;
        if self.chance.happens(conditions.reorder) {
            stats.reordered += 1;
            arrives += conditions.jitter.max(SHORTEST_FALL_BACK) * 2;
        } else {
            arrives = self.last.map_or(arrives, |last| arrives.max(last));
            self.last = Some(arrives);
        }
        let again = self.chance.happens(conditions.duplicate).then_some(arrives);
        stats.duplicated += u64::from(again.is_some());
        Fate {
            arrives: Some(arrives),
            again,
        }
    }

    fn loses(&mut self, loss: Loss) -> bool {
        match loss {
            Loss::None => false,
            Loss::Random(share) => self.chance.happens(share),
            Loss::Bursts {
                worsen,
                recover,
                lost,
            } => {
                let turn = if self.bad { recover } else { worsen };
                if self.chance.happens(turn) {
                    self.bad = !self.bad;
                }
                self.bad && self.chance.happens(lost)
            }
        }
    }

    /// When the packet has passed the bottleneck, or nothing if its queue is full.
    fn pass(&mut self, conditions: &Conditions, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = conditions.rate.filter(|rate| *rate > 0) else {
            return Some(now);
        };
        let begins = self.busy_until.map_or(now, |busy| busy.max(now));
        let waiting = (begins - now).as_secs_f64() * rate as f64 / 8.0;
        if waiting > conditions.queue as f64 {
            return None;
        }
        let passed = begins + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        self.busy_until = Some(passed);
        Some(passed)
    }
}

/// SplitMix64: tiny, and the same on every machine and in every version.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 up to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.share() < probability
    }
}

/// Without jitter, a packet that falls behind still has to.
const SHORTEST_FALL_BACK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: u64 = 20_000;

    fn run(
        conditions: &Conditions,
        seed: u64,
        apart: Duration,
    ) -> (Vec<Option<Duration>>, ConditionerStats) {
        let (mut model, mut stats) = (Model::new(seed), ConditionerStats::default());
        let start = Instant::now();
        let delays = (0..PACKETS as u32).map(|number| {
            let now = start + apart * number;
            model
                .judge(conditions, &mut stats, now, 1000)
                .arrives
                .map(|arrives| arrives - now)
        });
        (delays.collect(), stats)
    }

    #[test]
    fn the_same_seed_gives_the_same_fate() {
        let awful = super::super::Preset::Awful.conditions();
        let apart = Duration::from_millis(5);
        assert_eq!(run(&awful, 7, apart), run(&awful, 7, apart));
        assert_ne!(run(&awful, 7, apart).0, run(&awful, 8, apart).0);
    }

    #[test]
    fn random_loss_loses_its_share() {
        let conditions = Conditions::new(Duration::ZERO, 0.05);
        let (_, stats) = run(&conditions, 1, Duration::from_millis(1));
        assert_eq!(stats.seen, PACKETS);
        let share = stats.lost as f64 / PACKETS as f64;
        assert!((0.045..0.055).contains(&share), "{share}");
    }

    #[test]
    fn bursts_come_in_bursts() {
        let loss = Loss::Bursts {
            worsen: 0.01,
            recover: 0.1,
            lost: 1.0,
        };
        let conditions = Conditions {
            loss,
            ..Conditions::default()
        };
        let (delays, stats) = run(&conditions, 3, Duration::from_millis(1));
        let bursts = delays
            .windows(2)
            .filter(|pair| pair[0].is_some() && pair[1].is_none())
            .count();
        let mean = stats.lost as f64 / bursts as f64;
        assert!((7.0..13.0).contains(&mean), "{mean}");
    }

    #[test]
    fn jitter_keeps_order_and_reorder_does_not() {
        let ms = Duration::from_millis;
        let mut conditions = Conditions {
            delay: ms(50),
            jitter: ms(20),
            ..Conditions::default()
        };
        let arrivals = |conditions: &Conditions| {
            let (delays, stats) = run(conditions, 5, ms(1));
            let times = delays.into_iter().flatten().enumerate();
            let times: Vec<_> = times.map(|(at, delay)| ms(at as u64) + delay).collect();
            (times.is_sorted(), times[0], stats.reordered)
        };
        let (sorted, first, reordered) = arrivals(&conditions);
        assert!(sorted && (ms(50)..=ms(70)).contains(&first) && reordered == 0);
        conditions.reorder = 0.01;
        let (sorted, _, reordered) = arrivals(&conditions);
        assert!(!sorted && (100..300).contains(&reordered), "{reordered}");
    }

    #[test]
    fn a_rate_delays_then_drops() {
        // 1000 bytes each 4 ms are 2 Mbit/s, twice what passes.
        let conditions = Conditions {
            rate: Some(1_000_000),
            queue: 20_000,
            ..Conditions::default()
        };
        let (delays, stats) = run(&conditions, 1, Duration::from_millis(4));
        let most = delays.iter().flatten().max().copied().unwrap_or_default();
        assert!(most <= Duration::from_millis(20 * 8 + 8), "{most:?}");
        let share = stats.overflowed as f64 / PACKETS as f64;
        assert!((0.48..0.52).contains(&share), "{share}");
    }

    #[test]
    fn longer_than_the_mtu_is_lost_and_duplicates_come_twice() {
        let start = Instant::now();
        let (mut model, mut stats) = (Model::new(1), ConditionerStats::default());
        let conditions = Conditions {
            mtu: Some(1200),
            duplicate: 1.0,
            ..Conditions::default()
        };
        let fate = model.judge(&conditions, &mut stats, start, 1201);
        assert_eq!(
            fate,
            Fate {
                arrives: None,
                again: None
            }
        );
        let fate = model.judge(&conditions, &mut stats, start, 1200);
        assert_eq!(
            fate,
            Fate {
                arrives: Some(start),
                again: Some(start)
            }
        );
        assert_eq!((stats.too_long, stats.duplicated), (1, 1));
    }
}
