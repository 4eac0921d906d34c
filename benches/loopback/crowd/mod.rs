//! Many players, in a process of their own so that the server's figures are the server's.
//!
//! One round: a server, a crowd that joins, a rest, broadcasts, and calls without and with broadcasts beside
//! them. The calls are those of one more player in a third process, or they would wait for the crowd's
//! own turns and not for the server's. Three processes that are busy at the same time seldom have a core each, and
//! then wait for the core of whoever has it: where the system allows it, the crowd and the player that calls are kept on
//! the last core (`taskset`), and there the player goes before the crowd (`chrt -r 1`). The server may use every core,
//! with bare quinn and with farfire alike.

use std::{
    io::{BufRead, BufReader, Write, stdin},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Scale, Workload,
    machine::{self, Cpu},
    report::{Sample, percentile},
    throughput::wait_until,
};

mod bare;
mod ours;
mod wake;

macro_rules! sizes {
    ($($name:literal: $players:literal, $bytes:literal B, $hertz:literal Hz, $threads:literal $($busy:ident)?;)*) => {
        [$(Workload {
            name: $name,
            start: |scale| {
                let size = Size {
                    players: $players,
                    bytes: $bytes,
                    hertz: $hertz,
                    threads: $threads,
                    busy: false $(|| stringify!($busy) == "busy")?,
                };
                compare(size, scale)
            },
        }),*]
    };
}

pub(crate) const WORKLOADS: [Workload; 16] = sizes! {
    "1 player": 1, 41 B, 60 Hz, 1;
    "10 players": 10, 41 B, 60 Hz, 1;
    "100 players": 100, 41 B, 60 Hz, 1;
    "1000 players": 1_000, 41 B, 60 Hz, 1;
    "5000 players": 5_000, 41 B, 60 Hz, 1;
    "1000 players, 20 Hz": 1_000, 41 B, 20 Hz, 1;
    "5000 players, 5 Hz": 5_000, 41 B, 5 Hz, 1;
    "100 players, 16 B": 100, 16 B, 60 Hz, 1;
    "100 players, 200 B": 100, 200 B, 60 Hz, 1;
    "100 players, 1000 B": 100, 1_000 B, 60 Hz, 1;
    "100 players, 20 Hz": 100, 41 B, 20 Hz, 1;
    "100 players, 30 Hz": 100, 41 B, 30 Hz, 1;
    "100 players, 2 network threads": 100, 41 B, 60 Hz, 2;
    "1000 players, 2 network threads": 1_000, 41 B, 60 Hz, 2;
    "1 player, busy polling": 1, 41 B, 60 Hz, 1 busy;
    "100 players, busy polling": 100, 41 B, 60 Hz, 1 busy;
};

/// What is broadcast, to how many, and from how many network threads, and whether they poll; bare quinn has
/// one, that sleeps.
#[derive(Clone, Copy)]
struct Size {
    players: usize,
    bytes: usize,
    hertz: u32,
    threads: usize,
    busy: bool,
}

/// Whether a workload is one of those that are only for who asks.
pub(crate) fn is_large(name: &str) -> bool {
    let ours = WORKLOADS.iter().any(|workload| workload.name == name);
    ours && !matches!(name, "10 players" | "100 players")
}

/// The server's half of a round.
trait Hall {
    /// Where the crowd finds it, in words of a command line.
    fn address(&self) -> Vec<String>;
    fn players(&self) -> usize;
    /// Sends to everyone; `timed` unless only instructions count.
    fn broadcast(&self, timed: bool) -> Caller;
}

/// What a broadcast took whoever asked for it.
#[derive(Clone, Copy)]
struct Caller {
    /// Also while somebody else had its processor.
    passed: Duration,
    /// On a processor.
    used: Duration,
}

impl Caller {
    fn of(timed: bool, broadcast: impl FnOnce()) -> Self {
        // Valgrind ends a program that asks.
        let of_this_thread = || match timed {
            true => machine::of_this_thread(),
            false => Duration::ZERO,
        };
        let before = of_this_thread();
        let began = Instant::now();
        broadcast();
        let passed = began.elapsed();
        Self {
            passed,
            used: of_this_thread() - before,
        }
    }
}

/// The figures of one round of one of both.
struct Round {
    joins: f64,
    cpu_per_join: f64,
    memory: f64,
    caller: f64,
    caller_cpu: f64,
    /// For each message that arrived.
    cpu_per_message: f64,
    /// Of a core, in percent, while it broadcasts.
    core: f64,
    arrived: f64,
    quiet: Calls,
    busy: Calls,
}

/// Calls of one more client, in microseconds.
#[derive(Clone, Copy)]
struct Calls {
    p50: f64,
    p99: f64,
}

