//! Playing, from the welcome to the end: what is typed, and what the world says.
//!
//! Knows nothing of how the client came to be connected.

use std::time::Duration;

use farfire::{Client, DisconnectReason};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    console::{Console, Typed},
    exit::Complaint,
    json::Record,
    paint::{BOLD, DIM, Paint, YELLOW, printable},
    signal::{self, Signals},
    world::{ADD, HOST, NEWS, News, PLAYERS, Row, SAY, addend, speech, table},
};

/// A client in a world, with somebody who types.
pub(super) struct Session {
    client: Client,
    console: Console,
    paint: Paint,
    json: bool,
    counter: i64,
    rows: Vec<Row>,
    /// Under way; what is typed meanwhile does not wait for them.
    calls: JoinSet<Result<(), String>>,
}

impl Session {
    pub(super) fn new(client: Client, console: Console, json: bool) -> Self {
        Self {
            client,
            console,
            paint: Paint::stdout(),
            json,
            counter: 0,
            rows: Vec::new(),
            calls: JoinSet::new(),
        }
    }

    /// Plays until one of the sides ends it.
    pub(super) async fn run(mut self, signals: &mut Signals) -> Result<(), Complaint> {
        let client = self.client.clone();
        let mut news = client.client_events(&NEWS);
        let mut players = client.client_events(&PLAYERS);
        let mut over = std::pin::pin!(client.disconnected());
        let end = loop {
            tokio::select! {
                biased;
                // Before the end, so that the last words are heard.
                Some(news) = news.recv() => self.hear(news),
                Some(rows) = players.recv() => {
                    self.rows = rows;
                    self.refresh();
                }
                reason = &mut over => break End::Over(reason),
                signal = signals.next() => break End::Signal(signal),
                typed = self.console.next() => match typed {
                    Typed::Interrupt => break End::Signal(signal::INTERRUPTED),
                    Typed::End => break End::Left,
                    Typed::Line(line) => {
                        if self.obey(&line) == Flow::Quit {
                            break End::Left;
                        }
                    }
                },
                Some(called) = self.calls.join_next() => self.called(called),
            }
            if self.console.is_unread() {
                break End::Left;
            }
        };
        for news in news.drain() {
            self.hear(news);
        }
        self.console.set_live(Vec::new());
        if matches!(end, End::Left) {
            // What was typed before is done before.
            let _ = timeout(PATIENCE, async {
                while let Some(called) = self.calls.join_next().await {
                    self.called(called);
                }
            })
            .await;
        }
        if !matches!(end, End::Over(_)) {
            self.client.leave().await;
        }
        self.conclude(end)
    }

