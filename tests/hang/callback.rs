//! Calls that go on with a callback: nobody awaits them, and they end all the same, once each.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use farfire::{BusyScope, Client, InvokeError, Limits, RemoteFunction, Stage};
use tokio::time::Instant;

use crate::{
    log::Log,
    sim::{ASK, Sim, TICK, idle, ms, settle, timed_out, until},
};

type Heard = Arc<Mutex<Vec<(Result<u32, InvokeError>, std::time::Duration)>>>;

/// Calls with a callback that notes what it hears, and when.
fn call(client: &Client, n: u32, timeout: u64, heard: &Heard) {
    let (heard, began) = (heard.clone(), Instant::now());
    let call = client.invoke_server(&ASK, &n).timeout(ms(timeout));
    call.then(move |result| heard.lock().unwrap().push((result, began.elapsed())));
}

#[tokio::test(start_paused = true)]
async fn a_callback_hears_by_its_deadline_wherever_the_call_is() {
    let mut limits = Limits::default();
    (limits.calls_in_flight, limits.calls_waiting) = (1, 1);
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, _| pending::<u32>());
    let client = sim.client(None).limits(limits).connect().await.unwrap();
    let heard = Heard::default();
    call(&client, 1, 300, &heard);
    settle().await;
    call(&client, 2, 100, &heard);
    call(&client, 3, 100, &heard);
    settle().await;
    until(ms(500), || heard.lock().unwrap().len() == 3).await;
    settle().await;
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    let busy = InvokeError::Busy {
        scope: BusyScope::LocalQueue,
        retry_after: None,
    };
    assert_eq!(heard[0].0, Err(busy), "there is no place for it in line");
    timed_out(&heard[1], ms(100), Stage::Admit);
    timed_out(&heard[2], ms(300), Stage::Wait);
    idle(&client.stats());
}

#[tokio::test(start_paused = true)]
async fn a_callback_hears_of_the_end_of_the_connection_and_after_it() {
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, _| pending::<u32>());
    let (client, player) = sim.join().await;
    let heard = Heard::default();
    (0..5).for_each(|n| call(&client, n, 9000, &heard));
    settle().await;
    sim.server.kick(&player, "enough");
    until(ms(200), || heard.lock().unwrap().len() == 5).await;
    call(&client, 6, 9000, &heard);
    until(TICK, || heard.lock().unwrap().len() == 6).await;
    for (result, _) in heard.lock().unwrap().iter() {
        let gone = matches!(result, Err(InvokeError::Disconnected { .. }));
        assert!(gone, "{result:?}");
    }
}

/// The answer and the deadline come at the same time, a thousand times.
#[tokio::test(start_paused = true)]
async fn a_callback_runs_once_whoever_is_first() {
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, n| async move {
        tokio::time::sleep(ms(u64::from(n))).await;
        n
    });
    let (client, _player) = sim.join().await;
    let heard = Heard::default();
    for round in 1..=100 {
        (95..105).for_each(|n| call(&client, n, 100, &heard));
        until(ms(300), || heard.lock().unwrap().len() == round * 10).await;
    }
    settle().await;
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 1000);
    let answered = heard.iter().filter(|(result, _)| result.is_ok()).count();
    assert!((1..1000).contains(&answered), "{answered}");
    idle(&client.stats());
}

/// Each call is made in the callback of the one before, more at a time than may be in flight.
#[tokio::test(start_paused = true)]
async fn callbacks_that_call_again_all_have_their_turn() {
    fn next(client: Client, left: Arc<AtomicUsize>) {
        let take = |left: usize| left.checked_sub(1);
        if left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
        {
            let again = client.clone();
            client.invoke_server(&ASK, &1).then(move |result| {
                assert_eq!(result, Ok(2));
                next(again, left);
            });
        }
    }
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, n| n + 1);
    let mut limits = Limits::default();
    limits.calls_in_flight = 4;
    let client = sim.client(None).limits(limits).connect().await.unwrap();
    let left = Arc::new(AtomicUsize::new(2000));
    (0..16).for_each(|_| next(client.clone(), left.clone()));
    // Whoever awaits has a turn among them.
    assert_eq!(client.invoke_server(&ASK, &7).await, Ok(8));
    until(ms(9000), || Arc::strong_count(&left) == 1).await;
    assert_eq!(left.load(Ordering::SeqCst), 0);
    idle(&client.stats());
}

