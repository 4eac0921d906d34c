//! How players are connected, measured between two looks, as a table.
//!
//! Knows nothing of where it is shown.

use std::time::{Duration, Instant};

use farfire::LinkStats;
use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr;

use crate::{
    json::Record,
    paint::{BOLD, Paint, printable},
};

/// How one player is connected, as the server sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// There and back on the network alone.
    pub(crate) network_ping_us: u64,
    /// There and back through the queues of both sides; none before it was first measured.
    pub(crate) data_ping_us: Option<u64>,
    /// Of the packets to the player since the last look, the part that was lost.
    pub(crate) lost: f64,
    /// To the player and from it, since the last look.
    pub(crate) sent_bytes_per_second: f64,
    pub(crate) received_bytes_per_second: f64,
}

impl Row {
    /// One object for programs.
    pub(crate) fn record(&self) -> Record {
        let record = Record::new("player")
            .plain("id", self.id)
            .text("name", &self.name)
            .plain("network_ping_us", self.network_ping_us);
        let record = match self.data_ping_us {
            Some(ping) => record.plain("data_ping_us", ping),
            None => record,
        };
        record
            .plain("lost", finite(self.lost))
            .plain("sent_bytes_per_second", finite(self.sent_bytes_per_second))
            .plain(
                "received_bytes_per_second",
                finite(self.received_bytes_per_second),
            )
    }
}

/// Makes rates of counters: it remembers the look before.
#[derive(Debug)]
pub(crate) struct Meter {
    at: Instant,
    stats: [u64; 4],
}

impl Meter {
    /// Begins to measure.
    pub(crate) fn new(stats: &LinkStats) -> Self {
        Self {
            at: Instant::now(),
            stats: counters(stats),
        }
    }

    /// Looks again.
    pub(crate) fn look(&mut self, id: u64, name: &str, stats: &LinkStats) -> Row {
        let now = Instant::now();
        let seconds = now.duration_since(self.at).as_secs_f64().max(1e-3);
        let new = counters(stats);
        // A new path starts its packet counts anew.
        let since = |at: usize| new[at].saturating_sub(self.stats[at]) as f64;
        let row = Row {
            id,
            name: name.into(),
            network_ping_us: micros(stats.network_ping),
            data_ping_us: stats.data_ping.map(micros),
            lost: (since(3) / since(2).max(1.0)).min(1.0),
            sent_bytes_per_second: since(0) / seconds,
            received_bytes_per_second: since(1) / seconds,
        };
        *self = Self {
            at: now,
            stats: new,
        };
        row
    }
}

fn counters(stats: &LinkStats) -> [u64; 4] {
    [
        stats.sent_bytes,
        stats.received_bytes,
        stats.sent_packets,
        stats.lost_packets,
    ]
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The lines of a table of players, with a heading; none without players.
pub(crate) fn table(rows: &[Row], paint: Paint) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let names: Vec<_> = rows.iter().map(|row| printable(&row.name)).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let width = width.clamp("player".len(), WIDEST_NAME);
    let heading = format!(
        "{:width$}  {:>4}  {:>12}  {:>10}  {:>6}  {:>10}  {:>11}",
        "player", "id", "network ping", "data ping", "lost", "to player", "from player"
    );
    let mut lines = vec![paint.paint(BOLD, &heading)];
    lines.extend(rows.iter().zip(names).map(|(row, name)| {
        // Padded by columns, which `format!` does not count.
        let pad = " ".repeat(width.saturating_sub(name.width()));
        let data = row.data_ping_us.map_or_else(|| "-".into(), ping);
        format!(
            "{name}{pad}  {:>4}  {:>12}  {data:>10}  {:>4.1} %  {:>10}  {:>11}",
            row.id,
            ping(row.network_ping_us),
            finite(row.lost) * 100.0,
            rate(row.sent_bytes_per_second),
            rate(row.received_bytes_per_second),
        )
    }));
    lines
}

fn ping(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1e3)
}

fn rate(bytes_per_second: f64) -> String {
    format!("{:.1} kB/s", finite(bytes_per_second) / 1e3)
}

/// A number that came over the network may be none.
fn finite(number: f64) -> f64 {
    match number.is_finite() {
        true => number,
        false => 0.0,
    }
}

/// Longer names push their row out of line, and no other.
const WIDEST_NAME: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        Row {
            id: 7,
            name: name.into(),
            network_ping_us: 340,
            data_ping_us: None,
            lost: f64::NAN,
            sent_bytes_per_second: 1234.0,
            received_bytes_per_second: 0.0,
        }
    }

    #[test]
    fn columns_stand_below_each_other_whatever_the_names_are() {
        let lines = table(&[row("Ada"), row("\u{6771}\u{4eac}\u{1b}")], Paint::Plain);
        assert_eq!(lines[0].find("network ping"), Some(14), "{lines:#?}");
        assert!(
            lines[1].starts_with("Ada        7        0.3 ms"),
            "{lines:#?}"
        );
        assert!(lines[1].ends_with("0.0 %    1.2 kB/s     0.0 kB/s"));
        assert_eq!(lines[1].width(), lines[2].width(), "{lines:#?}");
        assert!(!lines[2].contains('\u{1b}'));
        assert!(table(&[], Paint::Plain).is_empty());
    }

    #[test]
    fn a_record_of_a_player_is_json_even_with_numbers_that_are_none() {
        let record = row("Ada").record().finish();
        let read: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(read["network_ping_us"], 340);
        assert_eq!(read["lost"], 0.0);
        assert!(read.get("data_ping_us").is_none());
    }
}
