//! Lines in a frame, as SVG. The upward axis is logarithmic.

use std::fmt::Write;

pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    /// Where the marks of the lower axis are, and what they say.
    pub(crate) marks: Vec<(f64, String)>,
    pub(crate) unit: &'a str,
    pub(crate) lines: Vec<Line>,
}

impl Plot<'_> {
    /// Nothing where there are no points.
    pub(crate) fn draw(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let logs = || points().filter(|(_, y)| *y > 0.0).map(|(_, y)| y.log10());
        let bottom = logs().reduce(f64::min)?.floor();
        let top = logs().reduce(f64::max)?.ceil().max(bottom + 1.0);
        let xs = || {
            points()
                .map(|(x, _)| *x)
                .chain(self.marks.iter().map(|it| it.0))
        };
        let (left, right) = (xs().reduce(f64::min)?, xs().reduce(f64::max)?);
        let width = (right - left).max(f64::EPSILON);
        let x = |value: f64| LEFT + (value - left) / width * (WIDTH - LEFT - RIGHT);
        let y = |log: f64| TOP + (1.0 - (log - bottom) / (top - bottom)) * HEIGHT;
        let total = TOP + HEIGHT + 50.0 + self.lines.len() as f64 * STEP;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{total}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">{}</text>\n",
            escaped(self.title)
        );
        let edge = WIDTH - RIGHT;
        for power in bottom as i32..=top as i32 {
            let (at, value) = (y(power.into()), 10_f64.powi(power));
            let unit = self.unit;
            let _ = writeln!(
                out,
                "<path d=\"M {LEFT} {at:.1} H {edge}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{value} {unit}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        let floor = TOP + HEIGHT;
        for (at, label) in &self.marks {
            let at = x(*at);
            let label = escaped(label);
            let _ = writeln!(
                out,
                "<path d=\"M {at:.1} {TOP} V {floor}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{}\" \
                 text-anchor=\"middle\">{label}</text>",
                floor + 16.0
            );
        }
        for (at, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let seen = line.points.iter().filter(|(_, y)| *y > 0.0);
            let path: Vec<_> = seen
                .map(|(across, up)| format!("{:.1},{:.1}", x(*across), y(up.log10())))
                .collect();
            let legend = floor + 44.0 + at as f64 * STEP;
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
                 <path d=\"M {LEFT} {legend} h 24\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text>",
                path.join(" "),
                LEFT + 32.0,
                legend + 4.0,
                escaped(&line.name)
            );
        }
        Some(out + "</svg>\n")
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 260.0;
const TOP: f64 = 34.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 30.0;
const STEP: f64 = 18.0;
/// Told apart by most people whose eyes confuse some colours.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];
