//! Events that arrive before anybody listens wait for the first handler.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use farfire::{
    Client, DropCause, Limits, Player, RemoteEvent, RemoteFunction, Server, Subscription,
    UnreliableRemoteEvent,
    testing::SimNet,
    tls::{Identity, Trust},
};

use crate::world::{Notes, SETTLE, World, count_of, generous, ledger, settle, until, within};

const NUMBER: RemoteEvent<u32> = RemoteEvent::new("Number");
const CHUNK: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Chunk");
const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Pose");

fn world() -> World {
    World::with(|server| server.limits(generous()).remotes(&[&NUMBER, &CHUNK, &POSE]))
}

/// A client that knows the remotes, without a handler.
async fn join(world: &World, limits: Limits) -> (Client, Player) {
    let client = world.client("Ada").limits(limits);
    let client = client.remotes(&[&NUMBER, &CHUNK, &POSE]).connect();
    let client = within(client).await.unwrap();
    let player = world.player(&client).await;
    (client, player)
}

fn listen(client: &Client) -> Notes<u32> {
    let notes = Notes::new();
    let seen = notes.clone();
    client.on_client_event(&NUMBER, move |n| seen.push(n));
    notes
}

fn fire(world: &World, player: &Player, numbers: std::ops::Range<u32>) {
    for n in numbers {
        world.server.fire_client(player, &NUMBER, &n).unwrap();
    }
}

/// Design 2.3, R30, R31.
#[tokio::test]
async fn an_event_waits_for_the_first_handler() {
    let world = world();
    let (ada, player) = join(&world, Limits::default()).await;
    fire(&world, &player, 0..3);
    settle(&ada).await;
    assert_eq!(ledger(&ada.stats(), NUMBER.name()).held, 3);
    let notes = listen(&ada);
    assert_eq!(notes.wait(3).await, [0, 1, 2]);
    assert_eq!(ledger(&ada.stats(), NUMBER.name()).held, 0);
}

/// R30: the documentation's second script fires in `PlayerAdded`, before the client can have a handler.
#[tokio::test]
async fn what_is_fired_when_a_player_joins_is_the_first_that_it_sees() {
    let world = World::with(|server| {
        server
            .remotes(&[&NUMBER])
            .on_player_added(|player: Player| {
                let server = player.server();
                (0..5).for_each(|n| server.fire_client(&player, &NUMBER, &n).unwrap());
            })
    });
    let (ada, _) = within(world.join("Ada")).await;
    world.server.fire_all_clients(&NUMBER, &5).unwrap();
    settle(&ada).await;
    assert_eq!(listen(&ada).wait(6).await, [0, 1, 2, 3, 4, 5]);
}

/// R30: a client that has not even declared the remote yet misses nothing.
#[tokio::test]
async fn events_of_a_remote_that_a_client_has_not_declared_wait() {
    const LATE: RemoteEvent<u32> = RemoteEvent::new("Late");
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    for n in 0..10 {
        world.server.fire_client(&player, &LATE, &n).unwrap();
    }
    settle(&ada).await;
    let notes = Notes::new();
    let seen = notes.clone();
    ada.on_client_event(&LATE, move |n| seen.push(n));
    assert!(notes.wait(10).await.into_iter().eq(0..10));
}

/// R33, R34, D3: 256 events wait; the newest are dropped, counted, and nothing else suffers.
#[tokio::test]
async fn the_257th_event_without_a_handler_is_dropped_and_counted() {
    for count in [255, 256, 257, 300] {
        let world = world();
        let (ada, player) = join(&world, Limits::default()).await;
        fire(&world, &player, 0..count);
        settle(&ada).await;
        let kept = count.min(256);
        let stats = ledger(&ada.stats(), NUMBER.name());
        assert_eq!(stats.held, u64::from(kept));
        let dropped = count_of(&stats.refused, DropCause::EarlyFull);
        assert_eq!(dropped, u64::from(count - kept));

        let notes = listen(&ada);
        fire(&world, &player, 1000..1001);
        settle(&ada).await;
        assert!(notes.all().into_iter().eq((0..kept).chain([1000])));
        assert!(ledger(&ada.stats(), NUMBER.name()).is_balanced());
    }
}

/// R32: a second handler gets none of them, however soon it connects.
#[tokio::test]
async fn a_second_handler_gets_no_early_events() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    for _ in 0..20 {
        let (first, second) = (Notes::<u32>::new(), Notes::<u32>::new());
        fire(&world, &player, 0..50);
        settle(&ada).await;
        let seen = first.clone();
        let one = ada.on_client_event(&NUMBER, move |n| seen.push(n));
        let seen = second.clone();
        let two = ada.on_client_event(&NUMBER, move |n| seen.push(n));
        first.wait(50).await;
        fire(&world, &player, 50..60);
        settle(&ada).await;
        assert!(first.all().into_iter().eq(0..60));
        assert!(second.all().into_iter().eq(50..60));
        one.disconnect();
        two.disconnect();
    }
}

