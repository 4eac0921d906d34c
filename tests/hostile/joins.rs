//! Attacks on the door: handshakes that never end, hellos that take for ever, crowds from one address.

use std::time::{Duration, Instant};

use farfire::CloseCode;

use crate::{
    bytes::{Random, hello},
    camp::{Attack, Raid},
    enemy::{Lair, config},
    siege::Siege,
    tap::Hearing,
};

/// By name, for the process that does them.
pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("forged_handshakes", forged_handshakes),
    ("stalled_handshakes", stalled_handshakes),
    ("broken_handshakes", broken_handshakes),
    ("slow_hellos", slow_hellos),
    ("crowds", crowds),
    ("comebacks", comebacks),
    ("long_hellos", long_hellos),
    ("bad_hellos", bad_hellos),
    ("noise", noise),
];

/// Begins handshakes without end, and hears none of the answers.
fn forged_handshakes(lair: Lair) -> Raid {
    Box::pin(handshakes(lair, Hearing::Nothing))
}

/// Begins handshakes without end, and hears only that it has to prove its address.
fn stalled_handshakes(lair: Lair) -> Raid {
    Box::pin(handshakes(lair, Hearing::Retries))
}

async fn handshakes(lair: Lair, hearing: Hearing) {
    let config = config(|_| {});
    let endpoint = lair.endpoint(hearing);
    let mut begun = Vec::new();
    while !lair.is_over() {
        if begun.len() < 400 {
            let connecting = endpoint.connect_with(config.clone(), lair.server, "localhost");
            begun.push(connecting.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // They stay where they are: the server has to notice by itself.
    std::mem::forget(begun);
}

/// Begins handshakes without end, and breaks each off at once, so that none of them is under way for long.
fn broken_handshakes(lair: Lair) -> Raid {
    Box::pin(async move {
        let config = config(|_| {});
        let endpoint = lair.endpoint(Hearing::Everything);
        while !lair.is_over() {
            let connecting = endpoint.connect_with(config.clone(), lair.server, "localhost");
            let connecting = connecting.unwrap();
            // The first packet leaves, and the last one after it. No faster, as what it takes to throw a packet
            // away is the same for all that are none.
            tokio::task::yield_now().await;
            drop(connecting);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

/// Shakes hands twenty times over, and says hello one byte at a time.
fn slow_hellos(lair: Lair) -> Raid {
    Box::pin(async move {
        let mut slow = Vec::new();
        for _ in 0..20 {
            if let Ok(enemy) = lair.connect().await
                && let Ok((send, recv)) = enemy.connection.open_bi().await
            {
                slow.push((enemy, send, recv));
            }
        }
        let hello = hello("enemy", &[]);
        // The last byte never comes.
        for byte in hello[..hello.len() - 1].chunks(1).cycle() {
            for (_, send, _) in &mut slow {
                let _ = send.write_all(byte).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            if lair.is_over() {
                break;
            }
        }
        for (enemy, ..) in &slow {
            enemy.thrown_out().await;
        }
    })
}

/// Comes in with a crowd from one address, and stays.
fn crowds(lair: Lair) -> Raid {
    Box::pin(async move {
        let mut inside = Vec::new();
        while !lair.is_over() {
            if inside.len() < 12
                && let Some(enemy) = lair.join().await
            {
                inside.push(enemy);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(inside.len() <= 8, "{} got in", inside.len());
        }
    })
}

/// Joins, breaks a rule, and comes back.
fn comebacks(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            if let Some(enemy) = lair.join().await {
                let _ = enemy.uni(&[0xff]).await;
                enemy.thrown_out().await;
            }
        }
    })
}

/// Says hello with all the remotes that fit, each of another kind than the server's.
fn long_hellos(lair: Lair) -> Raid {
    Box::pin(async move {
        let same = vec![("Hit".to_owned(), 3); 4096];
        let other = (0..4096).map(|number| (format!("{number}"), 1)).collect();
        let long = [same, other];
        for remotes in long.iter().cycle() {
            if lair.is_over() {
                return;
            }
            if let Ok(enemy) = lair.connect().await {
                let _ = enemy.greet(&hello("enemy", remotes)).await;
            }
        }
    })
}

/// Shakes hands and says what is no hello.
fn bad_hellos(lair: Lair) -> Raid {
    Box::pin(async move {
        let claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        let long = vec![0; 70_000];
        let version = [3, 9, 0, 0];
        let cases: [(&[u8], CloseCode); 4] = [
            (&claim, CloseCode::MALFORMED),
            (&long, CloseCode::TOO_LARGE),
            (&version, CloseCode::PROTOCOL_VERSION),
            (&[2, 1, 200], CloseCode::MALFORMED),
        ];
        for (hello, code) in cases.iter().cycle() {
            if lair.is_over() {
                return;
            }
            if let Ok(enemy) = lair.connect().await {
                let answer = enemy.greet(hello).await;
                if answer.is_ok() {
                    // A refusal is to be read, and the server waits for that.
                    assert_eq!(*code, CloseCode::PROTOCOL_VERSION);
                    continue;
                }
                assert_eq!(enemy.thrown_out().await, Some(*code), "{hello:?}");
            }
        }
    })
}

/// Sends packets that are not QUIC, and first packets that are not whole.
fn noise(lair: Lair) -> Raid {
    Box::pin(async move {
        let socket = lair.socket();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        while !lair.is_over() {
            let mut packet = random.bytes(1400);
            if let [first, version @ ..] = &mut packet[..]
                && random.below(2) == 0
                && version.len() > 1200
            {
                // A long header of version 1, with whatever follows.
                *first = 0xc0 | *first & 0x0f;
                version[..4].copy_from_slice(&[0, 0, 0, 1]);
            }
            if socket.send(&packet).is_ok() {
                lair.tap.note(packet.len());
            }
            if random.below(64) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    })
}

#[tokio::test]
async fn handshakes_from_forged_addresses_keep_nobody_out() {
    let Some(siege) = Siege::new(|limits, timeouts| {
        limits.handshakes = 32;
        timeouts.join = Duration::from_millis(1000);
    })
    .await
    else {
        return;
    };
    let report = siege.with_newcomers().run("forged_handshakes").await;
    report.assert_contained(12);
    assert!(report.joining <= 32 + 1, "{}", report.joining);
}

#[tokio::test]
async fn handshakes_that_stall_keep_nobody_out() {
    let Some(siege) = Siege::new(|limits, timeouts| {
        limits.handshakes = 32;
        limits.connections_per_address = 16;
        timeouts.join = Duration::from_millis(1000);
    })
    .await
    else {
        return;
    };
    let report = siege.with_newcomers().run("stalled_handshakes").await;
    report.assert_contained(12);
    // Those that need not prove anything yet, and those of addresses that did: this war's, and the last one's.
    assert!(report.joining <= 32 + 2 * 16 + 1, "{}", report.joining);
}

#[tokio::test]
async fn handshakes_that_are_broken_off_come_at_a_rate() {
    let Some(siege) = Siege::new(|limits, _| limits.handshakes = 32).await else {
        return;
    };
    let began = Instant::now();
    let siege = siege.with_newcomers();
    let report = siege.run("broken_handshakes").await;
    report.assert_contained(12);
    // As many as are believed without a proof, and sixteen of each address that proved itself.
    let (stats, wars) = (siege.server.stats(), report.war.len() as u64);
    let begun = stats.handshakes + stats.failed_handshakes;
    let most = 32 + 64 * (began.elapsed().as_secs() + 1) + 24 * wars;
    assert!(begun <= most, "{begun} and not {most}");
    assert!(begun > 32, "{begun}");
}

#[tokio::test]
async fn who_is_slow_to_say_hello_is_sent_away() {
    let Some(siege) = Siege::new(|_, timeouts| timeouts.join = Duration::from_millis(300)).await
    else {
        return;
    };
    let siege = siege.with_newcomers().lasting(Duration::from_millis(500));
    let report = siege.run("slow_hellos").await;
    report.assert_contained(8);
    assert!(!report.ends.is_empty());
    assert!(
        report
            .ends
            .iter()
            .all(|end| *end == CloseCode::JOIN_TIMEOUT)
    );
    assert_eq!(report.fates.len(), 0);
}

#[tokio::test]
async fn a_crowd_from_one_address_leaves_room_for_others() {
    let Some(siege) = Siege::new(|limits, _| {
        limits.connections_per_address = 8;
        limits.max_players = 16;
    })
    .await
    else {
        return;
    };
    let report = siege.with_newcomers().run("crowds").await;
    report.assert_contained(8);
}

#[tokio::test]
async fn who_is_thrown_out_comes_back_at_a_rate() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let began = Instant::now();
    let report = siege.with_newcomers().run("comebacks").await;
    report.assert_contained(8);
    assert!(!report.ends.is_empty());
    // Not that many on a slow machine, which is no reason to fail.
    let most = 4 * report.war.len() + began.elapsed().as_secs() as usize / 2 + 1;
    assert!(report.fates.len() <= most, "{}", report.fates.len());
}

#[tokio::test]
async fn a_hello_with_every_remote_there_can_be_is_read_and_no_more() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.run("long_hellos").await;
    report.assert_contained(8);
    assert!(!report.fates.is_empty());
}

#[tokio::test]
async fn what_is_no_hello_is_sent_away() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(2).run("bad_hellos").await;
    report.assert_contained(8);
    assert_eq!(report.fates.len(), 0);
    assert!(report.ends.contains(&CloseCode::TOO_LARGE));
}

#[tokio::test]
async fn noise_is_noise() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.with_newcomers().run("noise").await;
    report.assert_contained(8);
}
