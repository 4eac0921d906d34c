//! How old unreliable events are when they arrive, where more are fired than the path carries; and that
//! nothing is held back where it does.
//!
//! On virtual time, with a seed; what differs between two runs is the length of what is signed and sealed.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use farfire::{
    Client, DropCause, Limits, Server, UnreliableRemoteEvent,
    conditioner::{Conditioner, Conditions, Preset},
    testing::SimNet,
    tls::{Identity, Trust},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::world::{count_of, generous, ledger};

const POSE: UnreliableRemoteEvent<(u32, Bytes)> = UnreliableRemoteEvent::new("Pose");
const ADDRESS: &str = "10.0.0.1:4433";

/// A client, and how long each of its poses took that arrived.
struct Game {
    client: Client,
    fired: Arc<Mutex<Vec<Instant>>>,
    took: Arc<Mutex<Vec<Duration>>>,
    _server: Server,
}

/// A server, and a client behind that network.
async fn world(net: &SimNet, conditioner: &Conditioner, limits: Limits) -> (Server, Client) {
    let server = Server::builder(ADDRESS, Identity::self_signed(["sim"]).unwrap())
        .remotes(&[&POSE])
        .limits(generous())
        .network(&net.network(None))
        .start()
        .unwrap();
    let client = Client::builder(ADDRESS, Trust::pinned([server.pin()]))
        .network(&net.network(Some(conditioner)))
        .limits(limits)
        .connect()
        .await
        .unwrap();
    (server, client)
}

impl Game {
    async fn start(conditioner: &Conditioner) -> Self {
        let (server, client) = world(&SimNet::new(), conditioner, Limits::default()).await;
        let fired = Arc::<Mutex<Vec<Instant>>>::default();
        let took = Arc::<Mutex<Vec<Duration>>>::default();
        let (when, log) = (fired.clone(), took.clone());
        server.on_server_event(&POSE, move |_, (n, _)| {
            let fired = when.lock().unwrap()[n as usize];
            log.lock().unwrap().push(fired.elapsed());
        });
        Self {
            client,
            fired,
            took,
            _server: server,
        }
    }

    /// Fires 60 times a second, and waits for the stragglers.
    async fn play(&self, seconds: usize, per_tick: usize, len: usize) {
        let mut tick = interval(Duration::from_nanos(16_666_667));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let body = Bytes::from(vec![0; len]);
        for _ in 0..seconds * 60 {
            tick.tick().await;
            for _ in 0..per_tick {
                let number = self.fired.lock().unwrap().len() as u32;
                self.fired.lock().unwrap().push(Instant::now());
                let event = (number, body.clone());
                self.client.fire_server(&POSE, &event).unwrap();
            }
        }
        sleep(Duration::from_secs(2)).await;
    }

    /// The age that so many of a hundred were under when they arrived.
    fn age(&self, percent: usize) -> Duration {
        let mut took = self.took.lock().unwrap().clone();
        took.sort_unstable();
        took[took.len() * percent / 100]
    }
}

/// Twice as much is fired as the path carries, and a router has room for a thirtieth of a second.
#[tokio::test(start_paused = true)]
async fn what_arrives_is_young_where_the_path_is_too_narrow() {
    let conditioner = Conditioner::new(7);
    let mut conditions = Conditions::new(Duration::from_millis(20), 0.0);
    conditions.rate = Some(2_000_000);
    conditions.queue = 8 * 1024;
    conditioner.set(conditions.clone(), conditions);
    let game = Game::start(&conditioner).await;
    game.play(8, 200, 36).await;
    let (p50, p99) = (game.age(50), game.age(99));
    // Congestion control alone keeps the router's queue and the outbox full: half of them take 70 ms then. The
    // oldest are from the beginning, when nobody knows yet what the path carries.
    assert!(p50 <= Duration::from_millis(50), "{p50:?}, {p99:?}");
    assert!(p99 <= Duration::from_millis(95), "{p50:?}, {p99:?}");
    // The path carries 0.42 of it.
    let arrived = game.took.lock().unwrap().len() as f64 / game.fired.lock().unwrap().len() as f64;
    assert!(arrived > 0.25, "{arrived}");
    let stats = ledger(&game.client.stats(), POSE.name());
    assert!(stats.is_balanced(), "{stats:?}");
}

