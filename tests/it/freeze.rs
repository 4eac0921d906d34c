//! Overload: a game loop that stands still for half a minute, and a client that is cut off for six
//! seconds, disconnect nobody, delay nobody else, and take no more memory than was said.
//!
//! Once on virtual time, and once in real time with a thread that really sleeps.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use farfire::{
    Client, DropCause, Inbox, InboxOverflow, InvokeError, Limits, Network, Player, RemoteEvent,
    RemoteFunction, Server, UnreliableRemoteEvent,
    conditioner::{Conditioner, Conditions},
    testing::SimNet,
    tls::{Identity, Trust},
};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::world::{count_of, ledger, until, within};

/// For the game loop, which takes them once per tick.
const HIT: RemoteEvent<Bytes> = RemoteEvent::new("Hit");
const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("Pose");
/// Told to everybody at once, by a handler that needs no game loop.
const SAY: RemoteEvent<u32> = RemoteEvent::new("Say");
const HEARD: RemoteEvent<u32> = RemoteEvent::new("Heard");
const ECHO: RemoteFunction<u32, u32> = RemoteFunction::new("Echo");
/// Answered on the program's runtime, which stands still with the game loop.
const THINK: RemoteFunction<(), ()> = RemoteFunction::new("Think");

/// What a game is like, and what was seen of it.
#[derive(Clone, Default)]
struct Game {
    /// The game loop stands still.
    frozen: Arc<AtomicBool>,
    /// The players have had enough.
    over: Arc<AtomicBool>,
    /// Calls that the program answered, and that it was too late for.
    thoughts: Arc<(AtomicUsize, AtomicUsize)>,
    /// The most events that waited for the loop.
    waiting: Arc<AtomicUsize>,
}

/// Round trips of one player, and when they began.
type Trips = Arc<Mutex<Vec<(Instant, Duration)>>>;

/// One player.
struct Seat {
    client: Client,
    player: Player,
    /// How many it has heard of what was said.
    heard: Arc<AtomicUsize>,
    trips: Trips,
}

impl Game {
    /// Starts the server, whose program is the current runtime, and its game loop.
    fn start(&self, address: &str, network: Option<&Network>, block: bool) -> Server {
        let identity = Identity::self_signed(["localhost"]).unwrap();
        let mut server =
            Server::builder(address, identity).remotes(&[&HIT, &POSE, &SAY, &HEARD, &ECHO, &THINK]);
        if let Some(network) = network {
            server = server.network(network);
        }
        let server = server.start().unwrap();
        server.on_server_event(&SAY, |player, n| {
            player.server().fire_all_clients(&HEARD, &n).unwrap();
        });
        server.on_server_invoke(&ECHO, |_, n| n);
        let frozen = self.frozen.clone();
        server.on_server_invoke(&THINK, move |_, ()| {
            let frozen = frozen.clone();
            async move {
                sleep(TICK).await;
                while frozen.load(Ordering::SeqCst) {
                    sleep(TICK).await;
                }
            }
        });
        let hits = server.server_events_with(&HIT, HITS, InboxOverflow::DropNewest);
        let poses = server.server_events_with(&POSE, POSES, InboxOverflow::DropOldest);
        tokio::spawn(self.clone().run_loop(hits, poses, block));
        server
    }

    /// Takes events once per tick, or stands still: if it is to block, with everything on its thread.
    async fn run_loop(
        self,
        mut hits: Inbox<(Player, Bytes)>,
        mut poses: Inbox<(Player, u32)>,
        block: bool,
    ) {
        loop {
            while self.frozen.load(Ordering::SeqCst) {
                match block {
                    true => thread::sleep(TICK),
                    false => sleep(TICK).await,
                }
            }
            self.waiting.fetch_max(hits.len(), Ordering::SeqCst);
            assert!(poses.len() <= POSES);
            hits.drain().for_each(drop);
            poses.drain().for_each(drop);
            sleep(TICK).await;
        }
    }

    /// Plays until it is over.
    async fn play(self, client: Client, trips: Trips) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut calls, mut turn) = (JoinSet::new(), 0);
        let hit = Bytes::from_static(&[7; 100]);
        while !self.over.load(Ordering::SeqCst) {
            tick.tick().await;
            turn += 1;
            client.fire_server(&HIT, &hit).unwrap();
            client.fire_server(&POSE, &turn).unwrap();
            client.fire_server(&SAY, &turn).unwrap();
            let (caller, trips) = (client.clone(), trips.clone());
            calls.spawn(async move {
                let asked = Instant::now();
                if caller.invoke_server(&ECHO, &turn).await == Ok(turn) {
                    trips.lock().unwrap().push((asked, asked.elapsed()));
                }
            });
            if turn % 10 == 0 {
                calls.spawn(think(client.clone(), self.thoughts.clone()));
            }
            while calls.try_join_next().is_some_and(|call| call.is_ok()) {}
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
    }
}

