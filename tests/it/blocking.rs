//! Programs without a runtime of their own can use everything, and a blocked one harms nobody else.

use std::{
    sync::mpsc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use farfire::{
    BlockError, Client, ConnectError, Delivery, Flush, InvokeError, Player, RemoteEvent,
    RemoteFunction, Server, Timeouts, block_on, block_on_for,
};

use crate::world::{Notes, World, within};

const MOVE: RemoteEvent<u32> = RemoteEvent::new("Move");
const STATE: RemoteEvent<(u32, u32)> = RemoteEvent::new("State");
const ADD: RemoteFunction<(u32, u32), u32> = RemoteFunction::new("Add");
const WHERE: RemoteFunction<(), Vec<String>> = RemoteFunction::new("Where");
const NEVER: RemoteFunction<(), ()> = RemoteFunction::new("Never");

/// What any program can do with a future: poll it, and sleep until it is woken.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "to be done by now");
        thread::park_timeout(left);
    }
}

fn world() -> World {
    World::with(|server| server.remotes(&[&MOVE, &STATE, &ADD, &WHERE, &NEVER]))
}

fn join(world: &World, name: &str) -> (Client, Player) {
    let client = world.client(name).connect_blocking().unwrap();
    let player = world.server.player(client.local_player().id).unwrap();
    (client, player)
}

/// Design 1: start, join, fire, call, wait, leave and stop, all from a plain thread.
#[test]
fn a_program_without_a_runtime_can_use_everything() {
    let world = world();
    let server = &world.server;
    server.on_server_invoke(&ADD, |_, (a, b)| a + b);
    let (ada, player) = join(&world, "Ada");
    ada.on_client_invoke(&ADD, |(a, b)| async move { a * b });
    assert_eq!(ada.invoke_server(&ADD, &(3, 4)).blocking(), Ok(7));
    let call = server.invoke_client(&player, &ADD, &(3, 4));
    assert_eq!(call.blocking(), Ok(12));

    // An event that is there already, and one that comes while it is waited for.
    ada.fire_server(&MOVE, &1).unwrap();
    let next = wait(server.next_server_event(&MOVE));
    assert_eq!(next, Some((player.clone(), 1)));
    let firing = thread::spawn({
        let ada = ada.clone();
        move || ada.fire_server(&MOVE, &2)
    });
    let next = wait(server.next_server_event(&MOVE));
    assert_eq!(next, Some((player.clone(), 2)));
    firing.join().unwrap().unwrap();

    server.fire_all_clients(&STATE, &(1, 2)).unwrap();
    assert_eq!(wait(ada.next_client_event(&STATE)), Some((1, 2)));
    let states = ada.client_events(&STATE);
    wait(server.fire_client_async(&player, &STATE, &(3, 4))).unwrap();
    let mut states = states;
    assert_eq!(wait(states.recv()), Some((3, 4)));
    wait(ada.wait_for_remote(&MOVE)).unwrap();

    let (bo, _) = join(&world, "Bo");
    let players = server.players();
    assert_eq!(players.len(), 2);
    bo.on_client_invoke(&ADD, |(a, b)| a + b);
    let mut calls = server.invoke_clients(&players, &ADD, &(5, 6));
    let mut sums = Vec::new();
    while let Some((_, sum)) = wait(calls.next()) {
        sums.push(sum.unwrap());
    }
    sums.sort_unstable();
    assert_eq!(sums, [11, 30]);

    ada.leave_blocking();
    assert!(!ada.is_connected());
    wait(player.left());
    server.shutdown_blocking();
    assert!(!bo.is_connected() || wait(bo.disconnected()).to_string() == "the server stopped");
    assert!(server.players().is_empty());
}

/// Design 1: a game's own loop, sixty times a second, without a line of async.
#[test]
fn a_game_loop_needs_nothing_but_inboxes_fire_and_flush() {
    let world = World::with(|server| server.remotes(&[&MOVE, &STATE]).flush(Flush::Tick));
    let mut moves = world.server.server_events(&MOVE);
    let client = world.client("Ada").flush(Flush::Tick).connect_blocking();
    let ada = client.unwrap();
    let playing = thread::spawn({
        let ada = ada.clone();
        move || play(&ada)
    });
    let (mut tick, mut position) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while position < MOVES && Instant::now() < deadline {
        for (player, step) in moves.drain() {
            assert_eq!(player.name(), "Ada");
            assert_eq!(step, position + 1, "in order, each once");
            position = step;
        }
        tick += 1;
        world
            .server
            .fire_all_clients(&STATE, &(tick, position))
            .unwrap();
        world.server.flush();
        thread::park_timeout(FRAME);
    }
    assert_eq!(position, MOVES);
    let seen = playing.join().unwrap();
    assert_eq!(seen, MOVES);
    ada.leave_blocking();
    world.server.shutdown_blocking();
}

