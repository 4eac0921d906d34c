//! The outbox: what is accepted is credited, counted and taken out, each exactly once.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    remote::{Overflow, Policy, RemoteEvent, RemoteKind, UnreliableRemoteEvent},
    session::{
        ledger::{DropCause, Ledger, RemoteStats},
        outbox::{Outbox, Outgoing, PushError},
    },
    wire::{
        self,
        control::Control,
        datagram::DatagramEvents,
        frame::{Deframer, frame_overhead},
    },
};

const EVENT: u32 = 1;
const OTHER: u32 = 2;
const POSE: u32 = 3;
const LIMIT: usize = 1000;

struct Fixture {
    outbox: Outbox,
    ledger: Arc<Ledger>,
}

impl Fixture {
    fn new() -> Self {
        let ledger = Arc::<Ledger>::default();
        Self {
            outbox: Outbox::new(LIMIT, 2048, ledger.clone()),
            ledger,
        }
    }

    fn push(&mut self, id: u32, policy: &Policy, payload: &[u8]) -> Result<(), PushError> {
        self.outbox.push(&outgoing(id, policy, payload))
    }

    fn stats(&self, id: u32) -> RemoteStats {
        let all = self.ledger.snapshot();
        let found = all.into_iter().find(|stats| stats.remote == name(id));
        let stats = found.expect("an event of that remote");
        assert!(stats.is_balanced(), "{stats:?}");
        stats
    }

    /// Takes all of a lane, as if the network had unlimited room.
    fn write(&mut self, lane: usize) -> Vec<(u32, Bytes)> {
        let mut deframer = Deframer::new(1 << 20);
        while let Some(chunk) = self.outbox.take_lane(lane) {
            self.outbox.wrote(&chunk);
            deframer.push(chunk.bytes);
        }
        let mut frames = Vec::new();
        while let Some(frame) = deframer.next().expect("what was put in") {
            frames.push((frame.remote, Bytes::copy_from_slice(frame.payload)));
        }
        frames
    }
}

fn name(id: u32) -> &'static str {
    ["", "Event", "Other", "Pose"][id as usize]
}

fn outgoing<'a>(id: u32, policy: &'a Policy, payload: &'a [u8]) -> Outgoing<'a> {
    let kind = match id {
        POSE => RemoteKind::Unreliable,
        _ => RemoteKind::Event,
    };
    Outgoing {
        id,
        name: name(id),
        kind,
        policy,
        payload,
        patient: false,
    }
}

fn plain() -> Policy {
    RemoteEvent::<()>::new("Plain").spec.policy
}

fn lane(name: &'static str) -> Policy {
    Policy {
        lane: Some(name),
        ..plain()
    }
}

fn unreliable() -> Policy {
    UnreliableRemoteEvent::<()>::new("Plain").spec.policy
}

#[test]
fn events_leave_in_the_order_in_which_they_were_accepted() {
    let mut this = Fixture::new();
    for n in 0..50 {
        this.push(EVENT + n % 2, &plain(), &[n as u8]).unwrap();
    }
    assert_eq!(this.outbox.barrier(), 50);
    let frames = this.write(0);
    let order: Vec<_> = frames
        .iter()
        .map(|(id, payload)| (*id, payload[0]))
        .collect();
    assert_eq!(
        order,
        (0..50)
            .map(|n| (EVENT + n % 2, n as u8))
            .collect::<Vec<_>>()
    );
    let stats = this.stats(EVENT);
    assert_eq!((stats.accepted, stats.sent, stats.queued), (25, 25, 0));
    assert!(this.outbox.is_taken());
}

