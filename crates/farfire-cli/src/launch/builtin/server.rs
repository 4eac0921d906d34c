//! The built-in server: a world to move in, a chat, a shop, and questions for every player.

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use farfire::{
    DisconnectReason, FireError, Limits, Player, PlayerId, Server, tls::Identity, values::Vector3,
};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    ASK, BUY, CHAT, FIGURES, LONGEST_TEXT, MOVE, Refusal, SAY, SEAT_FIGURES, WORLD, network, say,
    told,
};
use crate::{exit::complain, launch::figures::Seat};

/// Serves until there is no more launcher.
pub(crate) async fn serve() -> ExitCode {
    let result = match open() {
        Ok((server, seats)) => run(&server, &seats).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error, "the playtest cannot do without its server");
            ExitCode::FAILURE
        }
    }
}

/// What the server keeps of each player who is there.
type Seats = Arc<Mutex<HashMap<PlayerId, Arc<Keeping>>>>;

struct Keeping {
    since: Instant,
    position: Mutex<Vector3>,
    gold: Mutex<f64>,
    paid: Mutex<Instant>,
    moves: AtomicU64,
    answered: AtomicU64,
    unanswered: AtomicU64,
}

fn open() -> Result<(Server, Seats), String> {
    let identity = Identity::self_signed(["localhost"]).map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_players = MOST_PLAYERS;
    // All players share one address here.
    limits.connections_per_address = MOST_PLAYERS;
    let seats = Seats::default();
    let (joining, leaving) = (seats.clone(), seats.clone());
    let server = Server::builder("127.0.0.1:0", identity)
        .network(&network()?)
        .remotes(&[&MOVE, &WORLD, &SAY, &CHAT, &BUY, &ASK])
        .limits(limits)
        .on_player_added(move |player: Player| {
            lock(&joining).insert(player.id(), Arc::new(Keeping::new()));
            say(format!("{player} joined"));
        })
        .on_player_removing(move |player: Player, reason: DisconnectReason| {
            lock(&leaving).remove(&player.id());
            say(format!("{player} left: {}", told_as(&reason)));
        })
        .start()
        .map_err(|error| error.to_string())?;
    connect(&server, &seats);
    say(format!(
        "listening: {} {}",
        server.local_addr(),
        server.pin()
    ));
    Ok((server, seats))
}

fn connect(server: &Server, seats: &Seats) {
    let moving = seats.clone();
    server.on_server_event(&MOVE, move |player: Player, position: Vector3| {
        if let Some(keeping) = seat(&moving, &player) {
            *lock(&keeping.position) = position;
            keeping.moves.fetch_add(1, Relaxed);
        }
    });
    server.on_server_event(
        &SAY,
        |player: Player, text: String| -> Result<(), FireError> {
            if text.len() > LONGEST_TEXT {
                return Ok(());
            }
            say(format!("{player}: {text}"));
            let line = (player.name().to_string(), text);
            player.server().fire_all_clients(&CHAT, &line)
        },
    );
    let buying = seats.clone();
    server.on_server_invoke(&BUY, move |player: Player, item: String| {
        let price = match item.as_str() {
            "sword" => 30.0,
            "potion" => 5.0,
            _ => return Err(Refusal::NotForSale),
        };
        let keeping = seat(&buying, &player).ok_or(Refusal::NotEnoughGold)?;
        keeping.pay(price).ok_or(Refusal::NotEnoughGold)
    });
}

async fn run(server: &Server, seats: &Seats) -> Result<(), String> {
    let mut told = told();
    let ticker = |every| {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let (mut worlds, mut questions, mut figures) = (ticker(WORLDS), ticker(ASKS), ticker(FIGURES));
    let mut number = 0;
    loop {
        tokio::select! {
            _ = worlds.tick() => show_world(server, seats)?,
            _ = questions.tick() => {
                number += 1;
                for player in server.players() {
                    if let Some(keeping) = seat(seats, &player) {
                        tokio::spawn(ask(server.clone(), player, keeping, number));
                    }
                }
            }
            _ = figures.tick() => {
                for player in server.players() {
                    if let Some(keeping) = seat(seats, &player) {
                        let line = keeping.figures(&player).to_line();
                        say(format!("{SEAT_FIGURES}{player} {line}"));
                    }
                }
            }
            line = told.recv() => match line {
                Some(line) => follow(server, &line),
                None => return Ok(()),
            },
        }
    }
}

/// Tells everyone where everyone is, in events that fit.
fn show_world(server: &Server, seats: &Seats) -> Result<(), String> {
    let all: Vec<_> = {
        let seats = lock(seats);
        let places = seats.iter();
        places
            .map(|(id, keeping)| (id.as_u64(), *lock(&keeping.position)))
            .collect()
    };
    for some in all.chunks(IN_ONE_WORLD) {
        let fired = server.fire_all_clients(&WORLD, &some.to_vec());
        fired.map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn ask(server: Server, player: Player, keeping: Arc<Keeping>, number: u32) {
    let call = server.invoke_client(&player, &ASK, &number);
    match call.timeout(PATIENCE).await {
        Ok(answer) if answer == number => keeping.answered.fetch_add(1, Relaxed),
        _ => keeping.unanswered.fetch_add(1, Relaxed),
    };
}

fn follow(server: &Server, line: &str) {
    let Some(name) = line.strip_prefix("kick ") else {
        return say(format!("the server knows `kick NAME`, not {line:?}"));
    };
    let mut players = server.players().into_iter();
    match players.find(|player| player.name() == name) {
        Some(player) => player.kick("kicked by the host"),
        None => say(format!("{name} is not here")),
    }
}

impl Keeping {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            position: Mutex::new(Vector3::ZERO),
            gold: Mutex::new(FIRST_GOLD),
            paid: Mutex::new(now),
            moves: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        }
    }

    /// What is left, if there is enough; a player earns something every second.
    fn pay(&self, price: f64) -> Option<u32> {
        let (mut gold, mut paid) = (lock(&self.gold), lock(&self.paid));
        *gold += paid.elapsed().as_secs_f64() * WAGE;
        *paid = Instant::now();
        if *gold < price {
            return None;
        }
        *gold -= price;
        Some(*gold as u32)
    }

    fn figures(&self, player: &Player) -> Seat {
        let stats = player.stats();
        Seat {
            at: self.since.elapsed().as_millis() as u64,
            sent_packets: stats.sent_packets,
            lost_packets: stats.lost_packets,
            moves: self.moves.load(Relaxed),
            answered: self.answered.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
        }
    }
}

fn told_as(reason: &DisconnectReason) -> String {
    match reason {
        DisconnectReason::Kicked { message } => message.clone(),
        DisconnectReason::TimedOut => "nothing was heard of it".into(),
        other => format!("{other}"),
    }
}

fn seat(seats: &Seats, player: &Player) -> Option<Arc<Keeping>> {
    lock(seats).get(&player.id()).cloned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two snapshots of the world.
const WORLDS: Duration = Duration::from_millis(50);
/// Between two questions to everyone.
const ASKS: Duration = Duration::from_secs(2);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// A place takes at most 21 bytes, and an unreliable event holds 1000.
const IN_ONE_WORLD: usize = 40;
/// More than the launcher starts: those who stand still stay for a while.
const MOST_PLAYERS: usize = 128;
const FIRST_GOLD: f64 = 50.0;
/// In gold per second.
const WAGE: f64 = 4.0;
