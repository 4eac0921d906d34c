//! Plots are well formed, and in scale.

use crate::report::plot::{Line, Plot};

fn plot(points: Vec<(f64, f64)>) -> Option<String> {
    let line = |name: &str| Line {
        name: name.into(),
        points: points.clone(),
    };
    let marks = vec![(0.0, "50 %".into()), (1.0, "90 %".into())];
    let lines = vec![line("bare <quinn>"), line("farfire")];
    let (title, unit) = ("a & b", "us");
    Plot {
        title,
        marks,
        unit,
        lines,
    }
    .draw()
}

#[test]
fn every_line_is_drawn_between_the_marks() {
    let svg = plot(vec![(0.0, 10.0), (1.0, 1000.0)]).unwrap();
    assert_eq!(svg.matches("<polyline points=\"80.0,").count(), 2);
    // 10 us at the bottom and left, 1000 us at the top and right.
    assert!(svg.contains("points=\"80.0,294.0 770.0,34.0\""), "{svg}");
    assert!(svg.contains("a &amp; b") && svg.contains("bare &lt;quinn&gt;"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn without_points_there_is_no_plot() {
    assert_eq!(plot(vec![]), None);
    assert_eq!(
        plot(vec![(0.0, 0.0)]),
        None,
        "zero is nowhere on a logarithmic axis"
    );
    let one = plot(vec![(0.5, 3.0)]).unwrap();
    assert!(!one.contains("NaN"));
}
