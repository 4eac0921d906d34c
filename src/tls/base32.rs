//! Crockford's base32: how pins, codes and tokens are written, and how they are read when people typed them.
//!
//! Knows nothing about what the bytes mean.

/// Writes `bytes` in upper case without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut held) = (0u16, 0);
    for byte in bytes {
        bits = bits << 8 | u16::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(symbol(bits >> held));
        }
    }
    if held > 0 {
        text.push(symbol(bits << (5 - held)));
    }
    text
}

/// Reads `N` bytes; case and hyphens do not matter, nor look-alikes.
pub(crate) fn decode<const N: usize>(text: &str) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let (mut bits, mut held) = (0u16, 0);
    let (mut found, mut filled) = (0, 0);
    let mut last = '0';
    for (index, character) in text.chars().enumerate() {
        if character == '-' {
            continue;
        }
        let Some(value) = value(character) else {
            return Err(Error::Character {
                character,
                position: index + 1,
            });
        };
        found += 1;
        last = character;
        bits = bits << 5 | value;
        held += 5;
        if held >= 8 {
            held -= 8;
            // Characters past the end are only counted, so that the error can say how many there are.
            if let Some(byte) = bytes.get_mut(filled) {
                *byte = (bits >> held) as u8;
                filled += 1;
            }
        }
    }
    if found != (N * 8).div_ceil(5) {
        return Err(Error::Length { found });
    }
    // The bits of the last character that carry nothing.
    if bits & ((1 << held) - 1) != 0 {
        return Err(Error::LastCharacter { character: last });
    }
    Ok(bytes)
}

/// The character for the lowest five of `bits`.
pub(super) fn symbol(bits: u16) -> char {
    char::from(ALPHABET[usize::from(bits & 0x1f)])
}

/// The five bits of a character, with what people take it for.
pub(super) fn value(character: char) -> Option<u16> {
    let canonical = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let index = ALPHABET
        .iter()
        .position(|&symbol| char::from(symbol) == canonical)?;
    Some(index as u16)
}

/// Crockford's: no `I`, `L` and `O`, which look like digits, and no `U`.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Why a text is not so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Error {
    Length { found: usize },
    Character { character: char, position: usize },
    LastCharacter { character: char },
}
