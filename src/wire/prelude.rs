//! The first bytes of a unidirectional stream: what the stream carries.
//!
//! They may arrive one at a time, so they are gathered by a [`PreludeReader`]. Knows nothing about what
//! follows them.

use bytes::{Buf, BufMut, Bytes};

use super::{
    CONTROL_ID, MAX_LANE_NAME_BYTES,
    read::{Malformed, put_bytes},
    varint,
};

/// What a unidirectional stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamPrelude {
    /// Frames in order, on the lane of this name; the empty name is the default lane.
    Lane(String),
    /// One unordered event of this remote: its payload is the rest of the stream.
    Event { remote: u32 },
}

impl StreamPrelude {
    /// Reads a prelude from the front of `bytes`: itself and its length, or `None` if it goes on.
    pub(crate) fn peek(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((&kind, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        if !matches!(kind, KIND_LANE | KIND_EVENT) {
            return Err(Malformed("a stream of no known kind"));
        }
        let Some((number, used)) = varint::peek(rest)? else {
            return Ok(None);
        };
        if kind == KIND_EVENT {
            let remote =
                u32::try_from(number).map_err(|_| Malformed("a number needs more than 32 bits"))?;
            if remote == CONTROL_ID {
                return Err(Malformed("control messages are no unordered events"));
            }
            return Ok(Some((Self::Event { remote }, 1 + used)));
        }
        if number > MAX_LANE_NAME_BYTES as u64 {
            return Err(Malformed("a lane's name is too long"));
        }
        let Some(name) = rest[used..].get(..number as usize) else {
            return Ok(None);
        };
        let name = str::from_utf8(name).map_err(|_| Malformed("a lane's name is not UTF-8"))?;
        Ok(Some((Self::Lane(name.to_owned()), 1 + used + name.len())))
    }

    /// Writes the prelude. A lane's name has at most [`MAX_LANE_NAME_BYTES`].
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Lane(name) => {
                debug_assert!(
                    name.len() <= MAX_LANE_NAME_BYTES,
                    "lane names are checked where they are declared"
                );
                out.put_u8(KIND_LANE);
                put_bytes(out, name.as_bytes());
            }
            Self::Event { remote } => {
                out.put_u8(KIND_EVENT);
                varint::put(out, u64::from(*remote));
            }
        }
    }
}

/// Gathers the prelude of one stream.
#[derive(Debug, Default)]
pub(crate) struct PreludeReader {
    /// What has arrived so far: never more than [`MAX_PRELUDE_BYTES`].
    start: Vec<u8>,
}

impl PreludeReader {
    /// Takes the next bytes of the stream. Once the prelude is complete, returns it and the bytes after it.
    ///
    /// A stream that ends before then is malformed; that is for the caller to see.
    pub(crate) fn push(
        &mut self,
        mut chunk: Bytes,
    ) -> Result<Option<(StreamPrelude, Bytes)>, Malformed> {
        let before = self.start.len();
        let taken = chunk.len().min(MAX_PRELUDE_BYTES - before);
        self.start.extend_from_slice(&chunk[..taken]);
        let Some((prelude, len)) = StreamPrelude::peek(&self.start)? else {
            return Ok(None);
        };
        self.start.clear();
        // A prelude that had been complete before would have been returned then.
        chunk.advance(len.saturating_sub(before));
        Ok(Some((prelude, chunk)))
    }
}

const KIND_LANE: u8 = 1;
const KIND_EVENT: u8 = 2;

/// Kind, length of a name (one byte, as names have at most 64) and name. An event's is shorter.
const MAX_PRELUDE_BYTES: usize = 1 + 1 + MAX_LANE_NAME_BYTES;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::remote::tests::text;

    fn encode(prelude: &StreamPrelude) -> Vec<u8> {
        let mut out = Vec::new();
        prelude.encode(&mut out);
        out
    }

    #[test]
    fn golden() {
        for (prelude, bytes) in [
            (StreamPrelude::Lane(String::new()), &[1, 0][..]),
            (
                StreamPrelude::Lane("terrain".into()),
                &[1, 7, b't', b'e', b'r', b'r', b'a', b'i', b'n'],
            ),
            (StreamPrelude::Event { remote: 5 }, &[2, 5]),
            (
                StreamPrelude::Event { remote: u32::MAX },
                &[2, 0xff, 0xff, 0xff, 0xff, 0x0f],
            ),
        ] {
            assert_eq!(encode(&prelude), bytes);
            assert_eq!(StreamPrelude::peek(bytes), Ok(Some((prelude, bytes.len()))));
        }
    }

    #[test]
    fn impossible_preludes_are_refused_as_soon_as_seen() {
        for bytes in [
            &[0][..],
            &[3],
            &[255],
            &[1, 65],
            &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
            &[1, 1, 0xff],
            &[2, 0],
            &[2, 0x80, 0x80, 0x80, 0x80, 0x10],
        ] {
            assert!(StreamPrelude::peek(bytes).is_err(), "{bytes:x?}");
        }
    }

    fn any_prelude() -> impl Strategy<Value = StreamPrelude> {
        prop_oneof![
            text(MAX_LANE_NAME_BYTES / 4).prop_map(StreamPrelude::Lane),
            (1..=u32::MAX).prop_map(|remote| StreamPrelude::Event { remote }),
        ]
    }

    proptest! {
        #[test]
        fn round_trip_in_any_pieces(prelude in any_prelude(), tail: Vec<u8>, piece in 1..80usize) {
            let mut bytes = encode(&prelude);
            for cut in 0..bytes.len() {
                prop_assert_eq!(StreamPrelude::peek(&bytes[..cut]), Ok(None));
            }
            bytes.extend(&tail);
            let mut reader = PreludeReader::default();
            let mut pieces = bytes.chunks(piece);
            let (read, rest) = loop {
                let piece = Bytes::copy_from_slice(pieces.next().unwrap());
                if let Some(done) = reader.push(piece).unwrap() {
                    break done;
                }
            };
            prop_assert_eq!(read, prelude);
            prop_assert_eq!([&rest[..], &pieces.collect::<Vec<_>>().concat()].concat(), tail);
        }

        #[test]
        fn random_bytes(pieces: Vec<Vec<u8>>) {
            let mut reader = PreludeReader::default();
            for piece in pieces {
                if reader.push(piece.into()).is_err() {
                    break;
                }
                prop_assert!(reader.start.len() <= MAX_PRELUDE_BYTES);
            }
        }
    }
}
