//! What leaves without anybody else having to wake its connection. On virtual time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use farfire::{
    Client, Flush, RemoteEvent, RemoteFunction, Server, ServerBuilder,
    testing::SimNet,
    tls::{Identity, Trust},
};
use tokio::time::{Instant, sleep};

const NEWS: RemoteEvent<u32> = RemoteEvent::new("News").unordered();
const TELL: RemoteFunction<(), ()> = RemoteFunction::new("Tell");
const ADDRESS: &str = "10.0.0.1:4433";

async fn world(describe: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, Client) {
    let net = SimNet::new();
    let server = Server::builder(ADDRESS, Identity::self_signed(["sim"]).unwrap())
        .remotes(&[&NEWS, &TELL])
        .network(&net.network(None));
    let server = describe(server).start().unwrap();
    let client = Client::builder(ADDRESS, Trust::pinned([server.pin()]))
        .network(&net.network(None))
        .connect()
        .await
        .unwrap();
    (server, client)
}

/// Waits until `done`, for as long as `most`; says how long it took.
async fn until(most: Duration, done: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < most, "not within {most:?}");
        sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

/// The reply takes the broadcast along, of which an unordered event is for the driver to begin.
#[tokio::test(start_paused = true)]
async fn what_a_handler_tells_all_reaches_its_caller_at_once() {
    let (server, client) = world(|server| server).await;
    let heard = Arc::<AtomicUsize>::default();
    let hears = heard.clone();
    client.on_client_event(&NEWS, move |_| _ = hears.fetch_add(1, Ordering::SeqCst));
    server.on_server_invoke(&TELL, |player, ()| {
        player.server().fire_all_clients(&NEWS, &7).unwrap();
    });
    // Past the first ping, of which the next one is 5 s away.
    sleep(Duration::from_millis(700)).await;
    client.invoke_server(&TELL, &()).await.unwrap();
    until(Duration::from_millis(100), || {
        heard.load(Ordering::SeqCst) == 1
    })
    .await;
}

/// With `Flush::Tick` they leave with the next flush, also where there is nothing else to tell.
#[tokio::test(start_paused = true)]
async fn pings_of_a_server_that_ticks_are_answered() {
    let (server, client) = world(|server| server.flush(Flush::Tick)).await;
    let ticks = tokio::spawn(async move {
        loop {
            server.flush();
            sleep(Duration::from_millis(16)).await;
        }
    });
    until(Duration::from_millis(700), || {
        client.stats().data_ping.is_some()
    })
    .await;
    ticks.abort();
}
