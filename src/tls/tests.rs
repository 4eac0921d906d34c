//! Handshakes between real endpoints on the loopback interface. The first is the one that matters
//! most.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use quinn::{ConnectionError, Endpoint};
use rcgen::KeyPair;
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::certificate::{self, Validity};
use super::*;

const ALPN: &[&[u8]] = &[b"farfire/1"];
const NAME: &str = "localhost";

/// Shows one certificate and signs with the key of another.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl Impostor {
    fn of(victim: &Identity) -> Self {
        let own = Identity::self_signed([""; 0]).unwrap();
        let chain = victim.certified_key().cert.clone();
        Self(Arc::new(CertifiedKey::new(
            chain,
            Arc::clone(&own.certified_key().key),
        )))
    }
}

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn server_config(identity: &Identity, alpn: &[&[u8]]) -> Result<QuicServerConfig, ConfigError> {
    super::server_config(&Certificates::new(identity), alpn)
}

/// A server and the PEM text of its certificate.
struct Server {
    identity: Identity,
    pem: String,
}

fn server(validity: Validity) -> Server {
    let key = certificate::generate_key().unwrap();
    let pem = certificate::issue(&key, ["play.example"], validity)
        .unwrap()
        .pem();
    let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    Server { identity, pem }
}

fn valid() -> Validity {
    Validity::starting(certificate::now())
}

fn expired() -> Validity {
    let now = certificate::now();
    Validity {
        not_before: now - 2_000,
        not_after: now - 1_000,
    }
}

/// Lets a client connect once, and returns what it got and why it refused if it did.
async fn handshake(
    server: QuicServerConfig,
    trust: &Trust,
    name: &str,
) -> (Result<(), ConnectionError>, Verdict) {
    handshake_with(server, client_config(trust, ALPN).unwrap(), name).await
}

async fn handshake_with(
    server: QuicServerConfig,
    (client, verdict): (QuicClientConfig, Verdict),
    name: &str,
) -> (Result<(), ConnectionError>, Verdict) {
    let (_server, address) = listen(server);
    let endpoint = Endpoint::client(local()).unwrap();
    let client = quinn::ClientConfig::new(Arc::new(client));
    let connected = endpoint.connect_with(client, address, name).unwrap().await;
    (connected.map(drop), verdict)
}

fn listen(config: QuicServerConfig) -> (Endpoint, SocketAddr) {
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = Endpoint::server(config, local()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Some(incoming) = accepting.accept().await {
            connections.push(incoming.await);
        }
    });
    (endpoint, address)
}

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let victim = server(valid());
    for trust in [
        Trust::pinned([victim.identity.pin()]),
        Trust::roots(victim.pem.as_bytes()).unwrap(),
    ] {
        let impostor = server_config_with(Arc::new(Impostor::of(&victim.identity)), ALPN).unwrap();
        let (connected, verdict) = handshake(impostor, &trust, NAME).await;
        assert!(connected.is_err(), "{trust:?}");
        assert_eq!(verdict.fault(), Some(CertificateFault::KeyNotHeld));
        assert_eq!(verdict.received(), None);

        // The real one, seen through the same eyes.
        let (connected, verdict) =
            handshake(server_config(&victim.identity, ALPN).unwrap(), &trust, NAME).await;
        assert!(connected.is_ok(), "{connected:?}");
        assert_eq!(verdict.fault(), None);
    }
}

#[tokio::test]
async fn a_pinned_server_is_believed_under_any_name() {
    let next = Pin::from_bytes([1; 32]);
    let identity = server(valid()).identity;
    let trust = Trust::pinned([next, identity.pin()]);
    assert_eq!(trust.pins(), [next, identity.pin()]);
    for name in [NAME, "127.0.0.1", "elsewhere.example"] {
        let (connected, verdict) =
            handshake(server_config(&identity, ALPN).unwrap(), &trust, name).await;
        assert!(connected.is_ok(), "{name}: {connected:?}");
        assert_eq!((verdict.received(), verdict.fault()), (None, None));
    }
}

