//! Hosting, from the first player to the end: the prompt, the live list of players, and what is told of both.
//!
//! Knows nothing of links, codes and addresses, but for the text that shows them.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use farfire::{
    Player, PlayerId, PlaytestServer,
    conditioner::{Conditioner, Preset},
    tls::Pin,
};
use tokio::{
    sync::mpsc::Receiver,
    time::{MissedTickBehavior, interval},
};

use super::{
    command::{Command, HELP},
    game::{Game, Seen, tell_all},
};
use crate::{
    console::{Console, Typed},
    exit::Complaint,
    json::Record,
    paint::{BOLD, DIM, Paint, YELLOW, printable},
    signal::{self, Signals},
    world::{HOST, Meter, News, PLAYERS, Row, speech, table},
};

/// A server with its world, at a prompt.
pub(super) struct Session {
    /// It announces itself for as long as this is kept.
    pub(super) server: PlaytestServer,
    pub(super) game: Game,
    pub(super) seen: Receiver<Seen>,
    pub(super) conditioner: Conditioner,
    pub(super) net: Option<Preset>,
    pub(super) console: Console,
    pub(super) paint: Paint,
    pub(super) json: bool,
    pub(super) meters: HashMap<PlayerId, Meter>,
    pub(super) rows: Vec<Row>,
    /// Whose code is on the screen.
    pub(super) shown: Pin,
}

impl Session {
    /// Plays until somebody ends it; the server is stopped then.
    pub(super) async fn run(mut self, signals: &mut Signals) -> Result<(), Complaint> {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = true;
        let result = loop {
            tokio::select! {
                signal = signals.next() => break Err(signal.complaint(STOPPED)),
                typed = self.console.next(), if reading => match typed {
                    Typed::Interrupt => break Err(signal::INTERRUPTED.complaint(STOPPED)),
                    Typed::Line(line) => {
                        if self.obey(&line) == Flow::Quit {
                            break Ok(());
                        }
                    }
                    // On a terminal somebody has pressed Ctrl-D. A pipe ends and the game goes on:
                    // a service has no input at all.
                    Typed::End if self.console.is_terminal() => break Ok(()),
                    Typed::End => reading = false,
                },
                Some(seen) = self.seen.recv() => self.show(seen),
                _ = tick.tick() => self.look(),
            }
            if self.console.is_unread() {
                break Ok(());
            }
        };
        self.console.set_live(Vec::new());
        let players = self.server.players().len();
        self.server.shutdown().await;
        if self.json || result.is_ok() {
            self.tell(
                || match players {
                    0 => "The game is over.".into(),
                    _ => format!("The game is over; {} told.", people(players, "player was")),
                },
                || Record::new("end").plain("players", players),
            );
        }
        result
    }

    fn obey(&mut self, line: &str) -> Flow {
        match Command::read(line) {
            Ok(None) => {}
            Ok(Some(Command::Quit)) => return Flow::Quit,
            Ok(Some(command)) => {
                if let Err(error) = self.perform(command) {
                    self.object(&error);
                }
            }
            Err(error) => self.object(&error),
        }
        Flow::On
    }

