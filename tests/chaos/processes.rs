//! The run with processes: a server, and clients that are killed, stopped, cut off and sent away.
//!
//! What happens to whom, in which order and for how long, is as random as the seed; when exactly, and
//! what was under way at that moment, is the machine's.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    books::{Books, Parting},
    canary::allowance,
    child::{Census, Process, Reported},
    ground::{Cut, Ground, Way},
    roles::IDLE,
    tally::{ALONE, Random, from_env},
};

/// What may happen to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// SIGKILL, in the middle of everything.
    Killed,
    /// SIGSTOP and SIGCONT, sooner than the idle timeout.
    Frozen,
    /// SIGSTOP and SIGCONT, later than the idle timeout.
    FrozenTooLong,
    /// No packet gets through for less than the idle timeout.
    CutOff,
    /// No packet gets through for more than the idle timeout.
    CutOffTooLong,
    /// It leaves by itself.
    Left,
    /// The server sends it away.
    Kicked,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Killed,
        Self::Frozen,
        Self::FrozenTooLong,
        Self::CutOff,
        Self::CutOffTooLong,
        Self::Left,
        Self::Kicked,
    ];

    /// All of them, in random order.
    fn deck(random: &mut Random) -> Vec<Self> {
        let mut deck = Self::ALL.to_vec();
        for at in (1..deck.len()).rev() {
            deck.swap(at, random.below(at as u64 + 1) as usize);
        }
        deck
    }
}

/// What everybody in a run shares.
struct Run {
    ground: Ground,
    server: Mutex<Process>,
    port: u16,
    pin: String,
    /// Calls that clients reported that are no more.
    past: AtomicUsize,
    faults: Mutex<BTreeMap<Fault, usize>>,
    /// It is time for everybody to leave.
    over: AtomicBool,
}

#[test]
fn every_call_resolves_and_every_event_is_accounted_for_between_processes() {
    let _alone = ALONE.blocking_lock();
    let seed = from_env("FARFIRE_CHAOS_SEED", 7);
    let calls = from_env("FARFIRE_CHAOS_CALLS", 5000) as usize;
    let began = Instant::now();
    let ground = Ground::new(CLIENTS);
    println!(
        "FARFIRE_CHAOS_SEED={seed} FARFIRE_CHAOS_CALLS={calls}, on {}",
        ground.name()
    );
    let role = format!("{} {seed}", ground.listen());
    let server = Process::start(ground.server(), "server::a_server", &role);
    server.wait("started", |reported| reported.at.is_some());
    let (address, pin) = server.reported().at.unwrap();
    let (_, port) = address.rsplit_once(':').unwrap();
    let run = Arc::new(Run {
        port: port.parse().unwrap(),
        pin,
        ground,
        server: Mutex::new(server),
        past: AtomicUsize::new(0),
        faults: Mutex::default(),
        over: AtomicBool::new(false),
    });

    let mut random = Random::new(seed);
    // As many as there will be, to see what a server is left with that nothing happened on.
    let mut there = Reported::default();
    let wave = run.wave(&mut random, |run, client, random| run.peace(client, random));
    for client in wave {
        there.add(client.join().expect("see above"));
    }
    let warm = run.census();
    let wave = run.wave(&mut random, |run, client, random| run.chaos(client, random));
    let enough = || {
        let faults = run.faults.lock().unwrap();
        run.calls() >= calls && faults.len() == Fault::ALL.len()
    };
    let (mut last, mut guard) = (0, Instant::now() + GUARD);
    while !enough() {
        let now = run.calls();
        if now > last {
            (last, guard) = (now, Instant::now() + GUARD);
        }
        assert!(Instant::now() < guard, "{last} calls, and no more");
        let failed = wave.iter().any(thread::JoinHandle::is_finished);
        assert!(!failed, "a client came to harm: see above");
        thread::sleep(Duration::from_millis(20));
    }
    run.over.store(true, Ordering::SeqCst);
    for client in wave {
        there.add(client.join().expect("see above"));
    }
    let left = run.census();
    let run = Arc::into_inner(run).expect("everybody is gone");
    let mut server = run.server.into_inner().unwrap();
    server.order("end");
    let here = server.end();

    let survivors = assert_accounted(&here, &there, &run.faults.lock().unwrap());
    let (mut all, worst) = (there, here.overshoot);
    all.lives.clear();
    all.add(here);
    println!("{} calls: {:?}", all.begun, all.outcomes);
    println!("faults: {:?}", run.faults.lock().unwrap());
    println!(
        "connections: {}, of which {survivors} ended in good order",
        all.lives.len()
    );
    println!(
        "at worst {worst:?} late on the server, {:?} on clients, which were stopped; {:?} later \
         than the canary (allowed: {:?})",
        all.overshoot,
        all.excess,
        allowance()
    );
    let ratio = left.live as f64 / warm.live as f64;
    println!(
        "the server held {} KiB before and {} KiB after ({ratio:.2}), of the system {} and {} KiB",
        warm.live / 1024,
        left.live / 1024,
        warm.resident / 1024,
        left.resident / 1024
    );
    println!("left behind: {:?}", left.counts);
    println!("took {:.0?}", began.elapsed());

    assert!(all.late.is_empty(), "too late: {:#?}", all.late);
    assert!(all.resolved >= calls, "{} resolved", all.resolved);
    for outcome in ["answered", "timed out", "disconnected"] {
        assert!(all.outcomes.contains_key(outcome), "none was {outcome}");
    }
    assert!(survivors >= CLIENTS, "{survivors} survivors");
    for census in [&warm, &left] {
        let counts = &census.counts;
        let rest: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        assert!(rest.is_empty(), "left behind: {rest:?}");
    }
    assert!(
        ratio < MEMORY,
        "the server holds on to what it had of players"
    );
}

