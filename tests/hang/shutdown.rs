//! This side stops, in the middle of everything.

use std::time::Duration;

use farfire::{
    Client, DisconnectReason, InvokeError, Network, Server, Stage,
    tls::{Identity, Trust},
};

use crate::{
    sim::{ASK, Sim, idle, ms, settle, timed},
    states::{STAGES, Stuck, one_at_a_time},
};

/// H22: the server shuts down, whatever its call is waiting for.
#[tokio::test(start_paused = true)]
async fn h22_a_shutdown_ends_a_call_in_every_state() {
    for stage in STAGES {
        let sim = one_at_a_time();
        let stuck = Stuck::at(&sim, stage).await;
        let ((), took) = timed(sim.server.shutdown()).await;
        assert!(took <= SHUTDOWN, "{stage:?}: {took:?}");
        let (result, _) = stuck.call.await.unwrap();
        let reason = DisconnectReason::Shutdown;
        assert_eq!(result, Err(InvokeError::Disconnected { stage, reason }));
        assert_eq!(stuck.player.left().await, DisconnectReason::Shutdown);
        idle(&stuck.player.stats());
    }
}

/// H22: who asks for a shutdown while another is under way waits for it as well.
#[tokio::test(start_paused = true)]
async fn h22_the_second_shutdown_waits_for_the_first() {
    let sim = Sim::new();
    let (_client, _player) = sim.join().await;
    // Handlers are dropped last.
    let captured = std::sync::Arc::new(());
    let weak = std::sync::Arc::downgrade(&captured);
    sim.server.on_server_invoke(&ASK, move |_, n| {
        let _ = &captured;
        n
    });
    let shutdown = || async {
        sim.server.shutdown().await;
        weak.strong_count()
    };
    assert_eq!(tokio::join!(shutdown(), shutdown()), (0, 0));
    let ((), took) = timed(sim.server.shutdown()).await;
    assert!(took <= ms(1), "{took:?}");
}

/// H22: handlers that never return, on both sides, do not hold it up.
#[tokio::test(start_paused = true)]
async fn h22_stuck_handlers_do_not_hold_a_shutdown_up() {
    let sim = Sim::new();
    sim.server
        .on_server_invoke(&ASK, |_, _| std::future::pending::<u32>());
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |_| std::future::pending::<u32>());
    // Sixteen run, the others wait for their turn.
    let up: Vec<_> = (0..40)
        .map(|_| tokio::spawn(timed(client.invoke_server(&ASK, &1).timeout(ms(60_000)))))
        .collect();
    let down: Vec<_> = (0..40)
        .map(|_| {
            let call = sim
                .server
                .invoke_client(&player, &ASK, &1)
                .timeout(ms(60_000));
            tokio::spawn(timed(call))
        })
        .collect();
    settle().await;
    let ((), took) = timed(sim.server.shutdown()).await;
    assert!(took <= SHUTDOWN, "{took:?}");
    for call in up.into_iter().chain(down) {
        let (result, took) = call.await.unwrap();
        let error = result.unwrap_err();
        let InvokeError::Disconnected { reason, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(reason, DisconnectReason::Shutdown);
        assert!(took <= SHUTDOWN + ms(100), "{took:?}");
    }
    idle(&client.stats());
    idle(&player.stats());
}

/// H22: a client leaves under the same circumstances.
#[tokio::test(start_paused = true)]
async fn h22_stuck_handlers_do_not_hold_a_leave_up() {
    let sim = Sim::new();
    sim.server
        .on_server_invoke(&ASK, |_, _| std::future::pending::<u32>());
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |_| std::future::pending::<u32>());
    let up = tokio::spawn(timed(client.invoke_server(&ASK, &1).timeout(ms(60_000))));
    let down = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    let down = tokio::spawn(timed(down));
    settle().await;
    let (_, took) = timed(client.leave()).await;
    assert!(took <= ms(1010), "{took:?}");
    for call in [up, down] {
        let (result, _) = call.await.unwrap();
        let (stage, reason) = (Stage::Wait, DisconnectReason::Left);
        assert_eq!(result, Err(InvokeError::Disconnected { stage, reason }));
    }
    idle(&player.stats());
}

