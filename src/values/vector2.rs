//! A point or direction in the plane. Knows nothing about screens or units.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{componentwise::componentwise, print};

/// A point or direction in the plane.
///
/// Encoded in 8 bytes: `x`, `y`, each an `f32`, little endian. Prints as `x, y`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the plane has two axes")]
pub struct Vector2 {
    /// The first coordinate.
    pub x: f32,
    /// The second coordinate.
    pub y: f32,
}

impl Vector2 {
    /// The origin.
    pub const ZERO: Self = Self::new(0.0, 0.0);
    /// One in every component.
    pub const ONE: Self = Self::new(1.0, 1.0);
    /// The unit vector along x.
    pub const X_AXIS: Self = Self::new(1.0, 0.0);
    /// The unit vector along y.
    pub const Y_AXIS: Self = Self::new(0.0, 1.0);

    /// Creates a vector from its components.
    #[must_use]
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }
}

componentwise!(Vector2 { x, y });

impl fmt::Display for Vector2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::list(f, &[self.x, self.y])
    }
}

impl From<[f32; 2]> for Vector2 {
    fn from([x, y]: [f32; 2]) -> Self {
        Self { x, y }
    }
}

impl From<Vector2> for [f32; 2] {
    fn from(vector: Vector2) -> Self {
        [vector.x, vector.y]
    }
}

impl From<(f32, f32)> for Vector2 {
    fn from((x, y): (f32, f32)) -> Self {
        Self { x, y }
    }
}

impl From<Vector2> for (f32, f32) {
    fn from(vector: Vector2) -> Self {
        (vector.x, vector.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_componentwise() {
        let mut v = Vector2::new(1.0, 2.0) + Vector2::ONE - Vector2::X_AXIS;
        assert_eq!(v, Vector2::new(1.0, 3.0));
        v += Vector2::Y_AXIS;
        v *= 2.0;
        v /= 4.0;
        v -= Vector2::ONE;
        assert_eq!(v, Vector2::new(-0.5, 1.0));
        assert_eq!(-v, Vector2::new(0.5, -1.0));
        assert_eq!(v.dot(Vector2::new(2.0, 3.0)), 2.0);
        assert_eq!(Vector2::new(3.0, 4.0).magnitude(), 5.0);
    }

    #[test]
    fn arrays_and_tuples_convert_both_ways() {
        let v = Vector2::new(1.0, 2.0);
        assert_eq!(Vector2::from(<[f32; 2]>::from(v)), v);
        assert_eq!(Vector2::from(<(f32, f32)>::from(v)), v);
    }
}
