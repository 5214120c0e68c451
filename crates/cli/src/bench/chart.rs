//! A line chart of ratios as SVG, drawn by `plotters` with its SVG backend alone: no fonts, no rasters.

use std::ops::Range;

use anyhow::Context as _;
use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, Cross, DynElement, IntoDynElement as _, TriangleMarker};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const SIZE_PIXELS: (u32, u32) = (760, 520);
/// Empty share of the horizontal axis at each end.
const INSET: f64 = 0.08;
/// Distance between the series at one position, as a share of the horizontal axis, so that their bars do not overlap.
const DODGE: f64 = 0.012;
/// Family of all text. Sizes below are those of `plotters`, which writes them 1.24 times smaller.
const FONT: &str = "Helvetica, Arial, sans-serif";

/// Colours that people with any colour vision can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

/// A chart of ratios, with a line at 1.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) x_title: String,
    pub(super) y_title: String,
    /// Positions on the horizontal axis with their labels, in ascending order; at least two.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) series: Vec<Series>,
}

/// Points of one line.
pub(super) struct Series {
    pub(super) label: String,
    pub(super) points: Vec<Point>,
}

/// One value with its quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Position on the horizontal axis.
    pub(super) x: f64,
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// True if a line connects the previous point with this one.
    pub(super) is_joined: bool,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<TickedAxis, RangedCoordf64>>;

impl Chart {
    /// Text of the SVG file.
    pub(super) fn svg(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE_PIXELS).into_drawing_area();
        self.draw(&area)?;
        area.present()?;
        drop(area);
        Ok(svg)
    }

    fn draw(&self, area: &Area<'_>) -> anyhow::Result<()> {
        area.fill(&WHITE)?;
        let area = area.titled(&self.title, (FONT, 21))?;
        let area = area.titled(&self.subtitle, (FONT, 15))?;
        let positions: Vec<f64> = self.ticks.iter().map(|(position, _)| *position).collect();
        let (first, last) = positions
            .first()
            .zip(positions.last())
            .context("no ticks")?;
        let span = last - first;
        let (left, right) = (first - INSET * span, last + INSET * span);
        let points = self.series.iter().flat_map(|series| &series.points);
        let top = 1.05 * points.fold(1.2_f64, |top, point| top.max(point.high).max(point.value));
        let axis = TickedAxis {
            ends: left..right,
            positions,
        };
        let mut plane = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(axis, 0.0..top)?;
        plane
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .label_style((FONT, 16))
            .axis_desc_style((FONT, 16))
            .x_desc(&self.x_title)
            .y_desc(&self.y_title)
            .x_label_formatter(&|position| self.label(*position))
            .draw()?;
        let grey = BLACK.mix(0.7);
        plane.draw_series(DashedLineSeries::new(
            [(left, 1.0), (right, 1.0)],
            6,
            4,
            grey.into(),
        ))?;
        let anchor = Pos::new(HPos::Right, VPos::Bottom);
        let small = TextStyle::from((FONT, 14).into_font()).pos(anchor);
        plane.draw_series([Text::new("plain decoding", (right, 1.0), small)])?;
        for (index, series) in self.series.iter().enumerate() {
            let middle = (self.series.len() - 1) as f64 / 2.0;
            let dodge = (index as f64 - middle) * DODGE * span;
            draw_series(&mut plane, index, dodge, series)?;
        }
        // The values are ratios around 1 and the axis begins at 0, so that its lower end is free.
        plane
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .label_font((FONT, 15))
            .draw()?;
        Ok(())
    }

    fn label(&self, position: f64) -> String {
        let near = |other: f64| (other - position).abs() < 1e-9;
        let tick = self.ticks.iter().find(|(other, _)| near(*other));
        tick.map_or_else(String::new, |(_, label)| label.clone())
    }
}

fn draw_series<'a, 'b: 'a>(
    plane: &mut Plane<'a, 'b>,
    index: usize,
    dodge: f64,
    series: &Series,
) -> anyhow::Result<()> {
    let colour = COLOURS[index % COLOURS.len()];
    let at = |point: &Point, value: f64| (point.x + dodge, value);
    let points = &series.points;
    for pair in points.windows(2).filter(|pair| pair[1].is_joined) {
        let ends = [at(&pair[0], pair[0].value), at(&pair[1], pair[1].value)];
        plane.draw_series(LineSeries::new(ends, colour.stroke_width(2)))?;
    }
    let bars = points.iter().map(|point| {
        let ends = [at(point, point.low), at(point, point.high)];
        PathElement::new(ends, colour)
    });
    plane.draw_series(bars)?;
    let marks = points
        .iter()
        .map(|point| mark(index, at(point, point.value)));
    let drawn = plane.draw_series(marks)?;
    drawn
        .label(&series.label)
        .legend(move |(x, y)| mark(index, (x + 12, y)));
    Ok(())
}

/// An axis with ticks at given positions; `plotters` would choose round numbers.
struct TickedAxis {
    ends: Range<f64>,
    positions: Vec<f64>,
}

impl Ranged for TickedAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.ends.clone()).map(value, limit)
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.positions.clone()
    }

    fn range(&self) -> Range<f64> {
        self.ends.clone()
    }
}

/// Mark of a series: its shape differs too, for those who cannot tell the colours apart.
fn mark<B: DrawingBackend, C: Clone + 'static>(index: usize, at: C) -> DynElement<'static, B, C> {
    let style = COLOURS[index % COLOURS.len()].filled();
    match index % 3 {
        0 => Circle::new(at, 4, style).into_dyn(),
        1 => TriangleMarker::new(at, 6, style).into_dyn(),
        _ => Cross::new(at, 4, style.stroke_width(2)).into_dyn(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        let point = |(i, &value): (usize, &f64)| Point {
            x: i as f64,
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
    fn chart_has_its_titles_ticks_points_and_the_line_at_one() {
        let chart = Chart {
            title: "Speed-up".to_owned(),
            subtitle: "medians".to_owned(),
            x_title: "draft tokens".to_owned(),
            y_title: "times".to_owned(),
            ticks: vec![(0.0, "7".to_owned()), (2.0, "auto".to_owned())],
            series: vec![series(&[0.9, 1.5, 1.4]), series(&[1.1, 1.2, 1.3])],
        };
        let svg = chart.svg().unwrap();
        let texts: Vec<&str> = svg.lines().collect();
        for text in [
            "Speed-up",
            "medians",
            "draft tokens",
            "times",
            "7",
            "auto",
            "plain decoding",
        ] {
            assert!(texts.contains(&text), "{text}: {svg}");
        }
        assert!(svg.contains("a &lt;- b &amp; c"));
        // Three points and one in the legend, each; one of the two lines between points is left out.
        assert_eq!(svg.matches("<circle").count(), 4);
        let line = |colour| format!("stroke=\"{colour}\" stroke-width=\"2\"");
        assert_eq!(svg.matches(&line("#0072B2")).count(), 1, "{svg}");
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn vertical_axis_begins_at_nothing_and_ends_after_the_highest_value() {
        let chart = Chart {
            title: String::new(),
            subtitle: String::new(),
            x_title: String::new(),
            y_title: String::new(),
            ticks: vec![(0.0, String::new()), (1.0, String::new())],
            series: vec![series(&[3.8, 1.5])],
        };
        let svg = chart.svg().unwrap();
        let labels: Vec<f64> = svg.lines().filter_map(|line| line.parse().ok()).collect();
        let top = labels.iter().copied().fold(0.0, f64::max);
        assert!(
            labels.contains(&0.0) && (3.0..=4.2).contains(&top),
            "{labels:?}"
        );
    }
}