#[test]
fn credit_is_what_is_written_and_comes_back_whole() {
    let mut this = Fixture::new();
    let (payload, loose) = (
        [0; 100],
        Policy {
            unordered: true,
            ..plain()
        },
    );
    this.push(EVENT, &plain(), &payload).unwrap();
    assert_eq!(this.outbox.bytes(), 100 + frame_overhead(EVENT, 100));
    this.push(EVENT, &lane("aside"), &payload).unwrap();
    this.push(OTHER, &loose, &payload).unwrap();
    this.push(POSE, &unreliable(), &payload).unwrap();
    this.outbox.push_control(&Control::Ping { nonce: 1 });

    let (id, bytes) = this.outbox.take_unordered().unwrap();
    assert_eq!((id, &bytes[..2]), (OTHER, &[2, OTHER as u8][..]));
    assert_eq!(this.stats(OTHER).queued, 1);
    this.outbox.wrote_unordered(id, bytes.len());
    assert_eq!(this.stats(OTHER).sent, 1);
    // Taken out is not yet written.
    let chunk = this.outbox.take_lane(0).unwrap();
    assert!(this.outbox.take_lane(0).is_none());
    assert_eq!(this.outbox.bytes(), 2 * (100 + frame_overhead(EVENT, 100)));
    assert_eq!(this.stats(EVENT).queued, 2);
    this.outbox.wrote(&chunk);
    assert_eq!(this.stats(EVENT).queued, 1);
    this.write(1);
    assert_eq!(this.outbox.bytes(), 0);
    assert_eq!(this.stats(EVENT).sent, 2);
}

/// Design 2.8.
#[test]
fn without_credit_nothing_is_taken_or_counted() {
    let mut this = Fixture::new();
    let payload = [0; 400];
    this.push(EVENT, &plain(), &payload).unwrap();
    this.push(EVENT, &plain(), &payload).unwrap();
    let queued = this.outbox.bytes();
    let refused = |disconnect| PushError::Full {
        queued,
        limit: LIMIT,
        disconnect,
    };
    assert_eq!(this.push(EVENT, &plain(), &payload), Err(refused(false)));
    let strict = Policy {
        overflow: Overflow::Disconnect,
        ..plain()
    };
    assert_eq!(this.push(EVENT, &strict, &payload), Err(refused(true)));
    assert_eq!(
        (this.stats(EVENT).accepted, this.outbox.bytes()),
        (2, queued)
    );
    assert_eq!(this.outbox.barrier(), 2);
    // What fits still goes, and so do unreliable events.
    this.push(EVENT, &plain(), &[0; 100]).unwrap();
    this.push(POSE, &unreliable(), &payload).unwrap();
    this.write(0);
    this.push(EVENT, &plain(), &payload).unwrap();
}

#[test]
fn what_is_larger_than_the_outbox_goes_alone() {
    let mut this = Fixture::new();
    let large = [7; 3 * LIMIT];
    this.push(EVENT, &plain(), &large).unwrap();
    assert!(matches!(
        this.push(EVENT, &plain(), &[0]),
        Err(PushError::Full { .. })
    ));
    assert_eq!(this.write(0), [(EVENT, Bytes::copy_from_slice(&large))]);
    this.push(EVENT, &plain(), &[0]).unwrap();
    assert!(matches!(
        this.push(EVENT, &plain(), &large),
        Err(PushError::Full { .. })
    ));
}

/// Design 2.8: a broadcast may take more, up to a hard cap.
#[test]
fn a_broadcast_is_taken_beyond_the_limit_up_to_a_cap() {
    let mut this = Fixture::new();
    let payload = [0; 300];
    let policy = plain();
    let broadcast = outgoing(EVENT, &policy, &payload);
    let mut taken = 0;
    while this.outbox.push_broadcast(&broadcast).is_ok() {
        taken += 1;
    }
    let each = 300 + frame_overhead(EVENT, 300);
    assert_eq!(taken, 4 * LIMIT / each);
    assert!(this.push(EVENT, &policy, &payload).is_err());
    this.outbox.refuse(&broadcast, DropCause::OutboxFull);
    let stats = this.stats(EVENT);
    assert_eq!(
        (stats.accepted, stats.queued),
        (taken as u64 + 1, taken as u64)
    );
    assert_eq!(stats.unsent, [(DropCause::OutboxFull, 1)]);
}