    fn conclude(&mut self, end: End) -> Result<(), Complaint> {
        let (why, result) = match end {
            End::Left => ("You left the game.".into(), Ok(())),
            End::Signal(signal) => {
                let text = format!("You left the game: {}.", signal.text);
                (text, Err(signal.complaint("you have left the game")))
            }
            End::Over(DisconnectReason::Shutdown) => ("The host ended the game.".into(), Ok(())),
            End::Over(reason) => {
                let reason = printable(&reason.to_string()).into_owned();
                let complaint = Complaint::new(&reason, help(&reason));
                (
                    format!("The game is over for you: {reason}"),
                    Err(complaint),
                )
            }
        };
        // What failed is said where errors belong.
        if self.json || result.is_ok() {
            self.tell(|| why.clone(), || Record::new("end").text("why", &why));
        }
        result
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Welcome { counter, players } => self.welcome(counter, players),
            News::Joined { who } => self.tell(
                || format!("{} joined", printable(&who)),
                || Record::new("joined").text("name", &who),
            ),
            News::Left { who, why } => self.tell(
                || format!("{} left: {}", printable(&who), printable(&why)),
                || Record::new("left").text("name", &who).text("why", &why),
            ),
            News::Said { who, text } => {
                let who = who.unwrap_or_else(|| HOST.into());
                self.tell(
                    || format!("{}: {}", printable(&who), printable(&text)),
                    || Record::new("said").text("who", &who).text("text", &text),
                );
            }
            News::Counted { who, value } => {
                let who = who.unwrap_or_else(|| HOST.into());
                self.counter = value;
                self.tell(
                    || format!("{} made the counter {value}", printable(&who)),
                    || {
                        Record::new("counted")
                            .text("who", &who)
                            .plain("value", value)
                    },
                );
            }
        }
        self.refresh();
    }

    fn welcome(&mut self, counter: i64, players: Vec<String>) {
        self.counter = counter;
        let name = self.client.local_player().name.clone();
        self.tell(
            || {
                let names: Vec<_> = players.iter().map(|name| printable(name)).collect();
                let others = match &names[..] {
                    [] => "nobody else is here yet".into(),
                    names => format!("here are {}", names.join(", ")),
                };
                let name = printable(&name);
                format!("You are {name}; {others}. Type to chat; /help lists what else there is.")
            },
            || {
                let record = Record::new("welcome").text("name", &name);
                record
                    .plain("counter", counter)
                    .texts("players", players.clone())
            },
        );
    }

    fn obey(&mut self, line: &str) -> Flow {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let done = match word {
            "" => Ok(()),
            "/quit" | "/exit" => return Flow::Quit,
            "/help" | "/?" => {
                self.tell(|| HELP.into(), || Record::new("help").text("text", HELP));
                Ok(())
            }
            "/players" => {
                self.list();
                Ok(())
            }
            "/add" => self.add(rest),
            // A second slash says one.
            _ if word.starts_with('/') && !word.starts_with("//") => {
                Err(format!("there is no command {word:?}: /help lists them"))
            }
            _ => self.say(line.strip_prefix('/').unwrap_or(line)),
        };
        if let Err(error) = done {
            self.object(&error);
        }
        Flow::On
    }

    fn say(&self, text: &str) -> Result<(), String> {
        let text = speech(text)?.to_owned();
        let fired = self.client.fire_server(&SAY, &text);
        fired.map_err(|error| error.to_string())
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        let by = addend(word).ok_or_else(|| format!("{word:?} is no whole number: try /add 10"))?;
        let added = self.client.invoke_server(&ADD, &by);
        self.calls
            .spawn(async move { added.await.map(drop).map_err(|error| error.to_string()) });
        Ok(())
    }

    fn called(&mut self, called: Result<Result<(), String>, JoinError>) {
        if let Ok(Err(error)) = called {
            self.object(&error);
        }
    }

    /// Says what is wrong with what was typed.
    fn object(&mut self, error: &str) {
        let (error, paint) = (printable(error), self.paint);
        self.tell(
            || paint.paint(YELLOW, &error),
            || Record::new("error").text("text", &error),
        );
    }

    fn list(&mut self) {
        if self.json {
            for row in &self.rows {
                self.console.print(&row.record().finish());
            }
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
        let stats = self.client.stats();
        let data = stats.data_ping.map_or_else(
            || "not yet measured".into(),
            |ping| format!("{:.1} ms", ping.as_secs_f64() * 1e3),
        );
        let ping = format!(
            "network ping {:.1} ms, data ping {data}",
            stats.network_ping.as_secs_f64() * 1e3
        );
        let counter = self.paint.paint(BOLD, &format!("counter {}", self.counter));
        let rule = self.paint.paint(DIM, &"\u{2500}".repeat(74));
        let mut lines = vec![rule, format!("{counter}   {ping}")];
        lines.extend(table(&self.rows, self.paint));
        self.console.set_live(lines);
    }

    fn tell(&mut self, people: impl FnOnce() -> String, program: impl FnOnce() -> Record) {
        let line = match self.json {
            true => program().finish(),
            false => people(),
        };
        self.console.print(&line);
    }
}

enum End {
    /// The other side ended it, or the network did.
    Over(DisconnectReason),
    Signal(signal::Signal),
    Left,
}

#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Quit,
}

/// What to do after an end like that.
fn help(reason: &str) -> &'static str {
    match reason.starts_with("kicked") {
        true => "ask the host; joining again makes you a new player",
        false => "check the network, then join again with the same link: you will be a new player",
    }
}

/// How long calls under way may hold up leaving.
const PATIENCE: Duration = Duration::from_secs(2);
const HELP: &str = "\
TEXT       everybody reads it; begin with // for a line that begins with /
/add [N]   adds to the shared counter
/players   who is there, and how they are connected
/quit      leaves";
