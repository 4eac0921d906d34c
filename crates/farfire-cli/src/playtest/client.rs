//! A client's process: joins each scenario's server and runs that scenario's script.
//!
//! Knows nothing of what is expected of it.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use farfire::{
    Client, ClientBuilder, FireError, InvokeError,
    tls::{Pin, Trust},
};

use super::{
    child::{is_conditioned, network, obey, say},
    place::{
        AGAIN, ASK_CLIENT, CHAT, COUNT, COUNTER, CREATE_PART, ECHO, ECHO_CALL, MAX_CHAT_BYTES,
        NOTIFY_PLAYER, Pace, Part, REQUEST_PART, SAY, TEXT, TIMER, timeouts,
    },
    scenario::{CALLED, Scenario},
};

/// What a client's process does until the playtest has no more orders for it.
pub(crate) async fn play(name: String) -> ExitCode {
    let network = network();
    let mut guest: Option<Guest> = None;
    obey(async |words| match words {
        ["join", number, pace, address, pin, fate] => {
            let scenario = Scenario::from_number(number).ok_or("no such scenario")?;
            let pace = Pace::from_word(pace).ok_or("no such pace")?;
            let pin: Pin = pin.parse().map_err(|_| "not a pin")?;
            let network = network.as_ref()?;
            let knock = || {
                Client::builder(*address, Trust::pinned([pin]))
                    .name(&name)
                    .network(network)
            };
            guest = Some(Guest::join(knock, scenario, pace, fate).await?);
            Ok(String::new())
        }
        ["play"] => guest.as_ref().ok_or("not joined")?.play().await,
        ["leave"] => {
            if let Some(guest) = guest.take() {
                guest.client.leave().await;
            }
            Ok(String::new())
        }
        _ => Err("a client does not know this order".into()),
    })
    .await
}

struct Guest {
    client: Client,
    scenario: Scenario,
    pace: Pace,
    /// The numbers of the unreliable counter, as they came.
    counted: Arc<Mutex<Vec<u32>>>,
}

impl Guest {
    async fn join(
        knock: impl Fn() -> ClientBuilder,
        scenario: Scenario,
        pace: Pace,
        fate: &str,
    ) -> Result<Self, String> {
        let mut attempts = if is_conditioned() { ATTEMPTS } else { 1 };
        let client = loop {
            attempts -= 1;
            let joining = knock().timeouts(timeouts(scenario, pace)).connect();
            match joining.await {
                Ok(client) => break client,
                Err(error) if attempts == 0 => return Err(error.to_string()),
                Err(_) => {}
            }
        };
        let guest = Self {
            client,
            scenario,
            pace,
            counted: Arc::default(),
        };
        guest.run_script(fate == DOOMED);
        Ok(guest)
    }

    /// What a script does first: connect its handlers.
    fn run_script(&self, doomed: bool) {
        let client = &self.client;
        match self.scenario {
            Scenario::ServerToAll => {
                client.on_client_event(&TIMER, |seconds| say(seconds.to_string()));
            }
            Scenario::Relay => {
                client.on_client_event(&CHAT, |(name, text)| say(format!("{name} {text}")));
            }
            Scenario::ClientReturns => client.on_client_invoke(&ASK_CLIENT, |()| 7),
            Scenario::Killed if doomed => client.on_client_invoke(&ASK_CLIENT, |()| {
                say(CALLED);
                std::future::pending::<u32>()
            }),
            Scenario::Killed => client.on_client_invoke(&ASK_CLIENT, |()| 7),
            Scenario::ClientError => {
                client.on_client_invoke(&ASK_CLIENT, |()| Err::<u32, _>("boom"));
            }
            Scenario::NeverReturns => {
                client.on_client_invoke(&ASK_CLIENT, |()| std::future::pending::<u32>());
            }
            Scenario::Counter => {
                let counted = self.counted.clone();
                client.on_client_event(&COUNTER, move |number| lock(&counted).push(number));
            }
            Scenario::ClientToServer
            | Scenario::ServerToClient
            | Scenario::Function
            | Scenario::LastCallback
            | Scenario::CallbackError
            | Scenario::Sizes
            | Scenario::Echo => {}
        }
    }

