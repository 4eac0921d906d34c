//! A color of the fixed palette. Knows its number; `palette` knows the rest.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Color3,
    palette::{self, SHADOWED, Swatch},
};

/// A color of a fixed palette of 208, known by a number and a name.
///
/// Encoded as its number, a `u16`: 1 byte up to 250, 3 bytes beyond. Prints its name. It never holds a number
/// that is not in the palette: such a one becomes [`BrickColor::gray`] (194, "Medium stone grey"), in
/// [`BrickColor::from_number`] and on arrival from a peer alike.
///
/// ```
/// use farfire::values::BrickColor;
///
/// let red = BrickColor::red();
/// assert_eq!(red.to_string(), "Bright red");
/// assert_eq!(red.number(), 21);
/// assert_eq!(red.color3().to_rgb(), (196, 40, 28));
/// assert_eq!(BrickColor::from_number(4).number(), 194);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Number", into = "Number")]
pub struct BrickColor(u16);

impl BrickColor {
    /// Returns the color of this number, or [`BrickColor::gray`] when the palette has none.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match palette::find(number) {
            Some(_) => Self(number),
            None => Self::gray(),
        }
    }

    /// Returns the color of this name, spelled as the palette spells it; `None` when the palette has none.
    ///
    /// Four names stand for two numbers each; the color is then the one that Roblox chooses: "Lilac" is 321,
    /// "Gold" 333, "Rust" 345 and "Deep orange" 1005. It walks the palette; keep the result instead of asking
    /// again.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        palette::PALETTE
            .iter()
            .find(|swatch| swatch.name == name && !SHADOWED.contains(&swatch.number))
            .map(|swatch| Self(swatch.number))
    }

    /// Returns number 1, "White".
    #[must_use]
    pub const fn white() -> Self {
        Self(1)
    }

    /// Returns number 194, "Medium stone grey".
    #[must_use]
    pub const fn gray() -> Self {
        Self(194)
    }

    /// Returns number 199, "Dark stone grey".
    #[must_use]
    pub const fn dark_gray() -> Self {
        Self(199)
    }

    /// Returns number 26, "Black".
    #[must_use]
    pub const fn black() -> Self {
        Self(26)
    }

    /// Returns number 21, "Bright red".
    #[must_use]
    pub const fn red() -> Self {
        Self(21)
    }

    /// Returns number 24, "Bright yellow".
    #[must_use]
    pub const fn yellow() -> Self {
        Self(24)
    }

    /// Returns number 28, "Dark green".
    #[must_use]
    pub const fn green() -> Self {
        Self(28)
    }

    /// Returns number 23, "Bright blue".
    #[must_use]
    pub const fn blue() -> Self {
        Self(23)
    }

    /// Returns the number in the palette.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Returns the name in the palette, such as "Bright red".
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.swatch().name
    }

    /// Returns the color's components.
    #[must_use]
    pub const fn color3(self) -> Color3 {
        Color3::from_packed(self.swatch().rgb)
    }

    const fn swatch(self) -> &'static Swatch {
        palette::find(self.0).expect("every constructor takes its number from the palette")
    }
}

impl Default for BrickColor {
    /// Number 194, "Medium stone grey".
    fn default() -> Self {
        Self::gray()
    }
}

impl fmt::Display for BrickColor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<BrickColor> for Color3 {
    fn from(color: BrickColor) -> Self {
        color.color3()
    }
}

/// What travels: any number at all. Named as the type it stands for, which is the name a peer's shape carries.
#[derive(Serialize, Deserialize)]
#[serde(rename = "BrickColor")]
struct Number(u16);

impl From<Number> for BrickColor {
    fn from(Number(number): Number) -> Self {
        Self::from_number(number)
    }
}

impl From<BrickColor> for Number {
    fn from(color: BrickColor) -> Self {
        Self(color.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_colors_are_those_of_the_documentation() {
        for (color, number, name) in [
            (BrickColor::white(), 1, "White"),
            (BrickColor::gray(), 194, "Medium stone grey"),
            (BrickColor::dark_gray(), 199, "Dark stone grey"),
            (BrickColor::black(), 26, "Black"),
            (BrickColor::red(), 21, "Bright red"),
            (BrickColor::yellow(), 24, "Bright yellow"),
            (BrickColor::green(), 28, "Dark green"),
            (BrickColor::blue(), 23, "Bright blue"),
        ] {
            assert_eq!((color.number(), color.name()), (number, name));
            assert_eq!(color.to_string(), name);
        }
        assert_eq!(BrickColor::red().color3(), Color3::from_rgb(196, 40, 28));
        assert_eq!(BrickColor::default(), BrickColor::gray());
    }

    #[test]
    fn a_number_outside_the_palette_becomes_gray() {
        for number in [0, 4, 366, 1000, 1033, u16::MAX] {
            assert_eq!(
                BrickColor::from_number(number),
                BrickColor::gray(),
                "{number}"
            );
        }
        assert_eq!(BrickColor::from_number(365).number(), 365);
    }

    #[test]
    fn every_number_has_a_name_whatever_it_was() {
        for number in 0..=u16::MAX {
            assert!(!BrickColor::from_number(number).name().is_empty());
        }
    }

    #[test]
    fn names_lead_back_to_their_color() {
        for swatch in &palette::PALETTE {
            let found = BrickColor::from_name(swatch.name).unwrap();
            assert_eq!(found.name(), swatch.name);
            assert!(found.number() == swatch.number || SHADOWED.contains(&swatch.number));
        }
        for (name, number) in [
            ("Lilac", 321),
            ("Gold", 333),
            ("Rust", 345),
            ("Deep orange", 1005),
        ] {
            assert_eq!(
                BrickColor::from_name(name),
                Some(BrickColor::from_number(number))
            );
        }
        assert_eq!(BrickColor::from_name("bright red"), None);
        assert_eq!(BrickColor::from_name(""), None);
    }
}
