//! What two benchmarks say about each other.
//!
//! Knows nothing of files and terminals.

use serde::Serialize;

use crate::bench::{
    provenance::Machine,
    recording::Figures,
    report::{CellReport, Report, Spread},
};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Better,
    Worse,
    WithinNoise,
}

impl Verdict {
    /// Less is better. A difference that is not larger than the larger spread is none.
    fn of(before: &Spread, after: &Spread) -> Self {
        let difference = after.median - before.median;
        let spread = (before.max - before.min).max(after.max - after.min);
        match difference {
            difference if difference.abs() <= spread => Self::WithinNoise,
            difference if difference < 0.0 => Self::Better,
            _ => Self::Worse,
        }
    }
}

/// One figure, before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Change {
    /// What was measured, of whom.
    pub(super) cell: String,
    pub(super) is_farfire: bool,
    pub(super) figure: &'static str,
    pub(super) before: Spread,
    pub(super) after: Spread,
    pub(super) percent: f64,
    pub(super) verdict: Verdict,
}

pub(super) struct Comparison {
    pub(super) changes: Vec<Change>,
}

impl Comparison {
    pub(super) fn of(before: &Report, after: &Report) -> Self {
        let mut changes = Vec::new();
        for (at, cell) in before.cells.iter().enumerate() {
            let same = after.cells.iter().find(|other| other.cell == cell.cell);
            // Forced: what stands in the same place.
            if let Some(other) = same.or_else(|| after.cells.get(at)) {
                compare(cell, other, &mut changes);
            }
        }
        Self { changes }
    }

    /// The figure of farfire that is worse by most.
    pub(super) fn worst(&self) -> Option<&Change> {
        let worse = self
            .changes
            .iter()
            .filter(|change| change.is_farfire && change.verdict == Verdict::Worse);
        worse.max_by(|a, b| a.percent.total_cmp(&b.percent))
    }
}

fn compare(before: &CellReport, after: &CellReport, changes: &mut Vec<Change>) {
    for one in &before.contenders {
        let Some(other) = after.contenders.iter().find(|other| other.name == one.name) else {
            continue;
        };
        // The maximum of a run is one event's bad luck.
        for figure in Figures::SHOWN.into_iter().filter(|name| *name != "max") {
            let (Some(before_it), Some(after_it)) =
                (one.over_runs(figure), other.over_runs(figure))
            else {
                continue;
            };
            changes.push(Change {
                cell: format!("{}: {}", one.name, before.cell.describe()),
                is_farfire: one.name == "farfire",
                figure,
                before: before_it,
                after: after_it,
                percent: 100.0 * (after_it.median / before_it.median - 1.0),
                verdict: Verdict::of(&before_it, &after_it),
            });
        }
    }
}

/// Why the two cannot be compared, in words; empty if they can.
pub(super) fn differences(before: &Report, after: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| {
        let (one, other) = (format!("{one:?}"), format!("{other:?}"));
        if one != other {
            found.push(format!("{what} ({one}, {other})"));
        }
    };
    let (from, to) = (&before.provenance, &after.provenance);
    differ("the build is optimised", &from.optimised, &to.optimised);
    differ("the protocol", &from.protocol, &to.protocol);
    machines(&from.machine, &to.machine, &mut differ);
    differ("the server", &before.server, &after.server);
    differ("the network", &before.net, &after.net);
    if before.net.is_some() {
        differ("the seed", &before.seed, &after.seed);
    }
    differ("busy polling", &before.busy_poll, &after.busy_poll);
    let cells = |report: &Report| -> Vec<_> {
        let cells = report.cells.iter();
        cells.map(|report| report.cell.clone()).collect()
    };
    let (one, other) = (cells(before), cells(after));
    if one != other {
        let describe = |cells: Vec<crate::bench::Cell>| {
            let cells = cells.iter().map(|cell| {
                let (warm_up, duration) = (cell.warm_up, cell.duration);
                format!("{}, {duration:?} after {warm_up:?}", cell.describe())
            });
            cells.collect::<Vec<_>>().join(" and ")
        };
        let (one, other) = (describe(one), describe(other));
        found.push(format!("what was measured ({one}; {other})"));
    }
    for (which, report) in [("first", before), ("second", after)] {
        if let Some(why) = report.invalid().next() {
            found.push(format!("the {which} has an invalid run ({why})"));
        }
        let contenders = report.cells.iter().flat_map(|cell| &cell.contenders);
        if contenders.clone().any(|contender| contender.runs.len() < 2) {
            found.push(format!("the {which} has one run, which has no spread"));
        }
    }
    found
}

fn machines(
    one: &Machine,
    other: &Machine,
    differ: &mut impl FnMut(&str, &dyn std::fmt::Debug, &dyn std::fmt::Debug),
) {
    differ("the system", &one.system, &other.system);
    differ("the kernel", &one.kernel, &other.kernel);
    differ("the processor", &one.cpu, &other.cpu);
    differ("its cores", &one.cores, &other.cores);
    differ("the governor", &one.governor, &other.governor);
    differ("socket buffers", &one.socket_buffers, &other.socket_buffers);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample::report;

    #[test]
    fn a_difference_within_the_spread_is_noise() {
        for (before, after, expected) in [
            (
                [100.0, 101.0, 102.0],
                [100.5, 101.5, 103.0],
                Verdict::WithinNoise,
            ),
            ([100.0, 101.0, 102.0], [110.0, 111.0, 112.0], Verdict::Worse),
            (
                [110.0, 111.0, 112.0],
                [100.0, 101.0, 102.0],
                Verdict::Better,
            ),
            // One wild run takes the others' word away.
            (
                [100.0, 101.0, 150.0],
                [110.0, 111.0, 112.0],
                Verdict::WithinNoise,
            ),
        ] {
            let of = |values: [f64; 3]| Spread::of(values).unwrap();
            let verdict = Verdict::of(&of(before), &of(after));
            assert_eq!(verdict, expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn the_worst_of_farfire_is_found_and_others_do_not_count() {
        let before = report(&[("farfire", &[100.0, 101.0]), ("udp", &[10.0, 11.0])]);
        let after = report(&[("farfire", &[120.0, 121.0]), ("udp", &[90.0, 91.0])]);
        let comparison = Comparison::of(&before, &after);
        let worst = comparison.worst().unwrap();
        assert!(
            worst.is_farfire && (worst.percent - 19.9).abs() < 0.1,
            "{worst:?}"
        );
        assert!(Comparison::of(&before, &before).worst().is_none());
        assert!(differences(&before, &after).is_empty());
    }

    #[test]
    fn conditions_that_differ_are_named() {
        let before = report(&[("farfire", &[100.0, 101.0])]);
        let named = |change: &dyn Fn(&mut Report), what: &str| {
            let mut after = before.clone();
            change(&mut after);
            let found = differences(&before, &after);
            assert!(
                found.iter().any(|one| one.contains(what)),
                "{what}: {found:?}"
            );
        };
        named(&|report| report.provenance.machine.cores += 1, "cores");
        named(&|report| report.provenance.optimised ^= true, "build");
        named(&|report| report.net = Some("wifi".into()), "network");
        named(&|report| report.cells[0].cell.rate *= 2.0, "measured");
        named(
            &|report| report.cells[0].contenders[0].runs.truncate(1),
            "one run",
        );
        let invalid = |report: &mut Report| {
            report.cells[0].contenders[0].runs[0].invalid = Some("it fell behind".into());
        };
        named(&invalid, "it fell behind");
        let mut seed = before.clone();
        seed.seed += 1;
        assert!(differences(&before, &seed).is_empty(), "nothing was random");
    }
}
