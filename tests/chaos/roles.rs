//! What the processes of a run have in common: orders on standard input, reports on standard output.

use std::{
    io::{self, BufRead},
    process,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use farfire::Timeouts;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    canary::Canary,
    tally::{Random, Tally},
};

/// The counts of one process, and how late it was.
pub(crate) struct Reports {
    pub(crate) tally: Tally,
    canary: Canary,
}

impl Reports {
    /// Begins to report, until nobody else holds the reports.
    pub(crate) fn start() -> Arc<Self> {
        let reports = Arc::new(Self {
            tally: Tally::default(),
            canary: Canary::start(),
        });
        let weak = Arc::downgrade(&reports);
        tokio::spawn(async move {
            while let Some(reports) = weak.upgrade() {
                reports.report();
                drop(reports);
                sleep(PERIOD).await;
            }
        });
        reports
    }

    /// Reports for the last time: every call is over, and the canary has had its say.
    pub(crate) async fn end(&self) {
        sleep(PERIOD).await;
        assert_eq!(self.tally.begun(), self.tally.resolved(), "unresolved");
        self.report();
    }

    fn report(&self) {
        for late in self.canary.judge(&self.tally) {
            say(&format!("late {late}"));
        }
        let worst = self.canary.worst();
        let mut line = format!(
            "calls {} {} {} {}",
            self.tally.begun(),
            self.tally.resolved(),
            worst.overshoot.as_micros(),
            worst.excess.as_micros()
        );
        for (outcome, count) in self.tally.outcomes() {
            line += &format!(";{outcome} {count}");
        }
        say(&line);
    }
}

/// When the connection was known to be over; nothing waits any longer from then on.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<OnceLock<Instant>>);

impl Known {
    pub(crate) fn now(&self) {
        let _ = self.0.set(Instant::now());
    }

    /// Holds a call that has just resolved against it.
    pub(crate) fn check(&self, tally: &Tally) {
        if let Some(known) = self.0.get() {
            tally.due(*known, || "a call of a connection known to be over".into());
        }
    }
}

/// One line to whoever started this process.
pub(crate) fn say(line: &str) {
    println!("{MARK}{line}");
}

/// The lines from whoever started this process, whose end is the end of this one.
pub(crate) fn orders() -> mpsc::UnboundedReceiver<String> {
    // The test harness has begun a line.
    println!();
    let (send, orders) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
        process::exit(0);
    });
    orders
}

pub(crate) fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.idle = IDLE;
    timeouts.keep_alive = IDLE / 6;
    // Who is slow to leave is not to be taken for one who was lost.
    timeouts.leave = Duration::from_secs(5);
    timeouts
}

/// Handles a call for a while: mostly at once, now and then for longer than anybody waits.
pub(crate) async fn think(number: u32) -> Result<u32, &'static str> {
    match number % 100 {
        0 => sleep(Duration::from_secs(2)).await,
        1..=4 => return Err("not today"),
        5..=39 => {}
        rest => sleep(Duration::from_millis(u64::from(rest / 4))).await,
    }
    Ok(number)
}

/// Where one caller's patience with one call ends.
pub(crate) fn patience(random: &mut Random) -> Duration {
    match random.below(10) {
        0 => random.millis(1, 20),
        _ => random.millis(20, 1500),
    }
}

/// What tells a report from whatever else is printed.
pub(crate) const MARK: char = '@';
/// Silence after which a connection is given up.
pub(crate) const IDLE: Duration = Duration::from_secs(3);
/// Calls under way at a time, in each direction of each connection.
pub(crate) const CALLERS: u64 = 8;
/// Between two events of a connection, in each direction.
pub(crate) const PACE: (u64, u64) = (2, 12);
/// Where a process finds what it is.
pub(crate) const ROLE: &str = "ROLE";
/// Between two reports.
const PERIOD: Duration = Duration::from_millis(200);
