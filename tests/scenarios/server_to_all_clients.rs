//! A countdown, which reaches those who are connected when it is fired.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use farfire::{Client, RemoteEvent, Server};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    stage::{answer_caught_up, caught_up},
    world::{Notes, World, within},
};

const REMOTE_EVENT: RemoteEvent<u32> = RemoteEvent::new("RemoteEventTest");
/// The documentation's script waits for a second.
const TICK: Duration = Duration::from_millis(200);

/// Some steps of script 3a, without the waits between them.
fn count(server: &Server, from_to: RangeInclusive<u32>) {
    for t in from_to.rev() {
        server.fire_all_clients(&REMOTE_EVENT, &t).unwrap();
    }
}

fn script_3b(client: &Client) -> Notes<u32> {
    let lines = Notes::new();
    let print = lines.clone();
    client.on_client_event(&REMOTE_EVENT, move |seconds| print.push(seconds));
    lines
}

fn world() -> World {
    let world = World::with(|server| server.remotes(&[&REMOTE_EVENT]));
    answer_caught_up(&world.server);
    world
}

#[tokio::test]
async fn clients_that_were_there_before_see_it_all() {
    let world = world();
    let (ada, _) = within(world.join("Ada")).await;
    let (bo, _) = within(world.join("Bo")).await;
    let (of_ada, of_bo) = (script_3b(&ada), script_3b(&bo));
    let mut fired = Vec::new();
    for t in (1..=5).rev() {
        count(&world.server, t..=t);
        fired.push(Instant::now());
        tokio::time::sleep(TICK).await;
    }
    assert!(fired.windows(2).all(|pair| pair[1] - pair[0] >= TICK));
    caught_up(&ada).await;
    caught_up(&bo).await;
    assert_eq!(of_ada.all(), [5, 4, 3, 2, 1]);
    assert_eq!(of_bo.all(), [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_handler_that_comes_late_gets_what_waited_and_then_the_rest() {
    let world = world();
    let (ada, _) = within(world.join("Ada")).await;
    count(&world.server, 3..=5);
    caught_up(&ada).await;
    let lines = script_3b(&ada);
    assert_eq!(lines.wait(3).await, [5, 4, 3]);
    count(&world.server, 1..=2);
    assert_eq!(lines.wait(5).await, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_client_that_joins_late_gets_what_is_fired_from_then_on() {
    // Joined after how many steps, and what it sees.
    let cases: [(u32, &[u32]); 3] = [(1, &[4, 3, 2, 1]), (3, &[2, 1]), (5, &[])];
    for (steps, seen) in cases {
        let world = world();
        count(&world.server, 6 - steps..=5);
        let (ada, _) = within(world.join("Ada")).await;
        let lines = script_3b(&ada);
        count(&world.server, 1..=5 - steps);
        caught_up(&ada).await;
        assert_eq!(lines.all(), seen, "joined after {steps}");
    }
}

#[tokio::test]
async fn the_arguments_are_encoded_once_for_all() {
    static ENCODED: AtomicUsize = AtomicUsize::new(0);

    #[derive(Deserialize)]
    struct Counted(u32);

    impl Serialize for Counted {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            ENCODED.fetch_add(1, Ordering::Relaxed);
            to.serialize_newtype_struct("Counted", &self.0)
        }
    }

    const COUNTED: RemoteEvent<Counted> = RemoteEvent::new("Counted");

    let world = World::with(|server| server.remotes(&[&COUNTED]));
    let lines = Notes::new();
    let mut clients = Vec::new();
    for number in 0..10 {
        let (client, _) = within(world.join(&format!("Client{number}"))).await;
        let print = lines.clone();
        client.on_client_event(&COUNTED, move |Counted(t)| print.push(t));
        clients.push(client);
    }
    world
        .server
        .fire_all_clients(&COUNTED, &Counted(5))
        .unwrap();
    assert_eq!(lines.wait(10).await, [5; 10]);
    assert_eq!(ENCODED.load(Ordering::Relaxed), 1);
}