/// Whoever changes networks has a path of its own from then on, whose length is found out anew.
#[tokio::test(start_paused = true)]
async fn what_arrives_is_young_when_a_player_has_moved() {
    let net = SimNet::new();
    let conditioner = Conditioner::new(13);
    let far = Conditions::new(Duration::from_millis(20), 0.0);
    conditioner.set(far.clone(), far.clone());
    let (server, client) = world(&net, &conditioner, Limits::default()).await;
    let player = server.players().remove(0);
    let fired = Arc::<Mutex<Vec<Instant>>>::default();
    let took = Arc::<Mutex<Vec<Duration>>>::default();
    let (when, log) = (fired.clone(), took.clone());
    client.on_client_event(&POSE, move |(n, _)| {
        let fired = when.lock().unwrap()[n as usize];
        log.lock().unwrap().push(fired.elapsed());
    });
    let play = async |ticks: u32| {
        let body = Bytes::from(vec![0; 36]);
        let mut tick = interval(Duration::from_millis(16));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..ticks {
            tick.tick().await;
            for _ in 0..200 {
                let number = fired.lock().unwrap().len() as u32;
                fired.lock().unwrap().push(Instant::now());
                let event = (number, body.clone());
                server.fire_client(&player, &POSE, &event).unwrap();
            }
        }
    };
    play(60).await;
    let there: SocketAddr = "10.7.7.7:7777".parse().unwrap();
    net.move_host(player.address(), there);
    let mut narrow = far.clone();
    narrow.rate = Some(2_000_000);
    narrow.queue = 8 * 1024;
    conditioner.set(far, narrow);
    play(60).await;
    assert_eq!(player.address(), there);
    took.lock().unwrap().clear();
    play(300).await;
    let mut took = took.lock().unwrap().clone();
    took.sort_unstable();
    let p50 = took[took.len() / 2];
    assert!(p50 <= Duration::from_millis(50), "{p50:?}");
    let stats = ledger(&player.stats(), POSE.name());
    assert!(stats.is_balanced(), "{stats:?}");
}

/// A path that is long, or whose delay varies, is no path that is full: everything leaves, and soon.
#[tokio::test(start_paused = true)]
async fn nothing_is_held_back_on_long_and_unsteady_paths() {
    for preset in [
        Preset::Lan,
        Preset::Wifi,
        Preset::Mobile4g,
        Preset::Intercontinental,
    ] {
        let conditioner = Conditioner::new(11);
        let game = Game::start(&conditioner).await;
        conditioner.set_preset(Some(preset));
        game.play(8, 4, 60).await;
        let stats = ledger(&game.client.stats(), POSE.name());
        let superseded = count_of(&stats.unsent, DropCause::Superseded);
        assert_eq!((superseded, stats.queued), (0, 0), "{preset}: {stats:?}");
        let Conditions { delay, jitter, .. } = preset.conditions();
        let late = delay + jitter + Duration::from_millis(10);
        assert!(game.age(90) <= late, "{preset}: {:?}", game.age(90));
    }
}

/// Whoever waits for room gets that of events which have become too old, and does not wait for the network.
#[tokio::test(start_paused = true)]
async fn room_that_old_events_leave_is_told_to_who_waits_for_it() {
    // What QUIC has taken leaves little by little until the first acknowledgement, a second later.
    let conditioner = Conditioner::new(17);
    let far = Conditions::new(Duration::from_millis(500), 0.0);
    conditioner.set(far.clone(), far);
    let mut limits = generous();
    limits.unreliable_outbox_bytes = 2048;
    let (_server, client) = world(&SimNet::new(), &conditioner, limits).await;
    let fire = |count| {
        for _ in 0..count {
            client
                .fire_server(&POSE, &(0, Bytes::from_static(&[0; 480])))
                .unwrap();
        }
    };
    let sent = || ledger(&client.stats(), POSE.name()).sent;
    for _ in 0..60 {
        fire(4);
        sleep(Duration::from_millis(1)).await;
    }
    // Four take all of the room, and one more takes that of the first of them.
    let (before, began) = (sent(), Instant::now());
    fire(4);
    sleep(Duration::from_millis(6)).await;
    fire(1);
    let one_more = (0, Bytes::from_static(&[0; 480]));
    client.fire_server_async(&POSE, &one_more).await.unwrap();
    assert_eq!(sent(), before, "the network takes nothing");
    assert!(
        began.elapsed() < Duration::from_millis(30),
        "{:?}",
        began.elapsed()
    );
    let stats = ledger(&client.stats(), POSE.name());
    assert!(stats.is_balanced(), "{stats:?}");
}
