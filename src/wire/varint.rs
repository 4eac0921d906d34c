//! Integers on the wire: LEB128, least significant group first, always in the shortest form.
//!
//! Seven bits per byte, the top bit set on all but the last. One number has exactly one encoding, so
//! that a message has exactly one, too. Knows nothing about what is counted.

use bytes::BufMut;

use super::read::{ENDS_EARLY, Malformed};

/// Takes a number of up to 64 bits from the front of `bytes`.
///
/// # Errors
/// [`Malformed`] if `bytes` ends inside the number, or as [`peek`]; `bytes` is then unchanged.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let (value, len) = peek(bytes)?.ok_or(ENDS_EARLY)?;
    *bytes = &bytes[len..];
    Ok(value)
}

/// Takes a number of up to 32 bits from the front of `bytes`.
///
/// # Errors
/// As [`take`], and if the number is larger.
#[inline]
pub(crate) fn take_u32(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    let mut rest = *bytes;
    let value = u32::try_from(take(&mut rest)?)
        .map_err(|_| Malformed("a number needs more than 32 bits"))?;
    *bytes = rest;
    Ok(value)
}

/// Looks at the number at the front of `bytes`: its value and its length, or `None` if it may go on
/// beyond the bytes that are there.
///
/// # Errors
/// [`Malformed`] if no further byte could make it a number: longer than 64 bits, or not in its shortest form.
#[inline]
pub(crate) fn peek(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    match bytes.first() {
        None => Ok(None),
        Some(&only) if only < CONTINUES => Ok(Some((u64::from(only), 1))),
        Some(_) => peek_long(bytes),
    }
}

fn peek_long(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(MAX_LEN).enumerate() {
        // Nine groups carry 63 bits: of the tenth, one bit is left, and nothing may follow it.
        if at == MAX_LEN - 1 && byte > 1 {
            return Err(Malformed("a number needs more than 64 bits"));
        }
        value |= u64::from(byte & !CONTINUES) << (7 * at);
        if byte < CONTINUES {
            if byte == 0 && at > 0 {
                return Err(Malformed("a number is not in its shortest form"));
            }
            return Ok(Some((value, at + 1)));
        }
    }
    Ok(None)
}

/// Writes `value` in [`len`]`(value)` bytes.
#[inline]
pub(crate) fn put(out: &mut impl BufMut, mut value: u64) {
    if value < u64::from(CONTINUES) {
        return out.put_u8(value as u8);
    }
    let mut buffer = [0; MAX_LEN];
    let mut at = 0;
    while value >= u64::from(CONTINUES) {
        buffer[at] = value as u8 | CONTINUES;
        value >>= 7;
        at += 1;
    }
    buffer[at] = value as u8;
    out.put_slice(&buffer[..=at]);
}

/// The one byte that [`put`] writes for `value`, if it is one.
#[inline]
pub(crate) fn short(value: u64) -> Option<u8> {
    (value < u64::from(CONTINUES)).then_some(value as u8)
}

/// The number that is `byte`, if there is one that is this byte alone.
#[inline]
pub(crate) fn is_short(byte: u8) -> Option<u32> {
    (byte < CONTINUES).then_some(u32::from(byte))
}

/// Returns how many bytes [`put`] writes for `value`: 1 to 10.
#[inline]
pub(crate) fn len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// The longest encoding of 64 bits.
pub(crate) const MAX_LEN: usize = 10;

/// The longest encoding of 32 bits.
pub(crate) const MAX_LEN_U32: usize = 5;

/// The bit that says that another byte follows.
const CONTINUES: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOLDEN: &[(u64, &[u8])] = &[
        (0, &[0x00]),
        (1, &[0x01]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (300, &[0xac, 0x02]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
        (u32::MAX as u64, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (
            1 << 60,
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
        ),
        (
            u64::MAX,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ),
    ];

    #[test]
    fn golden() {
        for &(value, bytes) in GOLDEN {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(len(value), bytes.len(), "{value}");
            assert_eq!(peek(bytes), Ok(Some((value, bytes.len()))));
        }
    }

    #[test]
    fn other_forms_are_malformed() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xff, 0x00],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x80; 10],
            &[0xff; 64],
        ] {
            assert!(peek(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn thirty_two_bits_are_thirty_two_bits() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(take_u32(&mut bytes), Ok(u32::MAX));
        let mut bytes: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x10];
        assert!(take_u32(&mut bytes).is_err());
        assert_eq!(bytes.len(), 5, "an error takes nothing");
    }

    proptest! {
        #[test]
        fn round_trip(value: u64, shift in 0..64u32, tail: Vec<u8>) {
            let value = value >> shift;
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len(value));
            for cut in 0..out.len() {
                prop_assert_eq!(peek(&out[..cut]), Ok(None));
                prop_assert_eq!(take(&mut &out[..cut]), Err(ENDS_EARLY));
            }
            out.extend(&tail);
            let mut rest = &out[..];
            prop_assert_eq!(take(&mut rest), Ok(value));
            prop_assert_eq!(rest, &tail[..]);
        }

        #[test]
        fn what_decodes_is_what_encodes(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(Some((value, len))) = peek(&bytes) {
                let mut out = Vec::new();
                put(&mut out, value);
                prop_assert_eq!(&out[..], &bytes[..len]);
            }
        }
    }
}