#[tokio::test]
async fn another_pin_is_refused_and_recorded() {
    let identity = server(valid()).identity;
    for pins in [vec![Pin::from_bytes([1; 32])], vec![]] {
        let trust = Trust::pinned(pins);
        let (connected, verdict) =
            handshake(server_config(&identity, ALPN).unwrap(), &trust, NAME).await;
        assert!(connected.is_err());
        assert_eq!(verdict.received(), Some(identity.pin()));
        assert_eq!(verdict.fault(), None);
    }
}

#[tokio::test]
async fn an_identity_is_replaced_between_two_handshakes() {
    let (one, other) = (server(valid()).identity, server(valid()).identity);
    let certificates = Certificates::new(&one);
    let config = || super::server_config(&certificates, ALPN).unwrap();
    let trust = Trust::pinned([other.pin()]);
    let (connected, verdict) = handshake(config(), &trust, NAME).await;
    assert!(connected.is_err());
    assert_eq!(
        (verdict.received(), verdict.believed()),
        (Some(one.pin()), None)
    );
    let running = config();
    certificates.set(&other);
    assert_eq!(certificates.pin(), other.pin());
    let (connected, verdict) = handshake(running, &trust, NAME).await;
    assert!(connected.is_ok(), "{connected:?}");
    assert_eq!(verdict.believed(), Some(other.pin()));
}

/// Theirs is a certificate of its own, once there is one.
#[tokio::test]
async fn browsers_are_not_shown_the_identity() {
    let identity = server(valid()).identity;
    let both: &[&[u8]] = &[b"farfire/1", b"h3"];
    let trust = Trust::pinned([identity.pin()]);
    for (offered, is_shown) in [(&both[..1], true), (both, true), (&both[1..], false)] {
        let client = client_config(&trust, offered).unwrap();
        let (connected, verdict) =
            handshake_with(server_config(&identity, both).unwrap(), client, NAME).await;
        assert_eq!(connected.is_ok(), is_shown, "{connected:?}");
        assert_eq!(verdict.believed().is_some(), is_shown);
    }
}

/// They are made into pins before the handshake; one that is left as it is believes nobody.
#[tokio::test]
async fn known_servers_are_not_asked_during_a_handshake() {
    let identity = server(valid()).identity;
    let dir = tempfile::tempdir().unwrap();
    let known = KnownServers::open(dir.path().join("known_servers.toml")).unwrap();
    known.accept(identity.pin(), "", "", Via::Manual).unwrap();
    let trust = Trust::known_servers(known.clone());
    assert!(trust.known().is_some() && trust.pins().is_empty());
    let (connected, _) = handshake(server_config(&identity, ALPN).unwrap(), &trust, NAME).await;
    assert!(connected.is_err());
    let trust = Trust::pinned(known.pins().unwrap());
    let (connected, _) = handshake(server_config(&identity, ALPN).unwrap(), &trust, NAME).await;
    assert!(connected.is_ok(), "{connected:?}");
}

#[tokio::test]
async fn only_pins_ignore_dates() {
    let server = server(expired());
    let config = || server_config(&server.identity, ALPN).unwrap();

    let (connected, _) = handshake(config(), &Trust::pinned([server.identity.pin()]), NAME).await;
    assert!(connected.is_ok(), "{connected:?}");

    let (connected, verdict) = handshake(
        config(),
        &Trust::roots(server.pem.as_bytes()).unwrap(),
        NAME,
    )
    .await;
    assert!(connected.is_err());
    assert_eq!(verdict.fault(), Some(CertificateFault::Expired));
}

#[tokio::test]
async fn a_certificate_of_tomorrow_is_refused() {
    let now = certificate::now();
    let server = server(Validity {
        not_before: now + 86_400,
        not_after: now + 172_800,
    });
    let trust = Trust::roots(server.pem.as_bytes()).unwrap();
    let (connected, verdict) =
        handshake(server_config(&server.identity, ALPN).unwrap(), &trust, NAME).await;
    assert!(connected.is_err());
    assert_eq!(verdict.fault(), Some(CertificateFault::NotValidYet));
}

