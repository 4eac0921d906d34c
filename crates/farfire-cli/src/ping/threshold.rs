//! Thresholds such as `p99>20ms`: what makes a measurement fail.

use std::{fmt, str::FromStr};

use crate::bench::units;

/// Fails what is above a figure, or below it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Threshold {
    text: String,
    figure: String,
    above: bool,
    /// Microseconds, or percent of `loss`.
    limit: f64,
}

impl Threshold {
    /// What it is about: a percentile, or `loss`, `jitter`.
    pub(crate) fn figure(&self) -> &str {
        &self.figure
    }

    /// Whether `value` makes it fail; what cannot be told fails too.
    pub(crate) fn fails(&self, value: Option<f64>) -> bool {
        match value {
            Some(value) if self.above => value > self.limit,
            Some(value) => value < self.limit,
            None => true,
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const HELP: &str = "write a figure, > or <, and a limit, such as p99>20ms or loss>1%; figures are \
            min, mean, p50, p90, p99, p99.9, max, jitter, loss";
        let at = text.find(['>', '<']).ok_or(HELP)?;
        let (figure, limit) = (text[..at].trim(), text[at + 1..].trim());
        let figures = [
            "min", "mean", "p50", "p90", "p99", "p99.9", "max", "jitter", "loss",
        ];
        if !figures.contains(&figure) {
            return Err(HELP.into());
        }
        let limit = match figure {
            "loss" => {
                let percent = limit
                    .strip_suffix('%')
                    .and_then(|digits| digits.parse().ok());
                percent
                    .filter(|percent: &f64| percent.is_finite())
                    .ok_or(HELP)?
            }
            _ => units::duration(limit)?.as_secs_f64() * 1e6,
        };
        Ok(Self {
            text: text.into(),
            figure: figure.into(),
            above: text[at..].starts_with('>'),
            limit,
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_figure_and_a_limit() {
        let p99: Threshold = "p99>20ms".parse().unwrap();
        assert_eq!(p99.figure(), "p99");
        assert!(p99.fails(Some(20_000.1)) && !p99.fails(Some(20_000.0)));
        let min: Threshold = " min < 100us ".parse().unwrap();
        assert!(min.fails(Some(99.0)) && !min.fails(Some(100.0)));
        let loss: Threshold = "loss>1%".parse().unwrap();
        assert!(loss.fails(Some(1.5)) && !loss.fails(Some(1.0)));
    }

    #[test]
    fn what_cannot_be_told_fails() {
        assert!("p99>1s".parse::<Threshold>().unwrap().fails(None));
        assert!("p99<1s".parse::<Threshold>().unwrap().fails(None));
    }

    #[test]
    fn mistakes_are_refused() {
        for wrong in [
            "p99",
            "p98>1ms",
            "p99>20",
            "loss>1ms",
            "loss>NaN%",
            ">1ms",
            "",
        ] {
            assert!(wrong.parse::<Threshold>().is_err(), "{wrong}");
        }
    }
}
