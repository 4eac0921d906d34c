//! A host changes its identity, and its players do not notice.

use farfire::{
    Client, ConnectError,
    tls::{Identity, Known, KnownServers, Trust, Via},
};

use super::Host;
use crate::{
    raw::RawClient,
    world::{Notes, until, within},
};

#[tokio::test]
async fn players_hear_of_the_next_identity_and_follow_it() {
    let host = Host::new();
    let dir = tempfile::tempdir().unwrap();
    let known = KnownServers::open(dir.path().join("known_servers.toml")).unwrap();
    let old_link = host.link();
    let early = within(
        Client::join(&old_link)
            .remember(&known, Via::Link)
            .connect(),
    )
    .await
    .unwrap();
    let heard = Notes::new();
    let note = heard.clone();
    early.on_next_identity(move |next| note.push(next.pin));

    let next = Identity::prepare_next(host.dir.path()).unwrap();
    assert_ne!(next.pin, host.server.pin());
    let identity = Identity::load_or_create(host.dir.path()).unwrap();
    assert_eq!(
        (identity.pin(), identity.next()),
        (host.server.pin(), Some(next))
    );
    host.server.set_identity(&identity);
    assert_eq!(heard.wait(1).await, [next.pin]);
    until(|| known.find(&next.pin).unwrap().is_some()).await;

    // Who joins now hears of it as well, once.
    let late = within(Client::join(&old_link).connect()).await.unwrap();
    let note = heard.clone();
    late.on_next_identity(move |next| note.push(next.pin));
    assert_eq!(heard.wait(2).await, [next.pin; 2]);

    let rotated = Identity::rotate(host.dir.path()).unwrap();
    assert_eq!((rotated.pin(), rotated.next()), (next.pin, None));
    host.server.set_identity(&rotated);
    assert_eq!(host.server.pin(), next.pin);
    assert!(early.is_connected(), "who is in stays in");

    // Whoever heard of it finds the server by address, and by the old link.
    let trust = Trust::known_servers(known.clone());
    let client = within(Client::builder(host.address(), trust).connect())
        .await
        .unwrap();
    assert_eq!(client.server_pin(), Some(next.pin));
    let again = Client::join(&old_link).remember(&known, Via::Link);
    within(again.connect()).await.unwrap();
    let server = known.find(&next.pin).unwrap().unwrap();
    assert_eq!((server.pin, server.next), (next.pin, None));
    // Whoever did not is told that this is another.
    let error = within(Client::join(&old_link).connect()).await.unwrap_err();
    match error {
        ConnectError::UntrustedServer {
            pin,
            known: Known::Pinned { .. },
            ..
        } => assert_eq!(pin, next.pin),
        other => panic!("{other:?}"),
    }
    assert_eq!(heard.all(), [next.pin; 2]);
}

#[tokio::test]
async fn a_next_identity_that_will_not_come_is_withdrawn() {
    let host = Host::new();
    let dir = tempfile::tempdir().unwrap();
    let known = KnownServers::open(dir.path().join("known_servers.toml")).unwrap();
    let client = within(
        Client::join(host.link())
            .remember(&known, Via::Link)
            .connect(),
    )
    .await
    .unwrap();
    let next = Identity::prepare_next(host.dir.path()).unwrap();
    host.server
        .set_identity(&Identity::load_or_create(host.dir.path()).unwrap());
    let announced = || {
        known
            .find(&host.server.pin())
            .unwrap()
            .and_then(|server| server.next)
    };
    until(|| announced() == Some(next.pin)).await;
    for file in ["next.key", "next.crt"] {
        std::fs::remove_file(host.dir.path().join(file)).unwrap();
    }
    host.server
        .set_identity(&Identity::load_or_create(host.dir.path()).unwrap());
    until(|| announced().is_none()).await;
    drop(client);
}

#[tokio::test]
async fn a_client_that_announces_an_identity_breaks_the_rules() {
    let host = Host::new();
    let client = RawClient::join(host.server.local_addr(), "Mallory").await;
    let mut message = vec![5];
    message.extend([7; 32]);
    message.push(0);
    let lane = [&[crate::raw::LANE, 0][..], &[35, 0], &message].concat();
    let _stream = client.uni(&lane).await;
    let closed = within(client.connection.closed()).await;
    match closed {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code.into_inner(), 0x110);
        }
        other => panic!("{other:?}"),
    }
}
