//! Threads that block, and callers that would.

use std::{
    future::IntoFuture,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use farfire::{
    Client, ConnectError, Delivery, Flush, InvokeError, Network, Server, Stage, Timeouts,
    tls::{Identity, Trust},
};

use crate::{
    log::Log,
    sim::{ASK, NEWS, Sim, UNIT, ms, settle},
};

/// H26: blocking where it would stall a runtime is refused, and nothing is sent.
#[tokio::test]
async fn h26_blocking_on_a_runtimes_thread_is_refused() {
    let (server, client) = world().await;
    let ran = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counts = ran.clone();
    server.on_server_invoke(&ASK, move |_, n| {
        counts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        n
    });
    let refused = client.invoke_server(&ASK, &1).blocking();
    assert_eq!(refused, Err(InvokeError::WouldBlock));
    assert_eq!(InvokeError::WouldBlock.delivery(), Delivery::NotSent);
    let address = server.local_addr().to_string();
    let joined = Client::builder(address, Trust::pinned([server.pin()])).connect_blocking();
    assert!(matches!(joined, Err(ConnectError::WouldBlock)));
    // Nor on the network's own thread, where it would wait for itself.
    let (send, received) = tokio::sync::oneshot::channel();
    let again = client.clone();
    client.invoke_server(&ASK, &2).then(move |result| {
        let refused = again.invoke_server(&ASK, &3).blocking();
        send.send((result, refused)).unwrap();
    });
    let (result, refused) = received.await.unwrap();
    assert_eq!(result, Ok(2));
    assert_eq!(refused, Err(InvokeError::WouldBlock));
    let plain = thread::spawn(move || client.invoke_server(&ASK, &4).blocking());
    assert_eq!(plain.join().unwrap(), Ok(4));
    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 2);
}

/// H27: handlers block every thread of the program's runtime. Callers elsewhere have their deadlines.
#[test]
fn h27_a_blocked_program_does_not_hold_its_callers() {
    let program = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (server, client) = program.block_on(world());
    let (release, gate) = crossing();
    let (begun, began) = mpsc::channel();
    server.on_server_invoke(&ASK, move |_, n| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            // Moves it to the program's runtime, where it then blocks.
            tokio::task::yield_now().await;
            begun.send(()).unwrap();
            gate.wait();
            n
        }
    });
    server.on_server_invoke(&UNIT, |_, ()| ());
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || blocking(&client, ms(300)))
        })
        .collect();
    began.recv_timeout(GUARD).unwrap();
    began.recv_timeout(GUARD).unwrap();
    for call in calls {
        timed_out(call.join().unwrap(), ms(300), Stage::Wait);
    }
    // The network runs elsewhere: what needs no program is answered still.
    let unit = thread::spawn({
        let client = client.clone();
        move || client.invoke_server(&UNIT, &()).blocking()
    });
    assert_eq!(unit.join().unwrap(), Ok(()));
    timed_out(blocking(&client, ms(200)), ms(200), Stage::Wait);
    release.open();
}

/// H27: the clock is not asked after each of many quick handlers. A log that adds up several of them says so.
#[tokio::test(start_paused = true)]
async fn h27_what_the_log_says_of_slow_handlers_is_true() {
    let log = Log::default();
    let _logged = log.listen();
    let sim = Sim::new();
    sim.server.on_server_event(&NEWS, |_, n| {
        // Quick at first, so that the clock is asked after one, two, four and eight of them.
        if n >= 1 + 2 + 4 {
            tokio::time::resume();
            thread::sleep(ms(2));
            tokio::time::pause();
        }
    });
    let client = sim.client(None).flush(Flush::Tick).connect();
    let client = client.await.unwrap();
    for n in 0..1 + 2 + 4 + 8 {
        client.fire_server(&NEWS, &n).unwrap();
    }
    client.flush();
    settle().await;
    let lines = log.with("blocked the network thread");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("remote=\"News\" count=8 took="),
        "{lines:?}"
    );
}

