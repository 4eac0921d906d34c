//! The report's own tests: a benchmark has a `main` instead of a harness, so they run from here.

#[path = "../../benches/report/main.rs"]
#[allow(dead_code, reason = "its tests alone")]
mod report;

mod figures;
mod model;
mod plot;
mod sections;
mod targets;

use std::{fs, path::Path};

/// Each section that the report writes has its place on the page.
#[test]
fn the_page_has_every_section() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/performance.md")).unwrap();
    let nothing = Path::new("/nonexistent");
    let groups = report::groups::GROUPS.iter().map(|group| group.name);
    let measured = report::figures::Measured::read(nothing, groups).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    report::sections::replace(&readme, "headline", "").unwrap();
    for (name, body) in report::page::sections(&measured) {
        report::sections::replace(&page, name, &body).unwrap();
    }
}

/// Each target names a workload that its group measures, or it would never be met or missed.
#[test]
fn every_target_has_its_workload() {
    for target in report::targets::TARGETS {
        let group = report::groups::GROUPS
            .iter()
            .find(|it| it.name == target.group);
        let workloads = group.unwrap().workloads();
        assert!(workloads.contains(&target.workload), "{}", target.workload);
    }
}
