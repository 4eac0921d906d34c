//! Room on the network for unreliable events: how much there is, and when to look again.
//!
//! Knows nothing about what the events are.

use std::{
    pin::Pin,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use quinn::Connection;
use tokio::time::{Sleep, sleep};

use super::{Link, State};
use crate::{
    clock,
    network::{DATAGRAM_QUEUE, FLOOR, Gauge},
    wire,
};

impl Link {
    /// Hands unreliable events to QUIC; true if there was one, and room.
    ///
    /// Only into an empty queue, and as many as go without a queue on the path: what waits there grows old,
    /// what waits in the outbox is replaced by what is newer. `streams_wait` for the network as well.
    pub(super) fn hand_over(&self, state: &mut State, streams_wait: bool) -> bool {
        let connection = &self.connection;
        let room = connection.datagram_send_buffer_space();
        if room + QUEUE_SLACK < DATAGRAM_QUEUE {
            return false;
        }
        let limit = connection.max_datagram_size().unwrap_or(0);
        let limit = limit.min(wire::MAX_DATAGRAM);
        let before = self.datagram_budget(streams_wait);
        let before = state.gauging.within(before, connection);
        let mut budget = before;
        // QUIC makes room for one too many by dropping the first.
        let mut space = room;
        while budget > 0 && space >= limit + DATAGRAM_COST {
            let Some(datagram) = state.outbox.take_datagram(limit) else {
                break;
            };
            let len = datagram.len() + DATAGRAM_COST;
            (budget, space) = (budget.saturating_sub(len), space.saturating_sub(len));
            // It fits the limit that was just asked for; if the path shrank meanwhile it is lost,
            // as unreliable events may be.
            let _ = connection.send_datagram(datagram);
        }
        state.gauging.spend(before - budget);
        budget < before
    }

    /// QUIC sends datagrams before streams: while streams wait, they may not have the whole window.
    fn datagram_budget(&self, streams_wait: bool) -> usize {
        let most = DATAGRAM_QUEUE - QUEUE_SLACK;
        if !streams_wait {
            return most;
        }
        let window = self.connection.stats().path.cwnd;
        most.min(usize::try_from(window / 4 * 3).unwrap_or(most))
    }
}

/// What goes without a queue on the path, and at least a little each round trip.
#[derive(Default)]
pub(super) struct Gauging {
    pub(super) gauge: Option<Arc<Gauge>>,
    /// When the current round trip began.
    began: Option<Instant>,
    /// Bytes handed over in the one before, and in the current one.
    spent: [usize; 2],
    /// How many times there was something to hand over.
    asked: u32,
}

impl Gauging {
    /// How much of `budget` may be handed over.
    pub(super) fn within(&mut self, budget: usize, connection: &Connection) -> usize {
        // A connection that moves to another path has another gauge, and nobody tells.
        if self.asked.is_multiple_of(ASKED_UNSEEN) {
            self.gauge = Gauge::of(connection);
        }
        self.asked = self.asked.wrapping_add(1);
        let Some(gauge) = &self.gauge else {
            return budget;
        };
        let room = usize::try_from(gauge.room()).unwrap_or(usize::MAX);
        if room >= budget {
            return budget;
        }
        let least = self.least(clock::now(), connection.rtt());
        budget.min(room.max(least))
    }

    /// What may be handed over at `now` however little room there is, where a round trip takes so long: what is
    /// reliable counts as under way as well, and may take all of the room for long.
    fn least(&mut self, now: Instant, trip: Duration) -> usize {
        let since = self.began.map(|began| now.saturating_duration_since(began));
        // The first time there is no round trip yet that anything was spent in, whatever went before.
        if since.is_none_or(|since| since >= trip) {
            let lately = since.is_some_and(|since| since < trip * 2);
            let before = if lately { self.spent[1] } else { 0 };
            (self.began, self.spent) = (Some(now), [before, 0]);
            self.asked = 0;
        }
        FLOOR.saturating_sub(self.spent.iter().sum::<usize>() as u64) as usize
    }

    /// So much was handed over.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.spent[1] = self.spent[1].saturating_add(bytes);
    }
}

/// When the network is to be asked for room again.
pub(super) struct Retry {
    sleep: Pin<Box<Sleep>>,
    gauge: Option<Arc<Gauge>>,
    /// What had been acknowledged; more of it makes room.
    acks: u64,
}

impl Retry {
    /// Wakes the task when it is time.
    pub(super) fn new(gauge: Option<Arc<Gauge>>, cx: &mut Context<'_>) -> Self {
        if let Some(gauge) = &gauge {
            gauge.wait(cx.waker());
        }
        let mut sleep = Box::pin(sleep(RETRY));
        let _ = sleep.as_mut().poll(cx);
        Self {
            sleep,
            // Asked after it was told whom to wake: none goes by unseen.
            acks: gauge.as_ref().map_or(0, |gauge| gauge.acks()),
            gauge,
        }
    }

    pub(super) fn has_come(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(gauge) = &self.gauge {
            gauge.wait(cx.waker());
            if gauge.acks() != self.acks {
                return true;
            }
        }
        self.sleep.as_mut().poll(cx).is_ready()
    }
}

/// As often as this, and in every round trip in which there is too little room, the path is asked for its gauge.
const ASKED_UNSEEN: u32 = 256;
/// A queue with less than this in it counts as empty.
const QUEUE_SLACK: usize = 64;
/// What quinn counts for a queued datagram beside its bytes.
const DATAGRAM_COST: usize = 32;
/// Acknowledgements tell of room, but not that QUIC's pacing is over: timers have a resolution of one
/// millisecond.
const RETRY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// What was handed over while there was room enough is not held against the first time that there is too little.
    #[test]
    fn a_little_goes_in_every_two_round_trips_and_at_the_first_shortage() {
        const TRIP: Duration = Duration::from_millis(80);
        const LEAST: usize = FLOOR as usize;
        let (mut gauging, now) = (Gauging::default(), clock::now());
        gauging.spend(1_000_000);
        assert_eq!(gauging.least(now, TRIP), LEAST);
        gauging.spend(LEAST - 100);
        assert_eq!(gauging.least(now + TRIP / 2, TRIP), 100);
        gauging.spend(100);
        assert_eq!(gauging.least(now + TRIP / 2, TRIP), 0);
        assert_eq!(gauging.least(now + TRIP, TRIP), 0);
        assert_eq!(gauging.least(now + TRIP * 2, TRIP), LEAST);
    }
}
