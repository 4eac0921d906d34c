//! The built-in bot: moves all the time, talks now and then, shops, and answers what it is asked.

use std::{
    env,
    f32::consts::TAU,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use farfire::{
    Client, DisconnectReason,
    tls::{Pin, Trust},
    values::Vector3,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, interval_at},
};

use super::{ASK, BOT_FIGURES, BUY, CHAT, FIGURES, MOVE, SAY, WORLD, network, say, told};
use crate::{exit::complain, launch::figures::Bot};

/// Plays until there is no more launcher, or the server is not there any more.
pub(crate) async fn play() -> ExitCode {
    let client = match join().await {
        Ok(client) => client,
        Err(error) => {
            complain(&error, "a bot is started by `farfire playtest --live`");
            return ExitCode::FAILURE;
        }
    };
    let reason = Playing::new(client).run().await;
    say(match reason {
        DisconnectReason::Kicked { message } => format!("removed by the server: {message}"),
        other => format!("disconnected: {other}"),
    });
    ExitCode::SUCCESS
}

async fn join() -> Result<Client, String> {
    let variable = |name| env::var(name).map_err(|_| format!("{name} is not set"));
    let pin: Pin = variable("FARFIRE_PIN")?
        .parse()
        .map_err(|error| format!("FARFIRE_PIN: {error}"))?;
    let (address, name, network) = (
        variable("FARFIRE_ADDRESS")?,
        variable("FARFIRE_NAME")?,
        network()?,
    );
    let mut attempts = ATTEMPTS;
    loop {
        attempts -= 1;
        let joining = Client::builder(&address, Trust::pinned([pin]))
            .name(&name)
            .remotes(&[&MOVE, &WORLD, &SAY, &CHAT, &BUY, &ASK])
            .network(&network)
            .connect();
        match joining.await {
            Ok(client) => return Ok(client),
            Err(error) if attempts == 0 => return Err(error.to_string()),
            Err(error) => say(format!("tries again to join: {error}")),
        }
    }
}

struct Playing {
    client: Client,
    since: Instant,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    worlds: AtomicU64,
    heard: AtomicU64,
    bought: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Playing {
    fn new(client: Client) -> Self {
        let counts = Arc::<Counts>::default();
        let (seeing, hearing) = (counts.clone(), counts.clone());
        client.on_client_event(&WORLD, move |_| {
            seeing.worlds.fetch_add(1, Relaxed);
        });
        client.on_client_event(&CHAT, move |_| {
            hearing.heard.fetch_add(1, Relaxed);
        });
        client.on_client_invoke(&ASK, |number| number);
        Self {
            client,
            since: Instant::now(),
            counts,
        }
    }

    async fn run(self) -> DisconnectReason {
        let mut told = told();
        let number: u32 = env::var("FARFIRE_PLAYER")
            .ok()
            .and_then(|number| number.parse().ok())
            .unwrap_or(1);
        // Not all at once.
        let stagger = Duration::from_millis(u64::from(number) * 700 % 5000);
        let start = tokio::time::Instant::now() + stagger;
        let (mut frames, mut figures) = (interval(FRAME), interval(FIGURES));
        let (mut chats, mut purchases) = (interval_at(start, CHATS), interval_at(start, PURCHASES));
        for ticks in [&mut frames, &mut figures, &mut chats, &mut purchases] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        }
        // One purchase at a time: a person waits for the shop to answer.
        let (shop, mut wishes) = mpsc::channel(1);
        let shopping = self.shop(&mut wishes);
        tokio::pin!(shopping);
        let mut lines = LINES.iter().cycle().skip(number as usize);
        loop {
            tokio::select! {
                reason = self.client.disconnected() => return reason,
                _ = frames.tick() => self.walk(number),
                _ = figures.tick() => say(format!("{BOT_FIGURES}{}", self.figures().to_line())),
                _ = chats.tick() => self.chat(lines.next().copied().unwrap_or_default()),
                _ = purchases.tick() => {
                    let _ = shop.try_send(());
                }
                () = &mut shopping => {}
                line = told.recv() => match line {
                    Some(line) => self.chat(&line),
                    None => return DisconnectReason::Left,
                },
            }
        }
    }

    /// Round and round, each on a circle of its own.
    fn walk(&self, number: u32) {
        let angle = self.since.elapsed().as_secs_f32() * TAU / 8.0;
        let radius = 4.0 + number as f32;
        let position = Vector3::new(radius * angle.cos(), 0.0, radius * angle.sin());
        // The connection's end is noticed elsewhere, and a full queue is what it is.
        let _ = self.client.fire_server(&MOVE, &position);
    }

    fn chat(&self, text: &str) {
        if let Err(error) = self.client.fire_server(&SAY, &text.into()) {
            say(format!("not said: {error}"));
        }
    }

    async fn shop(&self, wishes: &mut mpsc::Receiver<()>) {
        let mut items = ["potion", "sword"].iter().cycle();
        while let Some(()) = wishes.recv().await {
            let item = items.next().copied().unwrap_or_default();
            let counter = match self.client.invoke_server(&BUY, &item.into()).await {
                Ok(Ok(_gold)) => &self.counts.bought,
                Ok(Err(_refusal)) => &self.counts.refused,
                Err(error) => {
                    say(format!("no {item}: {error}"));
                    &self.counts.failed
                }
            };
            counter.fetch_add(1, Relaxed);
        }
    }

    fn figures(&self) -> Bot {
        let stats = self.client.stats();
        let micros = |ping: Duration| ping.as_micros() as u64;
        Bot {
            at: self.since.elapsed().as_millis() as u64,
            network_ping_us: micros(stats.network_ping),
            data_ping_us: stats.data_ping.map_or(0, micros),
            sent_packets: stats.sent_packets,
            lost_packets: stats.lost_packets,
            sent_bytes: stats.sent_bytes,
            received_bytes: stats.received_bytes,
            worlds: self.counts.worlds.load(Relaxed),
            bought: self.counts.bought.load(Relaxed),
            refused: self.counts.refused.load(Relaxed),
            failed: self.counts.failed.load(Relaxed),
            heard: self.counts.heard.load(Relaxed),
        }
    }
}

/// A bad network may lose all of a handshake.
const ATTEMPTS: u32 = 3;
/// 60 times a second.
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);
const CHATS: Duration = Duration::from_secs(10);
const PURCHASES: Duration = Duration::from_secs(3);
const LINES: [&str; 6] = [
    "hello",
    "anyone at the shop?",
    "this way",
    "nice hat",
    "wait for me",
    "brb",
];
