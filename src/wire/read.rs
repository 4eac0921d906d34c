//! A cursor over bytes that a peer sent, and the two ways in which they can be refused.
//!
//! Every decoder of a complete message reads through [`Reader`]: nothing is copied or allocated before
//! the bytes are known to be there. Knows nothing about any particular message.

use bytes::BufMut;

use super::varint;

/// Reads one complete message from front to back.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes one byte.
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(first)
    }

    /// Takes a number of up to 64 bits.
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        varint::take(&mut self.rest)
    }

    /// Takes a number of up to 32 bits.
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        varint::take_u32(&mut self.rest)
    }

    /// Takes `N` bytes as they are.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (&array, rest) = self.rest.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(array)
    }

    /// Takes `varint(len)` and that many bytes, of which there may be at most `limit`.
    pub(crate) fn bytes(&mut self, limit: usize) -> Result<&'a [u8], Malformed> {
        let claimed = usize::try_from(self.u64()?).map_err(|_| ENDS_EARLY)?;
        if claimed > limit {
            return Err(Malformed("a field is longer than its limit"));
        }
        let (field, rest) = self.rest.split_at_checked(claimed).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(field)
    }

    /// Takes a length and that many bytes of UTF-8, of which there may be at most `limit`.
    pub(crate) fn text(&mut self, limit: usize) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes(limit)?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// Takes a count of at most `limit`, then that many items.
    ///
    /// The list grows as items are read and never by the count.
    pub(crate) fn list<T>(
        &mut self,
        limit: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let mut items = Vec::new();
        for _ in 0..self.count(limit)? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Takes the count that a list begins with.
    pub(crate) fn count(&mut self, limit: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.u64()?).ok();
        let count = count.filter(|count| *count <= limit);
        count.ok_or(Malformed("a list has more items than its limit"))
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Refuses whatever was not read.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        match self.rest {
            [] => Ok(()),
            _ => Err(Malformed("bytes follow the end of a message")),
        }
    }
}

/// Writes `varint(len)` and the bytes: what [`Reader::bytes`] and [`Reader::text`] take.
pub(crate) fn put_bytes(out: &mut impl BufMut, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Returns the longest beginning of `text` that has at most `limit` bytes and cuts no character.
pub(crate) fn clip(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns an error if `size` is above `limit`.
pub(crate) fn fits(what: &'static str, size: usize, limit: usize) -> Result<(), TooLarge> {
    if size > limit {
        return Err(TooLarge {
            what,
            size: size as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

/// The peer sent bytes that are not what the protocol says; the text is for the log, not for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed bytes from the peer: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Something is longer than the protocol or a setting allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {what} is {size}, more than the limit of {limit}")]
pub(crate) struct TooLarge {
    /// What was measured, and in which unit.
    pub(crate) what: &'static str,
    pub(crate) size: u64,
    pub(crate) limit: u64,
}

pub(crate) const ENDS_EARLY: Malformed = Malformed("a message ends before its last field");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_the_end_is_checked() {
        let bytes = [7, 0x80, 0x01, 2, b'h', b'i', 3, 1, 2, 3];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u32(), Ok(128));
        assert_eq!(reader.text(2), Ok("hi"));
        assert_eq!(reader.list(3, Reader::u8), Ok(vec![1, 2, 3]));
        assert_eq!(reader.finish(), Ok(()));

        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8(), Ok(7));
        assert!(reader.finish().is_err());
    }

    #[test]
    fn a_claimed_length_beyond_the_bytes_is_refused() {
        // 2^60, then nothing.
        let claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(Reader::new(&claim).bytes(usize::MAX), Err(ENDS_EARLY));
        assert_eq!(
            Reader::new(&claim).list(usize::MAX, Reader::u8),
            Err(ENDS_EARLY)
        );
        assert!(Reader::new(&claim).bytes(64).is_err());
        assert!(Reader::new(&claim).list(64, Reader::u8).is_err());
    }

    #[test]
    fn text_is_utf_8() {
        assert!(Reader::new(&[2, 0xc3, 0x28]).text(10).is_err());
        assert_eq!(Reader::new(&[2, 0xc3, 0xa9]).text(10), Ok("é"));
    }

    #[test]
    fn clipping_cuts_no_character() {
        assert_eq!(clip("héllo", 10), "héllo");
        assert_eq!(clip("héllo", 2), "h");
        assert_eq!(clip("héllo", 3), "hé");
        assert_eq!(clip("é", 1), "");
    }
}
