//! What a workload measured, as a table for people or as lines of JSON for programs.

use std::time::Duration;

/// One figure of one round, of both.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    /// Bare quinn's, where there is such a thing.
    pub(crate) bare: Option<f64>,
    pub(crate) ours: f64,
}

impl Sample {
    pub(crate) fn new(metric: &'static str, unit: &'static str, bare: f64, ours: f64) -> Self {
        let bare = Some(bare);
        Self {
            metric,
            unit,
            bare,
            ours,
        }
    }

    pub(crate) fn alone(metric: &'static str, unit: &'static str, ours: f64) -> Self {
        Self {
            metric,
            unit,
            bare: None,
            ours,
        }
    }
}

/// The sample at a share of the sorted ones, in microseconds.
pub(crate) fn percentile(samples: &mut [Duration], per_mille: usize) -> f64 {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    let at = (samples.len() * per_mille / 1000).min(last);
    samples.get(at).map_or(0.0, |it| it.as_secs_f64() * 1e6)
}

/// Median and extremes over rounds.
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self {
            low: *values.first()?,
            median: values[values.len() / 2],
            high: *values.last()?,
        })
    }

    fn table(&self) -> String {
        let Self { low, median, high } = self;
        format!("{} ({}..{})", short(*median), short(*low), short(*high))
    }

    fn json(&self) -> String {
        let Self { low, median, high } = self;
        format!("{{\"min\":{low},\"median\":{median},\"max\":{high}}}")
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.2}M", value / 1e6),
        v if v >= 1e4 => format!("{:.1}k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(crate) fn head(json: bool) -> Option<String> {
    (!json).then(|| {
        let columns = ["workload", "metric", "quinn", "farfire", "ratio"];
        line(&columns.map(String::from))
    })
}

/// One line for each metric of a workload.
pub(crate) fn lines(json: bool, workload: &str, rounds: &[Vec<Sample>]) -> Vec<String> {
    let Some(first) = rounds.first() else {
        return Vec::new();
    };
    let row = |(at, sample): (usize, &Sample)| {
        let column: Vec<Sample> = rounds.iter().filter_map(|it| it.get(at).copied()).collect();
        let ours = Spread::of(column.iter().map(|it| it.ours).collect());
        let bare = Spread::of(column.iter().filter_map(|it| it.bare).collect());
        let ratios = column.iter().filter_map(|it| Some(it.ours / it.bare?));
        let ratio = Spread::of(ratios.collect());
        let (metric, unit) = (sample.metric, sample.unit);
        if json {
            let value =
                |it: &Option<Spread>| it.as_ref().map_or_else(|| "null".into(), Spread::json);
            let (bare, ours, ratio) = (value(&bare), value(&ours), value(&ratio));
            return format!(
                "{{\"workload\":\"{workload}\",\"metric\":\"{metric}\",\"unit\":\"{unit}\",\
                 \"rounds\":{},\"quinn\":{bare},\"farfire\":{ours},\"ratio\":{ratio}}}",
                column.len()
            );
        }
        let value = |it: Option<Spread>| it.as_ref().map_or_else(|| "-".into(), Spread::table);
        let metric = format!("{metric}, {unit}");
        line(&[
            workload.into(),
            metric,
            value(bare),
            value(ours),
            value(ratio),
        ])
    };
    first.iter().enumerate().map(row).collect()
}

fn line([workload, metric, quinn, farfire, ratio]: &[String; 5]) -> String {
    format!("{workload:<32} {metric:<22} {quinn:>24} {farfire:>24} {ratio:>20}")
}
