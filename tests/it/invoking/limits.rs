//! What is too much, or means nothing, is refused with its reason, before anything runs.

use std::time::Duration;

use farfire::{BusyScope, Client, Delivery, InvokeError, Limits, Rate, RemoteFunction, What};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{made, making};
use crate::world::{Gate, Notes, World, until, within};

const TEXT: RemoteFunction<String, u32> = RemoteFunction::new("Text");
const FILL: RemoteFunction<u32, String> = RemoteFunction::new("Fill");
const SLOW: RemoteFunction<u32, u32> = RemoteFunction::new("Slow");

fn check<R: std::fmt::Debug>(
    result: Result<R, InvokeError>,
    expected: InvokeError,
    delivery: Delivery,
) {
    let error = result.unwrap_err();
    assert_eq!(error, expected);
    assert_eq!(error.delivery(), delivery);
    let safe = matches!(delivery, Delivery::NotSent | Delivery::Rejected);
    assert_eq!(error.is_retry_safe(), safe);
}

/// R53, design 6: 64 KiB from a client, 1 MiB from the server; found before anything is sent.
#[tokio::test]
async fn arguments_beyond_the_limit_are_not_sent() {
    let world = World::with(|server| server.remotes(&[&TEXT]));
    let notes = Notes::new();
    let seen = notes.clone();
    world.server.on_server_invoke(&TEXT, move |_, text| {
        seen.push(text.len());
        text.len() as u32
    });
    let (ada, player) = within(world.join("Ada")).await;
    let seen = notes.clone();
    ada.on_client_invoke(&TEXT, move |text| {
        seen.push(text.len());
        text.len() as u32
    });
    let what = What::Request;
    // The length of the text takes bytes as well.
    for (limit, overhead) in [(64 * 1024, 5), (1024 * 1024, 5)] {
        let call = |size: usize| {
            let text = "x".repeat(size);
            match limit == 64 * 1024 {
                true => ada.invoke_server(&TEXT, &text),
                false => world.server.invoke_client(&player, &TEXT, &text),
            }
        };
        let most = limit - overhead;
        assert_eq!(made(call(most)).await, Ok(most as u32));
        let error = InvokeError::TooLarge { what, limit };
        check(made(call(limit)).await, error, Delivery::NotSent);
    }
    assert_eq!(notes.all(), [64 * 1024 - 5, 1024 * 1024 - 5]);
}

/// R53: the callee may take less than the caller thinks, and has the last word.
#[tokio::test]
async fn arguments_beyond_the_other_sides_limit_are_refused() {
    const SHORT: RemoteFunction<String, u32> = RemoteFunction::new("Text").max_payload(16);
    let world = World::with(|server| server.remotes(&[&SHORT]));
    world
        .server
        .on_server_invoke(&SHORT, |_, text| text.len() as u32);
    let (ada, _) = within(world.join("Ada")).await;
    assert_eq!(
        made(ada.invoke_server(&TEXT, &"x".repeat(15))).await,
        Ok(15)
    );
    let error = InvokeError::TooLarge {
        what: What::Request,
        limit: 0,
    };
    let result = made(ada.invoke_server(&TEXT, &"x".repeat(17))).await;
    check(result, error, Delivery::Rejected);
}

/// R53, design 6: results have the limit of their direction; the handler ran.
#[tokio::test]
async fn results_beyond_the_limit_are_not_sent() {
    let world = World::with(|server| server.remotes(&[&FILL]));
    let fill = |size: u32| "x".repeat(size as usize);
    world
        .server
        .on_server_invoke(&FILL, move |_, size| fill(size));
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&FILL, move |size| async move { fill(size) });
    let error = || InvokeError::TooLarge {
        what: What::Response,
        limit: 0,
    };
    let up = |size| ada.invoke_server(&FILL, &size);
    let down = |size| world.server.invoke_client(&player, &FILL, &size);
    assert_eq!(
        made(up(1024 * 1024 - 5)).await.unwrap().len(),
        1024 * 1024 - 5
    );
    check(made(up(1024 * 1024)).await, error(), Delivery::Executed);
    assert_eq!(
        made(down(64 * 1024 - 5)).await.unwrap().len(),
        64 * 1024 - 5
    );
    check(made(down(64 * 1024)).await, error(), Delivery::Executed);
}

