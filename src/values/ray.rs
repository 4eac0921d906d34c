//! A half-line in space. Knows nothing about what it may hit.

use serde::{Deserialize, Serialize};

use super::Vector3;

/// A half-line: where it starts and where it goes.
///
/// Encoded in 24 bytes: `origin`, then `direction`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an origin and a direction are a ray"
)]
pub struct Ray {
    /// Where the ray starts.
    pub origin: Vector3,
    /// Where it goes; of any length, zero included.
    pub direction: Vector3,
}

impl Ray {
    /// Creates a ray from its start and its direction, as given.
    #[must_use]
    pub const fn new(origin: Vector3, direction: Vector3) -> Self {
        Self { origin, direction }
    }

    /// Returns the same ray with a direction of length one; a direction of zero stays zero.
    #[must_use]
    pub fn unit(self) -> Self {
        Self::new(self.origin, self.direction.unit())
    }

    /// Returns whether no component is NaN or infinite.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.origin.is_finite() && self.direction.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_keeps_the_origin() {
        let ray = Ray::new(Vector3::ONE, Vector3::new(0.0, 0.0, -8.0)).unit();
        assert_eq!(ray, Ray::new(Vector3::ONE, -Vector3::Z_AXIS));
        assert!(ray.is_finite());
        assert!(!Ray::new(Vector3::ONE / 0.0, Vector3::ZERO).is_finite());
    }
}