/// Holds the books of both sides against each other; gives the connections that ended in good order.
fn assert_accounted(here: &Reported, there: &Reported, faults: &BTreeMap<Fault, usize>) -> usize {
    let (mut survivors, mut lost, mut sums) = (0, 0, (Books::default(), Books::default()));
    for (id, (end, books)) in &here.lives {
        books.assert_closed(&format!("the server, {id} who {end}"));
        lost += usize::from(end == "timed-out");
        sums.0.add(books);
        let Some((farewell, theirs)) = there.lives.get(id) else {
            // It was killed, and took its books along.
            assert_ne!(end, "left", "{id} left without a word");
            continue;
        };
        sums.1.add(theirs);
        theirs.assert_closed(&format!("client {id} who {farewell}"));
        let parting = match (end.as_str(), farewell.as_str()) {
            ("left", "left") => Parting::InOrder,
            _ => Parting::Lost,
        };
        survivors += usize::from(parting == Parting::InOrder);
        // One who is sent away is not heard any more, but is still told.
        let told = match (end.as_str(), farewell.as_str()) {
            ("kicked", "kicked") => Parting::InOrder,
            _ => parting,
        };
        books.assert_sent_to(theirs, told, &format!("to {id} who {end}/{farewell}"));
        theirs.assert_sent_to(books, parting, &format!("from {id} who {end}/{farewell}"));
    }
    for id in there.lives.keys() {
        assert!(here.lives.contains_key(id), "{id} was never there");
    }
    for (whose, books) in [("server", sums.0), ("clients", sums.1)] {
        println!("events of the {whose}: {}", books.summary());
    }
    let count = |fault| faults.get(&fault).copied().unwrap_or(0);
    let deadly = count(Fault::Killed) + count(Fault::FrozenTooLong) + count(Fault::CutOffTooLong);
    assert!(
        lost <= deadly,
        "{lost} were lost, and only {deadly} had a reason"
    );
    survivors
}

