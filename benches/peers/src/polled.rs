//! Libraries that are polled, as a game loop does: driven here without a pause, which is the best they
//! can do.

use std::{collections::VecDeque, thread, time::Duration};

use crate::work::{Body, Counter, Events, Kind};

/// A client or a server with one client of a library that is polled.
pub trait Polled {
    /// One turn of the loop: reads what came into `inbox`, sends what waits.
    fn turn(&mut self, inbox: &mut VecDeque<(Kind, Body)>);
    /// Hands a message over; false if there is no room for it now.
    fn send(&mut self, kind: Kind, body: Body) -> bool;
}

/// Serves for ever; the process is ended by whoever started it.
pub fn serve(mut host: impl Polled) -> ! {
    let mut counter = Counter::default();
    let mut inbox = VecDeque::new();
    loop {
        host.turn(&mut inbox);
        if inbox.is_empty() {
            thread::yield_now();
        }
        while let Some((kind, body)) = inbox.pop_front() {
            if let Some((kind, answer)) = counter.take(kind, body) {
                host.send(kind, answer);
            }
        }
    }
}

/// A client, as the loads want it.
pub struct Looped<P> {
    host: P,
    inbox: VecDeque<(Kind, Body)>,
    unsent: usize,
}

impl<P: Polled> Looped<P> {
    pub fn new(host: P) -> Self {
        Self {
            host,
            inbox: VecDeque::new(),
            unsent: 0,
        }
    }
}

impl<P: Polled> Events for Looped<P> {
    async fn send(&mut self, kind: Kind, body: Body) {
        while !self.host.send(kind, body) {
            self.host.turn(&mut self.inbox);
            thread::yield_now();
        }
        self.unsent += 1;
        if self.unsent >= TURN {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        self.unsent = 0;
        self.host.turn(&mut self.inbox);
    }

    async fn receive(&mut self) -> Body {
        loop {
            if let Some((_, body)) = self.inbox.pop_front() {
                return body;
            }
            self.host.turn(&mut self.inbox);
            if self.inbox.is_empty() {
                thread::yield_now();
            }
        }
    }
}

/// Events handed over before the library gets a turn.
const TURN: usize = 100;

/// How far the libraries that are told the time are behind the clock, at most, per turn.
pub fn since(last: &mut std::time::Instant) -> Duration {
    let now = std::time::Instant::now();
    let passed = now - *last;
    *last = now;
    passed
}
