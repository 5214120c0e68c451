//! Checks of flags, and the error that names the flag.

use std::{fmt::Display, ops::RangeInclusive};

/// A flag with a value outside its range.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{flag} is {found}: it must be {expected}")]
pub struct OutOfRange {
    /// Name of the flag, such as `--threads`.
    pub flag: &'static str,
    /// Value as it was given.
    pub found: String,
    /// Values that are accepted.
    pub expected: String,
}

impl OutOfRange {
    /// The error for `flag`, whose value `found` is not `expected`.
    pub fn new(flag: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            flag,
            found: found.into(),
            expected: expected.into(),
        }
    }
}

/// Checks that the value of `flag` lies in `range`.
pub fn within<T: PartialOrd + Display + Copy>(
    flag: &'static str,
    found: T,
    range: RangeInclusive<T>,
) -> Result<(), OutOfRange> {
    if range.contains(&found) {
        return Ok(());
    }
    let expected = format!("{} to {}", range.start(), range.end());
    Err(OutOfRange::new(flag, found.to_string(), expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_range_are_in_it() {
        for found in [2, 5, 9] {
            assert_eq!(within("--queue", found, 2..=9), Ok(()));
        }
        for found in [1, 10] {
            let error = within("--queue", found, 2..=9).unwrap_err();
            let text = format!("--queue is {found}: it must be 2 to 9");
            assert_eq!(error.to_string(), text);
        }
    }
}
