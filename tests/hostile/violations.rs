//! Attacks by meaning: bytes that no honest client sends.

use std::time::Duration;

use farfire::{CallCode, CloseCode, DropCause, Offence};
use quinn::VarInt;

use crate::{
    bytes::{Random, frame, lane, put_varint, request, system_code, unordered, unreliable},
    camp::{Attack, Raid},
    enemy::{Enemy, Lair},
    siege::{BLOB_ID, ECHO_ID, HIT_ID, MISSING_ID, NEST_ID, POSE_ID, Siege, UNHEARD_ID, UNITS_ID},
};

/// By name, for the process that does them.
pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("oversize", oversize),
    ("wrong_ids", wrong_ids),
    ("garbage", garbage),
    ("deep_payloads", deep_payloads),
    ("bad_calls", bad_calls),
    ("forged_barriers", forged_barriers),
    ("lane_stopper", lane_stopper),
    ("lane_resetter", lane_resetter),
    ("unheard", unheard),
    ("bad_datagrams", bad_datagrams),
];

/// Joins, says `bytes` on a new stream, and must be thrown out with `code`; again and again.
async fn say(lair: &Lair, cases: &[(Vec<u8>, CloseCode)]) {
    for (bytes, code) in cases.iter().cycle() {
        if lair.is_over() {
            return;
        }
        let Some(enemy) = lair.join().await else {
            continue;
        };
        match enemy.uni(bytes).await {
            Ok(mut stream) => _ = stream.finish(),
            Err(_) => continue,
        }
        assert_eq!(enemy.thrown_out().await, Some(*code), "{bytes:x?}");
    }
}

/// The default lane, and this on it.
fn on_lane(bytes: &[u8]) -> Vec<u8> {
    [&lane(""), bytes].concat()
}

fn huge() -> Vec<u8> {
    let mut claim = Vec::new();
    put_varint(&mut claim, 1 << 60);
    claim
}

/// Claims lengths that it never sends, and sends more than it may.
fn oversize(lair: Lair) -> Raid {
    Box::pin(async move {
        let mut event = unordered(BLOB_ID);
        event.resize(70_000, 7);
        let cases = [
            (on_lane(&huge()), CloseCode::TOO_LARGE),
            (on_lane(&frame(BLOB_ID, &[7; 70_000])), CloseCode::TOO_LARGE),
            (on_lane(&frame(0, &[7; 1025])), CloseCode::TOO_LARGE),
            ([&[1][..], &huge()].concat(), CloseCode::MALFORMED),
            (event, CloseCode::TOO_LARGE),
        ];
        say(&lair, &cases).await;
    })
}

/// Uses ids that no remote has, and remotes as what they are not.
fn wrong_ids(lair: Lair) -> Raid {
    Box::pin(async move {
        let forbidden = CloseCode::PROTOCOL_VIOLATION;
        let cases = [
            (on_lane(&frame(MISSING_ID, &[7])), forbidden),
            (on_lane(&frame(u32::MAX, &[7])), forbidden),
            (on_lane(&frame(POSE_ID, &[7])), forbidden),
            (on_lane(&frame(ECHO_ID, &[7])), forbidden),
            ([unordered(MISSING_ID), vec![7]].concat(), forbidden),
            ([unordered(ECHO_ID), vec![7]].concat(), forbidden),
            ([lane("x"), frame(0, &[3, 1])].concat(), forbidden),
        ];
        say(&lair, &cases).await;
    })
}

/// Says random things on every carrier there is.
fn garbage(lair: Lair) -> Raid {
    Box::pin(async move {
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            for _ in 0..16 {
                babble(&enemy, &mut random).await;
            }
            let patience = Duration::from_millis(20);
            let _ = tokio::time::timeout(patience, enemy.thrown_out()).await;
        }
    })
}

async fn babble(enemy: &Enemy, random: &mut Random) {
    let mut bytes = random.bytes(300);
    if let [first, second, ..] = &mut bytes[..]
        && random.below(4) > 0
    {
        // Most get past the first step.
        (*first, *second) = (1 + *first % 2, *second % 12);
    }
    match random.below(4) {
        0 => _ = enemy.connection.send_datagram(bytes.into()),
        1 => {
            if let Ok(mut stream) = enemy.uni(&bytes).await {
                let _ = stream.finish();
            }
        }
        2 => {
            if let Ok(mut stream) = enemy.uni(&on_lane(&bytes)).await {
                let _ = stream.finish();
            }
        }
        _ => {
            if let Ok((mut send, _recv)) = enemy.connection.open_bi().await {
                let _ = send.write_all(&bytes).await;
                let _ = send.finish();
            }
        }
    }
}

