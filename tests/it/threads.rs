//! What runs where: the network's threads, and what they owe to whom.

use std::{
    cell::RefCell,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use farfire::{
    Client, DisconnectReason, InvokeError, Network, Player, RemoteEvent, RemoteFunction,
    UnreliableRemoteEvent,
};

use crate::world::{Notes, World, until, within};

const EVENT: RemoteEvent<u32> = RemoteEvent::new("Event");
const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Pose");
const CALL: RemoteFunction<(), String> = RemoteFunction::new("Call");

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

async fn called(client: &Client) -> Result<String, InvokeError> {
    let call = client.invoke_server(&CALL, &());
    within(call.into_future()).await
}

/// Design 3: a plain closure runs on the network's thread, without a detour.
#[tokio::test]
async fn plain_handlers_run_on_the_networks_thread() {
    let world = World::with(|server| server.remotes(&[&EVENT, &POSE, &CALL]));
    let notes = Notes::<String>::new();
    let (event, pose) = (notes.clone(), notes.clone());
    world
        .server
        .on_server_event(&EVENT, move |_, _| event.push(thread_name()));
    world
        .server
        .on_server_event(&POSE, move |_, _| pose.push(thread_name()));
    world.server.on_server_invoke(&CALL, |_, ()| thread_name());
    let (ada, player) = within(world.join("Ada")).await;
    let seen = notes.clone();
    ada.on_client_event(&EVENT, move |_| seen.push(thread_name()));
    ada.fire_server(&EVENT, &1).unwrap();
    ada.fire_server(&POSE, &1).unwrap();
    world.server.fire_client(&player, &EVENT, &1).unwrap();
    let mut names = notes.wait(3).await;
    names.push(called(&ada).await.unwrap());
    for name in names {
        assert!(name.starts_with("farfire-net-"), "{name}");
    }
}

/// Design 3: what waits moves to the program's runtime, and keeps nobody waiting.
#[tokio::test]
async fn handlers_that_wait_go_on_on_the_programs_runtime() {
    let world = World::with(|server| server.remotes(&[&EVENT]));
    let program = tokio::runtime::Handle::current().id();
    let notes = Notes::<(String, bool)>::new();
    let seen = notes.clone();
    world.server.on_server_event(&EVENT, move |_, _| {
        let notes = seen.clone();
        async move {
            let at_home = || tokio::runtime::Handle::current().id() == program;
            notes.push((thread_name(), at_home()));
            tokio::time::sleep(Duration::from_millis(1)).await;
            notes.push((thread_name(), at_home()));
        }
    });
    let (ada, _) = within(world.join("Ada")).await;
    ada.fire_server(&EVENT, &1).unwrap();
    let notes = notes.wait(2).await;
    assert!(notes[0].0.starts_with("farfire-net-"), "{notes:?}");
    assert_eq!(notes[1].0, thread_name());
    assert!(notes[0].1 && notes[1].1);
}

/// Design 3: a handler reaches its server through the player, and so makes no cycle.
#[tokio::test]
async fn a_players_server_works_in_handlers_and_keeps_nothing_alive() {
    let world = World::with(|server| server.remotes(&[&EVENT, &CALL]));
    let kept = Notes::new();
    let seen = kept.clone();
    world
        .server
        .on_server_invoke(&CALL, move |player: Player, ()| {
            let server = player.server();
            seen.push((player.clone(), server.clone()));
            server.fire_all_clients(&EVENT, &7).unwrap();
            format!("{} of {}", player, server.players().len())
        });
    let (ada, _) = within(world.join("Ada")).await;
    let mut events = ada.client_events(&EVENT);
    assert_eq!(called(&ada).await, Ok("Ada of 1".into()));
    assert_eq!(within(events.recv()).await, Some(7));

    drop(world);
    assert_eq!(within(ada.disconnected()).await, DisconnectReason::Shutdown);
    // What is left of it in the program's hands does no harm.
    let (player, server) = kept.all().remove(0);
    within(player.left()).await;
    assert!(server.fire_client(&player, &EVENT, &1).is_err());
    server.on_server_event(&EVENT, |_, _| {});
    within(server.shutdown()).await;
    assert!(server.players().is_empty());
}

/// Design 3: players are spread over the threads, stay where they are, and everybody hears
/// everything in order.
#[tokio::test]
async fn several_network_threads_share_the_players() {
    let network = Network::builder().threads(2).build().unwrap();
    let world = World::with(|server| server.remotes(&[&EVENT, &CALL]).network(&network));
    world.server.on_server_invoke(&CALL, |_, ()| thread_name());
    let mut clients = Vec::new();
    for at in 0..4 {
        let client = world.client(&format!("Player {at}"));
        let client = within(client.network(&network).connect()).await.unwrap();
        let inbox = client.client_events(&EVENT);
        clients.push((client, inbox));
    }
    let mut threads = Vec::new();
    for (client, _) in &clients {
        let name = called(client).await.unwrap();
        for _ in 0..5 {
            assert_eq!(called(client).await, Ok(name.clone()), "it moved");
        }
        threads.push(name);
    }
    threads.sort_unstable();
    let (first, second) = ("farfire-net-0", "farfire-net-1");
    assert_eq!(threads, [first, first, second, second]);

    let players = world.server.players();
    for round in 0..50 {
        world.server.fire_all_clients(&EVENT, &(2 * round)).unwrap();
        for player in &players {
            let event = 2 * round + 1;
            world.server.fire_client(player, &EVENT, &event).unwrap();
        }
    }
    for (_, inbox) in &mut clients {
        for number in 0..100 {
            assert_eq!(within(inbox.recv()).await, Some(number));
        }
    }
}

/// Design 3: a plain handler that blocks keeps its own thread busy, and no other. The first thread is
/// the exception, since the socket is read there for all.
#[tokio::test]
async fn a_handler_that_blocks_delays_only_the_players_of_its_thread() {
    let network = Network::builder().threads(2).build().unwrap();
    let world = World::with(|server| server.remotes(&[&EVENT, &CALL]).network(&network));
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let notes = Notes::new();
    let seen = notes.clone();
    world.server.on_server_event(&EVENT, move |_, _| {
        seen.push("blocks");
        let _ = blocked.lock().unwrap().recv();
        seen.push("goes on");
    });
    world.server.on_server_invoke(&CALL, |_, ()| thread_name());
    let (bo, _) = within(world.join("Bo")).await;
    let (ada, _) = within(world.join("Ada")).await;
    assert_eq!(called(&bo).await, Ok("farfire-net-0".into()));
    assert_eq!(called(&ada).await, Ok("farfire-net-1".into()));
    ada.fire_server(&EVENT, &1).unwrap();
    notes.wait(1).await;
    for _ in 0..10 {
        assert!(called(&bo).await.is_ok());
    }
    assert_eq!(notes.all(), ["blocks"]);
    drop(release);
    assert_eq!(notes.wait(2).await, ["blocks", "goes on"]);
    assert!(called(&ada).await.is_ok());
}

/// Design 3: deadlines depend neither on the network's thread nor on a runtime, not even where both
/// sides share the thread that is blocked.
#[test]
fn a_deadline_holds_though_the_networks_thread_is_blocked() {
    let network = Network::new().unwrap();
    let world = World::with(|server| server.remotes(&[&CALL]).network(&network));
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    world.server.on_server_invoke(&CALL, move |_, ()| {
        let _ = blocked.lock().unwrap().recv();
        "late".to_owned()
    });
    let client = world.client("Ada").network(&network);
    let ada = client.connect_blocking().unwrap();
    let timeout = Duration::from_millis(200);
    let before = Instant::now();
    for _ in 0..3 {
        let error = ada.invoke_server(&CALL, &()).timeout(timeout).blocking();
        assert!(
            matches!(error, Err(InvokeError::Timeout { .. })),
            "{error:?}"
        );
    }
    let took = before.elapsed();
    assert!(
        took >= timeout * 3 && took < Duration::from_secs(10),
        "{took:?}"
    );
    drop(release);
    assert_eq!(ada.invoke_server(&CALL, &()).blocking(), Ok("late".into()));
}

/// Rings when its thread ends.
struct Bell(mpsc::Sender<String>);

impl Drop for Bell {
    fn drop(&mut self) {
        // The thread's name may be gone at this point.
        let _ = self.0.send(String::new());
    }
}

thread_local! {
    static BELL: RefCell<Option<Bell>> = const { RefCell::new(None) };
}

/// Plays a little on `network`, lets go of everything, and waits until its threads have ended.
fn plays_and_stops(network: Network, threads: usize) {
    let (send, rung) = mpsc::channel();
    let send = Mutex::new(send);
    let world = World::with(|server| server.remotes(&[&CALL, &EVENT]).network(&network));
    world.server.on_server_invoke(&CALL, move |_, ()| {
        BELL.set(Some(Bell(send.lock().unwrap().clone())));
        thread_name()
    });
    let clients: Vec<_> = (0..threads)
        .map(|at| {
            let client = world.client(&format!("Player {at}")).network(&network);
            client.connect_blocking().unwrap()
        })
        .collect();
    drop(network);
    let mut names: Vec<_> = clients
        .iter()
        .map(|client| client.invoke_server(&CALL, &()).blocking().unwrap())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), threads);
    let mut inboxes: Vec<_> = clients
        .iter()
        .map(|client| client.client_events(&EVENT))
        .collect();
    world.server.fire_all_clients(&EVENT, &1).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while inboxes.iter().any(|inbox| inbox.is_empty()) {
        assert!(Instant::now() < deadline, "a broadcast got lost");
        thread::park_timeout(Duration::from_millis(1));
    }
    assert!(inboxes.iter_mut().all(|inbox| inbox.try_recv() == Some(1)));
    assert!(rung.try_recv().is_err(), "a thread ended too early");
    drop((clients, inboxes, world));
    for _ in 0..threads {
        rung.recv_timeout(Duration::from_secs(20))
            .expect("a thread still runs");
    }
}

