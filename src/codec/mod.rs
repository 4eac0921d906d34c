//! Payloads to bytes and back: the arguments of an event, the request and the reply of a call.
//!
//! Knows nothing about frames, remotes or connections, and nothing outside this module knows which
//! library does the work (bincode 2, its `standard` format, through serde).
//!
//! # Format
//!
//! Values follow each other without names, padding or type tags; the receiver knows the type.
//!
//! | value | bytes |
//! |---|---|
//! | `bool` | 0 or 1 |
//! | `u8`, `i8` | one byte |
//! | `u16` to `u128` | below 251: that byte; else 251 and 2 bytes, 252 and 4, 253 and 8, 254 and 16 |
//! | `i16` to `i128` | zigzag (`0, -1, 1, -2` become `0, 1, 2, 3`), then as the unsigned type of that width |
//! | `f32`, `f64` | IEEE 754 bits, 4 or 8 bytes |
//! | `char` | its UTF-8 bytes |
//! | text, bytes | length as a `u64`, then the bytes (text is UTF-8) |
//! | option | 0, or 1 and the value |
//! | list, map | number of entries as a `u64`, then the entries, a key before its value |
//! | tuple, array, struct | the fields in order |
//! | enum | number of the variant, from 0, as a `u32`, then the fields of the variant |
//! | `()`, unit struct | nothing |
//!
//! All numbers are little endian. A sender uses the shortest form of an integer; a receiver takes
//! a longer one as well, up to the width of the type.
//!
//! # What is refused
//!
//! Received bytes are hostile. [`decode`] allocates nothing for a length that is merely claimed,
//! stops at [`MAX_DEPTH`](guard::MAX_DEPTH) containers inside each other, bounds the number of list
//! and map entries by the length of the payload (entries may be of size zero), and takes nothing
//! but the whole payload. What it allocates is bounded by the length of the payload times the size
//! in memory of the largest entry in the type.
//!
//! Encoding is bounded by size alone: a value nested deeper than that, or a list of more than a
//! thousand entries without content, is encoded and then refused by the receiver.
//!
//! Types that read their own description from the data (`#[serde(flatten)]`, `untagged`, `tag`)
//! cannot be decoded, and `skip_serializing_if` leaves the receiver with fields that shifted.

use std::marker::PhantomData;

use bincode::config::{self, Configuration};
use bincode::enc::write::{SizeWriter, Writer};
use bincode::serde::{DecodeError as SerdeDecodeError, EncodeError as SerdeEncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::guard::{Budget, Guarded, Trip};

mod guard;
#[cfg(test)]
mod tests;

/// Appends `value` to `out` and returns how many bytes that took.
///
/// Allocates only when `out` has to grow. `limit` bytes is the most that is appended, and never
/// more than [`MAX_LEN`].
///
/// # Errors
///
/// When the value takes more than `limit` bytes, or has no encoding. `out` is then as it was.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<usize, EncodeError> {
    let start = out.len();
    let room = (out.capacity() - start).min(MOST_PREPARED);
    out.resize(start + room, 0);
    let result = overwrite(value, out, start, limit);
    out.truncate(start + *result.as_ref().unwrap_or(&0));
    result
}

/// The same over what is in `out` from `start` on, of which the rest stays: memory that is used again and again
/// needs no clearing.
///
/// # Errors
///
/// As [`encode`]; from `start` on there may then be anything.
#[inline]
pub(crate) fn overwrite<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    start: usize,
    limit: usize,
) -> Result<usize, EncodeError> {
    let limit = limit.min(MAX_LEN);
    let room = (out.len() - start).min(limit);
    let mut writer = Bounded {
        free: &mut out[start..start + room],
        room,
        spilled: None,
        limit,
    };
    let result = bincode::serde::encode_into_writer(value, &mut writer, CONFIG);

    let Bounded { free, spilled, .. } = writer;
    match (result, spilled) {
        (Ok(()), None) => Ok(room - free.len()),
        (Ok(()), Some(spilled)) => spilled.join(out, start, limit),
        (Err(error), _) => Err(EncodeError::from_bincode(error)),
    }
}

