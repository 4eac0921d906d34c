//! Enemies: QUIC clients that say whatever they like.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use farfire::{CallCode, CloseCode};
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, ReadToEndError, SendStream,
    TokioRuntime, TransportConfig, VarInt, WriteError, crypto::rustls::QuicClientConfig,
};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};

use crate::{
    bytes::{ALPN, hello, lane},
    tap::{Hearing, Tap, TappedSocket},
};

/// Where enemies come from: an address of their own, and a note of all that they send.
#[derive(Clone)]
pub(crate) struct Lair {
    pub(crate) server: SocketAddr,
    address: Ipv4Addr,
    pub(crate) tap: Tap,
    /// When they have to be done, unless too few have been thrown out by then.
    until: Arc<OnceLock<Instant>>,
    /// The same while nobody has joined yet.
    at_latest: Instant,
    slice: Duration,
    least: usize,
    /// With which codes the server threw enemies out.
    pub(crate) ends: Arc<Mutex<Vec<CloseCode>>>,
    /// One for all of them, or their buffers would be most of what is measured.
    endpoint: Arc<OnceLock<Endpoint>>,
}

impl Lair {
    /// The lair of war number `war`. Each has another address: what the enemies of the last one have spent is
    /// not to spare the honest player this one.
    pub(crate) fn new(server: SocketAddr, war: u8, slice: Duration, least: usize) -> Self {
        Self {
            server,
            address: Ipv4Addr::new(127, 0, 66, war),
            tap: Tap::new(),
            until: Arc::default(),
            at_latest: Instant::now() + slice,
            slice,
            least,
            ends: Arc::default(),
            endpoint: Arc::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.rest().is_zero()
    }

    /// What is left of the attack.
    pub(crate) fn rest(&self) -> Duration {
        let thrown_out = self.ends.lock().unwrap().len();
        let late = if thrown_out < self.least {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let until = *self.until.get().unwrap_or(&self.at_latest);
        (until + late).saturating_duration_since(Instant::now())
    }

    pub(crate) fn endpoint(&self, hearing: Hearing) -> Endpoint {
        let from = (self.address, 0).into();
        let socket = TappedSocket::bind(from, self.tap.clone(), hearing).unwrap();
        let runtime = Arc::new(TokioRuntime);
        Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, runtime)
            .unwrap()
    }

    /// A socket for bytes that are not even QUIC; what it sends is to be noted.
    pub(crate) fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind((self.address, 0)).unwrap();
        socket.connect(self.server).unwrap();
        socket
    }

    /// Shakes hands, and says nothing yet.
    pub(crate) async fn connect(&self) -> Result<Enemy, ConnectionError> {
        self.connect_as(|_| {}).await
    }

    pub(crate) async fn connect_as(
        &self,
        transport: impl FnOnce(&mut TransportConfig),
    ) -> Result<Enemy, ConnectionError> {
        // The first has all the time it needs. Later ones may find no room, and then nobody answers.
        let time = match self.endpoint.get() {
            None => PATIENCE,
            Some(_) => self.rest(),
        };
        let endpoint = self
            .endpoint
            .get_or_init(|| self.endpoint(Hearing::Everything));
        let connecting = endpoint.connect_with(config(transport), self.server, "localhost");
        let connection = tokio::time::timeout(time, connecting.unwrap()).await;
        let connection = connection.unwrap_or(Err(ConnectionError::TimedOut))?;
        Ok(Enemy {
            connection,
            lair: self.clone(),
        })
    }

    /// Shakes hands and joins; `None` if the server does not let it in any more.
    pub(crate) async fn join(&self) -> Option<Enemy> {
        self.join_as(|_| {}).await
    }

    pub(crate) async fn join_as(
        &self,
        transport: impl FnOnce(&mut TransportConfig),
    ) -> Option<Enemy> {
        let enemy = self.connect_as(transport).await.ok()?;
        let welcome = enemy.greet(&hello("enemy", &[])).await.ok()?;
        // The length, then the tag of a welcome.
        let tag = welcome.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let joined = welcome.get(tag) == Some(&1);
        if joined {
            // However long that took, there is time for the attack.
            self.until.get_or_init(|| Instant::now() + self.slice);
        }
        joined.then_some(enemy)
    }
}

/// One of them, connected.
pub(crate) struct Enemy {
    pub(crate) connection: Connection,
    lair: Lair,
}

impl Enemy {
    /// Sends `hello` on the first stream, and reads the answer to its end.
    pub(crate) async fn greet(&self, hello: &[u8]) -> Result<Vec<u8>, ReadToEndError> {
        let lost = |_| ReadToEndError::Read(quinn::ReadError::ClosedStream);
        let (mut send, mut recv) = self.connection.open_bi().await.map_err(lost)?;
        let _ = send.write_all(hello).await;
        let _ = send.finish();
        recv.read_to_end(1 << 20).await
    }

    /// Opens a unidirectional stream that begins with `bytes`.
    pub(crate) async fn uni(&self, bytes: &[u8]) -> Result<SendStream, WriteError> {
        let mut send = self.connection.open_uni().await?;
        send.write_all(bytes).await?;
        Ok(send)
    }

    pub(crate) async fn default_lane(&self) -> Result<SendStream, WriteError> {
        self.uni(&lane("")).await
    }

    /// Makes a call with these bytes: the reply, or the code that the stream was reset with.
    pub(crate) async fn call(&self, request: &[u8]) -> Option<Result<Vec<u8>, CallCode>> {
        let (mut send, mut recv) = self.connection.open_bi().await.ok()?;
        let _ = send.write_all(request).await;
        let _ = send.finish();
        match recv.read_to_end(1 << 20).await {
            Ok(reply) => Some(Ok(reply)),
            Err(ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
                Some(Err(CallCode::from(u32::try_from(code.into_inner()).ok()?)))
            }
            Err(_) => None,
        }
    }

    /// Waits until the server throws it out, and notes with which code; `None` if it does not within
    /// ten seconds.
    pub(crate) async fn thrown_out(&self) -> Option<CloseCode> {
        let closed = tokio::time::timeout(Duration::from_secs(10), self.connection.closed());
        let code = match closed.await.ok()? {
            ConnectionError::ApplicationClosed(close) => {
                CloseCode::from(u32::try_from(close.error_code.into_inner()).ok()?)
            }
            _ => return None,
        };
        self.lair.ends.lock().unwrap().push(code);
        Some(code)
    }

    /// Leaves without a word more than QUIC needs.
    pub(crate) fn close(&self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }
}

impl Drop for Enemy {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn config(transport: impl FnOnce(&mut TransportConfig)) -> quinn::ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.into()];
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut settings = TransportConfig::default();
    settings.keep_alive_interval(Some(Duration::from_secs(1)));
    transport(&mut settings);
    config.transport_config(Arc::new(settings));
    config
}

/// Believes everyone: it is the server that has something to fear here.
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

/// Longer than any server takes to throw somebody out, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(20);
