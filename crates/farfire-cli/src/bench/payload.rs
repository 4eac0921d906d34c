//! What events carry: a stamp that says when they were sent, and something of the right size and kind.

use std::{fmt, path::PathBuf, str::FromStr};

use bytes::Bytes;
use farfire::{RemoteEvent, RemoteFunction, UnreliableRemoteEvent};
use serde::{Deserialize, Serialize};

/// The arguments of every remote of a benchmark.
pub(crate) type Args = ([u8; Stamp::LEN], Body);

pub(crate) const RELIABLE: RemoteEvent<Args> = RemoteEvent::new("bench.reliable");
pub(crate) const UNRELIABLE: UnreliableRemoteEvent<Args> =
    UnreliableRemoteEvent::new("bench.unreliable");
pub(crate) const FUNCTION: RemoteFunction<Args, Args> = RemoteFunction::new("bench.function");

/// What tells one event from another, and when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) sequence: u32,
    /// Which run it belongs to: one that comes after its run has ended counts nowhere.
    pub(crate) run: u16,
    /// Nanoseconds of [`clock`](super::clock).
    pub(crate) sent: u64,
}

impl Stamp {
    pub(crate) const LEN: usize = 14;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.run.to_le_bytes());
        bytes[6..].copy_from_slice(&self.sent.to_le_bytes());
        bytes
    }

    /// The stamp at the beginning of an event, if it is long enough for one.
    pub(crate) fn of(event: &[u8]) -> Option<Self> {
        let (sequence, rest) = event.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (sent, _) = rest.split_first_chunk()?;
        Some(Self {
            sequence: u32::from_le_bytes(*sequence),
            run: u16::from_le_bytes(*run),
            sent: u64::from_le_bytes(*sent),
        })
    }
}

/// What is behind the stamp.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Body {
    Blob(Bytes),
    Entities(Vec<Entity>),
    Booleans(Vec<bool>),
}

/// Something that moves.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Entity {
    id: u16,
    position: [f32; 3],
    rotation: [i16; 4],
    health: u8,
    is_airborne: bool,
}

/// What is asked to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Payload {
    /// So many encoded bytes, the stamp among them.
    Bytes(usize),
    Entities,
    Booleans,
    Random,
    File(PathBuf),
}

impl Payload {
    /// An event's arguments; the stamp is still to be put in.
    pub(crate) fn args(&self, seed: u64) -> std::io::Result<Args> {
        let mut random = Random(seed);
        let body = match self {
            Self::Bytes(size) => Body::Blob(vec![7; blob_len(*size)].into()),
            Self::Random => {
                Body::Blob((0..blob_len(RANDOM)).map(|_| random.next() as u8).collect())
            }
            Self::Entities => Body::Entities((0..ENTITIES).map(|_| random.entity()).collect()),
            Self::Booleans => Body::Booleans(
                (0..BOOLEANS)
                    .map(|_| random.next().is_multiple_of(2))
                    .collect(),
            ),
            Self::File(path) => Body::Blob(std::fs::read(path)?.into()),
        };
        Ok(([0; Stamp::LEN], body))
    }
}

/// How many bytes a blob may have, so that stamp, kind, length and blob take `size` bytes encoded.
fn blob_len(size: usize) -> usize {
    let rest = size.saturating_sub(Stamp::LEN + 1);
    match rest {
        0 => 0,
        1..=251 => rest - 1,
        _ => (rest - 3).max(250),
    }
}

impl FromStr for Payload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "entities" => return Ok(Self::Entities),
            "booleans" => return Ok(Self::Booleans),
            "random" => return Ok(Self::Random),
            _ => {}
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(path.into()));
        }
        let (digits, unit) = match text.strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1024),
            None => (text, 1),
        };
        let size = digits.parse::<usize>().ok();
        match size.and_then(|size| size.checked_mul(unit)) {
            Some(size) if (SMALLEST..=LARGEST).contains(&size) => Ok(Self::Bytes(size)),
            _ => Err(format!(
                "write a number of bytes from {SMALLEST} to 64k, or entities, booleans, random, file:PATH"
            )),
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(size) => write!(f, "{size}"),
            Self::Entities => f.write_str("entities"),
            Self::Booleans => f.write_str("booleans"),
            Self::Random => f.write_str("random"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// SplitMix64: the same seed, the same payload.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn entity(&mut self) -> Entity {
        let mut metre = || (self.next() % 100_000) as f32 / 100.0;
        let position = [metre(), metre(), metre()];
        let mut turn = || self.next() as i16;
        Entity {
            rotation: [turn(), turn(), turn(), turn()],
            position,
            id: self.next() as u16,
            health: (self.next() % 101) as u8,
            is_airborne: self.next().is_multiple_of(2),
        }
    }
}

/// As many as a small game has in sight.
const ENTITIES: usize = 24;
const BOOLEANS: usize = 500;
/// A small snapshot.
const RANDOM: usize = 256;
/// The stamp, a kind and a length.
const SMALLEST: usize = 16;
/// What a server takes from a client.
const LARGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_the_size_that_was_asked_for() {
        for size in [16, 17, 64, 256, 1000, 16 * 1024, 64 * 1024] {
            let args = Payload::Bytes(size).args(0).unwrap();
            assert_eq!(RELIABLE.encoded_len(&args).unwrap(), size);
        }
    }

    #[test]
    fn corpora_fit_where_they_are_sent() {
        for payload in [Payload::Entities, Payload::Booleans, Payload::Random] {
            let args = payload.args(7).unwrap();
            let size = UNRELIABLE.encoded_len(&args).unwrap();
            assert!((100..=1000).contains(&size), "{payload} has {size} bytes");
            assert_eq!(payload.to_string().parse(), Ok(payload));
        }
    }

    #[test]
    fn stamps_come_back_as_they_were() {
        let stamp = Stamp {
            sequence: u32::MAX - 1,
            run: 513,
            sent: 1 << 60,
        };
        assert_eq!(Stamp::of(&stamp.to_bytes()), Some(stamp));
        assert_eq!(Stamp::of(&stamp.to_bytes()[1..]), None);
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!("16k".parse(), Ok(Payload::Bytes(16 * 1024)));
        assert_eq!("file:/tmp/x".parse(), Ok(Payload::File("/tmp/x".into())));
        for wrong in ["15", "65k", "-1", "much", ""] {
            assert!(wrong.parse::<Payload>().is_err(), "{wrong}");
        }
    }
}
