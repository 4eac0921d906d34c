//! A server on a network in memory, its honest clients and its raw ones; and how calls are judged.

use std::{
    future::IntoFuture,
    net::SocketAddr,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use farfire::{
    Client, ClientBuilder, Delivery, InvokeError, LinkStats, Player, RemoteEvent, RemoteFunction,
    Server, ServerBuilder, Stage,
    conditioner::Conditioner,
    testing::SimNet,
    tls::{Identity, Trust},
};
use quinn::TransportConfig;
use tokio::time::Instant;

use crate::raw::{Place, RawClient, RawServer};

pub(crate) const ASK: RemoteFunction<u32, u32> = RemoteFunction::new("Ask");
pub(crate) const UNIT: RemoteFunction<(), ()> = RemoteFunction::new("Unit");
pub(crate) const BIG: RemoteFunction<Vec<u8>, Vec<u8>> = RemoteFunction::new("Big");
pub(crate) const NEWS: RemoteEvent<u32> = RemoteEvent::new("News");

/// A server in memory.
pub(crate) struct Sim {
    pub(crate) net: SimNet,
    pub(crate) server: Server,
    raw: AtomicU8,
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self::with(|server| server)
    }

    pub(crate) fn with(describe: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let net = SimNet::new();
        let server = Server::builder(SERVER, Identity::self_signed(["sim"]).unwrap())
            .remotes(&[&ASK, &UNIT, &BIG, &NEWS])
            .network(&net.network(None));
        let server = describe(server).start().unwrap();
        let raw = AtomicU8::new(0);
        Self { net, server, raw }
    }

    /// An honest client that has yet to connect.
    pub(crate) fn client(&self, conditioner: Option<&Conditioner>) -> ClientBuilder {
        Client::builder(SERVER, Trust::pinned([self.server.pin()]))
            .network(&self.net.network(conditioner))
    }

    /// An honest client.
    pub(crate) async fn join(&self) -> (Client, Player) {
        let client = self.client(None).connect().await.unwrap();
        let player = self.player(client.local_player().id.as_u64());
        (client, player)
    }

    /// A client without manners.
    pub(crate) async fn raw(&self, tune: impl FnOnce(&mut TransportConfig)) -> (RawClient, Player) {
        let number = self.raw.fetch_add(1, Ordering::Relaxed);
        let place = Place::Memory(&self.net, SocketAddr::from(([10, 0, 1, number], 5000)));
        let raw = RawClient::join(place, SERVER.parse().unwrap(), tune).await;
        let player = self.player(raw.id);
        (raw, player)
    }

    fn player(&self, id: u64) -> Player {
        let players = self.server.players();
        let player = players
            .into_iter()
            .find(|player| player.id().as_u64() == id);
        player.expect("a welcomed player is among the players")
    }
}

/// An honest client of a raw server, which knows the functions `Ask` (1), `Unit` (2) and `Big` (3).
pub(crate) async fn client_of_raw(
    net: &SimNet,
    tune: impl FnOnce(&mut TransportConfig),
) -> (Client, quinn::Connection, RawServer) {
    let raw = RawServer::start(Place::Memory(net, SERVER.parse().unwrap()), tune);
    let network = net.network(None);
    let client = Client::builder(SERVER, Trust::pinned([raw.pin])).network(&network);
    let (client, connection) = tokio::join!(client.connect(), raw.welcome(&["Ask", "Unit", "Big"]));
    (client.unwrap(), connection, raw)
}

/// Awaits a call, and says how long it took on the paused clock.
pub(crate) async fn timed<F: IntoFuture>(call: F) -> (F::Output, Duration) {
    let began = Instant::now();
    let output = tokio::time::timeout(FOR_EVER, call.into_future()).await;
    (output.expect("it hangs"), began.elapsed())
}

/// The call ended by its deadline, at `stage`, and says so.
#[track_caller]
pub(crate) fn timed_out<R: std::fmt::Debug>(
    (result, took): &(Result<R, InvokeError>, Duration),
    timeout: Duration,
    stage: Stage,
) {
    let Err(error) = result else {
        panic!("no timeout at {stage:?}, but {result:?}");
    };
    let InvokeError::Timeout { stage: at, elapsed } = error else {
        panic!("no timeout at {stage:?}, but {error:?}");
    };
    assert_eq!(*at, stage);
    in_time(*took, timeout);
    in_time(*elapsed, timeout);
    let not_sent = matches!(stage, Stage::Admit | Stage::Open | Stage::Send);
    let delivery = match not_sent {
        true => Delivery::NotSent,
        false => Delivery::Unknown,
    };
    assert_eq!(error.delivery(), delivery);
}

/// It took `timeout`, and no more than a timer's tick longer.
#[track_caller]
pub(crate) fn in_time(took: Duration, timeout: Duration) {
    assert!(took >= timeout, "{took:?} is too early for {timeout:?}");
    assert!(
        took <= timeout + TICK,
        "{took:?} is too late for {timeout:?}"
    );
}

/// It took no time but that of packets in memory and of timers for sending them.
#[track_caller]
pub(crate) fn at_once(took: Duration) {
    assert!(took <= AT_ONCE, "{took:?} is not at once");
}

/// Nothing of any call is left.
#[track_caller]
pub(crate) fn idle(stats: &LinkStats) {
    assert_eq!((stats.queued_calls, stats.serving_calls), (0, 0));
}

/// Waits on the paused clock until `done`, which it must be within `most`.
pub(crate) async fn until(most: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < most, "not within {most:?}");
        tokio::time::sleep(TICK).await;
    }
    began.elapsed()
}

/// Lets everything that can happen now happen.
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

/// Polls `future` for as long as everything takes to settle, and drops it.
pub(crate) async fn abandon<F: IntoFuture>(future: F, after: Duration) {
    let abandoned = tokio::time::timeout(after, future.into_future()).await;
    assert!(abandoned.is_err(), "it was over before it was dropped");
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const SERVER: &str = "10.0.0.1:4433";
/// Tokio's timers have a resolution of one millisecond, and round up.
pub(crate) const TICK: Duration = ms(2);
/// Ten times what any call may take; on the paused clock it is over at once.
const FOR_EVER: Duration = Duration::from_secs(600);
/// Acknowledgements may be held back for 25 ms.
const AT_ONCE: Duration = ms(60);
/// Longer than any acknowledgement is held back.
const SETTLE: Duration = ms(100);
