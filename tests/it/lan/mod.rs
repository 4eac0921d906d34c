//! Playing with the people in the room: who is joined, who is refused, and what each is told.

mod joining;
mod playtest;
mod rotation;
mod trust;

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use farfire::{
    Server, ServerBuilder,
    lan::{Address, JoinLink},
    tls::Identity,
};
use quinn::Endpoint;

/// A server with an identity in a folder, as a host has it.
struct Host {
    dir: tempfile::TempDir,
    server: Server,
}

impl Host {
    fn new() -> Self {
        Self::with(|server| server)
    }

    fn with(describe: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(dir.path()).unwrap();
        let server = describe(Server::builder("127.0.0.1:0", identity));
        let server = server.start().unwrap();
        Self { dir, server }
    }

    fn address(&self) -> String {
        self.server.local_addr().to_string()
    }

    fn link(&self) -> JoinLink {
        JoinLink::new(Address::from(self.server.local_addr()), self.server.pin())
    }

    /// Somebody who shows this host's certificate and does not have its key.
    fn impostor(&self) -> Impostor {
        let certificate = std::fs::read(self.dir.path().join("server.crt")).unwrap();
        Impostor::on(crate::raw::impostor(&certificate))
    }
}

/// A server that is not the one, and counts what it is told.
struct Impostor {
    endpoint: Endpoint,
    /// Handshakes that were begun, and streams that were opened.
    met: Arc<[AtomicUsize; 2]>,
}

impl Impostor {
    /// With a key and a certificate of its own.
    fn stranger() -> Self {
        Self::on(crate::raw::server(crate::raw::ALPN).0)
    }

    fn on(endpoint: Endpoint) -> Self {
        let met = Arc::<[AtomicUsize; 2]>::default();
        let (accepting, counts) = (endpoint.clone(), met.clone());
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                counts[0].fetch_add(1, Ordering::SeqCst);
                let counts = counts.clone();
                tokio::spawn(async move {
                    // It sends as early as a server can, and listens for whatever a client would say.
                    let Ok(connecting) = incoming.accept() else {
                        return;
                    };
                    let Ok((connection, _)) = connecting.into_0rtt() else {
                        return;
                    };
                    tokio::select! {
                        stream = connection.accept_bi() => drop(stream.map(|_| counts[1].fetch_add(1, Ordering::SeqCst))),
                        stream = connection.accept_uni() => drop(stream.map(|_| counts[1].fetch_add(1, Ordering::SeqCst))),
                        datagram = connection.read_datagram() => drop(datagram.map(|_| counts[1].fetch_add(1, Ordering::SeqCst))),
                    }
                    connection.closed().await;
                });
            }
        });
        Self { endpoint, met }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    fn handshakes(&self) -> usize {
        self.met[0].load(Ordering::SeqCst)
    }

    fn heard(&self) -> usize {
        self.met[1].load(Ordering::SeqCst)
    }
}

/// A place that takes packets and never answers.
fn nobody() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
