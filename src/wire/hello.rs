//! The opening of a connection: what the client says first, and what the server answers.
//!
//! Both travel on the client's first bidirectional stream, which then is over. Knows nothing about who
//! is let in.

use std::fmt;

use bytes::Bytes;

use super::{
    MAX_HELLO_BYTES, MAX_NAME_BYTES, MAX_REASON_BYTES, MAX_REMOTES, MAX_SETTING_BYTES,
    MAX_SETTINGS, MAX_TOKEN_BYTES, MAX_WELCOME_BYTES, PROTOCOL_VERSION,
    code::CloseCode,
    read::{ENDS_EARLY, Malformed, Reader, TooLarge, clip, fits, put_bytes},
    remote::{Announcement, DeclaredRemotes},
    varint,
};

/// What a client says first. Its version is [`PROTOCOL_VERSION`]; others do not get this far.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// What the player wants to be called. May be empty, and whether it is acceptable is not known here.
    pub(crate) name: String,
    /// For the server's authentication hook; never shown.
    pub(crate) token: Bytes,
    /// The remotes that the client knows of, for comparison.
    pub(crate) remotes: DeclaredRemotes,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Welcome(Welcome),
    Refused(Refused),
}

/// The client is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) player_id: u64,
    /// What the player is called, which may differ from what it wanted.
    pub(crate) name: String,
    /// All remotes that the server has.
    pub(crate) remotes: Vec<Announcement>,
    pub(crate) limits: Limits,
    /// Whatever else the server tells its clients, by name.
    pub(crate) settings: Vec<(String, String)>,
}

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes in the payload of a reliable event.
    pub(crate) max_event_payload: u32,
    /// Bytes in the body of a request, and in the body of a reply.
    pub(crate) max_call_payload: u32,
    /// Calls that may be waiting for their reply at one time.
    pub(crate) calls_in_flight: u32,
}

/// The client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: CloseCode,
    /// For people; written up to [`MAX_REASON_BYTES`].
    pub(crate) detail: String,
    /// The version of the protocol that the server speaks.
    pub(crate) protocol: u32,
}

impl Hello {
    /// Reads everything that the client sent on the hello stream, up to its end.
    ///
    /// Unknown bytes at the end of the message itself are left to later versions and ignored.
    ///
    /// # Errors
    /// [`HelloError::Version`] as soon as the version differs: what follows it is then unknown.
    pub(crate) fn decode(stream: Bytes) -> Result<Self, HelloError> {
        let mut reader = open(&stream, MAX_HELLO_BYTES)?;
        let theirs = reader.u32()?;
        if theirs != PROTOCOL_VERSION {
            return Err(HelloError::Version { theirs });
        }
        Ok(Self {
            name: reader.text(MAX_NAME_BYTES)?.to_owned(),
            token: stream.slice_ref(reader.bytes(MAX_TOKEN_BYTES)?),
            remotes: DeclaredRemotes::decode(&stream, &mut reader)?,
        })
    }

    /// Returns all bytes of the client's half of the hello stream.
    ///
    /// # Errors
    /// [`TooLarge`] names what the client has too much of.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        fits(
            "number of bytes in the player's name",
            self.name.len(),
            MAX_NAME_BYTES,
        )?;
        fits(
            "number of bytes in the token",
            self.token.len(),
            MAX_TOKEN_BYTES,
        )?;
        fits("number of remotes", self.remotes.len(), MAX_REMOTES)?;
        let mut body = Vec::new();
        varint::put(&mut body, u64::from(PROTOCOL_VERSION));
        put_bytes(&mut body, self.name.as_bytes());
        put_bytes(&mut body, &self.token);
        self.remotes.encode(&mut body);
        close(
            "number of bytes in the hello, most of them the shapes of remotes,",
            &body,
            MAX_HELLO_BYTES,
        )
    }
}

