//! Frames: how events and control messages follow one another on a lane.
//!
//! A [`Deframer`] cuts the bytes of one stream into frames, however they arrive, and copies only the one
//! that lies across two chunks. Knows nothing about which remotes exist.

use std::{collections::VecDeque, mem};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    CONTROL_ID, MAX_CONTROL_BYTES,
    code::CloseCode,
    read::{Malformed, TooLarge},
    varint,
};

/// One event, or one control message if `remote` is [`CONTROL_ID`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) remote: u32,
    /// A part of what the deframer holds: copy it to hold on to it.
    pub(crate) payload: &'a [u8],
}

/// A frame that is there as a whole, up to the next look for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) remote: u32,
    /// Where its payload is, in a chunk or in a copy.
    start: usize,
    end: usize,
    copied: bool,
}

impl Found {
    pub(crate) fn payload_len(&self) -> usize {
        self.end - self.start
    }
}

/// Cuts the bytes of one lane into frames.
///
/// Holds the chunks that were pushed and a copy of at most one frame that lies across some of them.
#[derive(Debug)]
pub(crate) struct Deframer {
    /// What is being cut now, and how much of it is cut.
    chunk: Bytes,
    at: usize,
    /// What comes after it.
    later: VecDeque<Bytes>,
    /// A frame that began in earlier chunks. Grows by what arrives, never by what the frame claims.
    partial: BytesMut,
    /// That frame is whole, and was found.
    is_done: bool,
    max_payload: usize,
}

impl Deframer {
    /// Accepts payloads of up to `max_payload` bytes, and control messages of up to [`MAX_CONTROL_BYTES`].
    pub(crate) fn new(max_payload: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            at: 0,
            later: VecDeque::new(),
            partial: BytesMut::new(),
            is_done: false,
            max_payload,
        }
    }

    /// Appends the next bytes of the stream.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.at == self.chunk.len() && self.later.is_empty() {
            (self.chunk, self.at) = (chunk, 0);
        } else if !chunk.is_empty() {
            self.later.push_back(chunk);
        }
    }

    /// Returns the next frame, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let found = self.find()?;
        Ok(found.map(|found| Frame {
            remote: found.remote,
            payload: self.payload(&found),
        }))
    }

    /// The same, and lends nothing yet: [`payload`](Self::payload) does.
    ///
    /// # Errors
    /// The stream makes no sense from here on: every later call returns the same error.
    #[inline]
    pub(crate) fn find(&mut self) -> Result<Option<Found>, FrameError> {
        loop {
            if !self.partial.is_empty() {
                match self.find_across()? {
                    Across::Found(found) => return Ok(Some(found)),
                    Across::Done => {}
                    Across::Needs => return Ok(None),
                }
            }
            if self.at == self.chunk.len() && !self.refill() {
                return Ok(None);
            }
            match self.scan(&self.chunk[self.at..])? {
                Scan::Whole { remote, start, end } => {
                    let (start, end) = (self.at + start, self.at + end);
                    self.at = end;
                    return Ok(Some(Found {
                        remote,
                        start,
                        end,
                        copied: false,
                    }));
                }
                Scan::Needs(_) => {
                    let chunk = mem::take(&mut self.chunk);
                    self.partial.extend_from_slice(&chunk[self.at..]);
                    self.at = 0;
                }
            }
        }
    }

    /// The payload of the frame that was found last.
    #[inline]
    pub(crate) fn payload(&self, found: &Found) -> &[u8] {
        let bytes: &[u8] = match found.copied {
            true => &self.partial,
            false => &self.chunk,
        };
        bytes.get(found.start..found.end).unwrap_or_default()
    }

    /// Completes the frame that has begun, or does away with it once it was found.
    fn find_across(&mut self) -> Result<Across, FrameError> {
        if mem::take(&mut self.is_done) {
            self.partial.clear();
            if self.partial.capacity() > MOST_KEPT {
                self.partial = BytesMut::new();
            }
            return Ok(Across::Done);
        }
        loop {
            match self.scan(&self.partial)? {
                Scan::Whole { remote, start, end } => {
                    self.is_done = true;
                    return Ok(Across::Found(Found {
                        remote,
                        start,
                        end,
                        copied: true,
                    }));
                }
                Scan::Needs(total) => {
                    if self.at == self.chunk.len() && !self.refill() {
                        return Ok(Across::Needs);
                    }
                    let rest = &self.chunk[self.at..];
                    let missing = total.saturating_sub(self.partial.len()).min(rest.len());
                    self.partial.extend_from_slice(&rest[..missing]);
                    self.at += missing;
                    if self.at == self.chunk.len() {
                        // An empty rest would keep its whole packet.
                        (self.chunk, self.at) = (Bytes::new(), 0);
                    }
                }
            }
        }
    }

    /// Whether the stream may end here, once [`next`](Self::next) has returned `None`: no frame has begun.
    pub(crate) fn is_clean(&self) -> bool {
        self.partial.is_empty() && self.at == self.chunk.len() && self.later.is_empty()
    }

    fn refill(&mut self) -> bool {
        match self.later.pop_front() {
            Some(next) => {
                (self.chunk, self.at) = (next, 0);
                true
            }
            None => {
                if self.at > 0 {
                    (self.chunk, self.at) = (Bytes::new(), 0);
                }
                false
            }
        }
    }

    /// Looks at the frame that `bytes` begin with.
    #[inline]
    fn scan(&self, bytes: &[u8]) -> Result<Scan, FrameError> {
        // A small event of one of the first remotes, as most are: two bytes, of which neither goes on.
        if let [rest, remote, ..] = *bytes
            && let Some(remote) = varint::is_short(remote)
            && let Some(rest) = varint::is_short(rest)
            && remote != CONTROL_ID
            && rest > 0
        {
            let end = 1 + rest as usize;
            if end - 2 <= self.max_payload && end <= bytes.len() {
                return Ok(Scan::Whole {
                    remote,
                    start: 2,
                    end,
                });
            }
        }
        let Some((rest, prefix)) = varint::peek(bytes)? else {
            return Ok(Scan::Needs(bytes.len() + 1));
        };
        // Before the id is there, the longest frame that any id allows.
        let most = self
            .max_payload
            .max(MAX_CONTROL_BYTES)
            .saturating_add(varint::MAX_LEN_U32);
        if rest > most as u64 {
            return Err(too_large(rest, most));
        }
        let end = prefix.saturating_add(rest as usize);
        let Some(mut body) = bytes.get(prefix..end) else {
            return Ok(Scan::Needs(end));
        };
        let remote = varint::take_u32(&mut body)?;
        let limit = if remote == CONTROL_ID {
            MAX_CONTROL_BYTES
        } else {
            self.max_payload
        };
        if body.len() > limit {
            return Err(too_large(body.len() as u64, limit));
        }
        Ok(Scan::Whole {
            remote,
            start: end - body.len(),
            end,
        })
    }
}

