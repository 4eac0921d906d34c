//! Over the loopback interface, where this machine passes multicast on, and on what is found without any.

use std::net::UdpSocket;

use super::*;

fn claims(byte: u8) -> Advertisement {
    Advertisement::new("duel", Pin::from_bytes([byte; 32]))
}

fn found(byte: u8, addresses: &[&str]) -> Found {
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    Found {
        claims: claims(byte),
        addresses: addresses.collect(),
        verified: false,
    }
}

/// Those who look for servers on one machine hold back each other's questions and answers, which takes seconds.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Whether a packet to the group comes back on loopback, by other means than those that are tested.
fn multicast_works() -> bool {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let probe = || {
        let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
        let sender = socket2::SockRef::from(&receiver);
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
        sender.set_multicast_loop_v4(true)?;
        receiver.send_to(b"farfire", (group, receiver.local_addr()?.port()))?;
        receiver.recv(&mut [0; 16])
    };
    let works = probe().is_ok();
    if !works {
        eprintln!("skipped: this machine passes no multicast on over loopback");
    }
    works
}

async fn within<F: Future>(future: F) -> F::Output {
    let within = Duration::from_secs(30);
    tokio::time::timeout(within, future)
        .await
        .expect("to be done by now")
}

async fn until(browser: &mut Browser, enough: impl Fn(&[Found]) -> bool) -> Vec<Found> {
    within(async {
        loop {
            let servers = browser.servers();
            if enough(&servers) {
                return servers;
            }
            browser.changed().await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_server_is_found_followed_and_missed() {
    if !multicast_works() {
        return;
    }
    let _alone = ALONE.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let known = KnownServers::open(dir.path().join("known_servers.toml")).unwrap();
    let (mut said, stranger) = (claims(0x51), claims(0x52));
    known
        .accept(said.pin, "", "", crate::tls::Via::Manual)
        .unwrap();
    let mut advertiser = Advertiser::start(&said, 4433, Scope::Loopback).unwrap();
    let other = Advertiser::start(&stranger, 4434, Scope::Loopback).unwrap();
    let mut browser = Browser::start(Some(&known), Scope::Loopback).unwrap();
    // Tests of other processes may be on this network, too.
    let pins = [said.pin, stranger.pin];
    let ours = |servers: &[Found]| -> Vec<Found> {
        let ours = servers
            .iter()
            .filter(|found| pins.contains(&found.claims.pin));
        ours.cloned().collect()
    };
    let servers = ours(&until(&mut browser, |servers| ours(servers).len() == 2).await);
    for found in servers {
        let is_known = found.claims == said;
        assert_eq!(found.verified, is_known, "{found:?}");
        assert_eq!(
            found.claims,
            if is_known {
                said.clone()
            } else {
                stranger.clone()
            }
        );
        let port = if is_known { 4433 } else { 4434 };
        assert_eq!(
            found.addresses,
            [format!("127.0.0.1:{port}").parse().unwrap()]
        );
    }
    (said.players, said.max_players) = (3, 8);
    advertiser.update(&said).unwrap();
    until(&mut browser, |servers| {
        servers.iter().any(|found| found.claims == said)
    })
    .await;
    drop(other);
    until(&mut browser, |servers| ours(servers).len() == 1).await;
}

#[tokio::test]
async fn a_code_finds_its_server_and_no_other() {
    if !multicast_works() {
        return;
    }
    let _alone = ALONE.lock().await;
    let (ours, other) = (claims(0x61), claims(0x62));
    let _advertisers = [(&ours, 4435), (&other, 4436)]
        .map(|(claims, port)| Advertiser::start(claims, port, Scope::Loopback).unwrap());
    let code = ours.pin.code();
    let search = find(&code, Duration::from_secs(25), Scope::Loopback);
    let found = within(search).await.unwrap();
    let link = found.link();
    assert_eq!((link.pin(), link.name()), (ours.pin, Some("duel")));
    assert_eq!(link.addresses(), ["127.0.0.1:4435".parse().unwrap()]);
    let nobody = Pin::from_bytes([0x63; 32]).code();
    let search = find(&nobody, Duration::from_millis(500), Scope::Loopback);
    let error = within(search).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
}

#[test]
fn an_impostor_cannot_push_a_servers_own_addresses_out() {
    let many: Vec<_> = (1..=16).map(|last| format!("10.6.6.{last}:4433")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let merged = merge(vec![found(1, &many), found(1, &["10.0.0.7:4433"])]);
    let merged = merged.unwrap().unwrap();
    assert_eq!(merged.addresses.len(), MAX_ADDRESSES);
    assert_eq!(merged.addresses[1].to_string(), "10.0.0.7:4433");
    let link = merged.link();
    assert_eq!(link.addresses(), merged.addresses);
    assert!(merge(Vec::new()).unwrap().is_none());
    let two_keys = merge(vec![found(1, &["10.0.0.1:1"]), found(2, &["10.0.0.2:1"])]);
    assert!(matches!(two_keys, Err(DiscoveryError::Ambiguous)));
}

/// Whoever hears of a server by such an address first takes it for known, and never asks for its others.
#[test]
fn an_address_that_takes_a_zone_puts_nobody_on_a_network() {
    let on_a_network = ["10.0.0.1", "192.168.1.9", "169.254.3.4", "fd00::7"];
    let elsewhere = ["fe80::1", "127.0.0.1", "::1", "8.8.8.8", "2001:4860::1"];
    for address in on_a_network {
        assert!(is_of_lan(address.parse().unwrap()), "{address}");
    }
    for address in elsewhere {
        assert!(!is_of_lan(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn addresses_elsewhere_are_nobodys_business() {
    let claimed = [
        "192.168.1.7",
        "8.8.8.8",
        "127.0.0.1",
        "fe80::1",
        "fd00::7",
        "2001:db8::1",
        "0.0.0.0",
    ];
    let claimed = claimed.map(|address| address.parse().unwrap());
    let texts = |scope| {
        let addresses = reachable(claimed, 4433, scope).into_iter();
        addresses
            .map(|address| address.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(Scope::Lan), ["192.168.1.7:4433", "[fd00::7]:4433"]);
    assert_eq!(texts(Scope::Loopback), ["127.0.0.1:4433"]);
    let many = (0..=255).map(|last| IpAddr::from([10, 0, 0, last]));
    assert_eq!(reachable(many, 1, Scope::Lan).len(), MAX_ADDRESSES);
}

#[test]
fn both_sides_can_be_dropped_at_once() {
    let _alone = ALONE.blocking_lock();
    for _ in 0..3 {
        drop(Advertiser::start(&claims(0x71), 4437, Scope::Loopback).unwrap());
        drop(Browser::start(None, Scope::Loopback).unwrap());
    }
}
