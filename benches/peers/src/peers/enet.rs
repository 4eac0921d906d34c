//! ENet, in the version that was turned into Rust. No encryption.

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
};

use rusty_enet::{Event, Host, HostSettings, Packet, PeerID};

use super::Peer;
use crate::{
    polled::{self, Looped, Polled},
    work::{Body, Kind, drive_events},
};

pub const PEER: Peer = Peer {
    name: "enet",
    note: "no encryption; polled without a pause",
    can: super::events,
    serve: || {
        let host = Enet::bind();
        super::ready(host.host.socket().local_addr().unwrap());
        polled::serve(host)
    },
    drive: |place, load, count| {
        let mut host = Enet::bind();
        let address: SocketAddr = place.parse().unwrap();
        host.host.connect(address, CHANNELS, 0).unwrap();
        let mut nothing = VecDeque::new();
        while host.peer.is_none() {
            host.turn(&mut nothing);
            std::thread::yield_now();
        }
        super::block_on(drive_events(&mut Looped::new(host), load, count))
    },
};

struct Enet {
    host: Host<UdpSocket>,
    peer: Option<PeerID>,
}

impl Enet {
    fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let settings = HostSettings {
            peer_limit: 8,
            channel_limit: CHANNELS,
            ..Default::default()
        };
        Self {
            host: Host::new(socket, settings).unwrap(),
            peer: None,
        }
    }
}

impl Polled for Enet {
    fn turn(&mut self, inbox: &mut VecDeque<(Kind, Body)>) {
        while let Some(event) = self.host.service().unwrap() {
            match event {
                Event::Connect { peer, .. } => self.peer = Some(peer.id()),
                Event::Disconnect { .. } => self.peer = None,
                Event::Receive {
                    channel_id, packet, ..
                } => {
                    let kind = match channel_id {
                        0 => Kind::Reliable,
                        _ => Kind::Unreliable,
                    };
                    inbox.push_back((kind, Body::from_bytes(packet.data())));
                }
            }
        }
    }

    fn send(&mut self, kind: Kind, body: Body) -> bool {
        let bytes = body.to_bytes();
        let (channel, packet) = match kind {
            Kind::Reliable => (0, Packet::reliable(&bytes[..])),
            Kind::Unreliable => (1, Packet::unreliable(&bytes[..])),
        };
        let Some(peer) = self.peer else {
            return false;
        };
        self.host.peer_mut(peer).send(channel, &packet).is_ok()
    }
}

const CHANNELS: usize = 2;