/// H27: a handler blocks the network thread itself, which it must not. Not even then does a call of
/// that very connection outlive its deadline.
#[test]
fn h27_a_blocked_network_thread_does_not_hold_its_callers() {
    let program = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = program.block_on(world());
    let (release, gate) = crossing();
    let (begun, began) = mpsc::channel();
    server.on_server_invoke(&UNIT, move |_, ()| {
        begun.send(()).unwrap();
        gate.wait();
    });
    let player = server.players().remove(0);
    client.invoke_server(&UNIT, &()).then(|_| {});
    began.recv_timeout(GUARD).unwrap();
    // From a thread without a runtime, and from one with.
    let began = Instant::now();
    let result = server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(250))
        .blocking();
    timed_out((result, began.elapsed()), ms(250), Stage::Admit);
    let call = server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(250))
        .into_future();
    let began = Instant::now();
    let result = program.block_on(call);
    timed_out((result, began.elapsed()), ms(250), Stage::Admit);
    timed_out(blocking(&client, ms(250)), ms(250), Stage::Wait);
    assert_eq!(player.stats().queued_calls, 0);
    release.open();
    client_answers(&server, &client);
}

/// H24, H27: nor does joining, on a network that somebody else's handler blocks.
#[test]
fn h27_a_blocked_network_thread_does_not_hold_a_connect() {
    let program = tokio::runtime::Runtime::new().unwrap();
    let (server, _client) = program.block_on(world());
    let network = Network::new().unwrap();
    let join = || {
        let mut timeouts = Timeouts::default();
        timeouts.join = ms(1500);
        let address = server.local_addr().to_string();
        Client::builder(address, Trust::pinned([server.pin()]))
            .network(&network)
            .timeouts(timeouts)
            .connect_blocking()
    };
    let first = join().unwrap();
    let (release, gate) = crossing();
    let (begun, began) = mpsc::channel();
    server.on_server_invoke(&UNIT, |_, ()| ());
    first.invoke_server(&UNIT, &()).then(move |_| {
        begun.send(()).unwrap();
        gate.wait();
    });
    began.recv_timeout(GUARD).unwrap();
    let began = Instant::now();
    let result = join();
    assert!(
        matches!(result, Err(ConnectError::JoinTimeout)),
        "{result:?}"
    );
    let took = began.elapsed();
    assert!(took >= ms(1500) && took < ms(4500), "{took:?}");
    release.open();
    assert!(join().is_ok());
}

fn client_answers(server: &Server, client: &Client) {
    client.on_client_invoke(&ASK, |n| n + 1);
    let player = server.players().remove(0);
    let call = server.invoke_client(&player, &ASK, &1).timeout(GUARD);
    assert_eq!(call.blocking(), Ok(2));
}

pub(crate) async fn world() -> (Server, Client) {
    let identity = Identity::self_signed(["localhost"]).unwrap();
    let server = Server::builder("127.0.0.1:0", identity)
        .remotes(&[&ASK, &UNIT])
        .start()
        .unwrap();
    let address = server.local_addr().to_string();
    let client = Client::builder(address, Trust::pinned([server.pin()]))
        .connect()
        .await
        .unwrap();
    (server, client)
}

fn blocking(client: &Client, timeout: Duration) -> (Result<u32, InvokeError>, Duration) {
    let began = Instant::now();
    let result = client.invoke_server(&ASK, &1).timeout(timeout).blocking();
    (result, began.elapsed())
}

#[track_caller]
fn timed_out(
    (result, took): (Result<u32, InvokeError>, Duration),
    timeout: Duration,
    stage: Stage,
) {
    let error = result.unwrap_err();
    let InvokeError::Timeout { stage: at, .. } = error else {
        panic!("{error:?}");
    };
    // The callee's deadline is at the same moment, and its answer may just be on its way through.
    let answering = matches!(at, Stage::Receive | Stage::Barrier | Stage::Decode);
    assert!(at == stage || stage == Stage::Wait && answering, "{at:?}");
    // How late exactly is measured elsewhere, against a canary; here the machine may be busy.
    assert!(took >= timeout && took < timeout + ms(2000), "{took:?}");
}

/// A gate that threads wait at until it is opened, at the latest when its opener is dropped.
fn crossing() -> (Opener, Gate) {
    let gate = Gate(std::sync::Arc::default());
    (Opener(gate.clone()), gate)
}

#[derive(Clone)]
struct Gate(std::sync::Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

struct Opener(Gate);

impl Opener {
    fn open(self) {}
}

impl Drop for Opener {
    fn drop(&mut self) {
        *self.0.0.0.lock().unwrap() = true;
        self.0.0.1.notify_all();
    }
}

/// Longer than anything here takes, even where both cores are busy.
const GUARD: Duration = Duration::from_secs(30);
