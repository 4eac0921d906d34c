//! Attacks by amount: more than the budgets allow, as fast as the line takes it.

use std::time::{Duration, Instant};

use farfire::{CloseCode, DropCause, Offence};
use quinn::VarInt;

use crate::{
    bytes::{frame, lane, ping, request, unreliable},
    camp::{Attack, Raid},
    enemy::Lair,
    siege::{BLOB_ID, ECHO_ID, HIT_ID, POSE_ID, SLOW_ID, Siege},
};

/// By name, for the process that does them.
pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("event_flood", event_flood),
    ("datagram_flood", datagram_flood),
    ("empty_datagrams", empty_datagrams),
    ("call_flood", call_flood),
    ("stalled_calls", stalled_calls),
    ("ping_flood", ping_flood),
    ("deaf", deaf),
    ("endless_events", endless_events),
    ("lane_flood", lane_flood),
];

/// Fills lanes with tiny events until it is thrown out, and comes back.
fn event_flood(lair: Lair) -> Raid {
    Box::pin(async move {
        let events = frame(HIT_ID, &[7]).repeat(16 * 1024);
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let Ok(mut lane) = enemy.default_lane().await else {
                continue;
            };
            let flood = async { while lane.write_all(&events).await.is_ok() {} };
            if tokio::time::timeout(lair.rest(), flood).await.is_ok() {
                enemy.thrown_out().await;
            }
        }
    })
}

/// Fills datagrams with tiny events, until it is thrown out.
fn datagram_flood(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let mut sequence = 0;
            while enemy.connection.close_reason().is_none() && !lair.is_over() {
                let mut datagram = Vec::new();
                while datagram.len() < 1100 {
                    datagram.extend(unreliable(POSE_ID, sequence, &[7]));
                    sequence += 1;
                }
                let sent = enemy.connection.send_datagram_wait(datagram.into());
                let _ = tokio::time::timeout(lair.rest(), sent).await;
                // And some that hold nothing.
                let _ = enemy.connection.send_datagram(Vec::new().into());
            }
            if !lair.is_over() {
                enemy.thrown_out().await;
            }
        }
    })
}

/// Sends datagrams without a single event, until it is thrown out.
fn empty_datagrams(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            while enemy.connection.close_reason().is_none() && !lair.is_over() {
                let sent = enemy.connection.send_datagram_wait(Vec::new().into());
                let _ = tokio::time::timeout(lair.rest(), sent).await;
            }
            if !lair.is_over() {
                enemy.thrown_out().await;
            }
        }
    })
}

/// Makes calls as fast as streams come back, and takes them back: half of them before they are whole,
/// half of them while they run.
fn call_flood(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let whole = request(SLOW_ID, 60_000, 0, b"");
            let flood = async {
                for round in 0.. {
                    let Ok((mut send, mut recv)) = enemy.connection.open_bi().await else {
                        return;
                    };
                    if round % 2 == 0 {
                        let _ = send.write_all(&whole[..3]).await;
                        let _ = send.reset(VarInt::from_u32(0x10));
                    } else {
                        let _ = send.write_all(&whole).await;
                        let _ = send.finish();
                    }
                    let _ = recv.stop(VarInt::from_u32(0x10));
                }
            };
            if tokio::time::timeout(lair.rest(), flood).await.is_ok() {
                enemy.thrown_out().await;
            }
        }
    })
}

/// Keeps every call that it may make open at half a request, and every place taken.
fn stalled_calls(lair: Lair) -> Raid {
    Box::pin(async move {
        let Some(enemy) = lair.join().await else {
            return;
        };
        let mut open = Vec::new();
        let whole = request(ECHO_ID, 60_000, 0, &[7]);
        let stall = async {
            while let Ok((mut send, recv)) = enemy.connection.open_bi().await {
                let _ = send.write_all(&whole[..3]).await;
                open.push((send, recv));
            }
        };
        let _ = tokio::time::timeout(lair.rest(), stall).await;
    })
}

