//! A color of three components. Knows nothing about palettes, screens or gamma.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::print;

/// A color: red, green and blue, 0 to 1.
///
/// Encoded in 12 bytes: `r`, `g`, `b`, each an `f32`, little endian. Nothing is clamped, neither here nor on the
/// wire: values beyond 0 to 1 are legal and arrive as sent. Prints as `r, g, b`.
///
/// ```
/// use farfire::values::Color3;
///
/// let orange = Color3::from_rgb(255, 170, 0);
/// assert_eq!(orange.to_hex(), "ffaa00");
/// assert_eq!(Color3::from_hex("#FA0")?, orange);
/// # Ok::<(), farfire::values::ParseHexError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a color has three components")]
pub struct Color3 {
    /// The red component.
    pub r: f32,
    /// The green component.
    pub g: f32,
    /// The blue component.
    pub b: f32,
}

impl Color3 {
    /// Creates a color from its components, not clamped.
    #[must_use]
    pub const fn new(r: f32, g: f32, b: f32) -> Self {
        Self { r, g, b }
    }

    /// Creates a color from components of 0 to 255.
    #[must_use]
    pub const fn from_rgb(r: u8, g: u8, b: u8) -> Self {
        Self::new(r as f32 / 255.0, g as f32 / 255.0, b as f32 / 255.0)
    }

    /// Creates a color from hue, saturation and value, each 0 to 1.
    ///
    /// The hue goes round: 1 is 0 again, and so is 2. Saturation and value are not clamped.
    #[must_use]
    pub fn from_hsv(hue: f32, saturation: f32, value: f32) -> Self {
        let component = |sector: f32| {
            let k = (sector + hue * 6.0).rem_euclid(6.0);
            value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
        };
        Self::new(component(5.0), component(3.0), component(1.0))
    }

    /// Reads a color from 6 hexadecimal digits, or from 3 that each stand for two; upper or lower case, with or
    /// without a `#` in front.
    ///
    /// # Errors
    ///
    /// [`ParseHexError`] says which digit is wrong, or how many there are.
    pub fn from_hex(hex: &str) -> Result<Self, ParseHexError> {
        let text = hex.strip_prefix('#').unwrap_or(hex);
        let digits = text.chars().count();
        if digits != 3 && digits != 6 {
            return Err(ParseHexError::Length { digits });
        }
        let mut packed = 0;
        for character in text.chars() {
            let digit = character
                .to_digit(16)
                .ok_or(ParseHexError::Digit { character })?;
            packed = packed << 4 | digit;
            if digits == 3 {
                packed = packed << 4 | digit;
            }
        }
        Ok(Self::from_packed(packed))
    }

    /// Returns the components as 0 to 255, clamped and rounded to the nearest; NaN becomes 0.
    #[must_use]
    pub fn to_rgb(self) -> (u8, u8, u8) {
        // A cast from f32 saturates, which is the clamp.
        let byte = |component: f32| (component * 255.0).round() as u8;
        (byte(self.r), byte(self.g), byte(self.b))
    }

    /// Returns the color as 6 lower case hexadecimal digits without a `#`, clamped as [`Color3::to_rgb`] does.
    #[must_use]
    pub fn to_hex(self) -> String {
        let (r, g, b) = self.to_rgb();
        format!("{r:02x}{g:02x}{b:02x}")
    }

    /// Returns the color at `alpha` of the way to `goal`, component by component, not clamped.
    #[must_use]
    pub fn lerp(self, goal: Self, alpha: f32) -> Self {
        let mix = |from: f32, to: f32| from * (1.0 - alpha) + to * alpha;
        Self::new(
            mix(self.r, goal.r),
            mix(self.g, goal.g),
            mix(self.b, goal.b),
        )
    }

    /// Returns whether no component is NaN or infinite.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.r.is_finite() && self.g.is_finite() && self.b.is_finite()
    }

    /// Creates a color from `0xRRGGBB`; a byte above those is ignored.
    pub(super) const fn from_packed(rgb: u32) -> Self {
        let [_, r, g, b] = rgb.to_be_bytes();
        Self::from_rgb(r, g, b)
    }
}

impl fmt::Display for Color3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::list(f, &[self.r, self.g, self.b])
    }
}

impl From<[f32; 3]> for Color3 {
    fn from([r, g, b]: [f32; 3]) -> Self {
        Self { r, g, b }
    }
}

impl From<Color3> for [f32; 3] {
    fn from(color: Color3) -> Self {
        [color.r, color.g, color.b]
    }
}