/// H37: the caller's runtime goes away; the callee is told, and nothing is left.
#[test]
fn h37_a_callers_runtime_that_shuts_down_cancels_its_calls() {
    let world = World::new();
    let (begun, began) = std::sync::mpsc::channel();
    let (ended, end) = std::sync::mpsc::channel();
    world.client.on_client_invoke(&ASK, move |_| {
        let (begun, ended) = (begun.clone(), Tells(ended.clone()));
        async move {
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(ended);
            0
        }
    });
    let player = world.server.players().remove(0);
    let caller = runtime();
    let call = world
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    caller.spawn(async move { call.await });
    began.recv_timeout(GUARD).unwrap();
    caller.shutdown_background();
    // The client's handler is dropped, as its caller no longer waits.
    end.recv_timeout(GUARD).unwrap();
    world.client.on_client_invoke(&ASK, |n| n + 1);
    let call = world.server.invoke_client(&player, &ASK, &1);
    assert_eq!(call.blocking(), Ok(2));
    idle(&player.stats());
}

/// H37: the callee's runtime goes away under a handler; the caller hears of it at once.
#[test]
fn h37_a_handlers_runtime_that_shuts_down_answers_its_callers() {
    let program = runtime();
    let world = {
        let _entered = program.enter();
        World::new()
    };
    let (begun, began) = std::sync::mpsc::channel();
    world.server.on_server_invoke(&ASK, move |_, _| {
        let begun = begun.clone();
        async move {
            begun.send(()).unwrap();
            std::future::pending::<u32>().await
        }
    });
    let client = world.client.clone();
    let call = std::thread::spawn(move || {
        let began = std::time::Instant::now();
        let call = client.invoke_server(&ASK, &1).timeout(ms(60_000));
        (call.blocking(), began.elapsed())
    });
    began.recv_timeout(GUARD).unwrap();
    program.shutdown_background();
    let (result, took) = call.join().unwrap();
    let error = result.unwrap_err();
    let InvokeError::Disconnected { stage, reason } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*stage, Stage::Wait);
    assert!(
        matches!(reason, DisconnectReason::Lost { .. }),
        "{reason:?}"
    );
    assert!(took < GUARD, "{took:?}");
    // What needs no runtime still runs.
    world.server.on_server_invoke(&ASK, |_, n| n + 1);
    assert_eq!(world.client.invoke_server(&ASK, &1).blocking(), Ok(2));
}

/// H37: the program lets go of its network while a call is under way.
#[test]
fn h37_a_call_keeps_its_network_until_it_resolves() {
    let world = World::new();
    world
        .server
        .on_server_invoke(&ASK, |_, _| std::future::pending::<u32>());
    let World { server, client } = world;
    let network = Network::new().unwrap();
    let other = Client::builder(
        server.local_addr().to_string(),
        Trust::pinned([server.pin()]),
    )
    .network(&network)
    .connect_blocking()
    .unwrap();
    let call = other.invoke_server(&ASK, &1).timeout(ms(400));
    drop((network, client));
    let waits = std::thread::spawn(move || (call.blocking(), other));
    let (result, _other) = waits.join().unwrap();
    assert!(
        matches!(result, Err(InvokeError::Timeout { .. })),
        "{result:?}"
    );
}

/// A server and a client over loopback, for programs without a runtime.
struct World {
    server: Server,
    client: Client,
}

impl World {
    fn new() -> Self {
        let identity = Identity::self_signed(["localhost"]).unwrap();
        let server = Server::builder("127.0.0.1:0", identity)
            .remotes(&[&ASK])
            .start()
            .unwrap();
        let address = server.local_addr().to_string();
        let pin = server.pin();
        // Blocking, and so on a thread that belongs to no runtime.
        let join = move || Client::builder(address, Trust::pinned([pin])).connect_blocking();
        let client = std::thread::spawn(join).join().unwrap().unwrap();
        Self { server, client }
    }
}

/// Says when it is dropped.
struct Tells(std::sync::mpsc::Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// The grace for the players, and twice the slack for the last packets.
const SHUTDOWN: Duration = ms(2000);
/// Longer than anything here takes, even where both cores are busy.
const GUARD: Duration = Duration::from_secs(30);
