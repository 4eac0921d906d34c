//! The server's half of the world: who comes and goes, what is said, what is counted.
//!
//! Everything in it runs on the network's thread and reaches the prompt through one queue. Knows nothing of
//! terminals.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use farfire::{
    Admission, DisconnectReason, HandlerError, Player, Refusal, Remote, Server, ServerBuilder,
};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::world::{ADD, HOST, NEWS, News, PLAYERS, SAY, speech};

/// The remotes of the world.
const REMOTES: [&dyn Remote; 4] = [&SAY, &ADD, &NEWS, &PLAYERS];

/// What the host's screen is told.
#[derive(Debug)]
pub(super) enum Seen {
    Joined(Player),
    Left(Player, DisconnectReason),
    Said(Player, String),
    Counted(Player, i64),
}

/// The state of the world; clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Game(Arc<State>);

#[derive(Debug)]
struct State {
    counter: AtomicI64,
    seen: Sender<Seen>,
    unseen: AtomicU64,
}

impl Game {
    /// A world of its own, and what the screen is to be told of it.
    pub(super) fn new() -> (Self, Receiver<Seen>) {
        let (seen, screen) = mpsc::channel(WAITING);
        let state = State {
            counter: AtomicI64::new(0),
            seen,
            unseen: AtomicU64::new(0),
        };
        (Self(Arc::new(state)), screen)
    }

    /// Adds what has to be there before the first player.
    pub(super) fn prepare(&self, builder: ServerBuilder) -> ServerBuilder {
        let (arrivals, departures) = (self.clone(), self.clone());
        builder
            .remotes(&REMOTES)
            .authenticate(|join| async move { admit(&join.name) })
            .on_player_added(move |player| arrivals.welcome(player))
            .on_player_removing(move |player, reason| departures.part(player, reason))
    }

    /// Connects what players can do.
    pub(super) fn open(&self, server: &Server) {
        let game = self.clone();
        server.on_server_event(&SAY, move |player, text: String| {
            let text = speech(&text).map_err(str::to_owned)?.to_owned();
            tell_all(
                &player.server(),
                &News::Said {
                    who: Some(player.name().into()),
                    text: text.clone(),
                },
            );
            game.show(Seen::Said(player, text));
            Ok::<_, String>(())
        });
        let game = self.clone();
        server.on_server_invoke(&ADD, move |player, by: i64| {
            let who = Some(player.name().to_owned());
            let value = game.add(&player.server(), who, by)?;
            game.show(Seen::Counted(player, value));
            Ok::<_, HandlerError>(value)
        });
    }

    /// Adds to the counter, and tells everybody.
    pub(super) fn add(
        &self,
        server: &Server,
        who: Option<String>,
        by: i64,
    ) -> Result<i64, HandlerError> {
        let (counter, relaxed) = (&self.0.counter, Ordering::Relaxed);
        let before = counter.fetch_update(relaxed, relaxed, |value| value.checked_add(by));
        let before = before.map_err(|_| HandlerError::from("the counter goes no further"))?;
        let value = before + by;
        tell_all(server, &News::Counted { who, value });
        Ok(value)
    }

    pub(super) fn counter(&self) -> i64 {
        self.0.counter.load(Ordering::Relaxed)
    }

    /// How much was too much for the screen since the last time it was asked.
    pub(super) fn take_unseen(&self) -> u64 {
        self.0.unseen.swap(0, Ordering::Relaxed)
    }

    fn welcome(&self, player: Player) {
        let server = player.server();
        let others = server
            .players()
            .into_iter()
            .filter(|other| *other != player);
        let others: Vec<_> = others.collect();
        let welcome = News::Welcome {
            counter: self.counter(),
            players: others.iter().map(|other| other.name().into()).collect(),
        };
        // Whom it does not reach has left again.
        let _ = server.fire_client(&player, &NEWS, &welcome);
        let who = player.name().into();
        let _ = server.fire_clients(&others, &NEWS, &News::Joined { who });
        self.show(Seen::Joined(player));
    }

    fn part(&self, player: Player, reason: DisconnectReason) {
        let news = News::Left {
            who: player.name().into(),
            why: reason.to_string(),
        };
        let _ = player
            .server()
            .fire_all_clients_except(&player, &NEWS, &news);
        self.show(Seen::Left(player, reason));
    }

    /// Never waits: a flood of chat is counted and not shown.
    fn show(&self, seen: Seen) {
        if self.0.seen.try_send(seen).is_err() {
            self.0.unseen.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Everybody may play, but nobody speaks as the host.
fn admit(name: &str) -> Result<Admission, Refusal> {
    match name.trim().eq_ignore_ascii_case(HOST) {
        true => Err(format!("nobody but the host is called {HOST}").into()),
        false => Ok(Admission::new()),
    }
}

/// Tells everybody; without room for it nobody hears it, which the ledger counts.
pub(super) fn tell_all(server: &Server, news: &News) {
    let _ = server.fire_all_clients(&NEWS, news);
}

/// Lines for the host's screen that nobody has taken yet.
const WAITING: usize = 1024;