impl Answer {
    /// Reads everything that the server sent on the hello stream, up to its end.
    ///
    /// Unknown bytes at the end of the message itself are left to later versions and ignored.
    pub(crate) fn decode(stream: &[u8]) -> Result<Self, Malformed> {
        let mut reader = open(stream, MAX_WELCOME_BYTES)?;
        Ok(match reader.u8()? {
            TAG_WELCOME => Self::Welcome(Welcome {
                player_id: reader.u64()?,
                name: reader.text(MAX_NAME_BYTES)?.to_owned(),
                remotes: reader.list(MAX_REMOTES, Announcement::decode)?,
                limits: Limits {
                    max_event_payload: reader.u32()?,
                    max_call_payload: reader.u32()?,
                    calls_in_flight: reader.u32()?,
                },
                settings: reader.list(MAX_SETTINGS, |reader| {
                    let name = reader.text(MAX_SETTING_BYTES)?.to_owned();
                    Ok((name, reader.text(MAX_SETTING_BYTES)?.to_owned()))
                })?,
            }),
            TAG_REFUSED => Self::Refused(Refused {
                code: CloseCode::from(reader.u32()?),
                detail: reader.text(MAX_REASON_BYTES)?.to_owned(),
                protocol: reader.u32()?,
            }),
            _ => return Err(Malformed("an answer of no known kind")),
        })
    }

    /// Returns all bytes of the server's half of the hello stream.
    ///
    /// # Errors
    /// [`TooLarge`] names what the server has too much of. A refusal always fits.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        let mut body = Vec::new();
        match self {
            Self::Welcome(welcome) => {
                body.push(TAG_WELCOME);
                welcome.encode(&mut body)?;
            }
            Self::Refused(refused) => {
                body.push(TAG_REFUSED);
                varint::put(&mut body, u64::from(refused.code.as_u32()));
                put_bytes(
                    &mut body,
                    clip(&refused.detail, MAX_REASON_BYTES).as_bytes(),
                );
                varint::put(&mut body, u64::from(refused.protocol));
            }
        }
        close(
            "number of bytes in the welcome, most of them the shapes of remotes,",
            &body,
            MAX_WELCOME_BYTES,
        )
    }
}

impl Welcome {
    fn encode(&self, body: &mut Vec<u8>) -> Result<(), TooLarge> {
        fits(
            "number of bytes in the player's name",
            self.name.len(),
            MAX_NAME_BYTES,
        )?;
        fits("number of remotes", self.remotes.len(), MAX_REMOTES)?;
        fits("number of settings", self.settings.len(), MAX_SETTINGS)?;
        varint::put(body, self.player_id);
        put_bytes(body, self.name.as_bytes());
        varint::put(body, self.remotes.len() as u64);
        for announcement in &self.remotes {
            announcement.encode(body);
        }
        let Limits {
            max_event_payload,
            max_call_payload,
            calls_in_flight,
        } = self.limits;
        for limit in [max_event_payload, max_call_payload, calls_in_flight] {
            varint::put(body, u64::from(limit));
        }
        varint::put(body, self.settings.len() as u64);
        for (name, value) in &self.settings {
            for text in [name, value] {
                fits(
                    "number of bytes in a setting",
                    text.len(),
                    MAX_SETTING_BYTES,
                )?;
                put_bytes(body, text.as_bytes());
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token in a log is a token lost.
        f.debug_struct("Hello")
            .field("name", &self.name)
            .field("token", &format_args!("{} bytes", self.token.len()))
            .field("remotes", &self.remotes)
            .finish()
    }
}

/// Returns a reader of the one message of a whole stream. Its length is on the wire so that a stream
/// which merely ended is not taken for one which was finished.
fn open(stream: &[u8], limit: usize) -> Result<Reader<'_>, Malformed> {
    let mut outer = Reader::new(stream);
    let body = outer.bytes(limit)?;
    outer.finish()?;
    match body {
        [] => Err(ENDS_EARLY),
        _ => Ok(Reader::new(body)),
    }
}

fn close(what: &'static str, body: &[u8], limit: usize) -> Result<Vec<u8>, TooLarge> {
    fits(what, body.len(), limit)?;
    let mut stream = Vec::with_capacity(varint::MAX_LEN + body.len());
    put_bytes(&mut stream, body);
    Ok(stream)
}

/// A client's first words cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(
        "the client speaks version {theirs} of the protocol, this is version {PROTOCOL_VERSION}; update the older one"
    )]
    Version { theirs: u32 },
}

impl From<&HelloError> for CloseCode {
    fn from(error: &HelloError) -> Self {
        match error {
            HelloError::Malformed(_) => Self::MALFORMED,
            HelloError::Version { .. } => Self::PROTOCOL_VERSION,
        }
    }
}