/// Asks for signs of life without end, and reads none of the answers.
fn ping_flood(lair: Lair) -> Raid {
    Box::pin(async move {
        let pings = ping(7).repeat(16 * 1024);
        while !lair.is_over() {
            let joined = lair.join_as(|transport| {
                transport.stream_receive_window(VarInt::from_u32(2048));
            });
            let Some(enemy) = joined.await else {
                continue;
            };
            let Ok(mut lane) = enemy.default_lane().await else {
                continue;
            };
            let flood = async { while lane.write_all(&pings).await.is_ok() {} };
            if tokio::time::timeout(lair.rest(), flood).await.is_ok() {
                enemy.thrown_out().await;
            }
        }
    })
}

/// Joins, and reads nothing of what the server sends.
fn deaf(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let joined = lair.join_as(|transport| {
                transport.receive_window(VarInt::from_u32(16 * 1024));
            });
            let Some(enemy) = joined.await else {
                continue;
            };
            let began = Instant::now();
            // However slow the machine, it comes to that.
            while enemy.thrown_out().await.is_none() {
                assert!(began.elapsed() < Duration::from_secs(20), "it got away");
            }
        }
    })
}

/// Fills every unidirectional stream that it may open with an event that never ends.
fn endless_events(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let mut open = Vec::new();
            let mut event = crate::bytes::unordered(BLOB_ID);
            event.resize(60_000, 7);
            let fill = async {
                while let Ok(stream) = enemy.uni(&event).await {
                    open.push(stream);
                }
            };
            let _ = tokio::time::timeout(lair.rest(), fill).await;
            assert!(open.len() <= 64, "{} streams", open.len());
        }
    })
}

/// Opens as many lanes as there are streams for.
fn lane_flood(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let mut lanes = Vec::new();
            for number in 0..32 {
                lanes.push(enemy.uni(&lane(&number.to_string())).await);
            }
            enemy.thrown_out().await;
        }
    })
}

#[tokio::test]
async fn events_at_line_rate_are_dropped_then_the_sender_is() {
    let Some(siege) = Siege::new(|limits, _| limits.offences_per_minute = 2000).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("event_flood").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::RATE);
    assert!(report.dropped("Hit", DropCause::RateLimit) > 2000);
    assert_eq!(
        report.offences[0],
        (Offence::EventRate { remote: "Hit" }, 1)
    );
    assert_eq!(
        report.offences[1],
        (Offence::EventRate { remote: "Hit" }, 2)
    );
}

#[tokio::test]
async fn an_endless_flood_of_events_delays_nobody() {
    let Some(siege) = Siege::new(|limits, _| limits.offences_per_minute = u32::MAX).await else {
        return;
    };
    let report = siege.run("event_flood").await;
    report.assert_contained(8);
    assert_eq!(report.ends, []);
    for fate in &report.fates {
        let stats = fate.remote("Hit").unwrap();
        assert!(stats.dispatched <= 500 + 500 * 2, "{stats:?}");
        assert!(
            fate.refused("Hit", DropCause::RateLimit) > 10_000,
            "{stats:?}"
        );
    }
}

#[tokio::test]
async fn datagrams_at_line_rate_are_dropped_then_the_sender_is() {
    let Some(siege) = Siege::new(|limits, _| limits.offences_per_minute = 2000).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("datagram_flood").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::RATE);
    assert!(report.dropped("Pose", DropCause::RateLimit) > 2000);
}

#[tokio::test]
async fn an_endless_flood_of_datagrams_ends_with_its_sender() {
    let Some(siege) = Siege::new(|limits, _| limits.offences_per_minute = u32::MAX).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("datagram_flood").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::RATE);
}

#[tokio::test]
async fn datagrams_that_hold_nothing_are_too_many_as_well() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("empty_datagrams").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::RATE);
    assert_eq!(report.dropped("Pose", DropCause::RateLimit), 0);
}