/// D2: `once` and `next` take one each and leave the rest.
#[tokio::test]
async fn a_handler_that_runs_once_takes_one_and_leaves_the_rest() {
    let world = world();
    let (ada, player) = join(&world, Limits::default()).await;
    fire(&world, &player, 0..10);
    settle(&ada).await;
    assert_eq!(within(ada.next_client_event(&NUMBER)).await, Some(0));
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    let once = ada.on_client_event_once(&NUMBER, move |n| seen.push(n));
    assert_eq!(notes.wait(1).await, [1]);
    assert!(!once.is_connected());
    settle(&ada).await;
    assert_eq!(ledger(&ada.stats(), NUMBER.name()).held, 8);
    assert_eq!(notes.all(), [1]);
    // What comes now takes its place behind them.
    fire(&world, &player, 10..12);
    assert!(listen(&ada).wait(10).await.into_iter().eq(2..12));
}

/// D2: the same when the next handler is there at once.
#[tokio::test]
async fn a_handler_behind_one_that_runs_once_gets_the_rest() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    for _ in 0..20 {
        fire(&world, &player, 0..10);
        settle(&ada).await;
        let (once, rest) = (Notes::<u32>::new(), Notes::<u32>::new());
        let seen = once.clone();
        ada.on_client_event_once(&NUMBER, move |n| seen.push(n));
        let seen = rest.clone();
        let subscription = ada.on_client_event(&NUMBER, move |n| seen.push(n));
        assert!(rest.wait(9).await.into_iter().eq(1..10));
        assert_eq!(once.all(), [0]);
        subscription.disconnect();
    }
}

