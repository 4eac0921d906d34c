//! What hostile bytes may not do, as functions of bytes: one per fuzz target, and the same for
//! property tests.
//!
//! Each panics where a promise is broken. Compiled for tests and fuzzers only; knows no sockets.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Display},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    codec,
    config::{Limits, Rate},
    lan::{Address, JoinLink, JoinToken},
    remote::RemoteKind,
    session::{
        Arrival, Directory, Event, Held, Kept, LaneKey, Meta, Session, Side, Violation,
        ledger::{DropCause, Ledger},
    },
    tls::{self, Code},
    values::{BrickColor, CFrame, Vector3},
    wire::{
        control::Control,
        datagram::{DatagramEvents, put_datagram_event},
        frame::{Deframer, FrameError, put_frame},
        hello::{Answer, Hello},
        invoke::{decode_reply, decode_request},
        prelude::{PreludeReader, StreamPrelude},
    },
};

/// A lane: frames do not depend on how their bytes arrive, and are written as they were read.
pub fn frame(data: &[u8]) {
    let Some((&[piece, limit], stream)) = data.split_first_chunk() else {
        return;
    };
    let limit = [0, 16, 1024, 64 * 1024][usize::from(limit % 4)];
    let whole = deframe([stream], limit);
    let pieces = deframe(stream.chunks(usize::from(piece).max(1)), limit);
    assert_eq!(whole, pieces);
    let mut again = Vec::new();
    for (remote, payload) in &whole.0 {
        put_frame(&mut again, *remote, payload);
    }
    assert!(stream.starts_with(&again));
}

/// What comes from a chat or a keyboard: a link, a code, a token or an address that can be read can be written, and
/// read again as the same.
pub fn link(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    same_again::<JoinLink>(text);
    same_again::<Code>(text);
    same_again::<JoinToken>(text);
    same_again::<Address>(text);
    if let Ok(link) = text.parse::<JoinLink>() {
        assert!(link.addresses().len() <= 17 && !link.addresses().is_empty());
        assert!(
            link.name()
                .is_none_or(|name| !name.chars().any(char::is_control))
        );
    }
}

fn same_again<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>();
        assert!(again.is_ok_and(|again| again == value), "{text:?}");
    }
}

/// The file of known servers: what can be read is within its bounds, and written as it was read.
pub fn known_servers(data: &[u8]) {
    tls::known_file_is_sound(data);
}

