//! Joining: who gets in, in which order things happen, and what those are told who do not get in.

use std::{
    collections::HashSet,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use farfire::{
    Admission, Client, CloseCode, ConnectError, Limits, Network, Player, PlayerId, Refusal,
    RemoteEvent, Server, Timeouts,
    testing::SimNet,
    tls::{Identity, Trust},
};
use quinn::ConnectionError;
use tokio::sync::Semaphore;

use crate::{
    raw::{self, Answer, RawClient},
    world::{Notes, World, within},
};

const NEWS: RemoteEvent<String> = RemoteEvent::new("News");
const HI: RemoteEvent<()> = RemoteEvent::new("Hi");

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn joining_within(join: Duration) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.join = join;
    timeouts
}

/// Design 2.10: authentication, then capacity, then the player, then `on_player_added`, then events.
#[tokio::test]
async fn a_join_goes_through_its_steps_in_order() {
    let notes = Notes::new();
    let (asked, added, heard) = (notes.clone(), notes.clone(), notes.clone());
    let world = World::with(|server| {
        server
            .max_players(1)
            .authenticate(move |join| {
                asked.push(format!("asked for {}", join.name));
                async { Ok(Admission::new()) }
            })
            .on_player_added(move |player| added.push(format!("{player} is here")))
    });
    world.server.on_server_event(&HI, move |player, ()| {
        heard.push(format!("{player} says hi"))
    });

    let (ada, _) = within(world.join("Ada")).await;
    ada.fire_server(&HI, &()).unwrap();
    let all = ["asked for Ada", "Ada is here", "Ada says hi"];
    assert_eq!(notes.wait(3).await, all);

    // R108: refused after it was asked for, and before there is a player.
    let error = within(world.client("Bob").connect()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Full { .. }), "{error:?}");
    assert_eq!(notes.all()[3..], ["asked for Bob"]);
    assert_eq!(names(&world.server.players()), ["Ada"]);
}

/// Design 2.10: events fired in `on_player_added` are the first, and broadcasts begin when it returned.
#[tokio::test]
async fn a_player_is_greeted_before_it_takes_part_in_broadcasts() {
    let world = World::with(|server| {
        server.remotes(&[&NEWS]).on_player_added(|player| {
            let server = player.server();
            let all = |text: &str| server.fire_all_clients(&NEWS, &format!("{player} {text}"));
            all("comes").unwrap();
            server
                .fire_client(&player, &NEWS, &format!("welcome, {player}"))
                .unwrap();
            all("is about to be here").unwrap();
        })
    });
    let (ada, _) = within(world.join("Ada")).await;
    let (to_ada, to_bob) = (Notes::new(), Notes::new());
    let seen = to_ada.clone();
    ada.on_client_event(&NEWS, move |text| seen.push(text));
    let (bob, _) = within(world.join("Bob")).await;
    let seen = to_bob.clone();
    bob.on_client_event(&NEWS, move |text| seen.push(text));
    world
        .server
        .fire_all_clients(&NEWS, &"both are here".into())
        .unwrap();

    assert_eq!(to_bob.wait(2).await, ["welcome, Bob", "both are here"]);
    let all = [
        "welcome, Ada",
        "Bob comes",
        "Bob is about to be here",
        "both are here",
    ];
    assert_eq!(to_ada.wait(4).await, all);
}

/// Design 2.10: an asynchronous hook holds the player back up to the first point where it waits.
#[tokio::test]
async fn an_asynchronous_greeting_counts_up_to_where_it_first_waits() {
    let go_on = Arc::new(Semaphore::new(0));
    let gate = go_on.clone();
    let world = World::with(|server| {
        server.remotes(&[&NEWS]).on_player_added(move |player| {
            let gate = gate.clone();
            async move {
                let server = player.server();
                server.fire_all_clients(&NEWS, &"nobody".into()).unwrap();
                server.fire_client(&player, &NEWS, &"first".into()).unwrap();
                gate.acquire().await.unwrap().forget();
                server.fire_client(&player, &NEWS, &"third".into()).unwrap();
            }
        })
    });
    let notes = Notes::new();
    let (ada, _) = within(world.join("Ada")).await;
    let seen = notes.clone();
    ada.on_client_event(&NEWS, move |text| seen.push(text));
    world
        .server
        .fire_all_clients(&NEWS, &"second".into())
        .unwrap();
    assert_eq!(notes.wait(2).await, ["first", "second"]);
    go_on.add_permits(1);
    assert_eq!(notes.wait(3).await, ["first", "second", "third"]);
}

