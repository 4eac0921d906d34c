//! Lines of JSON become figures.

use std::path::Path;

use crate::report::figures::{Group, Measured};

#[test]
fn lines_are_provenance_figures_and_others() {
    let text = concat!(
        "{\"provenance\":{\"kernel\":\"6.1\"}}\n",
        "{\"workload\":\"w\",\"metric\":\"m\",\"unit\":\"us\",\"rounds\":2,\"quinn\":null,",
        "\"farfire\":{\"min\":1,\"median\":2.5,\"max\":12345},\"ratio\":null}\n",
        "{\"stopped\":\"5000 players\"}\n",
    );
    let group = Group::parse(text).unwrap();
    assert_eq!(group.provenance["kernel"], "6.1");
    assert_eq!((group.workloads(), group.others.len()), (vec!["w"], 1));
    let figure = &group.figures[0];
    assert_eq!((figure.quinn, figure.rounds), (None, 2));
    assert_eq!(figure.farfire.unwrap().to_string(), "2.50 (1.00..12.3 k)");
    assert!(Group::parse("no json").is_err());
}

#[test]
fn a_crowd_that_got_less_than_was_sent_is_overrun() {
    let arrived = |quinn: u32, farfire: u32| {
        let spread = |it: u32| format!("{{\"min\":{it},\"median\":{it},\"max\":{it}}}");
        let text = format!(
            "{{\"workload\":\"10 players\",\"metric\":\"arrived\",\"unit\":\"%\",\"rounds\":1,\
             \"quinn\":{},\"farfire\":{},\"ratio\":null}}",
            spread(quinn),
            spread(farfire)
        );
        Group::parse(&text).unwrap()
    };
    assert!(!arrived(100, 99).overrun("10 players"));
    assert!(arrived(50, 100).overrun("10 players"));
    assert!(arrived(100, 60).overrun("10 players"));
    assert!(!arrived(100, 60).overrun("100 players"), "another one");
}

#[test]
fn what_was_never_measured_is_empty() {
    let nowhere = Path::new("/nonexistent");
    let measured = Measured::read(nowhere, ["fan-out"].into_iter()).unwrap();
    assert!(measured.figure("fan-out", "w", "m").is_none());
}