enum Scan {
    /// The frame has at least this many bytes, and more than there are.
    Needs(usize),
    /// The frame's payload is between `start` and `end`, where the frame ends, too.
    Whole {
        remote: u32,
        start: usize,
        end: usize,
    },
}

/// What became of a frame that lies across chunks.
enum Across {
    Found(Found),
    /// It was found before, and is gone.
    Done,
    /// More bytes have to be pushed.
    Needs,
}

/// Memory for frames across chunks that is kept for the next one.
const MOST_KEPT: usize = 4096;

/// Writes one frame: [`frame_overhead`] bytes, then the payload.
#[inline]
pub(crate) fn put_frame(out: &mut impl BufMut, remote: u32, payload: &[u8]) {
    let remote = u64::from(remote);
    let len = (varint::len(remote) + payload.len()) as u64;
    match (varint::short(len), varint::short(remote)) {
        (Some(len), Some(remote)) => out.put_slice(&[len, remote]),
        _ => {
            varint::put(out, len);
            varint::put(out, remote);
        }
    }
    out.put_slice(payload);
}

/// Returns how many bytes a frame has beyond its payload.
#[inline]
pub(crate) fn frame_overhead(remote: u32, payload_len: usize) -> usize {
    let short = |value: u64| varint::short(value).is_some();
    if short(u64::from(remote)) && short(payload_len as u64 + 1) {
        return 2;
    }
    let id_len = varint::len(u64::from(remote));
    varint::len((id_len + payload_len) as u64) + id_len
}

fn too_large(size: u64, limit: usize) -> FrameError {
    FrameError::TooLarge(TooLarge {
        what: "number of bytes in an event",
        size,
        limit: limit as u64,
    })
}