/// R98: nothing of a player is dispatched before `on_player_added` was told of it, and each is told of once.
#[tokio::test]
async fn every_hook_hears_of_every_player_once_and_a_broken_one_stops_nobody() {
    let notes = Notes::new();
    let (one, two) = (notes.clone(), notes.clone());
    let world = World::with(|server| {
        server
            .on_player_added(move |player: Player| one.push(format!("one {player}")))
            .on_player_added(|player: Player| -> () { panic!("no {player} here") })
            .on_player_added(|_| Err::<(), _>("not now"))
            .on_player_added(move |player: Player| two.push(format!("two {player}")))
    });
    let (_ada, _) = within(world.join("Ada")).await;
    let (_bob, _) = within(world.join("Bob")).await;
    assert_eq!(notes.all(), ["one Ada", "two Ada", "one Bob", "two Bob"]);
}

/// R98, R105: a hook set late is not told of those who are there; `players` has them in order of joining.
#[tokio::test]
async fn those_present_are_listed_and_not_announced_again() {
    let world = World::with(|server| server.max_players(7));
    assert_eq!(world.server.max_players(), 7);
    let (ada, _) = within(world.join("Ada")).await;
    let (bob, bob_here) = within(world.join("Bob")).await;
    let notes = Notes::new();
    let late = notes.clone();
    world
        .server
        .on_player_added(move |player: Player| late.push(player.to_string()));
    let (_cy, cy) = within(world.join("Cy")).await;
    assert_eq!(notes.all(), ["Cy"]);

    assert_eq!(names(&world.server.players()), ["Ada", "Bob", "Cy"]);
    assert_eq!(world.server.stats().players, 3);
    assert_eq!(world.server.player(cy.id()), Some(cy));
    within(bob.leave()).await;
    within(bob_here.left()).await;
    assert_eq!(world.server.player(bob_here.id()), None);
    assert_eq!(names(&world.server.players()), ["Ada", "Cy"]);
    assert!(ada.is_connected());
}

/// R97, R100, R103: both sides know the player by the same id and name; an empty name is given one.
#[tokio::test]
async fn a_player_has_the_name_it_asked_for_or_is_given_one() {
    let world = World::new();
    let long = "ß".repeat(64);
    for (asked, given) in [
        ("Ada", "Ada"),
        ("", "Player2"),
        (&long, &long),
        ("  ", "  "),
    ] {
        let (client, player) = within(world.join(asked)).await;
        assert_eq!(client.local_player().name, given);
        assert_eq!(player.name(), given);
        assert_eq!(client.local_player().id, player.id());
        within(client.leave()).await;
    }
}

/// R103: ids are not used again, and names need not be unique.
#[tokio::test]
async fn an_id_is_never_used_again() {
    let world = World::new();
    let mut ids = HashSet::<PlayerId>::new();
    for _ in 0..4 {
        let (client, player) = within(world.join("Ada")).await;
        assert!(ids.insert(player.id()));
        within(client.leave()).await;
    }
}

/// Design 2.10: a name that cannot be shown above a head is refused with the rule it breaks.
#[tokio::test]
async fn a_name_too_long_or_with_control_characters_is_refused() {
    let world = World::new();
    let bad = [
        &"a".repeat(65),
        "line\nbreak",
        "bell\u{7}",
        &"ß".repeat(1000),
    ];
    for name in bad {
        let error = within(world.client(name).connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadName { .. }), "{error:?}");
        let rule = "at most 64 characters and no control characters";
        assert!(error.to_string().contains(rule), "{error}");
    }
    assert_eq!(world.server.players(), []);
}