/// The client's loop: makes a step a frame until it has seen all of them come back.
fn play(ada: &Client) -> u32 {
    let mut states = ada.client_events(&STATE);
    let (mut step, mut seen, mut last) = (0, 0, 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen < MOVES && Instant::now() < deadline {
        for (tick, position) in states.drain() {
            assert!(tick > last && position >= seen, "in order");
            (last, seen) = (tick, position);
        }
        if step < MOVES {
            step += 1;
            ada.fire_server(&MOVE, &step).unwrap();
        }
        ada.flush();
        thread::park_timeout(FRAME);
    }
    seen
}

const MOVES: u32 = 10;
const FRAME: Duration = Duration::from_millis(16);

/// H26: on a runtime's thread, blocking would stall everything else there.
#[tokio::test]
async fn blocking_forms_refuse_on_a_runtime() {
    let world = world();
    world.server.on_server_invoke(&ADD, |_, (a, b)| a + b);
    let (ada, player) = within(world.join("Ada")).await;
    let error = ada.invoke_server(&ADD, &(1, 2)).blocking().unwrap_err();
    assert_eq!(error, InvokeError::WouldBlock);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.is_retry_safe());
    let refused = world.client("Bo").connect_blocking().unwrap_err();
    assert!(matches!(refused, ConnectError::WouldBlock));

    // These only begin, and what they began goes on.
    ada.leave_blocking();
    within(ada.disconnected()).await;
    within(player.left()).await;
    world.server.shutdown_blocking();
    within(world.server.shutdown()).await;
}

/// H26: the network's thread, and those of handlers that wait, are no place to block either.
#[test]
fn blocking_forms_refuse_in_handlers() {
    const TRY: RemoteFunction<bool, (String, String)> = RemoteFunction::new("Try");
    fn attempts(player: &Player) -> (String, String) {
        let call = player.server().invoke_client(player, &NEVER, &());
        let refused = call.blocking().unwrap_err();
        // Neither of them waits.
        player.server().shutdown_blocking();
        (
            refused.to_string(),
            thread::current().name().unwrap().into(),
        )
    }
    for asynchronous in [false, true] {
        let world = World::with(|server| server.remotes(&[&TRY, &NEVER]));
        world
            .server
            .on_server_invoke(&TRY, move |player, later| async move {
                if later {
                    tokio::task::yield_now().await;
                }
                attempts(&player)
            });
        let (ada, _) = join(&world, "Ada");
        // The server stops while it answers: what counts is that neither side hangs.
        match ada.invoke_server(&TRY, &asynchronous).blocking() {
            Ok((refused, thread)) => {
                assert_eq!(refused, InvokeError::WouldBlock.to_string());
                assert_eq!(
                    thread.starts_with("farfire-net-"),
                    !asynchronous,
                    "{thread}"
                );
            }
            Err(error) => assert!(matches!(error, InvokeError::Disconnected { .. }), "{error}"),
        }
        assert_eq!(wait(ada.disconnected()).to_string(), "the server stopped");
    }
}

fn here() -> String {
    let name = thread::current().name().unwrap_or_default().to_owned();
    let runtime = tokio::runtime::Handle::current().id();
    format!("{name} {runtime}")
}

/// A handler that says where it runs, at first, after a wait, and after a wait for time.
async fn places() -> Vec<String> {
    let first = here();
    tokio::task::yield_now().await;
    let second = here();
    tokio::time::sleep(Duration::from_millis(1)).await;
    vec![first, second, here()]
}

fn asked(world: &World) -> Vec<Vec<String>> {
    world.server.on_server_invoke(&WHERE, |_, ()| places());
    let (ada, player) = join(world, "Ada");
    ada.on_client_invoke(&WHERE, |()| places());
    vec![
        ada.invoke_server(&WHERE, &()).blocking().unwrap(),
        world
            .server
            .invoke_client(&player, &WHERE, &())
            .blocking()
            .unwrap(),
    ]
}

