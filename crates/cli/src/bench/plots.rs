//! Plots of the speed-up by what was given several values.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::args::Load;
use super::chart::{Chart, Point, Series};
use super::report::Row;
use super::statistics::Spread;
use crate::runtime::Exit;

/// What a plot's horizontal axis is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Axis {
    BlockLength,
    RoundTrip,
    Concurrency,
}

const AXES: [Axis; 3] = [Axis::BlockLength, Axis::RoundTrip, Axis::Concurrency];

/// Something that may tell rows apart, in words.
type Trait = (Option<Axis>, fn(&Row) -> String);

const TRAITS: [Trait; 7] = [
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
        Load::AtOnce(count) => format!("{count} at once"),
        Load::Arriving(rate) => format!("{rate} a second"),
    }),
];

/// Makes the folder, before hours are spent on what goes into it.
pub(super) fn prepare(folder: &Path) -> Result<(), Exit> {
    let unusable = |error| Exit::usage(format!("--plots {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(unusable)
}

/// Writes a plot for every axis on which the rows have several places.
pub(super) fn write(folder: &Path, rows: &[Row]) -> anyhow::Result<()> {
    for axis in AXES {
        if let Some(chart) = chart(axis, rows) {
            let path = folder.join(axis.file());
            fs::write(&path, chart.svg())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn chart(axis: Axis, rows: &[Row]) -> Option<Chart> {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| axis.place(row).is_some())
        .collect();
    let mut places: Vec<f64> = rows.iter().filter_map(|row| axis.place(row)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    if places.len() < 2 {
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
            points: points(axis, own, &places),
            label: label_wanted,
        });
    }
    let ticks = places.iter();
    let ticks = ticks.map(|&place| (axis.share(place, &places), tick(place)));
    Some(Chart {
        title: axis.title().to_owned(),
        subtitle: format!(
            "{}; bars reach from quartile to quartile",
            constant(axis, &rows)
        ),
        x_title: axis.x_title().to_owned(),
        y_title: "speed-up, times plain decoding".to_owned(),
        ticks: ticks.collect(),
        series,
    })
}

fn points<'a>(axis: Axis, rows: impl Iterator<Item = &'a Row>, places: &[f64]) -> Vec<Point> {
    let point = |row: &Row| {
        let (place, spread) = (axis.place(row)?, row.figures.speedup?);
        let Spread {
            lower_quartile,
            median,
            upper_quartile,
            ..
        } = spread;
        Some(Point {
            x: axis.share(place, places),
            value: median,
            low: lower_quartile,
            high: upper_quartile,
            is_joined: place.is_finite(),
        })
    };
    let mut points: Vec<Point> = rows.filter_map(point).collect();
    points.sort_by(|one, other| one.x.total_cmp(&other.x));
    points
}

/// What tells this row from the others, but for its place on the axis.
fn label(axis: Axis, row: &Row, rows: &[&Row]) -> String {
    let differs = |of: &fn(&Row) -> String| rows.iter().any(|other| of(other) != of(row));
    let traits = TRAITS.iter().filter(|(own, _)| *own != Some(axis));
    let parts: Vec<String> = traits
        .filter(|(_, of)| differs(of))
        .map(|(_, of)| of(row))
        .collect();
    if parts.is_empty() {
        row.name.clone()
    } else {
        parts.join(", ")
    }
}

/// What all rows have in common.
fn constant(axis: Axis, rows: &[&Row]) -> String {
    let traits = TRAITS.iter().filter(|(own, _)| *own != Some(axis));
    let parts = traits.filter_map(|(_, of)| {
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

    /// Where a row belongs; what adapts comes behind all numbers, and what has no place is left out.
    fn place(self, row: &Row) -> Option<f64> {
        match self {
            Self::BlockLength => Some(row.variant.block_length.0.map_or(f64::INFINITY, f64::from)),
            Self::RoundTrip => Some(row.round_trip_milliseconds()),
            Self::Concurrency => match row.load {
                Load::AtOnce(count) => Some(count as f64),
                Load::Arriving(_) => None,
            },
        }
    }

    /// From 0 to 1: times are to scale, counts are evenly spaced, since they are mostly doubled.
    fn share(self, place: f64, places: &[f64]) -> f64 {
        let last = places.len() - 1;
        match self {
            Self::RoundTrip => (place - places[0]) / (places[last] - places[0]),
            Self::BlockLength | Self::Concurrency => {
                let index = places.iter().position(|&other| other >= place);
                index.unwrap_or(last) as f64 / last as f64
            }
        }
    }
}

/// What is written at a place.
fn tick(place: f64) -> String {
    if place.is_finite() {
        place.to_string()
    } else {
        "auto".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::args::BlockLength;
    use super::super::report::made_row;
    use super::*;

    fn at(name: &str, length: Option<u32>, round_trip: u64, speedup: f64) -> Row {
        let mut row = made_row(name, speedup);
        row.variant.block_length = BlockLength(length);
        row.round_trip = Duration::from_millis(round_trip);
        row
    }

    #[test]
    fn lengths_are_evenly_spaced_and_auto_stands_apart() {
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
        assert_eq!(ticks, [(0.0, "2"), (0.5, "8"), (1.0, "auto")]);
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
        let rows: Vec<Row> = [0, 10, 100]
            .into_iter()
            .flat_map(|time| [at("one", Some(4), time, 1.3), at("one", Some(8), time, 1.2)])
            .collect();
        let chart = chart(Axis::RoundTrip, &rows).unwrap();
        let places: Vec<f64> = chart.ticks.iter().map(|(at, _)| *at).collect();
        assert_eq!(places, [0.0, 0.1, 1.0]);
        let labels: Vec<&str> = chart.series.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["K 4", "K 8"]);
    }

    #[test]
    fn plots_are_written_for_axes_with_several_places_only() {
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
