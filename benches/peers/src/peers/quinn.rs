//! quinn as it is: datagrams, one stream each way, and a stream for each call.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Peer;
use crate::work::{Body, Calls, Counter, Events, Figures, Kind, Load, drive_calls, drive_events};

pub const PEER: Peer = Peer {
    name: "quinn",
    note: "bare; floods in batches of 16 KiB",
    can: |_| true,
    serve: || super::block_on(serve()),
    drive: |place, load, count| super::block_on(drive(place, load, count)),
};

async fn serve() {
    let certified = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key: PrivateKeyDer<'static> =
        PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()).into();
    let chain: CertificateDer<'static> = certified.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain.clone()], key)
        .unwrap();
    let crypto = QuicServerConfig::try_from(crypto).unwrap();
    let config = ServerConfig::with_crypto(Arc::new(crypto));
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let endpoint = Endpoint::server(config, any).unwrap();
    let hex: String = chain.iter().map(|byte| format!("{byte:02x}")).collect();
    super::ready(format_args!("{} {hex}", endpoint.local_addr().unwrap()));
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let calls = connection.clone();
    tokio::spawn(async move {
        while let Ok((mut send, mut receive)) = calls.accept_bi().await {
            tokio::spawn(async move {
                let request = receive.read_to_end(1024).await.unwrap();
                send.write_chunk(request.into()).await.unwrap();
                send.finish().unwrap();
            });
        }
    });
    // The two ways share the counter, so one task has both.
    let mut counter = Counter::default();
    let mut read = Framed::new(connection.accept_uni().await.unwrap());
    let mut write = connection.open_uni().await.unwrap();
    loop {
        let (kind, body) = tokio::select! {
            body = read.next() => match body {
                Some(body) => (Kind::Reliable, body),
                None => break,
            },
            datagram = connection.read_datagram() => match datagram {
                Ok(datagram) => (Kind::Unreliable, Body::from_bytes(&datagram)),
                Err(_) => break,
            },
        };
        match counter.take(kind, body) {
            Some((Kind::Reliable, answer)) => write.write_all(&answer.to_bytes()).await.unwrap(),
            Some((Kind::Unreliable, answer)) => connection
                .send_datagram(Bytes::copy_from_slice(&answer.to_bytes()))
                .unwrap(),
            None => {}
        }
    }
}

async fn drive(place: &str, load: Load, count: u64) -> Figures {
    let (address, hex) = place.split_once(' ').unwrap();
    let certificate: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.into()).unwrap();
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
        .connect(address.parse().unwrap(), "localhost")
        .unwrap()
        .await
        .unwrap();
    match load {
        Load::Calls { in_flight } => drive_calls(&connection, in_flight, count).await,
        _ => {
            let mut write = connection.open_uni().await.unwrap();
            // A stream exists for the other side when something is on it.
            write.write_all(&Body::RESET.to_bytes()).await.unwrap();
            let mut read = Framed::new(connection.accept_uni().await.unwrap());
            read.next().await.expect("an answer");
            let mut link = Bare {
                datagrams: load.is_unreliable(),
                connection,
                write,
                read,
                batch: Vec::with_capacity(BATCH),
            };
            drive_events(&mut link, load, count).await
        }
    }
}

struct Bare {
    connection: Connection,
    write: SendStream,
    read: Framed,
    batch: Vec<u8>,
    /// Echoes come as datagrams.
    datagrams: bool,
}

impl Events for Bare {
    async fn send(&mut self, kind: Kind, body: Body) {
        match kind {
            Kind::Reliable => {
                self.batch.extend_from_slice(&body.to_bytes());
                if self.batch.len() + Body::LEN > BATCH {
                    self.flush().await;
                }
            }
            Kind::Unreliable => {
                let datagram = Bytes::copy_from_slice(&body.to_bytes());
                self.connection.send_datagram_wait(datagram).await.unwrap();
            }
        }
    }

    async fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.write.write_all(&self.batch).await.unwrap();
            self.batch.clear();
        }
    }

    async fn receive(&mut self) -> Body {
        if !self.datagrams {
            return self.read.next().await.expect("an answer");
        }
        tokio::select! {
            datagram = self.connection.read_datagram() => Body::from_bytes(&datagram.unwrap()),
            body = self.read.next() => body.expect("an answer"),
        }
    }
}

impl Calls for Connection {
    async fn call(&self, body: Body) -> Body {
        let (mut send, mut receive) = self.open_bi().await.unwrap();
        send.write_all(&body.to_bytes()).await.unwrap();
        send.finish().unwrap();
        Body::from_bytes(&receive.read_to_end(1024).await.unwrap())
    }
}

/// A stream cut into bodies. Dropping `next` loses nothing.
struct Framed {
    stream: RecvStream,
    rest: Vec<u8>,
    at: usize,
}

impl Framed {
    fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            at: 0,
        }
    }

    async fn next(&mut self) -> Option<Body> {
        while self.rest.len() - self.at < Body::LEN {
            let chunk = self.stream.read_chunk(64 * 1024, true).await.ok()??;
            self.rest.drain(..self.at);
            self.at = 0;
            self.rest.extend_from_slice(&chunk.bytes);
        }
        let body = Body::from_bytes(&self.rest[self.at..self.at + Body::LEN]);
        self.at += Body::LEN;
        Some(body)
    }
}

const BATCH: usize = 16 * 1024;