/// Events of the peer cannot be told apart, or one of them is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

impl From<&FrameError> for CloseCode {
    fn from(error: &FrameError) -> Self {
        match error {
            FrameError::Malformed(_) => Self::MALFORMED,
            FrameError::TooLarge(_) => Self::TOO_LARGE,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// 2^60 as a length.
    const CLAIM: &[u8] = &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];

    /// A frame that is held on to.
    type Held = (u32, Vec<u8>);

    fn frame(remote: u32, payload: &[u8]) -> Held {
        (remote, payload.to_vec())
    }

    fn encode(frames: &[Held]) -> Vec<u8> {
        let mut out = Vec::new();
        for (remote, payload) in frames {
            let before = out.len();
            put_frame(&mut out, *remote, payload);
            let overhead = frame_overhead(*remote, payload.len());
            assert_eq!(out.len() - before, overhead + payload.len());
        }
        out
    }

    fn drain(deframer: &mut Deframer) -> Result<Vec<Held>, FrameError> {
        let mut frames = Vec::new();
        while let Some(found) = deframer.next()? {
            frames.push(frame(found.remote, found.payload));
        }
        Ok(frames)
    }

    fn decode(bytes: &[u8], max_payload: usize) -> Result<Vec<Held>, FrameError> {
        let mut deframer = Deframer::new(max_payload);
        deframer.push(Bytes::copy_from_slice(bytes));
        drain(&mut deframer)
    }

    #[test]
    fn golden() {
        let frames = [frame(1, b"hi"), frame(300, b""), frame(CONTROL_ID, &[3, 9])];
        let bytes = [3, 1, b'h', b'i', 2, 0xac, 0x02, 3, 0, 3, 9];
        assert_eq!(encode(&frames), bytes);
        assert_eq!(decode(&bytes, 2).unwrap(), frames);
    }

    #[test]
    fn whole_frames_are_not_copied() {
        let chunk = Bytes::from(encode(&[frame(1, b"one"), frame(2, b"two")]));
        let mut deframer = Deframer::new(100);
        deframer.push(chunk.clone());
        for start in [2, 7] {
            let frame = deframer.next().unwrap().expect("both are there");
            assert_eq!(frame.payload.as_ptr(), chunk[start..].as_ptr());
        }
        assert_eq!(deframer.next(), Ok(None));
        assert!(chunk.is_unique(), "a chunk is let go when it is cut up");
    }

    #[test]
    fn a_large_frame_across_chunks_keeps_no_memory() {
        let large = frame(1, &[7; 2 * MOST_KEPT]);
        let bytes = Bytes::from(encode(&[large.clone(), frame(2, b"x")]));
        let mut deframer = Deframer::new(4 * MOST_KEPT);
        deframer.push(bytes.slice(..MOST_KEPT));
        assert_eq!(drain(&mut deframer).unwrap(), []);
        deframer.push(bytes.slice(MOST_KEPT..));
        assert_eq!(drain(&mut deframer).unwrap(), [large, frame(2, b"x")]);
        assert!(deframer.is_clean() && deframer.partial.capacity() <= MOST_KEPT);
    }

    #[test]
    fn impossible_frames() {
        for bytes in [
            &[0][..],                              // no id
            &[1, 0x80],                            // the id goes on beyond the frame
            &[0x80, 0x00],                         // a length in a longer form
            &[6, 0x80, 0x80, 0x80, 0x80, 0x10, 0], // an id of 33 bits
            &[2, 0x81, 0x00],                      // an id in a longer form
        ] {
            assert!(
                matches!(decode(bytes, 100), Err(FrameError::Malformed(_))),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn limits_hold_per_kind_of_frame() {
        let event = |len| decode(&encode(&[frame(1, &vec![0; len])]), 10);
        assert!(event(10).is_ok());
        assert!(matches!(
            event(11),
            Err(FrameError::TooLarge(TooLarge {
                size: 11,
                limit: 10,
                ..
            }))
        ));
        let control = |len| decode(&encode(&[frame(CONTROL_ID, &vec![0; len])]), 10);
        assert!(control(MAX_CONTROL_BYTES).is_ok());
        assert!(matches!(
            control(MAX_CONTROL_BYTES + 1),
            Err(FrameError::TooLarge(_))
        ));
    }

    #[test]
    fn an_error_stays() {
        let mut deframer = Deframer::new(10);
        deframer.push(Bytes::from_static(&[2, 1, b'a', 0, 2, 1, b'a']));
        assert!(deframer.next().unwrap().is_some());
        let error = deframer.next().unwrap_err();
        deframer.push(Bytes::from_static(&[2, 1, b'a']));
        assert_eq!(deframer.next(), Err(error));
        assert_eq!(CloseCode::from(&error), CloseCode::MALFORMED);
    }

    #[test]
    fn an_error_inside_a_frame_in_pieces_stays() {
        let mut deframer = Deframer::new(10);
        deframer.push(Bytes::from_static(&[2, 0x81]));
        assert_eq!(deframer.next(), Ok(None));
        deframer.push(Bytes::from_static(&[0]));
        let error = deframer.next().unwrap_err();
        assert_eq!(deframer.next(), Err(error));
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        assert!(
            matches!(decode(CLAIM, 1 << 20), Err(FrameError::TooLarge(TooLarge { size, .. })) if size == 1 << 60)
        );

        let mut deframer = Deframer::new(usize::MAX);
        for &byte in CLAIM {
            deframer.push(Bytes::copy_from_slice(&[byte]));
            assert_eq!(deframer.next(), Ok(None));
        }
        assert!(!deframer.is_clean());
        assert!(
            deframer.partial.capacity() <= 1024,
            "{}",
            deframer.partial.capacity()
        );
    }

    #[test]
    fn a_frame_byte_by_byte_and_then_many_at_once() {
        let first = frame(2, &[7; 300]);
        let bytes = encode(&[first.clone(), frame(3, b"x"), frame(4, b"y")]);
        let mut deframer = Deframer::new(300);
        let (slow, quick) = bytes.split_at(302);
        for &byte in slow {
            deframer.push(Bytes::copy_from_slice(&[byte]));
            assert_eq!(deframer.next(), Ok(None));
            assert!(!deframer.is_clean());
        }
        deframer.push(Bytes::copy_from_slice(quick));
        assert_eq!(
            drain(&mut deframer).unwrap(),
            [first, frame(3, b"x"), frame(4, b"y")]
        );
        assert!(deframer.is_clean());
    }

    fn any_frames() -> impl Strategy<Value = Vec<Held>> {
        let id = prop_oneof![0..200u32, any::<u32>()];
        vec(
            (id, vec(any::<u8>(), 0..300)).prop_map(|(remote, payload)| frame(remote, &payload)),
            0..8,
        )
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(frames in any_frames(), pieces in vec(0..50usize, 1..20), eager: bool) {
            let bytes = Bytes::from(encode(&frames));
            let mut deframer = Deframer::new(300);
            let (mut rest, mut read) = (bytes, Vec::new());
            for piece in pieces.iter().cycle() {
                if rest.is_empty() || pieces.iter().all(|&piece| piece == 0) {
                    break;
                }
                deframer.push(rest.split_to(rest.len().min(*piece)));
                if eager {
                    read.extend(drain(&mut deframer).unwrap());
                }
            }
            deframer.push(rest);
            read.extend(drain(&mut deframer).unwrap());
            prop_assert_eq!(read, frames);
            prop_assert!(deframer.is_clean());
        }

        #[test]
        fn a_cut_stream_is_not_clean(frames in any_frames(), cut: prop::sample::Index) {
            prop_assume!(!frames.is_empty());
            let bytes = encode(&frames);
            let cut = cut.index(bytes.len());
            let mut deframer = Deframer::new(300);
            deframer.push(Bytes::copy_from_slice(&bytes[..cut]));
            let read = drain(&mut deframer).unwrap();
            prop_assert!(frames.starts_with(&read) && read.len() < frames.len());
            prop_assert_eq!(deframer.is_clean(), encode(&read).len() == cut);
        }

        #[test]
        fn random_bytes(chunks in vec(vec(any::<u8>(), 0..40), 0..20)) {
            let mut deframer = Deframer::new(100);
            let arrived: usize = chunks.iter().map(Vec::len).sum();
            for chunk in chunks {
                deframer.push(chunk.into());
                if drain(&mut deframer).is_err() {
                    break;
                }
                prop_assert!(deframer.partial.capacity() <= 2 * arrived + 64);
            }
        }
    }
}
