//! What one client says, the server checks and tells everybody.

use std::{
    future::IntoFuture,
    time::{Duration, Instant},
};

use farfire::{Client, DropCause, FireError, Player, RemoteEvent, RemoteFunction, Server};

use crate::{
    stage::{answer_caught_up, caught_up, ledger, refused},
    world::{Notes, World, within},
};

const SAY: RemoteEvent<String> = RemoteEvent::new("Say");
const SAID: RemoteEvent<(String, String)> = RemoteEvent::new("Said");
const ECHO: RemoteFunction<u32, u32> = RemoteFunction::new("Echo");

fn relay(server: &Server) {
    server.on_server_event(&SAY, |player: Player, text| -> Result<(), FireError> {
        if text.len() > 200 {
            return Ok(());
        }
        let said = (player.name().to_owned(), text);
        player.server().fire_all_clients(&SAID, &said)
    });
}

fn listen(client: &Client) -> Notes {
    let lines = Notes::new();
    let print = lines.clone();
    client.on_client_event(&SAID, move |(name, text)| {
        print.push(format!("{name} {text}"))
    });
    lines
}

fn world() -> World {
    let world = World::with(|server| server.remotes(&[&SAY, &SAID, &ECHO]));
    answer_caught_up(&world.server);
    relay(&world.server);
    world
}

#[tokio::test]
async fn everybody_hears_what_one_says() {
    let world = world();
    let (ada, _) = within(world.join("Ada")).await;
    let (bo, _) = within(world.join("Bo")).await;
    let (of_ada, of_bo) = (listen(&ada), listen(&bo));
    ada.fire_server(&SAY, &"hi".to_owned()).unwrap();
    caught_up(&ada).await;
    caught_up(&bo).await;
    assert_eq!(of_ada.all(), ["Ada hi"]);
    assert_eq!(of_bo.all(), ["Ada hi"]);
}

#[tokio::test]
async fn what_the_server_does_not_let_pass_nobody_hears() {
    let world = world();
    let (ada, _) = within(world.join("Ada")).await;
    let lines = listen(&ada);
    ada.fire_server(&SAY, &"x".repeat(201)).unwrap();
    ada.fire_server(&SAY, &"x".repeat(200)).unwrap();
    caught_up(&ada).await;
    assert_eq!(lines.all(), [format!("Ada {}", "x".repeat(200))]);
}

#[tokio::test]
async fn a_client_over_its_budget_costs_itself_and_nobody_else() {
    const CALLS: u64 = 2000;

    let world = world();
    world.server.on_server_invoke(&ECHO, |_, n| n);
    let (ada, player) = within(world.join("Ada")).await;
    let (bo, _) = within(world.join("Bo")).await;
    let lines = listen(&bo);

    // A thousand a second, of which five hundred are allowed.
    let began = Instant::now();
    let flood = tokio::spawn({
        let ada = ada.clone();
        async move {
            let mut rate = tokio::time::interval(Duration::from_millis(10));
            for n in 0..CALLS {
                if n % 10 == 0 {
                    rate.tick().await;
                }
                ada.fire_server_async(&SAY, &"spam".into()).await.unwrap();
            }
        }
    });
    let mut slowest = Duration::ZERO;
    let mut said = 0;
    while !flood.is_finished() {
        let asked = Instant::now();
        let echo = within(bo.invoke_server(&ECHO, &said).into_future()).await;
        assert_eq!(echo, Ok(said));
        slowest = slowest.max(asked.elapsed());
        bo.fire_server(&SAY, &format!("word {said}")).unwrap();
        said += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    flood.await.unwrap();
    caught_up(&ada).await;
    let allowed = 500.0 + 500.0 * began.elapsed().as_secs_f64();
    caught_up(&bo).await;

    let events = ledger(player.stats(), "Say");
    assert_eq!(events.received, CALLS);
    let dropped = refused(&events, DropCause::RateLimit);
    assert_eq!(events.dispatched + dropped, CALLS);
    assert!(events.dispatched as f64 <= allowed + 1.0, "{events:?}");
    assert!(dropped > 0, "{events:?}");
    assert!(player.is_connected(), "it broke no rule of the protocol");

    let of_bo = lines
        .all()
        .into_iter()
        .filter(|line| line.starts_with("Bo "));
    let expected = (0..said).map(|n| format!("Bo word {n}"));
    assert!(of_bo.eq(expected), "{:?}", lines.all());
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// Clients have no way to fire at clients. An inherent method of one of these names would be taken
/// before the trait's, and would not compile with these arguments.
#[tokio::test]
async fn a_client_cannot_address_another() {
    trait Absent {
        fn fire_client(&self) {}
        fn fire_clients(&self) {}
        fn fire_all_clients(&self) {}
        fn fire_all_clients_except(&self) {}
        fn invoke_client(&self) {}
        fn players(&self) {}
    }
    impl Absent for Client {}

    let world = world();
    let (ada, _) = within(world.join("Ada")).await;
    ada.fire_client();
    ada.fire_clients();
    ada.fire_all_clients();
    ada.fire_all_clients_except();
    ada.invoke_client();
    ada.players();
}
