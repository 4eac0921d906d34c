//! Network threads end with what they were made for. In a process of its own, as it counts them.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    sync::mpsc,
    time::{Duration, Instant},
};

use farfire::{
    Client, ClientBuilder, Network, RemoteEvent, RemoteFunction, Server, StartError, Timeouts,
    tls::{Identity, Trust},
};
use tokio::sync::Mutex;

/// Threads are counted per process: one test at a time.
static TURN: Mutex<()> = Mutex::const_new(());
const HI: RemoteEvent<()> = RemoteEvent::new("Hi");
const ASK: RemoteFunction<(), ()> = RemoteFunction::new("Ask");

/// Design 3: dropping the last handle ends the threads, whatever came before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_end_with_the_last_handle() {
    let _turn = TURN.lock().await;
    assert_eq!(threads(), 0);

    // A server and a client, which leaves by itself.
    let server = serve();
    let client = within(client(&server, "Ada").connect()).await.unwrap();
    assert!(threads() >= 2, "one each at least");
    drop(client);
    drop(server);
    all_end("dropped").await;

    // The server first.
    let server = serve();
    let client = within(self::client(&server, "Ada").connect())
        .await
        .unwrap();
    drop(server);
    within(client.disconnected()).await;
    drop(client);
    all_end("server dropped first").await;

    // The long way.
    let server = serve();
    let client = within(self::client(&server, "Ada").connect())
        .await
        .unwrap();
    within(client.leave()).await;
    within(server.shutdown()).await;
    within(server.shutdown()).await;
    drop((client, server));
    all_end("left and shut down").await;

    // Handlers that hold what holds them.
    let server = serve();
    let client = within(self::client(&server, "Ada").connect())
        .await
        .unwrap();
    let (this, that) = (server.clone(), client.clone());
    server.on_server_event(&HI, move |_, ()| _ = &this);
    client.on_client_event(&HI, move |()| _ = &that);
    within(server.shutdown()).await;
    within(client.disconnected()).await;
    drop((client, server));
    all_end("cycles").await;

    // Callbacks of calls that are answered, too late, and not in line at all.
    let server = serve();
    server.on_server_invoke(&ASK, |_, ()| {});
    let client = within(self::client(&server, "Ada").connect())
        .await
        .unwrap();
    let (heard, hears) = mpsc::channel();
    let ask = |timeout| {
        let heard = heard.clone();
        let call = client.invoke_server(&ASK, &()).timeout(timeout);
        call.then(move |result| heard.send(result.is_ok()).unwrap());
    };
    ask(Duration::from_secs(9));
    assert!(hears.recv().unwrap());
    ask(Duration::ZERO);
    let _ = hears.recv().unwrap();
    within(client.leave()).await;
    ask(Duration::from_secs(9));
    assert!(!hears.recv().unwrap());
    drop((client, server));
    all_end("callbacks").await;

    // A player that outlives its server.
    let server = serve();
    let client = within(self::client(&server, "Ada").connect())
        .await
        .unwrap();
    let player = server.player(client.local_player().id).unwrap();
    drop(server);
    within(player.left()).await;
    drop((client, player));
    all_end("a player kept").await;
}

/// Design 3: what did not come to be leaves no thread behind either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_end_with_what_failed_to_start() {
    let _turn = TURN.lock().await;
    let server = serve();
    let first = within(client(&server, "Ada").connect()).await.unwrap();
    // A thread and a timer each.
    until("started", || threads() == 4).await;
    for _ in 0..3 {
        within(client(&server, "Bob").connect()).await.unwrap_err();
    }
    let taken = server.local_addr().to_string();
    let second = Server::builder(taken, identity()).start();
    assert!(matches!(second, Err(StartError::Bind { .. })), "{second:?}");
    drop(second);
    let mut timeouts = Timeouts::default();
    timeouts.join = Duration::from_millis(100);
    let nobody = Client::builder("127.0.0.1:9", Trust::pinned([server.pin()])).timeouts(timeouts);
    within(nobody.connect()).await.unwrap_err();
    // Given up half way.
    drop(tokio::time::timeout(Duration::ZERO, client(&server, "Cy").connect()).await);
    until("refused, taken and unreachable", || threads() == 4).await;
    drop((first, server));
    all_end("after failures").await;
}

/// Design 3: a network that is shared ends with its last user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_end_with_the_last_user_of_a_network() {
    let _turn = TURN.lock().await;
    let network = Network::builder().threads(3).build().unwrap();
    // Three and a timer; a thread has its name a moment after it was started.
    until("started", || threads() == 4).await;
    let server = Server::builder("127.0.0.1:0", identity())
        .network(&network)
        .start()
        .unwrap();
    let mut clients = Vec::new();
    for at in 0..4 {
        let client = client(&server, &at.to_string()).network(&network);
        clients.push(within(client.connect()).await.unwrap());
    }
    assert_eq!(threads(), 4, "nobody makes threads of their own");
    drop(network);
    within(clients[0].leave()).await;
    assert_eq!(threads(), 4, "the others still use it");
    drop(clients);
    drop(server);
    all_end("shared").await;
}

fn identity() -> Identity {
    Identity::self_signed(["localhost"]).unwrap()
}

fn serve() -> Server {
    Server::builder("127.0.0.1:0", identity())
        .max_players(1)
        .remotes(&[&HI])
        .start()
        .unwrap()
}

fn client(server: &Server, name: &str) -> ClientBuilder {
    let trust = Trust::pinned([server.pin()]);
    Client::builder(server.local_addr().to_string(), trust).name(name)
}

/// The threads of this process that farfire made for networks.
fn threads() -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("farfire-net") || name.starts_with("farfire-timer"))
        .count()
}

async fn all_end(after: &str) {
    until(after, || threads() == 0).await;
}

/// The end of a thread tells nobody, so it is looked for.
async fn until(after: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        let left = threads();
        assert!(began.elapsed() < PATIENCE, "{after}: {left} threads left");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("to be done by now")
}

const PATIENCE: Duration = Duration::from_secs(20);
