//! An exponentially weighted moving average.

/// A moving average that starts at its first sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ewma(Option<f64>);

impl Ewma {
    /// Moves the average by `gain`, from 0 to 1, of the way to `sample`.
    pub(crate) fn observe(&mut self, sample: f64, gain: f64) {
        self.0 = Some(self.0.map_or(sample, |mean| mean + gain * (sample - mean)));
    }

    /// The average, or `otherwise` before the first sample.
    pub(crate) fn or(self, otherwise: f64) -> f64 {
        self.0.unwrap_or(otherwise)
    }
}
