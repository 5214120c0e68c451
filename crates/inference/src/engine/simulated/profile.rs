//! Profile of a simulated model: its costs, and its agreement with the text that all simulated models write.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// Longest pass, in microseconds: an hour. Anything longer is a slip of the pen.
const LONGEST: f64 = 3.6e9;
const MAX_CONTEXT: usize = 1 << 24;

/// A profile, from a TOML file with exactly these fields.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Name of the simulated model and source of its costs.
    pub(crate) name: String,
    /// Microseconds of any pass: reading the weights.
    pass_micros: f64,
    /// Microseconds for each row: arithmetic.
    row_micros: f64,
    /// Microseconds for each position that each row attends to.
    position_micros: f64,
    /// Probability of the token that all simulated models write, 0 to 1: 1 for a target, less for a drafter.
    pub(crate) agreement: f64,
    /// Seed of the places where it errs.
    pub(crate) seed: u64,
    /// Most positions of a session.
    pub(crate) context: usize,
}

/// Reason for which a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
    /// It is no TOML, or a field is missing, unknown, or of another kind.
    #[error(transparent)]
    Syntax(#[from] toml::de::Error),
    /// A value is outside its range.
    #[error("{field} is {found}: it must be {expected}")]
    Range {
        /// The field.
        field: &'static str,
        /// Value in the file.
        found: String,
        /// Right values.
        expected: &'static str,
    },
}

impl Profile {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ProfileError> {
        std::fs::read_to_string(path)?.parse()
    }

    /// Time that a pass takes.
    pub(super) fn cost(&self, rows: f64, positions: f64) -> Duration {
        let micros = self.pass_micros + rows * self.row_micros + positions * self.position_micros;
        Duration::from_secs_f64(micros.clamp(0.0, LONGEST) / 1e6)
    }

    fn check(self) -> Result<Self, ProfileError> {
        let micros = [
            ("pass_micros", self.pass_micros),
            ("row_micros", self.row_micros),
            ("position_micros", self.position_micros),
        ];
        for (field, value) in micros {
            within(field, value, 0.0, LONGEST, "0 to 3600000000")?;
        }
        within("agreement", self.agreement, 0.0, 1.0, "0 to 1")?;
        if !(1..=MAX_CONTEXT).contains(&self.context) {
            return Err(ProfileError::Range {
                field: "context",
                found: self.context.to_string(),
                expected: "1 to 16777216",
            });
        }
        Ok(self)
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        toml::from_str::<Self>(text)?.check()
    }
}

fn within(
    field: &'static str,
    value: f64,
    least: f64,
    most: f64,
    expected: &'static str,
) -> Result<(), ProfileError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(ProfileError::Range {
        field,
        found: value.to_string(),
        expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "name = \"a\"\npass_micros = 5.0\nrow_micros = 1.0\nposition_micros = 0.5\nagreement = 0.5\nseed = 1\ncontext = 10\n";

    #[test]
    fn wrong_fields_are_refused_by_name() {
        assert!(RIGHT.parse::<Profile>().is_ok());
        for (right, wrong, named) in [
            (
                "pass_micros = 5.0",
                "pass_micros = -1.0",
                "pass_micros is -1",
            ),
            ("row_micros = 1.0", "row_micros = nan", "row_micros is NaN"),
            ("agreement = 0.5", "agreement = 1.5", "agreement is 1.5"),
            ("context = 10", "context = 0", "context is 0"),
            ("seed = 1\n", "", "seed"),
            ("seed = 1", "seed = 1\nspeed = 2", "speed"),
        ] {
            let error = RIGHT.replace(right, wrong).parse::<Profile>().unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
