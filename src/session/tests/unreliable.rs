//! Unreliable events in the orders that a network gives them.

use std::sync::Arc;

use super::{BY_ENTITY, LATEST, POSE, Peer};
use crate::{
    config::Rate,
    remote::KeyOf,
    session::{budget::Bucket, inbound::MAX_KEYS, ledger::DropCause},
    wire::datagram::put_datagram_event,
};

/// R41: at most once; late ones pass if nobody asked for the newest alone.
#[test]
fn duplicates_are_dropped_and_late_ones_pass() {
    let mut peer = Peer::server();
    assert_eq!(peer.datagram(POSE, &[(5, 5), (3, 3)]).unwrap(), [5, 3]);
    assert_eq!(peer.datagram(POSE, &[(5, 5), (4, 4), (3, 3)]).unwrap(), [4]);
    assert_eq!(peer.refused("Pose"), [(DropCause::Duplicate, 2)]);
    // 64 numbers are remembered; older ones could be duplicates.
    assert_eq!(
        peer.datagram(POSE, &[(70, 70), (7, 7), (6, 6)]).unwrap(),
        [70, 7]
    );
    let refused = peer.refused("Pose");
    assert_eq!(refused, [(DropCause::Stale, 1), (DropCause::Duplicate, 2)]);
}

#[test]
fn sequences_wrap_and_each_remote_has_its_own() {
    let mut peer = Peer::server();
    let across = [(u32::MAX, 1), (1, 3), (0, 2), (u32::MAX, 1)];
    assert_eq!(peer.datagram(POSE, &across).unwrap(), [1, 3, 2]);
    assert_eq!(peer.datagram(LATEST, &across).unwrap(), [1, 3]);
    assert_eq!(
        peer.refused("Latest"),
        [(DropCause::Stale, 1), (DropCause::Duplicate, 1)]
    );
}

/// R47.
#[test]
fn latest_wins_drops_what_is_late() {
    let mut peer = Peer::server();
    assert_eq!(
        peer.datagram(LATEST, &[(0, 0), (2, 2), (1, 1), (3, 3)])
            .unwrap(),
        [0, 2, 3]
    );
    assert_eq!(peer.refused("Latest"), [(DropCause::Stale, 1)]);
}

/// R47, design 2.4: one remote, many entities.
#[test]
fn latest_by_drops_what_is_late_for_its_entity() {
    let mut peer = Peer::server();
    // Entity 1 is ahead; that makes nothing of entity 2 stale.
    assert_eq!(
        peer.datagram(BY_ENTITY, &[(5, 1), (2, 2), (4, 1), (3, 2)])
            .unwrap(),
        [1, 2, 2]
    );
    assert_eq!(peer.refused("ByEntity"), [(DropCause::Stale, 1)]);
}

#[test]
fn the_entities_of_latest_by_are_bounded() {
    let mut peer = Peer::server();
    let first_four: KeyOf = Arc::new(|payload| {
        let bytes = payload.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(bytes)))
    });
    peer.remotes.0.get_mut(&BY_ENTITY).unwrap().key = Some(first_four);
    peer.session.unreliable = Bucket::new(Rate::per_second(1_000_000), peer.now);
    peer.session.datagrams = Bucket::new(Rate::per_second(1_000_000), peer.now);
    for sequence in 0..10_000u32 {
        let mut datagram = Vec::new();
        put_datagram_event(&mut datagram, BY_ENTITY, sequence, &sequence.to_le_bytes());
        let mut events = peer.session.datagram(&datagram, peer.now).unwrap();
        let event = peer
            .session
            .next_unreliable(&mut events, &peer.remotes, peer.now)
            .unwrap();
        assert!(event.is_some(), "{sequence}");
        assert!(peer.session.remotes.get(BY_ENTITY).unwrap().latest.len() <= MAX_KEYS);
    }
}