#[tokio::test]
async fn roots_insist_on_the_name() {
    let server = server(valid());
    let trust = Trust::roots(server.pem.as_bytes()).unwrap();
    for name in ["localhost", "127.0.0.1", "::1", "play.example"] {
        let (connected, _) =
            handshake(server_config(&server.identity, ALPN).unwrap(), &trust, name).await;
        assert!(connected.is_ok(), "{name}: {connected:?}");
    }
    for name in ["elsewhere.example", "203.0.113.7"] {
        let (connected, verdict) =
            handshake(server_config(&server.identity, ALPN).unwrap(), &trust, name).await;
        assert!(connected.is_err(), "{name}");
        assert_eq!(verdict.fault(), Some(CertificateFault::WrongName));
    }
}

#[tokio::test]
async fn a_certificate_names_the_private_addresses_of_its_machine() {
    let server = server(valid());
    let trust = Trust::roots(server.pem.as_bytes()).unwrap();
    let own = if_addrs::get_if_addrs().unwrap();
    let own = own.into_iter().map(|interface| interface.ip());
    let private = own.filter(|ip| matches!(ip, IpAddr::V4(v4) if v4.is_private()));
    let Some(address) = private.map(|ip| ip.to_string()).next() else {
        return eprintln!("skipped: this machine has no private address");
    };
    let (connected, _) = handshake(
        server_config(&server.identity, ALPN).unwrap(),
        &trust,
        &address,
    )
    .await;
    assert!(connected.is_ok(), "{address}: {connected:?}");
}

#[tokio::test]
async fn a_stranger_is_refused_by_authorities() {
    let server = server(valid());
    // Another playtest server has an issuer of the same name, so only the signature tells them
    // apart.
    let other = self::server(valid());
    for trust in [
        Trust::web_pki(),
        Trust::roots(other.pem.as_bytes()).unwrap(),
    ] {
        let (connected, verdict) =
            handshake(server_config(&server.identity, ALPN).unwrap(), &trust, NAME).await;
        assert!(connected.is_err(), "{trust:?}");
        assert_eq!(verdict.fault(), Some(CertificateFault::UnknownIssuer));
        assert_eq!(verdict.received(), None);
    }
}

#[tokio::test]
async fn both_sides_must_speak_the_same_protocol() {
    let identity = server(valid()).identity;
    let trust = Trust::pinned([identity.pin()]);
    let (connected, verdict) = handshake(
        server_config(&identity, &[b"farfire/2"]).unwrap(),
        &trust,
        NAME,
    )
    .await;
    let no_application_protocol = quinn::TransportErrorCode::crypto(120);
    match connected.unwrap_err() {
        ConnectionError::ConnectionClosed(close) => {
            assert_eq!(close.error_code, no_application_protocol)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((verdict.received(), verdict.fault()), (None, None));

    let both = server_config(&identity, &[b"farfire/2", b"farfire/1"]).unwrap();
    assert!(handshake(both, &trust, NAME).await.0.is_ok());

    assert!(matches!(
        server_config(&identity, &[]),
        Err(ConfigError::NoProtocol)
    ));
    assert!(matches!(
        client_config(&trust, &[]),
        Err(ConfigError::NoProtocol)
    ));
}

#[tokio::test]
async fn a_side_that_names_no_protocol_is_refused() {
    let identity = server(valid()).identity;
    let trust = Trust::pinned([identity.pin()]);

    let silent_server = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
    assert!(
        handshake(silent_server.try_into().unwrap(), &trust, NAME)
            .await
            .0
            .is_err()
    );

    let verdict = Verdict::default();
    let silent_client = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier(verdict.clone()))
        .with_no_client_auth();
    let client = (silent_client.try_into().unwrap(), verdict);
    assert!(
        handshake_with(server_config(&identity, ALPN).unwrap(), client, NAME)
            .await
            .0
            .is_err()
    );
}

#[tokio::test]
async fn no_connection_resumes_another() {
    let identity = server(valid()).identity;
    let (_server, address) = listen(server_config(&identity, ALPN).unwrap());
    let (client, _) = client_config(&Trust::pinned([identity.pin()]), ALPN).unwrap();
    let client = quinn::ClientConfig::new(Arc::new(client));
    let endpoint = Endpoint::client(local()).unwrap();
    for _ in 0..3 {
        let connecting = endpoint
            .connect_with(client.clone(), address, NAME)
            .unwrap();
        let connecting = connecting.into_0rtt().map(drop).expect_err("no early data");
        connecting.await.unwrap();
    }
}

#[tokio::test]
async fn keys_of_other_types_are_served() {
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let pem = certificate::issue(&key, [""; 0], valid()).unwrap().pem();
        // One text with both, as some tools write it.
        let both = key.serialize_pem() + &pem;
        let identity = Identity::from_pem(both.as_bytes(), both.as_bytes()).unwrap();
        let trust = Trust::pinned([identity.pin()]);
        let (connected, _) = handshake(server_config(&identity, ALPN).unwrap(), &trust, NAME).await;
        assert!(connected.is_ok(), "{connected:?}");
    }
}