/// Design 2.3, D1: no gap, no duplicate and no reordering between those that waited and those that
/// are arriving, wherever in the stream a handler comes or goes.
#[tokio::test]
async fn handlers_that_come_and_go_in_a_stream_see_all_of_it_once() {
    let world = world();
    let mut limits = Limits::default();
    limits.early_events = usize::MAX;
    limits.held_bytes = 64 * 1024 * 1024;
    let (ada, player) = join(&world, limits).await;
    let server = world.server.clone();
    let firing = tokio::spawn(async move {
        for n in 0..20_000 {
            within(server.fire_client_async(&player, &NUMBER, &n))
                .await
                .unwrap();
            if n % 16 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let notes = Notes::<u32>::new();
    let mut handlers = 0;
    while notes.all().len() < 20_000 {
        let before = notes.all().len();
        let seen = notes.clone();
        let subscription = ada.on_client_event(&NUMBER, move |n| seen.push(n));
        notes.wait((before + 50 + handlers % 200).min(20_000)).await;
        subscription.disconnect();
        handlers += 1;
        if handlers % 3 == 0 && notes.all().len() < 19_000 {
            let next = within(ada.next_client_event(&NUMBER)).await.unwrap();
            notes.push(next);
        }
    }
    within(firing).await.unwrap();
    settle(&ada).await;
    assert!(notes.all().into_iter().eq(0..20_000));
    assert!(handlers > 10, "{handlers}");
}

/// D1: buffered again when all handlers are gone.
#[tokio::test]
async fn events_wait_again_when_the_last_handler_is_gone() {
    let world = world();
    let (ada, player) = join(&world, Limits::default()).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    let subscription = ada.on_client_event(&NUMBER, move |n| seen.push(n));
    fire(&world, &player, 0..2);
    notes.wait(2).await;
    subscription.disconnect();
    fire(&world, &player, 2..300);
    settle(&ada).await;
    assert_eq!(notes.all().len(), 2);
    assert_eq!(ledger(&ada.stats(), NUMBER.name()).held, 256);
    assert!(listen(&ada).wait(256).await.into_iter().eq(2..258));
}

/// R36: on the server each player has its own bound, and its own order.
#[tokio::test]
async fn one_player_does_not_use_up_the_room_of_another() {
    let world = world();
    let (ada, ada_there) = within(world.join("Ada")).await;
    let (bob, bob_there) = within(world.join("Bob")).await;
    for n in 0..300 {
        ada.fire_server(&NUMBER, &n).unwrap();
    }
    settle(&ada).await;
    for n in 0..256 {
        bob.fire_server(&NUMBER, &n).unwrap();
    }
    settle(&bob).await;
    let dropped = |player: &Player| {
        let stats = ledger(&player.stats(), NUMBER.name());
        count_of(&stats.refused, DropCause::EarlyFull)
    };
    assert_eq!((dropped(&ada_there), dropped(&bob_there)), (44, 0));
    let notes = Notes::<(String, u32)>::new();
    let seen = notes.clone();
    world.server.on_server_event(&NUMBER, move |player, n| {
        seen.push((player.name().to_string(), n));
    });
    let seen = notes.wait(512).await;
    for name in ["Ada", "Bob"] {
        let theirs = seen.iter().filter(|(player, _)| player == name);
        assert!(theirs.map(|(_, n)| *n).eq(0..256), "{name}");
    }
}

/// D4: what waits is bounded in bytes as well, over all remotes of the connection.
#[tokio::test]
async fn early_events_are_bounded_in_bytes() {
    let world = world();
    let mut limits = Limits::default();
    limits.held_bytes = 64 * 1024;
    let (ada, player) = join(&world, limits).await;
    let payload = Bytes::from(vec![5; 15 * 1024]);
    for n in 0..10 {
        let args = (n, payload.clone());
        within(world.server.fire_client_async(&player, &CHUNK, &args))
            .await
            .unwrap();
    }
    settle(&ada).await;
    let stats = ledger(&ada.stats(), CHUNK.name());
    assert_eq!(stats.held, 4);
    assert_eq!(count_of(&stats.refused, DropCause::EarlyFull), 6);
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&CHUNK, move |(n, _)| seen.push(n));
    assert_eq!(notes.wait(4).await, [0, 1, 2, 3]);
    // The room has come back.
    fire(&world, &player, 0..200);
    settle(&ada).await;
    assert_eq!(listen(&ada).wait(200).await.len(), 200);
}

/// Design 2.3: inboxes share that bound, and give back what the program takes.
#[tokio::test]
async fn inboxes_are_bounded_in_bytes() {
    let world = world();
    let mut limits = Limits::default();
    limits.held_bytes = 64 * 1024;
    let (ada, player) = join(&world, limits).await;
    let mut inbox = ada.client_events(&CHUNK);
    let payload = Bytes::from(vec![5; 15 * 1024]);
    for round in 0..3 {
        for n in 0..6 {
            let args = (n, payload.clone());
            within(world.server.fire_client_async(&player, &CHUNK, &args))
                .await
                .unwrap();
        }
        settle(&ada).await;
        let taken: Vec<_> = inbox.drain().map(|(n, _)| n).collect();
        assert_eq!(taken, [0, 1, 2, 3], "round {round}");
    }
    let stats = ledger(&ada.stats(), CHUNK.name());
    assert_eq!(count_of(&stats.refused, DropCause::InboxFull), 6);
    assert!(stats.is_balanced());
}

/// R35: unreliable events are not kept; they are dropped and counted.
#[tokio::test]
async fn unreliable_events_do_not_wait() {
    let world = world();
    let (ada, player) = join(&world, Limits::default()).await;
    for n in 0..10 {
        world.server.fire_client(&player, &POSE, &n).unwrap();
    }
    let unheard = || {
        let stats = ada.stats();
        let poses = stats.remotes.iter().find(|stats| stats.remote == "Pose");
        poses.map_or(0, |stats| count_of(&stats.refused, DropCause::Unheard))
    };
    until(|| unheard() > 0).await;
    settle(&ada).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&POSE, move |n| seen.push(n));
    let mut n = 100;
    until(|| {
        world.server.fire_client(&player, &POSE, &n).unwrap();
        n += 1;
        !notes.all().is_empty()
    })
    .await;
    assert!(notes.all().iter().all(|n| *n >= 100));
    assert_eq!(ledger(&ada.stats(), POSE.name()).held, 0);
}

/// Design 2.3: an inbox is a handler like others; opened late it gets what waited.
#[tokio::test]
async fn an_inbox_that_is_opened_late_gets_what_waited() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    fire(&world, &player, 0..100);
    settle(&ada).await;
    let mut inbox = ada.client_events(&NUMBER);
    fire(&world, &player, 100..200);
    settle(&ada).await;
    assert!(inbox.drain().eq(0..200));

    ada.fire_server(&NUMBER, &1).unwrap();
    settle(&ada).await;
    let mut inbox = world.server.server_events(&NUMBER);
    ada.fire_server(&NUMBER, &2).unwrap();
    let first = within(inbox.recv()).await;
    assert_eq!(first, Some((player.clone(), 1)));
    assert_eq!(within(inbox.recv()).await, Some((player, 2)));
}

