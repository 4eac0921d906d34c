//! What one side tells the other about a remote: its name, its kind and the shape of its types.
//!
//! Part of hello, welcome and announcement. Knows nothing about handlers, nor what a shape says.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    MAX_NAME_BYTES, MAX_NAME_CHARS, MAX_REMOTES, MAX_SHAPE_BYTES,
    read::{Malformed, Reader, put_bytes},
    varint,
};
use crate::remote::RemoteKind;

/// A remote as its owner declared it. One that exists can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteInfo<T = String> {
    name: T,
    kind: RemoteKind,
    shape: T,
}

/// A remote and the id that the server gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// From 1 to [`MAX_REMOTES`].
    pub(crate) id: u32,
    pub(crate) remote: RemoteInfo,
}

/// The remotes that a client declares, as it wrote them, and found to be well written.
///
/// It may name thousands, of which the server looks at each once and keeps few.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct DeclaredRemotes {
    count: usize,
    bytes: Bytes,
}

impl RemoteInfo {
    /// Describes a remote; the empty `shape` means that its types are not compared.
    ///
    /// # Errors
    /// [`InvalidRemote`] if the name or the shape is not one that the wire can carry.
    pub(crate) fn new(name: &str, kind: RemoteKind, shape: &str) -> Result<Self, InvalidRemote> {
        check(name, shape)?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            shape: shape.to_owned(),
        })
    }
}

impl<'a> RemoteInfo<&'a str> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let name = reader.text(MAX_NAME_BYTES)?;
        let kind = match reader.u8()? {
            KIND_EVENT => RemoteKind::Event,
            KIND_UNRELIABLE => RemoteKind::Unreliable,
            KIND_FUNCTION => RemoteKind::Function,
            _ => return Err(Malformed("a remote of no known kind")),
        };
        let shape = reader.text(MAX_SHAPE_BYTES)?;
        check(name, shape)
            .map_err(|_| Malformed("a remote's name has no or too many characters"))?;
        Ok(Self { name, kind, shape })
    }

    /// A copy that outlives the bytes it was read from.
    pub(crate) fn to_owned(self) -> RemoteInfo {
        RemoteInfo {
            name: self.name.to_owned(),
            kind: self.kind,
            shape: self.shape.to_owned(),
        }
    }
}

impl<T: AsRef<str>> RemoteInfo<T> {
    pub(crate) fn name(&self) -> &str {
        self.name.as_ref()
    }

    pub(crate) fn kind(&self) -> RemoteKind {
        self.kind
    }

    /// The shape of the types, or the empty text if they are not to be compared.
    pub(crate) fn shape(&self) -> &str {
        self.shape.as_ref()
    }

    /// Whether `other`, which is of the same name, is another kind or has other types; what has no
    /// shape is not compared.
    pub(crate) fn differs<U: AsRef<str>>(&self, other: &RemoteInfo<U>) -> bool {
        let unchecked = self.shape().is_empty() || other.shape().is_empty();
        self.kind != other.kind || (!unchecked && self.shape() != other.shape())
    }

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        put_bytes(out, self.name().as_bytes());
        out.put_u8(match self.kind {
            RemoteKind::Event => KIND_EVENT,
            RemoteKind::Unreliable => KIND_UNRELIABLE,
            RemoteKind::Function => KIND_FUNCTION,
        });
        put_bytes(out, self.shape().as_bytes());
    }
}

impl DeclaredRemotes {
    pub(crate) fn new(remotes: &[RemoteInfo]) -> Self {
        let mut bytes = BytesMut::new();
        for remote in remotes {
            remote.encode(&mut bytes);
        }
        Self {
            count: remotes.len(),
            bytes: bytes.freeze(),
        }
    }

    /// Reads a list out of `message`, which `reader` reads.
    pub(crate) fn decode(message: &Bytes, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(MAX_REMOTES)?;
        let before = reader.rest();
        for _ in 0..count {
            RemoteInfo::decode(reader)?;
        }
        let read = before.len() - reader.rest().len();
        Ok(Self {
            count,
            bytes: message.slice_ref(&before[..read]),
        })
    }

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        varint::put(out, self.count as u64);
        out.put_slice(&self.bytes);
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RemoteInfo<&str>> {
        let mut reader = Reader::new(&self.bytes);
        std::iter::from_fn(move || RemoteInfo::decode(&mut reader).ok())
    }
}

impl fmt::Debug for DeclaredRemotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Announcement {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let id = reader.u32()?;
        // Receivers index a table by id: the bound keeps a peer from making it large.
        if id == 0 || id as usize > MAX_REMOTES {
            return Err(Malformed("a remote's id is out of range"));
        }
        Ok(Self {
            id,
            remote: RemoteInfo::decode(reader)?.to_owned(),
        })
    }

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        debug_assert!(
            (1..=MAX_REMOTES).contains(&(self.id as usize)),
            "the server assigns ids in range"
        );
        varint::put(out, u64::from(self.id));
        self.remote.encode(out);
    }
}

