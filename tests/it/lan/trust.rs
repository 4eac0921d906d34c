//! Servers that a player knows, and those it does not: each row of the table of rules.

use farfire::{
    Client, ConnectError,
    lan::JoinLink,
    tls::{Known, KnownServers, KnownServersError, Pin, Trust, Via},
};

use super::Host;
use crate::world::within;

struct Player {
    _dir: tempfile::TempDir,
    known: KnownServers,
}

impl Player {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownServers::open(dir.path().join("known_servers.toml")).unwrap();
        Self { _dir: dir, known }
    }

    async fn by_address(&self, address: &str, name: &str) -> Result<Client, ConnectError> {
        let trust = Trust::known_servers(self.known.clone());
        within(Client::builder(address, trust).server_name(name).connect()).await
    }

    async fn by_link(&self, link: &JoinLink) -> Result<Client, ConnectError> {
        within(
            Client::join(link)
                .remember(&self.known, Via::Link)
                .connect(),
        )
        .await
    }

    fn pins(&self) -> Vec<Pin> {
        self.known
            .list()
            .unwrap()
            .iter()
            .map(|server| server.pin)
            .collect()
    }
}

fn refusal(result: Result<Client, ConnectError>) -> (Pin, Known, String) {
    let error = result.unwrap_err();
    let text = error.to_string();
    match error {
        ConnectError::UntrustedServer {
            pin, code, known, ..
        } => {
            assert_eq!(code, pin.code());
            (pin, known, text)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_joined_by_link_is_remembered_and_then_found_by_address_alone() {
    let (host, player) = (Host::new(), Player::new());
    let link = host.link().with_name("desert-duel");
    player.by_link(&link).await.unwrap();
    let server = player.known.find(&host.server.pin()).unwrap().unwrap();
    assert_eq!(
        (server.name.as_str(), server.via),
        ("desert-duel", Via::Link)
    );
    assert_eq!(server.last_addrs, [host.address()]);
    let client = player.by_address(&host.address(), "").await.unwrap();
    assert_eq!(client.server_pin(), Some(host.server.pin()));
}

#[tokio::test]
async fn a_link_with_another_pin_is_refused_and_nothing_is_remembered() {
    let (host, player) = (Host::new(), Player::new());
    let link = JoinLink::new(host.link().addresses()[0].clone(), Pin::from_bytes([7; 32]));
    let (pin, known, _) = refusal(player.by_link(&link).await);
    assert_eq!(pin, host.server.pin());
    assert!(matches!(known, Known::Pinned { .. }), "{known:?}");
    assert_eq!(player.pins(), []);
    // Nor may it be accepted by its code: there was nothing to ask.
    assert_eq!(player.known.accept_code(&pin.code()).unwrap(), None);
    // Knowing the server does not help a link that names another.
    player
        .known
        .accept(pin, "", &host.address(), Via::Manual)
        .unwrap();
    let (_, known, _) = refusal(player.by_link(&link).await);
    assert!(matches!(known, Known::Pinned { .. }), "{known:?}");
}

#[tokio::test]
async fn an_unknown_server_is_asked_about_and_joined_when_accepted() {
    let (host, player) = (Host::new(), Player::new());
    let (pin, known, text) = refusal(player.by_address(&host.address(), "").await);
    assert_eq!((pin, &known), (host.server.pin(), &Known::Nothing));
    assert!(
        text.contains(&pin.code().to_string()) && text.contains("host's screen"),
        "{text}"
    );
    // Refused again, as nobody has decided.
    refusal(player.by_address(&host.address(), "").await);
    player
        .known
        .accept(pin, "", &host.address(), Via::Manual)
        .unwrap();
    player.by_address(&host.address(), "").await.unwrap();
    // And forgotten.
    assert_eq!(player.known.forget(&pin.code()).unwrap(), 1);
    refusal(player.by_address(&host.address(), "").await);
}

#[tokio::test]
async fn another_identity_at_a_known_address_or_under_a_known_name_is_refused_with_both_codes() {
    let (host, other, player) = (Host::new(), Host::new(), Player::new());
    player
        .by_link(&host.link().with_name("desert-duel"))
        .await
        .unwrap();
    // The other one answers at the address of the first, as far as the player knows.
    player
        .known
        .accept(host.server.pin(), "", &other.address(), Via::Link)
        .unwrap();
    for (address, name) in [
        (other.address(), ""),
        (
            format!("localhost:{}", other.server.local_addr().port()),
            "Desert-Duel",
        ),
    ] {
        let (pin, known, text) = refusal(player.by_address(&address, name).await);
        assert_eq!(pin, other.server.pin());
        match known {
            Known::Changed { before } => assert_eq!(before.pin, host.server.pin()),
            known => panic!("{known:?}"),
        }
        for part in [
            "is not the server you joined before",
            &format!(
                "expected  {}   \"desert-duel\", first joined ",
                host.server.pin().code()
            ),
            &format!("received  {}", pin.code()),
            "by link",
            "farfire cert show",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    // Only by its code, in so many words.
    let accepted = player
        .known
        .accept_code(&other.server.pin().code())
        .unwrap();
    assert_eq!(accepted.map(|server| server.pin), Some(other.server.pin()));
    player
        .by_address(&other.address(), "desert-duel")
        .await
        .unwrap();
    // The one before is still who it was.
    player
        .by_address(&host.address(), "desert-duel")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_known_server_is_joined_wherever_it_answers() {
    let (host, player) = (Host::new(), Player::new());
    player
        .known
        .accept(host.server.pin(), "duel", "10.9.8.7:4433", Via::Link)
        .unwrap();
    player.by_address(&host.address(), "").await.unwrap();
    let server = player.known.find(&host.server.pin()).unwrap().unwrap();
    assert_eq!(server.last_addrs, [host.address(), "10.9.8.7:4433".into()]);
}

#[tokio::test]
async fn whoever_shows_a_known_certificate_without_its_key_is_refused() {
    let (host, player) = (Host::new(), Player::new());
    player.by_link(&host.link()).await.unwrap();
    let thief = host.impostor();
    let error = player
        .by_address(&thief.address().to_string(), "")
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Certificate { .. }),
        "{error:?}"
    );
    assert_eq!((thief.handshakes(), thief.heard()), (1, 0));
    let server = player.known.find(&host.server.pin()).unwrap().unwrap();
    assert_eq!(
        server.last_addrs,
        [host.address()],
        "where the thief is was not remembered"
    );
}

#[tokio::test]
async fn a_damaged_file_is_an_error_of_its_own_and_no_reason_to_trust_anybody() {
    let (host, player) = (Host::new(), Player::new());
    player.by_link(&host.link()).await.unwrap();
    let text = std::fs::read_to_string(player.known.path()).unwrap();
    std::fs::write(player.known.path(), text.replace("pin = \"", "pin = \"?")).unwrap();
    let damaged = std::fs::read_to_string(player.known.path()).unwrap();
    for result in [
        player.by_address(&host.address(), "").await,
        player.by_link(&host.link()).await,
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::KnownServers(KnownServersError::Damaged { .. })
            ),
            "{error:?}"
        );
        assert!(error.to_string().starts_with("line "), "{error}");
    }
    assert_eq!(
        std::fs::read_to_string(player.known.path()).unwrap(),
        damaged
    );
}
