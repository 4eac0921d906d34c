//! Messages of the runtime itself: the payloads of frames with the id [`CONTROL_ID`](super::CONTROL_ID).
//!
//! They ride the default lane, in order with the events around them. Knows nothing about who may send
//! which: that is the session's business.

use bytes::BufMut;

use super::{
    MAX_REASON_BYTES,
    code::CloseCode,
    read::{Malformed, Reader, clip, put_bytes},
    remote::Announcement,
    varint,
};

/// One control message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// A remote exists from here on; from the server only.
    Announce(Announcement),
    /// The sender's last frame: it ends the connection, and this is why.
    Goodbye {
        code: CloseCode,
        /// For people; written up to [`MAX_REASON_BYTES`].
        text: String,
    },
    /// To be answered with a [`Pong`](Self::Pong) of the same number.
    Ping { nonce: u64 },
    /// The answer to a ping.
    Pong { nonce: u64 },
    /// The server will have another identity; from the server only.
    NextIdentity {
        pin: [u8; 32],
        /// In seconds, at the earliest.
        after: u32,
    },
}

impl Control {
    /// Reads the whole payload of a control frame.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let control = match reader.u8()? {
            TAG_ANNOUNCE => Self::Announce(Announcement::decode(&mut reader)?),
            TAG_GOODBYE => Self::Goodbye {
                code: CloseCode::from(reader.u32()?),
                text: reader.text(MAX_REASON_BYTES)?.to_owned(),
            },
            TAG_PING => Self::Ping {
                nonce: reader.u64()?,
            },
            TAG_PONG => Self::Pong {
                nonce: reader.u64()?,
            },
            TAG_NEXT_IDENTITY => Self::NextIdentity {
                pin: reader.array()?,
                after: reader.u32()?,
            },
            _ => return Err(Malformed("a control message of no known kind")),
        };
        reader.finish()?;
        Ok(control)
    }

    /// Writes the payload of a control frame: at most [`MAX_CONTROL_BYTES`](super::MAX_CONTROL_BYTES).
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Announce(announcement) => {
                out.put_u8(TAG_ANNOUNCE);
                announcement.encode(out);
            }
            Self::Goodbye { code, text } => {
                out.put_u8(TAG_GOODBYE);
                varint::put(out, u64::from(code.as_u32()));
                put_bytes(out, clip(text, MAX_REASON_BYTES).as_bytes());
            }
            Self::Ping { nonce } => {
                out.put_u8(TAG_PING);
                varint::put(out, *nonce);
            }
            Self::Pong { nonce } => {
                out.put_u8(TAG_PONG);
                varint::put(out, *nonce);
            }
            Self::NextIdentity { pin, after } => {
                out.put_u8(TAG_NEXT_IDENTITY);
                out.put_slice(pin);
                varint::put(out, u64::from(*after));
            }
        }
    }
}

const TAG_ANNOUNCE: u8 = 1;
const TAG_GOODBYE: u8 = 2;
const TAG_PING: u8 = 3;
const TAG_PONG: u8 = 4;
const TAG_NEXT_IDENTITY: u8 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        MAX_CONTROL_BYTES, MAX_REMOTES,
        remote::{
            RemoteInfo,
            tests::{any_announcement, chat, text},
        },
    };

    fn encode(control: &Control) -> Vec<u8> {
        let mut out = Vec::new();
        control.encode(&mut out);
        out
    }

    #[test]
    fn golden() {
        for (control, bytes) in [
            (
                Control::Announce(Announcement {
                    id: 7,
                    remote: chat(),
                }),
                &[1, 7, 4, b'C', b'h', b'a', b't', 1, 3, b's', b't', b'r'][..],
            ),
            (
                Control::Goodbye {
                    code: CloseCode::KICKED,
                    text: "bye".into(),
                },
                &[2, 0x82, 0x02, 3, b'b', b'y', b'e'],
            ),
            (Control::Ping { nonce: 300 }, &[3, 0xac, 0x02]),
            (Control::Pong { nonce: 0 }, &[4, 0]),
            (
                Control::NextIdentity {
                    pin: [0xab; 32],
                    after: 300,
                },
                &[&[5][..], &[0xab; 32], &[0xac, 0x02]].concat(),
            ),
        ] {
            assert_eq!(encode(&control), bytes);
            assert_eq!(Control::decode(bytes), Ok(control));
        }
    }

    #[test]
    fn impossible_messages() {
        for bytes in [
            &[][..],
            &[0, 0],
            &[6, 0],
            &[5, 0],
            &[5; 33],
            &[255],
            &[3, 1, 0],
            &[2, 0, 2, 0xff, 0xff],
            &[2, 0x80, 0x80, 0x80, 0x80, 0x10, 0],
        ] {
            assert!(Control::decode(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn reasons_are_cut_by_the_writer_and_refused_by_the_reader() {
        let long = Control::Goodbye {
            code: CloseCode::LEFT,
            text: "é".repeat(200),
        };
        let cut = Control::Goodbye {
            code: CloseCode::LEFT,
            text: "é".repeat(128),
        };
        assert_eq!(Control::decode(&encode(&long)), Ok(cut));
        let mut bytes = vec![2, 0, 0x81, 0x02];
        bytes.extend([b'a'; 257]);
        assert!(Control::decode(&bytes).is_err());
    }

    #[test]
    fn the_longest_message_fits() {
        let remote = RemoteInfo::new(
            &"𝄞".repeat(100),
            crate::remote::RemoteKind::Event,
            &"s".repeat(600),
        )
        .unwrap();
        let announce = Control::Announce(Announcement {
            id: MAX_REMOTES as u32,
            remote,
        });
        assert!(encode(&announce).len() <= MAX_CONTROL_BYTES);
    }

    fn any_control() -> impl Strategy<Value = Control> {
        prop_oneof![
            any_announcement().prop_map(Control::Announce),
            (any::<u32>(), text(MAX_REASON_BYTES / 4)).prop_map(|(code, text)| Control::Goodbye {
                code: CloseCode::from(code),
                text
            }),
            any::<u64>().prop_map(|nonce| Control::Ping { nonce }),
            any::<u64>().prop_map(|nonce| Control::Pong { nonce }),
            any::<([u8; 32], u32)>().prop_map(|(pin, after)| Control::NextIdentity { pin, after }),
        ]
    }

    proptest! {
        #[test]
        fn round_trip(control in any_control()) {
            let bytes = encode(&control);
            for cut in 0..bytes.len() {
                prop_assert!(Control::decode(&bytes[..cut]).is_err());
            }
            prop_assert_eq!(Control::decode(&bytes), Ok(control));
        }

        #[test]
        fn random_bytes(tag in 0..7u8, bytes: Vec<u8>) {
            let bytes = [&[tag], &bytes[..]].concat();
            if let Ok(control) = Control::decode(&bytes) {
                prop_assert_eq!(encode(&control), bytes);
            }
        }
    }
}