/// H7: the caller does not read more than it allows, whatever the callee sends.
#[tokio::test]
async fn results_beyond_the_callers_own_limit_are_not_read() {
    const SHORT: RemoteFunction<u32, String> = RemoteFunction::new("Fill").max_payload(100);
    let world = World::with(|server| server.remotes(&[&FILL]));
    let fill = |size: u32| "x".repeat(size as usize);
    world
        .server
        .on_server_invoke(&FILL, move |_, size| fill(size));
    let (ada, _) = within(world.join("Ada")).await;
    assert_eq!(made(ada.invoke_server(&SHORT, &99)).await, Ok(fill(99)));
    for size in [100, 200, 1_000, 1_000_000] {
        let error = InvokeError::TooLarge {
            what: What::Response,
            limit: 100,
        };
        let result = made(ada.invoke_server(&SHORT, &size)).await;
        check(result, error, Delivery::Executed);
    }
}

/// A number that is only read if it is even, and panics the reader if it is 13.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Even(u32);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            13 => panic!("unlucky"),
            odd if odd % 2 == 1 => Err(serde::de::Error::custom("odd")),
            even => Ok(Self(even)),
        }
    }
}

const HALVE: RemoteFunction<Even, u32> = RemoteFunction::new("Halve");
const TWICE: RemoteFunction<u32, Even> = RemoteFunction::new("Twice");

/// A world whose two sides answer [`HALVE`] and [`TWICE`], the latter with what they are given.
async fn even_world() -> (World, Client, farfire::Player) {
    let world = World::with(|server| server.remotes(&[&HALVE, &TWICE]));
    world.server.on_server_invoke(&HALVE, |_, Even(n)| n / 2);
    world.server.on_server_invoke(&TWICE, |_, n| Even(n));
    let (ada, player) = within(world.join("Ada")).await;
    ada.on_client_invoke(&HALVE, |Even(n)| n / 2);
    ada.on_client_invoke(&TWICE, Even);
    (world, ada, player)
}

/// R61: bad arguments are no handler's problem, and a bad result is known to be one.
#[tokio::test]
async fn what_does_not_decode_is_named() {
    let (world, ada, player) = even_world().await;
    let what = What::Request;
    let error = || InvokeError::Decode { what };
    let result = made(ada.invoke_server(&HALVE, &Even(3))).await;
    check(result, error(), Delivery::Rejected);
    let result = made(world.server.invoke_client(&player, &HALVE, &Even(3))).await;
    check(result, error(), Delivery::Rejected);

    let what = What::Response;
    let error = || InvokeError::Decode { what };
    let result = made(ada.invoke_server(&TWICE, &3)).await;
    check(result, error(), Delivery::Executed);
    let result = made(world.server.invoke_client(&player, &TWICE, &3)).await;
    check(result, error(), Delivery::Executed);
    assert_eq!(made(ada.invoke_server(&HALVE, &Even(4))).await, Ok(2));
}

/// Design 6: `Deserialize` is the program's code; a peer that makes it panic harms its call alone.
#[tokio::test]
async fn arguments_whose_decoding_panics_fail_their_call_alone() {
    let (world, ada, player) = even_world().await;
    let what = What::Request;
    for _ in 0..2 {
        let result = made(ada.invoke_server(&HALVE, &Even(13))).await;
        check(result, InvokeError::Decode { what }, Delivery::Rejected);
        let call = world.server.invoke_client(&player, &HALVE, &Even(13));
        let result = made(call).await;
        check(result, InvokeError::Decode { what }, Delivery::Rejected);
    }
    assert_eq!(made(ada.invoke_server(&HALVE, &Even(4))).await, Ok(2));
}

/// A number that cannot be written if it is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Written(u32);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 2 {
            0 => self.0.serialize(serializer),
            _ => Err(serde::ser::Error::custom("odd")),
        }
    }
}

