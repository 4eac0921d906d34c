//! By a link: the server that it names and no other, wherever that is, and with the permission to join.

use std::{sync::Arc, time::Duration};

use farfire::{
    Admission, Client, ConnectError, Refusal, Timeouts,
    lan::{Address, JoinLink, JoinToken, JoinTokens, LinkError},
    tls::{CertificateFault, Known, Pin, Trust},
};

use super::{Host, Impostor, nobody};
use crate::world::{Notes, within};

fn patient() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.join = Duration::from_secs(15);
    timeouts
}

#[tokio::test]
async fn a_link_is_all_it_takes() {
    let host = Host::new();
    let link = host.link().with_name("desert-duel").to_string();
    let client = within(Client::join(&link).name("Ada").connect())
        .await
        .unwrap();
    assert_eq!(client.local_player().name, "Ada");
    assert_eq!(client.server_pin(), Some(host.server.pin()));
    // The same as a value.
    let link: JoinLink = link.parse().unwrap();
    let client = within(Client::join(&link).connect()).await.unwrap();
    assert_eq!(client.server_addr(), host.server.local_addr());
}

#[tokio::test]
async fn a_damaged_link_is_refused_before_anything_is_sent() {
    let (_socket, address) = nobody();
    let error = within(Client::join(format!("farfire://{address}")).connect())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Link(LinkError::NoPin)),
        "{error:?}"
    );
    assert!(error.to_string().contains("copy it again"), "{error}");
}

#[tokio::test]
async fn a_pin_that_is_wrong_in_one_character_is_refused() {
    let host = Host::new();
    let pin = host.server.pin().to_string();
    for at in [0, 25, 50] {
        let other = if &pin[at..=at] == "7" { "8" } else { "7" };
        let mut wrong = pin.clone();
        wrong.replace_range(at..=at, other);
        let link = host.link().to_string().replace(&pin, &wrong);
        let error = within(Client::join(link).connect()).await.unwrap_err();
        match &error {
            ConnectError::UntrustedServer {
                pin: received,
                known: Known::Pinned { expected },
                ..
            } => {
                assert_eq!(*received, host.server.pin());
                assert_eq!(expected, &[wrong.parse::<Pin>().unwrap()]);
            }
            other => panic!("{other:?}"),
        }
        let text = error.to_string();
        assert!(text.contains(&pin) && text.contains(&wrong), "{text}");
        assert!(text.contains("ask the host for the current link"), "{text}");
    }
}

/// The attack that a pin alone would not stop: certificates are public.
#[tokio::test]
async fn the_token_is_not_told_to_who_shows_the_certificate_without_its_key() {
    let host = Host::new();
    let thief = host.impostor();
    let link = JoinLink::new(Address::from(thief.address()), host.server.pin())
        .with_token(JoinToken::from_bytes([7; 16]));
    let error = within(Client::join(link).timeouts(patient()).connect())
        .await
        .unwrap_err();
    match error {
        ConnectError::Certificate { fault, .. } => assert_eq!(fault, CertificateFault::KeyNotHeld),
        other => panic!("{other:?}"),
    }
    assert_eq!((thief.handshakes(), thief.heard()), (1, 0));
    // A stranger with a certificate of its own hears as little.
    let stranger = Impostor::stranger();
    let link = JoinLink::new(Address::from(stranger.address()), host.server.pin())
        .with_token(JoinToken::from_bytes([7; 16]));
    let error = within(Client::join(link).timeouts(patient()).connect())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::UntrustedServer { .. }),
        "{error:?}"
    );
    assert_eq!((stranger.handshakes(), stranger.heard()), (1, 0));
}

