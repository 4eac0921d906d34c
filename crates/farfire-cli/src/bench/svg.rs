//! A report as a picture: latency by percentile on an axis of nines, and over time.

use std::fmt::Write;

use super::report::{ContenderReport, Report};

/// Both plots below each other, each contender of each cell a line.
pub(super) fn draw(report: &Report) -> String {
    let mut colours = COLOURS.iter().cycle();
    let mut lines = Vec::new();
    for cell in &report.cells {
        for contender in &cell.contenders {
            lines.push(Line {
                title: format!("{}: {}", contender.name, cell.cell.describe()),
                contender,
                colour: colours.next().expect("it goes round"),
            });
        }
    }
    let legend = lines.len() as f64 * LINE_HEIGHT + 20.0;
    let height = 2.0 * PANEL + legend + 60.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    by_percentile(&mut out, &lines);
    over_time(&mut out, &lines);
    for (at, line) in lines.iter().enumerate() {
        let y = 2.0 * PANEL + 50.0 + at as f64 * LINE_HEIGHT;
        let (colour, title) = (line.colour, escaped(&line.title));
        let _ = writeln!(
            out,
            "<path d=\"M {LEFT} {y} h 24\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{}\">{title}</text>",
            LEFT + 32.0,
            y + 4.0
        );
    }
    out + "</svg>\n"
}

struct Line<'a> {
    title: String,
    contender: &'a ContenderReport,
    colour: &'static str,
}

/// A plot: values in, places out. Latency is on a logarithmic axis, in microseconds.
struct Axes {
    top: f64,
    most_x: f64,
    least_y: f64,
    most_y: f64,
}

impl Axes {
    fn new(top: f64, points: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let mut bounds: Option<(f64, f64, f64)> = None;
        for (x, y) in points.filter(|(_, y)| *y > 0.0) {
            let (most_x, least, most) = bounds.unwrap_or((x, y, y));
            bounds = Some((most_x.max(x), least.min(y), most.max(y)));
        }
        let (most_x, least, most) = bounds?;
        Some(Self {
            top,
            most_x: most_x.max(f64::EPSILON),
            least_y: least.log10().floor(),
            most_y: most.log10().ceil().max(least.log10().floor() + 1.0),
        })
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + value / self.most_x * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, micros: f64) -> f64 {
        let share = (micros.max(0.1).log10() - self.least_y) / (self.most_y - self.least_y);
        self.top + (PANEL - GAP) * (1.0 - share.clamp(0.0, 1.0))
    }

    fn frame(&self, out: &mut String, title: &str, ticks: &[(f64, String)]) {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        let (top, bottom) = (self.top, self.top + PANEL - GAP);
        let _ = writeln!(
            out,
            "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
            top - 8.0
        );
        for power in self.least_y as i32..=self.most_y as i32 {
            let micros = 10f64.powi(power);
            let y = self.y(micros);
            let label = match power {
                ..3 => format!("{micros} us"),
                3..6 => format!("{} ms", micros / 1e3),
                _ => format!("{} s", micros / 1e6),
            };
            let _ = writeln!(
                out,
                "<path d=\"M {left} {y:.1} H {right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 6.0,
                y + 4.0
            );
        }
        for (at, label) in ticks {
            let x = self.x(*at);
            let _ = writeln!(
                out,
                "<path d=\"M {x:.1} {top} V {bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                bottom + 16.0
            );
        }
    }

    fn line(&self, out: &mut String, points: &[(f64, f64)], colour: &str, dashes: &str) {
        let mut path = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            let command = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command} {:.1} {:.1} ", self.x(*x), self.y(*y));
        }
        let _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}/>",
            path.trim_end()
        );
    }
}

