//! Inboxes keep events for a program that takes them when it likes, within bounds.

use std::time::Duration;

use farfire::{DropCause, InboxOverflow, Limits, Player, RemoteEvent, RemoteFunction, RemoteStats};
use serde::{Deserialize, Deserializer, Serialize};

use crate::world::{Notes, World, until, within};

const NUMBER: RemoteEvent<u32> = RemoteEvent::new("Number");
const BLOB: RemoteEvent<String> = RemoteEvent::new("Blob");
/// Answered when everything fired before it has been dealt with.
const SYNC: RemoteFunction<(), ()> = RemoteFunction::new("Sync");

async fn synced(client: &farfire::Client) {
    let sync = client.invoke_server(&SYNC, &()).into_future();
    assert_eq!(within(sync).await, Ok(()));
}

fn world(limits: Limits) -> World {
    let world = World::with(|server| server.remotes(&[&NUMBER, &BLOB, &SYNC]).limits(limits));
    world.server.on_server_invoke(&SYNC, |_, ()| {});
    world
}

fn ledger(player: &Player, remote: &str) -> RemoteStats {
    let stats = player.stats();
    let of_remote = stats.remotes.into_iter().find(|one| one.remote == remote);
    of_remote.unwrap()
}

fn dropped(stats: &RemoteStats, cause: DropCause) -> u64 {
    let count = stats.refused.iter().find(|(other, _)| *other == cause);
    count.map_or(0, |(_, count)| *count)
}

fn numbers(items: impl IntoIterator<Item = (Player, u32)>) -> Vec<u32> {
    items.into_iter().map(|(_, number)| number).collect()
}

/// Design 1: a game loop takes what has come, in order, with the players that sent it.
#[tokio::test]
async fn an_inbox_gives_everything_in_order_and_once() {
    let world = world(Limits::default());
    let mut inbox = world.server.server_events(&NUMBER);
    assert!(inbox.is_empty() && inbox.try_recv().is_none());
    let (ada, player) = within(world.join("Ada")).await;
    for number in 0..100 {
        ada.fire_server(&NUMBER, &number).unwrap();
    }
    synced(&ada).await;
    assert_eq!(inbox.len(), 100);
    assert_eq!(inbox.try_recv(), Some((player.clone(), 0)));
    assert_eq!(within(inbox.recv()).await, Some((player.clone(), 1)));
    assert_eq!(numbers(inbox.drain()), (2..100).collect::<Vec<_>>());
    assert!(inbox.is_empty() && inbox.drain().next().is_none());
    // Who waits is woken.
    let (next, ()) = tokio::join!(within(inbox.recv()), async {
        tokio::task::yield_now().await;
        ada.fire_server(&NUMBER, &100).unwrap();
    });
    assert_eq!(next, Some((player.clone(), 100)));
    synced(&ada).await;
    let stats = ledger(&player, "Number");
    assert_eq!((stats.received, stats.dispatched), (101, 101));
}

/// Design 1, on the client.
#[tokio::test]
async fn a_client_has_inboxes_as_well() {
    let world = world(Limits::default());
    let (ada, player) = within(world.join("Ada")).await;
    // Fired before there is an inbox: it gets the early ones, too.
    world.server.fire_client(&player, &NUMBER, &1).unwrap();
    world.server.fire_all_clients(&NUMBER, &2).unwrap();
    let mut inbox = ada.client_events(&NUMBER);
    assert_eq!(within(inbox.recv()).await, Some(1));
    assert_eq!(within(inbox.recv()).await, Some(2));
    within(ada.leave()).await;
    assert_eq!(within(inbox.recv()).await, None);
}

/// Design 3: what is full drops the newest unless told otherwise, and every drop is counted.
#[tokio::test]
async fn a_full_inbox_drops_the_newest_and_counts_it() {
    let world = world(Limits::default());
    let newest = InboxOverflow::DropNewest;
    let mut inbox = world.server.server_events_with(&NUMBER, 3, newest);
    let (ada, player) = within(world.join("Ada")).await;
    for number in 0..10 {
        ada.fire_server(&NUMBER, &number).unwrap();
    }
    synced(&ada).await;
    let stats = ledger(&player, "Number");
    assert_eq!((stats.received, stats.dispatched), (10, 3));
    assert_eq!(dropped(&stats, DropCause::InboxFull), 7);
    assert_eq!(numbers(inbox.drain()), [0, 1, 2]);
    // There is room again.
    ada.fire_server(&NUMBER, &10).unwrap();
    synced(&ada).await;
    assert_eq!(numbers(inbox.drain()), [10]);
}

