//! A point or direction in space. Knows nothing about units; farfire never interprets one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{componentwise::componentwise, print};

/// A point or direction in space, right-handed.
///
/// Encoded in 12 bytes: `x`, `y`, `z`, each an `f32`, little endian. Prints as `x, y, z`.
///
/// ```
/// use farfire::values::Vector3;
///
/// let position = Vector3::new(0.0, 25.0, 0.0);
/// assert_eq!(position.to_string(), "0, 25, 0");
/// assert_eq!((position + Vector3::X_AXIS * 0.5).to_string(), "0.5, 25, 0");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "space has three axes")]
pub struct Vector3 {
    /// The first coordinate, to the right by convention.
    pub x: f32,
    /// The second coordinate, up by convention.
    pub y: f32,
    /// The third coordinate, towards the viewer by convention.
    pub z: f32,
}

impl Vector3 {
    /// The origin.
    pub const ZERO: Self = Self::new(0.0, 0.0, 0.0);
    /// One in every component.
    pub const ONE: Self = Self::new(1.0, 1.0, 1.0);
    /// The unit vector along x.
    pub const X_AXIS: Self = Self::new(1.0, 0.0, 0.0);
    /// The unit vector along y.
    pub const Y_AXIS: Self = Self::new(0.0, 1.0, 0.0);
    /// The unit vector along z.
    pub const Z_AXIS: Self = Self::new(0.0, 0.0, 1.0);

    /// Creates a vector from its components.
    #[must_use]
    pub const fn new(x: f32, y: f32, z: f32) -> Self {
        Self { x, y, z }
    }

    /// Returns the vector perpendicular to both, by the right-hand rule: x cross y is z.
    #[must_use]
    pub fn cross(self, other: Self) -> Self {
        Self {
            x: self.y * other.z - self.z * other.y,
            y: self.z * other.x - self.x * other.z,
            z: self.x * other.y - self.y * other.x,
        }
    }
}

componentwise!(Vector3 { x, y, z });

impl fmt::Display for Vector3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::list(f, &[self.x, self.y, self.z])
    }
}

impl From<[f32; 3]> for Vector3 {
    fn from([x, y, z]: [f32; 3]) -> Self {
        Self { x, y, z }
    }
}

impl From<Vector3> for [f32; 3] {
    fn from(vector: Vector3) -> Self {
        [vector.x, vector.y, vector.z]
    }
}

impl From<(f32, f32, f32)> for Vector3 {
    fn from((x, y, z): (f32, f32, f32)) -> Self {
        Self { x, y, z }
    }
}

impl From<Vector3> for (f32, f32, f32) {
    fn from(vector: Vector3) -> Self {
        (vector.x, vector.y, vector.z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_whole_numbers_without_a_point() {
        assert_eq!(Vector3::new(0.0, 25.0, 0.0).to_string(), "0, 25, 0");
        assert_eq!(
            Vector3::new(-1.5, 0.1, 1e6).to_string(),
            "-1.5, 0.1, 1000000"
        );
        assert_eq!(
            Vector3::new(f32::NAN, f32::INFINITY, f32::NEG_INFINITY).to_string(),
            "nan, inf, -inf"
        );
        assert_eq!(
            format!("{:.2}", Vector3::new(1.0, 2.345, -0.001)),
            "1.00, 2.35, -0.00"
        );
    }

    #[test]
    fn the_axes_are_right_handed() {
        assert_eq!(Vector3::X_AXIS.cross(Vector3::Y_AXIS), Vector3::Z_AXIS);
        assert_eq!(Vector3::Y_AXIS.cross(Vector3::Z_AXIS), Vector3::X_AXIS);
        assert_eq!(Vector3::Z_AXIS.cross(Vector3::X_AXIS), Vector3::Y_AXIS);
    }

    #[test]
    fn unit_survives_the_extremes() {
        assert_eq!(Vector3::ZERO.unit(), Vector3::ZERO);
        for tiny_or_huge in [f32::from_bits(1), f32::MIN_POSITIVE, 1e-30, 1e30, f32::MAX] {
            assert_eq!((Vector3::Y_AXIS * tiny_or_huge).unit(), Vector3::Y_AXIS);
            let length = (Vector3::ONE * tiny_or_huge).unit().magnitude();
            assert!((length - 1.0).abs() < 1e-6, "{tiny_or_huge} gave {length}");
        }
        assert!(!Vector3::new(f32::NAN, 0.0, 0.0).unit().is_finite());
        assert!(!Vector3::new(f32::INFINITY, 0.0, 0.0).unit().is_finite());
    }

    #[test]
    fn magnitude_does_not_overflow_early() {
        assert_eq!((Vector3::X_AXIS * 1e30).magnitude(), 1e30);
        assert_eq!((Vector3::ONE * f32::MAX).magnitude(), f32::INFINITY);
    }

    #[test]
    fn lerp_meets_both_ends_exactly() {
        let (a, b) = (Vector3::new(0.1, 1e9, -3.0), Vector3::new(7.3, 0.2, 1e-9));
        assert_eq!(a.lerp(b, 0.0), a);
        assert_eq!(a.lerp(b, 1.0), b);
        assert_eq!(Vector3::ZERO.lerp(Vector3::ONE, 0.25), Vector3::ONE * 0.25);
    }

    #[test]
    fn one_bad_component_is_not_finite() {
        assert!(Vector3::new(1.0, f32::MAX, -0.0).is_finite());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!Vector3::new(bad, 0.0, 0.0).is_finite());
            assert!(!Vector3::new(0.0, bad, 0.0).is_finite());
            assert!(!Vector3::new(0.0, 0.0, bad).is_finite());
        }
    }

    #[test]
    fn arrays_and_tuples_convert_both_ways() {
        let v = Vector3::new(1.0, 2.0, 3.0);
        assert_eq!(Vector3::from(<[f32; 3]>::from(v)), v);
        assert_eq!(Vector3::from(<(f32, f32, f32)>::from(v)), v);
    }
}