/// Sends payloads that are inside themselves ten thousand times, or hold more of nothing than there
/// is memory.
fn deep_payloads(lair: Lair) -> Raid {
    Box::pin(async move {
        let Some(enemy) = lair.join().await else {
            return;
        };
        let Ok(mut lane) = enemy.default_lane().await else {
            return;
        };
        let mut deep = vec![1; 10_000];
        deep.push(0);
        let many = [&[253][..], &u64::MAX.to_le_bytes()].concat();
        // 40,000 of nothing in three bytes.
        let some = [&[251][..], &40_000u16.to_le_bytes()].concat();
        let events = [
            frame(NEST_ID, &deep),
            frame(UNITS_ID, &many),
            frame(UNITS_ID, &some),
            frame(BLOB_ID, &many),
        ]
        .concat();
        while !lair.is_over() && lane.write_all(&events).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        if enemy.connection.close_reason().is_some() {
            enemy.thrown_out().await;
        }
    })
}

/// Makes calls that are none, and is told so.
fn bad_calls(lair: Lair) -> Raid {
    Box::pin(async move {
        let Some(enemy) = lair.join().await else {
            return;
        };
        let mut short = request(ECHO_ID, 1000, 0, &[7]);
        short.pop();
        let cases = [
            (
                request(MISSING_ID, 1000, 0, &[7]),
                CallCode::UNKNOWN_FUNCTION,
            ),
            (request(HIT_ID, 1000, 0, &[7]), CallCode::UNKNOWN_FUNCTION),
            (request(ECHO_ID, 1000, 0, b""), CallCode::REQUEST_MALFORMED),
            (
                request(ECHO_ID, 1000, 0, &[7; 70_000]),
                CallCode::REQUEST_TOO_LARGE,
            ),
            (short, CallCode::REQUEST_MALFORMED),
            (vec![9; 40], CallCode::REQUEST_MALFORMED),
            (huge(), CallCode::REQUEST_MALFORMED),
        ];
        for (request, code) in cases.iter().cycle() {
            if lair.is_over() {
                return;
            }
            let said = match enemy.call(request).await.unwrap() {
                Ok(reply) => system_code(&reply).map(CallCode::from),
                Err(code) => Some(code),
            };
            assert_eq!(said, Some(*code));
        }
    })
}

/// Says that calls come after events that were never sent: more than there can be, or a few.
fn forged_barriers(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let waiting = request(ECHO_ID, 20, 1000, &[7]);
            let reply = enemy.call(&waiting).await.unwrap().unwrap();
            assert_eq!(
                system_code(&reply),
                Some(CallCode::CALLEE_DEADLINE.as_u32())
            );
            let lie = request(ECHO_ID, 60_000, (1 << 32) + 1, &[7]);
            let _ = enemy.call(&lie).await;
            let code = enemy.thrown_out().await;
            assert_eq!(code, Some(CloseCode::PROTOCOL_VIOLATION));
        }
    })
}

/// Takes every lane that the server opens, and stops it.
fn lane_stopper(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let stop = async {
                if let Ok(mut lane) = enemy.connection.accept_uni().await {
                    let _ = lane.stop(VarInt::from_u32(0));
                    let code = enemy.thrown_out().await;
                    assert_eq!(code, Some(CloseCode::PROTOCOL_VIOLATION));
                }
            };
            let _ = tokio::time::timeout(lair.rest(), stop).await;
        }
    })
}

/// Resets lanes that it has opened.
fn lane_resetter(lair: Lair) -> Raid {
    Box::pin(async move {
        while !lair.is_over() {
            let Some(enemy) = lair.join().await else {
                continue;
            };
            let Ok(mut lane) = enemy.uni(&on_lane(&frame(HIT_ID, &[7]))).await else {
                continue;
            };
            // Not before it is known to be a lane: an event that is reset breaks no rule.
            let after_it = request(ECHO_ID, 20_000, 1, &[7]);
            assert!(enemy.call(&after_it).await.unwrap().is_ok());
            let _ = lane.reset(VarInt::from_u32(0));
            let code = enemy.thrown_out().await;
            assert_eq!(code, Some(CloseCode::PROTOCOL_VIOLATION));
        }
    })
}

