//! Bad input: what a program is told that gives it, and what becomes of a peer that sends it.

use std::{
    future::IntoFuture,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use farfire::{
    Client, CloseCode, ConnectError, Delivery, DisconnectReason, DropCause, FireError, InvokeError,
    Limits, Player, Rate, RemoteEvent, RemoteFunction, Server, StartError, Timeouts,
    UnreliableRemoteEvent, What,
    tls::{CertificateFault, Identity, Known, Pin, PinError, Trust},
};
use quinn::{ReadToEndError, VarInt};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::{
    raw::{self, RawClient, datagram, frame, lane, put_bytes, put_varint},
    world::{Notes, World, within},
};

const TEXT: RemoteEvent<String> = RemoteEvent::new("Text");
const NOISE: UnreliableRemoteEvent<String> = UnreliableRemoteEvent::new("Noise");
const ECHO: RemoteFunction<String, String> = RemoteFunction::new("Echo");
const SMALL: RemoteEvent<String> = RemoteEvent::new("Small").max_payload(10);
const GRADE: RemoteEvent<Grade> = RemoteEvent::new("Grade");
const MARK: RemoteFunction<Grade, Grade> = RemoteFunction::new("Mark");

/// The ids that a server gives these, in this order.
const TEXT_ID: u64 = 1;
const NOISE_ID: u64 = 2;
const ECHO_ID: u64 = 3;
const SMALL_ID: u64 = 4;
const GRADE_ID: u64 = 5;
const NO_ID: u64 = 77;

/// A number that can be written up to 200 and is read up to 100.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Grade(u8);

impl Serialize for Grade {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ..=200 => serializer.serialize_u8(self.0),
            _ => Err(ser::Error::custom("no grade is above 200")),
        }
    }
}

impl<'de> Deserialize<'de> for Grade {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            grade @ ..=100 => Ok(Self(grade)),
            _ => Err(de::Error::custom("no grade is above 100")),
        }
    }
}

fn world_with(limits: impl FnOnce(&mut Limits)) -> World {
    let mut changed = Limits::default();
    limits(&mut changed);
    let world = World::with(|server| {
        server
            .limits(changed)
            .remotes(&[&TEXT, &NOISE, &ECHO, &SMALL, &GRADE, &MARK])
    });
    world.server.on_server_invoke(&ECHO, |_, text| text);
    world
}

fn world() -> World {
    world_with(|_| {})
}

fn timeouts(change: impl FnOnce(&mut Timeouts)) -> Timeouts {
    let mut timeouts = Timeouts::default();
    change(&mut timeouts);
    timeouts
}

/// The text says what happened and what to do, in one line of lower case without a full stop.
#[track_caller]
fn assert_text(error: &impl std::error::Error, phrases: &[&str]) {
    let text = error.to_string();
    for phrase in phrases {
        assert!(text.contains(phrase), "{phrase:?} is not in {text:?}");
    }
    assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    let first = text.chars().next().unwrap();
    assert!(!first.is_uppercase(), "{text}");
}

// What a program does wrong.

/// An address that is none is refused before anything is sent.
#[tokio::test]
async fn an_address_that_is_none_says_how_to_write_one() {
    let pin = Pin::from_bytes([7; 32]);
    for address in [
        "",
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "127.0.0.1:port",
        "[::1:4433",
        "farfire://127.0.0.1:4433",
        ":4433",
    ] {
        let client = Client::builder(address, Trust::pinned([pin]));
        let error = within(client.connect()).await.unwrap_err();
        match &error {
            ConnectError::Address { address: given, .. } => assert_eq!(given, address),
            other => panic!("{address:?}: {other:?}"),
        }
        let quoted = format!("{address:?} is no address of a server");
        assert_text(&error, &[&quoted, "write HOST:PORT"]);
    }
    let identity = || Identity::self_signed(["localhost"]).unwrap();
    for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999"] {
        let error = Server::builder(address, identity()).start().unwrap_err();
        assert!(matches!(error, StartError::Address { .. }), "{error:?}");
        let quoted = format!("{address:?} is no address to listen on");
        assert_text(&error, &[&quoted, "write IP:PORT"]);
    }
}

/// A port that is taken, and an address of another machine.
#[tokio::test]
async fn an_address_that_cannot_be_listened_on_says_what_to_try() {
    let taken = World::new().server;
    let identity = || Identity::self_signed(["localhost"]).unwrap();
    // The second is set apart for documentation, and so belongs to nobody.
    for address in [taken.local_addr().to_string(), "192.0.2.1:4433".into()] {
        let error = Server::builder(&address, identity()).start().unwrap_err();
        assert!(matches!(error, StartError::Bind { .. }), "{error:?}");
        let phrase = format!("cannot listen on {address}");
        assert_text(&error, &[&phrase, "port 0"]);
    }
}

/// A port that nobody listens on: the answer comes by the time that was given for joining.
#[tokio::test]
async fn a_port_that_nobody_listens_on_is_unreachable() {
    let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = nobody.local_addr().unwrap();
    let patience = Duration::from_millis(200);
    let join = |address: String| {
        Client::builder(address, Trust::pinned([Pin::from_bytes([7; 32])]))
            .timeouts(timeouts(|timeouts| timeouts.join = patience))
            .connect()
    };
    // One that takes packets and never answers, and one that is closed.
    for _ in 0..2 {
        let began = Instant::now();
        let error = within(join(address.to_string())).await.unwrap_err();
        match error {
            ConnectError::Unreachable {
                ref addresses,
                waited,
            } => assert_eq!((&addresses[..], waited), (&[address][..], patience)),
            ref other => panic!("{other:?}"),
        }
        assert!(began.elapsed() >= patience);
        let phrase = format!("no answer from {address} within 200ms");
        assert_text(&error, &[&phrase, "check the address and the port", "UDP"]);
        drop(nobody.try_clone());
    }
    drop(nobody);
    let error = within(join(address.to_string())).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
}

