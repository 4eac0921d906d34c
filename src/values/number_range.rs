//! A closed range of numbers. Knows nothing about what is in range of what.

use serde::{Deserialize, Serialize};

/// A closed range of numbers, `min` to `max`.
///
/// Encoded in 8 bytes: `min`, `max`, each an `f32`, little endian. That `min` lies below `max` is not
/// guaranteed: a peer sends what it likes. An upside-down range contains nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "two ends are a range")]
pub struct NumberRange {
    /// The lower end, inclusive.
    pub min: f32,
    /// The upper end, inclusive.
    pub max: f32,
}

impl NumberRange {
    /// Creates a range from its ends, as given.
    #[must_use]
    pub const fn new(min: f32, max: f32) -> Self {
        Self { min, max }
    }

    /// Returns whether the number lies in the range, ends included; NaN lies in none.
    #[must_use]
    pub fn contains(self, number: f32) -> bool {
        (self.min..=self.max).contains(&number)
    }

    /// Returns whether neither end is NaN or infinite.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.min.is_finite() && self.max.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_its_ends_and_never_nan() {
        let range = NumberRange::new(-1.0, 2.0);
        assert!(range.contains(-1.0) && range.contains(2.0));
        assert!(!range.contains(2.1) && !range.contains(f32::NAN));
        assert!(!NumberRange::new(2.0, -1.0).contains(0.0));
        assert!(!NumberRange::new(f32::NAN, f32::NAN).contains(0.0));
        assert!(!NumberRange::new(0.0, f32::INFINITY).is_finite());
    }
}
