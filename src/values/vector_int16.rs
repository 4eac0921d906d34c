//! Small whole-number vectors, for grids and cells. Know nothing about the size of a cell.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Vector2, Vector3};

/// A point of a plane grid, -32768 to 32767 in each component.
///
/// Encoded in 2 to 6 bytes: `x`, `y`, each 1 byte from -125 to 125 and 3 bytes beyond. Prints as `x, y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the plane has two axes")]
pub struct Vector2int16 {
    /// The first coordinate.
    pub x: i16,
    /// The second coordinate.
    pub y: i16,
}

impl Vector2int16 {
    /// The origin.
    pub const ZERO: Self = Self::new(0, 0);

    /// Creates a vector from its components.
    #[must_use]
    pub const fn new(x: i16, y: i16) -> Self {
        Self { x, y }
    }
}

impl fmt::Display for Vector2int16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.x, self.y)
    }
}

impl From<Vector2int16> for Vector2 {
    fn from(vector: Vector2int16) -> Self {
        Self::new(vector.x.into(), vector.y.into())
    }
}

/// A point of a space grid, -32768 to 32767 in each component.
///
/// Encoded in 3 to 9 bytes: `x`, `y`, `z`, each 1 byte from -125 to 125 and 3 bytes beyond. Prints as
/// `x, y, z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "space has three axes")]
pub struct Vector3int16 {
    /// The first coordinate.
    pub x: i16,
    /// The second coordinate.
    pub y: i16,
    /// The third coordinate.
    pub z: i16,
}

impl Vector3int16 {
    /// The origin.
    pub const ZERO: Self = Self::new(0, 0, 0);

    /// Creates a vector from its components.
    #[must_use]
    pub const fn new(x: i16, y: i16, z: i16) -> Self {
        Self { x, y, z }
    }
}

impl fmt::Display for Vector3int16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.x, self.y, self.z)
    }
}

impl From<Vector3int16> for Vector3 {
    fn from(vector: Vector3int16) -> Self {
        Self::new(vector.x.into(), vector.y.into(), vector.z.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_widens() {
        let plane = Vector2int16::new(-1, 300);
        assert_eq!(plane.to_string(), "-1, 300");
        assert_eq!(Vector2::from(plane), Vector2::new(-1.0, 300.0));
        let space = Vector3int16::new(i16::MIN, 0, i16::MAX);
        assert_eq!(space.to_string(), "-32768, 0, 32767");
        assert_eq!(Vector3::from(space), Vector3::new(-32768.0, 0.0, 32767.0));
    }
}
