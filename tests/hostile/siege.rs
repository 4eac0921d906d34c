//! A siege: a server in this process, an honest player in a second one, and enemies in a third.
//!
//! Without more, there is one war. With `FARFIRE_HOSTILE_ROUNDS` war and peace alternate as often as it
//! says, so that whatever else the machine does falls on both: in peace the enemies send the packets of
//! the war before again, as many and as large and at the same times, from the same core, to a socket
//! that throws them away. What is left is what they do to the server.

use std::{
    future::poll_fn,
    io::IoSliceMut,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread::{self, JoinHandle},
    time::Duration,
};

use farfire::{
    FireError, Limits, Offence, Player, RemoteEvent, RemoteFunction, Server, Timeouts,
    UnreliableRemoteEvent, tls::Identity,
};
use quinn::{Runtime, TokioRuntime, udp::RecvMeta};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard},
    time::MissedTickBehavior,
};

use crate::{
    camp::on_runtime,
    process::{Party, Process, rounds, runs_alone},
    report::{Fate, Report, resident},
};

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

pub(crate) struct Siege {
    pub(crate) server: Server,
    honest: AsyncMutex<Process>,
    /// What became of each enemy, and what its ledger said in the end.
    fates: Arc<Mutex<Vec<Fate>>>,
    offences: Arc<Mutex<Vec<(Offence, u64)>>>,
    slice: Duration,
    /// Bytes in each broadcast.
    news: usize,
    /// Whether others join meanwhile.
    newcomers: bool,
    /// How many enemies have to be thrown out before a war is over.
    least: usize,
    /// Calls of `Slow` that run, and the most that ever did.
    running: Arc<(AtomicUsize, AtomicUsize)>,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Siege {
    /// A siege in this process; `None` if it has taken place in a process of its own, where no other
    /// has left memory behind that would hide what this one takes.
    pub(crate) async fn new(change: impl FnOnce(&mut Limits, &mut Timeouts)) -> Option<Self> {
        // Where times are compared, sieges of one machine would be each other's enemies.
        static ALONE: AsyncMutex<()> = AsyncMutex::const_new(());
        let alone = match rounds() {
            0 => None,
            _ => Some(ALONE.lock().await),
        };
        if runs_alone() {
            return None;
        }
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
        let door = format!("{} {}", server.local_addr(), server.pin());
        let mut honest = Process::start("honest::player", Party::Honest, &door);
        honest.said("joined").await;
        Some(Self {
            server,
            honest: AsyncMutex::new(honest),
            fates,
            offences,
            slice: if rounds() == 0 { SKIRMISH } else { SLICE },
            news: 32,
            newcomers: false,
            least: 0,
            running,
            _alone: alone,
        })
    }

    /// Makes each slice last at least this long.
    pub(crate) fn lasting(mut self, slice: Duration) -> Self {
        self.slice = self.slice.max(slice);
        self
    }

    /// Has each war go on, if need be, until that many enemies were thrown out.
    pub(crate) fn until_thrown_out(mut self, least: usize) -> Self {
        self.least = least;
        self
    }

    /// Has that many bytes in each broadcast.
    pub(crate) fn with_news(mut self, bytes: usize) -> Self {
        self.news = bytes;
        self
    }

    /// Has somebody join in the middle of each war, who must get in; in peace as well, as honest
    /// handshakes are not the enemies' doing.
    pub(crate) fn with_newcomers(mut self) -> Self {
        self.newcomers = true;
        self
    }

    /// Sets enemies on the server, and sees how the honest player fares.
    pub(crate) async fn run(&self, attack: &str) -> Report {
        let mut report = Report::new(attack);
        let mut honest = self.honest.lock().await;
        let role = format!("{attack} {} {}", self.server.local_addr(), self.least);
        let mut camp = Process::start("camp::enemies", Party::Enemies, &role);
        camp.said("ready").await;
        let unnoted = &mut Report::new(attack);
        self.slice("warm-up", &mut honest, None, unnoted).await;
        let before = resident();
        let (wanted, mut fought) = (rounds() as usize, 0);
        // Longer on a machine that does much else, as each side is judged by the better half of its rounds.
        while fought < wanted.max(1) || (fought < 3 * wanted && !report.is_calm()) {
            fought += 1;
            camp.tell(&format!("war {}", self.slice.as_millis()));
            let word = if self.newcomers { "welcome" } else { "play" };
            let said = Some((&mut camp, "war"));
            let (times, war) = self.slice(word, &mut honest, said, &mut report).await;
            report.war.push(times);
            report.note_war(&war);
            if rounds() > 0 {
                let (sink, sinking) = sink();
                camp.tell(&format!("peace {sink}"));
                let (said, peace) = (Some((&mut camp, "peace")), &mut Report::new(attack));
                let (times, _) = self.slice(word, &mut honest, said, peace).await;
                report.peace.push(times);
                drain(sink, &sinking);
            }
        }
        report.grown = report.peak.saturating_sub(before);
        camp.end().await;
        self.settle(&mut honest).await;
        report.most_running = self.running.1.load(Ordering::SeqCst);
        report.fates = self.fates.lock().unwrap().drain(..).collect();
        report.offences = self.offences.lock().unwrap().drain(..).collect();
        println!("\n{report}");
        report
    }

    /// The honest player plays for a slice, and the enemies until they say that word; gives the round
    /// trips, sorted, and what the enemies said.
    async fn slice(
        &self,
        word: &str,
        honest: &mut Process,
        camp: Option<(&mut Process, &str)>,
        report: &mut Report,
    ) -> (Vec<Duration>, String) {
        let time = match word {
            "warm-up" | "farewell" => MOMENT,
            _ => self.slice,
        };
        honest.tell(&format!("{word} {}", time.as_millis()));
        let camp = async {
            match camp {
                Some((camp, word)) => camp.said(word).await,
                None => String::new(),
            }
        };
        let mut both = pin!(async { tokio::join!(honest.said("times"), camp) });
        let mut news = tokio::time::interval(NEWS_EVERY);
        news.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (times, said) = loop {
            tokio::select! {
                both = &mut both => break both,
                _ = news.tick() => {
                    self.tell_news();
                    report.look(&self.server);
                }
            }
        };
        let micros = times.split(' ').map(|time| time.parse().unwrap());
        let mut times: Vec<_> = micros.map(Duration::from_micros).collect();
        times.sort_unstable();
        (times, said)
    }

    /// As fast as the honest player reads, however slow the machine makes that.
    fn tell_news(&self) {
        let mut honest = self.server.players();
        honest.retain(|player| player.name() == "honest");
        if honest
            .iter()
            .all(|player| player.stats().queued_bytes <= self.news)
        {
            let news = vec![7; self.news];
            match self.server.fire_all_clients(&NEWS, &news) {
                // Nobody has handed the last ones on yet.
                Ok(()) | Err(FireError::QueueFull { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until the last enemy is gone, whom nobody may have thrown out.
    async fn settle(&self, honest: &mut Process) {
        for player in self.enemies() {
            player.kick("the siege is over");
            let left = tokio::time::timeout(Duration::from_secs(20), player.left());
            left.await.expect("an enemy does not stay for ever");
        }
        // Its hook runs right after.
        while !self.enemies().is_empty() {
            tokio::task::yield_now().await;
        }
        // The honest player is still there, and is answered.
        self.slice("farewell", honest, None, &mut Report::new(""))
            .await;
    }

    pub(crate) fn enemies(&self) -> Vec<Player> {
        let mut players = self.server.players();
        players.retain(|player| player.name() == "enemy");
        players
    }
}

/// A socket that throws away what it gets.
fn sink() -> (SocketAddr, JoinHandle<()>) {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = sink.local_addr().unwrap();
    sink.set_nonblocking(true).unwrap();
    (address, thread::spawn(move || on_runtime(sink_all(sink))))
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

/// Ends a sink.
fn drain(sink: SocketAddr, sinking: &JoinHandle<()>) {
    let last = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    while !sinking.is_finished() {
        let _ = last.send_to(&LAST, sink);
        thread::sleep(Duration::from_millis(1));
    }
}

/// How long a war lasts that is not held against peace.
const SKIRMISH: Duration = Duration::from_millis(300);
/// How long each slice lasts where it is: some hundreds of round trips.
const SLICE: Duration = Duration::from_millis(600);
/// How long there is peace before and after.
const MOMENT: Duration = Duration::from_millis(50);
/// Between two broadcasts, and looks at what enemies take up.
const NEWS_EVERY: Duration = Duration::from_millis(10);
/// Marks the end of a replay: no packet of QUIC is so short.
const LAST: [u8; 3] = [0; 3];
