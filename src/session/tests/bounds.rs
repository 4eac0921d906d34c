//! What a peer may cost: budgets, offences, and what is kept for later.

use std::time::Duration;

use super::{EVENT, OTHER, POSE, Peer, SELDOM, UNDECLARED, event};
use crate::{
    config::{Limits, Rate},
    session::{
        Held, Kept, Meta, Side, Violation, budget::Offence, held::HELD_OVERHEAD, ledger::DropCause,
    },
};

/// R117: counted across the remotes of a kind, and before decoding; the kinds apart.
#[test]
fn a_client_has_one_budget_per_kind_of_event() {
    let limits = Limits {
        events: Rate::per_second(10).burst(3),
        unreliable_events: Rate::per_second(10).burst(2),
        ..Limits::default()
    };
    let mut peer = Peer::new(Side::Server, &limits);
    let lane = peer.session.open_lane("").unwrap();
    let frames: &[(u32, &[u8])] = &[(EVENT, b"a"), (OTHER, b"b"), (EVENT, b"c"), (OTHER, b"d")];
    assert_eq!(peer.lane(lane, frames).unwrap(), b"abc");
    let loose = peer.session.unordered(EVENT, b"e", &peer.remotes, peer.now);
    assert!(loose.unwrap().is_none());
    assert_eq!(peer.stats("Other").refused, [(DropCause::RateLimit, 1)]);
    assert_eq!(
        peer.datagram(POSE, &[(0, 0), (1, 1), (2, 2)]).unwrap(),
        [0, 1]
    );
    // Two of ten a second come back in a fifth of it.
    peer.now += Duration::from_millis(200);
    assert_eq!(peer.lane(lane, frames).unwrap(), b"ab");
    assert_eq!(
        peer.datagram(POSE, &[(3, 3), (4, 4), (5, 5)]).unwrap(),
        [3, 4]
    );
}

/// Whatever is in them and whatever the offences allow: QUIC has decrypted them.
#[test]
fn more_datagrams_than_any_events_need_end_the_connection() {
    let limits = Limits {
        unreliable_events: Rate::per_second(10),
        echo: Rate::per_second(5),
        offences_per_minute: u32::MAX,
        ..Limits::default()
    };
    let mut peer = Peer::new(Side::Server, &limits);
    for second in 0..3 {
        for number in 0..4 * (10 + 5) {
            // As many events as there may be, and then nothing.
            let events = [(second * 60 + number, 0)];
            let events = if number < 10 { &events[..] } else { &[] };
            assert!(peer.datagram(POSE, events).is_ok(), "{number}");
        }
        assert_eq!(peer.datagram(POSE, &[]), Err(Violation::TooManyDatagrams));
        peer.now += Duration::from_secs(1);
    }
    // Of events beyond the budget, each counts beside the datagram that they are in.
    let mut peer = Peer::new(Side::Server, &limits);
    let events: Vec<_> = (0..100).map(|sequence| (sequence, 0)).collect();
    assert_eq!(
        peer.datagram(POSE, &events),
        Err(Violation::TooManyDatagrams)
    );
    assert_eq!(peer.stats("Pose").refused, [(DropCause::RateLimit, 4 * 15)]);
    // A server may send its clients what it likes.
    let mut peer = Peer::new(Side::Client, &limits);
    assert!((0..1000).all(|_| peer.datagram(POSE, &[]).is_ok()));
}

/// R124.
#[test]
fn a_remote_has_a_budget_of_its_own() {
    let mut peer = Peer::server();
    let lane = peer.session.open_lane("").unwrap();
    let frames: &[(u32, &[u8])] = &[
        (SELDOM, b"a"),
        (SELDOM, b"b"),
        (SELDOM, b"c"),
        (EVENT, b"d"),
    ];
    assert_eq!(peer.lane(lane, frames).unwrap(), b"abd");
    assert_eq!(peer.stats("Seldom").refused, [(DropCause::RateLimit, 1)]);
    peer.now += Duration::from_secs(1);
    assert_eq!(peer.lane(lane, frames).unwrap(), b"ad");
}

