//! Requests and replies: the two halves of the stream that one call has to itself.
//!
//! Each is read up to the end of its half first, within a limit, and decoded then: a stream that ended
//! early is never taken for a short message. Knows nothing about functions, nor about time.

use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::{
    CONTROL_ID, MAX_CALL_DEPTH, MAX_REASON_BYTES,
    code::CallCode,
    read::{Malformed, Reader, clip, put_bytes},
    varint,
};

/// What stands before the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestHeader {
    /// The id of the function.
    pub(crate) function: u32,
    /// How long the caller waits from now on. Whole milliseconds, rounded up; at most about 49 days.
    pub(crate) remaining: Duration,
    /// How many events of the default lane come before the call, or `None` if the order does not matter.
    pub(crate) barrier: Option<u64>,
    /// Within how many other calls it was made; at most [`MAX_CALL_DEPTH`].
    pub(crate) depth: u8,
}

/// How a call ended at the callee. `barrier` is how many events of the default lane come before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The handler's result.
    Ok { barrier: u64, body: Bytes },
    /// The handler failed, with a message that its developer chose; written up to [`MAX_REASON_BYTES`].
    Failed { barrier: u64, message: String },
    /// The runtime could not produce a result.
    System {
        barrier: u64,
        code: CallCode,
        /// Links the logs of both sides; 0 if there is nothing to look up.
        incident: u64,
        /// When another attempt makes sense. Whole milliseconds, from 1; at most about 49 days.
        retry_after: Option<Duration>,
    },
}

/// Reads everything that a caller sent, up to the end of its half of the stream: the header and the body.
///
/// # Errors
/// [`Malformed`], also if the body is shorter or longer than declared.
pub(crate) fn decode_request(request: Bytes) -> Result<(RequestHeader, Bytes), Malformed> {
    let mut reader = Reader::new(&request);
    if reader.u8()? != REQUEST_VERSION {
        return Err(Malformed("a request of another version"));
    }
    let function = reader.u32()?;
    if function == CONTROL_ID {
        return Err(Malformed("the control channel is no function"));
    }
    let remaining = read_millis(&mut reader)?;
    let barrier = reader.u64()?;
    let barrier = match reader.u8()? {
        0 => Some(barrier),
        FLAG_UNORDERED => None,
        _ => return Err(Malformed("a request has unknown flags")),
    };
    let depth = reader.u8()?;
    if depth > MAX_CALL_DEPTH {
        return Err(Malformed("a call is nested too deeply"));
    }
    let body = request.slice_ref(reader.bytes(usize::MAX)?);
    reader.finish()?;
    Ok((
        RequestHeader {
            function,
            remaining,
            barrier,
            depth,
        },
        body,
    ))
}

impl RequestHeader {
    /// Writes everything before the body: at most [`MAX_REQUEST_HEADER`] bytes.
    pub(crate) fn encode(&self, body_len: usize, out: &mut impl BufMut) {
        out.put_u8(REQUEST_VERSION);
        varint::put(out, u64::from(self.function));
        varint::put(out, millis(self.remaining));
        varint::put(out, self.barrier.unwrap_or(0));
        out.put_u8(if self.barrier.is_some() {
            0
        } else {
            FLAG_UNORDERED
        });
        out.put_u8(self.depth);
        varint::put(out, body_len as u64);
    }
}

/// Reads everything that a callee sent, up to the end of its half of the stream.
///
/// # Errors
/// [`Malformed`], also if the body is shorter or longer than declared, and if there is nothing at all.
pub(crate) fn decode_reply(reply: Bytes) -> Result<Reply, Malformed> {
    let mut reader = Reader::new(&reply);
    let status = reader.u8()?;
    let barrier = reader.u64()?;
    let body = reader.bytes(usize::MAX)?;
    reader.finish()?;
    let mut reader = Reader::new(body);
    Ok(match status {
        STATUS_OK => Reply::Ok {
            barrier,
            body: reply.slice_ref(body),
        },
        STATUS_FAILED if body.len() > MAX_REASON_BYTES => {
            return Err(Malformed("a failure's message is too long"));
        }
        STATUS_FAILED => {
            let message = str::from_utf8(body).map_err(|_| Malformed("a text is not UTF-8"))?;
            Reply::Failed {
                barrier,
                message: message.to_owned(),
            }
        }
        STATUS_SYSTEM => {
            let code = CallCode::from(reader.u32()?);
            let incident = reader.u64()?;
            let retry_after = Some(read_millis(&mut reader)?).filter(|after| !after.is_zero());
            reader.finish()?;
            Reply::System {
                barrier,
                code,
                incident,
                retry_after,
            }
        }
        _ => return Err(Malformed("a reply of no known status")),
    })
}

/// Writes everything before the body of a successful reply: at most [`MAX_REPLY_HEADER`] bytes.
pub(crate) fn put_ok_header(barrier: u64, body_len: usize, out: &mut impl BufMut) {
    out.put_u8(STATUS_OK);
    varint::put(out, barrier);
    varint::put(out, body_len as u64);
}

