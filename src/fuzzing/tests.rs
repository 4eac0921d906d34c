use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::tls::Pin;
use crate::wire::{
    code::{CallCode, CloseCode},
    hello::{Limits as Allowed, Refused, Welcome},
    invoke::{Reply, RequestHeader},
    remote::{Announcement, DeclaredRemotes, RemoteInfo},
};

type Target = (&'static str, fn(&[u8]), Vec<Vec<u8>>);

/// Every target, and valid messages to begin with.
fn targets() -> Vec<Target> {
    vec![
        ("frame", frame, frames()),
        ("hello", hello, hellos()),
        ("request", request, requests()),
        ("reply", reply, replies()),
        ("control", control, controls()),
        ("datagram", datagram, datagrams()),
        ("prelude", prelude, preludes()),
        ("codec", codec, payloads()),
        ("session", session, sessions()),
        ("link", link, links()),
        ("known_servers", known_servers, known_files()),
    ]
}

fn info(name: &str, kind: RemoteKind) -> RemoteInfo {
    RemoteInfo::new(name, kind, "(u32,str)").unwrap()
}

fn framed(frames: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (remote, payload) in frames {
        put_frame(&mut out, *remote, payload);
    }
    out
}

fn frames() -> Vec<Vec<u8>> {
    let stream = framed(&[(1, b"hello"), (0, &[3, 7]), (300, b""), (2, &[7; 200])]);
    [[1, 2], [3, 3], [255, 1]]
        .map(|head| [&head[..], &stream].concat())
        .into()
}

fn hellos() -> Vec<Vec<u8>> {
    let remotes = vec![
        info("Chat", RemoteKind::Event),
        info("Pose", RemoteKind::Unreliable),
        info("Buy", RemoteKind::Function),
    ];
    let hello = Hello {
        name: "ada".into(),
        token: Bytes::from_static(b"let me in"),
        remotes: DeclaredRemotes::new(&remotes),
    };
    let announced = (1..)
        .zip(remotes)
        .map(|(id, remote)| Announcement { id, remote });
    let welcome = Answer::Welcome(Welcome {
        player_id: 300,
        name: "ada".into(),
        remotes: announced.collect(),
        limits: Allowed {
            max_event_payload: 65_536,
            max_call_payload: 65_536,
            calls_in_flight: 48,
        },
        settings: vec![("tick".into(), "30".into())],
    });
    let refused = Answer::Refused(Refused {
        code: CloseCode::FULL,
        detail: "all 8 places are taken".into(),
        protocol: 1,
    });
    [hello.encode(), welcome.encode(), refused.encode()]
        .map(Result::unwrap)
        .into()
}

fn requests() -> Vec<Vec<u8>> {
    let seed = |barrier, body: &[u8]| {
        let header = RequestHeader {
            depth: 1,
            function: 300,
            remaining: Duration::from_secs(10),
            barrier,
        };
        let mut out = Vec::new();
        header.encode(body.len(), &mut out);
        [out, body.to_vec()].concat()
    };
    vec![seed(Some(70_000), b"arguments"), seed(None, b"")]
}

fn replies() -> Vec<Vec<u8>> {
    let system = Reply::System {
        barrier: 3,
        code: CallCode::BUSY,
        incident: 1 << 40,
        retry_after: Some(Duration::from_millis(250)),
    };
    let ok = Reply::Ok {
        barrier: 0,
        body: Bytes::from_static(b"result"),
    };
    let failed = Reply::Failed {
        barrier: 129,
        message: "not enough gold".into(),
    };
    let encode = |reply: Reply| {
        let mut out = Vec::new();
        reply.encode(&mut out);
        out
    };
    [system, ok, failed].map(encode).into()
}

fn controls() -> Vec<Vec<u8>> {
    let announce = Control::Announce(Announcement {
        id: 9,
        remote: info("Late", RemoteKind::Event),
    });
    let goodbye = Control::Goodbye {
        code: CloseCode::KICKED,
        text: "be nice".into(),
    };
    let (ping, pong) = (Control::Ping { nonce: 1 << 20 }, Control::Pong { nonce: 7 });
    let next_identity = Control::NextIdentity {
        pin: [0x5a; 32],
        after: 30 * 24 * 3600,
    };
    let encode = |control: Control| {
        let mut out = Vec::new();
        control.encode(&mut out);
        out
    };
    [announce, goodbye, ping, pong, next_identity]
        .map(encode)
        .into()
}

fn datagrams() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for sequence in [0, 1, 200, u32::MAX] {
        put_datagram_event(&mut out, 3, sequence, b"pose");
    }
    vec![out]
}

