//! irpc over its own QUIC: a stream for each call.

use std::net::SocketAddr;

use irpc::{
    Client, WithChannels,
    channel::{mpsc, oneshot},
    rpc::{RemoteService, listen},
    rpc_requests,
    util::{make_client_endpoint, make_server_endpoint},
};
use serde::{Deserialize, Serialize};

use super::Peer;
use crate::work::{Body, Calls, Figures, Load, drive_calls};

pub const PEER: Peer = Peer {
    name: "irpc",
    note: "QUIC; calls only, through an actor",
    can: super::calls,
    serve: || super::block_on(serve()),
    drive: |place, load, count| super::block_on(drive(place, load, count)),
};

#[derive(Debug, Serialize, Deserialize)]
struct Echo(Body);

#[rpc_requests(message = Message)]
#[derive(Debug, Serialize, Deserialize)]
enum Protocol {
    #[rpc(tx = oneshot::Sender<Body>)]
    Echo(Echo),
}

async fn serve() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (endpoint, certificate) = make_server_endpoint(any).unwrap();
    let hex: String = certificate
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    super::ready(format_args!("{} {hex}", endpoint.local_addr().unwrap()));
    let (send, mut receive) = mpsc::channel::<Message>(128);
    tokio::spawn(async move {
        while let Ok(Some(message)) = receive.recv().await {
            let Message::Echo(WithChannels { inner, tx, .. }) = message;
            tokio::spawn(async move { tx.send(inner.0).await });
        }
    });
    let local = Client::<Protocol>::local(send);
    let handler = Protocol::remote_handler(local.as_local().expect("a local client"));
    listen(endpoint, handler).await;
}

async fn drive(place: &str, load: Load, count: u64) -> Figures {
    let (address, hex) = place.split_once(' ').unwrap();
    let certificate: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let endpoint = make_client_endpoint(any, &[&certificate]).unwrap();
    let client = Remote(Client::noq(endpoint, address.parse().unwrap()));
    drive_calls(&client, super::in_flight(load), count).await
}

struct Remote(Client<Protocol>);

impl Calls for Remote {
    async fn call(&self, body: Body) -> Body {
        self.0.rpc(Echo(body)).await.unwrap()
    }
}