/// Design 3: without a runtime of the program's, handlers that wait have one of farfire's, and only
/// their first step is made on the network's thread.
#[test]
fn without_a_runtime_asynchronous_handlers_have_farfires() {
    for places in asked(&world()) {
        assert!(places[0].starts_with("farfire-net-"), "{places:?}");
        assert!(places[1].starts_with("farfire-program"), "{places:?}");
        assert!(places[2].starts_with("farfire-program"), "{places:?}");
    }
}

/// Design 3: with one they run on it, and see it as theirs from the first step on.
#[test]
fn with_a_runtime_asynchronous_handlers_run_on_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("the-program")
        .enable_all()
        .build()
        .unwrap();
    let id = format!(" {}", runtime.handle().id());
    let server_side = {
        let _entered = runtime.enter();
        world()
    };
    server_side
        .server
        .on_server_invoke(&WHERE, |_, ()| places());
    let ada = runtime
        .block_on(server_side.client("Ada").connect())
        .unwrap();
    let player = server_side.server.player(ada.local_player().id).unwrap();
    ada.on_client_invoke(&WHERE, |()| places());
    let up = ada.invoke_server(&WHERE, &()).blocking().unwrap();
    let down = server_side.server.invoke_client(&player, &WHERE, &());
    for places in [up, down.blocking().unwrap()] {
        assert!(
            places.iter().all(|place| place.ends_with(&id)),
            "{places:?}"
        );
        assert!(places[0].starts_with("farfire-net-"), "{places:?}");
        assert!(places[1].starts_with("the-program"), "{places:?}");
        assert!(places[2].starts_with("the-program"), "{places:?}");
    }
}

/// A server and a client on a single-threaded runtime that stands still until the sender is dropped.
fn blocked_program(timeouts: Timeouts) -> (Server, Client, Player, mpsc::Sender<()>) {
    let (give, take) = mpsc::channel();
    let (release, blocked) = mpsc::channel::<()>();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let world =
                World::with(|server| server.remotes(&[&ADD, &NEVER]).timeouts(timeouts.clone()));
            let client = world.client("Ada").timeouts(timeouts);
            let ada = within(client.connect()).await.unwrap();
            let player = world.player(&ada).await;
            give.send((world.server, ada, player)).unwrap();
            // From here on nothing runs on this runtime, and none of its timers fires.
            let _ = blocked.recv();
        });
    });
    let (server, ada, player) = take.recv_timeout(Duration::from_secs(20)).unwrap();
    (server, ada, player, release)
}

/// Design 3: the network does not run on the program's runtime, nor do deadlines, nor keep-alives.
#[test]
fn a_blocked_program_stops_neither_deadlines_nor_keep_alives_nor_answers() {
    let mut timeouts = Timeouts::default();
    timeouts.idle = Duration::from_millis(1500);
    timeouts.keep_alive = Duration::from_millis(200);
    let (server, ada, player, release) = blocked_program(timeouts);
    server.on_server_invoke(&ADD, |_, (a, b)| a + b);
    // Its first step is made; the program's runtime never gets to the others.
    server.on_server_invoke(&NEVER, |_, ()| tokio::task::yield_now());
    ada.on_client_invoke(&NEVER, |()| tokio::task::yield_now());

    // More than the idle timeout in all, in which nothing but keep-alives passes.
    let timeout = Duration::from_millis(1000);
    for call in [
        ada.invoke_server(&NEVER, &()),
        server.invoke_client(&player, &NEVER, &()),
        ada.invoke_server(&NEVER, &()),
    ] {
        let before = Instant::now();
        let error = call.timeout(timeout).blocking().unwrap_err();
        let took = before.elapsed();
        assert!(matches!(error, InvokeError::Timeout { .. }), "{error:?}");
        assert!(took >= timeout && took < timeout * 5, "{took:?}");
    }
    assert!(ada.is_connected() && player.is_connected());
    assert_eq!(ada.invoke_server(&ADD, &(1, 2)).blocking(), Ok(3));
    drop(release);
}

/// Design 3: also a deadline that began on a runtime does not depend on it.
#[test]
fn a_deadline_holds_though_the_runtime_it_began_on_stands_still() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let world = world();
    let (ada, _) = join(&world, "Ada");
    let before = Instant::now();
    let timeout = Duration::from_millis(300);
    let call = ada.invoke_server(&NEVER, &()).timeout(timeout);
    let mut call = call.into_future();
    let begun = runtime.block_on(std::future::poll_fn(|cx| {
        Poll::Ready(call.as_mut().poll(cx).is_pending())
    }));
    assert!(begun);
    let error = wait(call).unwrap_err();
    assert!(matches!(error, InvokeError::Timeout { .. }), "{error:?}");
    assert!(before.elapsed() >= timeout);
    drop(runtime);
}

