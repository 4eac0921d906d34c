//! Transports that die, with and without saying so.

use std::{future::IntoFuture, net::SocketAddr, time::Duration};

use farfire::{
    Delivery, DisconnectReason, InvokeError, Stage, Timeouts,
    conditioner::{Conditioner, Conditions},
};

use crate::sim::{ASK, SERVER, Sim, at_once, idle, ms, settle, timed, timed_out};

/// H9: a power cut. The call ends by its deadline, or when the idle timeout has noticed.
#[tokio::test(start_paused = true)]
async fn h09_a_power_cut() {
    let sim = Sim::new();
    let conditioner = Conditioner::new(1);
    let client = sim.client(Some(&conditioner)).connect().await.unwrap();
    let player = sim.server.players().remove(0);
    client.on_client_invoke(&ASK, |n| n);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(1));
    let nothing = Conditions::new(Duration::ZERO, 1.0);
    conditioner.set(nothing.clone(), nothing);
    let long = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    let long = tokio::spawn(timed(long));
    let from_there = client.invoke_server(&ASK, &1).timeout(ms(60_000));
    let from_there = tokio::spawn(timed(from_there));
    let short = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(1500));
    timed_out(&timed(short).await, ms(1500), Stage::Wait);
    for (result, took) in [long.await.unwrap(), from_there.await.unwrap()] {
        let error = result.unwrap_err();
        let timed_out = InvokeError::Disconnected {
            stage: Stage::Wait,
            reason: DisconnectReason::TimedOut,
        };
        assert_eq!(error, timed_out);
        assert_eq!(error.delivery(), Delivery::Unknown);
        let Timeouts {
            idle, keep_alive, ..
        } = Timeouts::default();
        assert!(took < idle + keep_alive, "{took:?}");
    }
    assert_eq!(player.left().await, DisconnectReason::TimedOut);
    idle(&player.stats());
}

/// H11: quinn's task is dead, and its timers with it; the deadline is the caller's own.
#[tokio::test(start_paused = true)]
async fn h11_a_dead_driver_does_not_hold_a_call() {
    let sim = Sim::new();
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |n| n);
    assert_eq!(sim.server.invoke_client(&player, &ASK, &1).await, Ok(1));
    sim.net.break_sends(sim.server.local_addr());
    for timeout in [1, 100, 3000] {
        let call = sim
            .server
            .invoke_client(&player, &ASK, &1)
            .timeout(ms(timeout));
        let (result, took) = timed(call).await;
        timed_out(&(result, took), ms(timeout), Stage::Wait);
    }
    idle(&player.stats());
    // Nothing of QUIC's will ever end the connection; farfire's own watch does.
    let (reason, took) = timed(player.left()).await;
    assert_eq!(reason, DisconnectReason::TimedOut);
    assert!(took < Timeouts::default().idle * 3, "{took:?}");
    assert!(sim.server.players().is_empty(), "its place is free");
    let (result, took) = timed(sim.server.invoke_client(&player, &ASK, &1)).await;
    let gone = InvokeError::Disconnected {
        stage: Stage::Admit,
        reason: DisconnectReason::TimedOut,
    };
    assert_eq!(result, Err(gone));
    at_once(took);
}

/// H11, at the client: and it can still leave.
#[tokio::test(start_paused = true)]
async fn h11_a_dead_driver_at_the_client() {
    let sim = Sim::new();
    let (client, player) = sim.join().await;
    let (other, _) = sim.join().await;
    sim.net.break_sends(player.address());
    let call = client.invoke_server(&ASK, &1).timeout(ms(700));
    timed_out(&timed(call).await, ms(700), Stage::Wait);
    idle(&client.stats());
    let (_, took) = timed(client.leave()).await;
    assert!(took <= ms(1010), "{took:?}");
    let (reason, took) = timed(player.left()).await;
    assert_eq!(reason, DisconnectReason::TimedOut);
    assert!(took < Duration::from_secs(14), "{took:?}");
    assert!(other.is_connected());
}