/// A server that is not the one expected is not told anything, and both pins are known then.
#[tokio::test]
async fn a_wrong_pin_names_the_expected_and_the_received_one() {
    let world =
        World::with(|server| server.authenticate(|_| async { panic!("nobody gets this far") }));
    let (expected, other) = (Pin::from_bytes([7; 32]), Pin::from_bytes([8; 32]));
    let address = world.server.local_addr();
    let client = Client::builder(address.to_string(), Trust::pinned([expected, other]));
    let error = within(client.token("secret").connect()).await.unwrap_err();
    match &error {
        ConnectError::UntrustedServer {
            address: at,
            pin,
            code,
            known: Known::Pinned { expected: wanted },
            ..
        } => {
            assert_eq!(*at, address);
            assert_eq!(wanted, &[expected, other]);
            assert_eq!((*pin, *code), (world.server.pin(), pin.code()));
        }
        other => panic!("{other:?}"),
    }
    let received = world.server.pin().to_string();
    let expected = expected.to_string();
    let phrases = [&*received, &*expected, "ask the host for the current link"];
    assert_text(&error, &phrases);

    // No pins is no trust, and a pin that was mistyped says where.
    let client = Client::builder(address.to_string(), Trust::pinned([]));
    let error = within(client.connect()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::UntrustedServer { .. }),
        "{error:?}"
    );
    let mistyped: Result<Pin, PinError> = received.replacen(&received[4..5], "%", 1).parse();
    let error = mistyped.unwrap_err();
    assert!(matches!(error, PinError::Character { .. }), "{error:?}");
    assert_text(&error, &["%"]);
}

/// A server whose certificate no authority vouches for.
#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_says_so() {
    let world = World::new();
    let address = world.server.local_addr().to_string();
    let error = within(Client::builder(address, Trust::web_pki()).connect())
        .await
        .unwrap_err();
    match &error {
        ConnectError::Certificate { fault, .. } => {
            assert_eq!(*fault, CertificateFault::UnknownIssuer);
        }
        other => panic!("{other:?}"),
    }
    assert_text(&error, &["no trusted authority", "by its pin"]);
}

/// A token that is too long is found before anything is sent.
#[tokio::test]
async fn a_token_too_long_says_how_long_it_may_be() {
    let world = World::new();
    let client = world.client("Ada").token(vec![b'x'; 4097]);
    let error = within(client.connect()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::TokenTooLong { bytes: 4097 }),
        "{error:?}"
    );
    assert_text(&error, &["4097", "4096 are allowed", "shorter"]);
    within(world.client("Ada").token(vec![b'x'; 4096]).connect())
        .await
        .unwrap();
}

/// Limits and timeouts that would break a guarantee are refused on both sides, by name.
#[tokio::test]
async fn a_limit_that_breaks_a_guarantee_is_refused_by_name() {
    let world = World::new();
    let mut limits = Limits::default();
    limits.calls_in_flight = 1000;
    let client = world.client("Ada").limits(limits.clone());
    match within(client.connect()).await.unwrap_err() {
        ConnectError::Config(error) => {
            assert_eq!(error.field, "calls_in_flight");
            assert_text(&error, &["calls_in_flight is 1000", "choose 1 to 64"]);
        }
        other => panic!("{other:?}"),
    }
    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = Server::builder("127.0.0.1:0", identity).timeouts(timeouts(|timeouts| {
        timeouts.invoke_client = Duration::from_secs(61);
    }));
    match server.start().unwrap_err() {
        StartError::Config(error) => assert_text(&error, &["invoke_client is 61s", "1 ms to 60 s"]),
        other => panic!("{other:?}"),
    }
}

/// R124: a remote's own rate may be as low as wanted, but for one under which it can never be used.
#[test]
fn a_rate_that_lets_nothing_through_is_refused() {
    let named = |rate| {
        std::panic::catch_unwind(move || {
            let _ = RemoteEvent::<u32>::named("Rated").unwrap().rate(rate);
            let function = RemoteFunction::<u32, u32>::named("RatedCall").unwrap();
            let _ = function.rate(rate);
        })
    };
    assert!(named(Rate::per_second(0)).is_err());
    assert!(named(Rate::per_second(1).burst(0)).is_err());
    assert!(named(Rate::per_second(0).burst(1)).is_ok());
}

/// A setting that does not fit is refused when the server starts, not when a player joins.
#[tokio::test]
async fn a_setting_that_does_not_fit_is_refused_at_the_start() {
    let identity = || Identity::self_signed(["localhost"]).unwrap();
    let server = || Server::builder("127.0.0.1:0", identity());
    let error = server().setting("Motd", "x".repeat(1025)).start();
    let error = error.unwrap_err();
    assert!(
        matches!(&error, StartError::Settings { name } if name == "Motd"),
        "{error:?}"
    );
    assert_text(&error, &["Motd", "at most 1024 bytes"]);
    let many = (0..65).fold(server(), |server, n| server.setting(n.to_string(), "x"));
    let error = many.start().unwrap_err();
    assert!(matches!(error, StartError::Settings { .. }), "{error:?}");
    assert_text(&error, &["at most 64 settings"]);
}

