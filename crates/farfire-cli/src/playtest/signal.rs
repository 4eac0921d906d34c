//! Requests to end, from the terminal or the system.
//!
//! Knows nothing of what has to be ended.

/// A request to end.
pub(super) struct Signal {
    pub(super) text: &'static str,
    /// The exit code: 128 and the signal's number, as shells have it.
    pub(super) code: u8,
}

const INTERRUPTED: Signal = Signal {
    text: "ended by Ctrl-C",
    code: 130,
};

#[cfg(unix)]
pub(super) struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self([interrupt, terminate, signal(SignalKind::hangup())?]))
    }

    pub(super) async fn next(&mut self) -> Signal {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => INTERRUPTED,
            _ = terminate.recv() => Signal { text: "ended by SIGTERM", code: 143 },
            _ = hangup.recv() => Signal { text: "ended with its terminal", code: 129 },
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPTED
    }
}