impl From<(f32, f32, f32)> for Color3 {
    fn from((r, g, b): (f32, f32, f32)) -> Self {
        Self { r, g, b }
    }
}

impl From<Color3> for (f32, f32, f32) {
    fn from(color: Color3) -> Self {
        (color.r, color.g, color.b)
    }
}

/// Why a text is not a color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseHexError {
    /// The text has neither 3 nor 6 digits.
    #[error("a color has 3 or 6 hexadecimal digits, this text has {digits}")]
    Length {
        /// How many characters there are behind the optional `#`.
        digits: usize,
    },
    /// The text has a character which is not a hexadecimal digit.
    #[error("{character:?} is not a hexadecimal digit, use 0 to 9 and a to f")]
    Digit {
        /// The first such character.
        character: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_way_through_f32() {
        for byte in 0..=u8::MAX {
            assert_eq!(Color3::from_rgb(byte, 0, 255).to_rgb(), (byte, 0, 255));
        }
    }

    #[test]
    fn bytes_are_clamped_and_fields_are_not() {
        let color = Color3::new(-3.0, 2.5, f32::NAN);
        assert_eq!(color.to_rgb(), (0, 255, 0));
        assert_eq!((color.r, color.g), (-3.0, 2.5));
        assert!(!color.is_finite());
    }

    #[test]
    fn hues_go_round() {
        assert_eq!(Color3::from_hsv(0.0, 1.0, 1.0).to_hex(), "ff0000");
        assert_eq!(Color3::from_hsv(1.0 / 6.0, 1.0, 1.0).to_hex(), "ffff00");
        assert_eq!(Color3::from_hsv(1.0 / 3.0, 1.0, 1.0).to_hex(), "00ff00");
        assert_eq!(Color3::from_hsv(0.5, 1.0, 1.0).to_hex(), "00ffff");
        assert_eq!(Color3::from_hsv(2.0 / 3.0, 1.0, 1.0).to_hex(), "0000ff");
        assert_eq!(Color3::from_hsv(5.0 / 6.0, 1.0, 1.0).to_hex(), "ff00ff");
        assert_eq!(
            Color3::from_hsv(1.0, 1.0, 1.0),
            Color3::from_hsv(0.0, 1.0, 1.0)
        );
        assert_eq!(
            Color3::from_hsv(-0.5, 1.0, 1.0),
            Color3::from_hsv(0.5, 1.0, 1.0)
        );
        assert_eq!(
            Color3::from_hsv(0.3, 0.0, 0.25),
            Color3::new(0.25, 0.25, 0.25)
        );
        assert!(!Color3::from_hsv(f32::NAN, 1.0, f32::NAN).is_finite());
    }

    #[test]
    fn hex_reads_both_lengths() {
        let color = Color3::from_rgb(0x12, 0xab, 0xff);
        assert_eq!(Color3::from_hex("12abff"), Ok(color));
        assert_eq!(Color3::from_hex("#12ABFF"), Ok(color));
        assert_eq!(Color3::from_hex("#f0c"), Color3::from_hex("ff00cc"));
        assert_eq!(color.to_hex(), "12abff");
    }

    #[test]
    fn hex_says_what_is_wrong() {
        for (text, digits) in [
            ("", 0),
            ("#", 0),
            ("12345", 5),
            ("##12345", 6),
            ("1234567", 7),
            ("éé", 2),
        ] {
            let error = Color3::from_hex(text).unwrap_err();
            let expected = match digits {
                6 => ParseHexError::Digit { character: '#' },
                digits => ParseHexError::Length { digits },
            };
            assert_eq!(error, expected, "{text}");
        }
        let error = Color3::from_hex("12é").unwrap_err();
        assert_eq!(
            error.to_string(),
            "'é' is not a hexadecimal digit, use 0 to 9 and a to f"
        );
        assert_eq!(
            Color3::from_hex("+12"),
            Err(ParseHexError::Digit { character: '+' })
        );
    }

    #[test]
    fn prints_and_mixes() {
        assert_eq!(Color3::new(1.0, 0.5, 0.0).to_string(), "1, 0.5, 0");
        let (black, white) = (Color3::default(), Color3::new(1.0, 1.0, 1.0));
        assert_eq!(black.lerp(white, 0.5), Color3::new(0.5, 0.5, 0.5));
        assert_eq!(Color3::from(<[f32; 3]>::from(white)), white);
        assert_eq!(Color3::from(<(f32, f32, f32)>::from(white)), white);
    }
}
