//! An axis-aligned box in space. Knows nothing about what is inside.

use serde::{Deserialize, Serialize};

use super::Vector3;

/// A box with sides along the axes.
///
/// Encoded in 24 bytes: `min`, then `max`. That `min` lies below `max` is not guaranteed: a peer sends what it
/// likes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "two corners are a box")]
pub struct Region3 {
    /// The corner with the smaller coordinates.
    pub min: Vector3,
    /// The corner with the larger coordinates.
    pub max: Vector3,
}

impl Region3 {
    /// Creates a box from its corners, as given.
    #[must_use]
    pub const fn new(min: Vector3, max: Vector3) -> Self {
        Self { min, max }
    }

    /// Returns the extent along each axis, negative where the corners are the wrong way round.
    #[must_use]
    pub fn size(self) -> Vector3 {
        self.max - self.min
    }

    /// Returns the point in the middle.
    #[must_use]
    pub fn center(self) -> Vector3 {
        self.min.lerp(self.max, 0.5)
    }

    /// Returns whether no coordinate is NaN or infinite.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.min.is_finite() && self.max.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures() {
        let region = Region3::new(-Vector3::ONE, Vector3::new(3.0, 1.0, 2.0));
        assert_eq!(region.size(), Vector3::new(4.0, 2.0, 3.0));
        assert_eq!(region.center(), Vector3::new(1.0, 0.0, 0.5));
        assert!(region.is_finite());
        assert!(!Region3::new(Vector3::ZERO, Vector3::ONE / 0.0).is_finite());
    }
}
