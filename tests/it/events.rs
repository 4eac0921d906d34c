//! Handlers of events: all of them, every event, whatever one of them does.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use farfire::{
    DisconnectReason, DropCause, HandlerError, InboxOverflow, Player, RemoteEvent, Subscription,
    values::{BrickColor, Vector3},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::world::{Notes, World, count_of, generous, ledger, settle, within};

const NUMBER: RemoteEvent<u32> = RemoteEvent::new("Number");

fn world() -> World {
    World::with(|server| server.limits(generous()).remotes(&[&NUMBER]))
}

/// Design 2.5, R25.
#[tokio::test]
async fn every_handler_gets_every_event_once() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let all = [(); 3].map(|()| Notes::<u32>::new());
    for notes in &all {
        let seen = notes.clone();
        ada.on_client_event(&NUMBER, move |n| seen.push(n));
    }
    let mut inbox = ada.client_events(&NUMBER);
    for n in 0..100 {
        world.server.fire_client(&player, &NUMBER, &n).unwrap();
    }
    settle(&ada).await;
    for notes in all {
        assert!(notes.all().into_iter().eq(0..100));
    }
    assert!(inbox.drain().eq(0..100));
    assert_eq!(ledger(&ada.stats(), NUMBER.name()).dispatched, 100);
}

/// R13: the player comes first, and is the one whose connection it came over.
#[tokio::test]
async fn a_server_handler_is_told_who_fired() {
    let world = world();
    let notes = Notes::<(Player, u32)>::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&NUMBER, move |player, n| seen.push((player, n)));
    let (ada, ada_there) = within(world.join("Ada")).await;
    let (bob, bob_there) = within(world.join("Bob")).await;
    ada.fire_server(&NUMBER, &1).unwrap();
    settle(&ada).await;
    bob.fire_server(&NUMBER, &2).unwrap();
    assert_eq!(notes.wait(2).await, [(ada_there, 1), (bob_there, 2)]);
}

/// Design 2.5, R25, R128: one that panics or fails stops neither the others nor what comes later.
#[tokio::test]
async fn a_handler_that_panics_or_fails_stops_nothing() {
    let world = world();
    let notes = Notes::<u32>::new();
    let server = &world.server;
    server.on_server_event(&NUMBER, |_, n| assert!(n % 2 == 1, "an even number"));
    server.on_server_event(&NUMBER, |_, _| Err::<(), _>("no numbers, please"));
    server.on_server_event(&NUMBER, |_, _| async {
        Err::<(), _>(HandlerError::internal("nor later"))
    });
    server.on_server_event(&NUMBER, |_, n| async move {
        assert!(n % 2 == 0, "an odd number");
    });
    server.on_server_event(&NUMBER, |_, n| async move {
        tokio::task::yield_now().await;
        assert!(n > 1000, "on another thread");
    });
    let seen = notes.clone();
    server.on_server_event(&NUMBER, move |_, n| seen.push(n));
    let (ada, player) = within(world.join("Ada")).await;
    let (bob, _) = within(world.join("Bob")).await;
    for n in 0..10 {
        ada.fire_server(&NUMBER, &n).unwrap();
    }
    settle(&ada).await;
    assert!(notes.all().into_iter().eq(0..10));
    let stats = ledger(&player.stats(), NUMBER.name());
    assert_eq!((stats.dispatched, stats.is_balanced()), (10, true));
    bob.fire_server(&NUMBER, &10).unwrap();
    assert_eq!(notes.wait(11).await[10], 10);
    assert!(player.is_connected());
}

/// R26: a handler that waits delays neither the next event nor another handler.
#[tokio::test]
async fn asynchronous_handlers_may_overlap() {
    let world = world();
    let (notes, end) = (Notes::<(char, u32)>::new(), Arc::new(Notify::new()));
    let (seen, ending) = (notes.clone(), end.clone());
    world.server.on_server_event(&NUMBER, move |_, n| {
        let (seen, ending) = (seen.clone(), ending.clone());
        async move {
            let ended = ending.notified();
            seen.push(('<', n));
            ended.await;
            seen.push(('>', n));
        }
    });
    let (ada, _) = within(world.join("Ada")).await;
    for n in 0..5 {
        ada.fire_server(&NUMBER, &n).unwrap();
    }
    // All have begun, in order, before the first has ended.
    let begun: Vec<_> = (0..5).map(|n| ('<', n)).collect();
    assert_eq!(notes.wait(5).await, begun);
    settle(&ada).await;
    assert_eq!(notes.all().len(), 5);
    // `notify_one`, again and again, as one may not be waiting yet.
    for done in 6..=10 {
        end.notify_one();
        notes.wait(done).await;
    }
}

