//! What a lost packet delays, and what it does not: on virtual time, with seeded loss.

use std::time::Duration;

use farfire::{
    Client, RemoteEvent, Server,
    conditioner::{Conditioner, Conditions},
    testing::SimNet,
    tls::{Identity, Trust},
};

use crate::world::Notes;

const CHAT: RemoteEvent<u32> = RemoteEvent::new("Chat");
const TRADE: RemoteEvent<u32> = RemoteEvent::new("Trade");
const TERRAIN: RemoteEvent<u32> = RemoteEvent::new("Terrain").lane("terrain");
const SPARK: RemoteEvent<u32> = RemoteEvent::new("Spark").unordered();
const EMBER: RemoteEvent<u32> = RemoteEvent::new("Ember").unordered();

/// Fires 400 events in turn on two remotes over a network that loses one packet in ten, and gives the
/// numbers in the order in which they arrived.
async fn arrivals(remotes: [RemoteEvent<u32>; 2]) -> Vec<u32> {
    let net = SimNet::new();
    let identity = Identity::self_signed(["sim"]).unwrap();
    let server = Server::builder("10.0.0.1:4433", identity)
        .network(&net.network(None))
        .remotes(&[&remotes[0], &remotes[1]])
        .start()
        .unwrap();
    let notes = Notes::new();
    for remote in &remotes {
        let seen = notes.clone();
        server.on_server_event(remote, move |_, number| seen.push(number));
    }
    let lossy = Conditioner::new(7);
    let conditions = Conditions::new(Duration::from_millis(20), 0.1);
    lossy.set(conditions.clone(), conditions);
    let trust = Trust::pinned([server.pin()]);
    let client = Client::builder("10.0.0.1:4433", trust)
        .network(&net.network(Some(&lossy)))
        .connect()
        .await
        .unwrap();
    for number in 0..400 {
        let remote = &remotes[number as usize % 2];
        client.fire_server(remote, &number).unwrap();
        // Virtual: the schedule of the sender, not a wait for something to happen.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.leave().await;
    let arrived = notes.wait(400).await;
    assert!(lossy.stats().lost > 20, "{:?}", lossy.stats());
    arrived
}

fn is_in_order(numbers: impl Iterator<Item = u32>) -> bool {
    numbers.collect::<Vec<_>>().is_sorted()
}

/// Design 2.1, R21: two remotes on the default lane share one order, whatever is lost.
#[tokio::test(start_paused = true)]
async fn one_lane_keeps_one_order_under_loss() {
    let arrived = arrivals([CHAT, TRADE]).await;
    assert_eq!(arrived, (0..400).collect::<Vec<_>>());
}

/// Design 2.1: on lanes of their own, each keeps its order, and what is lost of one does not hold up the
/// other: later events of it arrive first.
#[tokio::test(start_paused = true)]
async fn a_loss_on_one_lane_does_not_delay_another() {
    let arrived = arrivals([CHAT, TERRAIN]).await;
    assert_eq!(arrived.len(), 400);
    assert!(is_in_order(arrived.iter().copied().filter(|n| n % 2 == 0)));
    assert!(is_in_order(arrived.iter().copied().filter(|n| n % 2 == 1)));
    assert!(
        !is_in_order(arrived.iter().copied()),
        "no packet was overtaken"
    );
}

/// Design 2.1: unordered events overtake each other, and all arrive exactly once.
#[tokio::test(start_paused = true)]
async fn a_lost_unordered_event_delays_no_other() {
    let mut arrived = arrivals([SPARK, EMBER]).await;
    assert!(
        !is_in_order(arrived.iter().copied()),
        "no packet was overtaken"
    );
    arrived.sort_unstable();
    assert_eq!(arrived, (0..400).collect::<Vec<_>>());
}
