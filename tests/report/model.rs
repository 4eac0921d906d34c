//! The fit of a broadcast's cost.

use crate::report::model::{Run, fit};

fn run(players: f64, hertz: f64) -> Run {
    let messages = players * hertz;
    Run {
        messages,
        players,
        core: messages * 12e-6 + players * 50e-6,
    }
}

#[test]
fn it_finds_what_the_runs_were_made_of() {
    let model = fit(&[run(10.0, 60.0), run(1000.0, 20.0), run(100.0, 30.0)]).unwrap();
    assert!((model.per_message - 12e-6).abs() < 1e-9, "{model:?}");
    assert!((model.per_player - 50e-6).abs() < 1e-9, "{model:?}");
    assert!(model.worst < 1e-6);
    // 16 cores at 0.8, by 60 * 12 + 50 us each.
    assert!((model.players(16.0, 60.0) - 12.8 / 770e-6).abs() < 1.0);
}

#[test]
fn one_rate_cannot_tell_them_apart() {
    assert_eq!(fit(&[run(10.0, 60.0), run(100.0, 60.0)]), None);
    assert_eq!(fit(&[]), None);
}

#[test]
fn no_part_is_negative() {
    let mut runs = [run(100.0, 60.0), run(100.0, 20.0)];
    runs[1].core /= 10.0;
    let model = fit(&runs).unwrap();
    assert!(model.per_message >= 0.0 && model.per_player >= 0.0);
    assert!(model.worst > 0.1);
}
