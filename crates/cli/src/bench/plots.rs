//! Plots of the speed-up by each setting with several values.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::chart::{Chart, Point, Series};
use super::experiment::OfferedLoad;
use super::report::ReportRow;
use super::statistics::Spread;
use crate::runtime::Exit;

/// Horizontal axis of a plot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Axis {
    BlockLength,
    RoundTrip,
    Concurrency,
}

const AXES: [Axis; 3] = [Axis::BlockLength, Axis::RoundTrip, Axis::Concurrency];

/// A property that may differ between rows, in words, and its axis if it has one.
type Property = (Option<Axis>, fn(&ReportRow) -> String);

const PROPERTIES: [Property; 7] = [
    (None, |row| row.name.clone()),
    (None, |row| row.target.clone()),
    (None, |row| row.drafter.clone()),
    (None, |row| row.variant.method.to_string()),
    (Some(Axis::BlockLength), |row| {
        format!("K {}", row.variant.block_length)
    }),
    (Some(Axis::RoundTrip), |row| {
        format!("RTT {} ms", row.round_trip_milliseconds())
    }),
    (Some(Axis::Concurrency), |row| match row.load {
        OfferedLoad::AtOnce(count) => format!("{count} at once"),
        OfferedLoad::Arriving(rate) => format!("{rate} a second"),
    }),
];