/// Design 3: or it drops the oldest, which is counted just as well.
#[tokio::test]
async fn a_full_inbox_may_drop_the_oldest_and_counts_it() {
    let world = world(Limits::default());
    let oldest = InboxOverflow::DropOldest;
    let mut inbox = world.server.server_events_with(&NUMBER, 3, oldest);
    let (ada, player) = within(world.join("Ada")).await;
    for number in 0..10 {
        ada.fire_server(&NUMBER, &number).unwrap();
    }
    synced(&ada).await;
    let stats = ledger(&player, "Number");
    assert_eq!((stats.received, stats.dispatched), (10, 3));
    assert_eq!(dropped(&stats, DropCause::InboxFull), 7);
    assert_eq!(numbers(inbox.drain()), [7, 8, 9]);
}

/// Design 2.3: what one player keeps waiting is bounded in bytes, and takes nothing from others.
#[tokio::test]
async fn a_player_keeps_no_more_bytes_waiting_than_its_share() {
    let mut limits = Limits::default();
    limits.held_bytes = 10_000;
    let world = world(limits);
    let mut inbox = world.server.server_events(&BLOB);
    let (greedy, player) = within(world.join("greedy")).await;
    let (modest, other) = within(world.join("modest")).await;
    let blob = "x".repeat(3_000);
    for round in 1..=3 {
        for _ in 0..10 {
            greedy.fire_server(&BLOB, &blob).unwrap();
        }
        modest.fire_server(&BLOB, &blob).unwrap();
        synced(&greedy).await;
        synced(&modest).await;
        let stats = ledger(&player, "Blob");
        assert_eq!(stats.dispatched, 3 * round, "three fit");
        assert_eq!(dropped(&stats, DropCause::InboxFull), 7 * round);
        assert_eq!(ledger(&other, "Blob").dispatched, round);
        assert_eq!(inbox.len(), 4);
        // Taken out, they give their room back: each in its own way.
        match round {
            1 => assert_eq!(inbox.drain().count(), 4),
            2 => while inbox.try_recv().is_some() {},
            // Not even looked at.
            _ => drop(inbox.drain()),
        }
    }
    greedy.fire_server(&BLOB, &blob).unwrap();
    synced(&greedy).await;
    assert_eq!(inbox.len(), 1);
}

/// Design 2.3: an inbox that drops the oldest stays recent also where bytes are the limit, and at
/// the cost of the same player alone.
#[tokio::test]
async fn a_player_over_its_share_drops_its_own_oldest() {
    let mut limits = Limits::default();
    limits.held_bytes = 10_000;
    let world = world(limits);
    let oldest = InboxOverflow::DropOldest;
    let mut inbox = world.server.server_events_with(&BLOB, 4096, oldest);
    let (modest, _) = within(world.join("modest")).await;
    modest.fire_server(&BLOB, &"mine".into()).unwrap();
    synced(&modest).await;
    let (greedy, player) = within(world.join("greedy")).await;
    for number in 0..10 {
        let blob = format!("{number:03000}");
        greedy.fire_server(&BLOB, &blob).unwrap();
    }
    // More than fits at all: it goes itself, and takes nothing with it.
    greedy.fire_server(&BLOB, &"x".repeat(20_000)).unwrap();
    synced(&greedy).await;
    let texts: Vec<_> = inbox.drain().map(|(_, text)| text).collect();
    let numbers: Vec<_> = texts
        .iter()
        .filter_map(|text| text.parse::<u32>().ok())
        .collect();
    assert_eq!(texts[0], "mine");
    assert_eq!(numbers, [7, 8, 9]);
    let stats = ledger(&player, "Blob");
    assert_eq!((stats.received, stats.dispatched), (11, 3));
    assert_eq!(dropped(&stats, DropCause::InboxFull), 8);
}

/// Design 1: a dropped inbox listens no longer and gives all room back; events wait for another.
#[tokio::test]
async fn dropping_an_inbox_ends_it() {
    let mut limits = Limits::default();
    limits.held_bytes = 10_000;
    let world = world(limits);
    let inbox = world.server.server_events(&BLOB);
    let (ada, player) = within(world.join("Ada")).await;
    let blob = "x".repeat(3_000);
    for _ in 0..3 {
        ada.fire_server(&BLOB, &blob).unwrap();
    }
    synced(&ada).await;
    assert_eq!(inbox.len(), 3);
    drop(inbox);
    // The whole share is free: the next three are kept as early events.
    for _ in 0..3 {
        ada.fire_server(&BLOB, &blob).unwrap();
    }
    synced(&ada).await;
    assert_eq!(ledger(&player, "Blob").held, 3);
    let mut inbox = world.server.server_events(&BLOB);
    for _ in 0..3 {
        assert!(within(inbox.recv()).await.is_some());
    }
}