impl Reply {
    pub(crate) fn barrier(&self) -> u64 {
        match self {
            Self::Ok { barrier, .. }
            | Self::Failed { barrier, .. }
            | Self::System { barrier, .. } => *barrier,
        }
    }

    /// Writes the whole reply, copying the body. [`put_ok_header`] does not.
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Ok { barrier, body } => {
                put_ok_header(*barrier, body.len(), out);
                out.put_slice(body);
            }
            Self::Failed { barrier, message } => {
                out.put_u8(STATUS_FAILED);
                varint::put(out, *barrier);
                put_bytes(out, clip(message, MAX_REASON_BYTES).as_bytes());
            }
            Self::System {
                barrier,
                code,
                incident,
                retry_after,
            } => {
                let (code, retry_after) = (
                    u64::from(code.as_u32()),
                    retry_after.map_or(0, |after| millis(after).max(1)),
                );
                out.put_u8(STATUS_SYSTEM);
                varint::put(out, *barrier);
                varint::put(
                    out,
                    (varint::len(code) + varint::len(*incident) + varint::len(retry_after)) as u64,
                );
                varint::put(out, code);
                varint::put(out, *incident);
                varint::put(out, retry_after);
            }
        }
    }
}

/// Thirty-two bits, so that adding the time to a clock cannot overflow, whatever the peer says.
fn read_millis(reader: &mut Reader<'_>) -> Result<Duration, Malformed> {
    reader
        .u32()
        .map(|millis| Duration::from_millis(u64::from(millis)))
}

/// Rounds up: what is left of a deadline must not become nothing.
fn millis(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1000);
    let millis = whole.saturating_add(u64::from(duration.subsec_nanos().div_ceil(1_000_000)));
    millis.min(u64::from(u32::MAX))
}

/// The most that a request has beyond its body: version, id, time, barrier, flags, depth, length.
pub(crate) const MAX_REQUEST_HEADER: usize =
    1 + varint::MAX_LEN_U32 * 2 + varint::MAX_LEN + 2 + varint::MAX_LEN;

/// The most that a reply has beyond its body: status, barrier, length.
pub(crate) const MAX_REPLY_HEADER: usize = 1 + varint::MAX_LEN + varint::MAX_LEN;

const REQUEST_VERSION: u8 = 1;

/// The barrier means nothing.
const FLAG_UNORDERED: u8 = 1;