/// R90: the first event only, and it is disconnected by then.
#[tokio::test]
async fn once_is_disconnected_before_it_runs() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let own = Arc::new(OnceLock::<Subscription>::new());
    let notes = Notes::<(u32, bool)>::new();
    let (seen, subscription) = (notes.clone(), own.clone());
    let once = ada.on_client_event_once(&NUMBER, move |n| {
        seen.push((n, subscription.wait().is_connected()));
    });
    assert!(once.is_connected());
    own.set(once).unwrap();
    for n in 0..3 {
        world.server.fire_client(&player, &NUMBER, &n).unwrap();
    }
    assert_eq!(notes.wait(1).await, [(0, false)]);
    settle(&ada).await;
    assert_eq!(notes.all().len(), 1);
}

/// R90: so it may connect itself again, and miss nothing in between.
#[tokio::test]
async fn once_may_connect_itself_again() {
    fn again(player: &Player, n: u32, notes: &Notes<u32>) {
        notes.push(n);
        let notes = notes.clone();
        let server = player.server();
        server.on_server_event_once(&NUMBER, move |player, n| again(&player, n, &notes));
    }
    let world = world();
    let notes = Notes::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event_once(&NUMBER, move |player, n| again(&player, n, &seen));
    let (ada, _) = within(world.join("Ada")).await;
    for n in 0..100 {
        ada.fire_server(&NUMBER, &n).unwrap();
    }
    settle(&ada).await;
    assert!(notes.all().into_iter().eq(0..100));
}

/// R91: it waits for the next event and returns its arguments.
#[tokio::test]
async fn next_waits_for_one_event() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let next = tokio::spawn({
        let ada = ada.clone();
        async move { ada.next_client_event(&NUMBER).await }
    });
    world.server.fire_client(&player, &NUMBER, &7).unwrap();
    assert_eq!(within(next).await.unwrap(), Some(7));

    ada.fire_server(&NUMBER, &8).unwrap();
    let next = within(world.server.next_server_event(&NUMBER)).await;
    assert_eq!(next, Some((player.clone(), 8)));

    // Every event goes to somebody: one that nobody awaits any more waits for the next who does.
    let gone = tokio::time::timeout(Duration::ZERO, ada.next_client_event(&NUMBER)).await;
    assert!(gone.is_err());
    world.server.fire_client(&player, &NUMBER, &9).unwrap();
    settle(&ada).await;
    assert_eq!(within(ada.next_client_event(&NUMBER)).await, Some(9));
}

/// R91: nobody waits for ever on a connection that has ended.
#[tokio::test]
async fn next_ends_with_the_connection() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let next = tokio::spawn({
        let ada = ada.clone();
        async move { ada.next_client_event(&NUMBER).await }
    });
    let mut inbox = ada.client_events(&NUMBER);
    player.kick("enough");
    assert_eq!(within(inbox.recv()).await, None);
    assert_eq!(within(next).await.unwrap(), None);
}

/// R88, R89: inside the handler, and more than once.
#[tokio::test]
async fn disconnecting_inside_the_handler_and_twice_is_safe() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let own = Arc::new(OnceLock::<Subscription>::new());
    let (notes, other) = (Notes::<u32>::new(), Notes::<u32>::new());
    let (seen, subscription) = (notes.clone(), own.clone());
    let connected = ada.on_client_event(&NUMBER, move |n| {
        subscription.wait().disconnect();
        subscription.wait().disconnect();
        seen.push(n);
    });
    own.set(connected).unwrap();
    let seen = other.clone();
    ada.on_client_event(&NUMBER, move |n| seen.push(n));
    for n in 0..3 {
        world.server.fire_client(&player, &NUMBER, &n).unwrap();
    }
    settle(&ada).await;
    assert_eq!(notes.all(), [0]);
    assert_eq!(other.all(), [0, 1, 2]);
    assert!(!own.wait().is_connected());
    own.wait().disconnect();
}