/// Design 2.5: two inboxes and a handler each get every event.
#[tokio::test]
async fn every_inbox_gets_every_event() {
    let world = world(Limits::default());
    let mut first = world.server.server_events(&NUMBER);
    let mut second = world.server.server_events(&NUMBER);
    let notes = Notes::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&NUMBER, move |_, number| seen.push(number));
    let (ada, player) = within(world.join("Ada")).await;
    for number in 0..5 {
        ada.fire_server(&NUMBER, &number).unwrap();
    }
    synced(&ada).await;
    let all: Vec<u32> = (0..5).collect();
    assert_eq!(numbers(first.drain()), all);
    assert_eq!(numbers(second.drain()), all);
    assert_eq!(notes.all(), all);
    assert_eq!(ledger(&player, "Number").dispatched, 5);
}

/// Design 3: when the server stops, who waits is told, after what had come.
#[tokio::test]
async fn an_inbox_ends_with_its_server() {
    let world = world(Limits::default());
    let mut inbox = world.server.server_events(&NUMBER);
    let (ada, _) = within(world.join("Ada")).await;
    ada.fire_server(&NUMBER, &1).unwrap();
    synced(&ada).await;
    let ((), end) = tokio::join!(
        within(world.server.shutdown()),
        within(async {
            assert!(inbox.recv().await.is_some());
            inbox.recv().await
        })
    );
    assert_eq!(end, None);
    assert_eq!(inbox.try_recv(), None);
}

/// Design 6: nobody waits for ever, also not who begins to listen when all is over.
#[tokio::test]
async fn an_inbox_that_is_opened_too_late_is_at_its_end() {
    let world = world(Limits::default());
    let (ada, _) = within(world.join("Ada")).await;
    within(ada.leave()).await;
    assert_eq!(within(ada.client_events(&NUMBER).recv()).await, None);
    assert_eq!(within(ada.next_client_event(&NUMBER)).await, None);
    within(world.server.shutdown()).await;
    let mut inbox = world.server.server_events(&NUMBER);
    assert_eq!(within(inbox.recv()).await, None);
    assert_eq!(within(world.server.next_server_event(&NUMBER)).await, None);
    let late = world.server.on_server_event(&NUMBER, |_, _| {});
    assert!(!late.is_connected());
}

/// Dropping `recv` half way loses nothing.
#[tokio::test]
async fn a_wait_for_the_next_event_may_be_given_up() {
    let world = world(Limits::default());
    let mut inbox = world.server.server_events(&NUMBER);
    let (ada, _) = within(world.join("Ada")).await;
    let gave_up = tokio::time::timeout(Duration::from_millis(10), inbox.recv()).await;
    assert!(gave_up.is_err());
    ada.fire_server(&NUMBER, &1).unwrap();
    ada.fire_server(&NUMBER, &2).unwrap();
    until(|| inbox.len() == 2).await;
    assert_eq!(within(inbox.recv()).await.map(|(_, n)| n), Some(1));
    assert_eq!(within(inbox.recv()).await.map(|(_, n)| n), Some(2));
}

/// Readable if even; panics its reader at 13.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Even(u32);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            13 => panic!("unlucky"),
            odd if odd % 2 == 1 => Err(serde::de::Error::custom("odd")),
            even => Ok(Self(even)),
        }
    }
}

/// Design 6: bytes that mean nothing end no wait, no inbox and no connection, even where they make
/// the program's own decoding panic.
#[tokio::test]
async fn events_that_do_not_decode_are_passed_over() {
    const EVEN: RemoteEvent<Even> = RemoteEvent::new("Even");
    let world = World::with(|server| server.remotes(&[&EVEN, &SYNC]));
    world.server.on_server_invoke(&SYNC, |_, ()| {});
    let mut inbox = world.server.server_events(&EVEN);
    let once = Notes::new();
    let seen = once.clone();
    world
        .server
        .on_server_event_once(&EVEN, move |_, Even(number)| seen.push(number));
    let (ada, player) = within(world.join("Ada")).await;
    let server = world.server.clone();
    let next = tokio::spawn(async move { server.next_server_event(&EVEN).await });
    tokio::task::yield_now().await;
    for number in [1, 13, 4, 6] {
        ada.fire_server(&EVEN, &Even(number)).unwrap();
    }
    synced(&ada).await;
    let next = within(next).await.unwrap();
    assert_eq!(next, Some((player.clone(), Even(4))));
    assert_eq!(once.all(), [4]);
    let items: Vec<_> = inbox.drain().map(|(_, even)| even).collect();
    assert_eq!(items, [Even(4), Even(6)]);
    assert_eq!(dropped(&ledger(&player, "Even"), DropCause::Undecodable), 2);
}