fn preludes() -> Vec<Vec<u8>> {
    let seed = |prelude: StreamPrelude| {
        let mut out = vec![2];
        prelude.encode(&mut out);
        [out, b"the rest".to_vec()].concat()
    };
    vec![
        seed(StreamPrelude::Lane(String::new())),
        seed(StreamPrelude::Lane("terrain".into())),
        seed(StreamPrelude::Event { remote: 4096 }),
    ]
}

fn payloads() -> Vec<Vec<u8>> {
    fn seed(kind: u8, value: &impl Serialize) -> Vec<u8> {
        let mut out = vec![kind];
        codec::encode(value, &mut out, codec::MAX_LEN).unwrap();
        out
    }
    let nest = Nest::Many(vec![
        Nest::Empty,
        Nest::One(Box::new(Nest::Maybe(Some(Box::new(Nest::Empty))))),
    ]);
    let kinds = vec![
        Kind::Unit,
        Kind::New(300),
        Kind::Pair(-3, "hi".into()),
        Kind::Named {
            at: [0.0, 1.5, f32::NAN],
            of: Some(7),
        },
    ];
    vec![
        seed(0, &(1u8, 300u16, 70_000u32, 1u64 << 40, 1u128 << 100)),
        seed(1, &(-1i8, -300i16, -70_000i32, -1i64 << 40, -1i128 << 100)),
        seed(2, &(true, 'é', "text")),
        seed(3, &vec![7u8; 300]),
        seed(4, &vec![(); 300]),
        seed(5, &vec![vec![Some(()), None]; 3]),
        seed(6, &nest),
        seed(7, &BTreeMap::from([("a", kinds)])),
        seed(8, &vec![(Vector3::new(1.0, 2.0, 3.0), CFrame::IDENTITY)]),
        seed(9, &(BrickColor::default(), Some(1.5f64))),
        seed(10, &Err::<Kind, _>("no")),
        seed(11, &BTreeMap::from([((), vec![1u64, 2])])),
        seed(13, &((), Bytes::from_static(b"bytes"))),
    ]
}

fn sessions() -> Vec<Vec<u8>> {
    let step = |step: u8, at: &[u8], bytes: &[u8]| {
        let mut out = vec![step];
        out.extend(at);
        out.push(bytes.len() as u8);
        out.extend(bytes);
        out
    };
    let lane = framed(&[
        (1, b"one"),
        (2, b"two"),
        (0, &[3, 7]),
        (7, b"late"),
        (6, b""),
    ]);
    let mut poses = Vec::new();
    for (sequence, entity) in [(1, 9), (0, 9), (1, 9), (300, 8)] {
        put_datagram_event(&mut poses, 3, sequence, &[entity]);
        put_datagram_event(&mut poses, 4, sequence, &[entity]);
    }
    let flood = framed(&[(1, &b"x"[..]); 40]);
    [0, 1, 2, 3]
        .map(|first| {
            [
                vec![first],
                step(0, &[], b""),
                step(0, &[], b"side"),
                step(1, &[0], &lane),
                step(3, &[], &poses),
                step(4, &[0], b"apart"),
                step(1, &[1], &framed(&[(1, b"side")])),
                vec![7, 8, 1, 6],
                step(2, &[0], &flood),
                vec![5, 200, 9, 0, 3],
                step(2, &[0], &flood[..flood.len() - 1]),
                vec![7],
            ]
            .concat()
        })
        .into()
}

fn links() -> Vec<Vec<u8>> {
    let address = |text: &str| text.parse::<Address>().unwrap();
    let pin = Pin::from_bytes([0x5a; 32]);
    let link = JoinLink::new(address("192.168.1.7:4433"), pin)
        .also_at([address("[fd00::7]:4433"), address("desk.local:4433")])
        .with_name("desert duel")
        .with_token(JoinToken::from_bytes([0xa5; 16]));
    let texts = [link.to_string(), pin.code().to_string(), "[::1]:1".into()];
    texts.map(String::into_bytes).into()
}