const TAG_WELCOME: u8 = 1;
const TAG_REFUSED: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::wire::remote::{
        RemoteInfo,
        tests::{any_announcement, any_remote, chat, text},
    };

    const HELLO: &[u8] = &[
        19, // length of the rest
        1,  // protocol
        3, b'a', b'd', b'a', // name
        2, 0xbe, 0xef, // token
        1,    // remotes
        4, b'C', b'h', b'a', b't', 1, 3, b's', b't', b'r',
    ];
    const WELCOME: &[u8] = &[
        35, // length of the rest
        1,  // Welcome
        0x80, 0x01, // player id 128
        3, b'a', b'd', b'a', // name
        1,    // remotes
        7, 4, b'C', b'h', b'a', b't', 1, 3, b's', b't', b'r', // Chat has id 7
        0x80, 0x80, 0x04, // 65536 bytes in an event
        0x80, 0x80, 0x04, // 65536 bytes in a call
        48,   // calls in flight
        1,    // settings
        4, b't', b'i', b'c', b'k', 2, b'3', b'0',
    ];
    const REFUSED: &[u8] = &[
        9, // length of the rest
        2, // Refused
        0x83, 0x02, // FULL
        4, b'f', b'u', b'l', b'l', // detail
        1,    // the server's protocol
    ];

    fn hello() -> Hello {
        Hello {
            name: "ada".into(),
            token: Bytes::from_static(&[0xbe, 0xef]),
            remotes: DeclaredRemotes::new(&[chat()]),
        }
    }

    fn welcome() -> Answer {
        Answer::Welcome(Welcome {
            player_id: 128,
            name: "ada".into(),
            remotes: vec![Announcement {
                id: 7,
                remote: chat(),
            }],
            limits: Limits {
                max_event_payload: 65536,
                max_call_payload: 65536,
                calls_in_flight: 48,
            },
            settings: vec![("tick".into(), "30".into())],
        })
    }

    fn refused(detail: &str) -> Answer {
        Answer::Refused(Refused {
            code: CloseCode::FULL,
            detail: detail.into(),
            protocol: 1,
        })
    }

    /// The same message with something behind its last field.
    fn extended(stream: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(stream);
        let body = reader.bytes(usize::MAX).unwrap();
        let mut out = Vec::new();
        put_bytes(&mut out, &[body, &[1, 2, 3]].concat());
        out
    }

    #[test]
    fn golden() {
        assert_eq!(hello().encode().unwrap(), HELLO);
        assert_eq!(Hello::decode(Bytes::from_static(HELLO)), Ok(hello()));
        assert_eq!(welcome().encode().unwrap(), WELCOME);
        assert_eq!(Answer::decode(WELCOME), Ok(welcome()));
        assert_eq!(refused("full").encode().unwrap(), REFUSED);
        assert_eq!(Answer::decode(REFUSED), Ok(refused("full")));
    }

    #[test]
    fn later_versions_may_add_fields() {
        assert_eq!(Hello::decode(extended(HELLO).into()), Ok(hello()));
        assert_eq!(Answer::decode(&extended(WELCOME)), Ok(welcome()));
        assert_eq!(Answer::decode(&extended(REFUSED)), Ok(refused("full")));
    }

    #[test]
    fn nothing_follows_the_message() {
        assert!(Hello::decode([HELLO, &[0]].concat().into()).is_err());
        assert!(Answer::decode(&[WELCOME, &[0]].concat()).is_err());
    }

    #[test]
    fn another_version_is_known_by_its_number_alone() {
        let error = Hello::decode(Bytes::from_static(&[2, 9, 0xff])).unwrap_err();
        assert_eq!(error, HelloError::Version { theirs: 9 });
        assert_eq!(CloseCode::from(&error), CloseCode::PROTOCOL_VERSION);
    }

    #[test]
    fn impossible_answers() {
        for bytes in [
            &[][..],
            &[0],
            &[1, 0],
            &[1, 3],
            &[3, 2, 0, 0],
            &[1, 1, 0, 0],
        ] {
            assert!(Answer::decode(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn claimed_sizes_are_not_believed() {
        let claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert!(Hello::decode(Bytes::copy_from_slice(&claim)).is_err());
        assert!(Answer::decode(&claim).is_err());
        // 4096 remotes, and none of them there.
        assert!(Hello::decode(Bytes::from_static(&[5, 1, 0, 0, 0x80, 0x20])).is_err());
        let mut remotes = vec![1, 0, 0];
        remotes.extend(claim);
        let mut stream = Vec::new();
        put_bytes(&mut stream, &remotes);
        assert!(Hello::decode(stream.into()).is_err());
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let token = Hello {
            token: vec![0; MAX_TOKEN_BYTES + 1].into(),
            ..hello()
        };
        assert!(
            token
                .encode()
                .unwrap_err()
                .to_string()
                .contains("token is 4097")
        );
        let name = Hello {
            name: "n".repeat(MAX_NAME_BYTES + 1),
            ..hello()
        };
        assert!(name.encode().is_err());
        let remotes = Hello {
            remotes: DeclaredRemotes::new(&vec![chat(); MAX_REMOTES]),
            ..hello()
        };
        assert!(Hello::decode(remotes.encode().unwrap().into()).is_ok());
        let long =
            RemoteInfo::new("a", crate::remote::RemoteKind::Event, &"s".repeat(600)).unwrap();
        let shapes = Hello {
            remotes: DeclaredRemotes::new(&vec![long; 120]),
            ..hello()
        };
        assert!(shapes.encode().unwrap_err().to_string().contains("shapes"));
        assert_eq!(
            Answer::decode(&refused(&"x".repeat(300)).encode().unwrap()),
            Ok(refused(&"x".repeat(256)))
        );
    }

    #[test]
    fn a_token_is_not_shown() {
        let shown = format!(
            "{:?}",
            Hello {
                token: Bytes::from_static(b"secret"),
                ..hello()
            }
        );
        assert!(
            shown.contains("6 bytes") && !shown.contains("secret"),
            "{shown}"
        );
    }

    fn any_hello() -> impl Strategy<Value = Hello> {
        (text(100), vec(any::<u8>(), 0..50), vec(any_remote(), 0..4)).prop_map(
            |(name, token, remotes)| Hello {
                name,
                token: token.into(),
                remotes: DeclaredRemotes::new(&remotes),
            },
        )
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        let limits =
            any::<[u32; 3]>().prop_map(|[max_event_payload, max_call_payload, calls_in_flight]| {
                Limits {
                    max_event_payload,
                    max_call_payload,
                    calls_in_flight,
                }
            });
        let settings = vec((text(20), text(20)), 0..4);
        let welcome = (
            any::<u64>(),
            text(100),
            vec(any_announcement(), 0..3),
            limits,
            settings,
        )
            .prop_map(|(player_id, name, remotes, limits, settings)| Welcome {
                player_id,
                name,
                remotes,
                limits,
                settings,
            });
        let refused =
            (any::<u32>(), text(64), any::<u32>()).prop_map(|(code, detail, protocol)| Refused {
                code: CloseCode::from(code),
                detail,
                protocol,
            });
        prop_oneof![
            welcome.prop_map(Answer::Welcome),
            refused.prop_map(Answer::Refused)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn hellos_round_trip(hello in any_hello()) {
            let bytes = Bytes::from(hello.encode().unwrap());
            for cut in 0..bytes.len() {
                prop_assert!(Hello::decode(bytes.slice(..cut)).is_err());
            }
            prop_assert_eq!(Hello::decode(bytes), Ok(hello));
        }

        #[test]
        fn answers_round_trip(answer in any_answer()) {
            let bytes = answer.encode().unwrap();
            for cut in 0..bytes.len() {
                prop_assert!(Answer::decode(&bytes[..cut]).is_err());
            }
            prop_assert_eq!(Answer::decode(&bytes), Ok(answer));
        }

        #[test]
        fn random_bytes(tag in 0..4u8, bytes in vec(any::<u8>(), 0..120)) {
            let _ = Hello::decode(bytes.clone().into());
            let _ = Answer::decode(&bytes);
            // The same inside a length that fits, so that more than the length is looked at.
            let mut stream = Vec::new();
            put_bytes(&mut stream, &[&[tag], &bytes[..]].concat());
            let _ = Hello::decode(stream.clone().into());
            let _ = Answer::decode(&stream);
        }
    }
}
