//! A hasher for names whose hash is a constant of their remote.

use std::hash::Hasher;

/// Names are hashed when they are declared.
#[derive(Default, Clone)]
pub(super) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
