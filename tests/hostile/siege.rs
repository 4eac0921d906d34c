//! A siege: a server, an honest player on it, and enemies.
//!
//! War and peace alternate in slices, so that whatever else the machine does falls on both. In peace
//! the packets of the war before are sent again, as many and as large and at the same times, to a
//! socket that throws them away: what is left is what the enemy does to the server.

use std::{
    fs,
    future::{Future, poll_fn},
    io::IoSliceMut,
    net::{Ipv4Addr, UdpSocket},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use farfire::{
    Client, CloseCode, DisconnectReason, DropCause, Limits, LinkStats, Offence, Player,
    RemoteEvent, RemoteFunction, RemoteStats, Server, Timeouts, UnreliableRemoteEvent,
    tls::{Identity, Trust},
};
use quinn::{
    Runtime, TokioRuntime,
    udp::{RecvMeta, Transmit},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::{enemy::Lair, tap::Sent};

pub(crate) const HIT: RemoteEvent<u8> = RemoteEvent::new("Hit");
pub(crate) const POSE: UnreliableRemoteEvent<u8> = UnreliableRemoteEvent::new("Pose");
pub(crate) const ECHO: RemoteFunction<u64, u64> = RemoteFunction::new("Echo");
pub(crate) const NEST: RemoteEvent<Nest> = RemoteEvent::new("Nest");
pub(crate) const UNITS: RemoteEvent<Vec<()>> = RemoteEvent::new("Units");
pub(crate) const NEWS: RemoteEvent<Vec<u8>> = RemoteEvent::new("News");
pub(crate) const SLOW: RemoteFunction<(), ()> = RemoteFunction::new("Slow");
pub(crate) const BLOB: RemoteEvent<Vec<u8>> = RemoteEvent::new("Blob");
pub(crate) const UNHEARD: RemoteEvent<Vec<u8>> = RemoteEvent::new("Unheard");

/// The ids that the server gives them, in this order.
pub(crate) const HIT_ID: u32 = 1;
pub(crate) const POSE_ID: u32 = 2;
pub(crate) const ECHO_ID: u32 = 3;
pub(crate) const NEST_ID: u32 = 4;
pub(crate) const UNITS_ID: u32 = 5;
pub(crate) const SLOW_ID: u32 = 7;
pub(crate) const BLOB_ID: u32 = 8;
pub(crate) const UNHEARD_ID: u32 = 9;
pub(crate) const MISSING_ID: u32 = 10;

/// Something that can be inside itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Nest {
    Empty,
    Nest(Box<Self>),
}

pub(crate) type Raid = Pin<Box<dyn Future<Output = ()>>>;
/// What an enemy does, until its time is over.
pub(crate) type Attack = fn(Lair) -> Raid;

pub(crate) struct Siege {
    pub(crate) server: Server,
    honest: Client,
    /// What became of each enemy, and what its ledger said in the end.
    fates: Arc<Mutex<Vec<Fate>>>,
    offences: Arc<Mutex<Vec<(Offence, u64)>>>,
    slice: Duration,
    /// Bytes in each broadcast.
    news: usize,
    /// Whether others join meanwhile.
    newcomers: bool,
    /// Calls of `Slow` that run, and the most that ever did.
    running: Arc<(AtomicUsize, AtomicUsize)>,
    _alone: MutexGuard<'static, ()>,
}

#[derive(Debug, Clone)]
pub(crate) struct Fate {
    pub(crate) reason: DisconnectReason,
    pub(crate) stats: LinkStats,
}

impl Fate {
    pub(crate) fn remote(&self, name: &str) -> Option<&RemoteStats> {
        self.stats.remotes.iter().find(|stats| stats.remote == name)
    }

    /// Events of the remote that were dropped for this cause.
    pub(crate) fn refused(&self, name: &str, cause: DropCause) -> u64 {
        let drops = self
            .remote(name)
            .into_iter()
            .flat_map(|stats| &stats.refused);
        drops.filter(|(at, _)| *at == cause).map(|(_, n)| n).sum()
    }
}

impl Siege {
    pub(crate) async fn new(change: impl FnOnce(&mut Limits, &mut Timeouts)) -> Self {
        // Sieges of one process would be each other's enemies.
        static ALONE: AsyncMutex<()> = AsyncMutex::const_new(());
        let alone = ALONE.lock().await;
        let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
        change(&mut limits, &mut timeouts);
        let fates = Arc::<Mutex<Vec<Fate>>>::default();
        let offences = Arc::<Mutex<Vec<(Offence, u64)>>>::default();
        let (seen, noted) = (fates.clone(), offences.clone());
        let identity = Identity::self_signed(["localhost"]).unwrap();
        let server = Server::builder("127.0.0.1:0", identity)
            .remotes(&[
                &HIT, &POSE, &ECHO, &NEST, &UNITS, &NEWS, &SLOW, &BLOB, &UNHEARD,
            ])
            .limits(limits)
            .timeouts(timeouts)
            .on_player_removing(move |player, reason| {
                if player.name() == "enemy" {
                    let stats = player.stats();
                    seen.lock().unwrap().push(Fate { reason, stats });
                }
            })
            .on_violation(move |player, offence, count| {
                assert_eq!(player.name(), "enemy");
                noted.lock().unwrap().push((offence, count));
            })
            .start()
            .unwrap();
        server.on_server_event(&HIT, |_, _| {});
        server.on_server_event(&POSE, |_, _| {});
        server.on_server_event(&NEST, |_, _| {});
        server.on_server_event(&UNITS, |_, _| {});
        server.on_server_event(&BLOB, |_, _| {});
        server.on_server_invoke(&ECHO, |_, number| number);
        let running = Arc::<(AtomicUsize, AtomicUsize)>::default();
        let counter = running.clone();
        server.on_server_invoke(&SLOW, move |_, ()| {
            let counter = counter.clone();
            async move {
                let now = counter.0.fetch_add(1, Ordering::SeqCst) + 1;
                counter.1.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
                counter.0.fetch_sub(1, Ordering::SeqCst);
            }
        });
        let honest = join(&server, "honest").await;
        Self {
            server,
            honest,
            fates,
            offences,
            slice: SLICE,
            news: 32,
            newcomers: false,
            running,
            _alone: alone,
        }
    }

    /// Makes each slice last this long.
    pub(crate) fn lasting(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// Has that many bytes in each broadcast.
    pub(crate) fn with_news(mut self, bytes: usize) -> Self {
        self.news = bytes;
        self
    }

    /// Has somebody join in the middle of each war, who must get in.
    pub(crate) fn with_newcomers(mut self) -> Self {
        self.newcomers = true;
        self
    }

    /// Sets an enemy on the server again and again, and sees how the honest player fares.
    pub(crate) async fn run(&self, attack: Attack) -> Report {
        let mut report = Report::default();
        self.live(Duration::from_millis(200), &mut Report::default())
            .await;
        let before = resident();
        for _ in 0..SLICES {
            let lair = Lair::new(self.server.local_addr(), Instant::now() + self.slice);
            let (tap, ends) = (lair.tap.clone(), lair.ends.clone());
            let war = thread::spawn(move || raid(attack, lair));
            let mut times = Report::default();
            self.live(self.slice.mul_f64(0.7), &mut times).await;
            if self.newcomers {
                let joined = tokio::time::timeout(PATIENCE, join(&self.server, "newcomer"));
                joined.await.expect("a newcomer gets in").leave().await;
            }
            self.live(self.slice.mul_f64(0.3), &mut times).await;
            let took = finished(war).await;
            report.war.push(sorted(&mut times.times));
            report.peak = report.peak.max(times.peak);
            report.queued = report.queued.max(times.queued);
            report.serving = report.serving.max(times.serving);
            report.joining = report.joining.max(times.joining);
            report.held = report.held.max(times.held);
            report.ends.append(&mut ends.lock().unwrap());

            let sent = tap.take();
            report.calls += sent.len();
            report.bytes += sent.iter().map(|sent| sent.bytes).sum::<usize>();
            let peace = thread::spawn(move || replay(&sent, took));
            self.live(self.slice, &mut times).await;
            finished(peace).await;
            report.peace.push(sorted(&mut times.times));
        }
        report.grown = report.peak.saturating_sub(before);
        self.settle().await;
        report.most_running = self.running.1.load(Ordering::SeqCst);
        report.fates = self.fates.lock().unwrap().drain(..).collect();
        report.offences = self.offences.lock().unwrap().drain(..).collect();
        println!("{report}");
        report
    }

    /// The honest player plays, for this long.
    async fn live(&self, time: Duration, report: &mut Report) {
        let began = Instant::now();
        let (mut round, mut news) = (0, None);
        while began.elapsed() < time {
            if news.is_none_or(|last: Instant| last.elapsed() >= NEWS_EVERY) {
                news = Some(Instant::now());
                self.server
                    .fire_all_clients(&NEWS, &vec![7; self.news])
                    .unwrap();
                report.look(&self.server);
            }
            round += 1;
            let asked = Instant::now();
            assert_eq!(self.honest.invoke_server(&ECHO, &round).await, Ok(round));
            report.times.push(asked.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the last enemy is gone, whom nobody may have thrown out.
    async fn settle(&self) {
        for player in self.enemies() {
            player.kick("the siege is over");
            let left = tokio::time::timeout(Duration::from_secs(20), player.left());
            left.await.expect("an enemy does not stay for ever");
        }
        // Its hook runs right after.
        while !self.enemies().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(self.honest.is_connected());
        let stats = self.honest.stats();
        assert!(stats.remotes.iter().all(RemoteStats::is_balanced));
    }

    pub(crate) fn enemies(&self) -> Vec<Player> {
        let mut players = self.server.players();
        players.retain(|player| player.name() == "enemy");
        players
    }
}

async fn join(server: &Server, name: &str) -> Client {
    let trust = Trust::pinned([server.pin()]);
    let client = Client::builder(server.local_addr().to_string(), trust).name(name);
    client.connect().await.unwrap()
}

/// Waits for a thread without holding the test's runtime up.
async fn finished<T>(thread: JoinHandle<T>) -> T {
    let guard = Instant::now() + Duration::from_secs(30);
    while !thread.is_finished() {
        assert!(Instant::now() < guard, "a slice that never ends");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    thread.join().expect("an enemy's own checks")
}

/// Attacks, and says how long the attack lasted and how much of a core it took.
fn raid(attack: Attack, lair: Lair) -> (Duration, Duration) {
    let began = Instant::now();
    on_runtime(async {
        attack(lair).await;
        // Their closes are still to leave.
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    (began.elapsed(), processor_time())
}

/// Sends packets like these to a socket that throws them away, and takes as much of a core as the
/// enemy did: it shares the machine with its victim here, which it would not elsewhere.
fn replay(sent: &[Sent], (lasted, took): (Duration, Duration)) {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = sink.local_addr().unwrap();
    sink.set_nonblocking(true).unwrap();
    let sinking = thread::spawn(move || on_runtime(sink_all(sink)));
    let zeros = vec![0; sent.iter().map(|sent| sent.bytes).max().unwrap_or(0)];
    let share = took.as_secs_f64() / lasted.as_secs_f64();
    on_runtime(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = TokioRuntime.wrap_udp_socket(socket).unwrap();
        let began = Instant::now();
        let mut sent = sent.iter().peekable();
        while began.elapsed() < lasted {
            let due = |sent: &&Sent| sent.at <= began.elapsed();
            if let Some(one) = sent.next_if(due) {
                let transmit = Transmit {
                    destination: to,
                    ecn: None,
                    contents: &zeros[..one.bytes],
                    segment_size: one.segment,
                    src_ip: None,
                };
                while sender.try_send(&transmit).is_err() {
                    tokio::task::yield_now().await;
                }
            } else if processor_time() < began.elapsed().mul_f64(share) {
                // As an enemy that encrypts.
                (0..1000).for_each(|_| std::hint::spin_loop());
            } else {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
    });
    // One of a length that no other has is the last.
    let last = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    while !sinking.is_finished() {
        let _ = last.send_to(&LAST, to);
        thread::sleep(Duration::from_millis(1));
    }
}

/// What this thread has had of a core.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

async fn sink_all(sink: UdpSocket) {
    let sink = TokioRuntime.wrap_udp_socket(sink).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    poll_fn(|cx| {
        loop {
            let mut metas = [RecvMeta::default()];
            let mut buffers = [IoSliceMut::new(&mut buffer)];
            match sink.poll_recv(cx, &mut buffers, &mut metas) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) if metas[0].len == LAST.len() => return Poll::Ready(()),
                Poll::Ready(_) => {}
            }
        }
    })
    .await;
}

fn on_runtime(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work);
}

/// Bytes of memory that this process has, enemies included.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// What a siege did to the honest player, to the server and to the enemies.
#[derive(Default)]
pub(crate) struct Report {
    times: Vec<Duration>,
    /// Round trips of the honest player, sorted, in each slice.
    war: Vec<Vec<Duration>>,
    peace: Vec<Vec<Duration>>,
    peak: usize,
    grown: usize,
    /// The most that the server ever had waiting for one enemy.
    pub(crate) queued: usize,
    pub(crate) serving: usize,
    pub(crate) joining: usize,
    /// The most events of one remote that it kept for one enemy.
    pub(crate) held: u64,
    /// The most calls of one siege's enemies that ever ran at the same time.
    pub(crate) most_running: usize,
    /// With which codes enemies were thrown out.
    pub(crate) ends: Vec<CloseCode>,
    pub(crate) fates: Vec<Fate>,
    pub(crate) offences: Vec<(Offence, u64)>,
    calls: usize,
    bytes: usize,
}

impl Report {
    fn look(&mut self, server: &Server) {
        self.peak = self.peak.max(resident());
        self.joining = self.joining.max(server.stats().joining);
        for player in server.players() {
            if player.name() == "enemy" {
                let stats = player.stats();
                self.queued = self.queued.max(stats.queued_bytes);
                self.serving = self.serving.max(stats.serving_calls);
                for remote in &stats.remotes {
                    self.held = self.held.max(remote.held);
                }
            }
        }
    }

    /// The honest player noticed next to nothing, and memory stayed below `most` MiB more.
    pub(crate) fn assert_contained(&self, most: usize) {
        for share in [0.95, 0.99] {
            let (war, peace) = (at_best(&self.war, share), at_best(&self.peace, share));
            assert!(
                war < 2 * peace + ALLOWANCE,
                "of {share} of the round trips: {war:?}, without the attack {peace:?}"
            );
        }
        assert!(
            self.grown < most << 20,
            "memory grew by {} KiB",
            self.grown >> 10
        );
        for fate in &self.fates {
            for stats in &fate.stats.remotes {
                assert!(stats.is_balanced(), "{stats:?}");
                assert_eq!((stats.queued, stats.held), (0, 0), "{stats:?}");
            }
            assert_eq!(fate.stats.serving_calls, 0);
        }
        for (offence, count) in &self.offences {
            assert!(count.is_power_of_two(), "{offence} {count}");
        }
    }

    /// Every enemy was thrown out, with this code.
    pub(crate) fn assert_thrown_out(&self, code: CloseCode) {
        assert!(!self.ends.is_empty(), "nobody was thrown out");
        assert!(self.ends.iter().all(|end| *end == code), "{:?}", self.ends);
        let reason = DisconnectReason::Violation { code };
        assert!(self.fates.iter().any(|fate| fate.reason == reason));
    }

    /// How many enemies there were whose events of the remote were dropped for this cause.
    pub(crate) fn dropped(&self, remote: &str, cause: DropCause) -> u64 {
        self.fates
            .iter()
            .map(|fate| fate.refused(remote, cause))
            .sum()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, slices) in [("peace", &self.peace), ("war", &self.war)] {
            let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| at_best(slices, share));
            let count: usize = slices.iter().map(Vec::len).sum();
            writeln!(
                f,
                "{name}: {count} trips, p50 {p50:?}, p95 {p95:?}, p99 {p99:?} at best"
            )?;
        }
        Ok(())
    }
}

/// The quantile in the slice where it is least: whatever else the machine does only adds to it, an
/// attack that works does so in every slice.
fn at_best(slices: &[Vec<Duration>], share: f64) -> Duration {
    let at = |slice: &Vec<Duration>| slice.get((slice.len() as f64 * share) as usize).copied();
    slices.iter().filter_map(at).min().unwrap_or(Duration::MAX)
}

fn sorted(times: &mut Vec<Duration>) -> Vec<Duration> {
    let mut times = std::mem::take(times);
    times.sort_unstable();
    times
}

/// Alternations of war and peace.
const SLICES: u32 = 5;
/// How long each lasts, unless told otherwise: about a hundred round trips.
const SLICE: Duration = Duration::from_millis(250);
/// How long a newcomer may take to get in: a Retry, and a queue at the door.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two broadcasts, and looks at what enemies take up.
const NEWS_EVERY: Duration = Duration::from_millis(10);
/// Between two round trips of the honest player.
const PAUSE: Duration = Duration::from_millis(1);
/// What a scheduler with fewer cores than threads adds to a round trip now and then.
const ALLOWANCE: Duration = Duration::from_millis(20);
/// Marks the end of a replay: no packet of QUIC is so short.
const LAST: [u8; 3] = [0; 3];
