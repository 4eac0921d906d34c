//! tarpc over TCP with bincode.

use futures_util::StreamExt;
use tarpc::{
    client, context,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Bincode,
};

use super::Peer;
use crate::work::{Body, Calls, Figures, Load, drive_calls};

pub const PEER: Peer = Peer {
    name: "tarpc",
    note: "TCP, no encryption; calls only",
    can: super::calls,
    serve: || super::block_on(serve()),
    drive: |place, load, count| super::block_on(drive(place, load, count)),
};

#[tarpc::service]
trait Echo {
    async fn echo(body: Body) -> Body;
}

#[derive(Clone)]
struct Service;

impl Echo for Service {
    async fn echo(self, _: context::Context, body: Body) -> Body {
        body
    }
}

async fn serve() {
    let mut listener = tarpc::serde_transport::tcp::listen("127.0.0.1:0", Bincode::default)
        .await
        .unwrap();
    super::ready(listener.local_addr());
    let transport = listener.next().await.unwrap().unwrap();
    transport.get_ref().set_nodelay(true).unwrap();
    BaseChannel::with_defaults(transport)
        .execute(Service.serve())
        .for_each(async |answer| {
            tokio::spawn(answer);
        })
        .await;
}

async fn drive(place: &str, load: Load, count: u64) -> Figures {
    let transport = tarpc::serde_transport::tcp::connect(place, Bincode::default)
        .await
        .unwrap();
    transport.get_ref().set_nodelay(true).unwrap();
    let client = EchoClient::new(client::Config::default(), transport).spawn();
    drive_calls(&client, super::in_flight(load), count).await
}

impl Calls for EchoClient {
    async fn call(&self, body: Body) -> Body {
        self.echo(context::current(), body).await.unwrap()
    }
}
