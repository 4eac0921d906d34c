//! Bare quinn: one thread with a single-threaded runtime per side, everything in spawned tasks.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{
    ClientConfig, Connection, Endpoint, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    rustls,
};
use tokio::runtime::{Builder, Handle};

use crate::clock::{Clock, PAYLOAD};

pub(crate) struct Bare {
    runtime: Handle,
    connection: Connection,
}

impl Bare {
    pub(crate) fn start() -> Self {
        let (certificate, key) = identity();
        let server = runtime("quinn-server");
        let (send, receive) = mpsc::channel();
        let chain = certificate.clone();
        server.spawn(async move {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let crypto = rustls::ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![chain], key)
                .unwrap();
            let crypto = QuicServerConfig::try_from(crypto).unwrap();
            let config = ServerConfig::with_crypto(Arc::new(crypto));
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let endpoint = Endpoint::server(config, any).unwrap();
            send.send(endpoint.local_addr().unwrap()).unwrap();
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async move { echo(incoming.await.unwrap()).await });
            }
        });
        let address = receive.recv().unwrap();
        let runtime = runtime("quinn-client");
        let (send, receive) = mpsc::channel();
        runtime.spawn(async move {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let crypto = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let crypto = QuicClientConfig::try_from(crypto).unwrap();
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let mut endpoint = Endpoint::client(any).unwrap();
            endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
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
        let program = Builder::new_current_thread().enable_all().build().unwrap();
        let task = program.spawn(calls(self.connection.clone(), trips));
        program.block_on(task).unwrap()
    }

    /// Runs on the thread that the connection lives on.
    fn here<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
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

async fn echo(connection: Connection) {
    let datagrams = connection.clone();
    tokio::spawn(async move {
        while let Ok(datagram) = datagrams.read_datagram().await {
            datagrams.send_datagram(datagram).unwrap();
        }
    });
    let streams = connection.clone();
    tokio::spawn(async move {
        while let Ok(mut receive) = streams.accept_uni().await {
            let mut send = streams.open_uni().await.unwrap();
            tokio::spawn(async move {
                while let Ok(Some(chunk)) = receive.read_chunk(4096, true).await {
                    send.write_chunk(chunk.bytes).await.unwrap();
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
fn runtime(name: &str) -> Handle {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(31)
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name(name.into()).spawn(run).unwrap();
    handle
}

fn identity() -> (
    rustls::pki_types::CertificateDer<'static>,
    rustls::pki_types::PrivateKeyDer<'static>,
) {
    let certified = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    (certified.cert.der().clone(), key.into())
}
