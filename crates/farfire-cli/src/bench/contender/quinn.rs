//! Bare quinn: a thread with a single-threaded runtime per side, everything in spawned tasks, and a queue
//! with a writer task in front of a stream, which is the quickest way to use it that a trial found.

use std::{
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, mpsc as channel},
    thread,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    rustls,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
};

use super::{Contender, Door, Setting, Side, Traffic, udp::Common};
use crate::{
    bench::{
        cell::{Cell, Kind},
        payload::Stamp,
        recording::Sink,
        schedule::Send as SendEvents,
    },
    exit::Complaint,
};

type Trouble = Box<dyn Error + Send + Sync>;

struct Serving {
    sink: Sink,
    connections: Arc<Mutex<Vec<Connection>>>,
    _thread: Thread,
}

pub(super) fn serve() -> Result<(Door, Arc<dyn Side>), Trouble> {
    let certified = rcgen::generate_simple_self_signed(["localhost".into()])?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto)?));
    config.transport_config(transport());
    let thread = Thread::start("quinn-server")?;
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let entered = thread.runtime.enter();
    let endpoint = Endpoint::server(config, any)?;
    drop(entered);
    let door = Door {
        contender: Contender::Quinn,
        address: endpoint.local_addr()?,
        secret: certified.cert.der().to_vec(),
    };
    let connections = Arc::<Mutex<Vec<Connection>>>::default();
    let list = connections.clone();
    thread.runtime.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let list = list.clone();
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    list.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(connection.clone());
                    echo(connection).await;
                }
            });
        }
    });
    let serving = Serving {
        sink: Sink::default(),
        connections,
        _thread: thread,
    };
    Ok((door, Arc::new(serving)))
}