/// R117: the budget is the server's against clients.
#[test]
fn a_client_takes_what_its_server_fires() {
    let limits = Limits {
        events: Rate::per_second(1).burst(1),
        unreliable_events: Rate::per_second(1).burst(1),
        ..Limits::default()
    };
    let mut peer = Peer::new(Side::Client, &limits);
    let lane = peer.session.open_lane("").unwrap();
    assert_eq!(
        peer.lane(lane, &[(EVENT, b"a"), (EVENT, b"b")]).unwrap(),
        b"ab"
    );
    assert_eq!(peer.datagram(POSE, &[(0, 0), (1, 1)]).unwrap(), [0, 1]);
}

/// The budget of the runtime's own remotes is beside the client's, and counts as well what is good for
/// nothing: of a remote that the client declares differently, or the same event again and again.
#[test]
fn a_remote_of_the_runtimes_own_is_no_way_around_the_budgets() {
    let limits = Limits {
        offences_per_minute: 3,
        ..Limits::default()
    };
    let with = |id, mismatch| {
        let mut peer = Peer::new(Side::Server, &limits);
        let meta = peer.remotes.0.get_mut(&id).unwrap();
        meta.builtin = true;
        meta.rate = Some(Rate::per_second(1).burst(2));
        meta.mismatch = mismatch;
        peer
    };
    let mut peer = with(EVENT, true);
    let lane = peer.session.open_lane("").unwrap();
    assert_eq!(peer.lane(lane, &[(EVENT, b"a" as &[u8]); 4]).unwrap(), b"");
    let drops = [(DropCause::SignatureMismatch, 2), (DropCause::RateLimit, 2)];
    assert_eq!(peer.stats("Event").refused, drops);
    let more = peer.lane(lane, &[(EVENT, b"a" as &[u8]); 2]);
    assert_eq!(more, Err(Violation::TooManyOffences));

    let mut peer = with(POSE, false);
    assert_eq!(peer.datagram(POSE, &[(0, 0); 4]).unwrap(), [0]);
    let drops = [(DropCause::RateLimit, 2), (DropCause::Duplicate, 1)];
    assert_eq!(peer.stats("Pose").refused, drops);
    let more = peer.datagram(POSE, &[(0, 0); 2]);
    assert_eq!(more, Err(Violation::TooManyOffences));
}

#[test]
fn too_many_offences_end_the_connection() {
    let limits = Limits {
        events: Rate::per_second(1).burst(1),
        offences_per_minute: 3,
        ..Limits::default()
    };
    let mut peer = Peer::new(Side::Server, &limits);
    let lane = peer.session.open_lane("").unwrap();
    let frames: &[(u32, &[u8])] = &[(EVENT, b"a" as &[u8]); 4];
    assert_eq!(peer.lane(lane, frames).unwrap(), b"a");
    assert_eq!(
        peer.lane(lane, &[(EVENT, b"a")]),
        Err(Violation::TooManyOffences)
    );
    // On a client they only count: its server is not kicked.
    let mut peer = Peer::new(Side::Client, &limits);
    let lane = peer.session.open_lane("").unwrap();
    peer.lane(lane, &[(EVENT, b"a")]).unwrap();
    for _ in 0..10 {
        peer.session
            .refuse(EVENT, DropCause::Undecodable, peer.now)
            .unwrap();
    }
}

/// R30, R31, D3, D4.
#[test]
fn early_events_wait_in_order_within_their_bounds() {
    let limits = Limits {
        early_events: 3,
        ..Limits::default()
    };
    let mut peer = Peer::new(Side::Server, &limits);
    let lane = peer.session.open_lane("").unwrap();
    for byte in *b"abcde" {
        assert_eq!(peer.lane(lane, &[(EVENT, &[byte])]).unwrap(), [byte]);
        peer.session
            .hold(&event(EVENT, &[byte]), Kept::Unheard, peer.now)
            .unwrap();
    }
    assert!(peer.session.is_held(EVENT) && !peer.session.is_held(OTHER));
    assert_eq!(peer.session.held(), [EVENT]);
    assert_eq!(peer.refused("Event"), [(DropCause::EarlyFull, 2)]);
    assert_eq!(peer.stats("Event").held, 3);

    let (first, kept) = peer.session.release(EVENT).unwrap();
    assert_eq!((first[0], kept), (b'a', Kept::Unheard));
    peer.session.put_back(EVENT, first, kept);
    let mut released = Vec::new();
    while let Some((payload, _)) = peer.session.release(EVENT) {
        peer.session.dispatched(EVENT);
        released.push(payload[0]);
    }
    assert_eq!(released, b"abc");
    assert_eq!(peer.refused("Event"), [(DropCause::EarlyFull, 2)]);
    assert_eq!(peer.stats("Event").held, 0);
}

