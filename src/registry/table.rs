//! What a registry has declared, read without a lock and without a count: lists that only grow.
//!
//! Nothing is ever taken out or moved, so that whoever reads needs no protection from whoever writes, and
//! costs what it reads. Writers take turns, under the registry's lock. Knows nothing about handlers.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use super::Entry;

pub(super) struct Table<C> {
    entries: Growing<OnceLock<Arc<Entry<C>>>>,
    len: AtomicUsize,
    /// The first entry with each remainder of the hash; the others hang on it.
    by_hash: Box<[OnceLock<Arc<Entry<C>>>]>,
    /// Clients only: the slot of each id plus one, or 0.
    by_id: Growing<AtomicU32>,
}

impl<C> Table<C> {
    pub(super) fn new() -> Self {
        Self {
            entries: Growing::default(),
            len: AtomicUsize::new(0),
            by_hash: (0..REMAINDERS).map(|_| OnceLock::new()).collect(),
            by_id: Growing::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn find(&self, name: &str, hash: u64) -> Option<&Arc<Entry<C>>> {
        let mut next = self.remainder(hash).get();
        while let Some(entry) = next {
            if entry.spec.hash == hash && same_text(entry.spec.name, name) {
                break;
            }
            next = entry.next.get();
        }
        next
    }

    #[inline]
    pub(super) fn entry(&self, slot: u32) -> Option<&Arc<Entry<C>>> {
        self.entries.get(slot as usize)?.get()
    }

    /// All entries, in the order of their slots.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry<C>>> {
        (0..self.len()).filter_map(|slot| self.entry(slot as u32))
    }

    /// For writers: adds an entry, whose slot is the number of those before it.
    pub(super) fn push(&self, entry: Entry<C>) -> &Arc<Entry<C>> {
        let slot = self.len();
        let entry = self.entries.place(slot).get_or_init(|| Arc::new(entry));
        self.len.store(slot + 1, Ordering::Release);
        let mut place = self.remainder(entry.spec.hash);
        while let Some(before) = place.get() {
            place = &before.next;
        }
        let _ = place.set(entry.clone());
        entry
    }

    /// The entry that the server calls `id`.
    #[inline]
    pub(super) fn by_id(&self, id: u32) -> Option<&Arc<Entry<C>>> {
        let slot = self.by_id.get(id as usize)?.load(Ordering::Acquire);
        self.entry(slot.checked_sub(1)?)
    }

    /// For writers: the server calls the entry in `slot` so.
    pub(super) fn bind(&self, id: u32, slot: u32) {
        let place = self.by_id.place(id as usize);
        place.store(slot + 1, Ordering::Release);
    }

    #[inline]
    fn remainder(&self, hash: u64) -> &OnceLock<Arc<Entry<C>>> {
        &self.by_hash[hash as usize % REMAINDERS]
    }

    #[cfg(test)]
    pub(super) fn room_for_ids(&self) -> usize {
        let pieces = self.by_id.0.iter();
        pieces
            .filter_map(OnceLock::get)
            .map(|piece| piece.len())
            .sum()
    }
}

/// A list with room for any place up to the highest one there can be, made where it is needed.
///
/// Each piece is twice as long as the one before.
struct Growing<T>([OnceLock<Box<[T]>>; PIECES]);

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; PIECES])
    }
}

impl<T: Default> Growing<T> {
    #[inline]
    fn get(&self, at: usize) -> Option<&T> {
        let (piece, at) = piece_of(at);
        self.0.get(piece)?.get()?.get(at)
    }

    /// The place at `at`, made if it is not there.
    fn place(&self, at: usize) -> &T {
        let (piece, at) = piece_of(at);
        let make = || (0..FIRST << piece).map(|_| T::default()).collect();
        &self.0[piece].get_or_init(make)[at]
    }
}

/// Which piece a place is in, and where in it.
#[inline]
fn piece_of(at: usize) -> (usize, usize) {
    let at = at.saturating_add(FIRST);
    let piece = (at / FIRST).ilog2() as usize;
    (piece, at - (FIRST << piece))
}

/// Remotes are constants: mostly the two are the same piece of memory, which needs no comparing.
#[inline]
fn same_text(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// More than most programs have remotes.
const REMAINDERS: usize = 256;
/// The places of the first piece.
const FIRST: usize = 64;
/// Room for [`MAX_REMOTES`](crate::wire::MAX_REMOTES), and one more, as ids begin with 1.
const PIECES: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MAX_REMOTES;

    #[test]
    fn every_place_is_another_one_and_none_is_beyond_the_last_piece() {
        let mut expected = (0, 0);
        for at in 0..=MAX_REMOTES {
            assert_eq!(piece_of(at), expected, "{at}");
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(piece_of(MAX_REMOTES).0 < PIECES);
        let list = Growing::<AtomicU32>::default();
        assert!(
            [0, 1, FIRST, MAX_REMOTES, usize::MAX]
                .iter()
                .all(|&at| list.get(at).is_none())
        );
        list.place(MAX_REMOTES).store(7, Ordering::Relaxed);
        let place = list.get(MAX_REMOTES).expect("it was made");
        assert_eq!(place.load(Ordering::Relaxed), 7);
        assert!(list.get(0).is_none(), "what is not needed is not made");
    }
}
