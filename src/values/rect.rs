//! An axis-aligned rectangle in the plane. Knows nothing about what it frames.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Vector2, print};

/// A rectangle with sides along the axes.
///
/// Encoded in 16 bytes: `min`, then `max`. Prints as `min x, min y, max x, max y`. That `min` lies below `max`
/// is not guaranteed: a peer sends what it likes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "two corners are a rectangle")]
pub struct Rect {
    /// The corner with the smaller coordinates.
    pub min: Vector2,
    /// The corner with the larger coordinates.
    pub max: Vector2,
}

impl Rect {
    /// Creates a rectangle from its corners, as given.
    #[must_use]
    pub const fn new(min: Vector2, max: Vector2) -> Self {
        Self { min, max }
    }

    /// Returns the extent along x, negative when the corners are the wrong way round.
    #[must_use]
    pub fn width(self) -> f32 {
        self.max.x - self.min.x
    }

    /// Returns the extent along y, negative when the corners are the wrong way round.
    #[must_use]
    pub fn height(self) -> f32 {
        self.max.y - self.min.y
    }

    /// Returns whether no coordinate is NaN or infinite.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.min.is_finite() && self.max.is_finite()
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::list(f, &[self.min.x, self.min.y, self.max.x, self.max.y])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_prints() {
        let rect = Rect::new(Vector2::new(1.0, 2.0), Vector2::new(4.0, 8.5));
        assert_eq!((rect.width(), rect.height()), (3.0, 6.5));
        assert_eq!(rect.to_string(), "1, 2, 4, 8.5");
        assert!(rect.is_finite());
        assert!(!Rect::new(Vector2::ZERO, Vector2::ONE / 0.0).is_finite());
    }
}
