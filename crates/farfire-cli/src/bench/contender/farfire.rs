//! Farfire itself: a server of the benchmark's own, and clients of that or of any other.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use farfire::{
    Client, Flush, Limits, LinkStats, Network, Player, Rate, Server, conditioner::Conditioner,
    echo, tls::Identity,
};
use serde_json::json;

use super::{Contender, Door, Setting, Side, Traffic};
use crate::{
    bench::{
        cell::{Cell, Direction, Kind},
        payload::{Args, FUNCTION, Payload, RELIABLE, Stamp, UNRELIABLE},
        recording::Sink,
        schedule::Send as SendEvents,
    },
    exit::Complaint,
    reach::Reach,
};

/// What is to be sent next, but for its stamp.
struct Load {
    kind: Kind,
    args: Args,
    /// The same for the built-in echo, which takes bytes.
    bytes: BytesMut,
}

impl Load {
    fn new(cell: &Cell) -> Result<Self, Complaint> {
        let args = cell.payload.args(cell.seed).map_err(|error| {
            let error = format!("the payload {} cannot be read: {error}", cell.payload);
            Complaint::new(error, "name a file that this user may read")
        })?;
        let size = match cell.payload {
            // The length takes one byte, or three.
            Payload::Bytes(size) if size <= 251 => size - 1,
            Payload::Bytes(size) => size - 3,
            _ => 0,
        };
        Ok(Self {
            kind: cell.kind,
            args,
            bytes: BytesMut::zeroed(size.max(Stamp::LEN)),
        })
    }
}

/// The server of a benchmark.
pub(crate) struct Serving {
    server: Server,
    shared: Arc<Shared>,
    load: Mutex<Option<Load>>,
    players: Mutex<Vec<Player>>,
}

#[derive(Default)]
struct Shared {
    sink: Sink,
    /// Events go up only: they are recorded here, and not sent back.
    keeps: AtomicBool,
}

impl Serving {
    pub(super) fn start(setting: &Setting) -> Result<(Door, Arc<dyn Side>), Complaint> {
        let cannot = |error: &dyn std::error::Error| {
            Complaint::new(
                format!("the server of the benchmark does not start: {error}"),
                "the system may be out of ports, threads or file descriptors: see `ulimit -a`",
            )
        };
        let identity = Identity::self_signed(["localhost"]).map_err(|error| cannot(&error))?;
        let mut limits = generous();
        limits.max_players = setting.clients as usize + 1;
        limits.connections_per_address = setting.clients as usize + 8;
        limits.handshakes = 4096;
        let network = Network::builder().busy_poll(setting.busy_poll);
        let network = network.build().map_err(|error| cannot(&error))?;
        let server = Server::builder("127.0.0.1:0", identity)
            .network(&network)
            .limits(limits)
            .remotes(&[&RELIABLE, &UNRELIABLE, &FUNCTION])
            .start()
            .map_err(|error| cannot(&error))?;
        let shared = Arc::<Shared>::default();
        let here = shared.clone();
        server.on_server_event(&RELIABLE, move |player, args: Args| {
            if here.keeps.load(Ordering::Relaxed) {
                here.sink.arrived(number(&player), &args.0);
            } else {
                let _ = player.server().fire_client(&player, &RELIABLE, &args);
            }
        });
        let here = shared.clone();
        server.on_server_event(&UNRELIABLE, move |player, args: Args| {
            if here.keeps.load(Ordering::Relaxed) {
                here.sink.arrived(number(&player), &args.0);
            } else {
                let _ = player.server().fire_client(&player, &UNRELIABLE, &args);
            }
        });
        server.on_server_invoke(&FUNCTION, |_, args| args);
        let door = Door {
            contender: Contender::Farfire,
            address: server.local_addr(),
            secret: server.pin().as_bytes().to_vec(),
        };
        let serving = Self {
            server,
            shared,
            load: Mutex::default(),
            players: Mutex::default(),
        };
        Ok((door, Arc::new(serving)))
    }
}

/// Which client a player is: clients go by their numbers.
fn number(player: &Player) -> u32 {
    player.name().parse().unwrap_or(0)
}