/// What cannot be written fails where it was given, and nothing is sent.
#[tokio::test]
async fn a_value_that_cannot_be_encoded_fails_at_the_call() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let (bad, server) = (Grade(201), &world.server);
    for error in [
        ada.fire_server(&GRADE, &bad).unwrap_err(),
        server.fire_client(&player, &GRADE, &bad).unwrap_err(),
        server.fire_all_clients(&GRADE, &bad).unwrap_err(),
        within(ada.fire_server_async(&GRADE, &bad))
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                FireError::Unencodable {
                    remote: "Grade",
                    ..
                }
            ),
            "{error:?}"
        );
        assert_text(
            &error,
            &[
                "\"Grade\" cannot be encoded",
                "no grade is above 200",
                "send",
            ],
        );
    }
    let up = within(ada.invoke_server(&MARK, &bad).into_future()).await;
    let down = server.invoke_client(&player, &MARK, &bad);
    for error in [
        up.unwrap_err(),
        within(down.into_future()).await.unwrap_err(),
    ] {
        assert!(matches!(error, InvokeError::Encode(_)), "{error:?}");
        assert_text(&error, &["cannot be encoded", "no grade is above 200"]);
        assert_eq!(error.delivery(), Delivery::NotSent);
    }
    // A result that cannot be written fails its call, and the caller is told.
    server.on_server_invoke(&MARK, |_, _| Grade(201));
    let error = within(ada.invoke_server(&MARK, &Grade(1)).into_future()).await;
    let error = error.unwrap_err();
    assert!(
        matches!(
            error,
            InvokeError::Decode {
                what: What::Response
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::Executed);
    assert_eq!(ada.stats().remotes, []);
    assert_unharmed(&ada).await;
}

/// R44, design 6: what is too large fails where it was given, with its size and the limit.
#[tokio::test]
async fn a_payload_too_large_fails_at_the_call() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let server = &world.server;
    let text = |bytes: usize| "x".repeat(bytes);
    let up = 64 * 1024;
    let down = 1024 * 1024;
    let cases = [
        (ada.fire_server(&TEXT, &text(up)), up + 5, up),
        (ada.fire_server(&NOISE, &text(999)), 1002, 1000),
        (ada.fire_server(&SMALL, &text(10)), 11, 10),
        (
            server.fire_client(&player, &TEXT, &text(down)),
            down + 5,
            down,
        ),
        (server.fire_all_clients(&NOISE, &text(2000)), 2003, 1000),
        (server.fire_all_clients(&SMALL, &text(10)), 11, 10),
    ];
    for (result, size, limit) in cases {
        let error = result.unwrap_err();
        match &error {
            FireError::TooLarge {
                size: had,
                limit: most,
                ..
            } => assert_eq!((*had, *most), (size, limit)),
            other => panic!("{other:?}"),
        }
        let numbers = format!("take {size} bytes and {limit} are allowed");
        assert_text(&error, &[&numbers, "send less"]);
    }
    let calls = [
        (ada.invoke_server(&ECHO, &text(up)), up),
        (server.invoke_client(&player, &ECHO, &text(down)), down),
    ];
    for (call, limit) in calls {
        let error = within(call.into_future()).await.unwrap_err();
        let too_large = InvokeError::TooLarge {
            what: What::Request,
            limit,
        };
        assert_eq!(error, too_large);
        let numbers = format!("arguments are larger than the {limit} bytes allowed");
        assert_text(&error, &[&numbers, "send less"]);
        assert_eq!(error.delivery(), Delivery::NotSent);
    }
    // A result that is too large fails its call alone.
    ada.on_client_invoke(&ECHO, move |_| "x".repeat(up));
    let call = server.invoke_client(&player, &ECHO, &text(1));
    let error = within(call.into_future()).await.unwrap_err();
    assert!(
        matches!(
            error,
            InvokeError::TooLarge {
                what: What::Response,
                ..
            }
        ),
        "{error:?}"
    );
    assert_text(&error, &["result is larger than", "return less"]);
    assert_eq!(error.delivery(), Delivery::Executed);

    // The largest that are allowed arrive.
    let sizes = Notes::new();
    let (here, there) = (sizes.clone(), sizes.clone());
    server.on_server_event(&TEXT, move |_, text| here.push(text.len()));
    ada.on_client_event(&TEXT, move |text| there.push(text.len()));
    ada.fire_server(&TEXT, &text(up - 3)).unwrap();
    server.fire_all_clients(&TEXT, &text(down - 5)).unwrap();
    let mut sizes = sizes.wait(2).await;
    sizes.sort_unstable();
    assert_eq!(sizes, [up - 3, down - 5]);
    assert_unharmed(&ada).await;
}

/// Design 2.7, 6: what the receiver's types refuse is dropped and counted, or fails its call; no more.
#[tokio::test]
async fn a_value_that_the_receiver_refuses_costs_itself_only() {
    let world = world();
    let (ada, player) = within(world.join("Ada")).await;
    let server = &world.server;
    let grades = Notes::new();
    let (here, there) = (grades.clone(), grades.clone());
    server.on_server_event(&GRADE, move |_, grade| here.push(grade));
    ada.on_client_event(&GRADE, move |grade| there.push(grade));
    server.on_server_invoke(&MARK, |_, grade| grade);
    ada.on_client_invoke(&MARK, |_| Grade(150));
    for grade in [Grade(150), Grade(1)] {
        ada.fire_server(&GRADE, &grade).unwrap();
    }
    assert_eq!(grades.wait(1).await, [Grade(1)]);
    for grade in [Grade(150), Grade(2)] {
        server.fire_all_clients(&GRADE, &grade).unwrap();
    }
    assert_eq!(grades.wait(2).await, [Grade(1), Grade(2)]);
    // Everything before an answer has been counted.
    assert_unharmed(&ada).await;
    for stats in [ada.stats(), player.stats()] {
        let undecodable = stats.remotes[0].refused.as_slice();
        assert_eq!(undecodable, [(DropCause::Undecodable, 1)]);
        assert!(stats.remotes[0].is_balanced());
    }
    let error = within(ada.invoke_server(&MARK, &Grade(150)).into_future()).await;
    let error = error.unwrap_err();
    let request = InvokeError::Decode {
        what: What::Request,
    };
    assert_eq!(error, request);
    assert_text(&error, &["arguments did not decode", "from the same code"]);
    assert_eq!(error.delivery(), Delivery::Rejected);
    let call = server.invoke_client(&player, &MARK, &Grade(3));
    let error = within(call.into_future()).await.unwrap_err();
    let response = InvokeError::Decode {
        what: What::Response,
    };
    assert_eq!(error, response);
    assert_text(&error, &["result", "from the same code"]);
    assert_eq!(error.delivery(), Delivery::Executed);
    assert_unharmed(&ada).await;
}

