//! Unreliable events, which arrive once or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use farfire::{DropCause, FireError, Limits, Rate, RemoteEvent, UnreliableRemoteEvent};

use crate::{
    logs,
    stage::{answer_caught_up, caught_up, ledger, refused, until},
    world::{Notes, World, within},
};

#[tokio::test]
async fn at_no_loss_nearly_all_arrive_and_none_twice() {
    const COUNTER: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Counter");

    let world = World::with(|server| server.remotes(&[&COUNTER]));
    let numbers = Notes::new();
    let note = numbers.clone();
    world
        .server
        .on_server_event(&COUNTER, move |_, n| note.push(n));
    let (ada, player) = within(world.join("Ada")).await;
    let mut hundred_per_second = tokio::time::interval(Duration::from_millis(10));
    for n in 1..=200 {
        hundred_per_second.tick().await;
        ada.fire_server(&COUNTER, &n).unwrap();
    }
    within(ada.leave()).await;
    within(player.left()).await;
    let numbers = numbers.all();
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), numbers.len(), "{numbers:?}");
    assert!(distinct.iter().all(|n| (1..=200).contains(n)));
    // A busy machine may overflow a socket; nothing else loses datagrams here.
    assert!(distinct.len() >= 190, "{}", distinct.len());
}

#[tokio::test]
async fn a_thousand_bytes_pass_and_one_more_does_not() {
    const BLOB: UnreliableRemoteEvent<Bytes> = UnreliableRemoteEvent::new("Blob");

    logs::listen();
    let world = World::with(|server| server.remotes(&[&BLOB]));
    let sizes = Notes::new();
    let note = sizes.clone();
    world
        .server
        .on_server_event(&BLOB, move |_, blob: Bytes| note.push(blob.len()));
    let (ada, _) = within(world.join("Ada")).await;
    let (fits, does_not) = (Bytes::from(vec![1; 997]), Bytes::from(vec![1; 998]));
    assert_eq!(BLOB.encoded_len(&fits).unwrap(), 1000);
    assert_eq!(BLOB.encoded_len(&does_not).unwrap(), 1001);
    let refused = FireError::TooLarge {
        remote: "Blob",
        size: 1001,
        limit: 1000,
    };
    assert_eq!(ada.fire_server(&BLOB, &does_not), Err(refused));
    let logged = logs::with(&["\"Blob\"", "over=1"]);
    assert_eq!(logged.len(), 1, "{logged:?}");
    ada.fire_server(&BLOB, &fits).unwrap();
    assert_eq!(sizes.wait(1).await, [997]);
}

#[tokio::test]
async fn without_a_handler_they_are_dropped_with_a_line_in_the_log() {
    const UNHEARD: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("UnheardCounter");

    logs::listen();
    let world = World::with(|server| server.remotes(&[&UNHEARD]));
    answer_caught_up(&world.server);
    let (ada, player) = within(world.join("Ada")).await;
    ada.fire_server(&UNHEARD, &1).unwrap();
    let unheard = || {
        let events = player.stats().remotes;
        let events = events.iter().find(|found| found.remote == "UnheardCounter");
        events.is_some_and(|events| refused(events, DropCause::Unheard) == 1)
    };
    until(unheard).await;
    let logged = logs::with(&["WARN", "\"UnheardCounter\"", "Unheard"]);
    assert_eq!(logged.len(), 1, "{logged:?}");

    let numbers = Notes::new();
    let note = numbers.clone();
    world
        .server
        .on_server_event(&UNHEARD, move |_, n| note.push(n));
    ada.fire_server(&UNHEARD, &2).unwrap();
    assert_eq!(numbers.wait(1).await, [2]);
    caught_up(&ada).await;
    assert_eq!(numbers.all(), [2]);
    assert_eq!(ledger(player.stats(), "UnheardCounter").held, 0);
}

#[tokio::test]
async fn beside_bulk_they_stay_prompt() {
    const BULK: RemoteEvent<Bytes> = RemoteEvent::new("Bulk");
    const PULSE: UnreliableRemoteEvent<u64> = UnreliableRemoteEvent::new("Pulse");
    const PULSES: usize = 100;

    let mut limits = Limits::default();
    // As much as the network takes.
    limits.events = Rate::per_second(1_000_000);
    let world = World::with(|server| server.remotes(&[&BULK, &PULSE]).limits(limits));
    let clock = Instant::now();
    let (took, bulk) = (Notes::new(), Notes::new());
    let note = took.clone();
    world.server.on_server_event(&PULSE, move |_, fired| {
        note.push(clock.elapsed() - Duration::from_micros(fired));
    });
    let note = bulk.clone();
    world
        .server
        .on_server_event(&BULK, move |_, block: Bytes| note.push(block.len()));
    let (ada, player) = within(world.join("Ada")).await;

    let enough = Arc::new(AtomicBool::new(false));
    let transfer = tokio::spawn({
        let (ada, enough) = (ada.clone(), enough.clone());
        async move {
            let block = Bytes::from(vec![7; 32 * 1024]);
            let mut sent = 0;
            while !enough.load(Ordering::Relaxed) {
                ada.fire_server_async(&BULK, &block).await.unwrap();
                sent += 1;
            }
            sent
        }
    });
    bulk.wait(1).await;
    let mut rate = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..PULSES {
        rate.tick().await;
        let now = clock.elapsed().as_micros() as u64;
        ada.fire_server(&PULSE, &now).unwrap();
    }
    enough.store(true, Ordering::Relaxed);
    let sent = within(transfer).await.unwrap();
    within(ada.leave()).await;
    within(player.left()).await;

    assert_eq!(bulk.all().len(), sent, "bulk is reliable");
    let mut took = took.all();
    took.sort_unstable();
    // Bulk fills buffers on the way, and a full socket loses datagrams of either kind.
    assert!(took.len() >= PULSES / 2, "{}", took.len());
    assert!(
        took[took.len() / 2] < Duration::from_millis(250),
        "{took:?}"
    );
}
