//! Bare quinn: one thread with a single-threaded runtime per side, everything in spawned tasks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use farfire::Timeouts;
use quinn::{
    ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    rustls::{
        self,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tokio::runtime::{Builder, Handle};

use crate::clock::{Clock, PAYLOAD};

pub(crate) struct Bare {
    runtime: Handle,
    pub(crate) connection: Connection,
    /// Bytes and datagrams that the server took without an answer.
    pub(crate) sunk: Arc<AtomicUsize>,
    _polling: Option<Arc<()>>,
}

impl Bare {
    pub(crate) fn start() -> Self {
        Self::start_with(false)
    }

    /// `busy` has both threads poll instead of sleeping.
    pub(crate) fn start_with(busy: bool) -> Self {
        let (certificate, key) = identity();
        let polling = busy.then(Arc::default);
        let busy = || polling.as_ref().map(Arc::downgrade);
        let server = runtime("quinn-server", busy());
        let (send, receive) = mpsc::channel();
        let chain = certificate.clone();
        let sunk = Arc::<AtomicUsize>::default();
        let sink = sunk.clone();
        server.spawn(async move {
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let endpoint = Endpoint::server(server_config(chain, key), any).unwrap();
            send.send(endpoint.local_addr().unwrap()).unwrap();
            while let Some(incoming) = endpoint.accept().await {
                let sink = sink.clone();
                tokio::spawn(async move { echo(incoming.await.unwrap(), sink).await });
            }
        });
        let address = receive.recv().unwrap();
        let runtime = runtime("quinn-client", busy());
        let (send, receive) = mpsc::channel();
        runtime.spawn(async move {
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let mut endpoint = Endpoint::client(any).unwrap();
            let mut config = client_config(certificate);
            // It waits while others are measured, as farfire's does, and must still be there.
            let mut transport = TransportConfig::default();
            transport.keep_alive_interval(Some(Timeouts::default().keep_alive));
            config.transport_config(Arc::new(transport));
            endpoint.set_default_client_config(config);
            let connection = endpoint
                .connect(address, "localhost")
                .unwrap()
                .await
                .unwrap();
            send.send(connection.clone()).unwrap();
            connection.closed().await;
        });
        Self {
            runtime,
            connection: receive.recv().unwrap(),
            sunk,
            _polling: polling,
        }
    }

    pub(crate) fn datagrams(&self, trips: usize) -> Vec<Duration> {
        let connection = self.connection.clone();
        self.here(async move {
            let mut clock = Clock::new(trips);
            for _ in 0..trips {
                connection
                    .send_datagram(Bytes::from_static(&PAYLOAD))
                    .unwrap();
                connection.read_datagram().await.unwrap();
                clock.tick();
            }
            clock.samples
        })
    }

    pub(crate) fn stream(&self, trips: usize) -> Vec<Duration> {
        let connection = self.connection.clone();
        self.here(async move {
            let mut send = connection.open_uni().await.unwrap();
            send.write_all(&PAYLOAD).await.unwrap();
            let mut receive = connection.accept_uni().await.unwrap();
            let mut answer = [0; PAYLOAD.len()];
            receive.read_exact(&mut answer).await.unwrap();
            let mut clock = Clock::new(trips);
            for _ in 0..trips {
                send.write_all(&PAYLOAD).await.unwrap();
                receive.read_exact(&mut answer).await.unwrap();
                clock.tick();
            }
            clock.samples
        })
    }

    pub(crate) fn calls_here(&self, trips: usize) -> Vec<Duration> {
        self.here(calls(self.connection.clone(), trips))
    }

    pub(crate) fn calls_apart(&self, trips: usize) -> Vec<Duration> {
        self.calls_from(Builder::new_current_thread(), trips)
    }

    /// The same from a task of a runtime that moves its tasks between threads.
    pub(crate) fn calls_from_many(&self, trips: usize) -> Vec<Duration> {
        self.calls_from(Builder::new_multi_thread(), trips)
    }

    fn calls_from(&self, mut program: Builder, trips: usize) -> Vec<Duration> {
        let program = program.enable_all().build().unwrap();
        let task = program.spawn(calls(self.connection.clone(), trips));
        program.block_on(task).unwrap()
    }

    /// Runs on the thread that the connection lives on.
    pub(crate) fn here<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (send, receive) = mpsc::channel();
        self.runtime.spawn(async move { send.send(future.await) });
        receive.recv().unwrap()
    }
}

async fn calls(connection: Connection, trips: usize) -> Vec<Duration> {
    let mut samples = Vec::with_capacity(trips);
    for _ in 0..trips {
        let began = Instant::now();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&PAYLOAD).await.unwrap();
        send.finish().unwrap();
        receive.read_to_end(1024).await.unwrap();
        samples.push(began.elapsed());
    }
    samples
}

/// Answers with what came, but for what begins with zero.
async fn echo(connection: Connection, sunk: Arc<AtomicUsize>) {
    let (datagrams, sink) = (connection.clone(), sunk.clone());
    tokio::spawn(async move {
        while let Ok(datagram) = datagrams.read_datagram().await {
            match datagram.first() {
                Some(0) => _ = sink.fetch_add(1, Ordering::Relaxed),
                _ => datagrams.send_datagram(datagram).unwrap(),
            }
        }
    });
    let streams = connection.clone();
    tokio::spawn(async move {
        while let Ok(mut receive) = streams.accept_uni().await {
            let mut send = streams.open_uni().await.unwrap();
            let sink = sunk.clone();
            tokio::spawn(async move {
                let mut chunks: [Bytes; 16] = Default::default();
                while let Ok(Some(count)) = receive.read_chunks(&mut chunks).await {
                    for chunk in &mut chunks[..count] {
                        let chunk = std::mem::take(chunk);
                        match chunk.first() {
                            Some(0) => _ = sink.fetch_add(chunk.len(), Ordering::Relaxed),
                            _ => send.write_chunk(chunk).await.unwrap(),
                        }
                    }
                }
            });
        }
    });
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let request = receive.read_to_end(1024).await.unwrap();
            send.write_chunk(request.into()).await.unwrap();
            send.finish().unwrap();
        });
    }
}

/// A single-threaded runtime on a thread of its own, as farfire's network threads are.
///
/// It polls instead of sleeping until whoever holds `busy` is gone: the next workload is not to share its
/// core with it.
pub(crate) fn runtime(name: &str, busy: Option<Weak<()>>) -> Handle {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(31)
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    if let Some(busy) = busy {
        handle.spawn(async move {
            while busy.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        });
    }
    let run = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name(name.into()).spawn(run).unwrap();
    handle
}

pub(crate) fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto).unwrap()))
}

pub(crate) fn client_config(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let crypto = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto).unwrap()))
}

pub(crate) fn identity() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    (certified.cert.der().clone(), key.into())
}