#[tokio::test]
async fn calls_that_are_taken_back_run_within_their_permits() {
    let Some(siege) = Siege::new(|limits, _| {
        limits.offences_per_minute = 200;
        limits.connections_per_address = 2;
    })
    .await
    else {
        return;
    };
    let report = siege.until_thrown_out(1).run("call_flood").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::RATE);
    assert!(report.serving <= 16 + 32 + 1, "{}", report.serving);
    // Those of a connection that has been thrown out run on, and count against the address.
    assert!(report.most_running <= 2 * 16, "{}", report.most_running);
    assert!(report.offences.contains(&(Offence::BadCall, 64)));
}

#[tokio::test]
async fn an_endless_flood_of_calls_delays_nobody() {
    let Some(siege) = Siege::new(|limits, _| limits.offences_per_minute = u32::MAX).await else {
        return;
    };
    let report = siege.run("call_flood").await;
    report.assert_contained(8);
    assert_eq!(report.ends, []);
    assert!(report.serving <= 16 + 32 + 1, "{}", report.serving);
    assert!(report.most_running <= 16, "{}", report.most_running);
}

#[tokio::test]
async fn half_requests_take_the_places_of_their_sender_only() {
    let Some(siege) = Siege::new(|_, timeouts| {
        timeouts.request_read = Duration::from_millis(100);
    })
    .await
    else {
        return;
    };
    let report = siege
        .lasting(Duration::from_millis(800))
        .run("stalled_calls")
        .await;
    report.assert_contained(8);
    assert_eq!(report.ends, []);
    assert!(report.serving <= 16 + 32 + 1, "{}", report.serving);
    assert!(report.offences.contains(&(Offence::CallRate, 1)));
}

#[tokio::test]
async fn pings_are_answered_within_the_budget_and_not_hoarded() {
    let Some(siege) = Siege::new(|limits, _| limits.offences_per_minute = 2000).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("ping_flood").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::RATE);
    assert!(report.queued <= 256 * 1024, "{}", report.queued);
    assert_eq!(report.offences[0], (Offence::PingRate, 1));
}

#[tokio::test]
async fn who_does_not_read_is_given_up_and_keeps_nobody_waiting() {
    let Some(siege) = Siege::new(|limits, _| {
        limits.outbox_bytes = 64 * 1024;
        limits.broadcast_bytes = 192 * 1024;
    })
    .await
    else {
        return;
    };
    let siege = siege.with_news(64 * 1024).until_thrown_out(1);
    let report = siege.run("deaf").await;
    report.assert_contained(8);
    assert!(!report.ends.is_empty());
    let slow = |end: &CloseCode| *end == CloseCode::SLOW_CONSUMER;
    assert!(report.ends.iter().all(slow), "{:?}", report.ends);
    assert!(report.queued <= 4 * 64 * 1024, "{}", report.queued);
}

#[tokio::test]
async fn events_that_never_end_take_up_streams_and_no_more() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.run("endless_events").await;
    // 64 of at most 64 KiB each, twice where memory grows by doubling, and some.
    report.assert_contained(12);
    assert_eq!(report.ends, []);
    assert!(
        report
            .fates
            .iter()
            .all(|fate| fate.remote("Blob").is_none())
    );
}

#[tokio::test]
async fn there_are_no_more_lanes_than_sixteen() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("lane_flood").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::PROTOCOL_VIOLATION);
}

/// The same for longer, in case something only adds up.
#[tokio::test]
#[ignore = "long: run with --ignored"]
async fn every_flood_for_ten_seconds() {
    for flood in [
        "event_flood",
        "datagram_flood",
        "call_flood",
        "stalled_calls",
        "ping_flood",
        "endless_events",
        "lane_flood",
    ] {
        for offences in [10_000, u32::MAX] {
            let Some(siege) = Siege::new(|limits, _| limits.offences_per_minute = offences).await
            else {
                return;
            };
            let siege = siege.lasting(Duration::from_secs(10));
            siege.run(flood).await.assert_bounded(16);
        }
    }
}