fn by_percentile(out: &mut String, lines: &[Line<'_>]) {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let points = |line: &Line<'_>| -> Vec<(f64, f64)> {
        let curve = line.contender.curve.iter();
        curve
            .map(|(quantile, micros)| (nines(*quantile), *micros))
            .collect()
    };
    let Some(axes) = Axes::new(TOP, lines.iter().flat_map(points)) else {
        return;
    };
    let labels = [
        "0 %",
        "90 %",
        "99 %",
        "99.9 %",
        "99.99 %",
        "99.999 %",
        "99.9999 %",
    ];
    let ticks = labels.iter().enumerate();
    let ticks = ticks.map(|(at, label)| (at as f64, (*label).to_owned()));
    let ticks: Vec<_> = ticks.take_while(|(at, _)| *at <= axes.most_x).collect();
    axes.frame(out, "Latency by percentile, all runs", &ticks);
    for line in lines {
        axes.line(out, &points(line), line.colour, "");
    }
}

fn over_time(out: &mut String, lines: &[Line<'_>]) {
    let series = |line: &Line<'_>| {
        let run = line.contender.runs.last();
        run.map(|run| run.series.clone()).unwrap_or_default()
    };
    let both = |line: &Line<'_>| {
        let series = series(line).into_iter();
        series.flat_map(|span| [(span.from_s, span.p50_us), (span.from_s, span.max_us)])
    };
    let Some(axes) = Axes::new(TOP + PANEL, lines.iter().flat_map(both)) else {
        return;
    };
    let ticks: Vec<_> = (0..=4)
        .map(|step| {
            let seconds = axes.most_x * f64::from(step) / 4.0;
            (seconds, format!("{seconds:.1} s"))
        })
        .collect();
    let title = "Latency over time, last run: median, and dashed the maximum";
    axes.frame(out, title, &ticks);
    for line in lines {
        let series = series(line);
        let of = |pick: fn(&super::recording::Span) -> f64| -> Vec<(f64, f64)> {
            series
                .iter()
                .map(|span| (span.from_s, pick(span)))
                .collect()
        };
        axes.line(out, &of(|span| span.p50_us), line.colour, "");
        axes.line(
            out,
            &of(|span| span.max_us),
            line.colour,
            " stroke-dasharray=\"3 3\"",
        );
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

const WIDTH: f64 = 800.0;
const PANEL: f64 = 300.0;
/// Between a plot and the next one's title.
const GAP: f64 = 60.0;
const TOP: f64 = 30.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const LINE_HEIGHT: f64 = 18.0;
/// Told apart by most people whose eyes confuse some colours.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample::report;

    /// Every element is closed in order, every attribute quoted, every number one.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for (at, _) in svg.match_indices('<') {
            let tag = &svg[at + 1..at + svg[at..].find('>').unwrap()];
            let name = tag.split_whitespace().next().unwrap().trim_end_matches('/');
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
                continue;
            }
            let (quotes, equals) = (tag.matches('"').count(), tag.matches('=').count());
            assert_eq!(quotes, 2 * equals, "{tag}");
            assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "not closed: {open:?}");
        for (at, _) in svg.match_indices('&') {
            let known = ["&amp;", "&lt;", "&gt;", "&quot;"];
            let rest = &svg[at..];
            assert!(
                known.iter().any(|entity| rest.starts_with(entity)),
                "{rest}"
            );
        }
    }

    #[test]
    fn a_picture_is_well_formed_and_has_a_line_for_each() {
        let report = report(&[
            ("farfire", &[100.0, 110.0]),
            ("a <b> & \"c\"", &[10.0, 9000.0]),
        ]);
        let svg = draw(&report);
        assert_well_formed(&svg);
        // A curve, a median and a maximum each.
        assert_eq!(svg.matches("fill=\"none\"").count(), 6);
        for text in [
            "90 %",
            "10 ms",
            "farfire: reliable",
            "a &lt;b&gt; &amp; &quot;c&quot;",
        ] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn without_samples_there_is_an_empty_picture() {
        let mut report = report(&[("farfire", &[])]);
        assert_well_formed(&draw(&report));
        report.cells.clear();
        assert_well_formed(&draw(&report));
    }

    #[test]
    fn the_axis_is_of_nines() {
        let points = [(0.0, 10.0), (2.0, 1000.0)];
        let axes = Axes::new(0.0, points.into_iter()).unwrap();
        let middle = f64::midpoint(axes.x(0.0), axes.x(2.0));
        assert!((axes.x(1.0) - middle).abs() < 1e-9);
        assert!(axes.y(1000.0) < axes.y(100.0) && axes.y(100.0) < axes.y(10.0));
    }
}