/// Makes the folder before the measurement, which may take hours.
pub(super) fn prepare(folder: &Path) -> Result<(), Exit> {
    let unusable = |error| Exit::usage(format!("--plots {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(unusable)
}

/// Writes a plot for every axis on which the rows have several values.
pub(super) fn write(folder: &Path, rows: &[ReportRow]) -> anyhow::Result<()> {
    for axis in AXES {
        if let Some(chart) = chart(axis, rows) {
            let path = folder.join(axis.file());
            fs::write(&path, chart.svg()?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn chart(axis: Axis, rows: &[ReportRow]) -> Option<Chart> {
    let rows: Vec<&ReportRow> = rows
        .iter()
        .filter(|row| axis.value(row).is_some())
        .collect();
    let mut values: Vec<f64> = rows.iter().filter_map(|row| axis.value(row)).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    if values.len() < 2 {
        return None;
    }
    let mut series: Vec<Series> = Vec::new();
    for label_wanted in rows.iter().map(|row| label(axis, row, &rows)) {
        if series.iter().any(|series| series.label == label_wanted) {
            continue;
        }
        let own = rows.iter().copied();
        let own = own.filter(|row| label(axis, row, &rows) == label_wanted);
        series.push(Series {
            points: points(axis, own, &values),
            label: label_wanted,
        });
    }
    let ticks = values.iter();
    let ticks = ticks.map(|&value| (axis.position(value, &values), tick(value)));
    Some(Chart {
        title: axis.title().to_owned(),
        subtitle: format!(
            "{}; bars reach from quartile to quartile",
            shared(axis, &rows)
        ),
        x_title: axis.x_title().to_owned(),
        y_title: "speed-up, times plain decoding".to_owned(),
        ticks: ticks.collect(),
        series,
    })
}

fn points<'a>(axis: Axis, rows: impl Iterator<Item = &'a ReportRow>, values: &[f64]) -> Vec<Point> {
    let point = |row: &ReportRow| {
        let (value, spread) = (axis.value(row)?, row.figures.speedup?);
        let Spread {
            lower_quartile,
            median,
            upper_quartile,
            ..
        } = spread;
        Some(Point {
            x: axis.position(value, values),
            value: median,
            low: lower_quartile,
            high: upper_quartile,
            is_joined: value.is_finite(),
        })
    };
    let mut points: Vec<Point> = rows.filter_map(point).collect();
    points.sort_by(|one, other| one.x.total_cmp(&other.x));
    points
}

/// Properties of this row, other than its value on the axis, that differ between rows.
fn label(axis: Axis, row: &ReportRow, rows: &[&ReportRow]) -> String {
    let differs = |of: &fn(&ReportRow) -> String| rows.iter().any(|other| of(other) != of(row));
    let properties = PROPERTIES.iter().filter(|(own, _)| *own != Some(axis));
    let parts: Vec<String> = properties
        .filter(|(_, of)| differs(of))
        .map(|(_, of)| of(row))
        .collect();
    if parts.is_empty() {
        row.name.clone()
    } else {
        parts.join(", ")
    }
}

/// Properties that all rows share.
fn shared(axis: Axis, rows: &[&ReportRow]) -> String {
    let properties = PROPERTIES.iter().filter(|(own, _)| *own != Some(axis));
    let parts = properties.filter_map(|(_, of)| {
        let first = of(rows.first()?);
        rows.iter().all(|row| of(row) == first).then_some(first)
    });
    parts
        .filter(|part| part != "auto")
        .collect::<Vec<_>>()
        .join(", ")
}

impl Axis {
    fn file(self) -> &'static str {
        match self {
            Self::BlockLength => "speedup-by-block-length.svg",
            Self::RoundTrip => "speedup-by-round-trip.svg",
            Self::Concurrency => "speedup-by-concurrency.svg",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BlockLength => "Speed-up by block length",
            Self::RoundTrip => "Speed-up by round trip",
            Self::Concurrency => "Speed-up by concurrency",
        }
    }

    fn x_title(self) -> &'static str {
        match self {
            Self::BlockLength => "draft tokens of a block",
            Self::RoundTrip => "round trip between verifier and drafter, milliseconds",
            Self::Concurrency => "requests in progress at once",
        }
    }

    /// Value of a row on this axis. An adaptive length comes after all numbers; a row without a value is left out.
    fn value(self, row: &ReportRow) -> Option<f64> {
        match self {
            Self::BlockLength => Some(row.variant.block_length.0.map_or(f64::INFINITY, f64::from)),
            Self::RoundTrip => Some(row.round_trip_milliseconds()),
            Self::Concurrency => match row.load {
                OfferedLoad::AtOnce(count) => Some(count as f64),
                OfferedLoad::Arriving(_) => None,
            },
        }
    }

    /// Position on the chart: times are to scale; counts, which are mostly doubled, are evenly spaced.
    fn position(self, value: f64, values: &[f64]) -> f64 {
        match self {
            Self::RoundTrip => value,
            Self::BlockLength | Self::Concurrency => {
                values.iter().filter(|&&other| other < value).count() as f64
            }
        }
    }
}

/// Label of a value on the axis.
fn tick(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        "auto".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::experiment::BlockLength;
    use super::super::report::made_row;
    use super::*;

    fn at(name: &str, length: Option<u32>, round_trip: u64, speedup: f64) -> ReportRow {
        let mut row = made_row(name, speedup);
        row.variant.block_length = BlockLength(length);
        row.round_trip = Duration::from_millis(round_trip);
        row
    }

    #[test]
    fn lengths_are_evenly_spaced_and_auto_is_not_joined() {
        let rows = [
            at("one", None, 0, 1.4),
            at("one", Some(8), 0, 1.5),
            at("one", Some(2), 0, 1.2),
            at("two", Some(8), 0, 1.1),
        ];
        let chart = chart(Axis::BlockLength, &rows).unwrap();
        let ticks: Vec<(f64, &str)> = chart
            .ticks
            .iter()
            .map(|(at, l)| (*at, l.as_str()))
            .collect();
        assert_eq!(ticks, [(0.0, "2"), (1.0, "8"), (2.0, "auto")]);
        let labels: Vec<&str> = chart.series.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["one", "two"]);
        let points = &chart.series[0].points;
        let joined: Vec<bool> = points.iter().map(|point| point.is_joined).collect();
        assert_eq!(joined, [true, true, false]);
        assert!((points[1].value - 1.5).abs() < 0.01);
        assert!(
            chart
                .subtitle
                .starts_with("target, drafter, RTT 0 ms, 1 at once;")
        );
    }

    #[test]
    fn round_trips_are_to_scale_and_lengths_make_series() {
        let rows: Vec<ReportRow> = [0, 10, 100]
            .into_iter()
            .flat_map(|time| [at("one", Some(4), time, 1.3), at("one", Some(8), time, 1.2)])
            .collect();
        let chart = chart(Axis::RoundTrip, &rows).unwrap();
        let positions: Vec<f64> = chart.ticks.iter().map(|(at, _)| *at).collect();
        assert_eq!(positions, [0.0, 10.0, 100.0]);
        let labels: Vec<&str> = chart.series.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["K 4", "K 8"]);
    }

    #[test]
    fn plots_are_written_for_axes_with_several_values_only() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [at("one", Some(4), 0, 1.3), at("one", Some(8), 0, 1.2)];
        write(folder.path(), &rows).unwrap();
        let files: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(files, ["speedup-by-block-length.svg"]);
        write(folder.path(), &rows[..1]).unwrap();
    }
}
