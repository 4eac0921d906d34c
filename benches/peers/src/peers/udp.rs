//! A UDP socket: no encryption, no connection, no delivery. The floor.

use std::time::Duration;

use tokio::{net::UdpSocket, time::timeout};

use super::Peer;
use crate::work::{Body, Counter, Events, Kind, Load, drive_events};

pub const PEER: Peer = Peer {
    name: "udp",
    note: "no encryption, nothing is sent again",
    can: |load| {
        matches!(
            load,
            Load::RoundTrip(Kind::Unreliable) | Load::Flood(Kind::Unreliable)
        )
    },
    serve: || super::block_on(serve()),
    drive: |place, load, count| {
        super::block_on(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(place).await.unwrap();
            let mut link = Udp {
                socket,
                last: Body::RESET,
            };
            drive_events(&mut link, load, count).await
        })
    },
};

async fn serve() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    super::ready(socket.local_addr().unwrap());
    let mut counter = Counter::default();
    let mut buffer = [0; 2048];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        let body = Body::from_bytes(&buffer[..len]);
        if let Some((_, answer)) = counter.take(Kind::Unreliable, body) {
            socket.send_to(&answer.to_bytes(), from).await.unwrap();
        }
    }
}

struct Udp {
    socket: UdpSocket,
    last: Body,
}

impl Events for Udp {
    async fn send(&mut self, _: Kind, body: Body) {
        self.last = body;
        self.socket.send(&body.to_bytes()).await.unwrap();
    }

    /// What was asked last is asked again when no answer comes: either may have been lost.
    async fn receive(&mut self) -> Body {
        let mut buffer = [0; 2048];
        loop {
            match timeout(AGAIN, self.socket.recv(&mut buffer)).await {
                Ok(len) => return Body::from_bytes(&buffer[..len.unwrap()]),
                Err(_) => self.send(Kind::Unreliable, self.last).await,
            }
        }
    }
}

const AGAIN: Duration = Duration::from_millis(50);
