//! The session fed by hand: what a peer may send, in the orders that a real network seldom gives.

mod bounds;
mod outbox;
mod unreliable;

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Arrival, Directory, Event, Held, LaneKey, Meta, Session, Side, Violation,
    ledger::{DropCause, Ledger, RemoteStats},
};
use crate::{
    config::{Limits, Rate},
    remote::RemoteKind,
    wire::{self, control::Control, datagram::put_datagram_event, frame::put_frame},
};

const EVENT: u32 = 1;
const OTHER: u32 = 2;
const POSE: u32 = 3;
const LATEST: u32 = 4;
const BY_ENTITY: u32 = 5;
const SELDOM: u32 = 6;
const MISMATCH: u32 = 7;
const SMALL: u32 = 8;
const CALL: u32 = 9;
/// Exists, and is not declared on this side.
const UNDECLARED: u32 = 10;
const MISSING: u32 = 11;

/// Remotes that never change.
struct Remotes(HashMap<u32, Meta>);

impl Remotes {
    fn new() -> Self {
        let plain = |name, kind| Meta {
            name,
            kind,
            max_payload: None,
            rate: None,
            latest_wins: false,
            key: None,
            builtin: false,
            mismatch: false,
        };
        let event = |name| plain(name, RemoteKind::Event);
        let unreliable = |name| plain(name, RemoteKind::Unreliable);
        let seldom = Rate::per_second(1).burst(2);
        let entity: crate::remote::KeyOf =
            Arc::new(|payload| payload.first().copied().map(u64::from));
        Self(HashMap::from([
            (EVENT, event("Event")),
            (OTHER, event("Other")),
            (POSE, unreliable("Pose")),
            (
                LATEST,
                Meta {
                    latest_wins: true,
                    ..unreliable("Latest")
                },
            ),
            (
                BY_ENTITY,
                Meta {
                    key: Some(entity),
                    ..unreliable("ByEntity")
                },
            ),
            (
                SELDOM,
                Meta {
                    rate: Some(seldom),
                    ..event("Seldom")
                },
            ),
            (
                MISMATCH,
                Meta {
                    mismatch: true,
                    ..unreliable("Mismatch")
                },
            ),
            (
                SMALL,
                Meta {
                    max_payload: Some(4),
                    ..event("Small")
                },
            ),
            (CALL, plain("Call", RemoteKind::Function)),
        ]))
    }
}

impl Directory for Remotes {
    fn meta(&self, id: u32) -> Option<Meta> {
        self.0.get(&id).cloned()
    }

    fn exists(&self, id: u32) -> bool {
        id <= UNDECLARED
    }
}

/// One end of a connection, without the connection.
struct Peer {
    session: Session,
    remotes: Remotes,
    ledger: Arc<Ledger>,
    now: Instant,
}

impl Peer {
    fn new(side: Side, limits: &Limits) -> Self {
        let (ledger, now) = (Arc::<Ledger>::default(), Instant::now());
        let held = Held::new(limits.held_bytes);
        Self {
            session: Session::new(side, limits, ledger.clone(), held, now),
            remotes: Remotes::new(),
            ledger,
            now,
        }
    }

    fn server() -> Self {
        Self::new(Side::Server, &Limits::default())
    }

    /// Reads what there is on a lane.
    fn read(&mut self, key: LaneKey) -> Result<Vec<Read>, Violation> {
        let mut lane = self.session.take_lane(key).expect("it was put back");
        let mut read = Vec::new();
        let end = loop {
            match self
                .session
                .next_on_lane(&mut lane, &self.remotes, self.now)
            {
                Ok(Some(Arrival::Event(event))) => {
                    assert!(event.reliable);
                    // Random bytes may be an event of none.
                    let first = event.payload.first().copied().unwrap_or_default();
                    read.push(Read::Event(event.id, first));
                }
                Ok(Some(Arrival::Control(control))) => read.push(Read::Control(control)),
                Ok(None) => break Ok(read),
                Err(violation) => break Err(violation),
            }
        };
        self.session.put_lane_back(key, lane);
        end
    }

    /// Events of a lane that get through, as their first bytes.
    fn lane(&mut self, lane: LaneKey, frames: &[(u32, &[u8])]) -> Result<Vec<u8>, Violation> {
        self.session.lane_bytes(lane, framed(frames));
        let arrivals = self.read(lane)?;
        Ok(arrivals
            .into_iter()
            .map(|arrival| match arrival {
                Read::Event(_, first) => first,
                Read::Control(control) => panic!("{control:?}"),
            })
            .collect())
    }