fn compare(size: Size, scale: Scale) -> Box<dyn FnMut() -> Vec<Sample>> {
    Box::new(move || {
        let (one, two) = (
            round(bare::Quinn::start(size.bytes), size, scale),
            round(
                ours::Farfire::start(size.bytes, size.threads, size.busy),
                size,
                scale,
            ),
        );
        let added = |it: &Round| it.busy.p99 - it.quiet.p99;
        vec![
            Sample::new("joins", "1/s", one.joins, two.joins),
            Sample::new(
                "join, server's cpu",
                "us",
                one.cpu_per_join,
                two.cpu_per_join,
            ),
            Sample::new("idle memory", "KiB/player", one.memory, two.memory),
            Sample::new("broadcast, caller", "us", one.caller, two.caller),
            Sample::new(
                "broadcast, caller's cpu",
                "us",
                one.caller_cpu,
                two.caller_cpu,
            ),
            Sample::alone("waking a thread, cpu", "us", wake::cost()),
            Sample::new(
                "message, server's cpu",
                "us",
                one.cpu_per_message,
                two.cpu_per_message,
            ),
            Sample::new("server's core", "%", one.core, two.core),
            Sample::new("arrived", "%", one.arrived, two.arrived),
            Sample::new("call, quiet p50", "us", one.quiet.p50, two.quiet.p50),
            Sample::new("call, quiet p99", "us", one.quiet.p99, two.quiet.p99),
            Sample::new("call, busy p99", "us", one.busy.p99, two.busy.p99),
            Sample::new("call, added p99", "us", added(&one), added(&two)),
        ]
    })
}

fn round(hall: impl Hall, size: Size, scale: Scale) -> Round {
    let players = size.players;
    let tick = Duration::from_secs(1) / size.hertz;
    let mut crowd = Crowd::start(started_by(&APART), &hall.address(), players);
    let (resting, memory) = (Cpu::now(), machine::resident());
    let began = Instant::now();
    crowd.ask("join");
    wait_until(|| hall.players() == players);
    let (took, cpu) = (began.elapsed(), resting.used());
    thread::sleep(REST);
    let memory = machine::resident() - memory;
    let (before, began) = (Cpu::now(), Instant::now());
    let ticks = scale.of(2 * size.hertz as usize).max(6);
    let mut callers = Vec::with_capacity(ticks);
    broadcast(&hall, ticks, tick, &mut callers);
    let took_broadcasting = began.elapsed();
    thread::sleep(REST);
    let broadcasting = before.used();
    let arrived: usize = crowd.ask("arrived").parse().unwrap();
    // Again with calls beside it, which are not to count as the broadcast's.
    let mut probe = Crowd::start(started_by(&APART_AND_FIRST), &hall.address(), 1);
    probe.ask("join");
    let quiet = probe.calls();
    let busy = thread::scope(|scope| {
        let calls = scope.spawn(|| probe.calls());
        while !calls.is_finished() {
            broadcast(&hall, 6, tick, &mut Vec::new());
        }
        calls.join().unwrap()
    });
    // Before the players, or it would wait for each of them in vain.
    drop(hall);
    let part = |pick: fn(&Caller) -> Duration| {
        let mut parts: Vec<_> = callers.iter().map(pick).collect();
        percentile(&mut parts, 500)
    };
    let each = |cpu: Duration, count: usize| cpu.as_secs_f64() * 1e6 / count as f64;
    Round {
        joins: players as f64 / took.as_secs_f64(),
        cpu_per_join: each(cpu, players),
        memory: memory / players as f64,
        caller: part(|it| it.passed),
        caller_cpu: part(|it| it.used),
        cpu_per_message: each(broadcasting, arrived.max(1)),
        core: broadcasting.as_secs_f64() * 100.0 / took_broadcasting.as_secs_f64(),
        arrived: arrived as f64 * 100.0 / (players * ticks) as f64,
        quiet,
        busy,
    }
}

fn broadcast(hall: &impl Hall, ticks: usize, every: Duration, callers: &mut Vec<Caller>) {
    let began = Instant::now();
    for tick in 1..=ticks {
        callers.push(hall.broadcast(true));
        let next = every * tick as u32;
        thread::sleep(next.saturating_sub(began.elapsed()));
    }
}

/// A crowd that joins and stays, and nothing else: for counting what a join takes and a player holds.
/// Ends the process with all of them there.
pub(crate) fn count(kind: &str, players: usize) -> ! {
    match kind {
        "quinn" => host(&bare::Quinn::start(16), players),
        _ => host(&ours::Farfire::start(16, 1, false), players),
    }
}

/// So many broadcasts to a crowd, each when the one before has arrived, for counting what a message takes.
pub(crate) fn count_broadcasts(kind: &str, times: usize) -> ! {
    match kind {
        "quinn" => tell(&bare::Quinn::start(41), times),
        _ => tell(&ours::Farfire::start(41, 1, false), times),
    }
}