async fn think(client: Client, thoughts: Arc<(AtomicUsize, AtomicUsize)>) {
    let patience = Duration::from_secs(1);
    let thought = match client.invoke_server(&THINK, &()).timeout(patience).await {
        Ok(()) => &thoughts.0,
        Err(InvokeError::Timeout { .. } | InvokeError::Busy { .. }) => &thoughts.1,
        Err(error) => panic!("{error}"),
    };
    thought.fetch_add(1, Ordering::SeqCst);
}

/// Joins; `network` is the way there, if it is not the usual one.
async fn sit_down(server: &Server, network: Option<&Network>) -> Seat {
    let trust = Trust::pinned([server.pin()]);
    let mut client = Client::builder(server.local_addr().to_string(), trust);
    if let Some(network) = network {
        client = client.network(network);
    }
    let client = client.connect().await.unwrap();
    let heard = Arc::<AtomicUsize>::default();
    let counter = heard.clone();
    client.on_client_event(&HEARD, move |_| _ = counter.fetch_add(1, Ordering::SeqCst));
    let player = server.player(client.local_player().id).unwrap();
    Seat {
        client,
        player,
        heard,
        trips: Trips::default(),
    }
}

/// Plays for a while, freezes the loop and cuts off the last player, thaws, and counts.
/// `alone` says that the memory of this process is that of the game.
#[expect(clippy::print_stdout, reason = "figures that one wants to see")]
async fn freeze_and_thaw(
    game: Game,
    server: Server,
    seats: Vec<Seat>,
    weather: &Weather,
    alone: bool,
) {
    let mut players = JoinSet::new();
    for seat in &seats {
        let game = game.clone();
        players.spawn(game.play(seat.client.clone(), seat.trips.clone()));
    }
    sleep(BEFORE).await;

    let (before, began) = (resident(), Instant::now());
    game.frozen.store(true, Ordering::SeqCst);
    let (mut queued, mut grown) = (0, 0);
    let mut cut_off = false;
    while began.elapsed() < FREEZE {
        let now = (CUT_OFF_AT..CUT_OFF_AT + CUT_OFF).contains(&began.elapsed());
        if now != cut_off {
            cut_off = now;
            weather.set(now);
        }
        let waiting = seats.iter().map(|seat| seat.player.stats().queued_bytes);
        queued = queued.max(waiting.max().unwrap());
        grown = grown.max(resident().saturating_sub(before));
        sleep(TICK).await;
    }
    let ended = Instant::now();
    game.frozen.store(false, Ordering::SeqCst);
    sleep(AFTER).await;
    game.over.store(true, Ordering::SeqCst);
    while let Some(player) = players.join_next().await {
        player.unwrap();
    }

    // Nobody was disconnected, and what waited was bounded.
    assert_eq!(server.players().len(), seats.len());
    assert!(seats.iter().all(|seat| seat.client.is_connected()));
    let limits = Limits::default();
    assert!(queued <= limits.outbox_bytes + limits.broadcast_bytes);
    if alone {
        assert!(grown <= seats.len() * most_bytes(&limits), "{grown}");
        println!("memory +{} KiB", grown >> 10);
    }
    assert_eq!(game.waiting.load(Ordering::SeqCst), HITS);
    let (answered, late) = (&game.thoughts.0, &game.thoughts.1);
    assert!(answered.load(Ordering::SeqCst) > 0 && late.load(Ordering::SeqCst) > 0);

    // Nobody else waited longer.
    for (n, seat) in seats[..seats.len() - 1].iter().enumerate() {
        let (calm, frozen) = {
            let trips = seat.trips.lock().unwrap();
            (
                p99(&trips, began - BEFORE, began),
                p99(&trips, began, ended),
            )
        };
        println!("player {n}: p99 {calm:?} before, {frozen:?} while frozen");
        assert!(frozen <= 2 * calm, "{frozen:?}, and {calm:?} before");
    }

    // Every event is accounted for, on both sides, and all that was said has been heard by everybody.
    let said = seats.iter().map(|seat| {
        let stats = ledger(&seat.player.stats(), SAY.name());
        assert_eq!(stats.received, stats.dispatched, "{stats:?}");
        stats.dispatched as usize
    });
    let said: usize = said.sum();
    until(|| {
        let heard = seats.iter().map(|seat| seat.heard.load(Ordering::SeqCst));
        heard.min() == Some(said)
    })
    .await;
    let mut missed = 0;
    for seat in &seats {
        within(seat.client.leave()).await;
        within(seat.player.left()).await;
        let (fired, got) = (seat.client.stats(), seat.player.stats());
        for stats in fired.remotes.iter().chain(&got.remotes) {
            assert!(stats.is_balanced(), "{stats:?}");
            assert_eq!((stats.queued, stats.held), (0, 0), "{stats:?}");
        }
        for remote in [HIT.name(), SAY.name()] {
            let (fired, got) = (ledger(&fired, remote), ledger(&got, remote));
            assert_eq!((fired.accepted, fired.sent), (got.received, got.received));
            let lost = count_of(&got.refused, DropCause::InboxFull);
            assert_eq!(got.dispatched + lost, got.received, "{got:?}");
            missed += lost;
        }
    }
    assert!(missed > 0, "the inbox was to be full");
}

