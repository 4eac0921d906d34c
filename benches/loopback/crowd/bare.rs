//! Bare quinn's server, and the players who join it, with the settings that farfire's has.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use quinn::{
    AckFrequencyConfig, Connection, Endpoint, TransportConfig, congestion::CubicConfig,
    rustls::pki_types::CertificateDer,
};
use tokio::runtime::Handle;

use super::{AT_ONCE, Caller, Guests, Hall};
use crate::{
    bare::{client_config, identity, runtime, server_config},
    clock::PAYLOAD,
};

pub(super) struct Quinn {
    runtime: Handle,
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    endpoint: Endpoint,
    players: Arc<Mutex<Vec<Connection>>>,
    news: Bytes,
}

impl Quinn {
    pub(super) fn start(bytes: usize) -> Self {
        let (certificate, key) = identity();
        let runtime = runtime("quinn-server", None);
        let mut config = server_config(certificate.clone(), key);
        config.transport_config(Arc::new(transport()));
        let endpoint = {
            let _entered = runtime.enter();
            Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
        };
        let players = Arc::<Mutex<Vec<Connection>>>::default();
        let (accepting, joined) = (endpoint.clone(), players.clone());
        runtime.spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                let joined = joined.clone();
                tokio::spawn(async move {
                    let connection = incoming.await.unwrap();
                    joined.lock().unwrap().push(connection.clone());
                    answer(connection).await;
                });
            }
        });
        Self {
            runtime,
            address: endpoint.local_addr().unwrap(),
            certificate,
            endpoint,
            players,
            news: vec![7; bytes].into(),
        }
    }
}

impl Hall for Quinn {
    fn address(&self) -> Vec<String> {
        let hex = self.certificate.iter().map(|byte| format!("{byte:02x}"));
        vec!["quinn".into(), self.address.to_string(), hex.collect()]
    }

    fn players(&self) -> usize {
        self.players.lock().unwrap().len()
    }

    fn broadcast(&self, timed: bool) -> Caller {
        let (players, news) = (self.players.clone(), self.news.clone());
        let (send, receive) = mpsc::channel();
        // On the thread of the connections, as everything of theirs.
        self.runtime.spawn(async move {
            let all = || {
                for player in players.lock().unwrap().iter() {
                    let _ = player.send_datagram(news.clone());
                }
            };
            send.send(Caller::of(timed, all))
        });
        receive.recv().unwrap()
    }
}

impl Drop for Quinn {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
    }
}

/// What farfire's server sets (`src/network/transport.rs`), as far as it decides about memory and cost.
fn transport() -> TransportConfig {
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements
        .max_ack_delay(Some(Duration::from_millis(5)))
        .reordering_threshold(1_u32.into());
    let mut congestion = CubicConfig::default();
    congestion.initial_window(32 * 1200);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(96_u32.into())
        .max_concurrent_uni_streams(64_u32.into())
        .receive_window((384_u32 * 1024).into())
        .stream_receive_window((128_u32 * 1024).into())
        .send_window(512 * 1024)
        .datagram_receive_buffer_size(Some(64 * 1024))
        .datagram_send_buffer_size(32 * 1024)
        .send_fairness(false)
        .ack_frequency_config(Some(acknowledgements))
        .congestion_controller_factory(Arc::new(congestion));
    transport
}

/// Calls are answered with what they say.
async fn answer(connection: Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let request = receive.read_to_end(1024).await.unwrap_or_default();
            let _ = send.write_chunk(request.into()).await;
            let _ = send.finish();
        });
    }
}

pub(super) struct Crowd {
    runtime: Handle,
    endpoint: Endpoint,
    address: SocketAddr,
    clients: Vec<Connection>,
    arrived: Arc<AtomicUsize>,
}

impl Crowd {
    pub(super) fn new(address: SocketAddr, certificate: &str) -> Self {
        let byte = |at: usize| u8::from_str_radix(&certificate[at..at + 2], 16).unwrap();
        let certificate: Vec<u8> = (0..certificate.len()).step_by(2).map(byte).collect();
        let runtime = runtime("quinn-clients", None);
        let mut endpoint = {
            let _entered = runtime.enter();
            Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
        };
        endpoint.set_default_client_config(client_config(certificate.into()));
        Self {
            runtime,
            endpoint,
            address,
            clients: Vec::new(),
            arrived: Arc::default(),
        }
    }

    fn wait<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        self.runtime.spawn(async move { send.send(future.await) });
        receive.recv().unwrap()
    }
}

impl Guests for Crowd {
    fn join(&mut self, players: usize) {
        let (endpoint, address) = (self.endpoint.clone(), self.address);
        let arrived = self.arrived.clone();
        self.clients = self.wait(async move {
            let connect = |_| {
                let arrived = arrived.clone();
                let connecting = endpoint.connect(address, "localhost").unwrap();
                async move {
                    let connection = connecting.await.unwrap();
                    let reader = connection.clone();
                    tokio::spawn(async move {
                        while reader.read_datagram().await.is_ok() {
                            arrived.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                    connection
                }
            };
            let clients = stream::iter(0..players).map(connect);
            clients.buffer_unordered(AT_ONCE).collect().await
        });
    }

    fn call(&self) -> Duration {
        let connection = self.clients.last().unwrap().clone();
        let began = Instant::now();
        self.wait(async move {
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            send.write_all(&PAYLOAD).await.unwrap();
            send.finish().unwrap();
            receive.read_to_end(1024).await.unwrap()
        });
        began.elapsed()
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }
}
