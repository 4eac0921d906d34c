//! The server's process: for each scenario a server of its own, with that scenario's scripts.
//!
//! Knows nothing of what is expected of it.

use std::{
    collections::HashSet,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use farfire::{InvokeError, Limits, Network, Player, Rate, Server, tls::Identity};

use super::{
    child::{network, obey, say},
    place::{
        AGAIN, ASK_CLIENT, CHAT, COUNT, COUNTER, CREATE_PART, ECHO, ECHO_CALL, KILLED_IDLE,
        MAX_CHAT_BYTES, NOTIFY_PLAYER, Pace, Part, REQUEST_PART, RESPAWN_TIME, SAY, TEXT, TIMER,
        timeouts,
    },
    scenario::Scenario,
};

/// What the server's process does until the playtest has no more orders for it.
pub(crate) async fn serve() -> ExitCode {
    let identity = Identity::self_signed(["localhost"]).map_err(|error| error.to_string());
    let network = network();
    let mut open: Option<Open> = None;
    obey(async |words| match words {
        ["serve", number, max_players, pace] => {
            let scenario = Scenario::from_number(number).ok_or("no such scenario")?;
            let pace = Pace::from_word(pace).ok_or("no such pace")?;
            let max_players = max_players.parse().map_err(|_| "not a number of players")?;
            let server = start(
                scenario,
                max_players,
                pace,
                identity.clone()?,
                network.as_ref()?,
            )?;
            let answer = format!("{} {}", server.local_addr(), server.pin());
            open = Some(Open {
                server,
                scenario,
                pace,
            });
            Ok(answer)
        }
        ["play"] => open.as_ref().ok_or("nothing is being served")?.play().await,
        ["stop"] => {
            if let Some(open) = open.take() {
                open.server.shutdown().await;
            }
            Ok(String::new())
        }
        _ => Err("the server does not know this order".into()),
    })
    .await
}

struct Open {
    server: Server,
    scenario: Scenario,
    pace: Pace,
}

/// Starts a server; its scripts run before anyone learns of its address.
fn start(
    scenario: Scenario,
    max_players: usize,
    pace: Pace,
    identity: Identity,
    network: &Network,
) -> Result<Server, String> {
    let mut limits = Limits::default();
    limits.max_players = max_players;
    // All players share one address here.
    limits.connections_per_address = max_players;
    if scenario == Scenario::Echo {
        limits.events = Rate::per_second(1_000_000);
    }
    let server = Server::builder("127.0.0.1:0", identity)
        .network(network)
        .limits(limits)
        .timeouts(timeouts(scenario, pace))
        .start()
        .map_err(|error| error.to_string())?;
    run_scripts(scenario, &server).map_err(|error| error.to_string())?;
    Ok(server)
}

fn run_scripts(scenario: Scenario, server: &Server) -> Result<(), farfire::DeclareError> {
    match scenario {
        Scenario::ClientToServer => {
            let workspace = Mutex::new(Vec::new());
            server.on_server_event(&CREATE_PART, move |player, (color, position)| {
                say(format!("{player} fired the RemoteEvent"));
                let part = Part::new(color, position);
                if part != Part::requested() {
                    say(format!("but not for {part:?}"));
                }
                lock(&workspace).push(part);
            });
        }
        Scenario::ServerToClient => {
            server.declare(&NOTIFY_PLAYER)?;
            server.on_player_added(|player| {
                say(format!("[Server] Firing event to player {player}"));
                let server = player.server();
                let max_players = server.max_players() as u32;
                fired(server.fire_client(&player, &NOTIFY_PLAYER, &(max_players, RESPAWN_TIME)));
            });
        }
        Scenario::ServerToAll => server.declare(&TIMER)?,
        Scenario::Relay => {
            server.declare(&CHAT)?;
            server.on_server_event(&SAY, |player, text| {
                if text.len() <= MAX_CHAT_BYTES {
                    let line = (player.name().to_string(), text);
                    fired(player.server().fire_all_clients(&CHAT, &line));
                }
            });
        }
        Scenario::Function => {
            server.on_server_invoke(&REQUEST_PART, |player, (color, position)| {
                create_part(&player, Part::new(color, position))
            });
        }
        Scenario::LastCallback => {
            server.on_server_invoke(&REQUEST_PART, |player, (color, position)| {
                say(format!("{player} reached the first callback"));
                Part::new(color, position)
            });
            server.on_server_invoke(&REQUEST_PART, |player, (color, position)| {
                create_part(&player, Part::new(color, position))
            });
        }
        Scenario::CallbackError => {
            let warned = Mutex::new(HashSet::new());
            server.on_server_invoke(&REQUEST_PART, move |player, (color, position)| {
                if lock(&warned).insert(player.id()) {
                    return Err("boom");
                }
                Ok(create_part(&player, Part::new(color, position)))
            });
        }
        Scenario::ClientReturns
        | Scenario::ClientError
        | Scenario::NeverReturns
        | Scenario::Killed => server.declare(&ASK_CLIENT)?,
        Scenario::Counter => server.declare(&COUNTER)?,
        Scenario::Sizes => {
            let heard = Mutex::new(HashSet::new());
            server.on_server_event(&TEXT, move |player, text| {
                let is_first = lock(&heard).insert(player.id());
                if is_first || !text.starts_with(AGAIN) {
                    let bytes = TEXT.encoded_len(&text).unwrap_or_default();
                    say(format!("{player} sent {bytes} bytes"));
                }
            });
        }
        Scenario::Echo => {
            server.on_server_event(&ECHO, |player, number| {
                fired(player.server().fire_client(&player, &ECHO, &number));
            });
            server.on_server_invoke(&ECHO_CALL, |_, number| number);
        }
    }
    Ok(())
}

fn create_part(player: &Player, part: Part) -> Part {
    say(format!("{player} requested a new part"));
    part
}

impl Open {
    /// The part of the script that waits for the players to be there.
    async fn play(&self) -> Result<String, String> {
        match self.scenario {
            Scenario::ServerToAll => {
                for t in (1..=5).rev() {
                    fired(self.server.fire_all_clients(&TIMER, &t));
                    tokio::time::sleep(self.pace.countdown()).await;
                }
                Ok(String::new())
            }
            Scenario::Counter => {
                let mut ticks = tokio::time::interval(self.pace.counter());
                for number in 1..=COUNT {
                    ticks.tick().await;
                    fired(self.server.fire_all_clients(&COUNTER, &number));
                }
                Ok(String::new())
            }
            Scenario::ClientReturns
            | Scenario::ClientError
            | Scenario::NeverReturns
            | Scenario::Killed => Ok(self.ask_everyone().await),
            _ => Err("the server has no part in this".into()),
        }
    }

    async fn ask_everyone(&self) -> String {
        let began = Instant::now();
        let players = self.server.players();
        let mut calls = self.server.invoke_clients(&players, &ASK_CLIENT, &());
        let mut note = String::new();
        while let Some((player, result)) = calls.next().await {
            let after = began.elapsed();
            say(outcome(&player, result, after));
            note = match self.scenario {
                Scenario::NeverReturns | Scenario::Killed => {
                    format!("after {:.1} s", after.as_secs_f64())
                }
                _ => String::new(),
            };
        }
        note
    }
}

fn outcome(player: &Player, result: Result<u32, InvokeError>, after: Duration) -> String {
    let error = match result {
        Ok(number) => return format!("{player} returned {number}"),
        Err(error) => error,
    };
    let what = match error {
        InvokeError::Failed { message } => message,
        InvokeError::Timeout { .. } => "Timeout".into(),
        InvokeError::Disconnected { .. } if after < KILLED_IDLE + SLACK => "Disconnected".into(),
        other => format!("{other} after {after:?}"),
    };
    format!("InvokeClient to {player} raised {what}")
}

/// Says what was not accepted: an unexpected line, which the comparison shows.
fn fired(result: Result<(), farfire::FireError>) {
    if let Err(error) = result {
        say(format!("not fired: {error}"));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is still prompt on a machine with more processes than cores.
const SLACK: Duration = Duration::from_secs(2);
