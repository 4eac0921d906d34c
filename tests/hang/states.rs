//! Calls that are stuck at a given stage, so that something can happen to them there.

use std::any::Any;

use farfire::{InvokeError, Limits, Player, Stage};
use quinn::VarInt;
use std::time::Duration;
use tokio::task::JoinHandle;

use crate::{
    raw::{RawClient, ok},
    sim::{ASK, BIG, Sim, ms, settle, timed},
};

/// Every stage that waits for the peer.
pub(crate) const STAGES: [Stage; 6] = [
    Stage::Admit,
    Stage::Open,
    Stage::Send,
    Stage::Wait,
    Stage::Receive,
    Stage::Barrier,
];

/// A call from the server that gets no further than its stage.
pub(crate) struct Stuck {
    pub(crate) call: JoinHandle<(Result<(), InvokeError>, Duration)>,
    pub(crate) raw: RawClient,
    pub(crate) player: Player,
    _held: Vec<Box<dyn Any + Send>>,
}

/// A server that has one call in flight per player.
pub(crate) fn one_at_a_time() -> Sim {
    let mut limits = Limits::default();
    limits.calls_in_flight = 1;
    Sim::with(|server| server.limits(limits))
}

impl Stuck {
    /// A call of a server that is [`one_at_a_time`], with a timeout of a minute.
    pub(crate) async fn at(sim: &Sim, stage: Stage) -> Self {
        let (raw, player) = sim
            .raw(|raw| match stage {
                Stage::Open => _ = raw.max_concurrent_bidi_streams(VarInt::from_u32(0)),
                Stage::Send => _ = raw.stream_receive_window(VarInt::from_u32(1024)),
                _ => {}
            })
            .await;
        let mut held = Vec::<Box<dyn Any + Send>>::new();
        let ask = || {
            sim.server
                .invoke_client(&player, &ASK, &1)
                .timeout(ms(60_000))
        };
        if stage == Stage::Admit {
            let first = ask();
            held.push(Box::new(tokio::spawn(async move { first.await })));
            settle().await;
        }
        let call = if stage == Stage::Send {
            let big = vec![7; 100_000];
            let call = sim
                .server
                .invoke_client(&player, &BIG, &big)
                .timeout(ms(60_000));
            tokio::spawn(timed(async move { call.await.map(drop) }))
        } else {
            let call = ask();
            tokio::spawn(timed(async move { call.await.map(drop) }))
        };
        if matches!(stage, Stage::Receive | Stage::Barrier) {
            let (mut send, mut recv) = raw.connection.accept_bi().await.unwrap();
            recv.read_to_end(1000).await.unwrap();
            if stage == Stage::Receive {
                send.write_all(&[1, 0]).await.unwrap();
            } else {
                send.write_all(&ok(5, &[7])).await.unwrap();
                send.finish().unwrap();
            }
            held.push(Box::new((send, recv)));
        }
        settle().await;
        assert!(!call.is_finished(), "it is stuck at {stage:?}");
        Self {
            call,
            raw,
            player,
            _held: held,
        }
    }
}
