//! The honest player's process: plays when it is told to, and says how long its round trips took.

use std::{
    io,
    time::{Duration, Instant},
};

use farfire::{Client, RemoteStats, tls::Trust};

use crate::{
    process::role,
    siege::{ECHO, NEWS},
};

#[tokio::test]
#[ignore = "a role that the other tests start"]
async fn player() {
    let Some(role) = role() else { return };
    let (server, pin) = role.split_once(' ').unwrap();
    let join = |name| {
        let trust = Trust::pinned([pin.parse().unwrap()]);
        Client::builder(server, trust).name(name).connect()
    };
    let honest = join("honest").await.unwrap();
    honest.on_client_event(&NEWS, |_| {});
    println!("> joined");
    let mut round = 0;
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let (word, millis) = line.split_once(' ').unwrap();
        let slice = Duration::from_millis(millis.parse().unwrap());
        let mut times = Vec::new();
        play(&honest, slice.mul_f64(0.7), &mut round, &mut times).await;
        if word == "welcome" {
            let joined = tokio::time::timeout(PATIENCE, join("newcomer")).await;
            let newcomer = joined.expect("a newcomer gets in").unwrap();
            newcomer.leave().await;
        }
        play(&honest, slice.mul_f64(0.3), &mut round, &mut times).await;
        print!("> times");
        for time in times {
            print!(" {}", time.as_micros());
        }
        println!();
    }
    assert!(honest.is_connected());
    let stats = honest.stats();
    assert!(stats.remotes.iter().all(RemoteStats::is_balanced));
}

async fn play(honest: &Client, time: Duration, round: &mut u64, times: &mut Vec<Duration>) {
    let began = Instant::now();
    while began.elapsed() < time {
        *round += 1;
        let asked = Instant::now();
        assert_eq!(honest.invoke_server(&ECHO, round).await, Ok(*round));
        times.push(asked.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
}

/// How long a newcomer may take to get in: a Retry, and a queue at the door.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two round trips.
const PAUSE: Duration = Duration::from_millis(1);