/// A blocking call that would stall a runtime says what to do instead.
#[tokio::test]
async fn a_blocking_call_on_a_runtime_is_refused() {
    let world = world();
    let (ada, _) = within(world.join("Ada")).await;
    let error = ada.invoke_server(&ECHO, &String::new()).blocking();
    let error = error.unwrap_err();
    assert!(matches!(error, InvokeError::WouldBlock), "{error:?}");
    assert_text(&error, &["would stall", "await the call instead"]);
}

// What a peer does wrong.

/// The client still has its connection, and an answer.
async fn assert_unharmed(client: &Client) {
    let answer = client.invoke_server(&ECHO, &"still here".into());
    let answer = within(answer.into_future()).await;
    assert_eq!(answer.as_deref(), Ok("still here"));
}

/// A server, an honest player on it, and what it does when others misbehave.
struct Arena {
    world: World,
    ada: Client,
    player: Player,
    heard: Notes<String>,
    gone: Notes<(String, DisconnectReason)>,
}

impl Arena {
    async fn new(limits: impl FnOnce(&mut Limits)) -> Self {
        let world = world_with(|changed| {
            // Eve comes back for each thing that she tries.
            changed.connections_per_address = 4096;
            limits(changed);
        });
        let heard = Notes::new();
        let text = heard.clone();
        world.server.on_server_event(&TEXT, move |player, said| {
            text.push(format!("{player}: {said}"))
        });
        let gone = Notes::new();
        let left = gone.clone();
        world
            .server
            .on_player_removing(move |player, reason| left.push((player.name().into(), reason)));
        let (ada, player) = within(world.join("Ada")).await;
        Self {
            world,
            ada,
            player,
            heard,
            gone,
        }
    }

    async fn eve(&self) -> RawClient {
        RawClient::join(self.world.server.local_addr(), "Eve").await
    }

    /// Eve, who has joined, is thrown out with `code` for what she did, and nobody else notices.
    async fn assert_thrown_out(&self, what: &str, eve: &RawClient, code: CloseCode) {
        let before = self.heard.all().len();
        let (closed, text) = eve.closed().await;
        assert_eq!(closed, code, "{what}");
        assert_eq!(text, code.text(), "{what}");
        let thrown_out = |gone: &[(String, DisconnectReason)]| {
            gone.last().is_some_and(|(name, _)| name == "Eve")
        };
        let gone = self.gone.wait_until(thrown_out).await;
        let reason = DisconnectReason::Violation { code };
        assert_eq!(gone.last().unwrap().1, reason, "{what}");
        self.gone.clear();
        self.assert_nobody_noticed(before).await;
    }

    async fn assert_nobody_noticed(&self, before: usize) {
        assert_unharmed(&self.ada).await;
        self.ada.fire_server(&TEXT, &"fine".into()).unwrap();
        let heard = self.heard.wait(before + 1).await;
        assert_eq!(heard.last().unwrap(), "Ada: fine");
        assert!(self.player.is_connected());
        assert_eq!(self.player.stats().remotes[0].refused, []);
    }
}

/// Section 12 of the protocol: bytes on a lane that are not the protocol.
#[tokio::test]
async fn a_lane_that_breaks_the_protocol_closes_that_connection_only() {
    let arena = Arena::new(|_| {}).await;
    let malformed = CloseCode::MALFORMED;
    let violation = CloseCode::PROTOCOL_VIOLATION;
    let too_large = CloseCode::TOO_LARGE;
    let on_lane = |bytes: &[u8]| [&lane("")[..], bytes].concat();
    let control = |bytes: &[u8]| on_lane(&frame(0, bytes));
    let claim = |len: u64| {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, len);
        on_lane(&bytes)
    };
    let cases: Vec<(&str, Vec<u8>, CloseCode)> = vec![
        ("a stream of no known kind", vec![7, 1, 2, 3], malformed),
        ("random bytes", on_lane(&[0xff; 64]), malformed),
        (
            "a number in a longer form",
            on_lane(&[0x81, 0x00]),
            malformed,
        ),
        ("a frame without an id", on_lane(&[0]), malformed),
        ("a name too long", vec![raw::LANE, 65], malformed),
        (
            "a name that is no text",
            vec![raw::LANE, 2, 0xff, 0xfe],
            malformed,
        ),
        ("an unknown id", on_lane(&frame(NO_ID, b"hi")), violation),
        (
            "an id out of range",
            on_lane(&frame(1 << 40, b"")),
            malformed,
        ),
        (
            "a function fired",
            on_lane(&frame(ECHO_ID, b"\x02hi")),
            violation,
        ),
        (
            "an unreliable event on a lane",
            on_lane(&frame(NOISE_ID, b"\x02hi")),
            violation,
        ),
        ("a claim of 10 MiB", claim(10 << 20), too_large),
        ("a claim beyond all memory", claim(u64::MAX), too_large),
        (
            "a claim just above the limit",
            claim(64 * 1024 + 100),
            too_large,
        ),
        (
            "more than the remote takes",
            on_lane(&frame(SMALL_ID, &[b'x'; 11])),
            too_large,
        ),
        ("a control message of no kind", control(&[9]), malformed),
        ("an empty control message", control(&[]), malformed),
        (
            "an announcement from a client",
            control(&[1, 99, 1, b'X', 1, 0]),
            violation,
        ),
        ("a control message too long", control(&[3; 1025]), too_large),
        (
            "a control message off its lane",
            [lane("side"), frame(0, &[3, 1])].concat(),
            violation,
        ),
        (
            "an event, then garbage",
            [on_lane(&frame(NO_ID, b"")), vec![0xff; 9]].concat(),
            violation,
        ),
    ];
    for (what, bytes, code) in cases {
        let eve = arena.eve().await;
        let _open = eve.uni(&bytes).await;
        arena.assert_thrown_out(what, &eve, code).await;
    }
}