const STATUS_OK: u8 = 1;
const STATUS_FAILED: u8 = 2;
const STATUS_SYSTEM: u8 = 3;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::wire::remote::tests::text;

    fn encode_request(header: &RequestHeader, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        header.encode(body.len(), &mut out);
        assert!(out.len() <= MAX_REQUEST_HEADER);
        out.extend(body);
        out
    }

    fn encode_reply(reply: &Reply) -> Vec<u8> {
        let mut out = Vec::new();
        reply.encode(&mut out);
        out
    }

    #[test]
    fn golden_requests() {
        let ordered = RequestHeader {
            function: 3,
            remaining: Duration::from_secs(10),
            barrier: Some(2),
            depth: 8,
        };
        let unordered = RequestHeader {
            function: 300,
            remaining: Duration::ZERO,
            barrier: None,
            depth: 0,
        };
        for (header, body, bytes) in [
            (
                ordered,
                &b"hi"[..],
                &[1, 3, 0x90, 0x4e, 2, 0, 8, 2, b'h', b'i'][..],
            ),
            (unordered, b"", &[1, 0xac, 0x02, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(encode_request(&header, body), bytes);
            let (decoded, rest) = decode_request(Bytes::from_static(bytes)).unwrap();
            assert_eq!((decoded, &rest[..]), (header, body));
        }
    }

    #[test]
    fn golden_replies() {
        let retry_after = Some(Duration::from_millis(300));
        for (reply, bytes) in [
            (
                Reply::Ok {
                    barrier: 300,
                    body: Bytes::from_static(b"hi"),
                },
                &[1, 0xac, 0x02, 2, b'h', b'i'][..],
            ),
            (
                Reply::Ok {
                    barrier: 0,
                    body: Bytes::new(),
                },
                &[1, 0, 0],
            ),
            (
                Reply::Failed {
                    barrier: 1,
                    message: "no".into(),
                },
                &[2, 1, 2, b'n', b'o'],
            ),
            (
                Reply::System {
                    barrier: 0,
                    code: CallCode::BUSY,
                    incident: 0,
                    retry_after,
                },
                &[3, 0, 4, 0x20, 0, 0xac, 0x02],
            ),
            (
                Reply::System {
                    barrier: 0,
                    code: CallCode::PANICKED,
                    incident: 128,
                    retry_after: None,
                },
                &[3, 0, 4, 0x31, 0x80, 0x01, 0],
            ),
        ] {
            assert_eq!(encode_reply(&reply), bytes);
            assert_eq!(decode_reply(Bytes::from_static(bytes)), Ok(reply));
        }
    }

    #[test]
    fn impossible_requests() {
        for bytes in [
            &[][..],
            &[2, 3, 0, 0, 0, 0, 0], // another version
            &[1, 0, 0, 0, 0, 0, 0], // the control channel
            &[1, 3, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0, 0, 0], // 2^32 milliseconds
            &[1, 3, 0, 0, 2, 0, 0], // an unknown flag
            &[1, 3, 0, 0, 0, 9, 0], // nested too deeply
            &[1, 3, 0, 0, 0, 0, 1], // shorter than declared
            &[1, 3, 0, 0, 0, 0, 1, 9, 9], // longer than declared
            &[
                1, 3, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10,
            ],
        ] {
            assert!(
                decode_request(Bytes::copy_from_slice(bytes)).is_err(),
                "{bytes:x?}"
            );
        }
        let unordered = decode_request(Bytes::from_static(&[1, 3, 0, 9, 1, 0, 0]))
            .unwrap()
            .0;
        assert_eq!(
            unordered.barrier, None,
            "the flag makes the barrier meaningless"
        );
    }

    #[test]
    fn impossible_replies() {
        for bytes in [
            &[][..],
            &[0, 0, 0],
            &[4, 0, 0],
            &[1, 0, 1],
            &[1, 0, 0, 0],
            &[2, 0, 1, 0xff],
            &[3, 0, 0],
            &[3, 0, 4, 0x20, 0, 0, 0],
            &[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
        ] {
            assert!(
                decode_reply(Bytes::copy_from_slice(bytes)).is_err(),
                "{bytes:x?}"
            );
        }
        let mut long = vec![2, 0, 0x81, 0x02];
        long.extend([b'a'; 257]);
        assert!(decode_reply(long.into()).is_err());
    }

    #[test]
    fn times_are_rounded_up_and_capped() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_micros(1001)), 2);
        assert_eq!(millis(Duration::MAX), u64::from(u32::MAX));
        let now = Reply::System {
            barrier: 0,
            code: CallCode::BUSY,
            incident: 0,
            retry_after: Some(Duration::ZERO),
        };
        let soon = Reply::System {
            barrier: 0,
            code: CallCode::BUSY,
            incident: 0,
            retry_after: Some(Duration::from_millis(1)),
        };
        assert_eq!(decode_reply(encode_reply(&now).into()), Ok(soon));
    }

    #[test]
    fn bodies_are_not_copied() {
        let request = Bytes::from_static(&[1, 3, 0, 0, 0, 0, 1, 9]);
        let (_, body) = decode_request(request.clone()).unwrap();
        assert_eq!(body.as_ptr(), request[7..].as_ptr());
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let retry_after = prop::option::of(
            (1..=u32::MAX).prop_map(|millis| Duration::from_millis(millis.into())),
        );
        prop_oneof![
            (any::<u64>(), vec(any::<u8>(), 0..100)).prop_map(|(barrier, body)| Reply::Ok {
                barrier,
                body: body.into()
            }),
            (any::<u64>(), text(64))
                .prop_map(|(barrier, message)| Reply::Failed { barrier, message }),
            (any::<u64>(), any::<u32>(), any::<u64>(), retry_after).prop_map(
                |(barrier, code, incident, retry_after)| {
                    Reply::System {
                        barrier,
                        code: CallCode::from(code),
                        incident,
                        retry_after,
                    }
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn requests_round_trip(
            function in 1..=u32::MAX,
            remaining: u32,
            barrier: Option<u64>,
            depth in 0..=MAX_CALL_DEPTH,
            body in vec(any::<u8>(), 0..100),
        ) {
            let remaining = Duration::from_millis(remaining.into());
            let header = RequestHeader { function, remaining, barrier, depth };
            let bytes = Bytes::from(encode_request(&header, &body));
            for cut in 0..bytes.len() {
                prop_assert!(decode_request(bytes.slice(..cut)).is_err());
            }
            prop_assert_eq!(decode_request(bytes), Ok((header, body.into())));
        }

        #[test]
        fn replies_round_trip(reply in any_reply()) {
            let bytes = Bytes::from(encode_reply(&reply));
            for cut in 0..bytes.len() {
                prop_assert!(decode_reply(bytes.slice(..cut)).is_err());
            }
            prop_assert_eq!(decode_reply(bytes), Ok(reply));
        }

        #[test]
        fn random_bytes(first in 0..5u8, bytes: Vec<u8>) {
            let bytes = Bytes::from([&[first], &bytes[..]].concat());
            if let Ok((header, body)) = decode_request(bytes.clone()) {
                // An unordered request may carry any barrier, which is not kept.
                prop_assert!(header.barrier.is_none() || encode_request(&header, &body) == bytes);
            }
            if let Ok(reply) = decode_reply(bytes.clone()) {
                prop_assert_eq!(encode_reply(&reply), bytes);
            }
        }
    }
}