/// The network of the player that is cut off.
struct Weather {
    conditioner: Conditioner,
    usual: Conditions,
}

impl Weather {
    fn new(usual: &Conditions) -> Self {
        let weather = Self {
            conditioner: Conditioner::new(7),
            usual: usual.clone(),
        };
        weather.set(false);
        weather
    }

    fn set(&self, cut_off: bool) {
        let now = match cut_off {
            true => Conditions::new(Duration::ZERO, 1.0),
            false => self.usual.clone(),
        };
        self.conditioner.set(now.clone(), now);
    }
}

/// The 99th percentile of what began in that time: the median over windows of two seconds, as what else
/// the machine does comes and goes.
fn p99(trips: &[(Instant, Duration)], from: Instant, to: Instant) -> Duration {
    let mut windows = BTreeMap::<u64, Vec<Duration>>::new();
    for (at, took) in trips.iter().filter(|(at, _)| (from..to).contains(at)) {
        let window = at.duration_since(from).as_secs() / 2;
        windows.entry(window).or_default().push(*took);
    }
    let quantiles = windows.into_values().map(|mut times| {
        times.sort_unstable();
        times[times.len() * 99 / 100]
    });
    let mut quantiles: Vec<_> = quantiles.collect();
    quantiles.sort_unstable();
    quantiles[quantiles.len() / 2]
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// What one player can make a server hold: the sum that the documentation of `Limits` states.
fn most_bytes(limits: &Limits) -> usize {
    let payloads = 64 + limits.calls_running + limits.calls_queued;
    let quic = 1024 * 1024 + 64 * 1024 + 512 * 1024;
    let waiting = limits.held_bytes + limits.outbox_bytes + limits.broadcast_bytes;
    quic + payloads * limits.payload_from_client + waiting + limits.unreliable_outbox_bytes
}

/// Design 2.8: on virtual time, over 20 ms each way.
#[tokio::test(start_paused = true)]
async fn nobody_pays_for_a_frozen_game_loop_and_a_frozen_client() {
    let (net, game) = (SimNet::new(), Game::default());
    let server = game.start("10.0.0.1:4433", Some(&net.network(None)), false);
    let mut usual = Conditions::new(Duration::from_millis(20), 0.0);
    usual.jitter = Duration::from_millis(5);
    let weathers: Vec<_> = (0..PLAYERS).map(|_| Weather::new(&usual)).collect();
    let mut seats = Vec::new();
    for weather in &weathers {
        let network = net.network(Some(&weather.conditioner));
        seats.push(sit_down(&server, Some(&network)).await);
    }
    freeze_and_thaw(game, server, seats, weathers.last().unwrap(), false).await;
}

/// The same in real time, with a program whose only thread sleeps. Both halves take place one after the other, so
/// it fails where other programs take the cores in one of them: `chrt -r 1` before the command has it go first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes three quarters of a minute, and the machine for itself"]
async fn nobody_pays_for_a_thread_that_sleeps_half_a_minute() {
    let game = Game::default();
    let (send, started) = oneshot::channel();
    let (program, (stop, stopped)) = (game.clone(), oneshot::channel::<()>());
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = program.start("127.0.0.1:0", None, true);
            assert!(send.send(server).is_ok());
            let _ = stopped.await;
        });
    });
    let server = started.await.unwrap();
    let weather = Weather::new(&Conditions::default());
    let network = Network::builder().conditioner(&weather.conditioner);
    let network = network.build().unwrap();
    let mut seats = Vec::new();
    for n in 0..PLAYERS {
        let bad = (n == PLAYERS - 1).then_some(&network);
        seats.push(sit_down(&server, bad).await);
    }
    freeze_and_thaw(game, server, seats, &weather, true).await;
    stop.send(()).unwrap();
    thread.join().unwrap();
}

/// Those whose network is fine, and one.
const PLAYERS: usize = 4;
/// Of players and of the game loop.
const TICK: Duration = Duration::from_millis(100);
/// Events that wait for the loop: fewer than come while it stands still.
const HITS: usize = 512;
const POSES: usize = 64;
const BEFORE: Duration = Duration::from_secs(10);
const FREEZE: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(5);
/// Shorter than the idle timeout, which is at its default.
const CUT_OFF: Duration = Duration::from_secs(6);
const CUT_OFF_AT: Duration = Duration::from_secs(10);