/// Whether the wire can carry a remote of this name and shape.
fn check(name: &str, shape: &str) -> Result<(), InvalidRemote> {
    // The limit in bytes comes first, so that counting characters is bounded; there are no more of them than bytes.
    let short = match name.len() {
        0 => false,
        1..=MAX_NAME_CHARS => true,
        bytes => bytes <= MAX_NAME_BYTES && name.chars().count() <= MAX_NAME_CHARS,
    };
    if !short {
        return Err(InvalidRemote::Name { bytes: name.len() });
    }
    if shape.len() > MAX_SHAPE_BYTES {
        return Err(InvalidRemote::Shape { bytes: shape.len() });
    }
    Ok(())
}

/// A remote cannot be described on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRemote {
    #[error(
        "a remote's name has 1 to {MAX_NAME_CHARS} characters, and this one has {bytes} bytes; choose another"
    )]
    Name { bytes: usize },
    #[error(
        "a shape has at most {MAX_SHAPE_BYTES} bytes, and this one has {bytes}; leave it empty instead"
    )]
    Shape { bytes: usize },
}

const KIND_EVENT: u8 = 1;
const KIND_UNRELIABLE: u8 = 2;
const KIND_FUNCTION: u8 = 3;

#[cfg(test)]
pub(super) mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const GOLDEN: &[u8] = &[
        0x80, 0x01, // id 128
        4, b'C', b'h', b'a', b't', // name
        1,    // kind: event
        3, b's', b't', b'r', // shape
    ];

    pub(in crate::wire) fn chat() -> RemoteInfo {
        RemoteInfo::new("Chat", RemoteKind::Event, "str").unwrap()
    }

    /// Any text of up to `max` characters.
    pub(in crate::wire) fn text(max: usize) -> impl Strategy<Value = String> {
        vec(any::<char>(), 0..=max).prop_map(String::from_iter)
    }

    pub(in crate::wire) fn any_remote() -> impl Strategy<Value = RemoteInfo> {
        let kinds = prop::sample::select(vec![
            RemoteKind::Event,
            RemoteKind::Unreliable,
            RemoteKind::Function,
        ]);
        (
            vec(any::<char>(), 1..=MAX_NAME_CHARS),
            kinds,
            text(MAX_SHAPE_BYTES / 4),
        )
            .prop_map(|(name, kind, shape)| {
                RemoteInfo::new(&String::from_iter(name), kind, &shape).unwrap()
            })
    }

    pub(in crate::wire) fn any_announcement() -> impl Strategy<Value = Announcement> {
        (1..=MAX_REMOTES as u32, any_remote()).prop_map(|(id, remote)| Announcement { id, remote })
    }

    fn decode(bytes: &[u8]) -> Result<Announcement, Malformed> {
        let mut reader = Reader::new(bytes);
        let announcement = Announcement::decode(&mut reader)?;
        reader.finish()?;
        Ok(announcement)
    }

    fn encode(announcement: &Announcement) -> Vec<u8> {
        let mut out = Vec::new();
        announcement.encode(&mut out);
        out
    }

    #[test]
    fn golden() {
        let announcement = Announcement {
            id: 128,
            remote: chat(),
        };
        assert_eq!(encode(&announcement), GOLDEN);
        assert_eq!(decode(GOLDEN), Ok(announcement));
    }

    #[test]
    fn impossible_remotes() {
        assert!(
            decode(&[0, 1, b'a', 1, 0]).is_err(),
            "id 0 is the control channel"
        );
        assert!(decode(&[0x81, 0x20, 1, b'a', 1, 0]).is_err(), "id 4097");
        assert!(decode(&[0x80, 0x20, 1, b'a', 1, 0]).is_ok(), "id 4096");
        assert!(decode(&[1, 0, 1, 0]).is_err(), "no name");
        assert!(decode(&[1, 1, b'a', 0, 0]).is_err(), "kind 0");
        assert!(decode(&[1, 1, b'a', 4, 0]).is_err(), "kind 4");
        assert!(decode(&[1, 1, 0xff, 1, 0]).is_err(), "not UTF-8");
    }

    #[test]
    fn names_are_counted_in_characters() {
        let new = |name: &str| RemoteInfo::new(name, RemoteKind::Event, "");
        assert!(new(&"a".repeat(100)).is_ok());
        assert!(new(&"𝄞".repeat(100)).is_ok());
        assert_eq!(
            new(&"a".repeat(101)),
            Err(InvalidRemote::Name { bytes: 101 })
        );
        assert_eq!(new(""), Err(InvalidRemote::Name { bytes: 0 }));
        let shape = |len| RemoteInfo::new("a", RemoteKind::Event, &"s".repeat(len));
        assert!(shape(600).is_ok());
        assert_eq!(shape(601), Err(InvalidRemote::Shape { bytes: 601 }));
    }

    proptest! {
        #[test]
        fn round_trip(announcement in any_announcement()) {
            let bytes = encode(&announcement);
            for cut in 0..bytes.len() {
                prop_assert!(decode(&bytes[..cut]).is_err());
            }
            prop_assert_eq!(decode(&bytes), Ok(announcement));
        }

        #[test]
        fn random_bytes(bytes: Vec<u8>) {
            if let Ok(announcement) = decode(&bytes) {
                prop_assert_eq!(encode(&announcement), bytes);
            }
        }
    }
}
