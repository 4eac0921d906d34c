//! The built-in echo: every server answers it, within a budget of its own, unless it is switched off.

use std::time::Duration;

use bytes::Bytes;
use farfire::{
    InvokeError, Limits, NameError, Rate, RemoteEvent, RemoteFunction, UnreliableRemoteEvent,
    WaitError, echo,
};

use crate::world::{Notes, World, settle, within};

const CHAT: RemoteEvent<u32> = RemoteEvent::new("Chat");

async fn measuring(world: &World) -> farfire::Client {
    let client = world.client("Ada").remotes(&echo::ALL).connect();
    within(client).await.unwrap()
}

#[tokio::test]
async fn every_server_sends_back_what_it_is_sent() {
    let world = World::new();
    let ada = measuring(&world).await;
    let notes = Notes::new();
    let (reliable, unreliable) = (notes.clone(), notes.clone());
    ada.on_client_event(&echo::RELIABLE, move |bytes| reliable.push(bytes));
    ada.on_client_event(&echo::UNRELIABLE, move |bytes| unreliable.push(bytes));
    ada.fire_server(&echo::RELIABLE, &Bytes::from(vec![1; 16 * 1024]))
        .unwrap();
    assert_eq!(within(notes.wait(1)).await, [vec![1; 16 * 1024]]);
    ada.fire_server(&echo::UNRELIABLE, &Bytes::from_static(b"polo"))
        .unwrap();
    assert_eq!(within(notes.wait(2)).await[1], b"polo"[..]);
    let called = ada.invoke_server(&echo::FUNCTION, &Bytes::from_static(b"marco"));
    assert_eq!(called.await.unwrap(), b"marco"[..]);
}

#[tokio::test]
async fn the_echo_spends_none_of_the_games_budget_and_is_in_none_of_its_lists() {
    let mut limits = Limits::default();
    limits.events = Rate::per_second(1).burst(5);
    limits.unreliable_events = Rate::per_second(1).burst(1);
    let world = World::with(|server| server.limits(limits).remotes(&[&CHAT]));
    let heard = Notes::new();
    let hear = heard.clone();
    world
        .server
        .on_server_event(&CHAT, move |_, n| hear.push(n));
    let ada = measuring(&world).await;
    let player = world.player(&ada).await;
    let echoes = Notes::new();
    let hear = echoes.clone();
    ada.on_client_event(&echo::RELIABLE, move |bytes| hear.push(bytes));
    for n in 0..100u8 {
        ada.fire_server(&echo::RELIABLE, &Bytes::from(vec![n]))
            .unwrap();
        ada.fire_server(&echo::UNRELIABLE, &Bytes::from(vec![n]))
            .unwrap();
    }
    within(echoes.wait(100)).await;
    for n in 0..5 {
        ada.fire_server(&CHAT, &n).unwrap();
    }
    settle(&ada).await;
    assert_eq!(heard.all(), [0, 1, 2, 3, 4]);
    // The game's two: `Chat`, and the call by which the test settles.
    assert_eq!(world.server.stats().remotes, 2);
    for stats in [ada.stats(), player.stats()] {
        let names: Vec<_> = stats
            .remotes
            .iter()
            .map(|stats| stats.remote.clone())
            .collect();
        assert_eq!(names, ["Chat"]);
    }
}

#[tokio::test]
async fn the_echo_has_a_rate_of_its_own() {
    let mut limits = Limits::default();
    limits.echo = Rate::per_second(1).burst(10);
    let world = World::with(|server| server.limits(limits));
    let ada = measuring(&world).await;
    let echoes = Notes::new();
    let hear = echoes.clone();
    ada.on_client_event(&echo::RELIABLE, move |bytes| hear.push(bytes));
    for _ in 0..200 {
        ada.fire_server(&echo::RELIABLE, &Bytes::from_static(b"x"))
            .unwrap();
    }
    settle(&ada).await;
    let back = echoes.all().len();
    assert!((10..100).contains(&back), "{back} came back");
    let mut refused = 0;
    for _ in 0..200 {
        let called = ada.invoke_server(&echo::FUNCTION, &Bytes::new());
        refused += u32::from(matches!(called.await, Err(InvokeError::Busy { .. })));
    }
    assert!(refused > 100, "{refused} were refused");
    assert!(
        ada.is_connected(),
        "whoever measures too much is not kicked"
    );
}

#[tokio::test]
async fn a_server_may_do_without_an_echo() {
    let world = World::with(|server| server.echo(false));
    let ada = measuring(&world).await;
    let waited = ada.wait_for_remote_within(&echo::FUNCTION, Duration::from_millis(50));
    let waited = within(waited).await;
    assert!(matches!(waited, Err(WaitError::Timeout { .. })));
}

/// The names of the built-in remotes are not for programs: neither at compile time nor at run time.
#[test]
fn reserved_names_are_refused() {
    let name = "farfire.echo.reliable";
    assert_eq!(
        RemoteEvent::<u8>::named(name).unwrap_err(),
        NameError::Reserved
    );
    let unreliable = UnreliableRemoteEvent::<u8>::named("farfire.");
    assert_eq!(unreliable.unwrap_err(), NameError::Reserved);
    let function = RemoteFunction::<u8, u8>::named("farfire.mine");
    assert_eq!(function.unwrap_err(), NameError::Reserved);
    assert!(std::panic::catch_unwind(|| RemoteEvent::<u8>::new(name)).is_err());
    assert!(RemoteEvent::<u8>::named("farfireworks").is_ok());
}

#[tokio::test]
async fn joining_says_how_long_its_parts_took() {
    let world = World::new();
    let began = std::time::Instant::now();
    let (ada, _) = world.join("Ada").await;
    let took = began.elapsed();
    let times = ada.join_times();
    assert!(times.handshake > Duration::ZERO && times.welcome > Duration::ZERO);
    assert!(times.resolve + times.handshake + times.welcome <= took);
    let stats = ada.stats();
    assert!(stats.mtu >= 1200 && stats.send_calls > 0);
    assert!(stats.sent_datagrams >= stats.send_calls);
}
