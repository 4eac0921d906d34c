//! The run on virtual time: networks in memory, minutes in seconds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use farfire::{
    Client, DisconnectReason, InvokeError, Limits, Player, Server, Timeouts,
    conditioner::{Conditioner, Conditions},
    testing::SimNet,
    tls::{Identity, Pin, Trust},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    books::{Books, Parting},
    remotes::{ALL, ASK, BULK, LOOSE, NOTE, POSE, Shot, TELL, shoot},
    tally::{ALONE, Random, Tally, from_env},
};

/// What all lives of a run share.
#[derive(Clone)]
struct Run {
    net: SimNet,
    server: Server,
    pin: Pin,
    tally: Tally,
    /// Everybody who was ever there.
    players: Arc<Mutex<Vec<Player>>>,
    fates: Arc<Mutex<BTreeMap<Fate, usize>>>,
    calls: usize,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// No packet gets through any more, and the client's handle is dropped.
    Killed,
    /// No packet gets through for longer than the idle timeout.
    CutOff,
    /// No packet gets through for less than half of the idle timeout, which both sides survive; then it leaves.
    Frozen,
    /// It leaves, with everything that it fired.
    Leaves,
    /// Its last handle is dropped in the middle of everything.
    Dropped,
    /// The server throws it out.
    Kicked,
}

#[tokio::test(start_paused = true)]
async fn every_call_resolves_whatever_becomes_of_the_clients() {
    let _alone = ALONE.lock().await;
    let seed = from_env("FARFIRE_CHAOS_SEED", 7);
    let calls = from_env("FARFIRE_CHAOS_CALLS", 2000) as usize;
    println!("FARFIRE_CHAOS_SEED={seed} FARFIRE_CHAOS_CALLS={calls}");
    let net = SimNet::new();
    let players = Arc::<Mutex<Vec<Player>>>::default();
    let everybody = players.clone();
    let mut limits = Limits::default();
    // Those that were killed are still counted, for as long as they are not given up.
    limits.connections_per_address = 10_000;
    let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"]).unwrap())
        .remotes(&ALL)
        .limits(limits)
        .timeouts(timeouts())
        .network(&net.network(None))
        .on_player_added(move |player| everybody.lock().unwrap().push(player))
        .start()
        .unwrap();
    let thoughts = Arc::new(Mutex::new(Random::new(seed)));
    server.on_server_invoke(&ASK, move |_, number| think(thoughts.clone(), number));
    server.on_server_event(&NOTE, |_, _| {});
    server.on_server_event(&LOOSE, |_, _| async {});
    server.on_server_event(&POSE, |_, _| {});
    let _inbox = server.server_events(&BULK);
    let run = Run {
        net,
        pin: server.pin(),
        server,
        tally: Tally::default(),
        players,
        fates: Arc::default(),
        calls,
    };

    let mut lives = JoinSet::new();
    for slot in 0..CLIENTS {
        lives.spawn(live(run.clone(), Random::new(seed + 1000 * (slot + 1))));
    }
    while let Some(life) = lives.join_next().await {
        life.unwrap();
    }

    run.tally.assert_settled(calls);
    println!("faults: {:?}", run.fates.lock().unwrap());
    let gone = async {
        while !run.server.players().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(IDLE * 3, gone)
        .await
        .expect("nobody stays for ever");
    assert_eq!(run.server.stats().joining, 0);
    // QUIC remembers a closed connection for a while. All tasks of a simulation are of one runtime.
    sleep(IDLE).await;
    let left = run.server.leftovers();
    assert_eq!((left.connections, left.seats), (0, 0), "{left:?}");
    assert_eq!((left.addresses, left.links), (0, 0), "{left:?}");
    assert_eq!(left.broadcasts, 0, "{left:?}");
    let players = std::mem::take(&mut *run.players.lock().unwrap());
    assert!(players.len() > CLIENTS as usize);
    for player in &players {
        assert!(!player.is_connected());
        assert_settled(&player.stats());
    }
    run.server.shutdown().await;
}

fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    // After seconds without a packet it takes seconds until QUIC dares to send much again.
    timeouts.leave = Duration::from_secs(30);
    timeouts
}

