//! The enemies' process: attacks when it is told to, and does the same to a sink when it is told so.

use std::{
    fs,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    pin::Pin,
    time::{Duration, Instant},
};

use quinn::{Runtime, TokioRuntime, udp::Transmit};

use crate::{
    enemy::Lair,
    floods, joins,
    process::{role, shares_its_core},
    tap::Sent,
    violations,
};

pub(crate) type Raid = Pin<Box<dyn Future<Output = ()>>>;
/// What an enemy does, until its time is over.
pub(crate) type Attack = fn(Lair) -> Raid;

#[test]
#[ignore = "a role that the other tests start"]
fn enemies() {
    let Some(role) = role() else { return };
    let words: Vec<_> = role.split(' ').collect();
    let [name, server, least] = words[..] else {
        panic!("{role:?}");
    };
    let (server, least) = (server.parse().unwrap(), least.parse().unwrap());
    let known = [floods::ATTACKS, joins::ATTACKS, violations::ATTACKS].concat();
    let attack = known.iter().find(|(known, _)| *known == name);
    let (_, attack) = attack.expect("an attack of that name");
    let mut last = Vec::new();
    let (mut war, mut took) = (0, (Duration::ZERO, Duration::ZERO));
    println!("> ready");
    for line in io::stdin().lines() {
        match line.unwrap().split_once(' ').unwrap() {
            ("war", millis) => {
                let slice = Duration::from_millis(millis.parse().unwrap());
                war += 1;
                let lair = Lair::new(server, war, slice, least);
                let (tap, ends) = (lair.tap.clone(), lair.ends.clone());
                took = raid(*attack, lair);
                last = tap.take();
                let bytes: usize = last.iter().map(|sent| sent.bytes).sum();
                print!("> war {} {bytes}", last.len());
                for code in &*ends.lock().unwrap() {
                    print!(" {}", code.as_u32());
                }
                println!();
            }
            ("peace", sink) => {
                replay(&last, sink.parse().unwrap(), took);
                println!("> peace");
            }
            (other, _) => panic!("{other}?"),
        }
    }
}

/// Attacks, and says how long the attack lasted and how much of a core it took.
fn raid(attack: Attack, lair: Lair) -> (Duration, Duration) {
    let (began, before) = (Instant::now(), processor_time());
    on_runtime(async {
        attack(lair).await;
        // Their closes are still to leave.
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    (began.elapsed(), processor_time() - before)
}

/// Sends packets like these to a socket that throws them away, and takes as much of a core as the
/// enemy did if that is a core which the honest player has to share.
fn replay(sent: &[Sent], sink: SocketAddr, (lasted, took): (Duration, Duration)) {
    let zeros = vec![0; sent.iter().map(|sent| sent.bytes).max().unwrap_or(0)];
    let share = match shares_its_core() {
        true => took.as_secs_f64() / lasted.as_secs_f64(),
        false => 0.0,
    };
    on_runtime(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = TokioRuntime.wrap_udp_socket(socket).unwrap();
        let (began, before) = (Instant::now(), processor_time());
        let mut sent = sent.iter().peekable();
        while began.elapsed() < lasted {
            let due = |sent: &&Sent| sent.at <= began.elapsed();
            if let Some(one) = sent.next_if(due) {
                let transmit = Transmit {
                    destination: sink,
                    ecn: None,
                    contents: &zeros[..one.bytes],
                    segment_size: one.segment,
                    src_ip: None,
                };
                while sender.try_send(&transmit).is_err() {
                    tokio::task::yield_now().await;
                }
            } else if processor_time() - before < began.elapsed().mul_f64(share) {
                // As an enemy that encrypts.
                (0..1000).for_each(|_| std::hint::spin_loop());
            } else {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
    });
}

/// What this thread has had of a core.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

pub(crate) fn on_runtime(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work);
}