/// Design 2.10: the hook sees name, token and address, and what it learns stays with the player.
#[tokio::test]
async fn authentication_reads_the_token_and_attaches_a_profile() {
    #[derive(Debug, PartialEq)]
    struct Account {
        level: u32,
    }
    let notes = Notes::new();
    let asked = notes.clone();
    let world = World::with(|server| {
        server.authenticate(move |join| {
            assert!(join.address.ip().is_loopback());
            asked.push(format!("{join:?}"));
            async move {
                match join.token.as_bytes() {
                    b"sesame" => Ok(Admission::new()
                        .name(format!("Sir {}", join.name))
                        .profile(Account { level: 7 })),
                    _ => Err(Refusal::BadToken),
                }
            }
        })
    });
    let client = within(world.client("Ada").token("sesame").connect())
        .await
        .unwrap();
    let player = world.player(&client).await;
    assert_eq!(player.profile::<Account>(), Some(&Account { level: 7 }));
    assert_eq!(player.profile::<String>(), None);
    assert_eq!(player.name(), "Sir Ada");
    assert_eq!(client.local_player().name, "Sir Ada");
    // A token in a log is a token lost.
    assert!(notes.all()[0].contains("6 bytes") && !notes.all()[0].contains("sesame"));

    for wrong in ["", "please"] {
        let client = world.client("Bob").token(wrong);
        let error = within(client.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadToken), "{error:?}");
        let text = "did not accept the token: ask its host for a valid one";
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(world.server.players().len(), 1);
}

/// Design 2.10: every refusal reaches the client as what it is, with the words of the server.
#[tokio::test]
async fn a_refusal_reaches_the_client_typed_and_in_words() {
    let world = World::with(|server| {
        server.authenticate(|join| async move {
            match join.name.as_str() {
                "Eve" => Err(Refusal::Banned {
                    reason: "threw a table".into(),
                }),
                "Bob" => Err("closed on Mondays".into()),
                "Mallory" => Ok(Admission::new().name("a\tb")),
                _ => Err(Refusal::BadToken),
            }
        })
    });
    let refused = async |name: &str| within(world.client(name).connect()).await.unwrap_err();

    let error = refused("Eve").await;
    assert!(
        matches!(&error, ConnectError::Banned { reason } if reason == "threw a table"),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "banned from this server: threw a table");

    let error = refused("Bob").await;
    assert!(
        matches!(&error, ConnectError::Refused { code: CloseCode::REFUSED, reason }
            if reason == "closed on Mondays"),
        "{error:?}"
    );
    assert!(error.to_string().contains("closed on Mondays"), "{error}");

    // The hook's names are held to the same rule as a client's.
    let error = refused("Mallory").await;
    assert!(matches!(error, ConnectError::BadName { .. }), "{error:?}");
    assert_eq!(world.server.players(), []);
}

/// Design 2.10, 6: a hook that panics refuses that player, and nobody else suffers from it.
#[tokio::test]
async fn an_authentication_that_panics_refuses_that_player_only() {
    let world = World::with(|server| {
        server.authenticate(|join| {
            assert_ne!(join.name, "at once", "this one was to panic");
            async move {
                tokio::task::yield_now().await;
                assert_ne!(join.name, "later", "this one was to panic");
                Ok(Admission::new())
            }
        })
    });
    for name in ["at once", "later"] {
        let error = within(world.client(name).connect()).await.unwrap_err();
        let ConnectError::Refused { code, reason } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*code, CloseCode::INTERNAL);
        // What it panicked with is nobody's business.
        assert!(!reason.contains("to panic"), "{reason}");
        assert!(error.to_string().contains("internal error"), "{error}");
    }
    within(world.join("Ada")).await;
}

/// Design 2.10, 6: authentication that takes too long ends with the `join` timeout, of either side.
#[tokio::test]
async fn an_authentication_that_stalls_ends_in_time() {
    let patience = Duration::from_millis(300);
    let world = World::with(|server| {
        server
            .timeouts(joining_within(patience))
            .authenticate(|_| std::future::pending())
    });
    // The other side would wait for a minute.
    let minute = Duration::from_secs(60);
    let client = world.client("Ada").timeouts(joining_within(minute));
    let began = Instant::now();
    let error = within(client.connect()).await.unwrap_err();
    assert!(matches!(error, ConnectError::JoinTimeout), "{error:?}");
    assert!(began.elapsed() >= patience);
    assert!(error.to_string().contains("authentication"), "{error}");

    let world = World::with(|server| {
        server
            .timeouts(joining_within(minute))
            .authenticate(|_| std::future::pending())
    });
    let client = world.client("Ada").timeouts(joining_within(patience));
    let error = within(client.connect()).await.unwrap_err();
    // On a machine this busy, the patience may have ended during the handshake.
    assert!(
        matches!(
            error,
            ConnectError::JoinTimeout | ConnectError::Unreachable { .. }
        ),
        "{error:?}"
    );
}

