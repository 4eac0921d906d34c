//! Reliable events arrive once and in the order in which they were accepted.

use std::collections::BTreeSet;

use bytes::Bytes;
use farfire::{Client, Flush, Network, Player, RemoteEvent};

use crate::world::{Notes, World, generous, settle, within};

const NUMBER: RemoteEvent<u32> = RemoteEvent::new("Number");
const LINE: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Line");
const CHUNK: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Chunk");
const STEP: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Step");
const THREE: [&RemoteEvent<(u32, Bytes)>; 3] = [&LINE, &CHUNK, &STEP];

/// Event `n` of a sequence: on one of three remotes, in sizes from bytes to kilobytes.
fn nth(n: u32) -> (&'static RemoteEvent<(u32, Bytes)>, (u32, Bytes)) {
    let pick = (n.wrapping_mul(2_654_435_761) >> 28) as usize % THREE.len();
    let size = (n as usize * 31) % [20, 300, 4000][pick];
    (THREE[pick], (n, vec![7; size].into()))
}

fn numbers(count: u32) -> Vec<u32> {
    (0..count).collect()
}

/// Design 2.1, R19-R21.
#[tokio::test]
async fn three_remotes_are_one_sequence_to_the_server() {
    let world = World::with(|server| server.limits(generous()));
    let notes = Notes::new();
    for remote in THREE {
        let seen = notes.clone();
        world
            .server
            .on_server_event(remote, move |_, (n, _)| seen.push(n));
    }
    let (ada, _) = within(world.join("Ada")).await;
    for n in 0..3000 {
        let (remote, args) = nth(n);
        within(ada.fire_server_async(remote, &args)).await.unwrap();
    }
    settle(&ada).await;
    assert_eq!(notes.all(), numbers(3000));
}