#[test]
fn lanes_are_apart_and_only_the_default_one_counts_for_the_barrier() {
    let mut this = Fixture::new();
    this.push(EVENT, &lane("a"), b"1").unwrap();
    this.push(EVENT, &plain(), b"2").unwrap();
    this.push(OTHER, &lane("b"), b"3").unwrap();
    this.push(OTHER, &lane("a"), b"4").unwrap();
    this.push(
        OTHER,
        &Policy {
            unordered: true,
            ..plain()
        },
        b"5",
    )
    .unwrap();
    assert_eq!(this.outbox.barrier(), 1);
    assert_eq!(this.outbox.lanes(), 3);
    let names: Vec<_> = (0..3).map(|lane| this.outbox.lane_name(lane)).collect();
    assert_eq!(names, ["", "a", "b"]);
    // A lane that is not written holds up no other.
    assert_eq!(this.write(2), [(OTHER, Bytes::from_static(b"3"))]);
    assert_eq!(this.write(0), [(EVENT, Bytes::from_static(b"2"))]);
    assert!(!this.outbox.is_taken());
    let a = [
        (EVENT, Bytes::from_static(b"1")),
        (OTHER, Bytes::from_static(b"4")),
    ];
    assert_eq!(this.write(1), a);
}

#[test]
fn past_the_last_lane_the_default_one_is_used() {
    let mut this = Fixture::new();
    for n in 0..wire::MAX_LANES + 3 {
        let name: &'static str = format!("lane {n}").leak();
        this.push(EVENT, &lane(name), &[n as u8]).unwrap();
    }
    assert_eq!(this.outbox.lanes(), wire::MAX_LANES);
    let rest = this.write(0);
    // As part of the default lane they count for the barrier as well.
    assert_eq!((rest.len(), this.outbox.barrier()), (4, 4));
}

#[test]
fn a_large_backlog_is_taken_in_pieces_that_give_their_credit_back() {
    let ledger = Arc::<Ledger>::default();
    let mut outbox = Outbox::new(1 << 20, 2048, ledger);
    let (policy, payload) = (plain(), [0; 1000]);
    for _ in 0..500 {
        outbox.push(&outgoing(EVENT, &policy, &payload)).unwrap();
    }
    let (mut pieces, mut before) = (0, outbox.bytes());
    while let Some(chunk) = outbox.take_lane(0) {
        assert!(chunk.bytes.len() <= 66 * 1024);
        outbox.wrote(&chunk);
        assert_eq!(before - outbox.bytes(), chunk.bytes.len());
        before = outbox.bytes();
        pieces += 1;
    }
    assert_eq!((outbox.bytes(), pieces), (0, 8));
}