/// Returns how many bytes `value` takes, without storing any of them.
///
/// # Errors
///
/// When the value has no encoding.
pub(crate) fn encoded_len<T: Serialize + ?Sized>(value: &T) -> Result<usize, EncodeError> {
    let mut writer = SizeWriter::default();
    bincode::serde::encode_into_writer(value, &mut writer, CONFIG)
        .map_err(EncodeError::from_bincode)?;
    Ok(writer.bytes_written)
}

/// Makes a value from `bytes`, all of them.
///
/// # Errors
///
/// When the bytes are not exactly one value of this type, within the bounds of the module's doc.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PayloadError> {
    if bytes.len() > MAX_LEN {
        return Err(PayloadError::TooLong);
    }
    let budget = Budget::new(bytes.len());
    let seed = Guarded::new(PhantomData::<T>, &budget);
    let result = bincode::serde::seed_decode_from_slice(seed, bytes, CONFIG);

    // Asked first: a type's own code may have swallowed the error of a bound that was passed.
    match (budget.trip(), result) {
        (Some(Trip::TooDeep), _) => Err(PayloadError::TooDeep),
        (Some(Trip::TooManyElements), _) => Err(PayloadError::TooManyElements),
        (None, Err(error)) => Err(PayloadError::from_bincode(error)),
        (None, Ok((_, used))) if used < bytes.len() => Err(PayloadError::TrailingBytes),
        (None, Ok((value, _))) => Ok(value),
    }
}

/// Stores up to `limit` bytes and counts all of them, so that an error can say how large it was.
struct Bounded<'a> {
    /// What is left of the memory that is there, of which no more than `limit` is used.
    free: &'a mut [u8],
    /// How much of it there was.
    room: usize,
    spilled: Option<Box<Spilled>>,
    limit: usize,
}

/// What that memory was too small for.
struct Spilled {
    /// How much is in that memory.
    behind: usize,
    bytes: Vec<u8>,
    /// Bytes of the whole value so far.
    size: usize,
}

impl Spilled {
    #[cold]
    fn join(&self, out: &mut Vec<u8>, start: usize, limit: usize) -> Result<usize, EncodeError> {
        let size = self.size;
        if size > limit {
            return Err(EncodeError::TooLarge { size, limit });
        }
        out.truncate(start + self.behind);
        out.extend_from_slice(&self.bytes);
        Ok(size)
    }
}

impl Writer for Bounded<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        if bytes.len() > self.free.len() {
            self.spill(bytes);
            return Ok(());
        }
        let (place, free) = std::mem::take(&mut self.free).split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        self.free = free;
        Ok(())
    }
}

impl Bounded<'_> {
    #[cold]
    #[inline(never)]
    fn spill(&mut self, bytes: &[u8]) {
        let behind = self.room - self.free.len();
        let spilled = self.spilled.get_or_insert_with(|| {
            Box::new(Spilled {
                behind,
                bytes: Vec::new(),
                size: behind,
            })
        });
        // What follows is not to take the place in front of this.
        self.free = &mut [];
        spilled.size = spilled.size.saturating_add(bytes.len());
        if spilled.size <= self.limit {
            spilled.bytes.extend_from_slice(bytes);
        }
    }
}

/// Why a value was not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value is larger than its remote allows.
    #[error(
        "the payload takes {size} bytes and the limit is {limit}; send less or raise the limit"
    )]
    TooLarge {
        /// Bytes the whole value would take.
        size: usize,
        /// Bytes that were allowed.
        limit: usize,
    },
    /// The type cannot be written in a format without names, or its own code refused.
    #[error("the payload cannot be encoded ({why}): send a value that its type can write")]
    Unencodable {
        /// What its serialization said.
        why: String,
    },
}

