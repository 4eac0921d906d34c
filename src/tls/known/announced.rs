//! Identities that servers have announced and that are still to be written down.
//!
//! Of one server the latest counts, and one at a time writes: so what is written last was said last, and
//! a server that changes its mind costs a write or two. Knows nothing about the file.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::super::Pin;

#[derive(Default)]
pub(super) struct Announced(Mutex<State>);

#[derive(Default)]
struct State {
    /// The identities to come, by the present ones.
    next: BTreeMap<Pin, Pin>,
    writing: bool,
}

impl Announced {
    /// Notes an announcement; true if nobody is writing, and the caller is to.
    pub(super) fn note(&self, current: Pin, next: Pin) -> bool {
        let mut state = self.lock();
        if state.next.len() < MOST || state.next.contains_key(&current) {
            state.next.insert(current, next);
        }
        !std::mem::replace(&mut state.writing, true)
    }

    /// Takes what is to be written; when there is nothing, nobody is writing any more.
    pub(super) fn take(&self) -> BTreeMap<Pin, Pin> {
        let mut state = self.lock();
        state.writing = !state.next.is_empty();
        std::mem::take(&mut state.next)
    }

    /// Whoever was to write does not.
    pub(super) fn give_up(&self) {
        self.lock().writing = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Servers whose announcements wait; of further ones they are forgotten until the next visit.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(n: u16) -> Pin {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        Pin::from_bytes(bytes)
    }

    #[test]
    fn one_writes_and_of_each_server_the_latest() {
        let announced = Announced::default();
        assert!(announced.note(pin(1), pin(2)));
        assert!(!announced.note(pin(1), pin(3)));
        assert!(!announced.note(pin(7), pin(8)));
        let latest = BTreeMap::from([(pin(1), pin(3)), (pin(7), pin(8))]);
        assert_eq!(announced.take(), latest);
        // It is being written.
        assert!(!announced.note(pin(1), pin(4)));
        assert_eq!(announced.take(), BTreeMap::from([(pin(1), pin(4))]));
        assert!(announced.take().is_empty());
        assert!(announced.note(pin(1), pin(5)));
        announced.give_up();
        assert!(announced.note(pin(1), pin(6)));
    }

    #[test]
    fn what_waits_is_bounded() {
        let announced = Announced::default();
        for n in 0..3 * MOST as u16 {
            announced.note(pin(n), pin(n));
        }
        announced.note(pin(0), pin(9));
        let waiting = announced.take();
        assert_eq!((waiting.len(), waiting[&pin(0)]), (MOST, pin(9)));
    }
}
