//! What a benchmark found, as it is written to a file and read back to be compared.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, Direction, Kind},
    provenance::Provenance,
    recording::{Figures, Log, Recording, Span, empty},
    run::Half,
};

/// The format of [`Report`]; another number where an old reader would misunderstand.
pub(crate) const SCHEMA: &str = "farfire.bench/1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) schema: String,
    pub(crate) provenance: Provenance,
    pub(crate) server: String,
    pub(crate) net: Option<String>,
    pub(crate) seed: u64,
    pub(crate) busy_poll: bool,
    pub(crate) cells: Vec<CellReport>,
}

impl Report {
    /// What is wrong with runs that say nothing, and whose they are.
    pub(crate) fn invalid(&self) -> impl Iterator<Item = String> {
        let contenders = self.cells.iter().flat_map(|cell| &cell.contenders);
        contenders.flat_map(|contender| {
            let runs = contender.runs.iter();
            let name = &contender.name;
            runs.filter_map(move |run| Some(format!("{name}: {}", run.invalid.as_ref()?)))
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CellReport {
    pub(crate) cell: Cell,
    /// The arguments of one event, encoded.
    pub(crate) encoded_bytes: usize,
    pub(crate) contenders: Vec<ContenderReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContenderReport {
    pub(crate) name: String,
    /// How long connecting took, in microseconds, one after the other.
    pub(crate) connect: Spread,
    pub(crate) runs: Vec<RunReport>,
    /// Of each figure over the runs.
    pub(crate) over_runs: BTreeMap<String, Spread>,
    /// Of farfire's to this one's in the same round: the figures of a percentile over the rounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) farfire_is: BTreeMap<String, Spread>,
    /// Points of the percentile curve of all runs together: quantile and microseconds.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// One figure over several runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    pub(crate) runs: usize,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Self {
            min,
            median,
            max,
            runs: values.len(),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunReport {
    /// Why this run says nothing, if it does not.
    pub(crate) invalid: Option<String>,
    pub(crate) expected: u64,
    pub(crate) arrived: u64,
    pub(crate) delivered_percent: f64,
    pub(crate) refused: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
    pub(crate) events_per_second: f64,
    /// From when each event was due.
    pub(crate) latency: Figures,
    /// From when it was sent: what a tool would say that waits for answers.
    pub(crate) uncorrected: Figures,
    /// How long after it was due it was sent.
    pub(crate) lateness: Figures,
    pub(crate) jitter_us: f64,
    /// UDP or TCP payload in both directions, for each event that arrived.
    pub(crate) wire_bytes_per_event: Option<f64>,
    pub(crate) datagrams_per_send_call: Option<f64>,
    pub(crate) client_cpu_us_per_event: Option<f64>,
    pub(crate) server_cpu_us_per_event: Option<f64>,
    pub(crate) series: Vec<Span>,
    /// What each end has to say of its sockets and connections.
    pub(crate) client: serde_json::Value,
    pub(crate) server: serde_json::Value,
}

/// What a run left behind at both ends, put together.
pub(crate) struct Both {
    pub(crate) client: Half,
    pub(crate) server: Option<Half>,
}

impl Both {
    fn recording(&self) -> Recording {
        let server = self.server.as_ref();
        let server = server.and_then(|half| half.recording.clone());
        server
            .or_else(|| self.client.recording.clone())
            .unwrap_or_default()
    }

    fn log(&self) -> Log {
        let server = self.server.as_ref().and_then(|half| half.log.clone());
        server
            .or_else(|| self.client.log.clone())
            .unwrap_or_default()
    }

    pub(crate) fn add_to(&self, all: &mut Histogram<u64>) {
        self.recording().latency.add_to(all);
    }

    pub(crate) fn report(self, cell: &Cell, allowed: Duration) -> RunReport {
        let (recording, log) = (self.recording(), self.log());
        let expected = match cell.closed {
            true => log.sent,
            false => cell.schedule(0, 0).measured() * cell.receivers(),
        };
        let arrived = recording.arrived;
        let server = self.server.as_ref();
        // Costs are of the measured time, and so are the events that they are divided by.
        let events = server.and_then(|half| half.spent.events);
        let events = events.or(self.client.spent.events).unwrap_or_default();
        let per_event = |amount: u64| (events > 0).then(|| round(amount as f64 / events as f64));
        let here = self.client.spent.traffic;
        let there = server.map_or(here, |half| half.spent.traffic);
        let calls = here.send_calls + there.send_calls;
        // Encoding and queueing happen on the thread that sends, which is not among the side's own.
        let with_sending = |half: &Half| {
            let sending = half.log.as_ref().map_or(0, |log| log.sending);
            half.spent.cpu.map(|cpu| cpu + sending)
        };
        let micros = |nanos: Option<u64>| Some(round(per_event(nanos?)? / 1e3));
        RunReport {
            invalid: invalid(cell, allowed, &log, expected, arrived),
            expected,
            arrived,
            delivered_percent: round(100.0 * arrived as f64 / expected.max(1) as f64),
            refused: log.refused,
            duplicates: recording.duplicates,
            reordered: recording.reordered,
            events_per_second: round(arrived as f64 / cell.duration.as_secs_f64()),
            latency: Figures::of(&recording.latency.histogram()),
            uncorrected: Figures::of(&recording.uncorrected.histogram()),
            lateness: Figures::of(&log.lateness.histogram()),
            jitter_us: round(recording.jitter / 1e3),
            wire_bytes_per_event: per_event(here.sent_bytes + here.received_bytes),
            datagrams_per_send_call: (calls > 0)
                .then(|| round((here.datagrams + there.datagrams) as f64 / calls as f64)),
            client_cpu_us_per_event: micros(with_sending(&self.client)),
            server_cpu_us_per_event: micros(server.and_then(with_sending)),
            series: recording.series,
            server: self
                .server
                .map_or(serde_json::Value::Null, |half| half.state),
            client: self.client.state,
        }
    }
}

fn invalid(
    cell: &Cell,
    allowed: Duration,
    log: &Log,
    expected: u64,
    arrived: u64,
) -> Option<String> {
    if let Some(late) = log.fell_behind(allowed)
        && !cell.closed
    {
        return Some(format!(
            "sender fell behind by {late:.1?}: fewer clients or a lower rate, or a quieter machine"
        ));
    }
    if log.refused > 0 {
        let (refused, sent) = (log.refused, log.sent);
        return Some(format!(
            "{refused} of {sent} events were refused: more than the connections take"
        ));
    }
    if arrived == 0 {
        return Some("nothing arrived: does the server answer echoes?".into());
    }
    // In a closed loop the last one is still on its way.
    let missing = expected.saturating_sub(arrived);
    if cell.is_reliable() && missing > u64::from(cell.clients) * u64::from(cell.closed) {
        return Some(format!(
            "{missing} of {expected} reliable events did not come in time: more than the server, or its echo, takes"
        ));
    }
    None
}

impl ContenderReport {
    pub(crate) fn new(
        name: &str,
        connect: &[Duration],
        runs: Vec<RunReport>,
        all: &Histogram<u64>,
    ) -> Self {
        let connect = connect.iter().map(|took| round(took.as_secs_f64() * 1e6));
        let mut over_runs = BTreeMap::new();
        for name in Figures::SHOWN {
            let values: Option<Vec<f64>> = runs.iter().map(|run| run.latency.named(name)).collect();
            if let Some(spread) = values.and_then(Spread::of) {
                over_runs.insert(format!("{name}_us"), spread);
            }
        }
        Self {
            name: name.into(),
            connect: Spread::of(connect).unwrap_or_default(),
            runs,
            over_runs,
            farfire_is: BTreeMap::new(),
            curve: curve(all),
        }
    }

    /// Of one figure over the runs.
    pub(crate) fn over_runs(&self, name: &str) -> Option<Spread> {
        self.over_runs.get(&format!("{name}_us")).copied()
    }

    /// Notes how farfire did in the same rounds.
    pub(crate) fn compare_with(&mut self, farfire: &Self) {
        for name in Figures::SHOWN {
            let pairs = farfire.runs.iter().zip(&self.runs);
            let ratios: Option<Vec<f64>> = pairs
                .map(|(ours, theirs)| {
                    let theirs = theirs.latency.named(name).filter(|figure| *figure > 0.0)?;
                    Some(ours.latency.named(name)? / theirs)
                })
                .collect();
            if let Some(spread) = ratios.and_then(Spread::of) {
                self.farfire_is.insert(name.into(), spread);
            }
        }
    }
}

/// Quantiles ever closer to one, as far as there are samples.
fn curve(all: &Histogram<u64>) -> Vec<(f64, f64)> {
    if all.is_empty() {
        return Vec::new();
    }
    let quantiles = (0..)
        .map(|step| 1.0 - 10f64.powf(-f64::from(step) / STEPS_PER_NINE))
        .take_while(|quantile| (1.0 - quantile) * all.len() as f64 >= 1.0);
    quantiles
        .map(|quantile| {
            (
                quantile,
                round(all.value_at_quantile(quantile) as f64 / 1e3),
            )
        })
        .collect()
}

/// The percentile table that plotters of HDR histograms read, in microseconds.
pub(crate) fn hgrm(all: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for step in all.iter_quantiles(5) {
        let (value, quantile) = (
            step.value_iterated_to() as f64 / 1e3,
            step.quantile_iterated_to(),
        );
        let below = all.count_between(0, step.value_iterated_to());
        let last = match quantile < 1.0 {
            true => format!(" {:16.2}", 1.0 / (1.0 - quantile)),
            false => String::new(),
        };
        text += &format!("{value:12.3} {quantile:14.12} {below:10}{last}\n");
    }
    text += &format!(
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n",
        all.mean() / 1e3,
        all.stdev() / 1e3
    );
    text += &format!(
        "#[Max     = {:12.3}, Total count    = {:12}]\n",
        all.max() as f64 / 1e3,
        all.len()
    );
    text
}

/// All samples of a contender.
pub(crate) fn no_samples() -> Histogram<u64> {
    empty()
}

fn round(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

impl Cell {
    /// In a few words.
    pub(crate) fn describe(&self) -> String {
        let way = match (self.kind, self.direction) {
            (Kind::Broadcast, _) => "one way, server to all".into(),
            (_, Direction::Echo) => "round trip".into(),
            (_, direction) => format!("one way, {}", direction.name()),
        };
        let load = match (self.closed, self.tick) {
            (true, _) => "CLOSED LOOP (ping-pong: stalls count once)".into(),
            (false, None) => format!("{}/s each", self.rate),
            (false, Some(tick)) => format!("{}/s each in bursts at {tick} Hz", self.rate),
        };
        let clients = match self.clients {
            1 => "1 client".into(),
            many => format!("{many} clients"),
        };
        let (kind, payload) = (self.kind.name(), &self.payload);
        let payload = match payload.to_string().parse::<usize>() {
            Ok(bytes) => format!("{bytes} B"),
            Err(_) => payload.to_string(),
        };
        format!("{kind}, {payload}, {way}, {clients}, {load}")
    }
}

const STEPS_PER_NINE: f64 = 20.0;

/// Reports for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::bench::payload::Payload;

    /// A benchmark of one cell: the contenders, and the median of each of their runs in microseconds.
    pub(crate) fn report(contenders: &[(&str, &[f64])]) -> Report {
        let contenders = contenders.iter().map(|(name, runs)| {
            let mut all = empty();
            let runs = runs.iter().map(|micros| run(*micros, &mut all)).collect();
            ContenderReport::new(name, &[Duration::from_millis(3)], runs, &all)
        });
        Report {
            schema: SCHEMA.into(),
            provenance: Provenance::here(),
            server: "process".into(),
            net: None,
            seed: 1,
            busy_poll: false,
            cells: vec![CellReport {
                cell: Cell {
                    kind: Kind::Reliable,
                    direction: Direction::Echo,
                    payload: Payload::Bytes(64),
                    clients: 1,
                    rate: 1000.0,
                    tick: None,
                    closed: false,
                    warm_up: Duration::from_millis(100),
                    duration: Duration::from_secs(1),
                    seed: 1,
                },
                encoded_bytes: 64,
                contenders: contenders.collect(),
            }],
        }
    }

    fn run(micros: f64, all: &mut Histogram<u64>) -> RunReport {
        all.saturating_record_n((micros * 1e3) as u64, 1000);
        let mut only = empty();
        only.saturating_record_n((micros * 1e3) as u64, 1000);
        let figures = Figures::of(&only);
        let span = |from_s: f64| Span {
            from_s,
            samples: 500,
            p50_us: micros,
            max_us: micros * 3.0,
        };
        RunReport {
            invalid: None,
            expected: 1000,
            arrived: 1000,
            delivered_percent: 100.0,
            refused: 0,
            duplicates: 0,
            reordered: 0,
            events_per_second: 1000.0,
            latency: figures,
            uncorrected: figures,
            lateness: figures,
            jitter_us: 1.0,
            wire_bytes_per_event: Some(150.0),
            datagrams_per_send_call: Some(1.0),
            client_cpu_us_per_event: Some(20.0),
            server_cpu_us_per_event: None,
            series: vec![span(0.0), span(0.5)],
            client: serde_json::Value::Null,
            server: serde_json::Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_min_median_and_max() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(of(&[]), None);
        let odd = of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.min, odd.median, odd.max, odd.runs), (1.0, 2.0, 3.0, 3));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn the_curve_goes_as_far_as_there_are_samples() {
        let mut histogram = empty();
        (1..=1000).for_each(|n| histogram.record(n * 1000).unwrap());
        let curve = curve(&histogram);
        let (last, value) = *curve.last().unwrap();
        assert!((0.998..0.9991).contains(&last), "{last}");
        assert!((990.0..1001.0).contains(&value), "{value}");
        assert!(curve.is_sorted_by_key(|point| point.1));
    }

    #[test]
    fn the_percentile_table_ends_with_all_samples() {
        let mut histogram = empty();
        (1..=1000).for_each(|n| histogram.record(n * 1000).unwrap());
        let text = hgrm(&histogram);
        assert!(text.contains("Total count    =         1000]"), "{text}");
        let rows = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'));
        let last: Vec<_> = rows.last().unwrap().split_whitespace().collect();
        assert_eq!(last[1..], ["1.000000000000", "1000"]);
        assert!((last[0].parse::<f64>().unwrap() - 1000.0).abs() < 1.0);
    }
}