/// Sections 6 and 7: streams that end, break off or come in numbers as they must not.
#[tokio::test]
async fn streams_that_break_the_rules_close_that_connection_only() {
    let arena = Arena::new(|_| {}).await;
    let violation = CloseCode::PROTOCOL_VIOLATION;

    let eve = arena.eve().await;
    let _lanes = (eve.uni(&lane("")).await, eve.uni(&lane("")).await);
    let what = "a second default lane";
    arena.assert_thrown_out(what, &eve, violation).await;

    let eve = arena.eve().await;
    let mut lanes = Vec::new();
    for n in 0..17 {
        lanes.push(eve.uni(&lane(&n.to_string())).await);
    }
    arena.assert_thrown_out("17 lanes", &eve, violation).await;

    let eve = arena.eve().await;
    let mut broken = eve.uni(&lane("side")).await;
    // It is known to have arrived by the event on it.
    let heard = arena.heard.all().len();
    broken.write_all(&frame(TEXT_ID, b"\x02hi")).await.unwrap();
    arena.heard.wait(heard + 1).await;
    broken.reset(VarInt::from_u32(1)).unwrap();
    arena
        .assert_thrown_out("a reset lane", &eve, violation)
        .await;

    let eve = arena.eve().await;
    eve.uni(&lane("")).await.finish().unwrap();
    let what = "the default lane ended without a goodbye";
    arena.assert_thrown_out(what, &eve, violation).await;

    for half in [
        &[raw::LANE][..],
        &[raw::UNORDERED, 0x80],
        &[raw::LANE, 4, b'x'],
    ] {
        let eve = arena.eve().await;
        eve.uni(half).await.finish().unwrap();
        let what = "half the beginning of a stream";
        let code = CloseCode::MALFORMED;
        arena.assert_thrown_out(what, &eve, code).await;
    }

    let eve = arena.eve().await;
    let half = [lane("side"), vec![5, TEXT_ID as u8, 2]].concat();
    eve.uni(&half).await.finish().unwrap();
    arena
        .assert_thrown_out("half a frame", &eve, CloseCode::MALFORMED)
        .await;

    // A side lane may end between two frames, and an unordered event may be given up.
    let eve = arena.eve().await;
    let (heard, said) = (arena.heard.all().len(), frame(TEXT_ID, b"\x02hi"));
    let mut event = eve.uni(&[raw::UNORDERED, TEXT_ID as u8, 2, b'h']).await;
    event.reset(VarInt::from_u32(1)).unwrap();
    let mut side = eve.uni(&[lane("side"), said.clone()].concat()).await;
    side.finish().unwrap();
    arena.heard.wait(heard + 1).await;
    let _default = eve.uni(&[lane(""), said].concat()).await;
    arena.heard.wait(heard + 2).await;
    assert!(eve.connection.close_reason().is_none());
}

/// Design 6: streams that are opened and taken back cost what events cost, and then the connection.
#[tokio::test]
async fn streams_that_are_taken_back_cost_budget() {
    let arena = Arena::new(|limits| {
        limits.events = Rate::per_second(1).burst(20);
        limits.offences_per_minute = 50;
    })
    .await;
    let eve = arena.eve().await;
    let player = arena.world.server.players().pop().unwrap();
    // With a beginning that says what it would be, and without.
    let begun = [&[raw::UNORDERED, TEXT_ID as u8, 2, b'h'][..], &[raw::LANE]];
    within(async {
        for bytes in begun.iter().cycle() {
            let Ok(mut send) = eve.connection.open_uni().await else {
                break;
            };
            let _ = send.write_all(bytes).await;
            let _ = send.reset(VarInt::from_u32(1));
        }
    })
    .await;
    let code = CloseCode::RATE;
    arena
        .assert_thrown_out("streams taken back", &eve, code)
        .await;
    // None of them was an event.
    assert!(player.stats().remotes.is_empty());
}

/// Section 12: an answer that nobody asked for costs what a ping costs, and no more than that.
#[tokio::test]
async fn answers_to_no_ping_cost_budget() {
    let arena = Arena::new(|limits| {
        limits.events = Rate::per_second(1).burst(20);
        limits.offences_per_minute = 50;
    })
    .await;
    let eve = arena.eve().await;
    let pong = frame(0, &[4, 7]);
    let mut lane = eve.uni(&[lane(""), pong.repeat(15)].concat()).await;
    lane.write_all(&frame(TEXT_ID, b"\x04here")).await.unwrap();
    arena
        .heard
        .wait_until(|heard| heard.iter().any(|text| text == "Eve: here"))
        .await;
    lane.write_all(&pong.repeat(100)).await.unwrap();
    let code = CloseCode::RATE;
    arena.assert_thrown_out("pongs", &eve, code).await;
}

