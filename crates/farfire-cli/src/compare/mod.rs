//! `farfire compare`: what changed between two benchmarks, as far as their runs can tell.
//!
//! This module has the command line and prints; [`verdict`] judges.

mod verdict;

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use self::verdict::{Change, Comparison, Verdict};
use crate::{
    bench::{
        report::{Report, SCHEMA},
        units::micros,
    },
    exit::{self, Complaint, MISSED, USAGE},
    paint::{BOLD, DIM, GREEN, Paint, RED},
};

/// What to compare.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// What `farfire bench --json` printed before
    before: PathBuf,
    /// What it printed after
    after: PathBuf,
    /// Compare although the conditions differ, or cannot be told
    #[arg(long)]
    force: bool,
    /// Exit with 5 if a figure of farfire is worse by at least this, beyond the spread of the runs
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_if_worse: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Complaint> {
    let (before, after) = (read(&options.before)?, read(&options.after)?);
    let differences = verdict::differences(&before, &after);
    if !differences.is_empty() && !options.force {
        return Err(Complaint::new(
            format!("the conditions differ: {}", differences.join("; ")),
            "measure both in the same way; `--force` compares them all the same",
        ));
    }
    let comparison = Comparison::of(&before, &after);
    if comparison.changes.is_empty() {
        return Err(Complaint::new(
            "the two have nothing in common that could be compared",
            "measure the same kinds and payloads, long enough for percentiles",
        ));
    }
    let text = match options.json {
        true => {
            json!({
                "schema": "farfire.compare/1",
                "differences": differences,
                "changes": comparison.changes,
            })
            .to_string()
                + "\n"
        }
        false => table(&comparison, &differences, Paint::stdout()),
    };
    // Whoever reads it may have seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    let Some(limit) = options.fail_if_worse else {
        return Ok(());
    };
    match comparison.worst() {
        Some(worst) if worst.percent >= limit => Err(Complaint::new(
            format!(
                "{} of {} is worse by {:.1} %, and {limit} % was too much",
                worst.figure, worst.cell, worst.percent
            ),
            "`farfire bench --repeat 20` on a quiet machine tells whether it stays so",
        )
        .code(MISSED)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Report, Complaint> {
    let place = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        let error = format!("{place} cannot be read: {error}");
        Complaint::new(
            error,
            "name two files that `farfire bench --json` was written to",
        )
    })?;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let report = match value["schema"] == SCHEMA {
        true => serde_json::from_value(value).map_err(|error| error.to_string()),
        false => Err(format!("its schema is not {SCHEMA}")),
    };
    report.map_err(|why| {
        let error = format!("{place} is no benchmark of this version: {why}");
        Complaint::new(error, "write one: farfire bench --json > FILE").code(USAGE)
    })
}

fn table(comparison: &Comparison, differences: &[String], paint: Paint) -> String {
    let mut out = String::new();
    for difference in differences {
        let _ = writeln!(
            out,
            "{}",
            paint.paint(RED, &format!("differs: {difference}"))
        );
    }
    let mut cell = "";
    for change in &comparison.changes {
        if change.cell != cell {
            cell = &change.cell;
            let _ = writeln!(out, "{}", paint.paint(BOLD, cell));
            let _ = writeln!(
                out,
                "  {:<7}{:>24}{:>24}{:>10}",
                "us", "before", "after", "change"
            );
        }
        let _ = writeln!(out, "  {}", row(change, paint));
    }
    out
}

fn row(change: &Change, paint: Paint) -> String {
    let side = |spread: &crate::bench::report::Spread| {
        let [min, median, max] = [spread.min, spread.median, spread.max].map(micros);
        format!("{median} ({min} to {max})")
    };
    let (style, words) = match change.verdict {
        Verdict::Better => (GREEN, "better"),
        Verdict::Worse => (RED, "worse"),
        Verdict::WithinNoise => (DIM, "within noise"),
    };
    format!(
        "{:<7}{:>24}{:>24}{:>+9.1}%  {}",
        change.figure,
        side(&change.before),
        side(&change.after),
        change.percent,
        paint.paint(style, words)
    )
}

fn percent(text: &str) -> Result<f64, String> {
    let digits = text.strip_suffix('%').unwrap_or(text);
    match digits.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent),
        _ => Err("write a percentage, such as 10%".into()),
    }
}

const AFTER_HELP: &str = exit::help!(
    "\
How it judges:
  Each figure has a median over the runs, and a spread from the least run to the most. A difference of the
  medians that is not larger than the larger spread is within noise, and nothing is claimed of it. Both
  have to be measured in the same way on the same machine, with at least two valid runs each.

Examples:
  farfire bench --repeat 10 --json > before.json
  farfire bench --repeat 10 --json > after.json
  farfire compare before.json after.json
  farfire compare before.json after.json --fail-if-worse 10%"
);
