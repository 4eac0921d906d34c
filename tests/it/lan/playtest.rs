//! A host in one call.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use farfire::{
    Client, ConnectError, PlaytestError, PlaytestServer, Server,
    tls::{Identity, IdentityError},
};

use crate::world::within;

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn start(dir: &std::path::Path) -> PlaytestServer {
    let host = Server::playtest("desert-duel").folder(dir).advertise(false);
    host.ip(LOCAL).port(0).start().unwrap()
}

#[tokio::test]
async fn the_identity_is_made_once_and_the_link_joins() {
    let dir = tempfile::tempdir().unwrap();
    let host = start(dir.path());
    let link = host.link();
    assert_eq!(link.name(), Some("desert-duel"));
    assert_eq!((link.pin(), link.token()), (host.pin(), None));
    assert_eq!(
        link.addresses()[0].to_string(),
        host.local_addr().to_string()
    );
    assert_eq!(host.code(), host.pin().code());
    let client = within(Client::join(link.to_string()).connect())
        .await
        .unwrap();
    assert_eq!(host.players().len(), 1);
    client.leave().await;
    let pin = host.pin();
    host.shutdown().await;
    drop(host);
    assert_eq!(start(dir.path()).pin(), pin);
}

#[tokio::test]
async fn a_token_is_in_the_link_and_can_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let host = Server::playtest("duel").folder(dir.path()).advertise(false);
    let host = host.ip(LOCAL).port(0).token(true).start().unwrap();
    let old = host.link();
    within(Client::join(&old).connect()).await.unwrap();
    let new = host.replace_token().unwrap();
    assert_eq!(new, host.link());
    let error = within(Client::join(old).connect()).await.unwrap_err();
    assert!(matches!(error, ConnectError::ExpiredToken), "{error:?}");
    within(Client::join(new).connect()).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it_if_no_other_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind((LOCAL, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let host = Server::playtest("duel").folder(dir.path()).advertise(false);
    let error = host.ip(LOCAL).port(port).start().unwrap_err();
    match error {
        PlaytestError::PortTaken { first, last } => assert_eq!((first, last), (port, port)),
        ref other => panic!("{other:?}"),
    }
    let text = error.to_string();
    assert!(
        text.contains(&format!("port {port} is taken")) && text.contains("choose"),
        "{text}"
    );
}

#[tokio::test]
async fn the_next_free_port_is_used_and_said() {
    let dir = tempfile::tempdir().unwrap();
    // An address of this machine that no other test listens on.
    let ip = Ipv4Addr::new(127, 44, 33, 1);
    let Ok(_first) = UdpSocket::bind((ip, 4433)) else {
        return eprintln!("skipped: this machine has no {ip}");
    };
    let second = UdpSocket::bind((ip, 4434)).unwrap();
    let start = || {
        Server::playtest("duel")
            .folder(dir.path())
            .advertise(false)
            .ip(ip)
            .start()
    };
    let host = start().unwrap();
    assert_eq!(
        (host.local_addr().port(), host.port_taken()),
        (4435, Some(4433))
    );
    let all: Vec<_> = (4436..=4443)
        .map(|port| UdpSocket::bind((ip, port)).unwrap())
        .collect();
    let error = start().unwrap_err();
    assert!(
        matches!(
            error,
            PlaytestError::PortTaken {
                first: 4433,
                last: 4443
            }
        ),
        "{error:?}"
    );
    drop((second, all));
    assert_eq!(start().unwrap().local_addr().port(), 4434);
}

#[tokio::test]
async fn all_addresses_are_in_the_link_and_those_of_this_machine_alone_only_if_there_is_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let host = Server::playtest("duel")
        .folder(dir.path())
        .advertise(false)
        .port(0)
        .start()
        .unwrap();
    assert!(host.local_addr().ip().is_unspecified());
    let link = host.link();
    let ips: Vec<IpAddr> = link
        .addresses()
        .iter()
        .filter_map(|address| address.ip())
        .collect();
    assert_eq!(ips.len(), link.addresses().len());
    let loopback = ips.iter().filter(|ip| ip.is_loopback()).count();
    assert!(loopback == 0 || loopback == ips.len(), "{ips:?}");
    // It listens on IPv4, whichever of the two families it listens on for the rest.
    let address = format!("127.0.0.1:{}", host.local_addr().port());
    let link = farfire::lan::JoinLink::new(address.parse().unwrap(), host.pin());
    within(Client::join(link).connect()).await.unwrap();
}

#[tokio::test]
async fn what_another_process_does_with_the_identity_takes_effect() {
    let dir = tempfile::tempdir().unwrap();
    let host = start(dir.path());
    let before = host.pin();
    let client = within(Client::join(host.link()).connect()).await.unwrap();
    let next = Identity::prepare_next(dir.path()).unwrap();
    let heard = crate::world::Notes::new();
    let note = heard.clone();
    client.on_next_identity(move |next| note.push(next.pin));
    assert_eq!(heard.wait(1).await, [next.pin]);
    assert_eq!(host.next_identity().map(|next| next.pin), Some(next.pin));
    assert_eq!(host.pin(), before);
    Identity::rotate(dir.path()).unwrap();
    crate::world::until(|| host.pin() == next.pin).await;
    assert_eq!(host.link().pin(), next.pin);
    within(Client::join(host.link()).connect()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_others_can_read_says_how_to_change_that() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    drop(start(dir.path()));
    let key = dir.path().join("server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Server::playtest("duel")
        .folder(dir.path())
        .start()
        .unwrap_err();
    assert!(
        matches!(
            error,
            PlaytestError::Identity(IdentityError::LooseMode { .. })
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("chmod 600"), "{error}");
}