#[test]
fn pem_text_that_is_no_identity_is_explained() {
    let (one, other) = (
        certificate::generate_key().unwrap(),
        certificate::generate_key().unwrap(),
    );
    let chain = certificate::issue(&one, [""; 0], valid()).unwrap().pem();
    let (key, other_key) = (one.serialize_pem(), other.serialize_pem());
    let from_pem =
        |chain: &str, key: &str| Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
    assert_eq!(from_pem("", &key), PemError::NoCertificate);
    assert_eq!(from_pem(&chain[..200], &key), PemError::Certificate);
    assert_eq!(from_pem(&chain, &chain), PemError::NoKey);
    assert_eq!(from_pem(&chain, &key[..100]), PemError::Key);
    assert_eq!(from_pem(&chain, &other_key), PemError::Mismatch);
}

#[test]
fn roots_that_are_none_are_explained() {
    let pem = server(valid()).pem;
    let roots = |text: &str| Trust::roots(text.as_bytes()).unwrap_err();
    assert_eq!(roots(""), TrustError::NoCertificate);
    assert_eq!(
        roots(&certificate::generate_key().unwrap().serialize_pem()),
        TrustError::NoCertificate
    );
    assert_eq!(
        roots(&(pem.clone() + &pem[..200])),
        TrustError::Damaged { position: 2 }
    );
}

#[test]
fn the_key_is_never_printed() {
    let key = certificate::generate_key().unwrap();
    let pem = certificate::issue(&key, [""; 0], valid()).unwrap().pem();
    let identity = Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    for text in [format!("{identity:?}"), format!("{identity:#?}")] {
        assert!(text.contains(&identity.pin().to_string()));
        assert!(!text.contains("PRIVATE KEY"));
        assert!(text.len() < 150, "there is more than the pin: {text}");
    }
}

#[test]
fn the_pin_is_the_hash_of_the_public_key() {
    let key = certificate::generate_key().unwrap();
    let certificate = certificate::issue(&key, [""; 0], valid()).unwrap();
    let public_key = rcgen::PublicKeyData::subject_public_key_info(&key);
    let suite = cipher_suite::TLS13_CHACHA20_POLY1305_SHA256
        .tls13()
        .unwrap();
    let hash = suite.common.hash_provider.hash(&public_key);
    let identity =
        Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(identity.pin().as_bytes(), hash.as_ref());
}

#[test]
fn the_cryptography_is_fixed() {
    let provider = provider();
    let groups: Vec<_> = provider
        .kx_groups
        .iter()
        .map(|group| group.name())
        .collect();
    assert_eq!(
        groups,
        [rustls::NamedGroup::X25519, rustls::NamedGroup::secp256r1]
    );
    assert_eq!(
        provider.cipher_suites[0].suite(),
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
    );
    assert!(
        provider
            .cipher_suites
            .iter()
            .all(|suite| suite.tls13().is_some())
    );
}
