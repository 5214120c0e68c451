//! The report of a benchmark, as a table and as JSON.

mod figures;
mod row;

use std::fmt;

use serde_json::{Value, json};

pub(super) use self::figures::VariantReplies;
pub(super) use self::row::ReportRow;
#[cfg(test)]
pub(super) use self::row::tests::row as made_row;
use super::experiment::Experiment;
use super::machine::Machine;

/// Columns of numbers: heading and width.
const COLUMNS: [(&str, usize); 12] = [
    ("K", 5),
    ("RTT ms", 7),
    ("load", 6),
    ("plain t/s", 10),
    ("spec. t/s", 10),
    ("speed-up", 9),
    ("quartiles", 12),
    ("range", 12),
    ("acc/fwd", 8),
    ("accept", 7),
    ("bytes/fwd", 10),
    ("identical", 10),
];

/// A column of text: heading and cell.
type Name = (&'static str, fn(&ReportRow) -> &str);

/// All measured rows, with the machine and the experiment.
pub(super) struct BenchReport<'a> {
    pub(super) machine: &'a Machine,
    pub(super) experiment: &'a Experiment,
    pub(super) rows: &'a [ReportRow],
}

impl BenchReport<'_> {
    /// One object, as `--json` prints it.
    pub(super) fn json(&self) -> Value {
        let experiment = self.experiment;
        json!({
            "machine": self.machine.json(),
            "settings": {
                "threads": experiment.verifier.is_none().then_some(experiment.threads),
                "runs": experiment.runs,
                "max_tokens": experiment.max_tokens,
                "temperature": experiment.sampling.temperature,
                "top_p": experiment.sampling.top_p,
                "seed": experiment.seed,
                "patient": experiment.is_patient,
            },
            "workloads": self.rows.iter().map(ReportRow::json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for BenchReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine.line())?;
        let (experiment, sampling) = (self.experiment, &self.experiment.sampling);
        writeln!(
            f,
            "{} runs, {} tokens, temperature {}; medians over prompts and runs\n",
            experiment.runs, experiment.max_tokens, sampling.temperature
        )?;
        let width = |cell: fn(&ReportRow) -> &str, heading: &str| {
            let widths = self.rows.iter().map(|row| cell(row).chars().count());
            widths.chain([heading.len()]).max().unwrap_or(0)
        };
        let names: [Name; 4] = [
            ("workload", |row| &row.name),
            ("target", |row| &row.target),
            ("drafter", |row| &row.drafter),
            ("method", |row| &row.methods),
        ];
        for (heading, cell) in names {
            write!(f, "{heading:width$}  ", width = width(cell, heading))?;
        }
        for (heading, width) in COLUMNS {
            write!(f, " {heading:>width$}")?;
        }
        for row in self.rows {
            writeln!(f)?;
            for (heading, cell) in names {
                write!(f, "{:width$}  ", cell(row), width = width(cell, heading))?;
            }
            for ((_, width), cell) in COLUMNS.iter().zip(row.cells()) {
                write!(f, " {cell:>width$}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::experiment;
    use super::*;

    #[test]
    fn report_has_the_machine_and_a_row_for_each_workload() {
        let experiment = experiment(&["--runs", "1"]).unwrap();
        let (machine, rows) = (
            Machine::here(),
            [made_row("one", 1.5), made_row("another", 2.0)],
        );
        let report = BenchReport {
            machine: &machine,
            experiment: &experiment,
            rows: &rows,
        };
        let json = report.json();
        assert!(json["machine"]["cores"].as_u64().unwrap() > 0, "{json:#}");
        assert_eq!(json["workloads"].as_array().unwrap().len(), 2);
        assert_eq!(json["workloads"][1]["name"], "another");
        let table = report.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 6, "{table}");
        assert_eq!(lines[3].chars().count(), lines[4].chars().count());
        assert!(
            lines[4].starts_with("one      ") && lines[4].contains("1.50x"),
            "{table}"
        );
    }
}