    /// The rest of the script.
    async fn play(&self) -> Result<String, String> {
        let client = &self.client;
        match self.scenario {
            Scenario::ClientToServer => {
                let part = Part::requested();
                fired(client.fire_server(&CREATE_PART, &(part.color, part.position)));
            }
            Scenario::ServerToClient => return self.listen_late().await,
            Scenario::Relay => {
                // Refused by the server: nobody may see it.
                fired(client.fire_server(&SAY, &"x".repeat(MAX_CHAT_BYTES + 1)));
                fired(client.fire_server(&SAY, &"hi".into()));
            }
            Scenario::Function | Scenario::LastCallback => self.request_part().await,
            Scenario::CallbackError => {
                self.request_part().await;
                self.request_part().await;
            }
            Scenario::Counter => return Ok(self.count().await),
            Scenario::Sizes => {
                let text = text_of(1000)?;
                fired(client.fire_server(&TEXT, &text));
                if is_conditioned() {
                    self.repeat(text.replacen('x', AGAIN.encode_utf8(&mut [0; 4]), 1))
                        .await;
                }
                match client.fire_server(&TEXT, &text_of(1001)?) {
                    Err(FireError::TooLarge { size, limit, .. }) => {
                        say(format!("{size} bytes: {} too many", size - limit));
                    }
                    other => say(format!("1001 bytes: {other:?}")),
                }
            }
            Scenario::Echo => return self.measure().await,
            Scenario::ServerToAll
            | Scenario::ClientReturns
            | Scenario::ClientError
            | Scenario::NeverReturns
            | Scenario::Killed => return Err("a client has no part in this".into()),
        }
        Ok(String::new())
    }

    /// Connects the handler only when the event has been there for a while.
    async fn listen_late(&self) -> Result<String, String> {
        let began = Instant::now();
        while self.client.stats().remotes.iter().all(|of| of.held == 0) {
            if began.elapsed() > PATIENCE {
                return Err("the early event did not come".into());
            }
            tokio::time::sleep(GLANCE).await;
        }
        tokio::time::sleep(self.pace.late()).await;
        let player = self.client.local_player().name.clone();
        self.client
            .on_client_event(&NOTIFY_PLAYER, move |(max_players, respawn_time)| {
                say(format!("[Client] Event received by player {player}"));
                say(format!("{max_players} {respawn_time}"));
            });
        Ok(format!("{:.1} s late", self.pace.late().as_secs_f64()))
    }

    /// Sends so often, and for so long, that a network which loses some does not lose all.
    async fn repeat(&self, text: String) {
        for _ in 0..REPEATS {
            tokio::time::sleep(REPEAT).await;
            fired(self.client.fire_server(&TEXT, &text));
        }
    }

    async fn request_part(&self) {
        let part = Part::requested();
        let call = self
            .client
            .invoke_server(&REQUEST_PART, &(part.color, part.position));
        match call.await {
            Ok(made) if made != part => say(format!("The server created {made:?}")),
            Ok(made) => say(format!("The server created the requested part: {made}")),
            Err(InvokeError::Failed { message }) => say(format!("InvokeServer raised {message}")),
            Err(error) => say(format!("InvokeServer raised {error}")),
        }
    }

    /// Waits for the last numbers, which may be lost, and looks at those that came.
    async fn count(&self) -> String {
        let mut news = Instant::now();
        let mut before = 0;
        let mut numbers = loop {
            let numbers = lock(&self.counted).clone();
            if numbers.len() != before {
                (before, news) = (numbers.len(), Instant::now());
            }
            if numbers.len() >= COUNT as usize || news.elapsed() > QUIET {
                break numbers;
            }
            tokio::time::sleep(GLANCE).await;
        };
        let came = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() != came {
            say(format!("{} numbers came twice", came - numbers.len()));
        } else if numbers.iter().any(|number| !(1..=COUNT).contains(number)) {
            say("a number came that was never sent");
        } else if came < enough() {
            say(format!("only {came} numbers came"));
        } else {
            say(format!("a subset of 1..{COUNT}, nothing twice"));
        }
        format!("{came} of {COUNT}")
    }

