//! A line chart as SVG.
//!
//! Ours because it is one kind of chart, and text in text out: a plotting library would bring fonts and rasters along.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
/// Height of all but the legend.
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 64.0;
/// Height of a line of the legend, and its entries side by side.
const LEGEND_LINE: f64 = 20.0;
const LEGEND_COLUMNS: usize = 2;
/// Room between the frame and the first and last place on the horizontal axis.
const INSET: f64 = 36.0;
/// Distance between points of different series at one place.
const DODGE: f64 = 7.0;

/// Colours that people with any colour vision can tell apart (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

/// A chart of ratios, with a line at 1.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) x_title: String,
    pub(super) y_title: String,
    /// Places on the horizontal axis, each from 0 to 1, with what is written there.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) series: Vec<Series>,
}

/// Points that belong together.
pub(super) struct Series {
    pub(super) label: String,
    pub(super) points: Vec<Point>,
}

/// One value with its quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Place on the horizontal axis, 0 to 1.
    pub(super) x: f64,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whether a line comes here from the point before.
    pub(super) is_joined: bool,
}

impl Chart {
    /// The whole file.
    pub(super) fn svg(&self) -> String {
        let lines = self.series.len().div_ceil(LEGEND_COLUMNS);
        let height = HEIGHT + LEGEND_LINE * lines as f64 + 8.0;
        let mut svg = Svg(String::new());
        svg.line(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222\">"
        ));
        svg.line(&format!(
            "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>"
        ));
        svg.text(
            LEFT,
            26.0,
            "font-size=\"17\" font-weight=\"bold\"",
            &self.title,
        );
        svg.text(LEFT, 46.0, "font-size=\"12\" fill=\"#666\"", &self.subtitle);
        let scale = Scale::over(&self.series);
        self.draw_axes(&mut svg, &scale);
        for (index, series) in self.series.iter().enumerate() {
            let middle = (self.series.len() - 1) as f64 / 2.0;
            let dodge = (index as f64 - middle) * DODGE;
            draw_series(&mut svg, &scale, (index, dodge), &series.points);
            draw_legend(&mut svg, index, &series.label);
        }
        svg.line("</svg>");
        svg.0
    }

    fn draw_axes(&self, svg: &mut Svg, scale: &Scale) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for value in scale.ticks() {
            let y = scale.y(value);
            svg.stroke((LEFT, y), (right, y), "stroke=\"#e4e4e4\"");
            let label = scale.label(value);
            svg.text(LEFT - 8.0, y + 4.5, "text-anchor=\"end\"", &label);
        }
        for (place, label) in &self.ticks {
            let x = x(*place);
            svg.stroke((x, bottom), (x, bottom + 5.0), "stroke=\"#888\"");
            svg.text(x, bottom + 20.0, "text-anchor=\"middle\"", label);
        }
        svg.stroke((LEFT, bottom), (right, bottom), "stroke=\"#888\"");
        svg.stroke((LEFT, TOP), (LEFT, bottom), "stroke=\"#888\"");
        let one = scale.y(1.0);
        let dashed = "stroke=\"#444\" stroke-dasharray=\"6 4\"";
        svg.stroke((LEFT, one), (right, one), dashed);
        // White around the letters keeps them legible where a line passes.
        let plain = "text-anchor=\"end\" font-size=\"11\" fill=\"#444\" stroke=\"#fff\" stroke-width=\"3\" \
                     paint-order=\"stroke\"";
        svg.text(right - 4.0, one - 5.0, plain, "plain decoding");
        let middle = f64::midpoint(LEFT, right);
        let centred = "text-anchor=\"middle\"";
        svg.text(middle, bottom + 44.0, centred, &self.x_title);
        let (x, y) = (22.0, f64::midpoint(TOP, bottom));
        let turned = format!("{centred} transform=\"rotate(-90 {x} {y})\"");
        svg.text(x, y, &turned, &self.y_title);
    }
}

fn draw_series(svg: &mut Svg, scale: &Scale, (index, dodge): (usize, f64), points: &[Point]) {
    let colour = colour(index);
    let at = |point: &Point, value: f64| (x(point.x) + dodge, scale.y(value));
    let line = format!("stroke=\"{colour}\" stroke-width=\"2\"");
    for pair in points.windows(2).filter(|pair| pair[1].is_joined) {
        let (from, to) = (at(&pair[0], pair[0].value), at(&pair[1], pair[1].value));
        svg.stroke(from, to, &line);
    }
    let thin = format!("stroke=\"{colour}\" stroke-width=\"1\" stroke-opacity=\"0.7\"");
    for point in points {
        let ((x, low), (_, high)) = (at(point, point.low), at(point, point.high));
        svg.stroke((x, low), (x, high), &thin);
        for end in [low, high] {
            svg.stroke((x - 3.0, end), (x + 3.0, end), &thin);
        }
        svg.mark(index, at(point, point.value));
    }
}