fn tell(hall: &impl Hall, times: usize) -> ! {
    let mut crowd = Crowd::start(started_by(&[]), &hall.address(), TOLD);
    crowd.ask("join");
    wait_until(|| hall.players() == TOLD);
    thread::sleep(2 * REST);
    for time in 1..=times {
        hall.broadcast(false);
        let (began, all) = (Instant::now(), time * TOLD);
        // Some may be lost; and each is to be acknowledged by itself.
        while crowd.ask("arrived").parse::<usize>().unwrap() < all && began.elapsed() < REST {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(20));
    }
    println!("{} messages of {}", crowd.ask("arrived"), hall.address()[0]);
    std::process::exit(0)
}

fn host(hall: &impl Hall, players: usize) -> ! {
    let mut crowd = Crowd::start(started_by(&[]), &hall.address(), players);
    crowd.ask("join");
    wait_until(|| hall.players() == players);
    thread::sleep(2 * REST);
    println!("{players} players of {}", hall.address()[0]);
    // What they hold is what is left at the end.
    std::process::exit(0)
}

/// The other process; it ends with this.
struct Crowd {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Crowd {
    fn start(mut program: Command, address: &[String], players: usize) -> Self {
        let mut process = program
            .arg("--crowd")
            .args(address)
            .arg(players.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut crowd = Self {
            process,
            orders,
            answers,
        };
        assert_eq!(crowd.answer(), "ready");
        crowd
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().into()
    }

    fn calls(&mut self) -> Calls {
        let answer = self.ask("calls");
        let mut figures = answer.split(' ').map(|it| it.parse().unwrap());
        Calls {
            p50: figures.next().unwrap(),
            p99: figures.next().unwrap(),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program once more, by those of these commands that the system knows and allows.
fn started_by(commands: &[fn() -> Option<Vec<String>>]) -> Command {
    let works = |words: &Vec<String>| {
        let mut trial = Command::new(&words[0]);
        trial.args(&words[1..]).arg("true").stderr(Stdio::null());
        trial.status().is_ok_and(|status| status.success())
    };
    let known = commands.iter().filter_map(|command| command());
    let mut words: Vec<String> = known.filter(works).flatten().collect();
    let program = std::env::current_exe().unwrap();
    words.push(program.into_os_string().into_string().unwrap());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// On the last core, if there is another one for the server.
const APART: [fn() -> Option<Vec<String>>; 1] = [on_the_last_core];
/// There as well, before all others.
const APART_AND_FIRST: [fn() -> Option<Vec<String>>; 2] =
    [on_the_last_core, || Some(words(&["chrt", "-r", "1"]))];

fn on_the_last_core() -> Option<Vec<String>> {
    let core = machine::cores().filter(|cores| cores.len() > 1)?.pop()?;
    Some(words(&["taskset", "-c", &core.to_string()]))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().copied().map(String::from).collect()
}

/// What the other process is asked to do; the last player makes the calls.
trait Guests {
    fn join(&mut self, players: usize);
    fn call(&self) -> Duration;
    /// Messages that have come to any of them so far.
    fn arrived(&self) -> usize;
}

/// The other process: `KIND ADDRESS TRUST PLAYERS`.
pub(crate) fn join(arguments: &[String]) {
    let [kind, address, trust, players] = arguments else {
        panic!("a crowd takes four words");
    };
    let address: SocketAddr = address.parse().unwrap();
    let players = players.parse().unwrap();
    match kind.as_str() {
        "quinn" => obey(bare::Crowd::new(address, trust), players),
        _ => obey(ours::Crowd::new(address, trust), players),
    }
}

fn obey(mut guests: impl Guests, players: usize) {
    println!("ready");
    for order in stdin().lines() {
        match order.unwrap().as_str() {
            "join" => {
                guests.join(players);
                println!("joined");
            }
            "arrived" => println!("{}", guests.arrived()),
            _ => {
                let one = |_| {
                    thread::sleep(BETWEEN_CALLS);
                    guests.call()
                };
                // A server that has too much to do would take minutes for all of them.
                let began = Instant::now();
                let in_time = |_: &u32| began.elapsed() < CALLING;
                let mut took: Vec<_> = (0..CALLS).take_while(in_time).map(one).collect();
                println!(
                    "{} {}",
                    percentile(&mut took, 500),
                    percentile(&mut took, 990)
                );
            }
        }
    }
}

/// For what joining leaves behind to settle.
const REST: Duration = Duration::from_millis(500);
/// Who is told something where that is counted.
const TOLD: usize = 200;
const CALLS: u32 = 300;
const CALLING: Duration = Duration::from_secs(3);
const BETWEEN_CALLS: Duration = Duration::from_millis(3);
/// Handshakes under way at a time.
const AT_ONCE: usize = 32;
