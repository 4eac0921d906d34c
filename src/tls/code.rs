//! The short form of a pin that people read out and type, and the check that catches their typos.
//!
//! Knows nothing about finding the server that it belongs to.

use std::fmt;
use std::str::FromStr;

use super::Pin;
use super::base32::{symbol, value};

/// The first 60 bits of a [`Pin`] and a check character, such as `K7QF-2MXA-9RTD-3`.
///
/// It commits to the key: whoever looks a server up by its code connects to nothing but a server with a
/// pin that begins with these bits. Finding another key that does takes some 2^60 tries, which is decades
/// for one fast machine; a pin is stronger, and what is stored and compared whenever there is one.
///
/// Reading also takes lower case, hyphens and spaces anywhere, `O` for `0`, and `I` or `L` for `1`. One wrong
/// character, or two neighbours swapped, is always noticed.
///
/// ```
/// use farfire::tls::{Code, Pin};
///
/// let pin = Pin::from_bytes([7; 32]);
/// let code: Code = pin.code().to_string().to_lowercase().parse()?;
/// assert!(code.matches(&pin));
/// # Ok::<(), farfire::tls::CodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u64);

impl Code {
    /// Whether `pin` begins with these 60 bits.
    pub fn matches(&self, pin: &Pin) -> bool {
        *self == pin.code()
    }

    fn values(self) -> impl Iterator<Item = u8> {
        (0..BODY_LEN).map(move |at| (self.0 >> (5 * (BODY_LEN - 1 - at)) & 0x1f) as u8)
    }

    fn check(self) -> u8 {
        // Horner's rule over the body; one more multiplication gives what the check must cancel.
        double(self.values().fold(0, |sum, value| double(sum) ^ value))
    }
}

impl Pin {
    /// Returns the short form of it that people can type.
    pub fn code(&self) -> Code {
        let mut first = [0; 8];
        first.copy_from_slice(&self.as_bytes()[..8]);
        Code(u64::from_be_bytes(first) >> 4)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(BODY_LEN + 4);
        for (at, value) in self.values().chain([self.check()]).enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(symbol(value.into()));
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({self})")
    }
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let (mut bits, mut check, mut found) = (0u64, 0, 0);
        for (index, character) in text.chars().enumerate() {
            if character == '-' || character == ' ' {
                continue;
            }
            let Some(value) = value(character) else {
                return Err(CodeError::Character {
                    character,
                    position: index + 1,
                });
            };
            match found {
                ..BODY_LEN => bits = bits << 5 | u64::from(value),
                BODY_LEN => check = value as u8,
                // Only counted, so that the error can say how many there are.
                _ => {}
            }
            found += 1;
        }
        if found != BODY_LEN + 1 {
            return Err(CodeError::Length { found });
        }
        let code = Self(bits);
        match code.check() == check {
            true => Ok(code),
            false => Err(CodeError::Typo),
        }
    }
}

/// Multiplies by the generator of the field with 32 elements.
///
/// Each place of a code then has a weight of its own, so that one wrong character changes the sum, and
/// so do two neighbours that are swapped, the check character among them.
fn double(value: u8) -> u8 {
    let doubled = value << 1;
    match doubled & 0x20 {
        0 => doubled,
        _ => doubled ^ FIELD,
    }
}

/// x^5 + x^2 + 1, which is primitive: the powers of x are all different up to the 31st.
const FIELD: u8 = 0b10_0101;

/// 60 bits in characters of 5.
const BODY_LEN: usize = 12;

/// Characters between two hyphens.
const GROUP: usize = 4;

/// Why a text is not a [`Code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The text has too few or too many characters.
    #[error(
        "a code has {} characters without hyphens, this has {found}: read it again from the host's screen",
        BODY_LEN + 1
    )]
    Length {
        /// How many there are, hyphens and spaces not counted.
        found: usize,
    },
    /// A character is none of those that occur in a code.
    #[error(
        "{character:?} at position {position} cannot be in a code: only digits and letters except U"
    )]
    Character {
        /// The offending character.
        character: char,
        /// Where it is, counted in characters from 1, hyphens and spaces included.
        position: usize,
    },
    /// The check character does not fit the others.
    #[error(
        "a character of the code is wrong, or two are swapped: read it again from the host's screen"
    )]
    Typo,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(bytes: [u8; 32]) -> Code {
        Pin::from_bytes(bytes).code()
    }

    #[test]
    fn known_texts() {
        assert_eq!(code([0; 32]).to_string(), "0000-0000-0000-0");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&[0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xbf]);
        assert_eq!(code(bytes).to_string(), "0123-4567-89AB-V");
        assert!(
            Pin::from_bytes(bytes)
                .to_string()
                .starts_with("0123456789AB")
        );
    }

    #[test]
    fn what_people_type_is_understood() {
        let code: Code = "0123-4567-89AB-V".parse().unwrap();
        for typed in [
            "ol23456789abv",
            " o123 4567-89ab v ",
            "-0-I-2-3-4-5-6-7-8-9-A-B-V-",
        ] {
            assert_eq!(typed.parse(), Ok(code), "{typed}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let parse = |text: &str| text.parse::<Code>().unwrap_err();
        assert_eq!(parse(""), CodeError::Length { found: 0 });
        assert_eq!(parse("0123-4567-89A"), CodeError::Length { found: 11 });
        // Without the check character, a missing one elsewhere would go unnoticed.
        assert_eq!(parse("0123-4567-89AB"), CodeError::Length { found: 12 });
        assert_eq!(parse("0123-4567-89AB-VA"), CodeError::Length { found: 14 });
        assert_eq!(parse("0123-4567-89AB-B"), CodeError::Typo);
        let character = CodeError::Character {
            character: 'u',
            position: 6,
        };
        assert_eq!(parse("0123-u567-89AB-V"), character);
    }

    proptest! {
        #[test]
        fn every_code_survives_its_text(bytes: [u8; 32]) {
            let code = code(bytes);
            let text = code.to_string();
            prop_assert_eq!(text.len(), 16);
            prop_assert_eq!(text.parse(), Ok(code));
            prop_assert!(Pin::from_bytes(bytes).to_string().starts_with(&text.replace('-', "")[..12]));
        }

        #[test]
        fn one_wrong_character_and_every_swap_of_neighbours_is_noticed(bytes: [u8; 32]) {
            let right: Vec<char> = code(bytes).to_string().replace('-', "").chars().collect();
            let parse = |text: &[char]| text.iter().collect::<String>().parse::<Code>();
            for at in 0..right.len() {
                for value in 0..32 {
                    let mut wrong = right.clone();
                    wrong[at] = symbol(value);
                    prop_assert_eq!(parse(&wrong).is_ok(), wrong == right);
                }
                if at + 1 < right.len() {
                    let mut swapped = right.clone();
                    swapped.swap(at, at + 1);
                    prop_assert_eq!(parse(&swapped).is_ok(), swapped == right);
                }
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Code>();
        }
    }
}