/// Design 2.10, `ClientBuilder::connect`: a connect that is dropped leaves nothing behind.
#[tokio::test]
async fn a_client_that_gives_up_while_it_joins_never_was_there() {
    struct Dropped(Notes<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.push("dropped");
        }
    }
    let notes = Notes::new();
    let (asked, added) = (notes.clone(), notes.clone());
    let world = World::with(|server| {
        server
            .authenticate(move |_| {
                asked.push("asked");
                let dropped = Dropped(asked.clone());
                async move {
                    std::future::pending::<()>().await;
                    drop(dropped);
                    Ok(Admission::new())
                }
            })
            .on_player_added(move |_| added.push("added"))
    });
    let connecting = tokio::spawn(world.client("Ada").connect());
    notes.wait(1).await;
    connecting.abort();
    assert_eq!(notes.wait(2).await, ["asked", "dropped"]);
    assert_eq!(world.server.players(), []);
}

/// R108, design 2.10: a full server refuses, and a place is free again as soon as a player has left.
#[tokio::test]
async fn a_full_server_refuses_until_somebody_leaves() {
    let world = World::with(|server| server.max_players(2));
    let (ada, _) = within(world.join("Ada")).await;
    let (_bob, bob) = within(world.join("Bob")).await;
    let error = within(world.client("Cy").connect()).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Full { detail } if detail == "all 2 places are taken"),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "the server is full (all 2 places are taken): try again later"
    );
    within(ada.leave()).await;
    let (_cy, _) = within(world.join("Cy")).await;
    assert_eq!(names(&world.server.players()), ["Bob", "Cy"]);

    let notes = Notes::new();
    let gone = notes.clone();
    world
        .server
        .on_player_removing(move |player, _| gone.push(player.to_string()));
    bob.kick("");
    notes.wait(1).await;
    // The hook comes before the removal: the place is free in a moment.
    within(async {
        while let Err(error) = world.client("Di").connect().await {
            assert!(matches!(error, ConnectError::Full { .. }), "{error:?}");
        }
    })
    .await;
}

/// Design 6: one address has its own limit of connections, and gets them back.
#[tokio::test]
async fn one_address_may_not_take_all_places() {
    let world =
        World::with(|server| server.limits(limits(|limits| limits.connections_per_address = 2)));
    let (ada, _) = within(world.join("Ada")).await;
    let (_bob, _) = within(world.join("Bob")).await;
    let error = within(world.client("Cy").connect()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Busy { .. }), "{error:?}");
    assert!(
        error.to_string().contains("try again in a moment"),
        "{error}"
    );
    within(ada.leave()).await;
    within(world.join("Cy")).await;
}

/// Coming back is for the price of a handshake, so that there is a rate of it. On virtual time, in which
/// a handshake takes none.
#[tokio::test(start_paused = true)]
async fn one_address_may_not_come_back_as_fast_as_it_can() {
    let net = SimNet::new();
    let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"]).unwrap())
        .network(&net.network(None))
        .limits(limits(|limits| limits.connections_per_address = 80))
        .start()
        .unwrap();
    let network = net.network(None);
    let come = async || {
        let trust = Trust::pinned([server.pin()]);
        let client = Client::builder("10.0.0.1:4433", trust).network(&network);
        let client = client.connect().await?;
        client.leave().await;
        Ok::<_, ConnectError>(())
    };
    // Each that leaves at once counts as four.
    for _ in 0..20 {
        come().await.unwrap();
    }
    let handshakes = server.stats().handshakes;
    for _ in 0..64 {
        let error = come().await.unwrap_err();
        assert!(matches!(error, ConnectError::Busy { .. }), "{error:?}");
    }
    let stats = server.stats();
    assert_eq!(stats.turned_away, 64, "{stats:?}");
    assert_eq!(stats.handshakes, handshakes, "none was worth one");
    // From here on nobody is told, and asks again until there is room.
    let began = tokio::time::Instant::now();
    come().await.unwrap();
    assert!(server.stats().turned_away > 64);
    assert!(began.elapsed() > Duration::from_millis(100));
    tokio::time::sleep(Duration::from_secs(60)).await;
    while come().await.is_ok() {}
    // An eighth of eighty comes back in a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        come().await.unwrap();
    }
    come().await.unwrap_err();
}