fn draw_legend(svg: &mut Svg, index: usize, label: &str) {
    let (line, column) = (index / LEGEND_COLUMNS, index % LEGEND_COLUMNS);
    let width = (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS as f64;
    let x = LEFT + column as f64 * width;
    let y = HEIGHT + line as f64 * LEGEND_LINE;
    let colour = colour(index);
    let style = format!("stroke=\"{colour}\" stroke-width=\"2\"");
    svg.stroke((x, y), (x + 24.0, y), &style);
    svg.mark(index, (x + 12.0, y));
    svg.text(x + 32.0, y + 4.5, "font-size=\"12\"", label);
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// The horizontal place of a share of the axis.
fn x(share: f64) -> f64 {
    let (left, right) = (LEFT + INSET, WIDTH - RIGHT - INSET);
    left + share * (right - left)
}

/// The vertical axis: from 0, in steps that are round numbers, past the highest value.
struct Scale {
    top: f64,
    step: f64,
}

impl Scale {
    fn over(series: &[Series]) -> Self {
        let points = series.iter().flat_map(|series| &series.points);
        let most = points.fold(1.2, |most: f64, point| {
            most.max(point.high).max(point.value)
        });
        // The smallest of 1, 2, 2.5 and 5 times a power of ten that needs at most eight steps.
        let power = 10_f64.powf((most / 8.0).log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
        let enough = steps.into_iter().find(|step| most / step <= 8.0);
        let step = enough.unwrap_or(most);
        let top = (most / step).ceil() * step;
        Self { top, step }
    }

    fn y(&self, value: f64) -> f64 {
        let bottom = HEIGHT - BOTTOM;
        bottom - value / self.top * (bottom - TOP)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = (self.top / self.step).round() as u32;
        (0..=count).map(|i| f64::from(i) * self.step)
    }

    /// With as many decimals as the step has.
    fn label(&self, value: f64) -> String {
        let is_whole = |step: f64| (step - step.round()).abs() < 1e-9;
        let decimals = (0..4).find(|&d| is_whole(self.step * 10_f64.powi(d)));
        format!("{value:.*}", decimals.unwrap_or(3) as usize)
    }
}

/// A file in the making. Writing to a String cannot fail.
struct Svg(String);

impl Svg {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.0, "{line}");
    }

    fn stroke(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.0,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>"
        );
    }

    fn text(&mut self, x: f64, y: f64, style: &str, text: &str) {
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let _ = writeln!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>"
        );
    }

    /// The mark of a series: its shape tells it apart where colours do not.
    fn mark(&mut self, index: usize, (x, y): (f64, f64)) {
        let colour = colour(index);
        let outline = [
            // Circle, square, triangle, diamond: corners around the middle.
            &[][..],
            &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
            &[(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0)],
            &[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)],
        ][index % 4];
        if outline.is_empty() {
            let circle =
                format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{colour}\"/>");
            return self.line(&circle);
        }
        let corners = outline.iter();
        let corners = corners.map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy));
        let corners: Vec<String> = corners.collect();
        let points = corners.join(" ");
        self.line(&format!("<polygon points=\"{points}\" fill=\"{colour}\"/>"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        let point = |(i, &value): (usize, &f64)| Point {
            x: i as f64 / 2.0,
            value,
            low: value - 0.1,
            high: value + 0.1,
            is_joined: i == 1,
        };
        Series {
            label: "a <- b & c".to_owned(),
            points: values.iter().enumerate().map(point).collect(),
        }
    }

    #[test]
    fn scale_begins_at_nothing_and_ends_past_the_highest_value_in_round_steps() {
        for (most, top, step, label) in [
            (1.0, 1.2, 0.2, "0.2"),
            (1.45, 1.6, 0.2, "0.2"),
            (2.2, 2.5, 0.5, "0.5"),
            (7.3, 8.0, 1.0, "1"),
            (40.0, 40.0, 5.0, "5"),
        ] {
            let scale = Scale::over(&[series(&[most - 0.1])]);
            assert!((scale.top - top).abs() < 1e-9, "{most}: {}", scale.top);
            assert!((scale.step - step).abs() < 1e-9, "{most}: {}", scale.step);
            assert_eq!(scale.label(scale.step), label);
            assert!(scale.y(0.0) > scale.y(1.0) && scale.y(scale.top) >= TOP - 1e-9);
        }
    }

    #[test]
    fn chart_has_its_titles_ticks_points_and_the_line_at_one() {
        let chart = Chart {
            title: "Speed-up".to_owned(),
            subtitle: "medians".to_owned(),
            x_title: "draft tokens".to_owned(),
            y_title: "times".to_owned(),
            ticks: vec![(0.0, "1".to_owned()), (1.0, "auto".to_owned())],
            series: vec![series(&[0.9, 1.5, 1.4]), series(&[1.1, 1.2, 1.3])],
        };
        let svg = chart.svg();
        for text in [
            "Speed-up",
            "medians",
            "draft tokens",
            "times",
            "auto",
            "plain decoding",
        ] {
            assert!(svg.contains(&format!(">{text}</text>")), "{text}");
        }
        assert!(svg.contains("a &lt;- b &amp; c"));
        // Three points and one in the legend, each; one of the two lines between points is left out.
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches("<polygon").count(), 4);
        assert_eq!(
            svg.matches("stroke=\"#0072b2\" stroke-width=\"2\"").count(),
            2
        );
        assert_eq!(svg.matches("stroke-dasharray").count(), 1);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
