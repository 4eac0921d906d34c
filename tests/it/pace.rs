//! A client that sends more bytes than it may is read at its pace, and loses nothing: on virtual time.

use std::{future::IntoFuture, ops::Range, time::Duration};

use bytes::Bytes;
use farfire::{
    Client, InvokeError, Limits, Player, Rate, RemoteEvent, RemoteFunction, Server, Timeouts,
    testing::SimNet,
    tls::{Identity, Trust},
};
use tokio::time::Instant;

use crate::world::{Notes, ledger, within};

const BULK: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Bulk").lane("bulk");
const LOOSE: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Loose").unordered();
const CHUNK: RemoteEvent<(u32, Bytes)> = RemoteEvent::new("Chunk");
const ECHO: RemoteFunction<u32, u32> = RemoteFunction::new("Echo");

const KIB: usize = 1024;
/// Bytes in a second, and in one go.
const RATE: usize = 256 * KIB;
const BURST: usize = 64 * KIB;
/// What the last read may take beyond it.
const ONE_READ: usize = 24 * KIB;

struct Game {
    client: Client,
    player: Player,
    seen: Notes<u32>,
    _server: Server,
}

async fn game() -> Game {
    let net = SimNet::new();
    let mut limits = Limits::default();
    limits.bytes_from_client = Rate::per_second(RATE as u32).burst(BURST as u32);
    limits.outbox_bytes = 4 * 1024 * KIB;
    let mut timeouts = Timeouts::default();
    timeouts.leave = Duration::from_secs(30);
    let server = Server::builder("10.0.0.1:4433", Identity::self_signed(["sim"]).unwrap())
        .network(&net.network(None))
        .limits(limits.clone())
        .timeouts(timeouts.clone())
        .start()
        .unwrap();
    let seen = Notes::new();
    for remote in [&BULK, &LOOSE, &CHUNK] {
        let seen = seen.clone();
        server.on_server_event(remote, move |_, (n, _)| seen.push(n));
    }
    server.on_server_invoke(&ECHO, |_, n| n);
    let client = Client::builder("10.0.0.1:4433", Trust::pinned([server.pin()]))
        .network(&net.network(None))
        .limits(limits)
        .timeouts(timeouts)
        .connect()
        .await
        .unwrap();
    let player = server.players().remove(0);
    Game {
        client,
        player,
        seen,
        _server: server,
    }
}

impl Game {
    /// Fires events of 32 KiB, all at once.
    fn fire(&self, remote: &RemoteEvent<(u32, Bytes)>, count: u32) {
        for n in 0..count {
            let chunk = (n, Bytes::from(vec![7; 32 * KIB]));
            self.client.fire_server(remote, &chunk).unwrap();
        }
    }

    fn assert_all_were_dispatched(&self, remote: &str, count: u64) {
        let stats = ledger(&self.player.stats(), remote);
        assert_eq!((stats.received, stats.dispatched), (count, count));
        assert!(stats.is_balanced() && stats.refused.is_empty(), "{stats:?}");
    }
}

/// How long it takes at least and at most to read that many events of 32 KiB.
fn takes(count: usize) -> Range<Duration> {
    let bytes = count * 32 * KIB - BURST;
    let time = |bytes: usize| Duration::from_secs_f64(bytes as f64 / RATE as f64);
    time(bytes - ONE_READ)..time(bytes * 11 / 10)
}

#[tokio::test(start_paused = true)]
async fn bytes_beyond_the_rate_wait_at_their_sender_and_all_arrive() {
    for remote in [BULK, LOOSE] {
        let game = game().await;
        let began = Instant::now();
        game.fire(&remote, 64);
        let mut seen = game.seen.wait(64).await;
        let took = began.elapsed();
        assert!(takes(64).contains(&took), "{took:?}");
        // Those that are unordered may come in any order.
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..64));
        game.assert_all_were_dispatched(remote.name(), 64);
        assert!(game.player.is_connected());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_while_events_of_another_lane_wait() {
    let game = game().await;
    game.fire(&BULK, 64);
    while game.seen.all().len() < 60 {
        let began = Instant::now();
        let reply = within(game.client.invoke_server(&ECHO, &7).into_future()).await;
        assert_eq!(reply, Ok(7));
        assert!(began.elapsed() < Duration::from_millis(50));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_behind_events_waits_for_them_within_its_deadline() {
    let game = game().await;
    let began = Instant::now();
    game.fire(&CHUNK, 32);
    let call = game.client.invoke_server(&ECHO, &1);
    let early = call.timeout(Duration::from_secs(1)).into_future().await;
    assert!(
        matches!(early, Err(InvokeError::Timeout { .. })),
        "{early:?}"
    );
    assert!(began.elapsed() < Duration::from_millis(1100));
    let reply = game.client.invoke_server(&ECHO, &2).into_future().await;
    assert_eq!(reply, Ok(2));
    let took = began.elapsed();
    assert!(takes(32).contains(&took), "{took:?}");
    assert!(game.seen.all().into_iter().eq(0..32));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_read_to_the_end_at_the_same_pace() {
    let game = game().await;
    game.fire(&BULK, 16);
    game.client.leave().await;
    assert!(game.seen.wait(16).await.into_iter().eq(0..16));
    game.player.left().await;
    game.assert_all_were_dispatched("Bulk", 16);
}

#[tokio::test(start_paused = true)]
async fn what_was_idle_has_its_burst_and_no_more() {
    let game = game().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    game.fire(&BULK, 1);
    game.seen.wait(1).await;
    assert!(began.elapsed() < Duration::from_millis(50));
    game.fire(&BULK, 15);
    game.seen.wait(16).await;
    let took = began.elapsed();
    assert!(takes(16).contains(&took), "{took:?}");
}