/// Design 3: the threads end with the last handle and the last connection.
#[test]
fn the_networks_threads_end_when_nobody_needs_them() {
    plays_and_stops(Network::builder().threads(2).build().unwrap(), 2);
}

/// Design 3: polling instead of sleeping changes nothing but the latency and the cost.
#[test]
fn a_network_that_polls_works_and_stops() {
    let network = Network::builder().busy_poll(true).build().unwrap();
    plays_and_stops(network, 1);
}

/// Design 3: nobody wakes a thread that polls, and it hears of what others fire all the same.
#[tokio::test]
async fn a_network_that_polls_hears_of_what_is_fired_elsewhere() {
    let network = Network::builder().busy_poll(true).build().unwrap();
    let world = World::with(|server| server.network(&network).remotes(&[&EVENT]));
    let (ada, ada_there) = within(world.join("Ada")).await;
    let (notes, server) = (Notes::<u32>::new(), &world.server);
    let seen = notes.clone();
    ada.on_client_event(&EVENT, move |n| seen.push(n));
    for n in [1, 3] {
        server.fire_all_clients(&EVENT, &n).unwrap();
        until(|| notes.all().len() as u32 == n).await;
        server.fire_client(&ada_there, &EVENT, &(n + 1)).unwrap();
        until(|| notes.all().len() as u32 == n + 1).await;
    }
    assert_eq!(notes.all(), [1, 2, 3, 4]);
}