/// Design 2.10, 2.11: a refusal comes on the hello stream itself, and the close carries its code.
#[tokio::test]
async fn a_refusal_comes_on_the_hello_stream_and_closes_with_the_same_code() {
    let world = World::with(|server| {
        server.authenticate(|_| async {
            Err(Refusal::Banned {
                reason: "for good".into(),
            })
        })
    });
    let eve = RawClient::connect(world.server.local_addr(), raw::ALPN)
        .await
        .unwrap();
    let answer = eve.greet(&raw::hello(raw::VERSION, "Eve")).await;
    let refused = Answer::Refused {
        code: CloseCode::BANNED,
        detail: "for good".into(),
        protocol: raw::VERSION,
    };
    assert_eq!(answer, refused);
    // It does not close, as it should; the server does so in its place.
    assert_eq!(eve.closed().await.0, CloseCode::BANNED);
}

/// Design 2.10: a client that speaks a later protocol is told which one the server speaks.
#[tokio::test]
async fn a_server_tells_other_versions_which_one_it_speaks() {
    let world = World::new();
    let later = RawClient::connect(world.server.local_addr(), raw::ALPN)
        .await
        .unwrap();
    match later.greet(&raw::hello(2, "Ada")).await {
        Answer::Refused { code, protocol, .. } => {
            assert_eq!(code, CloseCode::PROTOCOL_VERSION);
            assert_eq!(protocol, raw::VERSION);
        }
        answer @ Answer::Welcome { .. } => panic!("{answer:?}"),
    }
    assert_eq!(later.closed().await.0, CloseCode::PROTOCOL_VERSION);

    // One of another generation does not get past TLS.
    let refused = RawClient::connect(world.server.local_addr(), b"farfire/2").await;
    match refused.err() {
        Some(ConnectionError::ConnectionClosed(close)) => {
            assert_eq!(u64::from(close.error_code), NO_APPLICATION_PROTOCOL);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.server.players(), []);
}

/// Design 2.10: a client learns that the server speaks something else, and what to do.
#[tokio::test]
async fn a_client_is_told_that_the_server_speaks_another_version() {
    let (other, pin) = raw::server(b"farfire/2");
    let address = other.local_addr().unwrap().to_string();
    let client = Client::builder(address, Trust::pinned([pin]));
    let accepting = tokio::spawn(async move { other.accept().await.unwrap().await.is_err() });
    let error = within(client.connect()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::ProtocolVersion {
                ours: 1,
                theirs: None
            }
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("update the older one"),
        "{error}"
    );
    assert!(within(accepting).await.unwrap());

    let (later, pin) = raw::server(raw::ALPN);
    let address = later.local_addr().unwrap().to_string();
    let client = Client::builder(address, Trust::pinned([pin]));
    tokio::spawn(async move {
        let connection = later.accept().await.unwrap().await.unwrap();
        let (mut send, mut recv) = connection.accept_bi().await.unwrap();
        recv.read_to_end(1 << 16).await.unwrap();
        let answer = Answer::refused(CloseCode::PROTOCOL_VERSION, "", 2);
        send.write_all(&answer).await.unwrap();
        send.finish().unwrap();
        connection.closed().await;
    });
    let error = within(client.connect()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::ProtocolVersion {
                ours: 1,
                theirs: Some(2)
            }
        ),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("farfire/1") && text.contains("farfire/2"),
        "{text}"
    );
}

