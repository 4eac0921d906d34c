//! The client of a run, in a process of its own: it joins again and again, calls, fires and listens.

use std::{env, sync::Arc, time::Duration};

use farfire::{Client, DisconnectReason, InvokeError, tls::Trust};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    books::Books,
    remotes::{ALL, ASK, BULK, LOOSE, NOTE, POSE, SPOT, Shot, TELL, shoot},
    roles::{CALLERS, Known, PACE, ROLE, Reports, orders, patience, say, think, timeouts},
    tally::Random,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role of the run with processes, which starts it"]
async fn a_client() {
    let Ok(role) = env::var(ROLE) else { return };
    let words: Vec<_> = role.split(' ').collect();
    let [address, pin, name, seed] = words[..] else {
        panic!("{role}")
    };
    let mut orders = orders();
    let (leave, leaving) = watch::channel(false);
    tokio::spawn(async move {
        // There is only one order.
        while orders.recv().await.is_some() {
            let _ = leave.send(true);
        }
    });
    let reports = Reports::start();
    let mut random = Random::new(seed.parse().unwrap());
    // Whoever was stopped or cut off for too long comes back as somebody new.
    while !*leaving.borrow() {
        let client = Client::builder(address, Trust::pinned([pin.parse().unwrap()]))
            .name(name)
            .remotes(&ALL)
            .timeouts(timeouts())
            .connect()
            .await;
        match client {
            Ok(client) => live(client, &reports, leaving.clone(), &mut random).await,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    reports.end().await;
}

async fn live(
    client: Client,
    reports: &Arc<Reports>,
    mut leaving: watch::Receiver<bool>,
    random: &mut Random,
) {
    let id = client.local_player().id.as_u64();
    say(&format!("joined {id}"));
    client.on_client_invoke(&TELL, think);
    client.on_client_event(&NOTE, |_| {});
    client.on_client_event(&LOOSE, |_| async {});
    client.on_client_event(&POSE, |_| {});
    client.on_client_event(&SPOT, |_| {});
    let mut bulk = client.client_events(&BULK);
    let (mut work, known) = (JoinSet::new(), Known::default());
    work.spawn(async move { while bulk.recv().await.is_some() {} });
    for _ in 0..CALLERS {
        let caller = (client.clone(), reports.clone(), known.clone());
        work.spawn(ask(caller, Random::new(random.next())));
    }
    work.spawn(fire(client.clone(), Random::new(random.next())));

    let reason = tokio::select! {
        reason = client.disconnected() => reason,
        _ = leaving.wait_for(|leaving| *leaving) => client.leave().await,
    };
    known.now();
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }
    let tally = &reports.tally;
    let now = Instant::now();
    let refused = client.invoke_server(&ASK, &7).await;
    assert!(
        matches!(refused, Err(InvokeError::Disconnected { .. })),
        "{refused:?}"
    );
    tally.due(now, || "a call to a connection known to be closed".into());
    let end = match reason {
        DisconnectReason::Left => "left",
        DisconnectReason::Kicked { .. } => "kicked",
        DisconnectReason::TimedOut => "timed-out",
        _ => "lost",
    };
    say(&format!("life {id} {end} {}", Books::from(&client.stats())));
}

/// Calls until the connection is over.
async fn ask((client, reports, known): (Client, Arc<Reports>, Known), mut random: Random) {
    let tally = &reports.tally;
    while client.is_connected() {
        let (patience, number) = (patience(&mut random), random.next() as u32);
        let call = || {
            let call = client.invoke_server(&ASK, &number).timeout(patience);
            tally.call(call.into_future(), patience)
        };
        let result = match random.below(300) {
            // More at once than are served.
            0 => {
                let calls = (0..60).map(|_| call());
                let mut results = futures_util::future::join_all(calls).await;
                results.swap_remove(0)
            }
            1..=5 => {
                let enough = random.millis(1, 20);
                match tokio::time::timeout(enough, call()).await {
                    Ok(result) => result,
                    Err(_) => continue,
                }
            }
            _ => call().await,
        };
        known.check(tally);
        if matches!(result, Err(InvokeError::Disconnected { .. })) {
            return;
        }
        if random.one_in(20) {
            sleep(random.millis(1, 30)).await;
        }
    }
}

/// Fires until the connection is over.
async fn fire(client: Client, mut random: Random) {
    while client.is_connected() {
        let shot = Shot::any(&mut random);
        // Refused when there is no room, which is no loss.
        let _ = shoot!(shot, |remote, args| client.fire_server(remote, args));
        sleep(random.millis(PACE.0, PACE.1)).await;
    }
}
