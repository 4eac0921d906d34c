//! Where connections come from: how many there are from each address, and how often one may come back.
//!
//! Knows nothing about what a connection is.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    clock,
    config::{Limits, Rate},
    session::budget::Bucket,
};

/// The addresses that have connections, or had some a moment ago.
pub(super) struct Addresses {
    /// Connections of one address.
    most: usize,
    /// Connections that one address makes.
    rate: Rate,
    table: Mutex<Table>,
}

struct Table {
    here: HashMap<IpAddr, usize>,
    /// Of the addresses whose buckets are not full.
    rates: HashMap<IpAddr, Bucket>,
    swept: Option<Instant>,
    /// Of first packets that are believed to come from where they say.
    unproven: Bucket,
    /// Of answers to those who find no room.
    answers: Bucket,
}

impl Addresses {
    pub(super) fn new(limits: &Limits, now: Instant) -> Arc<Self> {
        let most = limits.connections_per_address;
        let burst = u32::try_from(most.max(LEAST_BURST)).unwrap_or(u32::MAX);
        let believed = u32::try_from(limits.handshakes).unwrap_or(u32::MAX);
        Arc::new(Self {
            most,
            rate: Rate::per_second(burst / SECONDS_TO_REFILL).burst(burst),
            table: Mutex::new(Table {
                here: HashMap::new(),
                rates: HashMap::new(),
                swept: None,
                unproven: Bucket::new(Rate::per_second(UNPROVEN).burst(believed), now),
                answers: Bucket::new(ANSWERS, now),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are that have connections.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.lock().here.len()
    }

    /// Whether one more connection from `address` would be counted.
    pub(super) fn has_room(&self, address: IpAddr, now: Instant) -> bool {
        let mut table = self.lock();
        let here = table.here.get(&address).copied().unwrap_or(0);
        let rate = table.rates.get_mut(&address);
        here < self.most && rate.is_none_or(|rate| rate.has(now))
    }

    /// Whether one more may shake hands without having proven its address. That is charged to nobody, and costs
    /// the server as much when it is broken off at once.
    pub(super) fn believes(&self, now: Instant) -> bool {
        self.lock().unproven.take(now)
    }

    /// Whether one more who finds no room is told so; without an answer he asks again, and each time after a
    /// longer while.
    pub(super) fn answers(&self, now: Instant) -> bool {
        self.lock().answers.take(now)
    }

    /// Counts a connection from `address`, which has proven that it is there, unless there are too many
    /// or too many have come just now.
    pub(super) fn count(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<FromAddress> {
        let mut table = self.lock();
        let here = table.here.get(&address).copied().unwrap_or(0);
        if here >= self.most || !table.take(address, self.rate, now) {
            return None;
        }
        table.here.insert(address, here + 1);
        Some(FromAddress {
            address,
            addresses: self.clone(),
            owes: BRIEF,
        })
    }
}

impl Table {
    fn take(&mut self, address: IpAddr, rate: Rate, now: Instant) -> bool {
        let bucket = self.bucket(address, rate, now);
        bucket.is_none_or(|bucket| bucket.take(now))
    }

    /// `None` where there are too many: whoever has so many addresses is not slowed down by a rate for
    /// each of them, and nobody else is to be kept out for it.
    fn bucket(&mut self, address: IpAddr, rate: Rate, now: Instant) -> Option<&mut Bucket> {
        let known = self.rates.contains_key(&address);
        if !known && self.rates.len() >= MOST_RATES && !self.sweep(now) {
            return None;
        }
        let new = || Bucket::new(rate, now);
        Some(self.rates.entry(address).or_insert_with(new))
    }

    /// Forgets the buckets that are full again; true if that made room.
    fn sweep(&mut self, now: Instant) -> bool {
        let due = |swept| now.saturating_duration_since(swept) >= SWEEP;
        if self.swept.is_none_or(due) {
            self.swept = Some(now);
            self.rates.retain(|_, bucket| !bucket.is_full(now));
        }
        self.rates.len() < MOST_RATES
    }
}

/// A connection counted against its address, until this is dropped.
pub(super) struct FromAddress {
    address: IpAddr,
    addresses: Arc<Addresses>,
    /// What it counts beyond the one that it is. Its handshake kept a whole thread from everybody else, so
    /// coming and going again costs more than one that somebody plays on.
    owes: u32,
}

impl FromAddress {
    /// It is not its own fault that it does not play.
    pub(super) fn excuse(&mut self) {
        self.owes = 0;
    }

    /// Whoever was connected played for that long, and was perhaps thrown out for what it did.
    pub(super) fn left(&mut self, played: Duration, thrown_out: bool, now: Instant) {
        self.owes = match thrown_out {
            true => THROWN_OUT,
            false if played < WORTH_IT => BRIEF,
            false => 0,
        };
        self.pay(now);
    }

    fn pay(&mut self, now: Instant) {
        let owes = std::mem::take(&mut self.owes);
        if owes == 0 {
            return;
        }
        let Addresses { rate, .. } = *self.addresses;
        let mut table = self.addresses.lock();
        if let Some(bucket) = table.bucket(self.address, rate, now) {
            bucket.fine(owes, rate.burst / 2, now);
        }
    }
}

impl Drop for FromAddress {
    fn drop(&mut self) {
        self.pay(clock::now());
        let mut table = self.addresses.lock();
        if let Some(count) = table.here.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.here.remove(&self.address);
            }
        }
    }
}

/// Connections that an address may make in one go, however few it may have: who is alone there may
/// still lose its connection a few times.
const LEAST_BURST: usize = 64;
/// How long it takes until it may make as many again.
const SECONDS_TO_REFILL: u32 = 8;
/// Connections that it may make less after one of them was thrown out: with [`LEAST_BURST`], four come back at
/// once, and then one in two seconds.
const THROWN_OUT: u32 = 16;
/// The same after one that was brief: sixteen at once, and then two in a second.
const BRIEF: u32 = 3;
/// How long somebody plays who does not come only to come.
const WORTH_IT: Duration = Duration::from_secs(5);
/// First packets in a second that need no Retry, beyond as many at once as there may be handshakes: a crowd that
/// comes all at once waits for no round trip.
const UNPROVEN: u32 = 64;
/// Answers to all those together who find no room. Who is told asks again at once if he likes, and has the
/// keys of another handshake worked out for it.
const ANSWERS: Rate = Rate::per_second(32).burst(64);
/// Addresses whose rates are kept; some 400 KiB.
const MOST_RATES: usize = 4096;
/// Between two looks at which of them can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ADA: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const BOB: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn addresses(most: usize) -> Arc<Addresses> {
        let limits = Limits {
            connections_per_address: most,
            ..Limits::default()
        };
        Addresses::new(&limits, Instant::now())
    }

    #[test]
    fn an_address_has_as_many_connections_as_it_may_at_a_time() {
        let (addresses, now) = (addresses(2), Instant::now());
        let first = addresses.count(ADA, now).unwrap();
        let _second = addresses.count(ADA, now).unwrap();
        assert!(!addresses.has_room(ADA, now));
        assert!(addresses.count(ADA, now).is_none());
        assert!(addresses.count(BOB, now).is_some());
        drop(first);
        assert!(addresses.has_room(ADA, now));
        assert!(addresses.count(ADA, now).is_some());
    }

    /// How often somebody comes and leaves at that time, after having played that long.
    fn comes(addresses: &Arc<Addresses>, now: Instant, played: Duration) -> usize {
        let come = (0..1000).map_while(|_| addresses.count(ADA, now));
        come.map(|mut place| place.left(played, false, now)).count()
    }

    #[test]
    fn who_leaves_and_comes_back_does_so_at_a_rate() {
        let (addresses, start) = (addresses(64), Instant::now());
        assert_eq!(comes(&addresses, start, WORTH_IT), 64);
        let later = start + Duration::from_secs(2);
        assert_eq!(comes(&addresses, later, WORTH_IT), 16);
    }

    #[test]
    fn who_comes_only_to_leave_does_so_at_a_quarter_of_it() {
        let (addresses, start) = (addresses(64), Instant::now());
        assert_eq!(comes(&addresses, start, Duration::ZERO), 16);
        let later = start + Duration::from_secs(2);
        assert_eq!(comes(&addresses, later, Duration::ZERO), 4);
        // Nor is it cheaper not to join at all.
        let later = later + Duration::from_secs(8);
        let come = (0..1000).map_while(|_| addresses.count(ADA, later));
        assert_eq!(come.count(), 16);
    }

    #[test]
    fn who_does_not_play_through_no_fault_of_his_own_counts_as_one() {
        let (addresses, now) = (addresses(64), Instant::now());
        let come = (0..1000).map_while(|_| addresses.count(ADA, now));
        assert_eq!(come.map(|mut place| place.excuse()).count(), 64);
    }

    #[test]
    fn who_is_thrown_out_comes_back_slowly_and_is_never_kept_out_for_long() {
        let (addresses, start) = (addresses(64), Instant::now());
        let thrown_out = |now| {
            let come = (0..1000).map_while(|_| addresses.count(ADA, now));
            come.map(|mut place| place.left(WORTH_IT, true, now))
                .count()
        };
        assert_eq!(thrown_out(start), 4);
        let minute = (0..600).map(|n| thrown_out(start + Duration::from_millis(100 * n)));
        assert!((28..=36).contains(&minute.sum::<usize>()));
        // All at once, and each of them: half of what there was is missing, and no more.
        let later = start + Duration::from_secs(600);
        let mut crowd: Vec<_> = (0..64).map_while(|_| addresses.count(ADA, later)).collect();
        assert_eq!(crowd.len(), 64);
        let all = crowd.iter_mut();
        all.for_each(|place| place.left(WORTH_IT, true, later));
        drop(crowd);
        assert!(!addresses.has_room(ADA, later + Duration::from_millis(4000)));
        assert!(addresses.has_room(ADA, later + Duration::from_millis(4200)));
        // Those at other addresses are not concerned.
        assert!(addresses.has_room(BOB, later));
    }

    #[test]
    fn asking_for_room_takes_none() {
        let (addresses, now) = (addresses(64), Instant::now());
        assert!((0..1000).all(|_| addresses.has_room(ADA, now)));
        while addresses.count(ADA, now).is_some() {}
        assert!(!addresses.has_room(ADA, now));
        assert!(addresses.has_room(BOB, now));
        assert!(addresses.has_room(ADA, now + Duration::from_secs(1)));
    }

    #[test]
    fn all_that_an_address_may_have_can_come_at_once() {
        for most in [1, 100, 10_000, usize::MAX] {
            let (addresses, now) = (addresses(most), Instant::now());
            let here: Vec<_> = (0..most.min(10_000))
                .map_while(|_| addresses.count(ADA, now))
                .collect();
            assert_eq!(here.len(), most.min(10_000));
        }
    }

    #[test]
    fn addresses_are_forgotten_and_bounded() {
        let (addresses, start) = (addresses(64), Instant::now());
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from(number));
        for number in 0..3 * MOST_RATES as u32 {
            assert!(addresses.count(address(number), start).is_some());
        }
        assert_eq!(addresses.lock().rates.len(), MOST_RATES);
        assert_eq!(addresses.lock().here.len(), 0);
        // What each was charged is back.
        let later = start + Duration::from_secs(5);
        assert!(addresses.count(ADA, later).is_some());
        assert_eq!(addresses.lock().rates.len(), 1);
    }
}
