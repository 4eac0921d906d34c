//! The value types that games pass through remotes: vectors, frames, colors and their like.
//!
//! They are plain structs with public fields and a documented encoding, so that two programs agree on a
//! position without agreeing on a math library. This module knows nothing about remotes, players or
//! sockets; it names serde alone (and `mint`, when the feature of that name is on).
//!
//! Sizes are those of a payload as farfire encodes it: an `f32` is 4 bytes, little endian; an integer wider
//! than a byte takes fewer bytes the nearer it is to zero.
//!
//! | type | fields | encoded bytes |
//! |---|---|---|
//! | [`Vector2`] | 2 × `f32` | 8 |
//! | [`Vector3`] | 3 × `f32` | 12 |
//! | [`Vector2int16`] | 2 × `i16` | 2 to 6 |
//! | [`Vector3int16`] | 3 × `i16` | 3 to 9 |
//! | [`CFrame`] | position, 3 × 3 rotation | 48 |
//! | [`Color3`] | 3 × `f32` | 12 |
//! | [`BrickColor`] | palette number, `u16` | 1 (up to 250) or 3 |
//! | [`UDim`] | `f32` scale, `i32` offset | 5 to 9 |
//! | [`UDim2`] | 2 × [`UDim`] | 10 to 18 |
//! | [`Rect`] | 2 × [`Vector2`] | 16 |
//! | [`Ray`] | 2 × [`Vector3`] | 24 |
//! | [`Region3`] | 2 × [`Vector3`] | 24 |
//! | [`NumberRange`] | 2 × `f32` | 8 |
//!
//! # A peer may send anything
//!
//! NaN and the infinities are legal in every `f32` and travel unchanged, and every comparison with a NaN is
//! false: a range check alone lets it pass. Each type with an `f32` in it has `is_finite`; a handler calls
//! that first. Nothing else is checked on arrival: a rotation may be skewed, a range may be upside down. The
//! one exception is [`BrickColor`], which only ever holds a number of the palette.

mod brick_color;
mod cframe;
mod color3;
mod componentwise;
#[cfg(feature = "mint")]
mod mint;
mod number_range;
mod palette;
mod print;
mod ray;
mod rect;
mod region3;
mod udim;
mod vector2;
mod vector3;
mod vector_int16;

pub use brick_color::BrickColor;
pub use cframe::CFrame;
pub use color3::{Color3, ParseHexError};
pub use number_range::NumberRange;
pub use ray::Ray;
pub use rect::Rect;
pub use region3::Region3;
pub use udim::{UDim, UDim2};
pub use vector_int16::{Vector2int16, Vector3int16};
pub use vector2::Vector2;
pub use vector3::Vector3;

#[cfg(test)]
mod tests;
