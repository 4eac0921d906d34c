//! When a target counts as met.

use crate::report::{
    figures::Spread,
    targets::{Limit, row},
};

#[test]
fn the_median_decides_and_the_spread_where_it_may() {
    let spread = |min, median| Spread {
        min,
        median,
        max: 9.0,
    };
    assert!(Limit::AtMost(1.1).is_met(&spread(0.5, 1.1)));
    assert!(!Limit::AtMost(1.1).is_met(&spread(0.5, 1.2)));
    assert!(Limit::AtLeast(0.9).is_met(&spread(0.5, 0.9)));
    assert!(!Limit::AtLeast(0.9).is_met(&spread(0.5, 0.8)));
    assert!(Limit::OrWithinSpread(1.25).is_met(&spread(0.9, 2.0)));
    assert!(!Limit::OrWithinSpread(1.25).is_met(&spread(1.1, 2.0)));
}

#[test]
fn what_was_not_measured_is_neither_met_nor_missed() {
    let row = row("a", "<= 1", None, Limit::AtMost(1.0));
    assert_eq!(row, "| a | <= 1 | not measured |  |\n");
}