    /// Round trips, one after the other, as the program's own thread sees them.
    async fn measure(&self) -> Result<String, String> {
        let client = &self.client;
        let mut echoes = client.client_events(&ECHO);
        let events = sampled(SAMPLES, async |number| {
            client
                .fire_server(&ECHO, &number)
                .map_err(|error| error.to_string())?;
            Ok(echoes.recv().await == Some(number))
        })
        .await?;
        let calls = sampled(SAMPLES, async |number| {
            let echo = client.invoke_server(&ECHO_CALL, &number).await;
            Ok(echo.map_err(|error| error.to_string())? == number)
        })
        .await?;
        let samples = events.len().min(calls.len());
        let (events, calls) = (quantiles(events), quantiles(calls));
        Ok(format!("{samples} {events} {calls}"))
    }
}

/// How long each round trip took, of `most` or as many as there is time for.
async fn sampled(
    most: u32,
    mut round_trip: impl AsyncFnMut(u32) -> Result<bool, String>,
) -> Result<Vec<Duration>, String> {
    let mut samples = Vec::with_capacity(most as usize);
    let mut since = Instant::now();
    for number in 0.. {
        let began = Instant::now();
        if !round_trip(number).await? {
            return Err("what came back is not what was sent".into());
        }
        let is_warm = number >= WARM_UP || !samples.is_empty() || since.elapsed() > WARMING;
        if !is_warm {
            continue;
        }
        if samples.is_empty() {
            since = began;
        }
        samples.push(began.elapsed());
        if samples.len() >= most as usize || since.elapsed() > SAMPLING {
            break;
        }
    }
    Ok(samples)
}

/// The 50th and the 99th percentile, in microseconds.
fn quantiles(mut samples: Vec<Duration>) -> String {
    samples.sort_unstable();
    let at = |percent: usize| samples[(samples.len() * percent).div_ceil(100) - 1];
    let micros = |sample: Duration| sample.as_secs_f64() * 1e6;
    format!("{:.1} {:.1}", micros(at(50)), micros(at(99)))
}

/// How many numbers must come at least. Loopback loses nothing, but a machine that stands still for a
/// moment drops what has become old; a bad network loses more.
fn enough() -> usize {
    let all = COUNT as usize;
    match is_conditioned() {
        true => all / 2,
        false => all * 9 / 10,
    }
}

/// A text that takes so many bytes when it is encoded.
fn text_of(bytes: usize) -> Result<String, String> {
    let length = |text: &String| TEXT.encoded_len(text).map_err(|error| error.to_string());
    let mut text = "x".repeat(bytes);
    let header = length(&text)? - bytes;
    text.truncate(bytes - header);
    match length(&text)? {
        length if length == bytes => Ok(text),
        length => Err(format!("no text takes {bytes} bytes, this one {length}")),
    }
}

/// Says what was not accepted: an unexpected line, which the comparison shows.
fn fired(result: Result<(), FireError>) {
    if let Err(error) = result {
        say(format!("not fired: {error}"));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word for the client that is going to be killed, and for the others.
pub(super) const DOOMED: &str = "doomed";
pub(super) const SAFE: &str = "safe";
/// How often a player tries to join over a network that may lose all of a handshake.
const ATTEMPTS: u32 = 3;
/// How often a wait looks again, where nothing tells.
const GLANCE: Duration = Duration::from_millis(10);
/// When a wait for something certain gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without a number the rest is lost.
const QUIET: Duration = Duration::from_secs(1);
const SAMPLES: u32 = 2000;
/// How long samples are collected at most; a bad network has fewer.
const SAMPLING: Duration = Duration::from_secs(5);
/// Fills caches, and lets the congestion window and the round trip estimate settle.
const WARM_UP: u32 = 500;
const WARMING: Duration = Duration::from_secs(2);
/// Seldom enough that a burst of loss is over.
const REPEAT: Duration = Duration::from_millis(50);
const REPEATS: u32 = 20;