/// Thinks for a while, or refuses.
async fn think(thoughts: Arc<Mutex<Random>>, number: u32) -> Result<u32, &'static str> {
    let (time, refused) = {
        let mut random = thoughts.lock().unwrap();
        (random.millis(0, 300), random.below(20) == 0)
    };
    sleep(time).await;
    if refused {
        Err("not today")
    } else {
        Ok(number)
    }
}

/// Joins again and again, until there were enough calls.
async fn live(run: Run, mut random: Random) {
    while run.tally.begun() < run.calls {
        let conditioner = Conditioner::new(random.next());
        let weather = Weather::new(&conditioner, &mut random);
        let client = Client::builder("10.0.0.1:4433", Trust::pinned([run.pin]))
            .remotes(&ALL)
            .timeouts(timeouts())
            .network(&run.net.network(Some(&conditioner)))
            .connect()
            .await;
        match client {
            Ok(client) => one_life(&run, client, weather, &mut random).await,
            Err(error) => println!("not joined: {error}"),
        }
    }
}

async fn one_life(run: &Run, client: Client, weather: Weather, random: &mut Random) {
    let thoughts = Arc::new(Mutex::new(random.clone()));
    client.on_client_invoke(&TELL, move |number| think(thoughts.clone(), number));
    client.on_client_event(&NOTE, |_| {});
    client.on_client_event(&LOOSE, |_| async {});
    client.on_client_event(&POSE, |_| {});
    let _inbox = client.client_events(&BULK);
    let id = client.local_player().id;
    let Some(player) = run.server.player(id) else {
        return;
    };
    let (mut calls, over) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
    let caller = (client.clone(), over.clone());
    calls.spawn(ask(run.clone(), caller, random.clone()));
    calls.spawn(tell(run.clone(), player.clone(), random.clone()));

    sleep(random.millis(1000, 8000)).await;
    let fate = match random.below(6) {
        0 => Fate::Killed,
        1 => Fate::CutOff,
        2 => Fate::Frozen,
        3 => Fate::Leaves,
        4 => Fate::Dropped,
        _ => Fate::Kicked,
    };
    *run.fates.lock().unwrap().entry(fate).or_default() += 1;
    let is_dropped = matches!(fate, Fate::Killed | Fate::Dropped);
    let kept = (!is_dropped).then(|| client.clone());
    over.store(is_dropped, Ordering::SeqCst);
    match fate {
        Fate::Killed => weather.stop(),
        Fate::CutOff => {
            weather.stop();
            sleep(IDLE + Duration::from_secs(5)).await;
            weather.resume();
        }
        Fate::Frozen => {
            weather.stop();
            sleep(random.millis(1000, 4900)).await;
            weather.resume();
            // QUIC tries again at intervals that double: by now it has.
            sleep(IDLE / 2).await;
            assert!(
                player.is_connected(),
                "half of the idle timeout is not the end"
            );
            client.leave().await;
        }
        Fate::Leaves => _ = client.leave().await,
        Fate::Dropped => {}
        Fate::Kicked => player.kick("that was it"),
    }
    drop(client);
    let left = player.left().await;
    if fate == Fate::Kicked {
        assert!(matches!(left, DisconnectReason::Kicked { .. }), "{left}");
    }
    while let Some(caller) = calls.join_next().await {
        caller.unwrap();
    }
    assert_told_at_once(run.server.invoke_client(&player, &TELL, &7)).await;
    let Some(client) = kept else {
        return;
    };
    client.disconnected().await;
    assert_told_at_once(client.invoke_server(&ASK, &7)).await;
    assert_settled(&client.stats());
    let (here, there) = (Books::from(&player.stats()), Books::from(&client.stats()));
    let (down, up) = match fate {
        Fate::Leaves | Fate::Frozen if weather.is_fair => (Parting::InOrder, Parting::InOrder),
        // Who is thrown out is not heard any more, and still told.
        Fate::Kicked if weather.is_fair => (Parting::InOrder, Parting::Lost),
        _ => (Parting::Lost, Parting::Lost),
    };
    here.assert_sent_to(&there, down, &format!("down, {fate:?}"));
    there.assert_sent_to(&here, up, &format!("up, {fate:?}"));
}

