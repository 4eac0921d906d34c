//! Peers that speak QUIC by themselves, and of the protocol only what a test wants said.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use farfire::{
    testing::SimNet,
    tls::{Identity, Pin},
};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, Runtime,
    SendStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    rustls::{
        self, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::CryptoProvider,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    },
};

/// Where a raw peer's packets go.
pub(crate) enum Place<'a> {
    Memory(&'a SimNet, SocketAddr),
    Loopback,
}

impl Place<'_> {
    fn endpoint(self, server: Option<ServerConfig>) -> Endpoint {
        let socket: Arc<dyn AsyncUdpSocket> = match self {
            Self::Memory(net, address) => net.raw_socket(address, None).unwrap(),
            Self::Loopback => TokioRuntime
                .wrap_udp_socket(std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
                .unwrap(),
        };
        Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            server,
            socket,
            Arc::new(TokioRuntime),
        )
        .unwrap()
    }
}

/// A client that has joined, and from there on does what the test does with its connection.
pub(crate) struct RawClient {
    pub(crate) connection: Connection,
    /// Its number on the server.
    pub(crate) id: u64,
    /// The server's remotes by name.
    pub(crate) remotes: HashMap<String, u32>,
    _endpoint: Endpoint,
}

impl RawClient {
    pub(crate) async fn join(
        place: Place<'_>,
        server: SocketAddr,
        tune: impl FnOnce(&mut TransportConfig),
    ) -> Self {
        let (endpoint, connection) = connect(place, server, tune).await;
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let name = b"raw";
        let mut hello = vec![1, name.len() as u8];
        hello.extend(name);
        hello.extend([0, 0]);
        let mut message = vec![hello.len() as u8];
        message.extend(hello);
        send.write_all(&message).await.unwrap();
        send.finish().unwrap();
        let welcome = recv.read_to_end(1 << 20).await.unwrap();
        let mut rest = &welcome[..];
        varint(&mut rest);
        assert_eq!(varint(&mut rest), 1, "it is let in");
        let id = varint(&mut rest);
        text(&mut rest);
        let remotes = (0..varint(&mut rest))
            .map(|_| {
                let id = varint(&mut rest) as u32;
                let name = text(&mut rest);
                let _kind = varint(&mut rest);
                text(&mut rest);
                (name, id)
            })
            .collect();
        Self {
            connection,
            id,
            remotes,
            _endpoint: endpoint,
        }
    }

    /// Opens a stream and sends a whole request.
    pub(crate) async fn call(&self, request: &Request) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        send.write_all(&request.encode()).await.unwrap();
        send.finish().unwrap();
        (send, recv)
    }

    /// Calls, and reads what comes back: the status, and the body or the code.
    pub(crate) async fn ask(&self, request: &Request) -> Reply {
        let (_send, mut recv) = self.call(request).await;
        read_reply(&mut recv).await
    }

    /// Answers every call from now on with `body`.
    pub(crate) fn answer(&self, body: &'static [u8]) {
        answer(&self.connection, body);
    }
}

/// Connects and says nothing.
pub(crate) async fn connect(
    place: Place<'_>,
    server: SocketAddr,
    tune: impl FnOnce(&mut TransportConfig),
) -> (Endpoint, Connection) {
    let mut crypto = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider())))
        .with_no_client_auth();
    crypto.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto).unwrap()));
    config.transport_config(transport(tune));
    let endpoint = place.endpoint(None);
    let connecting = endpoint.connect_with(config, server, "localhost").unwrap();
    let connection = connecting.await.unwrap();
    (endpoint, connection)
}

/// A server that lets clients in, and from there on does what the test does with their connections.
pub(crate) struct RawServer {
    endpoint: Endpoint,
    pub(crate) pin: Pin,
}

impl RawServer {
    pub(crate) fn start(place: Place<'_>, tune: impl FnOnce(&mut TransportConfig)) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let key = &certified.signing_key;
        let pin = Identity::from_pem(
            certified.cert.pem().as_bytes(),
            key.serialize_pem().as_bytes(),
        )
        .unwrap()
        .pin();
        let mut crypto = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certified.cert.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        crypto.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = QuicServerConfig::try_from(crypto).unwrap();
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(transport(tune));
        Self {
            endpoint: place.endpoint(Some(config)),
            pin,
        }
    }

