//! When the connection ends, its calls end at once, long before their timeouts.

use std::time::Duration;

use farfire::{Delivery, DisconnectReason, InvokeError, Limits, RemoteFunction, Stage};

use super::{made, making};
use crate::world::{Gate, Notes, World, until, within};

const WAIT: RemoteFunction<u32, u32> = RemoteFunction::new("Wait");

/// Far beyond what the tests wait for anything.
const MINUTE: Duration = Duration::from_secs(60);

fn disconnected(stage: Stage, reason: DisconnectReason) -> Result<u32, InvokeError> {
    Err(InvokeError::Disconnected { stage, reason })
}

/// A handler that never answers, and notes down that it was asked.
fn never(notes: &Notes<u32>) -> impl Fn(u32) -> std::future::Pending<u32> + Send + Sync + 'static {
    let notes = notes.clone();
    move |n| {
        notes.push(n);
        std::future::pending()
    }
}

/// R58, H13: calls to a client that leaves fail at once.
#[tokio::test]
async fn a_call_to_a_client_that_leaves_fails_at_once() {
    let world = World::with(|server| server.remotes(&[&WAIT]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::new();
    ada.on_client_invoke(&WAIT, never(&notes));
    let call = world.server.invoke_client(&player, &WAIT, &1);
    let call = making(call.timeout(MINUTE));
    notes.wait(1).await;
    within(ada.leave()).await;
    let result = within(call).await.unwrap();
    assert_eq!(result, disconnected(Stage::Wait, DisconnectReason::Left));
    let error = result.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert!(!error.is_retry_safe());
}

/// H13: the same when the client's program just drops it.
#[tokio::test]
async fn a_call_to_a_client_that_is_dropped_fails_at_once() {
    let world = World::with(|server| server.remotes(&[&WAIT]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::new();
    ada.on_client_invoke(&WAIT, never(&notes));
    let call = world.server.invoke_client(&player, &WAIT, &1);
    let call = making(call.timeout(MINUTE));
    notes.wait(1).await;
    drop(ada);
    let result = within(call).await.unwrap();
    assert_eq!(result, disconnected(Stage::Wait, DisconnectReason::Left));
}

/// H13: calls to the server fail at once when it removes the player, with the reason; those that
/// wait in line as well, and they were not sent.
#[tokio::test]
async fn calls_of_a_player_that_is_kicked_fail_at_once() {
    let mut limits = Limits::default();
    limits.calls_in_flight = 1;
    let world = World::with(|server| server.remotes(&[&WAIT]));
    let notes = Notes::new();
    let handler = never(&notes);
    world.server.on_server_invoke(&WAIT, move |_, n| handler(n));
    let ada = within(world.client("Ada").limits(limits).connect())
        .await
        .unwrap();
    let player = world.player(&ada).await;
    let sent = making(ada.invoke_server(&WAIT, &1).timeout(MINUTE));
    notes.wait(1).await;
    let in_line = making(ada.invoke_server(&WAIT, &2).timeout(MINUTE));
    until(|| ada.stats().queued_calls == 1).await;
    player.kick("out");
    let kicked = || DisconnectReason::Kicked {
        message: "out".into(),
    };
    let sent = within(sent).await.unwrap();
    assert_eq!(sent, disconnected(Stage::Wait, kicked()));
    let in_line = within(in_line).await.unwrap();
    assert_eq!(in_line, disconnected(Stage::Admit, kicked()));
    assert_eq!(in_line.unwrap_err().delivery(), Delivery::NotSent);
    assert_eq!(notes.all(), [1]);
}

/// H13, H37: both directions, when the server stops.
#[tokio::test]
async fn calls_fail_at_once_when_the_server_stops() {
    let world = World::with(|server| server.remotes(&[&WAIT]));
    let (ada, player) = within(world.join("Ada")).await;
    let notes = Notes::new();
    let handler = never(&notes);
    world.server.on_server_invoke(&WAIT, move |_, n| handler(n));
    ada.on_client_invoke(&WAIT, never(&notes));
    let up = making(ada.invoke_server(&WAIT, &1).timeout(MINUTE));
    let down = world.server.invoke_client(&player, &WAIT, &2);
    let down = making(down.timeout(MINUTE));
    notes.wait(2).await;
    within(world.server.shutdown()).await;
    let expected = disconnected(Stage::Wait, DisconnectReason::Shutdown);
    assert_eq!(within(up).await.unwrap(), expected);
    assert_eq!(within(down).await.unwrap(), expected);
}

/// H13: the same when the program drops the server's last handle.
#[tokio::test]
async fn calls_fail_at_once_when_the_server_is_dropped() {
    let World { server } = World::with(|server| server.remotes(&[&WAIT]));
    let world = World { server };
    let (ada, _) = within(world.join("Ada")).await;
    let notes = Notes::new();
    let handler = never(&notes);
    world.server.on_server_invoke(&WAIT, move |_, n| handler(n));
    let up = making(ada.invoke_server(&WAIT, &1).timeout(MINUTE));
    notes.wait(1).await;
    drop(world);
    let expected = disconnected(Stage::Wait, DisconnectReason::Shutdown);
    assert_eq!(within(up).await.unwrap(), expected);
}

/// Design 5: at once when the connection is known to be gone; such a call is safe to repeat.
#[tokio::test]
async fn a_call_after_the_end_fails_at_once_and_was_not_sent() {
    let world = World::with(|server| server.remotes(&[&WAIT]));
    let (ada, player) = within(world.join("Ada")).await;
    within(ada.leave()).await;
    within(player.left()).await;
    let up = made(ada.invoke_server(&WAIT, &1).timeout(MINUTE)).await;
    let down = world.server.invoke_client(&player, &WAIT, &1);
    let down = made(down.timeout(MINUTE)).await;
    for result in [up, down] {
        assert_eq!(result, disconnected(Stage::Admit, DisconnectReason::Left));
        let error = result.unwrap_err();
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(error.is_retry_safe());
    }
}

/// The reason is the true one from the first moment on, not only when the end is complete.
#[tokio::test]
async fn a_call_to_a_player_that_is_being_kicked_names_the_reason() {
    let world = World::with(|server| server.remotes(&[&WAIT]));
    let (_ada, player) = within(world.join("Ada")).await;
    player.kick("out");
    let call = world.server.invoke_client(&player, &WAIT, &1);
    let message = "out".into();
    let expected = disconnected(Stage::Admit, DisconnectReason::Kicked { message });
    assert_eq!(made(call.timeout(MINUTE)).await, expected);
}

/// R63: the caller leaves, the handler runs to its end, and its reply is nobody's.
#[tokio::test]
async fn a_servers_handler_runs_to_its_end_though_the_caller_leaves() {
    let world = World::with(|server| server.remotes(&[&WAIT]));
    let (gate, notes) = (Gate::new(), Notes::new());
    let (wait, seen) = (gate.clone(), notes.clone());
    world.server.on_server_invoke(&WAIT, move |player, _| {
        let (gate, notes) = (wait.clone(), seen.clone());
        async move {
            notes.push(format!("{player} calls"));
            gate.pass().await;
            notes.push(format!("{player} is served: {}", player.is_connected()));
            1
        }
    });
    let (ada, player) = within(world.join("Ada")).await;
    let call = making(ada.invoke_server(&WAIT, &1).timeout(MINUTE));
    notes.wait(1).await;
    within(ada.leave()).await;
    within(player.left()).await;
    let result = within(call).await.unwrap();
    assert_eq!(result, disconnected(Stage::Wait, DisconnectReason::Left));
    gate.open();
    let all = notes.wait(2).await;
    assert_eq!(all, ["Ada calls", "Ada is served: false"]);
}

/// H28: every player called yields one outcome, leavers at once, with one deadline for each.
#[tokio::test]
async fn calling_several_clients_yields_one_outcome_for_each() {
    const VOTE: RemoteFunction<(), bool> =
        RemoteFunction::new("Vote").timeout(Duration::from_millis(1500));
    let world = World::with(|server| server.remotes(&[&VOTE]));
    let (quick, p1) = within(world.join("quick")).await;
    let (leaver, p2) = within(world.join("leaver")).await;
    let (mute, p3) = within(world.join("mute")).await;
    let (gone, p4) = within(world.join("gone")).await;
    within(gone.leave()).await;
    within(p4.left()).await;
    let notes = Notes::new();
    quick.on_client_invoke(&VOTE, |()| true);
    let asked = notes.clone();
    leaver.on_client_invoke(&VOTE, move |()| {
        asked.push("asked");
        std::future::pending::<bool>()
    });
    let players = [p1.clone(), p2.clone(), p3.clone(), p4.clone()];
    let mut votes = world.server.invoke_clients(&players, &VOTE, &());
    let mut outcomes = Vec::new();
    let leaving = async {
        notes.wait(1).await;
        leaver.leave().await
    };
    let gathering = async {
        while let Some(outcome) = votes.next().await {
            outcomes.push(outcome);
        }
    };
    within(async { tokio::join!(leaving, gathering) }).await;
    assert!(votes.next().await.is_none());
    assert_eq!(outcomes.len(), 4);
    let outcome = |player| {
        let mut of_player = outcomes.iter().filter(|(other, _)| other == player);
        let (_, result) = of_player.next().unwrap();
        assert!(of_player.next().is_none(), "two outcomes for one player");
        result.clone()
    };
    assert_eq!(outcome(&p1), Ok(true));
    for (player, stage) in [(&p2, Stage::Wait), (&p4, Stage::Admit)] {
        let reason = DisconnectReason::Left;
        let expected = Err(InvokeError::Disconnected { stage, reason });
        assert_eq!(outcome(player), expected);
    }
    assert!(matches!(outcome(&p3), Err(InvokeError::Timeout { .. })));
    // The last of all: nobody waited for the one who never answers.
    assert_eq!(outcomes.last().unwrap().0, p3);
    drop(mute);
}