/// Design 2.10: hooks and handlers of a program without a runtime may be asynchronous, too.
#[test]
fn without_a_runtime_hooks_may_be_asynchronous() {
    let notes = Notes::<String>::new();
    let seen = notes.clone();
    let world = World::with(|server| {
        server
            .authenticate(|join| async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(farfire::Admission::new().name(format!("Dame {}", join.name)))
            })
            .on_player_added(move |player: Player| {
                let notes = seen.clone();
                async move {
                    tokio::task::yield_now().await;
                    notes.push(player.name().to_owned());
                }
            })
    });
    let (ada, _) = join(&world, "Ada");
    assert_eq!(ada.local_player().name, "Dame Ada");
    assert_eq!(wait_for(&notes, 1), ["Dame Ada"]);
}

fn wait_for(notes: &Notes<String>, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while notes.all().len() < count && Instant::now() < deadline {
        thread::park_timeout(Duration::from_millis(1));
    }
    notes.all()
}

/// Design 1: whatever has no blocking form of its own is waited for with `block_on`, on a plain thread
/// and with nothing but this library.
#[test]
fn everything_that_waits_can_be_waited_for_without_a_runtime() {
    const LATE: RemoteEvent<u32> = RemoteEvent::new("Late");
    let patience = Duration::from_secs(20);
    let world = world();
    let server = &world.server;
    let (ada, player) = join(&world, "Ada");
    ada.on_client_invoke(&ADD, |(a, b)| a + b);

    let mut moves = server.server_events(&MOVE);
    let nothing = block_on_for(Duration::from_millis(20), moves.recv());
    let waited = Duration::from_millis(20);
    assert!(matches!(nothing, Err(BlockError::TimedOut { waited: after }) if after == waited));
    ada.fire_server(&MOVE, &3).unwrap();
    let (mover, distance) = block_on_for(patience, moves.recv()).unwrap().unwrap();
    assert_eq!((mover, distance), (player.clone(), 3));

    let firing = thread::spawn({
        let (server, player) = (server.clone(), player.clone());
        move || {
            // Until somebody has listened, as an early event would not be missed but come at once.
            thread::sleep(Duration::from_millis(20));
            server.fire_client(&player, &STATE, &(1, 2)).unwrap();
        }
    });
    let state = block_on_for(patience, ada.next_client_event(&STATE));
    assert_eq!(state, Ok(Some((1, 2))));
    firing.join().unwrap();

    let mut sums = server.invoke_clients([&player], &ADD, &(2, 3));
    assert_eq!(block_on(sums.next()), Ok(Some((player, Ok(5)))));
    assert_eq!(block_on(sums.next()), Ok(None));

    let missing = ada.wait_for_remote_within(&LATE, Duration::from_millis(20));
    assert!(block_on(missing).unwrap().is_err());
    server.declare(&LATE).unwrap();
    assert_eq!(
        block_on_for(patience, ada.wait_for_remote(&LATE)),
        Ok(Ok(()))
    );
    // Longer than any clock goes.
    assert_eq!(block_on_for(Duration::MAX, async { 7 }), Ok(7));
    server.shutdown_blocking();
    assert_eq!(block_on_for(patience, moves.recv()), Ok(None));
}

/// H26: on a thread that others need it refuses, and polls nothing.
#[tokio::test]
async fn block_on_refuses_where_it_would_stall_a_runtime() {
    let polled = std::cell::Cell::new(false);
    let future = || async { polled.set(true) };
    assert_eq!(block_on(future()), Err(BlockError::WouldBlock));
    let error = block_on_for(Duration::ZERO, future()).unwrap_err();
    assert_eq!(error, BlockError::WouldBlock);
    assert!(error.to_string().contains("await the future instead"));
    assert!(!polled.get());

    // In a handler, on the network's thread.
    let world = World::new();
    let notes = Notes::new();
    let seen = notes.clone();
    world
        .server
        .on_server_event(&MOVE, move |_, _| seen.push(block_on(async { 1 })));
    let (ada, _) = world.join("Ada").await;
    ada.wait_for_remote(&MOVE).await.unwrap();
    ada.fire_server(&MOVE, &1).unwrap();
    assert_eq!(notes.wait(1).await, [Err(BlockError::WouldBlock)]);
}