    /// Takes a connection, and reads its hello.
    pub(crate) async fn meet(&self) -> (Connection, SendStream) {
        let connection = self.endpoint.accept().await.unwrap().await.unwrap();
        let (send, mut recv) = connection.accept_bi().await.unwrap();
        recv.read_to_end(1 << 17).await.unwrap();
        (connection, send)
    }

    /// Takes a connection and welcomes it; the functions are numbered from 1.
    pub(crate) async fn welcome(&self, functions: &[&str]) -> Connection {
        let (connection, mut send) = self.meet().await;
        let mut welcome = vec![1, 7, 1, b'A', functions.len() as u8];
        for (at, name) in functions.iter().enumerate() {
            welcome.extend([at as u8 + 1, name.len() as u8]);
            welcome.extend(name.as_bytes());
            welcome.extend([FUNCTION, 0]);
        }
        put_varint(&mut welcome, 65536);
        put_varint(&mut welcome, 2 << 20);
        put_varint(&mut welcome, 32);
        welcome.push(0);
        let mut message = Vec::new();
        put_varint(&mut message, welcome.len() as u64);
        message.extend(welcome);
        send.write_all(&message).await.unwrap();
        send.finish().unwrap();
        connection
    }
}

/// Answers every call on `connection` from now on with `body`.
pub(crate) fn answer(connection: &Connection, body: &'static [u8]) {
    let connection = connection.clone();
    tokio::spawn(async move {
        while let Ok((mut send, mut recv)) = connection.accept_bi().await {
            tokio::spawn(async move {
                if recv.read_to_end(1 << 21).await.is_ok() {
                    let _ = send.write_all(&ok(0, body)).await;
                    let _ = send.finish();
                }
            });
        }
    });
}

/// A request as it is on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) function: u32,
    pub(crate) millis: u64,
    pub(crate) barrier: u64,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        put_varint(&mut out, self.function.into());
        put_varint(&mut out, self.millis);
        put_varint(&mut out, self.barrier);
        // No flags, and within no other call.
        out.extend([0, 0]);
        put_varint(&mut out, self.body.len() as u64);
        out.extend(&self.body);
        out
    }
}

/// What a raw caller got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Ok(Vec<u8>),
    Failed(Vec<u8>),
    System(u64),
    Reset(u64),
    Nothing,
}

pub(crate) async fn read_reply(recv: &mut RecvStream) -> Reply {
    match recv.read_to_end(1 << 22).await {
        Ok(reply) if reply.is_empty() => Reply::Nothing,
        Ok(reply) => {
            let mut rest = &reply[1..];
            varint(&mut rest);
            let len = varint(&mut rest) as usize;
            assert_eq!(rest.len(), len, "a whole reply");
            match reply[0] {
                1 => Reply::Ok(rest.to_vec()),
                2 => Reply::Failed(rest.to_vec()),
                3 => Reply::System(varint(&mut rest)),
                other => panic!("a reply of status {other}"),
            }
        }
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
            Reply::Reset(code.into_inner())
        }
        Err(error) => panic!("no reply: {error}"),
    }
}

/// A successful reply.
pub(crate) fn ok(barrier: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    put_varint(&mut out, barrier);
    put_varint(&mut out, body.len() as u64);
    out.extend(body);
    out
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn text(bytes: &mut &[u8]) -> String {
    let len = varint(bytes) as usize;
    let (text, rest) = bytes.split_at(len);
    *bytes = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

fn transport(tune: impl FnOnce(&mut TransportConfig)) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    // Deaf peers are alive: the idle timeout must not be what ends the calls to them.
    transport
        .keep_alive_interval(Some(Duration::from_secs(1)))
        .max_concurrent_bidi_streams(VarInt::from_u32(200));
    tune(&mut transport);
    Arc::new(transport)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Raw clients meet only the server of their test.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const ALPN: &[u8] = b"farfire/1";
const FUNCTION: u8 = 3;
