//! A caller may stop waiting: by its deadline, or by dropping the call.

use std::time::Duration;

use farfire::{Client, Delivery, InvokeError, Limits, RemoteFunction, Stage, Timeouts};

use super::{made, making};
use crate::world::{Gate, Notes, World, until, within};

const SAVE: RemoteFunction<(), ()> = RemoteFunction::new("Save");
const READ: RemoteFunction<(), ()> = RemoteFunction::new("Read").cancellable();
const COUNT: RemoteFunction<u32, u32> = RemoteFunction::new("Count");

/// Notes down when it is dropped, which a handler that was stopped does half way.
struct Stopped(Notes<&'static str>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.push("stopped");
    }
}

/// A handler that waits at the gate, and what becomes of it.
fn waiting(
    gate: &Gate,
    notes: &Notes<&'static str>,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static {
    let (gate, notes) = (gate.clone(), notes.clone());
    move || {
        let (gate, notes) = (gate.clone(), notes.clone());
        Box::pin(async move {
            let stopped = Stopped(notes.clone());
            notes.push("began");
            gate.pass().await;
            notes.push("done");
            std::mem::forget(stopped);
        })
    }
}

/// Makes the call, and drops it when the handler has begun.
async fn make_and_drop(ada: &Client, call: &RemoteFunction<(), ()>, notes: &Notes<&'static str>) {
    let call = made(ada.invoke_server(call, &()));
    tokio::select! {
        result = call => panic!("nobody answers, but: {result:?}"),
        _ = notes.wait(1) => {}
    }
}

/// Design 5, R63: a client must not be able to stop a purchase half way.
#[tokio::test]
async fn a_servers_handler_runs_to_its_end_though_the_call_is_dropped() {
    let world = World::with(|server| server.remotes(&[&SAVE]));
    let (gate, notes) = (Gate::new(), Notes::new());
    let handler = waiting(&gate, &notes);
    world.server.on_server_invoke(&SAVE, move |_, ()| handler());
    let (ada, player) = within(world.join("Ada")).await;
    make_and_drop(&ada, &SAVE, &notes).await;
    // The server knows that nobody waits: the stream is gone.
    until(|| player.stats().serving_calls == 0).await;
    assert_eq!(notes.all(), ["began"]);
    gate.open();
    assert_eq!(notes.wait(2).await, ["began", "done"]);
}

/// Design 5: pure reads may say that they can be stopped.
#[tokio::test]
async fn a_servers_handler_is_stopped_if_the_function_is_cancellable() {
    let world = World::with(|server| server.remotes(&[&READ]));
    let (gate, notes) = (Gate::new(), Notes::new());
    let handler = waiting(&gate, &notes);
    world.server.on_server_invoke(&READ, move |_, ()| handler());
    let (ada, _) = within(world.join("Ada")).await;
    make_and_drop(&ada, &READ, &notes).await;
    assert_eq!(notes.wait(2).await, ["began", "stopped"]);
}

/// Invocations 3.3: the server is trusted to stop what it asked a client to do.
#[tokio::test]
async fn a_clients_handler_is_stopped_when_the_server_gives_up() {
    let world = World::with(|server| server.remotes(&[&SAVE]));
    let (ada, player) = within(world.join("Ada")).await;
    let (gate, notes) = (Gate::new(), Notes::new());
    let handler = waiting(&gate, &notes);
    ada.on_client_invoke(&SAVE, move |()| handler());
    let call = world.server.invoke_client(&player, &SAVE, &());
    let error = made(call.timeout(Duration::from_millis(200))).await;
    assert!(
        matches!(error, Err(InvokeError::Timeout { .. })),
        "{error:?}"
    );
    assert_eq!(notes.wait(2).await, ["began", "stopped"]);

    let call = made(world.server.invoke_client(&player, &SAVE, &()));
    tokio::select! {
        result = call => panic!("nobody answers, but: {result:?}"),
        _ = notes.wait(3) => {}
    }
    assert_eq!(notes.wait(4).await[2..], ["began", "stopped"]);
}

/// Invocations 3.3: permits follow the handlers, so that a client cannot have more of them running
/// by giving up and calling again.
#[tokio::test]
async fn a_handler_that_nobody_waits_for_keeps_its_place() {
    let mut limits = Limits::default();
    limits.calls_running = 1;
    let world = World::with(|server| server.remotes(&[&SAVE, &COUNT]).limits(limits));
    let (gate, notes) = (Gate::new(), Notes::new());
    let handler = waiting(&gate, &notes);
    world.server.on_server_invoke(&SAVE, move |_, ()| handler());
    world.server.on_server_invoke(&COUNT, |_, n| n);
    let (ada, player) = within(world.join("Ada")).await;
    make_and_drop(&ada, &SAVE, &notes).await;
    until(|| player.stats().serving_calls == 0).await;
    let next = making(ada.invoke_server(&COUNT, &1));
    until(|| player.stats().serving_calls == 1).await;
    assert!(!next.is_finished());
    gate.open();
    assert_eq!(within(next).await.unwrap(), Ok(1));
}