/// R88: dropping what `on_client_event` returns disconnects nothing.
#[tokio::test]
async fn a_dropped_subscription_leaves_its_handler_connected() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    drop(ada.on_client_event(&NUMBER, move |n| seen.push(n)));
    world.server.fire_client(&player, &NUMBER, &1).unwrap();
    assert_eq!(notes.wait(1).await, [1]);
}

/// R120, R128: bytes that do not decode cost their sender, and use up nobody's `once`.
#[tokio::test]
async fn an_event_that_does_not_decode_uses_up_no_handler() {
    /// Travels as a `u32`, and is never odd.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    #[serde(try_from = "u32", into = "u32")]
    struct Even(u32);
    impl TryFrom<u32> for Even {
        type Error = &'static str;
        fn try_from(n: u32) -> Result<Self, Self::Error> {
            n.is_multiple_of(2).then_some(Self(n)).ok_or("odd")
        }
    }
    impl From<Even> for u32 {
        fn from(Even(n): Even) -> Self {
            n
        }
    }
    const THERE: RemoteEvent<Even> = RemoteEvent::new("Even");
    const HERE: RemoteEvent<u32> = RemoteEvent::new("Even");

    let world = World::with(|server| server.remotes(&[&THERE]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<Even>::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event_once(&THERE, move |_, n| seen.push(n));
    let next = tokio::spawn({
        let server = world.server.clone();
        async move { server.next_server_event(&THERE).await }
    });
    for n in [1, 3, 4] {
        ada.fire_server(&HERE, &n).unwrap();
        settle(&ada).await;
    }
    assert_eq!(notes.all(), [Even(4)]);
    // It may have begun to wait after the fourth.
    ada.fire_server(&HERE, &6).unwrap();
    let (_, even) = within(next).await.unwrap().unwrap();
    assert!(even == Even(4) || even == Even(6), "{even:?}");
    settle(&ada).await;
    let stats = ledger(&player.stats(), THERE.name());
    assert_eq!(count_of(&stats.refused, DropCause::Undecodable), 2);
    assert!(stats.is_balanced());
}

/// An inbox that is full drops by its policy, and counts.
#[tokio::test]
async fn a_full_inbox_drops_what_its_policy_says() {
    for (overflow, kept) in [
        (InboxOverflow::DropNewest, 0..10),
        (InboxOverflow::DropOldest, 20..30),
    ] {
        let world = world();
        let mut inbox = world.server.server_events_with(&NUMBER, 10, overflow);
        let (ada, player) = within(world.join("Ada")).await;
        for n in 0..30 {
            ada.fire_server(&NUMBER, &n).unwrap();
        }
        settle(&ada).await;
        assert_eq!(inbox.len(), 10);
        assert!(inbox.drain().map(|(_, n)| n).eq(kept), "{overflow:?}");
        let stats = ledger(&player.stats(), NUMBER.name());
        assert_eq!(stats.dispatched, 10, "{overflow:?}");
        assert_eq!(count_of(&stats.refused, DropCause::InboxFull), 20);
        assert!(stats.is_balanced());
    }
}

/// Sends `values` there and back, and says what came back.
async fn echoed<A: farfire::Payload + Sync + Clone>(
    remote: RemoteEvent<A>,
    values: Vec<A>,
) -> Vec<A> {
    let world = World::with(|server| server.remotes(&[&remote]));
    world.server.on_server_event(&remote, move |player, value| {
        player
            .server()
            .fire_client(&player, &remote, &value)
            .unwrap();
    });
    let (ada, _) = within(world.join("Ada")).await;
    let notes = Notes::<A>::new();
    let seen = notes.clone();
    ada.on_client_event(&remote, move |value| seen.push(value));
    for value in &values {
        ada.fire_server(&remote, value).unwrap();
    }
    notes.wait(values.len()).await
}

/// R18: no arguments is legal, and absent ones in any place stay absent.
#[tokio::test]
async fn no_arguments_and_absent_arguments_travel() {
    let nothing = echoed(RemoteEvent::<()>::new("Nothing"), vec![(), ()]).await;
    assert_eq!(nothing.len(), 2);
    type Sparse = (Option<u8>, Option<String>, Option<Option<u8>>);
    let sparse: Vec<Sparse> = vec![
        (None, None, None),
        (Some(1), None, Some(None)),
        (None, Some(String::new()), Some(Some(0))),
    ];
    assert_eq!(
        echoed(RemoteEvent::new("Sparse"), sparse.clone()).await,
        sparse
    );
}

/// The documentation's own arguments, nested ones, and bytes.
#[tokio::test]
async fn the_types_of_the_seed_and_nested_ones_travel() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Item {
        Empty,
        Sword { damage: u16, names: Vec<String> },
        Bag(Vec<Self>),
    }
    let parts = vec![
        (BrickColor::red(), Vector3::new(0.0, 20.0, -0.5)),
        (
            BrickColor::from_number(1032),
            Vector3::new(f32::MIN, f32::MAX, -0.0),
        ),
    ];
    assert_eq!(echoed(RemoteEvent::new("Part"), parts.clone()).await, parts);
    let sword = Item::Sword {
        damage: 300,
        names: vec!["Ñandú".into(), String::new()],
    };
    let items = vec![
        Item::Empty,
        sword.clone(),
        Item::Bag(vec![Item::Bag(vec![]), sword]),
    ];
    assert_eq!(echoed(RemoteEvent::new("Item"), items.clone()).await, items);
    let blobs = vec![Bytes::new(), vec![0xff; 60_000].into()];
    assert_eq!(echoed(RemoteEvent::new("Blob"), blobs.clone()).await, blobs);
}

/// R122: numbers that are not finite arrive bit for bit; checking them is the handler's business.
#[tokio::test]
async fn numbers_that_are_not_finite_travel() {
    let numbers = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let back = echoed(RemoteEvent::new("Float"), numbers.clone()).await;
    let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&back), bits(&numbers));
}

