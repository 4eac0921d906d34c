//! A map by the ids of remotes, which are small, dense and bounded: nobody can choose them to collide.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

pub(super) type ById<T> = HashMap<u32, T, BuildHasherDefault<IdHasher>>;

/// Spreads an id over all bits, in one multiplication.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only ids are hashed");
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id).wrapping_mul(GOLDEN);
    }
}

/// 2^64 divided by the golden ratio: neighbours come to lie far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