/// R31: a handler that takes only some, by disconnecting itself, leaves the rest in order.
#[tokio::test]
async fn a_handler_may_leave_half_way_through_what_waited() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    fire(&world, &player, 0..20);
    settle(&ada).await;
    let first = Notes::<u32>::new();
    let seen = first.clone();
    let own = Arc::new(OnceLock::<Subscription>::new());
    let subscription = own.clone();
    let connected = ada.on_client_event(&NUMBER, move |n| {
        seen.push(n);
        if n == 7 {
            subscription.wait().disconnect();
        }
    });
    own.set(connected).unwrap();
    assert!(first.wait(8).await.into_iter().eq(0..8));
    assert!(listen(&ada).wait(12).await.into_iter().eq(8..20));
    assert_eq!(first.all().len(), 8);
}

/// R31: whoever sets the handler, a handler in the middle of the connection's own turn as well. On
/// virtual time, in which nothing else happens that would have the connection look again.
#[tokio::test(start_paused = true)]
async fn a_handler_that_another_handler_sets_hears_at_once_of_what_waited() {
    const START: RemoteEvent<()> = RemoteEvent::new("Start");
    let net = SimNet::new();
    let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"]).unwrap())
        .remotes(&[&NUMBER, &START])
        .network(&net.network(None))
        .start()
        .unwrap();
    let notes = Notes::new();
    let seen = notes.clone();
    server.on_server_event(&START, move |player, ()| {
        let seen = seen.clone();
        player
            .server()
            .on_server_event(&NUMBER, move |_, n| seen.push(n));
    });
    let client = Client::builder("10.0.0.1:4433", Trust::pinned([server.pin()]))
        .network(&net.network(None))
        .connect()
        .await
        .unwrap();
    client.fire_server(&NUMBER, &7).unwrap();
    client.fire_server(&START, &()).unwrap();
    let fired = tokio::time::Instant::now();
    assert_eq!(notes.wait(1).await, [7]);
    let took = fired.elapsed();
    assert!(took < Duration::from_millis(100), "it took {took:?}");
}

/// Others get their turn while it hears of what waited, and what came later stays behind that.
#[tokio::test(start_paused = true)]
async fn a_long_early_queue_is_handed_out_in_turns_and_in_order() {
    const START: RemoteEvent<()> = RemoteEvent::new("Start");
    const SEEN: RemoteFunction<(), u32> = RemoteFunction::new("Seen");
    const EARLY: u32 = 5000;
    for (by_a_handler, later) in [(true, 1000), (true, 1), (false, 1000)] {
        let mut limits = generous();
        limits.early_events = EARLY as usize;
        let net = SimNet::new();
        let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"]).unwrap())
            .remotes(&[&NUMBER, &START, &SEEN, &SETTLE])
            .limits(limits)
            .network(&net.network(None))
            .start()
            .unwrap();
        server.on_server_invoke(&SETTLE, |_, ()| ());
        let mut clients = Vec::new();
        for _ in 0..2 {
            let client = Client::builder("10.0.0.1:4433", Trust::pinned([server.pin()]))
                .network(&net.network(None))
                .connect();
            clients.push(client.await.unwrap());
        }
        let [ada, bob] = clients.try_into().unwrap();
        let notes = Notes::new();
        let seen = Arc::<AtomicU32>::default();
        let count = seen.clone();
        server.on_server_invoke(&SEEN, move |_, ()| count.load(Ordering::SeqCst));
        let listen = {
            let (notes, ada, bob) = (notes.clone(), ada.local_player().id, bob.clone());
            move |server: &Server| {
                let (notes, bob, seen) = (notes.clone(), bob.clone(), seen.clone());
                server.on_server_event(&NUMBER, move |player, n| {
                    notes.push((player.id() == ada, n));
                    seen.fetch_add(u32::from(player.id() == ada), Ordering::SeqCst);
                    if n == 0 {
                        bob.fire_server(&NUMBER, &7).unwrap();
                    }
                });
            }
        };
        let started = listen.clone();
        server.on_server_event(&START, move |player, ()| {
            if by_a_handler {
                started(&player.server());
            }
        });
        let fire = |n| ada.fire_server(&NUMBER, &n).unwrap();
        (0..EARLY).for_each(fire);
        ada.fire_server(&START, &()).unwrap();
        if !by_a_handler {
            settle(&ada).await;
            listen(&server);
        }
        (EARLY..EARLY + later).for_each(fire);
        // A call does not overtake what is still being handed out.
        assert_eq!(ada.invoke_server(&SEEN, &()).await, Ok(EARLY + later));
        let notes = notes.wait((EARLY + later) as usize + 1).await;
        let at = notes.iter().position(|note| *note == (false, 7)).unwrap();
        assert!(at < EARLY as usize, "Bob waited for all of them");
        let hers = notes.iter().filter(|(hers, _)| *hers).map(|(_, n)| *n);
        assert!(hers.eq(0..EARLY + later));
        settle(&ada).await;
        let refused = ledger(&server.players()[0].stats(), NUMBER.name()).refused;
        assert!(refused.is_empty(), "{refused:?}");
    }
}