fn known_files() -> Vec<Vec<u8>> {
    let pin = |byte| Pin::from_bytes([byte; 32]);
    let file = format!(
        "version = 1\n\n[[server]]\npin = \"{}\"\nname = \"desert-duel\"\nlast_addrs = [\"192.168.1.7:4433\"]\n\
         first_seen = 2026-11-03T18:22:05Z\nlast_seen = 2026-11-03T18:22:05Z\nvia = \"link\"\nnext = \"{}\"\n\
         retired = [\"{}\"]\n\n[[refused]]\npin = \"{}\"\nname = \"\"\naddress = \"a:1\"\nseen = 2026-11-03T18:22:05Z\n",
        pin(1),
        pin(2),
        pin(3),
        pin(4),
    );
    vec![file.into_bytes()]
}

/// The seeds of the fuzzers are what this version writes. `FARFIRE_WRITE_SEEDS=1` writes them.
#[test]
fn the_seeds_are_valid_and_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let write = std::env::var_os("FARFIRE_WRITE_SEEDS").is_some();
    for (name, target, seeds) in targets() {
        for (number, seed) in seeds.iter().enumerate() {
            target(seed);
            let file = folder.join(name).join(number.to_string());
            if write {
                fs::create_dir_all(folder.join(name)).unwrap();
                fs::write(&file, seed).unwrap();
            }
            let written = fs::read(&file).unwrap_or_default();
            assert_eq!(written, *seed, "{}", file.display());
        }
    }
}

/// What fuzzers found worth keeping: one input per line, in hexadecimal.
#[test]
fn what_fuzzers_found_breaks_no_promise() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let write = std::env::var_os("FARFIRE_WRITE_SEEDS").is_some();
    for (name, target, _) in targets() {
        let found = fuzz.join("corpus").join(format!("{name}.hex"));
        let lines = fs::read_to_string(&found).expect("each target has a corpus");
        for (number, line) in lines.lines().enumerate() {
            let digits = |at| u8::from_str_radix(&line[at..at + 2], 16).expect("two digits");
            let input: Vec<u8> = (0..line.len()).step_by(2).map(digits).collect();
            target(&input);
            if write {
                let place = fuzz.join("found").join(name);
                fs::create_dir_all(&place).unwrap();
                fs::write(place.join(number.to_string()), input).unwrap();
            }
        }
        assert!(lines.lines().count() > 10, "{name}");
    }
}

#[test]
fn the_seeds_are_understood() {
    for seed in hellos() {
        let is_hello = Hello::decode(Bytes::copy_from_slice(&seed)).is_ok();
        assert!(is_hello != Answer::decode(&seed).is_ok());
    }
    assert!(
        requests()
            .into_iter()
            .all(|seed| decode_request(seed.into()).is_ok())
    );
    assert!(
        replies()
            .into_iter()
            .all(|seed| decode_reply(seed.into()).is_ok())
    );
    assert!(controls().iter().all(|seed| Control::decode(seed).is_ok()));
    let [link, code, address] = links().try_into().unwrap();
    let text = |seed: Vec<u8>| String::from_utf8(seed).unwrap();
    assert!(text(link).parse::<JoinLink>().is_ok() && text(code).parse::<Code>().is_ok());
    assert!(text(address).parse::<Address>().is_ok());
    let known = tempfile::NamedTempFile::new().unwrap();
    fs::write(known.path(), &known_files()[0]).unwrap();
    assert_eq!(
        tls::KnownServers::open(known.path())
            .unwrap()
            .list()
            .unwrap()
            .len(),
        1
    );
}

/// Valid messages with some bytes changed, cut or put in.
fn mutated(seed: &[u8], changes: &[(u8, u16, u8)]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for &(kind, at, byte) in changes {
        let at = usize::from(at) % (bytes.len() + 1);
        match kind % 4 {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
            2 => bytes.insert(at, byte),
            _ => bytes.truncate(bytes.len().max(at)),
        }
    }
    bytes
}

proptest! {
    #[test]
    fn random_bytes_break_no_promise(data in vec(any::<u8>(), 0..600)) {
        for (_, target, _) in targets() {
            target(&data);
        }
    }

    #[test]
    fn damaged_messages_break_no_promise(
        pick: usize,
        changes in vec((any::<u8>(), any::<u16>(), any::<u8>()), 0..8),
    ) {
        for (_, target, seeds) in targets() {
            target(&mutated(&seeds[pick % seeds.len()], &changes));
        }
    }
}