/// Design 2.4: the oldest give way, and every one of them is counted.
#[test]
fn the_newest_unreliable_events_win() {
    let mut this = Fixture::new();
    for n in 0..100u8 {
        this.push(POSE, &unreliable(), &[n; 500]).unwrap();
    }
    let stats = this.stats(POSE);
    assert_eq!((stats.accepted, stats.queued), (100, 4));
    assert_eq!(stats.unsent, [(DropCause::Superseded, 96)]);
    assert!(this.outbox.unreliable_bytes() <= 2048);
    // Two of these fill a datagram; the numbers of those that gave way are skipped.
    let mut taken = Vec::new();
    while let Some(datagram) = this.outbox.take_datagram(wire::MAX_DATAGRAM) {
        assert!(datagram.len() <= wire::MAX_DATAGRAM);
        let events = DatagramEvents::new(&datagram);
        taken.push(
            events
                .map(|event| event.unwrap().sequence)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(taken, [[96, 97], [98, 99]]);
    assert_eq!(this.stats(POSE).sent, 4);
    assert_eq!(this.outbox.unreliable_bytes(), 0);
}

/// R45: greedy, and never past the limit.
#[test]
fn who_waits_for_room_supersedes_nothing() {
    let mut this = Fixture::new();
    let (policy, payload) = (unreliable(), [0; 500]);
    let patient = Outgoing {
        patient: true,
        ..outgoing(POSE, &policy, &payload)
    };
    for _ in 0..10 {
        let _ = this.outbox.push(&patient);
    }
    let accepted = this.stats(POSE).accepted;
    assert!((2..10).contains(&accepted), "{accepted} fit");
    let refused = this.outbox.push(&patient);
    assert!(matches!(
        refused,
        Err(PushError::Full {
            limit: 2048,
            disconnect: false,
            ..
        })
    ));
    assert_eq!(this.stats(POSE).accepted, accepted, "refused, not counted");
    assert!(this.stats(POSE).unsent.is_empty());

    // There is room again, and sequences go on where they were: the peer sees no gap.
    while this.outbox.take_datagram(1200).is_some() {}
    this.outbox.push(&patient).unwrap();
    let datagram = this.outbox.take_datagram(1200).unwrap();
    let event = DatagramEvents::new(&datagram).next().unwrap().unwrap();
    assert_eq!(u64::from(event.sequence), accepted);
}

#[test]
fn small_unreliable_events_share_a_datagram() {
    let mut this = Fixture::new();
    for n in 0..40u8 {
        this.push(POSE, &unreliable(), &[n; 20]).unwrap();
    }
    let first = this.outbox.take_datagram(500).unwrap();
    assert!(first.len() <= 500 && first.len() > 500 - 24);
    // One that is alone goes even where the path has become too narrow.
    let mut this = Fixture::new();
    this.push(POSE, &unreliable(), &[0; 1000]).unwrap();
    assert!(this.outbox.take_datagram(500).unwrap().len() > 1000);
}

/// Whoever takes out comes again by himself where the network takes no more, and is told of all else.
#[test]
fn nobody_is_told_of_what_the_network_does_not_take() {
    let mut this = Fixture::new();
    assert!(!this.outbox.has_news());
    this.push(EVENT, &plain(), b"a").unwrap();
    assert!(this.outbox.has_news());
    this.outbox.set_blocked(0, true);
    assert!(!this.outbox.has_news());
    this.push(EVENT, &plain(), b"b").unwrap();
    assert!(!this.outbox.has_news());
    this.push(OTHER, &lane("aside"), b"c").unwrap();
    assert!(this.outbox.has_news(), "another lane is not blocked");
    assert_eq!(this.write(1).len(), 1);
    this.outbox.set_unreliable_blocked(true);
    this.push(POSE, &unreliable(), b"d").unwrap();
    assert!(!this.outbox.has_news());
    this.outbox.set_unreliable_blocked(false);
    assert!(this.outbox.has_news());
    assert!(this.outbox.take_datagram(1000).is_some());
    this.outbox.set_blocked(0, false);
    assert!(this.outbox.has_news());
    assert_eq!(this.write(0).len(), 2);
    assert!(!this.outbox.has_news());
}

#[test]
fn the_end_forgets_what_is_queued_and_books_it() {
    let mut this = Fixture::new();
    this.push(EVENT, &plain(), b"a").unwrap();
    this.push(OTHER, &lane("aside"), b"b").unwrap();
    this.push(
        OTHER,
        &Policy {
            unordered: true,
            ..plain()
        },
        b"c",
    )
    .unwrap();
    this.push(POSE, &unreliable(), b"d").unwrap();
    // On its way into a stream when the connection ends.
    let chunk = this.outbox.take_lane(0).unwrap();
    this.outbox.end();
    assert_eq!(
        (this.outbox.bytes(), this.outbox.unreliable_bytes()),
        (0, 0)
    );
    assert!(this.outbox.take_lane(0).is_none() && this.outbox.take_unordered().is_none());
    for (id, lost) in [(EVENT, 1), (OTHER, 2), (POSE, 1)] {
        let stats = this.stats(id);
        assert_eq!((stats.queued, stats.sent), (0, 0));
        assert_eq!(stats.unsent, [(DropCause::ConnectionEnded, lost)]);
    }
    drop(chunk);
    assert_eq!(this.push(EVENT, &plain(), b"e"), Err(PushError::Closed));
    assert_eq!(this.push(POSE, &unreliable(), b"e"), Err(PushError::Closed));
    assert_eq!(this.stats(EVENT).accepted, 1);
}

#[test]
fn a_closed_outbox_takes_nothing_and_gives_what_it_has() {
    let mut this = Fixture::new();
    this.push(EVENT, &plain(), b"a").unwrap();
    this.outbox.close();
    assert!(this.outbox.is_closed());
    assert_eq!(this.push(EVENT, &plain(), b"b"), Err(PushError::Closed));
    this.outbox.push_control(&Control::Ping { nonce: 1 });
    assert_eq!(this.write(0), [(EVENT, Bytes::from_static(b"a"))]);
}