impl Side for Serving {
    fn load(&self, cell: &Cell) -> Result<(), Complaint> {
        *lock(&self.load) = Some(Load::new(cell)?);
        let mut players = self.server.players();
        players.sort_by_key(number);
        *lock(&self.players) = players;
        let keeps = cell.direction == Direction::Up;
        self.shared.keeps.store(keeps, Ordering::Relaxed);
        Ok(())
    }

    fn sink(&self) -> &Sink {
        &self.shared.sink
    }

    fn traffic(&self) -> Traffic {
        let players = self.server.players();
        players.iter().map(|player| traffic(&player.stats())).sum()
    }

    fn state(&self) -> serde_json::Value {
        let players = self.server.players();
        let stats = players.first().map(|player| state(&player.stats()));
        json!({ "players": players.len(), "first_player": stats })
    }
}

impl SendEvents for Serving {
    fn send(&self, sender: u32, stamp: Stamp) -> bool {
        let mut load = lock(&self.load);
        let Some(Load { kind, args, .. }) = &mut *load else {
            return false;
        };
        args.0 = stamp.to_bytes();
        if *kind == Kind::Broadcast {
            return self.server.fire_all_clients(&RELIABLE, args).is_ok();
        }
        let players = lock(&self.players);
        let Some(player) = players.get(sender as usize) else {
            return false;
        };
        let fired = match kind {
            Kind::Unreliable => self.server.fire_client(player, &UNRELIABLE, args),
            _ => self.server.fire_client(player, &RELIABLE, args),
        };
        fired.is_ok()
    }

    fn flush(&self) {
        self.server.flush();
    }
}

/// The clients of a benchmark.
pub(crate) struct Clients {
    clients: Vec<Client>,
    sink: Arc<Sink>,
    load: Mutex<Option<Load>>,
    is_ours: bool,
}

impl Clients {
    pub(crate) fn connect(
        reach: &Reach,
        is_ours: bool,
        setting: &Setting,
    ) -> Result<(Arc<dyn Side>, Vec<Duration>), Complaint> {
        let conditioner = Conditioner::new(setting.seed);
        let preset = setting.net.as_deref().and_then(|name| name.parse().ok());
        conditioner.set_preset(preset);
        let network = Network::builder().busy_poll(setting.busy_poll);
        let network = match preset {
            Some(_) => network.conditioner(&conditioner),
            None => network,
        };
        let network = network.build().map_err(|error| {
            Complaint::new(
                format!("no network thread: {error}"),
                "see `ulimit -u` for how many threads this user may have",
            )
        })?;
        let sink = Arc::<Sink>::default();
        let mut clients = Vec::new();
        let mut took = Vec::new();
        for number in 0..setting.clients {
            let began = Instant::now();
            let flush = match setting.ticks {
                true => Flush::Tick,
                false => Flush::Immediate,
            };
            let remotes: [&dyn farfire::Remote; 3] = match is_ours {
                true => [&RELIABLE, &UNRELIABLE, &FUNCTION],
                false => echo::ALL,
            };
            let client = reach
                .client()
                .name(number.to_string())
                .network(&network)
                .limits(generous())
                .remotes(&remotes)
                .flush(flush)
                .connect_blocking()
                .map_err(|error| reach.complaint(&error))?;
            took.push(began.elapsed());
            listen(&client, number, &sink, is_ours);
            clients.push(client);
        }
        let clients = Self {
            clients,
            sink,
            load: Mutex::default(),
            is_ours,
        };
        Ok((Arc::new(clients), took))
    }

    fn call(&self, client: u32, load: &Load) {
        let here = &self.clients[client as usize];
        let sink = self.sink.clone();
        if self.is_ours {
            let call = here.invoke_server(&FUNCTION, &load.args);
            call.timeout(PATIENCE).then(move |result| {
                if let Ok(args) = result {
                    sink.arrived(client, &args.0);
                }
            });
        } else {
            let bytes = Bytes::copy_from_slice(&load.bytes);
            let call = here.invoke_server(&echo::FUNCTION, &bytes);
            call.timeout(PATIENCE).then(move |result| {
                if let Ok(bytes) = result {
                    sink.arrived(client, &bytes);
                }
            });
        }
    }
}