/// Design 2.1, R19-R21.
#[tokio::test]
async fn three_remotes_are_one_sequence_to_a_client() {
    let world = World::with(|server| server.remotes(&[&LINE, &CHUNK, &STEP]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::new();
    for remote in THREE {
        let seen = notes.clone();
        ada.on_client_event(remote, move |(n, _)| seen.push(n));
    }
    for n in 0..3000 {
        let (remote, args) = nth(n);
        within(world.server.fire_client_async(&player, remote, &args))
            .await
            .unwrap();
    }
    settle(&ada).await;
    assert_eq!(notes.all(), numbers(3000));
}

/// Design 2.1: ordered within a lane; the other lanes lose nothing by it.
#[tokio::test]
async fn a_lane_is_in_order() {
    const BULK: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Bulk").lane("bulk");
    const ALSO_BULK: RemoteEvent<u32> = RemoteEvent::new("AlsoBulk").lane("bulk");
    const QUICK: RemoteEvent<u32> = RemoteEvent::new("Quick").lane("quick");
    let world = World::with(|server| server.remotes(&[&BULK, &ALSO_BULK, &QUICK, &NUMBER]));
    let (ada, player) = within(world.join("Ada")).await;
    let [bulk, quick, default] = [(); 3].map(|()| Notes::<u32>::new());
    let seen = bulk.clone();
    ada.on_client_event(&BULK, move |(n, _)| seen.push(n));
    let seen = bulk.clone();
    ada.on_client_event(&ALSO_BULK, move |n| seen.push(n));
    let seen = quick.clone();
    ada.on_client_event(&QUICK, move |n| seen.push(n));
    let seen = default.clone();
    ada.on_client_event(&NUMBER, move |n| seen.push(n));
    let server = &world.server;
    for n in 0..200 {
        let payload = Bytes::from(vec![1; 20_000]);
        let fired = match n % 2 {
            0 => within(server.fire_client_async(&player, &BULK, &(n, payload))).await,
            _ => within(server.fire_client_async(&player, &ALSO_BULK, &n)).await,
        };
        fired.unwrap();
        within(server.fire_client_async(&player, &QUICK, &n))
            .await
            .unwrap();
        within(server.fire_client_async(&player, &NUMBER, &n))
            .await
            .unwrap();
    }
    assert_eq!(bulk.wait(200).await, numbers(200));
    assert_eq!(quick.wait(200).await, numbers(200));
    assert_eq!(default.wait(200).await, numbers(200));
}

/// Design 2.1: no head-of-line blocking between lanes. What is fired behind a large event on another
/// lane does not wait until all of that has been read.
#[tokio::test]
async fn a_large_event_on_one_lane_does_not_hold_up_another() {
    const TERRAIN: RemoteEvent<Bytes> = RemoteEvent::new("Terrain").lane("terrain");
    let world = World::with(|server| server.remotes(&[&TERRAIN, &NUMBER]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<u32>::new();
    let seen = notes.clone();
    ada.on_client_event(&TERRAIN, move |_| seen.push(0));
    let seen = notes.clone();
    ada.on_client_event(&NUMBER, move |n| seen.push(n));
    let large = Bytes::from(vec![1; 200 * 1024]);
    // On an ordered stream the small one would come second every time.
    let mut overtakes = 0;
    for round in 0..20 {
        world.server.fire_client(&player, &TERRAIN, &large).unwrap();
        world.server.fire_client(&player, &NUMBER, &1).unwrap();
        let seen = notes.wait(2 * (round + 1)).await;
        overtakes += usize::from(seen[2 * round] == 1);
    }
    assert!(overtakes > 0, "{overtakes} of 20");
}

/// Design 2.1: reliable without order; R19.
#[tokio::test]
async fn unordered_events_all_arrive_once() {
    const LOOSE: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Loose").unordered();
    let world = World::with(|server| server.limits(generous()).remotes(&[&LOOSE]));
    let up = Notes::<u32>::new();
    let seen = up.clone();
    world
        .server
        .on_server_event(&LOOSE, move |_, (n, _)| seen.push(n));
    let (ada, player) = within(world.join("Ada")).await;
    let down = Notes::<u32>::new();
    let seen = down.clone();
    ada.on_client_event(&LOOSE, move |(n, _)| seen.push(n));
    for n in 0..500 {
        let payload = Bytes::from(vec![3; n as usize * 37 % 5000]);
        within(ada.fire_server_async(&LOOSE, &(n, payload.clone())))
            .await
            .unwrap();
        within(
            world
                .server
                .fire_client_async(&player, &LOOSE, &(n, payload)),
        )
        .await
        .unwrap();
    }
    for notes in [up, down] {
        let seen = notes.wait(500).await;
        assert_eq!(
            seen.iter().copied().collect::<BTreeSet<_>>(),
            (0..500).collect()
        );
        settle(&ada).await;
        assert_eq!(notes.all().len(), 500);
    }
}

/// More players than one slice of a broadcast, all of them listening.
struct Crowd {
    world: World,
    members: Vec<(Client, Player, Notes<u32>)>,
}

impl Crowd {
    async fn gather() -> Self {
        let world = World::with(|server| server.remotes(&[&NUMBER]));
        let network = Network::new().unwrap();
        let mut members = Vec::new();
        for n in 0..44 {
            let client = world.client(&format!("Bot{n}")).network(&network);
            let client = within(client.connect()).await.unwrap();
            let player = world.player(&client).await;
            let notes = Notes::new();
            let seen = notes.clone();
            client.on_client_event(&NUMBER, move |n| seen.push(n));
            members.push((client, player, notes));
        }
        Self { world, members }
    }

    fn players(&self) -> Vec<Player> {
        let players = self.members.iter().map(|(_, player, _)| player.clone());
        players.collect()
    }

    async fn all_saw(&self, expected: &[u32]) {
        for (client, player, notes) in &self.members {
            notes.wait(expected.len()).await;
            settle(client).await;
            assert_eq!(notes.all(), expected, "{player}");
        }
    }
}

/// Fires a sequence that every player is to see whole, by all the ways there are.
fn fire_to_everyone(server: &farfire::Server, players: &[Player], numbers: std::ops::Range<u32>) {
    for n in numbers {
        match n % 4 {
            0 | 1 => server.fire_all_clients(&NUMBER, &n).unwrap(),
            2 => server.fire_clients(players, &NUMBER, &n).unwrap(),
            // Backwards: those that a broadcast reaches last come first.
            _ => players
                .iter()
                .rev()
                .for_each(|player| server.fire_client(player, &NUMBER, &n).unwrap()),
        }
    }
}

/// Design 2.1: the order is that of acceptance, broadcasts included.
#[tokio::test]
async fn broadcasts_and_single_events_keep_the_order_of_acceptance() {
    let crowd = Crowd::gather().await;
    fire_to_everyone(&crowd.world.server, &crowd.players(), 0..200);
    crowd.all_saw(&numbers(200)).await;
}

/// Design 2.1: a handler's direct write does not overtake an earlier broadcast.
#[tokio::test]
async fn a_handler_keeps_the_order_of_broadcasts_and_single_events() {
    const GO: RemoteEvent<u32> = RemoteEvent::new("Go");
    let crowd = Crowd::gather().await;
    let players = crowd.players();
    crowd
        .world
        .server
        .on_server_event(&GO, move |player, round| {
            fire_to_everyone(&player.server(), &players, round * 40..(round + 1) * 40);
        });
    let (ada, _, _) = &crowd.members[0];
    within(ada.wait_for_remote(&GO)).await.unwrap();
    for round in 0..5 {
        ada.fire_server(&GO, &round).unwrap();
    }
    crowd.all_saw(&numbers(200)).await;
}

/// R15: one client gets it, the others observe nothing.
#[tokio::test]
async fn fire_client_reaches_one_client() {
    let crowd = Crowd::gather().await;
    let (_, player, notes) = &crowd.members[40];
    crowd.world.server.fire_client(player, &NUMBER, &7).unwrap();
    notes.wait(1).await;
    for (client, other, notes) in &crowd.members {
        settle(client).await;
        assert_eq!(notes.all().len(), usize::from(other == player));
    }
}

/// Design 1: `fire_all_clients_except` leaves out one and `fire_clients` all but those named, in order
/// with everything else.
#[tokio::test]
async fn some_of_the_clients_get_what_is_fired_to_them() {
    let crowd = Crowd::gather().await;
    let server = &crowd.world.server;
    let players = crowd.players();
    let left_out = &players[35];
    let few = [&players[3], &players[35], &players[43]];
    server.fire_all_clients(&NUMBER, &0).unwrap();
    server
        .fire_all_clients_except(left_out, &NUMBER, &1)
        .unwrap();
    server.fire_clients(few, &NUMBER, &2).unwrap();
    server
        .fire_all_clients_except(left_out, &NUMBER, &3)
        .unwrap();
    server.fire_all_clients(&NUMBER, &4).unwrap();
    for (client, player, notes) in &crowd.members {
        settle(client).await;
        let expected: Vec<u32> = (0..5)
            .filter(|n| match n {
                1 | 3 => player != left_out,
                2 => few.contains(&player),
                _ => true,
            })
            .collect();
        assert_eq!(notes.all(), expected, "{player}");
    }
}

/// R17: everyone who is connected at the moment of the call, and nobody who comes later.
#[tokio::test]
async fn a_late_joiner_gets_nothing_that_was_fired_before() {
    let world = World::with(|server| server.remotes(&[&NUMBER]));
    let (ada, _) = within(world.join("Ada")).await;
    let listen = |client: &Client| {
        let notes = Notes::new();
        let seen = notes.clone();
        client.on_client_event(&NUMBER, move |n| seen.push(n));
        notes
    };
    let early = listen(&ada);
    let mut late = Vec::new();
    for n in 0..20 {
        world.server.fire_all_clients(&NUMBER, &n).unwrap();
        let (bob, _) = within(world.join("Bob")).await;
        let notes = listen(&bob);
        late.push((bob, notes, n));
    }
    world.server.fire_all_clients(&NUMBER, &20).unwrap();
    settle(&ada).await;
    assert_eq!(early.all(), numbers(21));
    for (bob, notes, joined_after) in late {
        settle(&bob).await;
        assert_eq!(notes.all(), numbers(21)[joined_after as usize + 1..]);
    }
}

/// R27: arguments are encoded before the call returns.
#[tokio::test]
async fn the_sender_may_change_its_arguments_after_the_call() {
    const TEXT: RemoteEvent<String> = RemoteEvent::new("Text");
    let world = World::with(|server| server.flush(Flush::Tick).remotes(&[&TEXT]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::<String>::new();
    let seen = notes.clone();
    ada.on_client_event(&TEXT, move |text| seen.push(text));
    let mut text = "first".to_string();
    world.server.fire_client(&player, &TEXT, &text).unwrap();
    text.make_ascii_uppercase();
    world.server.fire_all_clients(&TEXT, &text).unwrap();
    text.clear();
    world.server.flush();
    assert_eq!(notes.wait(2).await, ["first", "FIRST"]);
}

/// Design 2.12, R4: a remote first used in `on_player_added` is known to the player it was called for.
#[tokio::test]
async fn a_remote_added_while_a_player_joins_reaches_that_player() {
    const FRESH: RemoteEvent<u32> = RemoteEvent::new("Fresh");
    let world = World::with(|server| {
        server.on_player_added(|player: Player| player.server().declare(&FRESH).unwrap())
    });
    let (ada, _) = within(world.join("Ada")).await;
    let notes = Notes::new();
    let seen = notes.clone();
    ada.on_client_event(&FRESH, move |n| seen.push(n));
    within(ada.wait_for_remote(&FRESH)).await.unwrap();
    world.server.fire_all_clients(&FRESH, &5).unwrap();
    assert_eq!(notes.wait(1).await, [5]);
}