/// Section 7: unordered events.
#[tokio::test]
async fn an_unordered_event_that_breaks_the_protocol_closes_that_connection_only() {
    let arena = Arena::new(|_| {}).await;
    let event = |id: u64, payload: &[u8]| {
        let mut bytes = vec![raw::UNORDERED];
        put_varint(&mut bytes, id);
        bytes.extend_from_slice(payload);
        bytes
    };
    for (what, bytes, code) in [
        (
            "an unknown id",
            event(NO_ID, b"hi"),
            CloseCode::PROTOCOL_VIOLATION,
        ),
        ("the control channel", event(0, b"hi"), CloseCode::MALFORMED),
        (
            "an id out of range",
            event(1 << 40, b""),
            CloseCode::MALFORMED,
        ),
        (
            "a function fired",
            event(ECHO_ID, b"\x02hi"),
            CloseCode::PROTOCOL_VIOLATION,
        ),
        (
            "an unreliable event",
            event(NOISE_ID, b"\x02hi"),
            CloseCode::PROTOCOL_VIOLATION,
        ),
        (
            "more than any event takes",
            event(TEXT_ID, &[0; 65 * 1024]),
            CloseCode::TOO_LARGE,
        ),
        (
            "more than the remote takes",
            event(SMALL_ID, &[0; 11]),
            CloseCode::TOO_LARGE,
        ),
    ] {
        let eve = arena.eve().await;
        // The server may close while it is still being written.
        if let Ok(mut send) = eve.connection.open_uni().await
            && send.write_all(&bytes).await.is_ok()
        {
            let _ = send.finish();
        }
        arena.assert_thrown_out(what, &eve, code).await;
    }
}

/// Section 8: datagrams.
#[tokio::test]
async fn a_datagram_that_breaks_the_protocol_closes_that_connection_only() {
    let arena = Arena::new(|_| {}).await;
    let good = datagram(NOISE_ID, 0, b"\x02hi");
    for (what, bytes, code) in [
        ("random bytes", vec![0xff; 100], CloseCode::MALFORMED),
        (
            "a length beyond the end",
            vec![100, NOISE_ID as u8, 0],
            CloseCode::MALFORMED,
        ),
        ("nothing in an event", vec![0], CloseCode::MALFORMED),
        (
            "an event, then half of one",
            [good, vec![5]].concat(),
            CloseCode::MALFORMED,
        ),
        (
            "the control channel",
            datagram(0, 0, &[3, 1]),
            CloseCode::MALFORMED,
        ),
        (
            "an unknown id",
            datagram(NO_ID, 0, b"hi"),
            CloseCode::PROTOCOL_VIOLATION,
        ),
        (
            "a reliable event",
            datagram(TEXT_ID, 0, b"\x02hi"),
            CloseCode::PROTOCOL_VIOLATION,
        ),
        (
            "a function",
            datagram(ECHO_ID, 0, b"\x02hi"),
            CloseCode::PROTOCOL_VIOLATION,
        ),
        (
            "1001 bytes",
            datagram(NOISE_ID, 0, &[b'x'; 1001]),
            CloseCode::TOO_LARGE,
        ),
        (
            "a sequence out of range",
            datagram(NOISE_ID, 1 << 40, b""),
            CloseCode::MALFORMED,
        ),
    ] {
        let eve = arena.eve().await;
        eve.connection.send_datagram(bytes.into()).unwrap();
        arena.assert_thrown_out(what, &eve, code).await;
    }
    // An empty datagram is ignored.
    let eve = arena.eve().await;
    eve.connection.send_datagram(Vec::new().into()).unwrap();
    let heard = arena.heard.all().len();
    let _lane = eve
        .uni(&[lane(""), frame(TEXT_ID, b"\x02hi")].concat())
        .await;
    arena.heard.wait(heard + 1).await;
    assert!(eve.connection.close_reason().is_none());
}

/// Section 4: whoever does not say hello as it should does not get in.
#[tokio::test]
async fn a_hello_that_is_none_closes_that_connection_only() {
    let arena = Arena::new(|_| {}).await;
    let hello = raw::hello(raw::VERSION, "Eve");
    let mut long = Vec::new();
    put_bytes(&mut long, &[1; 65 * 1024]);
    let with_name = |name: &[u8]| {
        let mut body = vec![raw::VERSION as u8];
        put_bytes(&mut body, name);
        body.extend([0, 0]);
        let mut hello = Vec::new();
        put_bytes(&mut hello, &body);
        hello
    };
    for (what, bytes, code) in [
        ("random bytes", vec![0xff; 64], CloseCode::MALFORMED),
        ("nothing", vec![], CloseCode::MALFORMED),
        (
            "half of one",
            hello[..hello.len() - 1].to_vec(),
            CloseCode::MALFORMED,
        ),
        (
            "one and a byte",
            [&hello[..], &[0]].concat(),
            CloseCode::MALFORMED,
        ),
        (
            "another protocol",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            CloseCode::MALFORMED,
        ),
        (
            "a name that is no text",
            with_name(&[0xff, 0xfe]),
            CloseCode::MALFORMED,
        ),
        (
            "a name beyond the wire",
            with_name(&[b'x'; 401]),
            CloseCode::MALFORMED,
        ),
        ("too long", long, CloseCode::TOO_LARGE),
    ] {
        let address = arena.world.server.local_addr();
        let eve = RawClient::connect(address, raw::ALPN).await.unwrap();
        let (mut send, _recv) = eve.connection.open_bi().await.unwrap();
        if send.write_all(&bytes).await.is_ok() {
            let _ = send.finish();
        }
        let (closed, text) = eve.closed().await;
        assert_eq!(closed, code, "{what}");
        assert_eq!(text, code.text(), "{what}");
    }
    let address = arena.world.server.local_addr();
    let eve = RawClient::connect(address, raw::ALPN).await.unwrap();
    let (mut send, _recv) = eve.connection.open_bi().await.unwrap();
    send.write_all(&hello[..3]).await.unwrap();
    send.reset(VarInt::from_u32(0)).unwrap();
    assert_eq!(eve.closed().await.0, CloseCode::PROTOCOL_VIOLATION);

    assert_eq!(arena.gone.all(), [], "there was no player");
    assert_eq!(arena.world.server.stats().players, 1);
    arena.assert_nobody_noticed(0).await;
}

