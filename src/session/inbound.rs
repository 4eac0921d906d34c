//! The receiving side of one remote: its budget, what came already, and what waits for it.
//!
//! Knows nothing about lanes and datagrams, nor about the other remotes.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;

use super::{
    Directory, Kept, Meta, Side, Violation,
    budget::Bucket,
    by_id::ById,
    ledger::{DropCause, Ledger, RemoteLedger},
};
use crate::{
    handler::guarded,
    wire::{self, sequence::DuplicateWindow},
};

/// The receiving side of one remote.
pub(super) struct Inbound {
    pub(super) meta: Option<Meta>,
    pub(super) ledger: Arc<RemoteLedger>,
    pub(super) window: DuplicateWindow,
    pub(super) latest: HashMap<u64, u32>,
    rate: Option<Bucket>,
    pub(super) early: VecDeque<(Bytes, Kept)>,
}

/// The receiving side of `id`, made when the first event of it arrives.
#[inline]
pub(super) fn inbound<'a>(
    remotes: &'a mut ById<Inbound>,
    ledger: &Ledger,
    id: u32,
    directory: &impl Directory,
    now: Instant,
) -> Result<&'a mut Inbound, Violation> {
    if remotes.get(id).is_none() {
        remotes.insert(id, first_heard(ledger, id, directory, now)?);
    }
    Ok(remotes.get_mut(id).expect("it was just made"))
}

#[cold]
fn first_heard(
    ledger: &Ledger,
    id: u32,
    directory: &impl Directory,
    now: Instant,
) -> Result<Inbound, Violation> {
    if !directory.exists(id) || id as usize > wire::MAX_REMOTES {
        return Err(Violation::UnknownRemote);
    }
    let meta = directory.meta(id);
    let name = name_of(id, meta.as_ref(), directory);
    let mut inbound = Inbound {
        meta: None,
        ledger: ledger.remote(id, name),
        window: DuplicateWindow::default(),
        latest: HashMap::new(),
        rate: None,
        early: VecDeque::new(),
    };
    inbound.learn(meta, now);
    Ok(inbound)
}

impl Inbound {
    pub(super) fn look_up(
        &mut self,
        id: u32,
        ledger: &Ledger,
        directory: &impl Directory,
        now: Instant,
    ) {
        if self.meta.is_none() {
            self.learn(directory.meta(id), now);
            let name = name_of(id, self.meta.as_ref(), directory);
            ledger.remote(id, name);
        }
    }

    fn learn(&mut self, meta: Option<Meta>, now: Instant) {
        self.rate = meta
            .as_ref()
            .and_then(|meta| meta.rate)
            .map(|rate| Bucket::new(rate, now));
        self.meta = meta;
    }

    fn is_builtin(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.builtin)
    }

    /// Whether an event is beyond the budget that is asked before anything else, be the event good for
    /// something or not: the client's, or that of a remote of the runtime's, which spends none of it.
    pub(super) fn is_over(&mut self, side: Side, budget: &mut Bucket, now: Instant) -> bool {
        match self.is_builtin() {
            true => self.is_over_rate(now),
            false => side == Side::Server && !budget.take(now),
        }
    }

    /// Whether an event that is good is beyond the budget of its remote, if that was not asked before.
    pub(super) fn is_over_its_own(&mut self, now: Instant) -> bool {
        !self.is_builtin() && self.is_over_rate(now)
    }

    fn is_over_rate(&mut self, now: Instant) -> bool {
        self.rate.as_mut().is_some_and(|rate| !rate.take(now))
    }

    /// For `latest_by`: whether a newer event with the same key has already arrived.
    pub(super) fn stale_by_key(&mut self, payload: &[u8], sequence: u32) -> Option<DropCause> {
        let key = self.meta.as_ref()?.key.as_ref()?;
        // It decodes, and then runs a function of the program's.
        let key = guarded(|| key(payload)).ok()??;
        if self.latest.len() >= MAX_KEYS && !self.latest.contains_key(&key) {
            self.latest.clear();
        }
        let newest = self.latest.entry(key).or_insert(sequence);
        if (sequence.wrapping_sub(*newest) as i32) < 0 {
            return Some(DropCause::Stale);
        }
        *newest = sequence;
        None
    }
}

fn name_of(id: u32, meta: Option<&Meta>, directory: &impl Directory) -> Cow<'static, str> {
    match meta {
        Some(meta) => meta.name.into(),
        None => directory.name(id).unwrap_or_default().into(),
    }
}

/// Entities that `latest_by` tells apart, per remote and connection.
pub(super) const MAX_KEYS: usize = 4096;