/// R53: arguments that cannot be encoded never leave; a result that cannot is the callee's fault.
#[tokio::test]
async fn what_cannot_be_encoded_is_named() {
    const ECHO: RemoteFunction<Written, u32> = RemoteFunction::new("Echo");
    const GIVE: RemoteFunction<u32, Written> = RemoteFunction::new("Give");
    let world = World::with(|server| server.remotes(&[&ECHO, &GIVE]));
    world.server.on_server_invoke(&ECHO, |_, Written(n)| n);
    world.server.on_server_invoke(&GIVE, |_, n| Written(n));
    let (ada, _) = within(world.join("Ada")).await;
    let error = made(ada.invoke_server(&ECHO, &Written(1)))
        .await
        .unwrap_err();
    assert!(matches!(error, InvokeError::Encode(_)), "{error:?}");
    assert_eq!(error.delivery(), Delivery::NotSent);
    let error = InvokeError::Decode {
        what: What::Response,
    };
    let result = made(ada.invoke_server(&GIVE, &1)).await;
    check(result, error, Delivery::Executed);
    assert_eq!(made(ada.invoke_server(&GIVE, &2)).await, Ok(Written(2)));
}

/// R61, R124: a function may be called so often and no more.
#[tokio::test]
async fn calls_beyond_a_functions_rate_are_refused() {
    const BUY: RemoteFunction<(), u32> =
        RemoteFunction::new("Buy").rate(Rate::per_second(0).burst(2));
    let world = World::with(|server| server.remotes(&[&BUY]));
    world.server.on_server_invoke(&BUY, |_, ()| 1);
    let (ada, _) = within(world.join("Ada")).await;
    let (bo, _) = within(world.join("Bo")).await;
    for client in [&ada, &bo] {
        assert_eq!(made(client.invoke_server(&BUY, &())).await, Ok(1));
        assert_eq!(made(client.invoke_server(&BUY, &())).await, Ok(1));
        let error = InvokeError::Busy {
            scope: BusyScope::RateLimit,
            retry_after: Some(Duration::from_secs(1)),
        };
        let result = made(client.invoke_server(&BUY, &())).await;
        check(result, error, Delivery::Rejected);
    }
}

/// A server whose [`SLOW`] waits at the gate, and notes down what runs.
fn slow_world(limits: Limits) -> (World, Gate, Notes<u32>) {
    let world = World::with(|server| server.remotes(&[&SLOW]).limits(limits));
    let (gate, notes) = (Gate::new(), Notes::new());
    let (wait, seen) = (gate.clone(), notes.clone());
    world.server.on_server_invoke(&SLOW, move |_, n| {
        seen.push(n);
        let gate = wait.clone();
        async move {
            gate.pass().await;
            n
        }
    });
    (world, gate, notes)
}

/// Design 6: a client keeps to the places that its server has for it; the others wait in line.
#[tokio::test]
async fn calls_beyond_the_servers_places_wait_in_line() {
    let mut limits = Limits::default();
    (limits.calls_running, limits.calls_queued) = (1, 1);
    let (world, gate, notes) = slow_world(limits);
    let (ada, player) = within(world.join("Ada")).await;
    let running = making(ada.invoke_server(&SLOW, &1));
    notes.wait(1).await;
    let queued = making(ada.invoke_server(&SLOW, &2));
    until(|| player.stats().serving_calls == 2).await;
    let waiting = making(ada.invoke_server(&SLOW, &3));
    until(|| ada.stats().queued_calls == 1).await;
    // Another player has places of its own.
    let (bo, _) = within(world.join("Bo")).await;
    let other = making(bo.invoke_server(&SLOW, &4));
    notes.wait(2).await;
    assert_eq!(notes.all(), [1, 4]);
    gate.open();
    for (call, expected) in [(running, 1), (queued, 2), (waiting, 3), (other, 4)] {
        assert_eq!(within(call).await.unwrap(), Ok(expected));
    }
}