/// Design 6: who connects and says nothing is sent away after the `join` timeout.
#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let world = World::with(|server| {
        server.remotes(&[&ECHO]).timeouts(timeouts(|timeouts| {
            timeouts.join = Duration::from_millis(500);
        }))
    });
    world.server.on_server_invoke(&ECHO, |_, text| text);
    let mute = RawClient::connect(world.server.local_addr(), raw::ALPN)
        .await
        .unwrap();
    let slow = RawClient::connect(world.server.local_addr(), raw::ALPN)
        .await
        .unwrap();
    let (mut send, _recv) = slow.connection.open_bi().await.unwrap();
    send.write_all(&[10, 1]).await.unwrap();
    assert_eq!(mute.closed().await.0, CloseCode::JOIN_TIMEOUT);
    assert_eq!(slow.closed().await.0, CloseCode::JOIN_TIMEOUT);
    let (ada, _) = within(world.join("Ada")).await;
    assert_unharmed(&ada).await;
}

/// Section 9: a call that is none fails by itself; its connection goes on.
#[tokio::test]
async fn a_malformed_call_fails_alone() {
    let arena = Arena::new(|_| {}).await;
    let eve = arena.eve().await;
    let request = |function: u64, barrier: u64, body: &[u8]| {
        let mut bytes = vec![1];
        put_varint(&mut bytes, function);
        put_varint(&mut bytes, 5000);
        put_varint(&mut bytes, barrier);
        // No flags, and within no other call.
        bytes.extend([0, 0]);
        put_bytes(&mut bytes, body);
        bytes
    };
    const UNKNOWN_FUNCTION: u8 = 0x23;
    const REQUEST_MALFORMED: u8 = 0x28;
    for (what, bytes, code) in [
        ("random bytes", vec![0xff; 100], REQUEST_MALFORMED),
        ("nothing", vec![], REQUEST_MALFORMED),
        ("another version", vec![9; 8], REQUEST_MALFORMED),
        (
            "an unknown flag",
            vec![1, ECHO_ID as u8, 1, 0, 0x80, 0, 0],
            REQUEST_MALFORMED,
        ),
        (
            "a call deeper than calls go (H18)",
            vec![1, ECHO_ID as u8, 100, 0, 0, 9, 3, 2, b'h', b'i'],
            REQUEST_MALFORMED,
        ),
        (
            "half a body",
            vec![1, ECHO_ID as u8, 100, 0, 0, 0, 9, 1],
            REQUEST_MALFORMED,
        ),
        (
            "a body that does not decode",
            request(ECHO_ID, 0, &[9, 1]),
            REQUEST_MALFORMED,
        ),
        (
            "an unknown id",
            request(NO_ID, 0, b"\x02hi"),
            UNKNOWN_FUNCTION,
        ),
        (
            "an event called",
            request(TEXT_ID, 0, b"\x02hi"),
            UNKNOWN_FUNCTION,
        ),
    ] {
        let (mut send, mut recv) = eve.connection.open_bi().await.unwrap();
        let _ = send.write_all(&bytes).await;
        let _ = send.finish();
        // Either in a reply or by a reset: both mean the same.
        match within(recv.read_to_end(1000)).await {
            Ok(reply) => assert_eq!((reply[0], reply[3]), (3, code), "{what}: {reply:?}"),
            Err(ReadToEndError::Read(quinn::ReadError::Reset(reset))) => {
                assert_eq!(reset, VarInt::from_u32(code.into()), "{what}");
            }
            Err(other) => panic!("{what}: {other}"),
        }
    }
    let (mut send, mut recv) = eve.connection.open_bi().await.unwrap();
    send.write_all(&request(ECHO_ID, 0, b"\x02hi"))
        .await
        .unwrap();
    send.finish().unwrap();
    let reply = within(recv.read_to_end(1000)).await.unwrap();
    assert_eq!(reply, [1, 0, 3, 2, b'h', b'i']);
    assert_eq!(arena.gone.all(), []);

    // Section 10: but a barrier beyond what could have been sent is a lie.
    let (mut send, _recv) = eve.connection.open_bi().await.unwrap();
    let lie = request(ECHO_ID, (1 << 32) + 1, b"\x02hi");
    send.write_all(&lie).await.unwrap();
    send.finish().unwrap();
    assert_eq!(eve.closed().await.0, CloseCode::PROTOCOL_VIOLATION);
    arena.assert_nobody_noticed(0).await;
}

