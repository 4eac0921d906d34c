//! The run with processes: clients that are killed, stopped and continued by the system.

use std::{
    env,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use farfire::{
    Client, InvokeError, Player, Server, Timeouts,
    tls::{Identity, Trust},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::tally::{ASK, Random, TELL, Tally, assert_settled, from_env};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_survives_processes_that_are_killed_and_stopped() {
    let seed = from_env("FARFIRE_CHAOS_SEED", 7);
    let calls = from_env("FARFIRE_CHAOS_CALLS", 2000) as usize;
    println!("FARFIRE_CHAOS_SEED={seed} FARFIRE_CHAOS_CALLS={calls}");
    let everybody = Arc::<Mutex<Vec<Player>>>::default();
    let (tally, over) = (Tally::default(), Arc::new(AtomicBool::new(false)));
    let mut timeouts = Timeouts::default();
    timeouts.idle = Duration::from_secs(2);
    timeouts.keep_alive = Duration::from_millis(500);
    let server = Server::builder("127.0.0.1:0", Identity::self_signed(["localhost"]).unwrap())
        .remotes(&[&ASK, &TELL])
        .timeouts(timeouts)
        .start()
        .unwrap();
    server.on_server_invoke(&ASK, |_, number| async move {
        sleep(Duration::from_millis(u64::from(number % 50))).await;
        number
    });
    let (players, counter, stop) = (everybody.clone(), tally.clone(), over.clone());
    server.on_player_added(move |player| {
        players.lock().unwrap().push(player.clone());
        tokio::spawn(tell(player, counter.clone(), stop.clone()));
    });

    let target = format!("{} {}", server.local_addr(), server.pin());
    let stop = over.clone();
    let count = tally.clone();
    let torment = thread::spawn(move || {
        let enough = || count.begun() >= calls;
        torment(&target, Random::new(seed), enough);
        stop.store(true, Ordering::SeqCst);
    });
    let guard = Instant::now() + Duration::from_secs(120);
    while !torment.is_finished() {
        assert!(Instant::now() < guard, "{} calls", tally.begun());
        sleep(Duration::from_millis(20)).await;
    }
    torment.join().unwrap();

    let players = std::mem::take(&mut *everybody.lock().unwrap());
    for player in &players {
        let left = timeout(Duration::from_secs(20), player.left()).await;
        left.expect("nobody stays for ever");
        let began = Instant::now();
        let result = server.invoke_client(player, &TELL, &7).await;
        assert!(
            matches!(result, Err(InvokeError::Disconnected { .. })),
            "{result:?}"
        );
        assert!(began.elapsed() < Duration::from_millis(500));
    }
    let settled = async {
        while !server.players().is_empty() || tally.is_waiting() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), settled).await.unwrap();
    tally.assert_settled(calls);
    assert!(players.len() > PROCESSES, "{} lives", players.len());
    players
        .iter()
        .for_each(|player| assert_settled(&player.stats()));
    assert_eq!((server.stats().players, server.stats().joining), (0, 0));
    server.shutdown().await;
}

/// Calls one player until it is gone.
async fn tell(player: Player, tally: Tally, over: Arc<AtomicBool>) {
    let mut random = Random::new(player.id().as_u64());
    let mut calls = JoinSet::new();
    while player.is_connected() && !over.load(Ordering::SeqCst) {
        let (patience, number) = (random.millis(50, 1500), random.next() as u32);
        let (callee, tally) = (player.clone(), tally.clone());
        calls.spawn(async move {
            let server = callee.server();
            let call = server
                .invoke_client(&callee, &TELL, &number)
                .timeout(patience);
            tally.call(call.into_future(), patience, SLACK).await
        });
        sleep(random.millis(2, 12)).await;
    }
    while let Some(call) = calls.join_next().await {
        let _ = call.unwrap();
    }
}

/// Starts processes and does things to them, until there is enough of it.
fn torment(target: &str, mut random: Random, enough: impl Fn() -> bool) {
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| Process::start(target)).collect();
    let began = std::time::Instant::now();
    while !enough() || began.elapsed() < LEAST {
        thread::sleep(random.millis(50, 300));
        let at = random.below(PROCESSES as u64) as usize;
        match random.below(4) {
            0 | 1 => processes[at] = Process::start(target),
            // Some of these outlast the idle timeout.
            _ => {
                processes[at].signal("STOP");
                thread::sleep(random.millis(100, 1200));
                if random.below(4) == 0 {
                    thread::sleep(Duration::from_millis(2500));
                }
                processes[at].signal("CONT");
            }
        }
    }
}

/// A client of its own; killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(target: &str) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["processes::a_client", "--exact", "--ignored"])
            .env(ROLE, target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill.args(["-s", name, &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not a word of goodbye.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other side, in a process of its own.
#[tokio::test]
#[ignore = "a role of the test above, which starts it"]
async fn a_client() {
    let Ok(target) = env::var(ROLE) else { return };
    let (address, pin) = target.split_once(' ').unwrap();
    let mut timeouts = Timeouts::default();
    timeouts.idle = Duration::from_secs(2);
    timeouts.keep_alive = Duration::from_millis(500);
    // Whoever is stopped for too long comes back as somebody new.
    loop {
        let client = Client::builder(address, Trust::pinned([pin.parse().unwrap()]))
            .timeouts(timeouts.clone())
            .connect()
            .await;
        let Ok(client) = client else { continue };
        client.on_client_invoke(&TELL, |number| async move {
            sleep(Duration::from_millis(u64::from(number % 50))).await;
            number
        });
        let mut number = 0;
        while client.is_connected() {
            number += 1;
            let _ = client.invoke_server(&ASK, &number).await;
        }
    }
}

const PROCESSES: usize = 4;
/// Where a process finds whom to connect to.
const ROLE: &str = "FARFIRE_CHAOS_TARGET";
/// How long it goes on, however many calls there are.
const LEAST: Duration = Duration::from_secs(10);
/// A quantum of a scheduler that has more to do than it can.
const SLACK: Duration = Duration::from_millis(500);
