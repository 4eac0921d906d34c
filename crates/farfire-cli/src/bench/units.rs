//! Durations and figures as people write and read them.

use std::time::Duration;

/// Reads `500ms`, `3s`, `20us`, `1.5m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [
        ("ms", 1e-3),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("s", 1.0),
        ("m", 60.0),
    ];
    let found = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let seconds = found.and_then(|(digits, unit)| Some(digits.trim().parse::<f64>().ok()? * unit));
    match seconds {
        Some(seconds) if (0.0..=86_400.0).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("write a number and a unit, such as 500ms, 3s or 1m".into()),
    }
}

/// Microseconds with as many digits as matter.
pub(crate) fn micros(figure: f64) -> String {
    match figure {
        figure if figure < 100.0 => format!("{figure:.1}"),
        figure if figure < 100_000.0 => format!("{figure:.0}"),
        figure => format!("{:.0}k", figure / 1e3),
    }
}

/// The same of a figure that there may not be.
pub(crate) fn micros_or(figure: Option<f64>) -> String {
    figure.map_or_else(|| "n/a".into(), micros)
}

/// A duration in the unit that suits it.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, micros) in [
            ("20us", 20),
            ("500ms", 500_000),
            ("1.5s", 1_500_000),
            ("1m", 60_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for wrong in ["20", "ms", "-1s", "1h", "2d", "NaNs", "infs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn figures_have_the_digits_that_matter() {
        assert_eq!(micros(81.23), "81.2");
        assert_eq!(micros(1234.5), "1234");
        assert_eq!(micros(250_000.0), "250k");
        assert_eq!(micros_or(None), "n/a");
        assert_eq!(time(Duration::from_micros(1500)), "1.5 ms");
    }
}