/// Design 6: what does not decode is dropped and counted, up to a number per minute.
#[tokio::test]
async fn a_peer_that_keeps_sending_nonsense_is_thrown_out() {
    let arena = Arena::new(|limits| limits.offences_per_minute = 20).await;
    let eve = arena.eve().await;
    let mut lane = eve.uni(&lane("")).await;
    for _ in 0..15 {
        lane.write_all(&frame(GRADE_ID, &[150, 1])).await.unwrap();
    }
    let heard = arena.heard.all().len();
    lane.write_all(&frame(TEXT_ID, b"\x02hi")).await.unwrap();
    // An event with nobody to hear it is kept, and no offence.
    arena.heard.wait(heard + 1).await;
    let undecodable = Notes::new();
    let seen = undecodable.clone();
    arena
        .world
        .server
        .on_server_event(&GRADE, move |_, grade| seen.push(grade));
    for _ in 0..5 {
        lane.write_all(&frame(GRADE_ID, &[150])).await.unwrap();
    }
    lane.write_all(&frame(TEXT_ID, b"\x02hi")).await.unwrap();
    arena.heard.wait(heard + 2).await;
    for _ in 0..5 {
        let _ = lane.write_all(&frame(GRADE_ID, &[101])).await;
    }
    let what = "too many offences";
    arena.assert_thrown_out(what, &eve, CloseCode::RATE).await;
    assert_eq!(undecodable.all(), []);
}

/// Design 6: whatever bytes come on whatever carrier, the server lives, and so do its players.
#[tokio::test]
async fn random_bytes_on_every_carrier_disturb_nobody() {
    let arena = Arena::new(|_| {}).await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..30 {
        let eve = arena.eve().await;
        for _ in 0..8 {
            let mut bytes = random.bytes(200);
            // Most get past the first byte.
            if let Some(first) = bytes.first_mut()
                && round % 3 > 0
            {
                *first = 1 + random.next() as u8 % 2;
            }
            match random.next() % 3 {
                0 => _ = eve.connection.send_datagram(bytes.into()),
                1 => {
                    if let Ok(mut send) = eve.connection.open_uni().await {
                        let _ = send.write_all(&bytes).await;
                    }
                }
                _ => {
                    if let Ok((mut send, _recv)) = eve.connection.open_bi().await {
                        let _ = send.write_all(&bytes).await;
                    }
                }
            }
        }
    }
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = arena.world.server.local_addr();
    for _ in 0..500 {
        socket.send_to(&random.bytes(1400), address).unwrap();
    }
    arena.assert_nobody_noticed(arena.heard.all().len()).await;
    // New ones get in as well.
    within(arena.world.join("Bob")).await;
}

/// Not good, but the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = self.next() % most;
        (0..len).map(|_| self.next() as u8).collect()
    }
}

// What a server does wrong.

/// A server that is none is found out when it answers.
#[tokio::test]
async fn a_server_that_answers_nonsense_is_not_joined() {
    for answer in [
        &b""[..],
        &[0xff; 50],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[1, 9],
    ] {
        let error = within(join_fake(answer.into(), None)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Protocol), "{error:?}");
        assert_text(
            &error,
            &["does not keep to the protocol", "is it a farfire server?"],
        );
    }
    // One that refuses with a code of its own says what it says.
    let refused = raw::Answer::refused(CloseCode::from(0x777), "not today", 1);
    let error = within(join_fake(refused, None)).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Refused { reason, .. } if reason == "not today"),
        "{error:?}"
    );
    assert_text(&error, &["the server refused: not today", "0x777"]);
}

/// A server that breaks the protocol loses its client, and the client's program lives.
#[tokio::test]
async fn a_server_that_breaks_the_protocol_loses_its_client() {
    // Player 7 is called x; there are no remotes; three limits; no settings.
    let mut welcome = Vec::new();
    put_bytes(&mut welcome, &[1, 7, 1, b'x', 0, 100, 100, 8, 0]);
    let on_lane = |bytes: &[u8]| [&lane("")[..], bytes].concat();
    let announce = frame(0, &[1, 5, 1, b'X', 1, 0]);
    for (bytes, code) in [
        (vec![9], CloseCode::MALFORMED),
        (on_lane(&[0xff; 20]), CloseCode::MALFORMED),
        (on_lane(&frame(5000, b"")), CloseCode::PROTOCOL_VIOLATION),
        (
            on_lane(&[announce.clone(), announce].concat()),
            CloseCode::PROTOCOL_VIOLATION,
        ),
        (on_lane(&[0x81, 0x80, 0x80, 0x01]), CloseCode::TOO_LARGE),
    ] {
        let joining = join_fake(welcome.clone(), Some(bytes.clone()));
        let client = within(joining).await.unwrap();
        assert_eq!(client.local_player().name, "x");
        let reason = within(client.disconnected()).await;
        assert_eq!(reason, DisconnectReason::Violation { code }, "{bytes:x?}");
        let error = client.fire_server(&TEXT, &String::new()).unwrap_err();
        assert_text(&error, &["not connected", "broke the rules", code.name()]);
    }
}

/// Joins a server that answers `answer` to whatever it is told, and then opens a stream.
async fn join_fake(answer: Vec<u8>, stream: Option<Vec<u8>>) -> Result<Client, ConnectError> {
    let (endpoint, pin) = raw::server(raw::ALPN);
    let address = endpoint.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let (mut send, mut recv) = connection.accept_bi().await.unwrap();
        recv.read_to_end(1 << 16).await.unwrap();
        send.write_all(&answer).await.unwrap();
        send.finish().unwrap();
        if let Some(bytes) = stream {
            let mut send = connection.open_uni().await.unwrap();
            send.write_all(&bytes).await.unwrap();
            connection.closed().await;
        }
        connection.closed().await;
    });
    Client::builder(address, Trust::pinned([pin]))
        .connect()
        .await
}
