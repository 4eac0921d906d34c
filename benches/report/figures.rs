//! What was measured, read back from its lines of JSON.

use std::{collections::BTreeMap, fmt, fs, io, path::Path};

use serde_json::Value;

/// Median and extremes over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// One metric of one workload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) workload: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) rounds: u64,
    pub(crate) quinn: Option<Spread>,
    pub(crate) farfire: Option<Spread>,
    /// Farfire's to quinn's, within each round.
    pub(crate) ratio: Option<Spread>,
}

/// One group: where it was measured, its figures, and the lines that are neither.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) provenance: BTreeMap<String, String>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) others: Vec<Value>,
}

pub(crate) struct Measured(BTreeMap<String, Group>);

impl Measured {
    /// A group that was never measured is empty.
    pub(crate) fn read<'a>(
        folder: &Path,
        names: impl Iterator<Item = &'a str>,
    ) -> io::Result<Self> {
        let mut groups = BTreeMap::new();
        for name in names {
            let group = match fs::read_to_string(folder.join(format!("{name}.jsonl"))) {
                Ok(text) => Group::parse(&text)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Group::default(),
                Err(error) => return Err(error),
            };
            groups.insert(name.to_owned(), group);
        }
        Ok(Self(groups))
    }

    pub(crate) fn group(&self, name: &str) -> &Group {
        &self.0[name]
    }

    pub(crate) fn figure(&self, group: &str, workload: &str, metric: &str) -> Option<&Figure> {
        let mut figures = self.group(group).figures.iter();
        figures.find(|it| it.workload == workload && it.metric == metric)
    }
}

impl Group {
    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let mut group = Self::default();
        for line in text.lines() {
            let value: Value = serde_json::from_str(line)?;
            if let Some(provenance) = value.get("provenance").and_then(Value::as_object) {
                let pair = |(key, value): (&String, &Value)| {
                    (key.clone(), value.as_str().unwrap_or_default().to_owned())
                };
                group.provenance = provenance.iter().map(pair).collect();
            } else if let Some(figure) = Figure::parse(&value) {
                group.figures.push(figure);
            } else {
                group.others.push(value);
            }
        }
        Ok(group)
    }

    /// Whether a broadcast was more than both processes could do on this machine, on either side: what a
    /// message costs cannot be told then.
    pub(crate) fn overrun(&self, workload: &str) -> bool {
        let arrived = self.figures.iter().find(|it| {
            it.workload == workload && it.metric == "arrived" && workload.contains("player")
        });
        let sides = arrived.map_or([None; 2], |it| [it.quinn, it.farfire]);
        sides.iter().flatten().any(|it| it.median < ENOUGH)
    }

    /// The workloads in the order they were measured.
    pub(crate) fn workloads(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.figures.iter().map(|it| it.workload.as_str()).collect();
        names.dedup();
        names
    }
}

impl Figure {
    fn parse(value: &Value) -> Option<Self> {
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
        let spread = |key: &str| {
            let of = |part: &str| value.get(key)?.get(part)?.as_f64();
            Some(Spread {
                min: of("min")?,
                median: of("median")?,
                max: of("max")?,
            })
        };
        Some(Self {
            workload: text("workload")?,
            metric: text("metric")?,
            unit: text("unit")?,
            rounds: value.get("rounds")?.as_u64()?,
            quinn: spread("quinn"),
            farfire: spread("farfire"),
            ratio: spread("ratio"),
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, median, max } = self;
        match min == max {
            true => write!(f, "{}", short(*median)),
            false => write!(f, "{} ({}..{})", short(*median), short(*min), short(*max)),
        }
    }
}

/// Of what was sent, in percent.
const ENOUGH: f64 = 95.0;

/// Three digits or so.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
