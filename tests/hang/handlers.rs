//! Handlers that never return, panic, or call back.

use std::{
    future::IntoFuture,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use farfire::{
    Client, Delivery, InvokeError, Player, RemoteFunction, Stage,
    conditioner::{Conditioner, Conditions},
};
use futures_util::{FutureExt, future::join_all};

use crate::sim::{ASK, Sim, TICK, UNIT, at_once, idle, ms, settle, timed, timed_out, until};

/// H5: a client's handler never returns. It is stopped, and what it held comes back.
#[tokio::test(start_paused = true)]
async fn h05_a_clients_handler_that_never_returns() {
    let sim = Sim::new();
    let (client, player) = sim.join().await;
    let running = Arc::new(AtomicUsize::new(0));
    let counts = running.clone();
    client.on_client_invoke(&ASK, move |_| {
        let running = Running::new(&counts);
        async move {
            std::future::pending::<()>().await;
            drop(running);
            0
        }
    });
    client.on_client_invoke(&UNIT, |()| ());
    // Far more than there are streams and permits.
    for _ in 0..20 {
        let calls = (0..32).map(|_| {
            let call = sim.server.invoke_client(&player, &ASK, &1).timeout(ms(50));
            timed(call)
        });
        for outcome in join_all(calls).await {
            timed_out(&outcome, ms(50), Stage::Wait);
        }
    }
    settle().await;
    assert_eq!(running.load(Ordering::Relaxed), 0, "they are stopped");
    idle(&player.stats());
    idle(&client.stats());
    let honest = timed(sim.server.invoke_client(&player, &UNIT, &())).await;
    assert_eq!(honest.0, Ok(()));
    at_once(honest.1);
}

/// H5: a server's handler never returns. It runs on, so it keeps its permit; everything else comes
/// back, and other players notice nothing.
#[tokio::test(start_paused = true)]
async fn h05_a_servers_handler_that_never_returns() {
    let sim = Sim::new();
    let running = Arc::new(AtomicUsize::new(0));
    let counts = running.clone();
    sim.server.on_server_invoke(&ASK, move |_, n| {
        let running = Running::new(&counts);
        async move {
            if n == 1 {
                std::future::pending::<()>().await;
            }
            drop(running);
            n
        }
    });
    let (client, player) = sim.join().await;
    let (other, _) = sim.join().await;
    for _ in 0..10 {
        let calls = (0..32).map(|_| timed(client.invoke_server(&ASK, &1).timeout(ms(200))));
        for outcome in join_all(calls).await {
            timed_out(&outcome, ms(200), Stage::Wait);
        }
    }
    settle().await;
    assert_eq!(running.load(Ordering::Relaxed), 16, "never more at a time");
    idle(&player.stats());
    idle(&client.stats());
    assert_eq!(other.invoke_server(&ASK, &2).await, Ok(2));
}

/// H5: marked cancellable, it is stopped there as well.
#[tokio::test(start_paused = true)]
async fn h05_a_cancellable_handler_that_never_returns() {
    const READ: RemoteFunction<u32, u32> = RemoteFunction::new("Read").cancellable();
    let sim = Sim::with(|server| server.remotes(&[&READ]));
    let running = Arc::new(AtomicUsize::new(0));
    let counts = running.clone();
    sim.server.on_server_invoke(&READ, move |_, n| {
        let running = Running::new(&counts);
        async move {
            if n == 1 {
                std::future::pending::<()>().await;
            }
            drop(running);
            n
        }
    });
    let (client, player) = sim.join().await;
    for _ in 0..10 {
        let calls = (0..32).map(|_| timed(client.invoke_server(&READ, &1).timeout(ms(200))));
        for outcome in join_all(calls).await {
            timed_out(&outcome, ms(200), Stage::Wait);
        }
    }
    settle().await;
    assert_eq!(running.load(Ordering::Relaxed), 0);
    idle(&player.stats());
    assert_eq!(client.invoke_server(&READ, &2).await, Ok(2));
}

/// H14: a handler panics, before it first waits or after.
#[tokio::test(start_paused = true)]
async fn h14_a_panic_is_an_answer() {
    let sim = Sim::new();
    let (client, player) = sim.join().await;
    let before = |_: Player, _: u32| -> u32 { panic!("before") };
    let (result, took) = panicking(&sim, &client, &player, || {
        sim.server.on_server_invoke(&ASK, before);
        client.on_client_invoke(&ASK, |_| -> u32 { panic!("before") });
    })
    .await;
    assert_eq!(result, 200);
    assert!(took < ms(2000), "{took:?}");
    let (result, took) = panicking(&sim, &client, &player, || {
        sim.server.on_server_invoke(&ASK, |_, n| async move {
            assert_ne!(n, 1, "in the first step");
            n
        });
        client.on_client_invoke(&ASK, |n| async move {
            assert_ne!(n, 1, "in the first step");
            n
        });
    })
    .await;
    assert_eq!(result, 200);
    assert!(took < ms(2000), "{took:?}");
    let (result, took) = panicking(&sim, &client, &player, || {
        sim.server.on_server_invoke(&ASK, |_, n| async move {
            tokio::time::sleep(ms(10)).await;
            assert_ne!(n, 1, "after waiting");
            n
        });
        client.on_client_invoke(&ASK, |n| async move {
            tokio::time::sleep(ms(10)).await;
            assert_ne!(n, 1, "after waiting");
            n
        });
    })
    .await;
    assert_eq!(result, 200);
    assert!(took < ms(4000), "{took:?}");
    assert_eq!(client.invoke_server(&ASK, &2).await, Ok(2));
    assert_eq!(sim.server.invoke_client(&player, &ASK, &2).await, Ok(2));
}

/// A hundred calls each way, one after another; counts those that were answered with a panic.
async fn panicking(
    sim: &Sim,
    client: &Client,
    player: &Player,
    set: impl FnOnce(),
) -> (usize, Duration) {
    set();
    let (panicked, took) = timed(async {
        let mut panicked = 0;
        for _ in 0..100 {
            let up = client.invoke_server(&ASK, &1).into_future();
            let down = sim.server.invoke_client(player, &ASK, &1).into_future();
            for result in [up.await, down.await] {
                let error = result.unwrap_err();
                assert_eq!(error.delivery(), Delivery::Executed);
                panicked += usize::from(matches!(error, InvokeError::Panicked { .. }));
            }
        }
        panicked
    })
    .await;
    idle(&client.stats());
    settle().await;
    idle(&player.stats());
    (panicked, took)
}

/// H18: calls that call back, without end, are found out: the ninth within each other is not made.
#[tokio::test(start_paused = true)]
async fn h18_endless_recursion_ends_at_once_with_an_error_that_says_so() {
    let sim = Sim::new();
    let (client, player) = sim.join().await;
    let runs = Arc::<AtomicUsize>::default();
    let results = Arc::<Mutex<Vec<_>>>::default();
    let count = runs.clone();
    sim.server.on_server_invoke(&ASK, move |player, n| {
        count.fetch_add(1, Ordering::Relaxed);
        // Made in the handler itself, before there is a future.
        player
            .server()
            .invoke_client(&player, &ASK, &(n + 1))
            .into_future()
            .map(|result| result.map_err(|error| error.to_string()))
    });
    let (again, count, notes) = (client.clone(), runs.clone(), results.clone());
    client.on_client_invoke(&ASK, move |n| {
        count.fetch_add(1, Ordering::Relaxed);
        let (client, notes) = (again.clone(), notes.clone());
        async move {
            // Made in a task of the program's, where the handler goes on.
            tokio::task::yield_now().await;
            let result = client.invoke_server(&ASK, &(n + 1)).await;
            notes.lock().unwrap().push(result.clone());
            result.map_err(|error| error.to_string())
        }
    });
    // From either side: it is the handlers that count, not who begins.
    for from_server in [false, true] {
        let (result, took) = match from_server {
            false => timed(client.invoke_server(&ASK, &0)).await,
            true => timed(sim.server.invoke_client(&player, &ASK, &0)).await,
        };
        assert!(
            matches!(result, Err(InvokeError::Failed { .. })),
            "{result:?}"
        );
        at_once(took);
        assert_eq!(runs.swap(0, Ordering::Relaxed), 9);
    }
    let too_deep = InvokeError::TooDeep { limit: 8 };
    assert_eq!(too_deep.delivery(), Delivery::NotSent);
    // The deepest handler is the server's in the first run, and the client's in the second.
    let results = std::mem::take(&mut *results.lock().unwrap());
    let found = results
        .iter()
        .filter(|result| **result == Err(too_deep.clone()));
    assert_eq!(found.count(), 1, "{results:?}");
    settle().await;
    idle(&player.stats());
    idle(&client.stats());
}

/// H18: a client that hides how deep its calls are: here by making them in tasks of their own.
///
/// What bounds the depth then is that a handler keeps its permit while it waits: of each side's sixteen,
/// the innermost call waits for one until an outer one gives up. So such a program does not end by
/// itself, but costs its own player's permits and nothing more, and each of its calls ends by its
/// deadline.
#[tokio::test(start_paused = true)]
async fn h18_recursion_that_hides_takes_its_own_permits_and_no_more() {
    let sim = Sim::new();
    let conditioner = Conditioner::new(1);
    let far = Conditions::new(ms(25), 0.0);
    conditioner.set(far.clone(), far);
    let client = sim.client(Some(&conditioner)).connect().await.unwrap();
    let player = sim.server.players().remove(0);
    let (other, _) = sim.join().await;
    sim.server.on_server_invoke(&UNIT, |_, ()| ());
    let [here, there] = [(); 2].map(|()| Arc::<Depth>::default());
    let depth = here.clone();
    sim.server.on_server_invoke(&ASK, move |player, n| {
        let running = Deep::new(&depth);
        async move {
            let back = player.server().invoke_client(&player, &ASK, &(n + 1));
            let result = running.time(back.timeout(ms(3000))).await;
            result.map_err(|error| error.to_string())
        }
    });
    let (again, depth) = (client.clone(), there.clone());
    client.on_client_invoke(&ASK, move |n| {
        let (client, running) = (again.clone(), Deep::new(&depth));
        async move {
            let hidden = tokio::spawn(async move {
                let back = client.invoke_server(&ASK, &(n + 1));
                running.time(back.timeout(ms(3000))).await
            });
            let result = AbortOnDrop(hidden).await;
            result.map_err(|error| error.to_string())
        }
    });
    let call = client.invoke_server(&ASK, &1).timeout(ms(3000));
    timed_out(&timed(call).await, ms(3000), Stage::Wait);
    for _ in 0..20 {
        let (result, took) = timed(other.invoke_server(&UNIT, &())).await;
        assert_eq!(result, Ok(()));
        at_once(took);
        tokio::time::sleep(ms(500)).await;
    }
    for side in [&here, &there] {
        assert_eq!(
            side.most.load(Ordering::Relaxed),
            16,
            "as deep as permits go"
        );
        let longest = Duration::from_millis(side.longest.load(Ordering::Relaxed) as u64);
        assert!(longest <= ms(3000) + TICK, "{longest:?}");
    }
    // Whatever ends it ends all of it.
    client.on_client_invoke(&ASK, |n| n);
    let gone = || here.now.load(Ordering::Relaxed) + there.now.load(Ordering::Relaxed) == 0;
    until(ms(3300), gone).await;
    settle().await;
    idle(&player.stats());
    idle(&client.stats());
    assert_eq!(client.invoke_server(&ASK, &1).await, Ok(2));
}

/// H18: an honest ping-pong is not in the way of that.
#[tokio::test(start_paused = true)]
async fn h18_recursion_that_ends_is_answered() {
    let sim = Sim::new();
    let (client, _player) = sim.join().await;
    sim.server.on_server_invoke(&ASK, |player, n| async move {
        match n {
            0 => 0,
            n => {
                1 + player
                    .server()
                    .invoke_client(&player, &ASK, &(n - 1))
                    .await
                    .unwrap()
            }
        }
    });
    let again = client.clone();
    client.on_client_invoke(&ASK, move |n| {
        let client = again.clone();
        async move {
            match n {
                0 => 0,
                n => 1 + client.invoke_server(&ASK, &(n - 1)).await.unwrap(),
            }
        }
    });
    let (result, took) = timed(client.invoke_server(&ASK, &8)).await;
    assert_eq!(result, Ok(8));
    at_once(took);
}

/// H19: the handler of a player's call asks the same player something, and that is all there is to it.
#[tokio::test(start_paused = true)]
async fn h19_a_handler_calls_its_own_caller() {
    const CONFIRM: RemoteFunction<u32, bool> = RemoteFunction::new("Confirm");
    let sim = Sim::with(|server| server.remotes(&[&CONFIRM]));
    sim.server.on_server_invoke(&ASK, |player, n| async move {
        let confirmed = player.server().invoke_client(&player, &CONFIRM, &n).await;
        match confirmed {
            Ok(true) => Ok(n),
            Ok(false) => Err("then not".to_string()),
            Err(error) => Err(error.to_string()),
        }
    });
    let (client, _) = sim.join().await;
    client.on_client_invoke(&CONFIRM, |n| n < 50);
    // As many at once as run at all.
    let calls = (0..16).map(|n| client.invoke_server(&ASK, &(n * 5)).into_future());
    let (results, took) = timed(join_all(calls)).await;
    at_once(took);
    for (n, result) in results.into_iter().enumerate() {
        let n = n as u32 * 5;
        let message = "then not".into();
        let expected = match n < 50 {
            true => Ok(n),
            false => Err(InvokeError::Failed { message }),
        };
        assert_eq!(result, expected);
    }
}

/// How many handlers run, how many did at most, and the milliseconds that a call of theirs took at most.
#[derive(Default)]
struct Depth {
    now: AtomicUsize,
    most: AtomicUsize,
    longest: AtomicUsize,
}

struct Deep(Arc<Depth>);

impl Deep {
    fn new(depth: &Arc<Depth>) -> Self {
        let now = depth.now.fetch_add(1, Ordering::Relaxed) + 1;
        depth.most.fetch_max(now, Ordering::Relaxed);
        Self(depth.clone())
    }

    async fn time<F: IntoFuture>(&self, call: F) -> F::Output {
        let (output, took) = timed(call).await;
        let millis = took.as_millis() as usize;
        self.0.longest.fetch_max(millis, Ordering::Relaxed);
        output
    }
}

impl Drop for Deep {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that goes with whoever waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap())
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts itself while it lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
