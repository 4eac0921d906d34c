//! Days for people to read.

use std::time::{SystemTime, UNIX_EPOCH};

/// A day such as `3 Nov 2026`, in UTC.
pub(crate) fn date(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let month = MONTHS.get(month - 1).copied().unwrap_or_default();
    format!("{day} {month} {year}")
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar.
///
/// Counted from 1 March of the year 0, so that the leap day is the last of a year; 400 years have 146,097 days.
fn civil(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + later, month as usize, day)
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1 Jan 1970");
        assert_eq!(at(951_782_400), "29 Feb 2000");
        assert_eq!(at(951_868_800), "1 Mar 2000");
        assert_eq!(at(1_793_664_000), "3 Nov 2026");
        assert_eq!(at(4_107_542_399), "28 Feb 2100");
        assert_eq!(at(4_107_542_400), "1 Mar 2100");
    }
}