    fn perform(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Say(text) => {
                let text = speech(&text)?.to_owned();
                let said = News::Said {
                    who: None,
                    text: text.clone(),
                };
                tell_all(&self.server, &said);
                self.said(HOST, &text);
            }
            Command::Add(by) => {
                let value = self.game.add(&self.server, None, by);
                let value = value.map_err(|_| "the counter goes no further")?;
                self.counted(HOST, value);
            }
            Command::Kick { who, message } => self.find(&who)?.kick(message),
            Command::Net(preset) => self.set_net(preset),
            Command::Players => self.list(),
            Command::Link => {
                let link = self.server.link().to_string();
                self.tell(|| link.clone(), || Record::new("link").text("link", &link));
            }
            Command::Renew => {
                if self.server.tokens().is_none() {
                    return Err("this link has no secret to replace: host with --token".into());
                }
                let replaced = self.server.replace_token();
                replaced.map_err(|error| error.to_string())?;
                return self.perform(Command::Link);
            }
            Command::Help => self.tell(|| HELP.into(), || Record::new("help").text("text", HELP)),
            Command::Quit => {}
        }
        Ok(())
    }

    /// The one player of that name, or with that id.
    fn find(&self, who: &str) -> Result<Player, String> {
        let mut players = self.server.players();
        let id = who.strip_prefix('#').and_then(|id| id.parse::<u64>().ok());
        let named = |player: &Player| match id {
            Some(id) => player.id().as_u64() == id || player.name() == who,
            None => player.name().eq_ignore_ascii_case(who),
        };
        players.retain(named);
        match &players[..] {
            [] => Err(format!("there is no player {who:?}: `players` lists them")),
            [player] => Ok(player.clone()),
            several => {
                let ids = several.iter().map(|player| format!("#{}", player.id()));
                let ids = ids.collect::<Vec<_>>().join(" or ");
                Err(format!(
                    "there are several players {who:?}: try `kick {ids}`"
                ))
            }
        }
    }

    fn set_net(&mut self, preset: Option<Preset>) {
        self.conditioner.set_preset(preset);
        self.net = preset;
        let word = preset.map_or("off", Preset::name);
        self.tell(
            || match preset {
                Some(preset) => format!("Everybody plays over a simulated {preset} network now."),
                None => "Everybody plays over the real network now.".into(),
            },
            || Record::new("net").text("net", word),
        );
        self.refresh();
    }

    /// Measures everybody, and tells them.
    fn look(&mut self) {
        let players = self.server.players();
        let mut before = std::mem::take(&mut self.meters);
        self.rows.clear();
        for player in &players {
            let stats = player.stats();
            let meter = before.remove(&player.id());
            let mut meter = meter.unwrap_or_else(|| Meter::new(&stats));
            let row = meter.look(player.id().as_u64(), player.name(), &stats);
            self.rows.push(row);
            self.meters.insert(player.id(), meter);
        }
        if !players.is_empty() {
            // What nobody has room for now is told in a second again.
            let _ = self.server.fire_all_clients(&PLAYERS, &self.rows);
        }
        if let unseen @ 1.. = self.game.take_unseen() {
            self.object(&format!("{unseen} lines came too fast to be shown"));
        }
        self.look_at_identity();
        self.refresh();
    }

    /// Another identity makes the link and the code on the screen those of nobody.
    fn look_at_identity(&mut self) {
        let pin = self.server.pin();
        if self.shown == pin {
            return;
        }
        self.shown = pin;
        let (link, code) = (self.server.link().to_string(), pin.code().to_string());
        let paint = self.paint;
        self.tell(
            || {
                format!(
                    "{}\nlink  {link}\ncode  {code}",
                    paint.paint(
                        YELLOW,
                        "The identity was replaced: the link and the code from before are no longer yours."
                    )
                )
            },
            || Record::new("identity").text("link", &link).text("code", &code),
        );
    }

    fn show(&mut self, seen: Seen) {
        match seen {
            Seen::Joined(player) => self.joined(&player),
            Seen::Left(player, reason) => {
                let (name, why) = (
                    printable(player.name()),
                    printable(&reason.to_string()).into_owned(),
                );
                self.rows.retain(|row| row.id != player.id().as_u64());
                self.tell(
                    || format!("{name} left: {why}"),
                    || {
                        let record = Record::new("left").plain("id", player.id());
                        record.text("name", player.name()).text("why", &why)
                    },
                );
            }
            Seen::Said(player, text) => self.said(player.name(), &text),
            Seen::Counted(player, value) => self.counted(player.name(), value),
        }
        self.refresh();
    }

    fn joined(&mut self, player: &Player) {
        let address = plain(player.address());
        let (count, most) = (self.server.players().len(), self.server.max_players());
        // Listed at once, and measured with the next look.
        let row =
            Meter::new(&player.stats()).look(player.id().as_u64(), player.name(), &player.stats());
        self.rows.push(row);
        self.tell(
            || {
                let name = printable(player.name());
                format!("{name} joined from {address} ({count} of {most})")
            },
            || {
                let record = Record::new("joined").plain("id", player.id());
                let record = record.text("name", player.name());
                record.text("address", &address.to_string())
            },
        );
    }

    fn said(&mut self, who: &str, text: &str) {
        self.tell(
            || format!("{}: {}", printable(who), printable(text)),
            || Record::new("said").text("who", who).text("text", text),
        );
    }

    fn counted(&mut self, who: &str, value: i64) {
        self.tell(
            || format!("{} made the counter {value}", printable(who)),
            || {
                Record::new("counted")
                    .text("who", who)
                    .plain("value", value)
            },
        );
    }

    fn list(&mut self) {
        self.look();
        if self.json {
            let players = self.server.players();
            for row in &self.rows {
                // The host alone learns where players are.
                let player = players.iter().find(|of| of.id().as_u64() == row.id);
                let address = player.map_or_else(String::new, |of| plain(of.address()).to_string());
                let record = row.record().text("address", &address);
                self.console.print(&record.finish());
            }
            let count = Record::new("players").plain("count", self.rows.len());
            self.console.print(&count.finish());
        } else if self.rows.is_empty() {
            self.console.print("Nobody is here yet.");
        } else {
            let lines = table(&self.rows, self.paint);
            self.console.print(&lines.join("\n"));
        }
    }

    /// Shows the live lines as things are now.
    fn refresh(&mut self) {
        if !self.console.is_terminal() {
            return;
        }
        let (count, most) = (self.server.players().len(), self.server.max_players());
        let net = self.net.map_or("", Preset::name);
        let net = match net {
            "" => String::new(),
            net => self
                .paint
                .paint(YELLOW, &format!("  over a simulated {net} network")),
        };
        let title = match count {
            0 => "Waiting for players.".into(),
            _ => format!("{count} of {most} players, counter {}", self.game.counter()),
        };
        let rule = self.paint.paint(DIM, &"\u{2500}".repeat(74));
        let mut lines = vec![rule, format!("{}{net}", self.paint.paint(BOLD, &title))];
        lines.extend(table(&self.rows, self.paint));
        self.console.set_live(lines);
    }

    /// Says what is wrong with what was typed.
    fn object(&mut self, error: &str) {
        let error = printable(error);
        let paint = self.paint;
        self.tell(
            || paint.paint(YELLOW, &error),
            || Record::new("error").text("text", &error),
        );
    }

    fn tell(&mut self, people: impl FnOnce() -> String, program: impl FnOnce() -> Record) {
        let line = match self.json {
            true => program().finish(),
            false => people(),
        };
        self.console.print(&line);
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Quit,
}

/// An IPv4 address as such, on a socket that takes both kinds.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// "1 player was", "2 players were".
fn people(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} players were"),
    }
}

const STOPPED: &str = "the game is over, and every player was told";
/// How often players are measured, and told about each other.
const LOOK: Duration = Duration::from_secs(1);