/// Fires events that nobody listens to.
fn unheard(lair: Lair) -> Raid {
    Box::pin(async move {
        let Some(enemy) = lair.join().await else {
            return;
        };
        let Ok(mut lane) = enemy.default_lane().await else {
            return;
        };
        let mut payload = vec![251];
        payload.extend(20_000u16.to_le_bytes());
        payload.resize(20_003, 7);
        let event = frame(UNHEARD_ID, &payload);
        let flood = async { while lane.write_all(&event).await.is_ok() {} };
        let _ = tokio::time::timeout(lair.rest(), flood).await;
    })
}

/// Datagrams that are none, or for remotes that are none.
fn bad_datagrams(lair: Lair) -> Raid {
    Box::pin(async move {
        let cases = [
            (vec![0], CloseCode::MALFORMED),
            (huge(), CloseCode::MALFORMED),
            (unreliable(0, 1, &[7]), CloseCode::MALFORMED),
            (unreliable(POSE_ID, 1, &[7; 1001]), CloseCode::TOO_LARGE),
            (
                unreliable(MISSING_ID, 1, &[7]),
                CloseCode::PROTOCOL_VIOLATION,
            ),
            (unreliable(HIT_ID, 1, &[7]), CloseCode::PROTOCOL_VIOLATION),
        ];
        for (bytes, code) in cases.iter().cycle() {
            if lair.is_over() {
                return;
            }
            let Some(enemy) = lair.join().await else {
                continue;
            };
            if enemy.connection.send_datagram(bytes.clone().into()).is_ok() {
                assert_eq!(enemy.thrown_out().await, Some(*code), "{bytes:x?}");
            }
        }
    })
}

#[tokio::test]
async fn claimed_lengths_take_no_memory() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("oversize").await;
    report.assert_contained(8);
    assert!(report.ends.contains(&CloseCode::TOO_LARGE));
}

#[tokio::test]
async fn ids_that_are_wrong_end_the_connection_at_once() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("wrong_ids").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::PROTOCOL_VIOLATION);
}

#[tokio::test]
async fn garbage_disturbs_nobody() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("garbage").await;
    report.assert_contained(8);
    assert!(!report.ends.is_empty());
}

#[tokio::test]
async fn payloads_that_are_all_structure_are_dropped_and_counted() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.lasting(LONGER).run("deep_payloads").await;
    report.assert_contained(8);
    assert_eq!(report.ends, []);
    for remote in ["Nest", "Units", "Blob"] {
        assert!(report.dropped(remote, DropCause::Undecodable) > 10);
        assert!(
            report
                .offences
                .contains(&(Offence::Undecodable { remote }, 8))
        );
    }
}

#[tokio::test]
async fn calls_that_are_none_fail_alone() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.lasting(LONGER).run("bad_calls").await;
    report.assert_contained(8);
    assert_eq!(report.ends, []);
    assert!(report.offences.contains(&(Offence::BadCall, 8)));
}

#[tokio::test]
async fn barriers_are_believed_up_to_a_point() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("forged_barriers").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::PROTOCOL_VIOLATION);
}

#[tokio::test]
async fn who_stops_the_servers_lanes_is_thrown_out() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("lane_stopper").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::PROTOCOL_VIOLATION);
}

#[tokio::test]
async fn who_resets_a_lane_is_thrown_out() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("lane_resetter").await;
    report.assert_contained(8);
    report.assert_thrown_out(CloseCode::PROTOCOL_VIOLATION);
}

#[tokio::test]
async fn events_that_nobody_hears_are_kept_within_bounds() {
    let Some(siege) = Siege::new(|limits, _| limits.held_bytes = 256 * 1024).await else {
        return;
    };
    let report = siege.lasting(LONGER).run("unheard").await;
    report.assert_contained(8);
    assert!(report.dropped("Unheard", DropCause::EarlyFull) > 0);
    assert!(report.held <= 256 * 1024 / 20_000, "{}", report.held);
}

#[tokio::test]
async fn datagrams_that_are_none_end_the_connection_at_once() {
    let Some(siege) = Siege::new(|_, _| {}).await else {
        return;
    };
    let report = siege.until_thrown_out(1).run("bad_datagrams").await;
    report.assert_contained(8);
    assert!(report.ends.contains(&CloseCode::MALFORMED));
}

/// For what takes its time.
const LONGER: Duration = Duration::from_millis(800);