async fn assert_told_at_once(call: farfire::Invocation<u32>) {
    let began = Instant::now();
    let result = call.await;
    assert!(
        matches!(result, Err(InvokeError::Disconnected { .. })),
        "{result:?}"
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Asks the server and fires at it until the connection is over.
async fn ask(run: Run, (client, over): (Client, Arc<AtomicBool>), mut random: Random) {
    let mut calls = JoinSet::new();
    while client.is_connected() && !over.load(Ordering::SeqCst) {
        let (patience, number) = (random.millis(50, 3000), random.next() as u32);
        let (tally, caller) = (run.tally.clone(), client.clone());
        calls.spawn(async move {
            let call = caller.invoke_server(&ASK, &number).timeout(patience);
            tally.call(call.into_future(), patience).await
        });
        let shot = Shot::any(&mut random);
        let _ = shoot!(shot, |remote, args| client.fire_server(remote, args));
        sleep(random.millis(20, 200)).await;
    }
    if over.load(Ordering::SeqCst) {
        // The calls hold the last handles.
        drop(client);
        while let Some(call) = calls.join_next().await {
            let _ = call.unwrap();
        }
        return;
    }
    client.disconnected().await;
    assert_all_told(calls).await;
}

/// The same for the server and one player.
async fn tell(run: Run, player: Player, mut random: Random) {
    let mut calls = JoinSet::new();
    while player.is_connected() {
        let (patience, number) = (random.millis(50, 3000), random.next() as u32);
        let (tally, server, callee) = (run.tally.clone(), run.server.clone(), player.clone());
        calls.spawn(async move {
            let call = server
                .invoke_client(&callee, &TELL, &number)
                .timeout(patience);
            tally.call(call.into_future(), patience).await
        });
        let shot = Shot::any(&mut random);
        let _ = match random.below(4) {
            0 => shoot!(shot, |remote, args| run
                .server
                .fire_all_clients(remote, args)),
            _ => shoot!(shot, |remote, args| run
                .server
                .fire_client(&player, remote, args)),
        };
        sleep(random.millis(20, 200)).await;
    }
    player.left().await;
    assert_all_told(calls).await;
}

/// The connection is known to be gone: nothing waits any longer.
async fn assert_all_told(mut calls: JoinSet<Result<u32, InvokeError>>) {
    let known = Instant::now();
    while let Some(call) = calls.join_next().await {
        let _ = call.unwrap();
    }
    let late = known.elapsed();
    assert_eq!(late, Duration::ZERO, "a call outlived its connection");
}

/// The network of one client.
struct Weather {
    conditioner: Conditioner,
    usual: Conditions,
    is_fair: bool,
}

impl Weather {
    fn new(conditioner: &Conditioner, random: &mut Random) -> Self {
        let mut usual = Conditions::default();
        usual.delay = random.millis(1, 40);
        usual.jitter = random.millis(0, 10);
        let is_fair = random.below(2) == 0;
        if !is_fair {
            usual.loss = farfire::conditioner::Loss::Random(0.03);
        }
        let weather = Self {
            conditioner: conditioner.clone(),
            usual,
            is_fair,
        };
        weather.resume();
        weather
    }

    fn resume(&self) {
        self.conditioner.set(self.usual.clone(), self.usual.clone());
    }

    fn stop(&self) {
        let nothing = Conditions::new(Duration::ZERO, 1.0);
        self.conditioner.set(nothing.clone(), nothing);
    }
}

/// Clients at a time.
const CLIENTS: u64 = 8;
/// The default idle timeout.
const IDLE: Duration = Duration::from_secs(15);

/// Nothing of a connection that has ended is left, and every event is accounted for.
fn assert_settled(stats: &farfire::LinkStats) {
    assert_eq!((stats.queued_bytes, stats.queued_calls), (0, 0));
    assert_eq!(stats.serving_calls, 0);
    Books::from(stats).assert_closed("one side");
}
