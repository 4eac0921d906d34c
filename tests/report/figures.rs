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
fn what_was_never_measured_is_empty() {
    let nowhere = Path::new("/nonexistent");
    let measured = Measured::read(nowhere, ["fan-out"].into_iter()).unwrap();
    assert!(measured.figure("fan-out", "w", "m").is_none());
}