/// H11: shutting down with dead drivers is bounded as well.
#[tokio::test(start_paused = true)]
async fn h11_a_shutdown_with_a_dead_driver() {
    let sim = Sim::new();
    let (_client, player) = sim.join().await;
    sim.net.break_sends(SERVER.parse().unwrap());
    let call = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    let call = tokio::spawn(timed(call));
    settle().await;
    let ((), took) = timed(sim.server.shutdown()).await;
    assert!(took <= ms(2500), "{took:?}");
    let (result, took) = call.await.unwrap();
    let error = result.unwrap_err();
    assert!(
        matches!(error, InvokeError::Disconnected { .. }),
        "{error:?}"
    );
    assert!(took <= ms(2500), "{took:?}");
}

/// H12: the endpoint's task dies with an error of the socket; that is known at once.
#[tokio::test(start_paused = true)]
async fn h12_a_dead_endpoint_ends_its_calls_at_once() {
    for at_the_server in [true, false] {
        let sim = Sim::new();
        let (client, player) = sim.join().await;
        client.on_client_invoke(&ASK, |_| std::future::pending::<u32>());
        sim.server
            .on_server_invoke(&ASK, |_, _| std::future::pending::<u32>());
        let down = sim
            .server
            .invoke_client(&player, &ASK, &1)
            .timeout(ms(4000));
        let down = tokio::spawn(timed(down));
        let up = client.invoke_server(&ASK, &1).timeout(ms(4000));
        let up = tokio::spawn(timed(up));
        settle().await;
        let address: SocketAddr = match at_the_server {
            true => sim.server.local_addr(),
            false => player.address(),
        };
        sim.net.break_receives(address);
        let (here, there) = match at_the_server {
            true => (down, up),
            false => (up, down),
        };
        let (result, took) = here.await.unwrap();
        let error = result.unwrap_err();
        let InvokeError::Disconnected { stage, reason } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*stage, Stage::Wait);
        assert!(
            matches!(reason, DisconnectReason::Lost { .. }),
            "{reason:?}"
        );
        assert!(took <= ms(110), "{took:?}");
        // The other side hears nothing of it.
        timed_out(&there.await.unwrap(), ms(4000), Stage::Wait);
        drop((client, sim));
    }
}

/// H12: a network whose socket has died gives the next client another one.
#[tokio::test(start_paused = true)]
async fn h12_a_dead_socket_is_not_given_to_the_next_client() {
    let sim = Sim::new();
    let network = sim.net.network(None);
    let connect = || sim.client(None).network(&network).connect();
    let first = connect().await.unwrap();
    let player = sim.server.players().remove(0);
    sim.net.break_receives(player.address());
    let reason = first.disconnected().await;
    assert!(
        matches!(reason, DisconnectReason::Lost { .. }),
        "{reason:?}"
    );
    sim.server.on_server_invoke(&ASK, |_, n| n);
    let (second, third) = tokio::join!(connect(), connect());
    for client in [second.unwrap(), third.unwrap()] {
        assert_eq!(client.invoke_server(&ASK, &7).await, Ok(7));
    }
}

/// H12: the last handle of a server or client goes while calls are under way.
#[tokio::test(start_paused = true)]
async fn h12_dropping_the_last_handle_ends_its_calls() {
    let sim = Sim::new();
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |_| std::future::pending::<u32>());
    let up = client
        .invoke_server(&ASK, &1)
        .timeout(ms(60_000))
        .into_future();
    let up = tokio::spawn(timed(up));
    let down = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    let down = tokio::spawn(timed(down));
    settle().await;
    drop(client);
    for (result, took) in [up.await.unwrap(), down.await.unwrap()] {
        let left = InvokeError::Disconnected {
            stage: Stage::Wait,
            reason: DisconnectReason::Left,
        };
        assert_eq!(result, Err(left));
        assert!(took <= ms(200), "{took:?}");
    }
    let (client, player) = sim.join().await;
    client.on_client_invoke(&ASK, |_| std::future::pending::<u32>());
    let up = tokio::spawn(timed(client.invoke_server(&ASK, &1).timeout(ms(60_000))));
    let down = sim
        .server
        .invoke_client(&player, &ASK, &1)
        .timeout(ms(60_000));
    let down = tokio::spawn(timed(down));
    settle().await;
    drop(sim);
    for (result, took) in [up.await.unwrap(), down.await.unwrap()] {
        let stopped = InvokeError::Disconnected {
            stage: Stage::Wait,
            reason: DisconnectReason::Shutdown,
        };
        assert_eq!(result, Err(stopped));
        assert!(took <= ms(200), "{took:?}");
    }
}