#[tokio::test]
async fn impostors_that_answer_first_neither_win_nor_stop_the_race() {
    let host = Host::new();
    let (thief, stranger) = (host.impostor(), Impostor::stranger());
    let (_socket, silent) = nobody();
    let link = JoinLink::new(Address::from(thief.address()), host.server.pin())
        .also_at([silent, stranger.address(), host.server.local_addr()].map(Address::from))
        .with_token(JoinToken::from_bytes([7; 16]));
    let client = within(Client::join(link).timeouts(patient()).connect())
        .await
        .unwrap();
    assert_eq!(client.server_addr(), host.server.local_addr());
    assert_eq!((thief.handshakes(), thief.heard()), (1, 0));
    assert_eq!((stranger.handshakes(), stranger.heard()), (1, 0));
}

#[tokio::test]
async fn an_address_that_is_none_does_not_stop_the_race() {
    let host = Host::new();
    let builder = Client::builder("no port", Trust::pinned([host.server.pin()]));
    let client = within(
        builder
            .also_at(host.address())
            .timeouts(patient())
            .connect(),
    )
    .await
    .unwrap();
    assert_eq!(client.server_addr(), host.server.local_addr());
}

#[tokio::test]
async fn when_all_fail_those_who_answered_are_named() {
    let host = Host::new();
    let stranger = Impostor::stranger();
    let (_socket, silent) = nobody();
    let mut timeouts = patient();
    timeouts.join = Duration::from_secs(1);
    let link = JoinLink::new(Address::from(silent), host.server.pin());
    let error = within(Client::join(&link).timeouts(timeouts.clone()).connect())
        .await
        .unwrap_err();
    match error {
        ConnectError::Unreachable { addresses, .. } => assert_eq!(addresses, [silent]),
        other => panic!("{other:?}"),
    }
    let link = link.also_at([Address::from(stranger.address())]);
    let error = within(Client::join(link).timeouts(timeouts).connect())
        .await
        .unwrap_err();
    match error {
        ConnectError::UntrustedServer { address, .. } => assert_eq!(address, stranger.address()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_lets_in_until_it_is_replaced() {
    let tokens = JoinTokens::new(JoinToken::generate().unwrap());
    let host = Host::with(|server| server.join_tokens(tokens.clone()));
    let link = || host.link().with_token(tokens.current());
    let join = |link: JoinLink| within(Client::join(link).connect());
    let old = link();
    let player = join(old.clone()).await.unwrap();

    let error = join(host.link()).await.unwrap_err();
    assert!(matches!(error, ConnectError::BadToken), "{error:?}");
    let error = join(host.link().with_token(JoinToken::from_bytes([1; 16])))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::BadToken), "{error:?}");
    assert!(error.to_string().contains("ask its host"), "{error}");

    tokens.replace(JoinToken::generate().unwrap());
    let error = join(old).await.unwrap_err();
    assert!(matches!(error, ConnectError::ExpiredToken), "{error:?}");
    assert!(error.to_string().contains("expired"), "{error}");
    join(link()).await.unwrap();
    assert!(player.is_connected(), "who is in stays in");

    tokens.expire_after(Duration::ZERO);
    let error = join(link()).await.unwrap_err();
    assert!(matches!(error, ConnectError::ExpiredToken), "{error:?}");
}

#[tokio::test]
async fn authentication_is_asked_after_the_token_and_has_the_last_word() {
    let asked = Notes::new();
    let token = JoinToken::from_bytes([9; 16]);
    let noted = asked.clone();
    let host = Host::with(|server| {
        server.join_tokens(token.clone()).authenticate(move |join| {
            noted.push(join.name.clone());
            async move {
                match join.name.as_str() {
                    "Mallory" => Err(Refusal::Banned {
                        reason: "cheating".into(),
                    }),
                    _ => Ok(Admission::new()),
                }
            }
        })
    });
    let link = Arc::new(host.link().with_token(token));
    let error = within(Client::join(host.link()).name("Eve").connect())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::BadToken), "{error:?}");
    let error = within(Client::join(&*link).name("Mallory").connect())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Banned { .. }), "{error:?}");
    within(Client::join(&*link).name("Ada").connect())
        .await
        .unwrap();
    assert_eq!(asked.all(), ["Mallory", "Ada"]);
}
