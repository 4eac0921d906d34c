//! The end of a connection: who asked for it, why, and who is told.
//!
//! Asking only notes it; the task brings it about. Knows nothing about how the other side is told.

use std::sync::{Arc, atomic::Ordering};

use super::{Link, State, reason::DisconnectReason};
use crate::{handler::guarded, session::Violation, wire::code::CloseCode};

/// How the connection is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) code: CloseCode,
    pub(super) text: String,
    /// Whether what was accepted is still delivered first.
    pub(super) graceful: bool,
}

impl Link {
    /// Notes how the connection is to end.
    pub(super) fn end(&self, state: &mut State, code: CloseCode, text: &str, graceful: bool) {
        state.ending = Some(Ending {
            code,
            text: text.into(),
            graceful,
        });
        state.outbox.close();
        self.ending.store(true, Ordering::Release);
    }

    /// Asks the connection to end; the first to ask decides how.
    pub(crate) fn finish(self: &Arc<Self>, code: CloseCode, text: &str, graceful: bool) {
        {
            let mut state = self.lock();
            self.apply_log(&mut state);
            if state.ending.is_none() {
                self.end(&mut state, code, text, graceful);
            }
            state.due = true;
        }
        self.wake();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Ends the connection because of what the peer did.
    pub(super) fn punish(self: &Arc<Self>, violation: &Violation) {
        tracing::warn!(player = self.id, %violation, "closing a connection that broke the rules");
        let code = CloseCode::from(violation);
        self.finish(code, code.text(), false);
    }

    pub(super) fn give_up_as_slow(self: &Arc<Self>) {
        self.finish(CloseCode::SLOW_CONSUMER, "", false);
    }

    /// Ends a connection whose driver will not run, if it has not ended.
    pub(crate) fn abandon(&self, reason: DisconnectReason) {
        if self.ended().is_none() {
            let code = CloseCode::INTERNAL;
            self.connection
                .close(code.as_u32().into(), code.text().as_bytes());
            self.end_with(reason);
        }
    }

    /// The connection has ended: whoever waits for it is told.
    pub(super) fn end_with(&self, reason: DisconnectReason) {
        if let Some(hub) = &self.hub {
            hub.remove(self.id);
        }
        let calls = {
            let mut state = self.lock();
            // Broadcasts accepted while the player was here are booked as lost with it.
            self.apply_log(&mut state);
            // Before anything is refused because of it, so that whoever is refused learns why.
            let _ = self.ended.set(reason.clone());
            state.outbox.end();
            state.cursor = None;
            std::mem::take(&mut state.calls)
        };
        self.ledger.end_receiving();
        for call in calls {
            call.slot.disconnected(reason.clone());
        }
        self.passed.set(u64::MAX);
        // The code of whoever polls.
        let _ = guarded(|| self.end.notify_waiters());
        let _ = guarded(|| self.credit.give());
    }

    /// Why the connection ended, once it has.
    pub(crate) fn ended(&self) -> Option<&DisconnectReason> {
        self.ended.get()
    }

    /// Why the connection ended, or is about to.
    pub(crate) fn parting(&self) -> Option<DisconnectReason> {
        let ended = self.ended().cloned();
        ended.or_else(|| self.lock().parting())
    }

    /// The peer has said goodbye: nothing more is accepted for it.
    pub(super) fn leave(&self, reason: DisconnectReason) {
        let mut state = self.lock();
        state.left = Some(reason);
        state.outbox.close();
        state.due = true;
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(&self) -> DisconnectReason {
        loop {
            let end = self.end.notified();
            if let Some(reason) = self.ended() {
                return reason.clone();
            }
            end.await;
        }
    }
}

impl State {
    pub(super) fn parting(&self) -> Option<DisconnectReason> {
        let ours =
            |Ending { code, text, .. }: &Ending| DisconnectReason::from_here(*code, text.clone());
        self.left.clone().or_else(|| self.ending.as_ref().map(ours))
    }
}
