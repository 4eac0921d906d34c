//! Datagrams: one or more unreliable events, one after another.
//!
//! Knows nothing about when datagrams are sent, nor about which events are stale: that is
//! [`DuplicateWindow`](super::sequence::DuplicateWindow)'s.

use bytes::BufMut;

use super::{
    CONTROL_ID, MAX_UNRELIABLE_PAYLOAD,
    frame::FrameError,
    read::{ENDS_EARLY, Malformed, TooLarge},
    varint,
};

/// One unreliable event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DatagramEvent<'a> {
    pub(crate) remote: u32,
    pub(crate) sequence: u32,
    /// A part of the datagram.
    pub(crate) payload: &'a [u8],
}

/// The events of one datagram, in order. After an error there are no more.
#[derive(Debug)]
pub(crate) struct DatagramEvents<'a> {
    rest: &'a [u8],
}

impl<'a> DatagramEvents<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    #[inline]
    fn take(&mut self) -> Result<DatagramEvent<'a>, FrameError> {
        let mut rest = self.rest;
        let claimed = varint::take(&mut rest)?;
        let claimed = usize::try_from(claimed).unwrap_or(usize::MAX);
        let (mut body, rest) = rest.split_at_checked(claimed).ok_or(ENDS_EARLY)?;
        let remote = varint::take_u32(&mut body)?;
        if remote == CONTROL_ID {
            return Err(Malformed("control messages are no unreliable events").into());
        }
        let sequence = varint::take_u32(&mut body)?;
        let len = body.len();
        if len > MAX_UNRELIABLE_PAYLOAD {
            return Err(FrameError::TooLarge(TooLarge {
                what: "number of bytes in an unreliable event",
                size: len as u64,
                limit: MAX_UNRELIABLE_PAYLOAD as u64,
            }));
        }
        self.rest = rest;
        Ok(DatagramEvent {
            remote,
            sequence,
            payload: body,
        })
    }
}

impl<'a> Iterator for DatagramEvents<'a> {
    type Item = Result<DatagramEvent<'a>, FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let event = self.take();
        if event.is_err() {
            self.rest = &[];
        }
        Some(event)
    }
}

/// Appends one event to a datagram: [`datagram_event_len`] bytes in all, of a payload of at most
/// [`MAX_UNRELIABLE_PAYLOAD`].
#[inline]
pub(crate) fn put_datagram_event(
    out: &mut impl BufMut,
    remote: u32,
    sequence: u32,
    payload: &[u8],
) {
    let (remote, sequence) = (u64::from(remote), u64::from(sequence));
    varint::put(
        out,
        (varint::len(remote) + varint::len(sequence) + payload.len()) as u64,
    );
    varint::put(out, remote);
    varint::put(out, sequence);
    out.put_slice(payload);
}

/// Returns how many bytes an event takes in a datagram: at most 12 more than its payload.
#[inline]
pub(crate) fn datagram_event_len(remote: u32, sequence: u32, payload_len: usize) -> usize {
    let inner = varint::len(u64::from(remote)) + varint::len(u64::from(sequence));
    varint::len((inner + payload_len) as u64) + inner + payload_len
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::wire::MAX_DATAGRAM;

    fn event(remote: u32, sequence: u32, payload: &[u8]) -> DatagramEvent<'_> {
        DatagramEvent {
            remote,
            sequence,
            payload,
        }
    }

    fn encode(events: &[DatagramEvent<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events {
            let before = out.len();
            put_datagram_event(&mut out, event.remote, event.sequence, event.payload);
            let len = datagram_event_len(event.remote, event.sequence, event.payload.len());
            assert_eq!(out.len() - before, len);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Vec<DatagramEvent<'_>>, FrameError> {
        DatagramEvents::new(bytes).collect()
    }

    #[test]
    fn golden() {
        let events = [event(1, 0, b"hi"), event(300, 128, b"")];
        let bytes = [4, 1, 0, b'h', b'i', 4, 0xac, 0x02, 0x80, 0x01];
        assert_eq!(encode(&events), bytes);
        assert_eq!(decode(&bytes).unwrap(), events);
        assert_eq!(decode(&[]).unwrap(), []);
    }

    #[test]
    fn impossible_events() {
        for bytes in [
            &[0][..],      // no id
            &[1, 1],       // no sequence
            &[2, 0, 0],    // control
            &[3, 1, 0],    // shorter than it says
            &[2, 1, 0, 9], // something of a second event
            &[6, 0x80, 0x80, 0x80, 0x80, 0x10, 0],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
        ] {
            assert!(
                matches!(decode(bytes), Err(FrameError::Malformed(_))),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut events = DatagramEvents::new(&[2, 1, 0, 0, 2, 1, 0]);
        assert_eq!(events.next(), Some(Ok(event(1, 0, b""))));
        assert!(matches!(events.next(), Some(Err(_))));
        assert_eq!(events.next(), None);
    }

    #[test]
    fn the_largest_event_fits_a_datagram() {
        let largest = [event(u32::MAX, u32::MAX, &[0; MAX_UNRELIABLE_PAYLOAD])];
        let bytes = encode(&largest);
        assert_eq!(bytes.len(), MAX_UNRELIABLE_PAYLOAD + 12);
        assert!(bytes.len() <= MAX_DATAGRAM);
        assert_eq!(decode(&bytes).unwrap(), largest);
        let larger = encode(&[event(1, 1, &[0; MAX_UNRELIABLE_PAYLOAD + 1])]);
        assert!(matches!(
            decode(&larger),
            Err(FrameError::TooLarge(TooLarge {
                size: 1001,
                limit: 1000,
                ..
            }))
        ));
    }

    fn any_events() -> impl Strategy<Value = Vec<(u32, u32, Vec<u8>)>> {
        vec((1..=u32::MAX, any::<u32>(), vec(any::<u8>(), 0..200)), 0..6)
    }

    proptest! {
        #[test]
        fn round_trip(events in any_events()) {
            let events = events.iter().map(|(remote, sequence, payload)| event(*remote, *sequence, payload));
            let events: Vec<_> = events.collect();
            let bytes = encode(&events);
            prop_assert_eq!(decode(&bytes).unwrap(), &events[..]);
            let ends: Vec<_> = (0..=events.len()).map(|count| encode(&events[..count]).len()).collect();
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]).is_ok(), ends.contains(&cut));
            }
        }

        #[test]
        fn random_bytes(bytes: Vec<u8>) {
            if let Ok(events) = decode(&bytes) {
                prop_assert_eq!(encode(&events), bytes);
            }
        }
    }
}