impl EncodeError {
    #[cold]
    fn from_bincode(error: bincode::error::EncodeError) -> Self {
        use bincode::error::EncodeError as Error;
        let why = match error {
            Error::Serde(SerdeEncodeError::SequenceMustHaveLength) => {
                "a list or map of unknown length (`flatten` makes one); collect it first".into()
            }
            Error::OtherString(why) => why,
            Error::Other(why) => why.into(),
            other => other.to_string(),
        };
        Self::Unencodable { why }
    }
}

/// Why received bytes are not the value they should be.
///
/// For the log and the counters of the side that received them. None of it is sent to the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PayloadError {
    /// The bytes end inside the value, or it claims more than they hold.
    #[error("the payload ends inside the value")]
    Truncated,
    /// Bytes are left over after the value.
    #[error("bytes follow the value")]
    TrailingBytes,
    /// More containers are inside each other than any payload may have.
    #[error("the payload is nested too deeply")]
    TooDeep,
    /// A list or map claims more entries than the payload can hold.
    #[error("the payload claims more list entries than it can hold")]
    TooManyElements,
    /// No payload may be so long.
    #[error("the payload is longer than {MAX_LEN} bytes")]
    TooLong,
    /// A part of the value has a form that no value has.
    #[error("the payload holds a malformed {what}")]
    Invalid {
        /// The part.
        what: &'static str,
    },
    /// The bytes are well formed, and the type's own code refused the value.
    #[error("the payload was refused by its type: {why}")]
    Rejected {
        /// What that code said, shortened and without control characters.
        why: String,
    },
    /// The type cannot be read from a format without names. A mistake of this program.
    #[error("the type cannot be decoded; remove `flatten`, `untagged` and `tag` from it")]
    Unsupported,
}

impl PayloadError {
    #[cold]
    fn from_bincode(error: bincode::error::DecodeError) -> Self {
        use bincode::error::DecodeError as Error;
        match error {
            Error::UnexpectedEnd { .. } | Error::LimitExceeded | Error::OutsideUsizeRange(_) => {
                Self::Truncated
            }
            Error::InvalidIntegerType { .. } => Self::Invalid { what: "integer" },
            Error::InvalidBooleanValue(_) => Self::Invalid { what: "bool" },
            Error::InvalidCharEncoding(_) => Self::Invalid { what: "char" },
            Error::Utf8 { .. } => Self::Invalid { what: "text" },
            Error::UnexpectedVariant { .. } => Self::Invalid { what: "option" },
            Error::Serde(
                SerdeDecodeError::AnyNotSupported
                | SerdeDecodeError::IdentifierNotSupported
                | SerdeDecodeError::IgnoredAnyNotSupported,
            ) => Self::Unsupported,
            Error::OtherString(why) => Self::rejected(&why),
            Error::Other(why) => Self::rejected(why),
            _ => Self::Invalid { what: "value" },
        }
    }

    fn rejected(why: &str) -> Self {
        // It may quote what the peer sent, so neither its length nor its characters are ours.
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        Self::Rejected {
            why: why.chars().take(MAX_WHY_CHARS).map(printable).collect(),
        }
    }
}

/// The most bytes a payload may have, whatever its remote allows: 64 MiB.
///
/// Far above every sensible limit of a remote.
pub(crate) const MAX_LEN: usize = 64 << 20;

/// Without bincode's own limit on what is claimed: [`guard`] allows no claim to be a reason to allocate, and
/// each number that is read would make an error first, to drop it again, which is half of decoding.
const CONFIG: Configuration = config::standard();

/// Of memory that was never written to, as much is cleared before something is encoded into it: most values are
/// smaller, and what is larger spills.
const MOST_PREPARED: usize = 128;

/// Enough for a sentence in the log.
const MAX_WHY_CHARS: usize = 200;
