//! A peer that speaks QUIC and nothing else: the test writes the protocol's bytes itself.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use farfire::{
    CloseCode,
    tls::{Identity, Pin},
};
use quinn::{
    Connection, ConnectionError, Endpoint, SendStream,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use crate::world::within;

pub(crate) const ALPN: &[u8] = b"farfire/1";
/// The number in `Hello`.
pub(crate) const VERSION: u64 = 1;
/// What a unidirectional stream begins with that carries a lane, and one with an unordered event.
pub(crate) const LANE: u8 = 1;
pub(crate) const UNORDERED: u8 = 2;

/// A QUIC client that has not said anything yet.
pub(crate) struct RawClient {
    pub(crate) connection: Connection,
    _endpoint: Endpoint,
}

impl RawClient {
    /// Connects to `server`, whoever that is, offering `alpn`.
    pub(crate) async fn connect(server: SocketAddr, alpn: &[u8]) -> Result<Self, ConnectionError> {
        let mut tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone))
                .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.into()];
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let connecting = endpoint.connect_with(config, server, "localhost").unwrap();
        let connection = within(connecting).await?;
        Ok(Self {
            connection,
            _endpoint: endpoint,
        })
    }

    /// Connects and joins, as an honest client without a token does.
    pub(crate) async fn join(server: SocketAddr, name: &str) -> Self {
        let client = Self::connect(server, ALPN).await.unwrap();
        let answer = client.greet(&hello(VERSION, name)).await;
        assert!(matches!(answer, Answer::Welcome { .. }), "{answer:?}");
        client
    }

    /// Sends `hello` on the first stream, and reads the answer to its end.
    pub(crate) async fn greet(&self, hello: &[u8]) -> Answer {
        let (mut send, mut recv) = self.connection.open_bi().await.unwrap();
        send.write_all(hello).await.unwrap();
        send.finish().unwrap();
        let answer = within(recv.read_to_end(1 << 20)).await.unwrap();
        Answer::read(&answer)
    }

    /// Opens a unidirectional stream that begins with `bytes`; the caller keeps it open.
    pub(crate) async fn uni(&self, bytes: &[u8]) -> SendStream {
        let mut send = self.connection.open_uni().await.unwrap();
        send.write_all(bytes).await.unwrap();
        send
    }

    /// Waits until the server closes the connection, and says with which code and words.
    pub(crate) async fn closed(&self) -> (CloseCode, String) {
        match within(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => {
                let code = u32::try_from(close.error_code.into_inner()).unwrap();
                let text = String::from_utf8(close.reason.to_vec()).unwrap();
                (CloseCode::from(code), text)
            }
            other => panic!("not closed by the server: {other}"),
        }
    }
}

/// What a server says to a hello.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Welcome {
        player: u64,
    },
    Refused {
        code: CloseCode,
        detail: String,
        protocol: u64,
    },
}

impl Answer {
    fn read(mut bytes: &[u8]) -> Self {
        let bytes = &mut bytes;
        let len = take_varint(bytes);
        assert_eq!(len, bytes.len() as u64, "the answer is what was announced");
        match take_varint(bytes) {
            1 => Self::Welcome {
                player: take_varint(bytes),
            },
            2 => {
                let code = CloseCode::from(u32::try_from(take_varint(bytes)).unwrap());
                let len = usize::try_from(take_varint(bytes)).unwrap();
                let detail = String::from_utf8(bytes[..len].to_vec()).unwrap();
                *bytes = &bytes[len..];
                let protocol = take_varint(bytes);
                Self::Refused {
                    code,
                    detail,
                    protocol,
                }
            }
            tag => panic!("an answer of kind {tag}"),
        }
    }

    /// The bytes of a refusal.
    pub(crate) fn refused(code: CloseCode, detail: &str, protocol: u64) -> Vec<u8> {
        let mut body = vec![2];
        put_varint(&mut body, code.as_u32().into());
        put_bytes(&mut body, detail.as_bytes());
        put_varint(&mut body, protocol);
        let mut answer = Vec::new();
        put_bytes(&mut answer, &body);
        answer
    }
}

/// The bytes of a hello that knows no remotes.
pub(crate) fn hello(protocol: u64, name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, protocol);
    put_bytes(&mut body, name.as_bytes());
    put_bytes(&mut body, b"");
    put_varint(&mut body, 0);
    let mut hello = Vec::new();
    put_bytes(&mut hello, &body);
    hello
}

/// The beginning of a lane.
pub(crate) fn lane(name: &str) -> Vec<u8> {
    let mut bytes = vec![LANE];
    put_bytes(&mut bytes, name.as_bytes());
    bytes
}

/// One frame of a lane.
pub(crate) fn frame(remote: u64, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, remote);
    body.extend_from_slice(payload);
    let mut frame = Vec::new();
    put_bytes(&mut frame, &body);
    frame
}

/// One event of a datagram.
pub(crate) fn datagram(remote: u64, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    put_varint(&mut rest, sequence);
    rest.extend_from_slice(payload);
    frame(remote, &rest)
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// A QUIC server that speaks `alpn` and leaves the rest to the test, and the pin to trust it by.
pub(crate) fn server(alpn: &[u8]) -> (Endpoint, Pin) {
    let issued = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![alpn.into()];
    let crypto = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let (chain, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    (endpoint, identity.pin())
}

/// A QUIC server that shows the certificate of another, of which it does not have the key.
pub(crate) fn impostor(certificate: &[u8]) -> Endpoint {
    let chain = CertificateDer::pem_slice_iter(certificate);
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let key = PrivateKeyDer::Pkcs8(key.into());
    let provider = ring::default_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shown = CertifiedKey::new(chain, key);
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    tls.alpn_protocols = vec![ALPN.into()];
    let crypto = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// Believes everyone. It is the server that is tested here, by its enemies.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC has TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
