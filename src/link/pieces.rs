//! Where pieces of streams lie for as long as QUIC is asked to take or to give some.
//!
//! One place for each thread instead of two for each connection, which are empty nearly all of the time. Knows nothing
//! about what the pieces are.

use std::cell::RefCell;

use bytes::Bytes;

/// Lends the place, whose content means nothing. Nothing that this is lent to may ask for it again.
pub(super) fn with_pieces<T>(lend: impl FnOnce(&mut [Bytes; MOST]) -> T) -> T {
    thread_local! {
        static PIECES: RefCell<[Bytes; MOST]> = const { RefCell::new([const { Bytes::new() }; MOST]) };
    }
    PIECES.with_borrow_mut(lend)
}

/// Pieces that are read or written at a time.
const MOST: usize = 16;