/// R101: what the operator sets is known to the client when it has joined.
#[tokio::test]
async fn settings_are_readable_when_joined() {
    let world = World::with(|server| {
        server
            .setting("RespawnTime", "5")
            .setting("MaxPlayers", "100")
            .setting("MaxPlayers", "12")
    });
    let (ada, _) = within(world.join("Ada")).await;
    assert_eq!(ada.setting("RespawnTime"), Some("5"));
    assert_eq!(ada.setting("MaxPlayers"), Some("12"));
    assert_eq!(ada.setting("Gravity"), None);
    assert_eq!(ada.server_addr(), world.server.local_addr());
}

/// Design 3: clients that share a network share its socket; others have one each.
#[tokio::test]
async fn clients_of_one_network_share_a_socket() {
    let world = World::new();
    let network = Network::new().unwrap();
    let mut shared = Vec::new();
    for name in ["Ada", "Bob"] {
        let client = world.client(name).network(&network).connect();
        let client = within(client).await.unwrap();
        shared.push((world.player(&client).await, client));
    }
    let (_cy, cy) = within(world.join("Cy")).await;
    assert_eq!(shared[0].0.address(), shared[1].0.address());
    assert_ne!(shared[0].0.address(), cy.address());

    // One of them leaving takes nothing from the other.
    within(shared[0].1.leave()).await;
    let notes = Notes::new();
    let heard = notes.clone();
    world
        .server
        .on_server_event(&HI, move |player, ()| heard.push(player.to_string()));
    let bob = &shared[1].1;
    within(bob.wait_for_remote(&HI)).await.unwrap();
    bob.fire_server(&HI, &()).unwrap();
    assert_eq!(notes.wait(1).await, ["Bob"]);
}

/// Design 3: a server on several threads is one server: broadcasts reach everyone, in order.
#[tokio::test]
async fn a_server_on_two_threads_is_one_server() {
    const PLAYERS: usize = 8;
    const ROUNDS: usize = 20;
    let network = Network::builder().threads(2).build().unwrap();
    let world = World::with(|server| server.network(&network).remotes(&[&NEWS, &HI]));
    let heard = Notes::new();
    let hi = heard.clone();
    world
        .server
        .on_server_event(&HI, move |player, ()| hi.push(player.to_string()));
    let clients_network = Network::new().unwrap();
    let mut clients = Vec::new();
    for at in 0..PLAYERS {
        let client = world.client(&format!("P{at}")).network(&clients_network);
        let client = within(client.connect()).await.unwrap();
        let notes = Notes::new();
        let seen = notes.clone();
        client.on_client_event(&NEWS, move |text| seen.push(text));
        clients.push((client, notes));
    }
    for round in 0..ROUNDS {
        let text = round.to_string();
        world.server.fire_all_clients(&NEWS, &text).unwrap();
    }
    let all: Vec<_> = (0..ROUNDS).map(|round| round.to_string()).collect();
    for (client, notes) in &clients {
        assert_eq!(notes.wait(ROUNDS).await, all);
        client.fire_server(&HI, &()).unwrap();
    }
    assert_eq!(heard.wait(PLAYERS).await.len(), PLAYERS);
    within(world.server.shutdown()).await;
    assert_eq!(world.server.players(), []);
}

/// Design 1: a program without a runtime can do everything, and the blocking forms refuse to stall one.
#[test]
fn a_program_without_a_runtime_can_join() {
    let world = World::new();
    let client = world.client("Ada").connect_blocking().unwrap();
    let notes = Notes::new();
    let heard = notes.clone();
    world
        .server
        .on_server_event(&HI, move |player, ()| heard.push(player.to_string()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        within(client.wait_for_remote(&HI)).await.unwrap();
        client.fire_server(&HI, &()).unwrap();
        assert_eq!(notes.wait(1).await, ["Ada"]);
        let error = world.client("Bob").connect_blocking().unwrap_err();
        assert!(matches!(error, ConnectError::WouldBlock), "{error:?}");
    });
    client.leave_blocking();
    assert!(!client.is_connected());
    world.server.shutdown_blocking();
    assert_eq!(world.server.players(), []);
    thread::spawn(move || world.server.shutdown_blocking())
        .join()
        .unwrap();
}

/// The TLS alert of this name, as QUIC carries it.
const NO_APPLICATION_PROTOCOL: u64 = 0x178;

fn names(players: &[Player]) -> Vec<&str> {
    players.iter().map(Player::name).collect()
}