    /// Events of a datagram that get through, as their first bytes; each is one byte and its sequence.
    fn datagram(&mut self, id: u32, events: &[(u32, u8)]) -> Result<Vec<u8>, Violation> {
        let mut datagram = Vec::new();
        for (sequence, byte) in events {
            put_datagram_event(&mut datagram, id, *sequence, &[*byte]);
        }
        let mut events = self.session.datagram(&datagram, self.now)?;
        let mut through = Vec::new();
        while let Some(event) =
            self.session
                .next_unreliable(&mut events, &self.remotes, self.now)?
        {
            assert!(!event.reliable);
            self.session.dispatched(event.id);
            through.push(event.payload[0]);
        }
        Ok(through)
    }

    fn stats(&self, name: &str) -> RemoteStats {
        let all = self.ledger.snapshot();
        let found = all.into_iter().find(|stats| stats.remote == name);
        found.expect("an event of that remote")
    }

    /// What was dropped of a remote; everything else must be accounted for.
    fn refused(&self, name: &str) -> Vec<(DropCause, u64)> {
        let stats = self.stats(name);
        assert!(stats.is_balanced(), "{stats:?}");
        stats.refused
    }
}

fn framed(frames: &[(u32, &[u8])]) -> Bytes {
    let mut bytes = Vec::new();
    for (id, payload) in frames {
        put_frame(&mut bytes, *id, payload);
    }
    bytes.into()
}

/// What was on a lane: an event with its first byte, or a control message.
#[derive(Debug, PartialEq)]
enum Read {
    Event(u32, u8),
    Control(Control),
}

fn event(id: u32, payload: &[u8]) -> Event<'_> {
    Event {
        id,
        payload,
        reliable: true,
    }
}

#[test]
fn a_lane_gives_its_events_in_order_however_they_arrive() {
    let mut peer = Peer::server();
    let lane = peer.session.open_lane("").unwrap();
    let bytes = framed(&[(EVENT, b"a"), (OTHER, b"b"), (EVENT, b"c")]);
    let mut through = Vec::new();
    for byte in bytes {
        peer.session
            .lane_bytes(lane, Bytes::copy_from_slice(&[byte]));
        for arrival in peer.read(lane).unwrap() {
            let Read::Event(id, first) = arrival else {
                panic!("{arrival:?}")
            };
            through.push((id, first));
        }
    }
    assert_eq!(through, [(EVENT, b'a'), (OTHER, b'b'), (EVENT, b'c')]);
    assert_eq!(peer.session.passed(), 3);
    assert_eq!(peer.session.lane_finished(lane), Ok(()));
}

#[test]
fn the_barrier_counts_events_of_the_default_lane_whatever_becomes_of_them() {
    let mut peer = Peer::server();
    let default = peer.session.open_lane("").unwrap();
    let aside = peer.session.open_lane("aside").unwrap();
    let frames: &[(u32, &[u8])] = &[
        (EVENT, b"a"),
        (SELDOM, b"b"),
        (SELDOM, b"c"),
        (SELDOM, b"d"),
    ];
    assert_eq!(peer.lane(default, frames).unwrap(), b"abc");
    assert_eq!(peer.session.passed(), 4);
    peer.lane(aside, frames).unwrap();
    peer.session
        .unordered(EVENT, b"e", &peer.remotes, peer.now)
        .unwrap();
    peer.datagram(POSE, &[(0, 1)]).unwrap();
    let mut ping = Vec::new();
    Control::Ping { nonce: 7 }.encode(&mut ping);
    peer.session
        .lane_bytes(default, framed(&[(wire::CONTROL_ID, &ping)]));
    let arrivals = peer.read(default).unwrap();
    assert!(matches!(
        arrivals[..],
        [Read::Control(Control::Ping { nonce: 7 })]
    ));
    assert_eq!(peer.session.passed(), 4);
}

#[test]
fn control_messages_belong_on_the_default_lane() {
    let mut ping = Vec::new();
    Control::Ping { nonce: 7 }.encode(&mut ping);
    let mut peer = Peer::server();
    let aside = peer.session.open_lane("aside").unwrap();
    peer.session
        .lane_bytes(aside, framed(&[(wire::CONTROL_ID, &ping)]));
    assert_eq!(peer.read(aside).unwrap_err(), Violation::ControlOffLane);

    let default = peer.session.open_lane("").unwrap();
    peer.session
        .lane_bytes(default, framed(&[(wire::CONTROL_ID, &[200])]));
    assert!(matches!(peer.read(default), Err(Violation::Malformed(_))));
    // And no datagram carries them.
    assert!(matches!(
        peer.datagram(wire::CONTROL_ID, &[(0, 1)]),
        Err(Violation::Malformed(_))
    ));
}

