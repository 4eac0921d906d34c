//! Requests to end, from the terminal or the system.
//!
//! Knows nothing of what has to be ended.

use crate::exit::Complaint;

/// A request to end.
pub(crate) struct Signal {
    pub(crate) text: &'static str,
    /// The exit code: 128 and the signal's number, as shells have it.
    pub(crate) code: u8,
}

impl Signal {
    /// As the end of a command, of which `help` says what it means.
    pub(crate) fn complaint(self, help: &str) -> Complaint {
        Complaint::new(self.text, help).code(self.code)
    }
}

/// Also what Ctrl-C is where it comes as a key.
pub(crate) const INTERRUPTED: Signal = Signal {
    text: "ended by Ctrl-C",
    code: 130,
};

#[cfg(unix)]
pub(crate) struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self([interrupt, terminate, signal(SignalKind::hangup())?]))
    }

    pub(crate) async fn next(&mut self) -> Signal {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => INTERRUPTED,
            _ = terminate.recv() => Signal { text: "ended by SIGTERM", code: 143 },
            _ = hangup.recv() => Signal { text: "ended with its terminal", code: 129 },
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPTED
    }
}

/// Hears signals from now on, or says why it cannot.
pub(crate) fn listen() -> Result<Signals, Complaint> {
    Signals::listen().map_err(|error| {
        let error = format!("signals cannot be heard: {error}");
        Complaint::new(
            error,
            "the system may be out of file descriptors: see `ulimit -n`",
        )
    })
}