impl Run {
    /// Starts as many clients as there are places.
    fn wave(
        self: &Arc<Self>,
        random: &mut Random,
        life: fn(&Self, usize, Random) -> Reported,
    ) -> Vec<thread::JoinHandle<Reported>> {
        let clients = (0..CLIENTS).map(|client| {
            let (run, random) = (self.clone(), Random::new(random.next()));
            thread::spawn(move || life(&run, client, random))
        });
        clients.collect()
    }

    fn start(&self, client: usize, random: &mut Random) -> (Process, Way) {
        let way = self.ground.way(client, self.port);
        let (address, pin, seed) = (way.address(), &self.pin, random.next());
        let role = format!("{address} {pin} {client} {seed}");
        let program = self.ground.client(client);
        (Process::start(program, "client::a_client", &role), way)
    }

    /// A client that nothing happens to.
    fn peace(&self, client: usize, mut random: Random) -> Reported {
        let (process, _way) = self.start(client, &mut random);
        process.wait("called", |reported| reported.resolved > 200);
        self.say_farewell(process)
    }

    /// Clients in one place, one after the other, and what happens to them.
    fn chaos(&self, client: usize, mut random: Random) -> Reported {
        let mut reported = Reported::default();
        let (mut process, mut way) = self.start(client, &mut random);
        let mut deck = Vec::new();
        while !self.over.load(Ordering::SeqCst) {
            if deck.is_empty() {
                deck = Fault::deck(&mut random);
            }
            let fault = deck.pop().expect("it was just filled");
            thread::sleep(random.millis(50, 1000));
            let for_a_while = random.millis(50, 800);
            let for_too_long = IDLE + random.millis(400, 1500);
            let cut = match random.below(2) {
                0 => Cut::Here,
                _ => Cut::There,
            };
            match fault {
                Fault::Killed => {
                    reported.add(self.bury(process.kill()));
                    (process, way) = self.start(client, &mut random);
                }
                Fault::Left => {
                    reported.add(self.say_farewell(process));
                    (process, way) = self.start(client, &mut random);
                }
                Fault::Kicked => {
                    let mut server = self.server.lock().unwrap();
                    server.order(&format!("kick {client}"));
                }
                Fault::Frozen | Fault::FrozenTooLong => {
                    process.signal("STOP");
                    thread::sleep(match fault {
                        Fault::Frozen => for_a_while,
                        _ => for_too_long,
                    });
                    process.signal("CONT");
                }
                Fault::CutOff | Fault::CutOffTooLong => {
                    way.cut(cut);
                    thread::sleep(match fault {
                        Fault::CutOff => for_a_while,
                        _ => for_too_long,
                    });
                    way.mend(cut);
                }
            }
            *self.faults.lock().unwrap().entry(fault).or_default() += 1;
        }
        reported.add(self.say_farewell(process));
        reported
    }

    /// Has a client leave in good order.
    fn say_farewell(&self, mut process: Process) -> Reported {
        process.wait("joined", |reported| reported.is_in);
        process.order("leave");
        self.bury(process.end())
    }

    fn bury(&self, reported: Reported) -> Reported {
        self.past.fetch_add(reported.resolved, Ordering::SeqCst);
        reported
    }

    /// Calls that resolved, as far as is known.
    fn calls(&self) -> usize {
        let server = self.server.lock().unwrap();
        self.past.load(Ordering::SeqCst) + server.ask(|reported| reported.resolved)
    }

    /// What the server holds when nobody is there.
    fn census(&self) -> Census {
        let mut server = self.server.lock().unwrap();
        let before = server.ask(|reported| reported.censuses.len());
        server.order("census");
        server.wait("counted", |reported| reported.censuses.len() > before);
        server.ask(|reported| reported.censuses[before].clone())
    }
}

/// At a time.
const CLIENTS: usize = 5;
/// How much more than before may be allocated after: tables grow to their size once.
const MEMORY: f64 = 1.25;
/// Without a call resolving.
const GUARD: Duration = Duration::from_secs(60);