/// A remote that one side declares as another kind fails alone, whenever it is declared.
#[tokio::test]
async fn a_mismatch_of_kinds_fails_that_remote_only() {
    const EVENT: RemoteEvent<u32> = RemoteEvent::new("Twofold");
    const UNRELIABLE: farfire::UnreliableRemoteEvent<u32> =
        farfire::UnreliableRemoteEvent::new("Twofold");
    let world = World::with(|server| server.remotes(&[&EVENT, &NUMBER]));
    let (ada, player) = within(world.join("Ada")).await;
    let server = &world.server;
    server.fire_client(&player, &EVENT, &1).unwrap();
    settle(&ada).await;
    ada.on_client_event(&UNRELIABLE, |n| assert!(n > 1000, "it is another event"));
    server.fire_client(&player, &EVENT, &2).unwrap();
    settle(&ada).await;
    let stats = ledger(&ada.stats(), EVENT.name());
    let dropped = count_of(&stats.refused, DropCause::SignatureMismatch);
    assert_eq!((dropped, stats.is_balanced()), (2, true));
    server.fire_client(&player, &NUMBER, &3).unwrap();
    assert_eq!(within(ada.next_client_event(&NUMBER)).await, Some(3));
}

/// It runs once, at the end or after it, and says why.
#[tokio::test]
async fn on_disconnected_says_why() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<DisconnectReason>::new();
    let seen = notes.clone();
    ada.on_disconnected(move |reason| seen.push(reason));
    player.kick("no running");
    let kicked = DisconnectReason::Kicked {
        message: "no running".into(),
    };
    assert_eq!(notes.wait(1).await[0], kicked);
    assert!(!ada.is_connected());
    let seen = notes.clone();
    ada.on_disconnected(move |reason| seen.push(reason));
    assert_eq!(notes.all(), [kicked.clone(), kicked.clone()]);
    assert_eq!(within(ada.disconnected()).await, kicked.clone());
    assert!(
        matches!(
            ada.fire_server(&NUMBER, &1),
            Err(farfire::FireError::Disconnected { reason }) if reason == kicked
        ),
        "D5"
    );
    let late = within(player.left()).await;
    assert_eq!(late, kicked);
    assert!(matches!(
        world.server.fire_client(&player, &NUMBER, &1),
        Err(farfire::FireError::Disconnected { .. })
    ));
    // Those who have left are passed over.
    world.server.fire_all_clients(&NUMBER, &1).unwrap();
    world.server.fire_clients([&player], &NUMBER, &1).unwrap();
}
