//! renet with its netcode transport, encryption off as its documentation does for tests.

use std::{
    collections::VecDeque,
    net::UdpSocket,
    time::{Duration, Instant, SystemTime},
};

use renet::{ClientId, ConnectionConfig, DefaultChannel, RenetClient, RenetServer};
use renet_netcode::{
    ClientAuthentication, NetcodeClientTransport, NetcodeServerTransport, ServerAuthentication,
    ServerConfig,
};

use super::Peer;
use crate::{
    polled::{self, Looped, Polled},
    work::{Body, Kind, drive_events},
};

pub const PEER: Peer = Peer {
    name: "renet",
    note: "netcode without authentication; polled without a pause",
    can: super::events,
    serve: || polled::serve(Server::start()),
    drive: |place, load, count| {
        super::block_on(drive_events(
            &mut Looped::new(Client::connect(place)),
            load,
            count,
        ))
    },
};

struct Server {
    renet: RenetServer,
    transport: NetcodeServerTransport,
    last: Instant,
}

impl Server {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let config = ServerConfig {
            current_time: now(),
            max_clients: 8,
            protocol_id: PROTOCOL,
            public_addresses: vec![address],
            authentication: ServerAuthentication::Unsecure,
        };
        let transport = NetcodeServerTransport::new(config, socket).unwrap();
        super::ready(address);
        Self {
            renet: RenetServer::new(config_of_connection()),
            transport,
            last: Instant::now(),
        }
    }
}

impl Polled for Server {
    fn turn(&mut self, inbox: &mut VecDeque<(Kind, Body)>) {
        // Before reading: what the answers to the last turn were.
        self.transport.send_packets(&mut self.renet);
        let passed = polled::since(&mut self.last);
        self.renet.update(passed);
        self.transport.update(passed, &mut self.renet).unwrap();
        for kind in [Kind::Reliable, Kind::Unreliable] {
            while let Some(message) = self.renet.receive_message(CLIENT, channel(kind)) {
                inbox.push_back((kind, Body::from_bytes(&message)));
            }
        }
    }

    fn send(&mut self, kind: Kind, body: Body) -> bool {
        let message = body.to_bytes().to_vec();
        self.renet.send_message(CLIENT, channel(kind), message);
        true
    }
}

struct Client {
    renet: RenetClient,
    transport: NetcodeClientTransport,
    last: Instant,
}

impl Client {
    fn connect(place: &str) -> Self {
        let authentication = ClientAuthentication::Unsecure {
            server_addr: place.parse().unwrap(),
            client_id: CLIENT,
            user_data: None,
            protocol_id: PROTOCOL,
        };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut client = Self {
            renet: RenetClient::new(config_of_connection()),
            transport: NetcodeClientTransport::new(now(), authentication, socket).unwrap(),
            last: Instant::now(),
        };
        let mut nothing = VecDeque::new();
        while !client.renet.is_connected() {
            client.turn(&mut nothing);
            std::thread::yield_now();
        }
        client
    }
}

impl Polled for Client {
    fn turn(&mut self, inbox: &mut VecDeque<(Kind, Body)>) {
        if self.renet.is_connected() {
            self.transport.send_packets(&mut self.renet).unwrap();
        }
        let passed = polled::since(&mut self.last);
        self.renet.update(passed);
        self.transport.update(passed, &mut self.renet).unwrap();
        for kind in [Kind::Reliable, Kind::Unreliable] {
            while let Some(message) = self.renet.receive_message(channel(kind)) {
                inbox.push_back((kind, Body::from_bytes(&message)));
            }
        }
    }

    fn send(&mut self, kind: Kind, body: Body) -> bool {
        // A reliable channel that is full ends the connection, the receiver's as well as ours.
        let room = self.renet.channel_available_memory(channel(kind));
        if room < ROOM {
            return false;
        }
        let message = body.to_bytes().to_vec();
        self.renet.send_message(channel(kind), message);
        true
    }
}

fn channel(kind: Kind) -> DefaultChannel {
    match kind {
        Kind::Reliable => DefaultChannel::ReliableOrdered,
        Kind::Unreliable => DefaultChannel::Unreliable,
    }
}

fn config_of_connection() -> ConnectionConfig {
    ConnectionConfig::default()
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
}

const CLIENT: ClientId = 1;
const PROTOCOL: u64 = 7;
/// Of the five megabytes of a channel, so many stay free.
const ROOM: usize = 4 * 1024 * 1024;