/// D4: the bound in bytes is that of the connection, over all remotes, and comes back.
#[test]
fn early_events_share_a_bound_in_bytes() {
    let limits = Limits {
        held_bytes: 2 * (1 + HELD_OVERHEAD),
        ..Limits::default()
    };
    let mut peer = Peer::new(Side::Server, &limits);
    let lane = peer.session.open_lane("").unwrap();
    for id in [EVENT, OTHER, EVENT] {
        peer.lane(lane, &[(id, b"a")]).unwrap();
        peer.session
            .hold(&event(id, b"a"), Kept::Unheard, peer.now)
            .unwrap();
    }
    assert_eq!(peer.refused("Event"), [(DropCause::EarlyFull, 1)]);
    assert!(peer.refused("Other").is_empty());
    let room = |peer: &Peer| peer.session.held.take(1);
    assert!(!room(&peer));
    peer.session.release(OTHER).unwrap();
    assert!(room(&peer));
}

/// Design 2.12: frames of an id that is not announced yet wait for it, datagrams do not.
#[test]
fn events_of_an_undeclared_remote_wait_until_it_is() {
    let mut peer = Peer::new(Side::Client, &Limits::default());
    let lane = peer.session.open_lane("").unwrap();
    assert_eq!(peer.lane(lane, &[(UNDECLARED, b"a")]).unwrap(), b"a");
    peer.session
        .hold(&event(UNDECLARED, b"a"), Kept::Unheard, peer.now)
        .unwrap();
    let mut other = Peer::new(Side::Client, &Limits::default());
    assert_eq!(other.datagram(UNDECLARED, &[(0, 1)]).unwrap(), []);
    assert_eq!(other.refused(""), [(DropCause::Unannounced, 1)]);

    let declared = Meta {
        name: "Late",
        ..peer.remotes.0[&EVENT].clone()
    };
    peer.remotes.0.insert(UNDECLARED, declared);
    peer.session.look_up_again(&peer.remotes, peer.now);
    assert_eq!(peer.stats("Late").held, 1);
    assert_eq!(peer.session.release(UNDECLARED).unwrap().0[0], b'a');
}

#[test]
fn what_is_held_at_the_end_is_booked() {
    let mut peer = Peer::server();
    let lane = peer.session.open_lane("").unwrap();
    peer.lane(lane, &[(EVENT, b"a"), (EVENT, b"b")]).unwrap();
    peer.session.dispatched(EVENT);
    peer.session
        .hold(&event(EVENT, b"b"), Kept::Unheard, peer.now)
        .unwrap();
    peer.ledger.end_receiving();
    assert_eq!(peer.refused("Event"), [(DropCause::ConnectionEnded, 1)]);
}

#[test]
fn held_bytes_never_go_past_the_limit() {
    let held = Held::new(10);
    assert!(held.take(6) && !held.take(5) && held.take(4) && !held.take(1));
    held.give_back(4);
    assert!(held.take(4));
    assert!(!Held::new(10).take(usize::MAX) && !Held::new(0).take(1) && Held::new(0).take(0));
}

#[test]
fn streams_taken_back_cost_what_events_cost() {
    let limits = Limits {
        events: Rate::per_second(1).burst(3),
        offences_per_minute: 2,
        ..Limits::default()
    };
    let mut peer = Peer::new(Side::Server, &limits);
    for _ in 0..3 {
        assert_eq!(peer.session.taken_back(peer.now), Ok(()));
    }
    assert!(peer.session.reports().is_empty());
    assert_eq!(peer.session.taken_back(peer.now), Ok(()));
    assert_eq!(peer.session.reports(), [(Offence::StreamRate, 1)]);
    assert_eq!(peer.session.taken_back(peer.now), Ok(()));
    let over = peer.session.taken_back(peer.now);
    assert_eq!(over, Err(Violation::TooManyOffences));
    // The budget is the server's against clients.
    let mut peer = Peer::new(Side::Client, &limits);
    assert!((0..100).all(|_| peer.session.taken_back(peer.now) == Ok(())));
}
