//! Sizes and places relative to a parent. Know nothing about who that parent is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::print;

/// A length: a share of the parent's length plus a number of pixels.
///
/// Encoded in 5 to 9 bytes: `scale` as an `f32`, little endian, then `offset`, 1 byte from -125 to 125 and at
/// most 5. Prints as `scale, offset`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a length is a share and an offset"
)]
pub struct UDim {
    /// The share of the parent's length: 1 is all of it.
    pub scale: f32,
    /// The pixels to add.
    pub offset: i32,
}

impl UDim {
    /// Creates a length from its share and its pixels.
    #[must_use]
    pub const fn new(scale: f32, offset: i32) -> Self {
        Self { scale, offset }
    }

    /// Returns whether the scale is neither NaN nor infinite.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.scale.is_finite()
    }
}

impl fmt::Display for UDim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::list(f, &[self.scale])?;
        write!(f, ", {}", self.offset)
    }
}

/// A place or size in the plane: one [`UDim`] per axis.
///
/// Encoded in 10 to 18 bytes: `x`, then `y`. Prints as `{scale, offset}, {scale, offset}`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the plane has two axes")]
pub struct UDim2 {
    /// The horizontal length.
    pub x: UDim,
    /// The vertical length.
    pub y: UDim,
}

impl UDim2 {
    /// Creates a place or size from its two lengths.
    #[must_use]
    pub const fn new(x: UDim, y: UDim) -> Self {
        Self { x, y }
    }

    /// Creates one of shares alone.
    #[must_use]
    pub const fn from_scale(x: f32, y: f32) -> Self {
        Self::new(UDim::new(x, 0), UDim::new(y, 0))
    }

    /// Creates one of pixels alone.
    #[must_use]
    pub const fn from_offset(x: i32, y: i32) -> Self {
        Self::new(UDim::new(0.0, x), UDim::new(0.0, y))
    }

    /// Returns whether neither scale is NaN or infinite.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }
}

impl fmt::Display for UDim2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        self.x.fmt(f)?;
        f.write_str("}, {")?;
        self.y.fmt(f)?;
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_in_braces() {
        let size = UDim2::new(UDim::new(0.5, -10), UDim::new(1.0, 200));
        assert_eq!(size.to_string(), "{0.5, -10}, {1, 200}");
        assert_eq!(
            UDim2::from_scale(1.0, 0.25).to_string(),
            "{1, 0}, {0.25, 0}"
        );
        assert_eq!(UDim2::from_offset(3, 4).to_string(), "{0, 3}, {0, 4}");
    }

    #[test]
    fn the_scale_decides_what_is_finite() {
        assert!(UDim2::from_offset(i32::MIN, i32::MAX).is_finite());
        assert!(!UDim2::from_scale(0.0, f32::NAN).is_finite());
    }
}