/// Invocations 3.2: what the caller is told was not sent does not run, also not later.
#[tokio::test]
async fn a_call_that_times_out_in_line_never_runs() {
    let mut limits = Limits::default();
    limits.calls_in_flight = 1;
    let world = World::with(|server| server.remotes(&[&COUNT]));
    let (gate, notes) = (Gate::new(), Notes::new());
    let (wait, seen) = (gate.clone(), notes.clone());
    world.server.on_server_invoke(&COUNT, move |_, n| {
        seen.push(n);
        let gate = wait.clone();
        async move {
            gate.pass().await;
            n
        }
    });
    let ada = within(world.client("Ada").limits(limits).connect())
        .await
        .unwrap();
    let first = making(ada.invoke_server(&COUNT, &1));
    notes.wait(1).await;
    let second = ada.invoke_server(&COUNT, &2);
    let error = made(second.timeout(Duration::from_millis(50))).await;
    let error = error.unwrap_err();
    let InvokeError::Timeout { stage, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(stage, Stage::Admit);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert!(error.is_retry_safe());
    gate.open();
    assert_eq!(within(first).await.unwrap(), Ok(1));
    assert_eq!(made(ada.invoke_server(&COUNT, &3)).await, Ok(3));
    assert_eq!(notes.all(), [1, 3]);
}

/// H1: those who no longer wait take no place in the line.
#[tokio::test]
async fn a_line_of_callers_that_have_gone_is_not_full() {
    let mut limits = Limits::default();
    (limits.calls_in_flight, limits.calls_waiting) = (1, 1);
    let world = World::with(|server| server.remotes(&[&COUNT]));
    let (gate, notes) = (Gate::new(), Notes::new());
    let (wait, seen) = (gate.clone(), notes.clone());
    world.server.on_server_invoke(&COUNT, move |_, n| {
        seen.push(n);
        let gate = wait.clone();
        async move {
            gate.pass().await;
            n
        }
    });
    let ada = within(world.client("Ada").limits(limits).connect())
        .await
        .unwrap();
    let first = making(ada.invoke_server(&COUNT, &1));
    notes.wait(1).await;
    for n in 2..5 {
        let call = ada.invoke_server(&COUNT, &n);
        let error = made(call.timeout(Duration::from_millis(20))).await;
        assert!(
            matches!(error, Err(InvokeError::Timeout { .. })),
            "{error:?}"
        );
    }
    gate.open();
    assert_eq!(within(first).await.unwrap(), Ok(1));
}

/// H25: silly durations are held within what is allowed, and never panic.
#[tokio::test]
async fn no_timeout_is_too_short_or_too_long() {
    let mut timeouts = Timeouts::default();
    timeouts.call_max = Duration::from_millis(300);
    let world = World::with(|server| server.remotes(&[&COUNT, &SAVE]));
    world.server.on_server_invoke(&COUNT, |_, n| n);
    let ada = within(world.client("Ada").timeouts(timeouts).connect())
        .await
        .unwrap();
    for silly in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        // It is answered, or it is not; with next to no time nobody knows.
        let _ = made(ada.invoke_server(&COUNT, &1).timeout(silly)).await;
        let error = made(ada.invoke_server(&SAVE, &()).timeout(silly)).await;
        let Err(InvokeError::Timeout { elapsed, .. }) = error else {
            panic!("{error:?}");
        };
        let least = if silly == Duration::MAX { 300 } else { 1 };
        assert!(elapsed >= Duration::from_millis(least), "{elapsed:?}");
    }
    assert_eq!(
        made(ada.invoke_server(&COUNT, &1).timeout(Duration::MAX)).await,
        Ok(1)
    );
}

/// Design 5: without a word about it, the function's own timeout counts, then the configured one.
#[tokio::test]
async fn a_function_may_bring_its_own_timeout() {
    const HASTY: RemoteFunction<(), ()> =
        RemoteFunction::new("Hasty").timeout(Duration::from_millis(30));
    let mut timeouts = Timeouts::default();
    timeouts.invoke_server = Duration::from_millis(200);
    let world = World::with(|server| server.remotes(&[&HASTY, &SAVE]));
    let ada = within(world.client("Ada").timeouts(timeouts).connect())
        .await
        .unwrap();
    let elapsed = |result| match result {
        Err(InvokeError::Timeout { elapsed, .. }) => elapsed,
        other => panic!("{other:?}"),
    };
    let configured = elapsed(made(ada.invoke_server(&SAVE, &())).await);
    assert!(configured >= Duration::from_millis(200));
    assert!(elapsed(made(ada.invoke_server(&HASTY, &())).await) >= Duration::from_millis(30));
    let own = ada
        .invoke_server(&HASTY, &())
        .timeout(Duration::from_millis(90));
    assert!(elapsed(made(own).await) >= Duration::from_millis(90));
}
