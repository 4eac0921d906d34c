//! The slot: where a caller and the connection's task meet.
//!
//! Whoever comes first decides how a call ends, under one lock: a caller that gave up before the
//! request was complete can rely on it that the call never runs. Knows nothing about streams.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    DisconnectReason,
    error::{InvokeError, Stage},
};
use crate::{handler::guarded, wire::code::CallCode};

/// Where a caller waits; the connection's task puts the result in.
pub(crate) struct CallSlot {
    inner: Mutex<Inner>,
}

struct Inner {
    stage: Stage,
    state: State,
}

enum State {
    Waiting {
        caller: Caller,
        task: Option<Waker>,
    },
    Done(Result<Bytes, InvokeError>),
    /// The result was taken out.
    Over,
    /// The caller went away; the code says why.
    GivenUp(CallCode),
}

/// Who is to hear of the result.
enum Caller {
    /// Nobody yet.
    None,
    Task(Waker),
    Listener(Arc<dyn Listener>),
}

/// A caller without a task that waits.
pub(crate) trait Listener: Send + Sync {
    /// Called at most once, with no lock held.
    fn hear(&self, result: Result<Bytes, InvokeError>);
}

impl CallSlot {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                stage: Stage::Admit,
                state: State::Waiting {
                    caller: Caller::None,
                    task: None,
                },
            }),
        })
    }

    /// Tells `listener` of the result, which nobody else waits for.
    pub(crate) fn listen(&self, listener: Arc<dyn Listener>) {
        if let State::Waiting { caller, .. } = &mut self.lock().state {
            *caller = Caller::Listener(listener);
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.lock().stage
    }

    /// Notes how far the call has come; false if the caller has gone, and the call must stop here.
    pub(super) fn enter(&self, stage: Stage) -> bool {
        let mut inner = self.lock();
        inner.stage = stage;
        matches!(inner.state, State::Waiting { .. })
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.lock().state, State::Waiting { .. })
    }

    /// Puts the result in; what comes after the first is dropped.
    pub(super) fn complete(&self, result: Result<Bytes, InvokeError>) {
        let mut inner = self.lock();
        let State::Waiting { caller, .. } = &mut inner.state else {
            return;
        };
        match std::mem::replace(caller, Caller::None) {
            Caller::Listener(listener) => {
                inner.state = State::Over;
                drop(inner);
                listener.hear(result);
            }
            caller => {
                inner.state = State::Done(result);
                drop(inner);
                if let Caller::Task(caller) = caller {
                    // The code of whoever polls: others wait to be told after this one.
                    let _ = guarded(|| caller.wake());
                }
            }
        }
    }

    pub(in crate::link) fn disconnected(&self, reason: DisconnectReason) {
        self.complete(Err(InvokeError::Disconnected {
            stage: self.stage(),
            reason,
        }));
    }

    /// The caller's side: takes the result out. After that it is pending for good.
    pub(crate) fn poll_result(&self, cx: &Context<'_>) -> Poll<Result<Bytes, InvokeError>> {
        let is_known = |caller: &Caller| match caller {
            Caller::Task(known) => known.will_wake(cx.waker()),
            Caller::None | Caller::Listener(_) => false,
        };
        // A waker is the program's: it is made and dropped where no lock is held.
        let mut waker = None;
        loop {
            let mut inner = self.lock();
            match &mut inner.state {
                State::Waiting { caller, .. } if is_known(caller) => return Poll::Pending,
                State::Waiting { caller, .. } => {
                    let Some(new) = waker.take() else {
                        drop(inner);
                        waker = Some(cx.waker().clone());
                        continue;
                    };
                    let before = std::mem::replace(caller, Caller::Task(new));
                    drop(inner);
                    drop(before);
                    return Poll::Pending;
                }
                State::Over | State::GivenUp(_) => return Poll::Pending,
                State::Done(_) => match std::mem::replace(&mut inner.state, State::Over) {
                    State::Done(result) => return Poll::Ready(result),
                    _ => unreachable!("it was just looked at"),
                },
            }
        }
    }

    /// The caller waits no longer, and the task resets the stream. Gives how far the call had come;
    /// nothing if it has its result already.
    pub(crate) fn give_up(&self, code: CallCode) -> Option<Stage> {
        let (stage, caller, task) = {
            let mut inner = self.lock();
            let stage = inner.stage;
            let State::Waiting { caller, task } = &mut inner.state else {
                return None;
            };
            let (caller, task) = (std::mem::replace(caller, Caller::None), task.take());
            inner.state = State::GivenUp(code);
            (stage, caller, task)
        };
        drop(caller);
        if let Some(task) = task {
            task.wake();
        }
        Some(stage)
    }

    /// With what code the caller gave up, if it did.
    pub(in crate::link) fn gave_up(&self) -> Option<CallCode> {
        match self.lock().state {
            State::GivenUp(code) => Some(code),
            _ => None,
        }
    }

    /// The task's side: ready when nobody waits for a result any more.
    pub(super) fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<()> {
        match &mut self.lock().state {
            State::Waiting { task, .. } => {
                match task {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *task = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Done(_) | State::Over | State::GivenUp(_) => Poll::Ready(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