#[test]
fn there_is_one_default_lane_and_a_bound_on_the_others() {
    let mut peer = Peer::server();
    peer.session.open_lane("").unwrap();
    assert_eq!(
        peer.session.open_lane(""),
        Err(Violation::SecondDefaultLane)
    );
    for n in 1..wire::MAX_LANES {
        peer.session.open_lane(&format!("lane {n}")).unwrap();
    }
    assert_eq!(
        peer.session.open_lane("one more"),
        Err(Violation::TooManyLanes)
    );
}

#[test]
fn a_lane_ends_between_two_frames() {
    let mut peer = Peer::server();
    let lane = peer.session.open_lane("aside").unwrap();
    let bytes = framed(&[(EVENT, b"abc")]);
    peer.session.lane_bytes(lane, bytes.slice(..2));
    peer.read(lane).unwrap();
    assert!(matches!(
        peer.session.lane_finished(lane),
        Err(Violation::Malformed(_))
    ));
}

#[test]
fn ids_that_no_remote_has_are_a_violation() {
    let mut peer = Peer::server();
    let lane = peer.session.open_lane("").unwrap();
    assert_eq!(
        peer.lane(lane, &[(MISSING, b"a")]),
        Err(Violation::UnknownRemote)
    );
    assert_eq!(
        peer.datagram(MISSING, &[(0, 1)]),
        Err(Violation::UnknownRemote)
    );
    let past_all = wire::MAX_REMOTES as u32 + 1;
    // Even where the directory would believe it, so that the table of remotes stays small.
    struct Believer;
    impl Directory for Believer {
        fn meta(&self, _: u32) -> Option<Meta> {
            None
        }
        fn exists(&self, _: u32) -> bool {
            true
        }
    }
    let unordered = peer.session.unordered(past_all, b"a", &Believer, peer.now);
    assert_eq!(unordered.unwrap_err(), Violation::UnknownRemote);
}

#[test]
fn a_remote_used_as_another_kind_is_a_violation() {
    for id in [POSE, CALL] {
        let mut peer = Peer::server();
        let lane = peer.session.open_lane("").unwrap();
        assert_eq!(peer.lane(lane, &[(id, b"a")]), Err(Violation::WrongKind));
        // What broke the rules is booked when the connection ends.
        peer.ledger.end_receiving();
        let all = peer.ledger.snapshot();
        assert_eq!(all[0].refused, [(DropCause::ConnectionEnded, 1)]);
    }
    for id in [EVENT, CALL] {
        assert_eq!(
            Peer::server().datagram(id, &[(0, 1)]),
            Err(Violation::WrongKind)
        );
    }
}

/// The other kind is the mismatch: it fails the remote, not the connection.
#[test]
fn a_remote_declared_otherwise_fails_alone() {
    let mut peer = Peer::server();
    let lane = peer.session.open_lane("").unwrap();
    assert_eq!(
        peer.lane(lane, &[(MISMATCH, b"a"), (EVENT, b"b")]).unwrap(),
        b"b"
    );
    assert_eq!(peer.datagram(MISMATCH, &[(0, 1)]).unwrap(), []);
    assert_eq!(
        peer.refused("Mismatch"),
        [(DropCause::SignatureMismatch, 2)]
    );
}

#[test]
fn payloads_have_a_limit_for_the_direction_and_one_for_the_remote() {
    let limits = Limits {
        payload_from_client: 8,
        ..Limits::default()
    };
    for (id, most) in [(EVENT, 8), (SMALL, 4)] {
        let payload = vec![7; most + 1];
        let mut peer = Peer::new(Side::Server, &limits);
        let lane = peer.session.open_lane("").unwrap();
        assert_eq!(peer.lane(lane, &[(id, &payload[1..])]).unwrap(), [7]);
        assert_eq!(peer.lane(lane, &[(id, &payload)]), Err(Violation::TooLarge));
        let mut peer = Peer::new(Side::Server, &limits);
        let loose = peer
            .session
            .unordered(id, &payload, &peer.remotes, peer.now);
        assert_eq!(loose.unwrap_err(), Violation::TooLarge);
    }
}

proptest::proptest! {
    /// Every decoder is total: whatever arrives, the session answers, and books what it took.
    #[test]
    fn random_bytes(chunks: Vec<Vec<u8>>, datagrams: Vec<Vec<u8>>) {
        let mut peer = Peer::server();
        let lane = peer.session.open_lane("").unwrap();
        for chunk in chunks {
            peer.session.lane_bytes(lane, chunk.into());
            if peer.read(lane).is_err() {
                break;
            }
        }
        for datagram in datagrams {
            let Ok(mut events) = peer.session.datagram(&datagram, peer.now) else {
                break;
            };
            while let Ok(Some(_)) = peer.session.next_unreliable(&mut events, &peer.remotes, peer.now) {}
        }
        peer.ledger.end_receiving();
        for stats in peer.ledger.snapshot() {
            proptest::prop_assert!(stats.is_balanced(), "{:?}", stats);
        }
    }
}
