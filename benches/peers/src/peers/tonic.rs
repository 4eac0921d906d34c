//! tonic: gRPC over HTTP/2 without TLS. The service is written out, so that no compiler of protocol
//! files is needed.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status,
    body::Body as HttpBody,
    codegen::{
        Service,
        http::{self, uri::PathAndQuery},
    },
    server::{Grpc, NamedService, UnaryService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use super::Peer;
use crate::work::{Body, Calls, Figures, Load, drive_calls};

pub const PEER: Peer = Peer {
    name: "tonic",
    note: "TCP, no encryption; calls only",
    can: super::calls,
    serve: || super::block_on(serve()),
    drive: |place, load, count| super::block_on(drive(place, load, count)),
};

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
}

#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "peers.Echo";
}

impl UnaryService<Message> for Echo {
    type Response = Message;
    type Future = Ready<Result<Response<Message>, Status>>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<HttpBody>> for Echo {
    type Response = http::Response<HttpBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<HttpBody>) -> Self::Future {
        Box::pin(async move {
            let codec = ProstCodec::<Message, Message>::default();
            Ok(Grpc::new(codec).unary(Echo, request).await)
        })
    }
}

async fn serve() {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap())
        .unwrap()
        .with_nodelay(Some(true));
    super::ready(incoming.local_addr().unwrap());
    Server::builder()
        .add_service(Echo)
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

async fn drive(place: &str, load: Load, count: u64) -> Figures {
    let channel = Endpoint::from_shared(format!("http://{place}"))
        .unwrap()
        .tcp_nodelay(true)
        .connect()
        .await
        .unwrap();
    drive_calls(&Remote(channel), super::in_flight(load), count).await
}

struct Remote(Channel);

impl Calls for Remote {
    async fn call(&self, body: Body) -> Body {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.unwrap();
        let request = Request::new(Message {
            body: body.to_bytes().to_vec(),
        });
        let path = PathAndQuery::from_static("/peers.Echo/Echo");
        let codec = ProstCodec::<Message, Message>::default();
        let answer = grpc.unary(request, path, codec).await.unwrap();
        Body::from_bytes(&answer.into_inner().body)
    }
}