/// Design 6: so many run, so many wait, one more is told so.
#[tokio::test]
async fn calls_beyond_a_clients_places_are_refused() {
    let world = World::with(|server| server.remotes(&[&SLOW]));
    let mut limits = Limits::default();
    (limits.calls_running, limits.calls_queued) = (1, 1);
    let ada = within(world.client("Ada").limits(limits).connect()).await;
    let ada = ada.unwrap();
    let player = world.player(&ada).await;
    let (gate, notes) = (Gate::new(), Notes::new());
    let (wait, seen) = (gate.clone(), notes.clone());
    ada.on_client_invoke(&SLOW, move |n| {
        seen.push(n);
        let gate = wait.clone();
        async move {
            gate.pass().await;
            n
        }
    });
    let running = making(world.server.invoke_client(&player, &SLOW, &1));
    notes.wait(1).await;
    let queued = making(world.server.invoke_client(&player, &SLOW, &2));
    until(|| ada.stats().serving_calls == 2).await;
    let error = InvokeError::Busy {
        scope: BusyScope::PeerQueue,
        retry_after: None,
    };
    let result = made(world.server.invoke_client(&player, &SLOW, &3)).await;
    check(result, error, Delivery::Rejected);
    gate.open();
    assert_eq!(within(running).await.unwrap(), Ok(1));
    assert_eq!(within(queued).await.unwrap(), Ok(2));
    assert!(!notes.all().contains(&3));
}

/// H1: the line on this side has an end, too.
#[tokio::test]
async fn calls_beyond_the_local_line_are_refused() {
    let (world, gate, notes) = slow_world(Limits::default());
    let mut limits = Limits::default();
    (limits.calls_in_flight, limits.calls_waiting) = (1, 1);
    let ada = within(world.client("Ada").limits(limits).connect())
        .await
        .unwrap();
    let first = making(ada.invoke_server(&SLOW, &1));
    notes.wait(1).await;
    let second = making(ada.invoke_server(&SLOW, &2));
    until(|| ada.stats().queued_calls == 1).await;
    let error = InvokeError::Busy {
        scope: BusyScope::LocalQueue,
        retry_after: None,
    };
    let result = made(ada.invoke_server(&SLOW, &3)).await;
    check(result, error, Delivery::NotSent);
    gate.open();
    assert_eq!(within(first).await.unwrap(), Ok(1));
    assert_eq!(within(second).await.unwrap(), Ok(2));
    assert_eq!(notes.all(), [1, 2]);
}

/// Design 2.12: what the server does not have is known at the call.
#[tokio::test]
async fn a_function_that_the_server_lacks_is_unknown() {
    let world = World::new();
    let (ada, _) = within(world.join("Ada")).await;
    let name = "Slow";
    let result = made(ada.invoke_server(&SLOW, &1)).await;
    check(
        result,
        InvokeError::UnknownFunction { name },
        Delivery::Rejected,
    );
}

/// Design 2.12: a function that both sides declare differently fails by name, in both directions,
/// and the others work.
#[tokio::test]
async fn a_function_with_other_types_on_the_other_side_fails_by_name() {
    const OTHER: RemoteFunction<bool, u32> = RemoteFunction::new("Slow");
    let world = World::with(|server| server.remotes(&[&SLOW, &FILL]));
    world.server.on_server_invoke(&SLOW, |_, n| n);
    world
        .server
        .on_server_invoke(&FILL, |_, _| "fine".to_owned());
    let early = world.client("early").remotes(&[&OTHER]).connect();
    let late = world.client("late").connect();
    for client in [within(early).await.unwrap(), within(late).await.unwrap()] {
        client.on_client_invoke(&OTHER, |_| 1);
        let player = world.player(&client).await;
        let up = made(client.invoke_server(&OTHER, &true)).await;
        let down = made(world.server.invoke_client(&player, &SLOW, &1)).await;
        for error in [up.unwrap_err(), down.unwrap_err()] {
            assert!(
                matches!(error, InvokeError::SignatureMismatch { name: "Slow", .. }),
                "{error:?}"
            );
            assert_eq!(error.delivery(), Delivery::Rejected);
        }
        assert_eq!(
            made(client.invoke_server(&FILL, &1)).await,
            Ok("fine".into())
        );
    }
}

/// R3: one name, one meaning, also within one program.
#[tokio::test]
async fn a_name_that_is_taken_in_this_program_is_refused() {
    const OTHER: RemoteFunction<bool, u32> = RemoteFunction::new("Slow");
    let (world, _gate, _) = slow_world(Limits::default());
    let (_ada, player) = within(world.join("Ada")).await;
    let error = made(world.server.invoke_client(&player, &OTHER, &true)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, InvokeError::Declare(_)), "{error:?}");
    assert_eq!(error.delivery(), Delivery::NotSent);
}