fn deframe<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
) -> (Vec<(u32, Vec<u8>)>, Option<FrameError>) {
    let (mut deframer, mut frames) = (Deframer::new(limit), Vec::new());
    for piece in pieces {
        deframer.push(Bytes::copy_from_slice(piece));
        loop {
            match deframer.next() {
                Ok(Some(frame)) => frames.push((frame.remote, frame.payload.to_vec())),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Both halves of the hello stream: what can be read can be written, and read again.
pub fn hello(data: &[u8]) {
    if let Ok(hello) = Hello::decode(Bytes::copy_from_slice(data)) {
        let again = hello.encode().expect("what was read is within its limits");
        assert_eq!(Hello::decode(again.into()), Ok(hello));
    }
    if let Ok(answer) = Answer::decode(data) {
        let again = answer.encode().expect("what was read is within its limits");
        assert_eq!(Answer::decode(&again), Ok(answer));
    }
}

/// A request.
pub fn request(data: &[u8]) {
    if let Ok((header, body)) = decode_request(Bytes::copy_from_slice(data)) {
        let mut again = Vec::new();
        header.encode(body.len(), &mut again);
        again.extend_from_slice(&body);
        assert_eq!(decode_request(again.into()), Ok((header, body)));
    }
}

/// A reply.
pub fn reply(data: &[u8]) {
    if let Ok(reply) = decode_reply(Bytes::copy_from_slice(data)) {
        let mut again = Vec::new();
        reply.encode(&mut again);
        assert_eq!(decode_reply(again.into()), Ok(reply));
    }
}

/// A control message.
pub fn control(data: &[u8]) {
    if let Ok(control) = Control::decode(data) {
        let mut again = Vec::new();
        control.encode(&mut again);
        assert_eq!(again, data);
    }
}

/// A datagram: the events up to an error are written as they were read.
pub fn datagram(data: &[u8]) {
    let mut again = Vec::new();
    let mut events = DatagramEvents::new(data);
    while let Some(Ok(event)) = events.next() {
        put_datagram_event(&mut again, event.remote, event.sequence, event.payload);
    }
    assert!(data.starts_with(&again));
    assert!(events.next().is_none());
}

/// The beginning of a unidirectional stream: it does not depend on how its bytes arrive.
pub fn prelude(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let read = |size: usize| {
        let mut reader = PreludeReader::default();
        let mut pieces = stream.chunks(size.max(1));
        while let Some(piece) = pieces.next() {
            match reader.push(Bytes::copy_from_slice(piece)) {
                Ok(None) => {}
                Ok(Some((prelude, rest))) => {
                    return Some((
                        prelude,
                        [&rest[..], &pieces.collect::<Vec<_>>().concat()].concat(),
                    ));
                }
                Err(_) => return None,
            }
        }
        None
    };
    let whole = read(stream.len());
    assert_eq!(whole, read(piece.into()));
    if let Some((prelude, rest)) = whole {
        let mut again = Vec::new();
        prelude.encode(&mut again);
        again.extend_from_slice(&rest);
        // A lane's name has one way to be written, and so has an id.
        assert_eq!(again, stream);
        if let StreamPrelude::Event { remote } = prelude {
            assert_ne!(remote, 0);
        }
    }
}

/// Payloads of all kinds of types: what can be read can be written, and read again.
pub fn codec(data: &[u8]) {
    let Some((&kind, payload)) = data.split_first() else {
        return;
    };
    match kind % 14 {
        0 => payload_of::<(u8, u16, u32, u64, u128)>(payload),
        1 => payload_of::<(i8, i16, i32, i64, i128)>(payload),
        2 => payload_of::<(bool, char, String)>(payload),
        3 => payload_of::<Vec<u8>>(payload),
        4 => payload_of::<Vec<()>>(payload),
        5 => payload_of::<Vec<Vec<Option<()>>>>(payload),
        6 => payload_of::<Nest>(payload),
        7 => payload_of::<BTreeMap<String, Vec<Kind>>>(payload),
        8 => payload_of::<Vec<(Vector3, CFrame)>>(payload),
        9 => payload_of::<(BrickColor, Option<f64>)>(payload),
        10 => payload_of::<Result<Kind, String>>(payload),
        11 => payload_of::<BTreeMap<(), Vec<u64>>>(payload),
        12 => payload_of::<Vec<[u64; 32]>>(payload),
        _ => payload_of::<((), Bytes)>(payload),
    }
}

/// A type inside itself.
#[derive(Debug, Serialize, Deserialize)]
enum Nest {
    Empty,
    One(Box<Self>),
    Many(Vec<Self>),
    Maybe(Option<Box<Self>>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(u16),
    Pair(i32, String),
    Named { at: [f32; 3], of: Option<u8> },
}

/// Compares bytes, as values hold NaN.
fn payload_of<T: DeserializeOwned + Serialize + Debug>(payload: &[u8]) {
    let Ok(value) = codec::decode::<T>(payload) else {
        return;
    };
    let mut once = Vec::new();
    codec::encode(&value, &mut once, codec::MAX_LEN).expect("what was read can be written");
    // Writers use the shortest form, and readers take longer ones.
    assert!(once.len() <= payload.len());
    let again: T = codec::decode(&once).expect("what was written can be read");
    let mut twice = Vec::new();
    codec::encode(&again, &mut twice, codec::MAX_LEN).expect("it was, a moment ago");
    assert_eq!(once, twice);
}

/// A peer of a session that does whatever it likes, in any order.
pub fn session(data: &[u8]) {
    let mut input = Input(data);
    let Some(first) = input.u8() else { return };
    let side = if first % 2 == 0 {
        Side::Server
    } else {
        Side::Client
    };
    let mut peer = Peer::new(side, first & 2 != 0);
    while let Some(step) = input.u8() {
        if peer.step(step, &mut input).is_err() {
            // Whoever drives it ends the connection here, and books what is left.
            peer.ledger.end_receiving();
            peer.check();
            return;
        }
        peer.check();
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn u8(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// As many bytes as the next one says, or as there are.
    fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.u8().unwrap_or(0)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }
}

struct Peer {
    session: Session,
    remotes: Remotes,
    ledger: Arc<Ledger>,
    lanes: Vec<LaneKey>,
    began: Instant,
    now: Instant,
    /// Whether somebody listens to events.
    heard: bool,
    side: Side,
}

/// Remotes 1 to 6 are declared; 7 exists and is not yet.
struct Remotes {
    late: bool,
}

impl Directory for Remotes {
    fn meta(&self, id: u32) -> Option<Meta> {
        let meta = |name, kind| Meta {
            name,
            kind,
            max_payload: None,
            rate: None,
            latest_wins: false,
            key: None,
            builtin: false,
            mismatch: false,
        };
        Some(match id {
            1 => meta("Event", RemoteKind::Event),
            2 => Meta {
                max_payload: Some(8),
                rate: Some(Rate::per_second(5)),
                ..meta("Bounded", RemoteKind::Event)
            },
            3 => meta("Pose", RemoteKind::Unreliable),
            4 => Meta {
                key: Some(Arc::new(|payload| payload.first().copied().map(u64::from))),
                ..meta("Keyed", RemoteKind::Unreliable)
            },
            5 => meta("Function", RemoteKind::Function),
            6 => Meta {
                mismatch: true,
                ..meta("Mismatch", RemoteKind::Event)
            },
            7 if self.late => meta("Late", RemoteKind::Event),
            _ => return None,
        })
    }

    fn exists(&self, id: u32) -> bool {
        id <= 7
    }
}

impl Peer {
    fn new(side: Side, heard: bool) -> Self {
        let limits = Limits {
            events: Rate::per_second(EVENTS),
            unreliable_events: Rate::per_second(EVENTS),
            early_events: EARLY,
            offences_per_minute: 64,
            payload_from_client: 512,
            payload_from_server: 512,
            ..Limits::default()
        };
        let (ledger, began) = (Arc::<Ledger>::default(), Instant::now());
        let held = Held::new(4096);
        Self {
            session: Session::new(side, &limits, ledger.clone(), held, began),
            remotes: Remotes { late: false },
            ledger,
            lanes: Vec::new(),
            began,
            now: began,
            heard,
            side,
        }
    }

    fn step(&mut self, step: u8, input: &mut Input<'_>) -> Result<(), Violation> {
        match step % 10 {
            0 => {
                let name = String::from_utf8_lossy(input.bytes());
                self.lanes.push(self.session.open_lane(&name)?);
                assert!(self.lanes.len() <= crate::wire::MAX_LANES);
            }
            1 | 2 => {
                let at = input.u8().map_or(0, usize::from);
                let bytes = Bytes::copy_from_slice(input.bytes());
                if let Some(&lane) = self.lanes.get(at % self.lanes.len().max(1)) {
                    self.session.lane_bytes(lane, bytes);
                    self.read(lane)?;
                }
            }
            3 => {
                let datagram = input.bytes();
                let mut events = self.session.datagram(datagram, self.now)?;
                let known = &self.remotes;
                while let Some(event) =
                    self.session.next_unreliable(&mut events, known, self.now)?
                {
                    assert!(!event.reliable);
                    match self.heard {
                        true => self.session.dispatched(event.id),
                        false => self
                            .session
                            .refuse(event.id, DropCause::Unheard, self.now)?,
                    }
                }
            }
            4 => {
                let id = u32::from(input.u8().unwrap_or(0)) % 9 + 1;
                let payload = input.bytes();
                let event = self
                    .session
                    .unordered(id, payload, &self.remotes, self.now)?;
                event.map_or(Ok(()), |event| self.deliver(event))?;
            }
            5 => self.now += Duration::from_millis(u64::from(input.u8().unwrap_or(0)) * 8),
            6 => _ = self.session.may_ping(self.now)?,
            7 => {
                // A handler comes, and takes what was kept; or it goes again.
                self.heard = !self.heard;
                self.remotes.late = true;
                self.session.look_up_again(&self.remotes, self.now);
                let mut held = self.session.held();
                held.sort_unstable();
                for id in held {
                    while self.heard && self.session.release(id).is_some() {
                        self.session.dispatched(id);
                    }
                }
            }
            8 => {
                let id = u32::from(input.u8().unwrap_or(0)) % 8;
                if let Some((payload, kept)) = self.session.release(id) {
                    self.session.put_back(id, payload, kept);
                }
            }
            _ => {
                let at = input.u8().map_or(0, usize::from);
                if let Some(&lane) = self.lanes.get(at % self.lanes.len().max(1)) {
                    self.session
                        .start_turn(usize::from(input.u8().unwrap_or(0)));
                    self.read(lane)?;
                    self.session.start_turn(usize::MAX);
                    self.read(lane)?;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, key: LaneKey) -> Result<(), Violation> {
        let mut lane = self.session.take_lane(key).expect("it was put back");
        while let Some(arrival) = self
            .session
            .next_on_lane(&mut lane, &self.remotes, self.now)?
        {
            match arrival {
                Arrival::Event(event) => self.deliver(event)?,
                Arrival::Control(_) => {}
            }
        }
        self.session.put_lane_back(key, lane);
        Ok(())
    }

    fn deliver(&mut self, event: Event<'_>) -> Result<(), Violation> {
        assert!(event.reliable);
        let known = self.remotes.meta(event.id).is_some();
        match self.heard && known && !self.session.is_held(event.id) {
            true => self.session.dispatched(event.id),
            false => self.session.hold(&event, Kept::Unheard, self.now)?,
        }
        Ok(())
    }

    /// The ledger balances, and nothing is beyond its budget.
    fn check(&mut self) {
        let seconds = self.now.duration_since(self.began).as_secs_f64();
        let most = f64::from(EVENTS) * (1.0 + seconds) + 1.0;
        let (mut reliable, mut unreliable) = (0, 0);
        for stats in self.ledger.snapshot() {
            assert!(stats.is_balanced(), "{stats:?}");
            assert!(stats.held <= EARLY as u64, "{stats:?}");
            match &*stats.remote {
                "Pose" | "Keyed" => unreliable += stats.dispatched,
                _ => reliable += stats.dispatched + stats.held,
            }
        }
        if self.side == Side::Server {
            assert!(reliable as f64 <= most, "{reliable} in {seconds} s");
            assert!(unreliable as f64 <= most, "{unreliable} in {seconds} s");
        }
        for (_, count) in self.session.reports() {
            assert!(count.is_power_of_two());
        }
    }
}

/// Events of each kind per second in a session that is fuzzed.
const EVENTS: u32 = 20;
/// Events of one remote that it keeps.
const EARLY: usize = 4;

#[cfg(test)]
mod tests;
