//! The server of a run, in a process of its own: it answers, calls every player, fires and broadcasts.

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use farfire::{
    DisconnectReason, InvokeError, Limits, Player, Rate, Server, server::Leftovers, tls::Identity,
};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    books::Books,
    remotes::{ALL, ASK, BULK, LOOSE, NOTE, POSE, SPOT, Shot, TELL, shoot},
    roles::{CALLERS, Known, PACE, ROLE, Reports, orders, patience, say, think, timeouts},
    tally::Random,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role of the run with processes, which starts it"]
async fn a_server() {
    let Ok(role) = env::var(ROLE) else { return };
    let (address, seed) = role.split_once(' ').unwrap();
    let seed: u64 = seed.parse().unwrap();
    let mut orders = orders();
    let reports = Reports::start();
    let mut limits = Limits::default();
    limits.connections_per_address = 10_000;
    limits.events = Rate::per_second(100_000);
    limits.unreliable_events = Rate::per_second(100_000);
    let server = Server::builder(address, Identity::self_signed(["localhost"]).unwrap())
        .remotes(&ALL)
        .limits(limits)
        .timeouts(timeouts())
        .start()
        .unwrap();
    server.on_server_invoke(&ASK, |_, number| think(number));
    server.on_server_event(&NOTE, |_, _| {});
    server.on_server_event(&LOOSE, |_, _| async {});
    server.on_server_event(&POSE, |_, _| {});
    server.on_server_event(&SPOT, |_, _| {});
    let mut bulk = server.server_events(&BULK);
    tokio::spawn(async move { while bulk.recv().await.is_some() {} });
    let playing = Arc::<AtomicUsize>::default();
    let (counted, reported, program) = (playing.clone(), reports.clone(), Handle::current());
    server.on_player_added(move |player| {
        counted.fetch_add(1, Ordering::SeqCst);
        let (counted, reports) = (counted.clone(), reported.clone());
        program.spawn(async move {
            play(player, seed, reports).await;
            counted.fetch_sub(1, Ordering::SeqCst);
        });
    });
    let broadcasts = tokio::spawn(broadcast(server.clone(), Random::new(seed)));
    let empty = server.leftovers();
    say(&format!("at {} {}", server.local_addr(), server.pin()));

    while let Some(order) = orders.recv().await {
        match order.split_once(' ') {
            Some(("kick", name)) => {
                let players = server.players();
                let player = players.iter().rev().find(|player| player.name() == name);
                if let Some(player) = player {
                    player.kick("that was it");
                }
            }
            _ if order == "census" => census(&server, &empty, &playing, &reports).await,
            _ => break,
        }
    }
    broadcasts.abort();
    server.shutdown().await;
    reports.end().await;
}

/// One player's life, as the server sees it.
async fn play(player: Player, seed: u64, reports: Arc<Reports>) {
    let mut random = Random::new(seed ^ player.id().as_u64() << 32);
    let (mut work, known) = (JoinSet::new(), Known::default());
    for _ in 0..CALLERS {
        let caller = (player.clone(), reports.clone(), known.clone());
        work.spawn(tell(caller, Random::new(random.next())));
    }
    work.spawn(fire(player.clone(), Random::new(random.next())));
    let reason = player.left().await;
    known.now();
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }
    let tally = &reports.tally;
    let now = Instant::now();
    let refused = player.server().invoke_client(&player, &TELL, &7).await;
    assert!(
        matches!(refused, Err(InvokeError::Disconnected { .. })),
        "{refused:?}"
    );
    tally.due(now, || "a call to a player known to have left".into());
    let end = match reason {
        DisconnectReason::Left => "left",
        DisconnectReason::Kicked { .. } => "kicked",
        DisconnectReason::TimedOut => "timed-out",
        other => panic!("{player:?} is no enemy: {other}"),
    };
    let stats = player.stats();
    assert_eq!((stats.queued_bytes, stats.queued_calls), (0, 0));
    assert_eq!(stats.serving_calls, 0);
    let id = player.id().as_u64();
    say(&format!("life {id} {end} {}", Books::from(&stats)));
}

/// Calls one player until it is gone.
async fn tell((player, reports, known): (Player, Arc<Reports>, Known), mut random: Random) {
    let (server, tally) = (player.server(), &reports.tally);
    while player.is_connected() {
        let (patience, number) = (patience(&mut random), random.next() as u32);
        let call = server
            .invoke_client(&player, &TELL, &number)
            .timeout(patience);
        let call = tally.call(call.into_future(), patience);
        let result = match random.below(100) {
            0 => {
                let enough = random.millis(1, 20);
                match tokio::time::timeout(enough, call).await {
                    Ok(result) => result,
                    Err(_) => continue,
                }
            }
            _ => call.await,
        };
        known.check(tally);
        if matches!(result, Err(InvokeError::Disconnected { .. })) {
            return;
        }
        if random.one_in(20) {
            sleep(random.millis(1, 30)).await;
        }
    }
}

/// Fires at one player until it is gone.
async fn fire(player: Player, mut random: Random) {
    let server = player.server();
    while player.is_connected() {
        let shot = Shot::any(&mut random);
        let _ = shoot!(shot, |remote, args| server
            .fire_client(&player, remote, args));
        sleep(random.millis(PACE.0, PACE.1)).await;
    }
}

async fn broadcast(server: Server, mut random: Random) {
    loop {
        sleep(random.millis(5, 20)).await;
        let Some(somebody) = server.players().first().cloned() else {
            continue;
        };
        let shot = Shot::any(&mut random);
        let _ = match random.below(4) {
            0 => shoot!(shot, |remote, args| server
                .fire_all_clients_except(&somebody, remote, args)),
            _ => shoot!(shot, |remote, args| server.fire_all_clients(remote, args)),
        };
    }
}

/// Waits for everything to be gone that players brought with them, and says what is left.
async fn census(server: &Server, empty: &Leftovers, playing: &AtomicUsize, reports: &Reports) {
    let is_empty = || {
        server.stats().players == 0
            && server.stats().joining == 0
            && playing.load(Ordering::SeqCst) == 0
            && server.leftovers() == *empty
    };
    let began = Instant::now();
    while !is_empty() && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20)).await;
    }
    let stats = reports.tally.begun() - reports.tally.resolved();
    let (left, players) = (server.leftovers(), server.stats());
    let counts = [
        ("players", players.players + playing.load(Ordering::SeqCst)),
        ("joins", players.joining),
        ("calls", stats),
        ("connections", left.connections),
        ("tasks", left.tasks.abs_diff(empty.tasks)),
        ("seats", left.seats),
        ("addresses", left.addresses),
        ("links", left.links),
        ("broadcasts", left.broadcasts),
    ];
    let counts = counts.map(|(what, count)| format!("{what}={count}"));
    let memory = crate::ALLOCATOR.stats();
    let live = memory.bytes_allocated - memory.bytes_deallocated;
    say(&format!(
        "census {live} {} {}",
        resident(),
        counts.join(" ")
    ));
}

/// Bytes of memory that the system counts as this process's, if it says.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|word| word.parse().ok());
    pages.unwrap_or(0usize) * 4096
}

/// QUIC remembers a closed connection for a while.
const PATIENCE: Duration = Duration::from_secs(30);