/// One that calls again whenever its call fails has the next failure at once, and is not to keep the thread
/// from anybody else.
#[test]
fn callbacks_that_call_in_vain_keep_nobody_waiting() {
    fn again(client: Client, stop: Arc<AtomicBool>, done: mpsc::Sender<()>) {
        let next = client.clone();
        client.invoke_server(&ASK, &1).then(move |result| {
            assert!(matches!(result, Err(InvokeError::Disconnected { .. })));
            match stop.load(Ordering::SeqCst) {
                true => done.send(()).unwrap(),
                false => again(next, stop, done),
            }
        });
    }
    let program = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = program.block_on(crate::busy::world());
    server.on_server_invoke(&ASK, |_, n| n);
    let network = farfire::Network::new().unwrap();
    let join = || {
        let trust = farfire::tls::Trust::pinned([server.pin()]);
        let address = server.local_addr().to_string();
        let client = Client::builder(address, trust).network(&network);
        client.connect_blocking().unwrap()
    };
    drop(client);
    let (leaver, stayer) = (join(), join());
    leaver.leave_blocking();
    let stop = Arc::<AtomicBool>::default();
    let (done, over) = mpsc::channel();
    again(leaver, stop.clone(), done);
    for n in 0..20 {
        assert_eq!(stayer.invoke_server(&ASK, &n).blocking(), Ok(n));
    }
    stop.store(true, Ordering::SeqCst);
    over.recv_timeout(std::time::Duration::from_secs(30))
        .unwrap();
}

/// The network's thread ends with its last handle, and not before what is still to run there.
#[test]
fn callbacks_run_though_the_client_is_dropped_at_once() {
    let program = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = program.block_on(crate::busy::world());
    server.on_server_invoke(&ASK, |_, _| pending::<u32>());
    drop(client);
    for leaves in [false, true] {
        let trust = farfire::tls::Trust::pinned([server.pin()]);
        let address = server.local_addr().to_string();
        let client = Client::builder(address, trust).connect_blocking().unwrap();
        if leaves {
            client.leave_blocking();
        }
        let (heard, hears) = mpsc::channel();
        for n in 0..64 {
            let heard = heard.clone();
            let call = client.invoke_server(&ASK, &n);
            call.then(move |result| heard.send(result.is_err()).unwrap());
        }
        drop((client, heard));
        for at in 0..64 {
            let next = hears.recv_timeout(std::time::Duration::from_secs(30));
            assert_eq!(next, Ok(true), "callback {at}");
        }
    }
}

/// H29: the log is the program's, and what it says of a result comes before the callback.
#[tokio::test(start_paused = true)]
async fn a_callback_runs_whatever_the_log_makes_of_its_result() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    #[serde(try_from = "u32")]
    struct Small(u8);
    impl TryFrom<u32> for Small {
        type Error = std::num::TryFromIntError;
        fn try_from(number: u32) -> Result<Self, Self::Error> {
            number.try_into().map(Self)
        }
    }
    const SMALL: RemoteFunction<u32, Small> = RemoteFunction::new("Ask");
    let sim = Sim::new();
    sim.server.on_server_invoke(&ASK, |_, _| u32::MAX);
    let (client, _player) = sim.join().await;
    let heard = Arc::<Mutex<Vec<_>>>::default();
    let hears = heard.clone();
    let _logged = Log::panicking_at("does not decode").listen();
    client
        .invoke_server(&SMALL, &1)
        .then(move |result| hears.lock().unwrap().push(result));
    until(ms(100), || heard.lock().unwrap().len() == 1).await;
    let result = heard.lock().unwrap().pop().unwrap();
    assert!(
        matches!(result, Err(InvokeError::Decode { .. })),
        "{result:?}"
    );
    assert!(client.is_connected());
}