fn listen(client: &Client, number: u32, sink: &Arc<Sink>, is_ours: bool) {
    let (one, other) = (sink.clone(), sink.clone());
    if is_ours {
        client.on_client_event(&RELIABLE, move |args: Args| one.arrived(number, &args.0));
        client.on_client_event(&UNRELIABLE, move |args: Args| {
            other.arrived(number, &args.0);
        });
    } else {
        client.on_client_event(&echo::RELIABLE, move |bytes| one.arrived(number, &bytes));
        client.on_client_event(&echo::UNRELIABLE, move |bytes| {
            other.arrived(number, &bytes);
        });
    }
}

impl Side for Clients {
    fn load(&self, cell: &Cell) -> Result<(), Complaint> {
        *lock(&self.load) = Some(Load::new(cell)?);
        Ok(())
    }

    fn sink(&self) -> &Sink {
        &self.sink
    }

    fn traffic(&self) -> Traffic {
        let stats = self.clients.iter().map(|client| client.stats());
        stats.map(|stats| traffic(&stats)).sum()
    }

    fn state(&self) -> serde_json::Value {
        let stats = self.clients.first().map(|client| state(&client.stats()));
        json!({ "clients": self.clients.len(), "first_client": stats })
    }
}

impl SendEvents for Clients {
    fn send(&self, sender: u32, stamp: Stamp) -> bool {
        let mut load = lock(&self.load);
        let Some(load) = &mut *load else {
            return false;
        };
        load.args.0 = stamp.to_bytes();
        load.bytes[..Stamp::LEN].copy_from_slice(&load.args.0);
        let client = &self.clients[sender as usize];
        let fired = match (load.kind, self.is_ours) {
            (Kind::Function, _) => {
                self.call(sender, load);
                return true;
            }
            (Kind::Unreliable, true) => client.fire_server(&UNRELIABLE, &load.args),
            (Kind::Reliable | Kind::Broadcast, true) => client.fire_server(&RELIABLE, &load.args),
            (kind, false) => {
                let bytes = Bytes::copy_from_slice(&load.bytes);
                match kind {
                    Kind::Unreliable => client.fire_server(&echo::UNRELIABLE, &bytes),
                    _ => client.fire_server(&echo::RELIABLE, &bytes),
                }
            }
        };
        fired.is_ok()
    }

    fn flush(&self) {
        self.clients.iter().for_each(Client::flush);
    }
}

fn traffic(stats: &LinkStats) -> Traffic {
    Traffic {
        sent_bytes: stats.sent_bytes,
        received_bytes: stats.received_bytes,
        datagrams: stats.sent_datagrams,
        send_calls: stats.send_calls,
    }
}

fn state(stats: &LinkStats) -> serde_json::Value {
    json!({
        "network_ping_us": stats.network_ping.as_secs_f64() * 1e6,
        "mtu": stats.mtu,
        "sent_packets": stats.sent_packets,
        "lost_packets": stats.lost_packets,
        "queued_bytes": stats.queued_bytes,
    })
}

impl std::iter::Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            sent_bytes: sum.sent_bytes + one.sent_bytes,
            received_bytes: sum.received_bytes + one.received_bytes,
            datagrams: sum.datagrams + one.datagrams,
            send_calls: sum.send_calls + one.send_calls,
        })
    }
}

/// Limits that no benchmark should meet: what is measured is what an event takes, and a queue that grows
/// shows as latency.
fn generous() -> Limits {
    let mut limits = Limits::default();
    let much = Rate::per_second(50_000_000);
    limits.events = much;
    limits.unreliable_events = much;
    limits.echo = much;
    limits.bytes_from_client = Rate::per_second(u32::MAX);
    limits.offences_per_minute = u32::MAX;
    limits.calls_running = 32;
    limits.calls_queued = 32;
    limits.calls_in_flight = 64;
    limits.calls_waiting = 65_536;
    limits.outbox_bytes = 64 * 1024 * 1024;
    limits.unreliable_outbox_bytes = 4 * 1024 * 1024;
    limits.broadcast_bytes = 64 * 1024 * 1024;
    limits
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a call is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
