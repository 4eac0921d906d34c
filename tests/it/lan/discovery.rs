//! A host that announces itself, and a player who types its code.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use farfire::{
    Client, Server,
    lan::discovery::{self, Browser, Scope},
};

use crate::world::within;

#[tokio::test]
async fn a_code_is_all_it_takes_on_one_network() {
    if !multicast_works() {
        return eprintln!("skipped: this machine passes no multicast on over loopback");
    }
    let dir = tempfile::tempdir().unwrap();
    let host = Server::playtest("desert-duel")
        .folder(dir.path())
        .game("duel");
    let host = host
        .ip(Ipv4Addr::LOCALHOST)
        .port(0)
        .max_players(8)
        .start()
        .unwrap();
    assert_eq!(host.not_advertised(), None);
    let typed = host.code().to_string().to_lowercase();
    let code = typed.parse().unwrap();
    let found = discovery::find(&code, Duration::from_secs(15), Scope::Loopback);
    let found = within(found).await.unwrap();
    assert_eq!(
        (found.claims.name.as_str(), found.claims.game.as_str()),
        ("desert-duel", "duel")
    );
    assert_eq!(
        (
            found.claims.max_players,
            found.claims.needs_token,
            found.verified
        ),
        (8, false, false)
    );
    let client = within(Client::join(found.link()).connect()).await.unwrap();
    assert_eq!(client.server_pin(), Some(host.pin()));

    // Its players are counted, and it is gone when it has stopped.
    let mut browser = Browser::start(None, Scope::Loopback).unwrap();
    let pin = host.pin();
    let mut seen = async |players: Option<usize>| {
        let is_seen = async {
            loop {
                let servers = browser.servers();
                let ours = servers.iter().find(|found| found.claims.pin == pin);
                if ours.map(|found| found.claims.players) == players {
                    return;
                }
                browser.changed().await.unwrap();
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(30), is_seen).await;
        assert!(
            seen.is_ok(),
            "not seen with {players:?}: {:?}",
            browser.servers()
        );
    };
    seen(Some(1)).await;
    host.shutdown().await;
    drop(host);
    seen(None).await;
}

/// Whether a packet to mDNS's group comes back on loopback.
fn multicast_works() -> bool {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let probe = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket2::SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
        socket.send_to(b"farfire", (group, socket.local_addr()?.port()))?;
        socket.recv(&mut [0; 16])
    };
    probe().is_ok()
}
