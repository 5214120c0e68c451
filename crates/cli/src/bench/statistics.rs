//! Medians and quartiles of measured values.

/// Extremes, quartiles and median of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) minimum: f64,
    pub(super) lower_quartile: f64,
    pub(super) median: f64,
    pub(super) upper_quartile: f64,
    pub(super) maximum: f64,
}

impl Spread {
    /// Spread of the values; none if there are none.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        Some(Self {
            minimum: sorted[0],
            lower_quartile: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper_quartile: quantile(&sorted, 0.75),
            maximum: sorted[last],
        })
    }
}

/// Median of the values; 0 if there are none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    Spread::of(&values).map_or(0.0, |spread| spread.median)
}

/// Ratio of the two; none if the second is not positive.
pub(super) fn ratio(of: f64, to: f64) -> Option<f64> {
    (to > 0.0).then(|| of / to)
}

/// Quantile at `share`, interpolated linearly between two values; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let beyond = place - place.floor();
    sorted[below] * (1.0 - beyond) + sorted[above] * beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated_between_values() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        let expected = Spread {
            minimum: 1.0,
            lower_quartile: 1.75,
            median: 2.5,
            upper_quartile: 3.25,
            maximum: 4.0,
        };
        assert_eq!(spread, expected);
        let one = Spread::of(&[7.0]).unwrap();
        assert!((one.lower_quartile - 7.0).abs() < 1e-12 && (one.maximum - 7.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_has_no_spread_and_no_ratio() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(ratio(1.0, 0.0), None);
        assert!(median([]).abs() < 1e-12);
    }

    #[test]
    fn one_outlier_does_not_move_the_median() {
        assert!((median([1.0, 1.1, 0.9, 1.0, 80.0]) - 1.0).abs() < 1e-12);
    }
}