async fn echo(connection: Connection) {
    let datagrams = connection.clone();
    tokio::spawn(async move {
        while let Ok(datagram) = datagrams.read_datagram().await {
            let _ = datagrams.send_datagram(datagram);
        }
    });
    let streams = connection.clone();
    tokio::spawn(async move {
        while let Ok(mut receive) = streams.accept_uni().await {
            let Ok(mut send) = streams.open_uni().await else {
                return;
            };
            tokio::spawn(async move {
                while let Ok(Some(chunk)) = receive.read_chunk(64 * 1024, true).await {
                    if send.write_chunk(chunk.bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            if let Ok(request) = receive.read_to_end(MOST).await
                && send.write_chunk(request.into()).await.is_ok()
            {
                let _ = send.finish();
            }
        });
    }
}

impl Side for Serving {
    fn load(&self, _: &Cell) -> Result<(), Complaint> {
        Ok(())
    }

    fn sink(&self) -> &Sink {
        &self.sink
    }

    fn traffic(&self) -> Traffic {
        let list = self.connections.lock();
        let list = list.unwrap_or_else(PoisonError::into_inner);
        list.iter().map(traffic).sum()
    }
}

impl SendEvents for Serving {
    fn send(&self, _: u32, _: Stamp) -> bool {
        false
    }

    fn flush(&self) {}
}

struct Clients {
    clients: Vec<Quinn>,
    common: Arc<Common>,
    kind: Mutex<Kind>,
    thread: Thread,
}

struct Quinn {
    connection: Connection,
    /// What the writer task puts on the stream.
    queue: UnboundedSender<Bytes>,
}

pub(super) fn connect(
    door: &Door,
    setting: &Setting,
) -> Result<(Arc<dyn Side>, Vec<Duration>), Trouble> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(door.secret.clone().into())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let crypto = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    config.transport_config(transport());
    let thread = Thread::start("quinn-client")?;
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let entered = thread.runtime.enter();
    let endpoint = Endpoint::client(any)?;
    drop(entered);
    let common = Arc::<Common>::default();
    let (mut clients, mut took) = (Vec::new(), Vec::new());
    for number in 0..setting.clients {
        let began = Instant::now();
        let (tell, hear) = channel::channel();
        let (endpoint, config, address) = (endpoint.clone(), config.clone(), door.address);
        let common = common.clone();
        thread.runtime.spawn(async move {
            let _ = tell.send(join(&endpoint, config, address, number, common).await);
        });
        clients.push(hear.recv()??);
        took.push(began.elapsed());
    }
    let clients = Clients {
        clients,
        common,
        kind: Mutex::new(Kind::Reliable),
        thread,
    };
    Ok((Arc::new(clients), took))
}

async fn join(
    endpoint: &Endpoint,
    config: ClientConfig,
    address: SocketAddr,
    number: u32,
    common: Arc<Common>,
) -> Result<Quinn, Trouble> {
    let connecting = endpoint.connect_with(config, address, "localhost")?;
    let connection = connecting.await?;
    let (here, sink) = (connection.clone(), common.clone());
    tokio::spawn(async move {
        while let Ok(datagram) = here.read_datagram().await {
            sink.sink.arrived(number, &datagram);
        }
    });
    let (queue, queued) = unbounded_channel();
    tokio::spawn(write(connection.clone(), queued));
    let here = connection.clone();
    tokio::spawn(async move {
        while let Ok(stream) = here.accept_uni().await {
            tokio::spawn(read(stream, number, common.clone()));
        }
    });
    Ok(Quinn { connection, queue })
}

/// Everything that is queued goes into one write: quinn's costs grow with the number of writes.
async fn write(connection: Connection, mut queued: UnboundedReceiver<Bytes>) {
    let mut batch = Vec::new();
    let mut stream = None;
    while queued.recv_many(&mut batch, 1024).await > 0 {
        if stream.is_none() {
            stream = connection.open_uni().await.ok();
        }
        let Some(stream) = &mut stream else { return };
        let written = match &mut batch[..] {
            [one] => stream.write_chunk(std::mem::take(one)).await,
            many => stream.write_all_chunks(many).await,
        };
        if written.is_err() {
            return;
        }
        batch.clear();
    }
}

async fn read(mut stream: RecvStream, number: u32, common: Arc<Common>) {
    let mut buffer = BytesMut::new();
    while let Ok(Some(chunk)) = stream.read_chunk(64 * 1024, true).await {
        buffer.extend_from_slice(&chunk.bytes);
        while let Some(length) = buffer.first_chunk() {
            let whole = 4 + u32::from_le_bytes(*length) as usize;
            if buffer.len() < whole {
                break;
            }
            let event = buffer.split_to(whole);
            common.sink.arrived(number, &event[4..]);
        }
    }
}

impl Side for Clients {
    fn load(&self, cell: &Cell) -> Result<(), Complaint> {
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = cell.kind;
        self.common.load(cell)
    }

    fn sink(&self) -> &Sink {
        &self.common.sink
    }

    fn traffic(&self) -> Traffic {
        let connections = self.clients.iter().map(|client| &client.connection);
        connections.map(traffic).sum()
    }
}

impl SendEvents for Clients {
    fn send(&self, sender: u32, stamp: Stamp) -> bool {
        let kind = *self.kind.lock().unwrap_or_else(PoisonError::into_inner);
        let client = &self.clients[sender as usize];
        self.common.send(stamp, |event| match kind {
            Kind::Unreliable => {
                let event = Bytes::copy_from_slice(event);
                client.connection.send_datagram(event).is_ok()
            }
            Kind::Function => {
                let (connection, common) = (client.connection.clone(), self.common.clone());
                let event = Bytes::copy_from_slice(event);
                self.thread.runtime.spawn(async move {
                    let Ok((mut send, mut receive)) = connection.open_bi().await else {
                        return;
                    };
                    if send.write_chunk(event).await.is_ok()
                        && send.finish().is_ok()
                        && let Ok(event) = receive.read_to_end(MOST).await
                    {
                        common.sink.arrived(sender, &event);
                    }
                });
                true
            }
            Kind::Reliable | Kind::Broadcast => {
                let mut frame = BytesMut::with_capacity(4 + event.len());
                frame.extend_from_slice(&(event.len() as u32).to_le_bytes());
                frame.extend_from_slice(event);
                client.queue.send(frame.freeze()).is_ok()
            }
        })
    }

    fn flush(&self) {}
}

fn traffic(connection: &Connection) -> Traffic {
    let stats = connection.stats();
    Traffic {
        sent_bytes: stats.udp_tx.bytes,
        received_bytes: stats.udp_rx.bytes,
        datagrams: stats.udp_tx.datagrams,
        send_calls: stats.udp_tx.ios,
    }
}

/// Quinn's defaults, but that a connection outlives the runs of the others.
fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(Duration::from_secs(3)))
        .max_idle_timeout(Some(VarInt::from_u32(60_000).into()));
    Arc::new(transport)
}

/// A single-threaded runtime on a thread of its own, as farfire's network threads are.
struct Thread {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

impl Thread {
    fn start(name: &str) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(31)
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name(name.into()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self {
            runtime: handle,
            _stop: stop,
        })
    }
}

/// What an end takes of one call.
const MOST: usize = 256 * 1024;
