//! What a pass of the target costs.

use std::time::Duration;

use super::smooth;

/// What it costs in first rows that there is more than one row, what each further one does, and what each of many does besides,
/// where nothing is measured.
const PRICES: [f64; 3] = [0.05, 0.1, 0.1];
/// Rows behind which there are many.
const MANY: f64 = 6.0;
/// Rows that have as much weight as the step from one to several, when a measurement is laid to one of these.
const EVEN_ROWS: f64 = 4.0;
/// Weight of a new measurement of these.
const ROW_GAIN: f64 = 0.05;

/// What a forward pass of the target costs by its rows: `first` · (1 + several + row · (rows - 1) + many · (rows - 6)), the second
/// term only from two rows on, the last only behind six.
///
/// Not one number on purpose. The first follows quickly what changes all passes alike, other work on the machine or longer
/// contexts; the others, which belong to the hardware, slowly. Means for each number of rows would compare a size that was
/// measured lately with one that was measured long ago, under another load. And not one line: one row waits for memory where
/// several compute, so the second can cost more than those after it, and of many each costs what it computes. A line through
/// one row and two would make long blocks look dear, one through few would make the rows of many sessions look cheap.
#[derive(Clone, Copy, Debug)]
pub struct VerifyCost {
    /// Seconds of a pass of one row; zero before any pass was seen.
    first: f64,
    /// In first rows: that there are several, each besides the first, and each behind `MANY` besides.
    prices: [f64; 3],
}

impl Default for VerifyCost {
    fn default() -> Self {
        Self {
            first: 0.0,
            prices: PRICES,
        }
    }
}

impl VerifyCost {
    /// Counts a pass.
    pub fn observe(&mut self, rows: usize, took: Duration) {
        let (more, took) = (rows.saturating_sub(1) as f64, took.as_secs_f64());
        if took <= 0.0 {
            return;
        }
        let expected = self.in_first_rows(more);
        smooth(&mut self.first, took / expected);
        if more > 0.0 {
            // The step along which all of them change the least.
            let [one, each, many] = priced(more);
            let weights = [one, each / EVEN_ROWS, many / EVEN_ROWS];
            let length: f64 = weights.iter().map(|weight| weight * weight).sum();
            let missed = (took / self.first).min(1.0 + rows as f64) - expected;
            let step = ROW_GAIN * missed / length;
            let scales = [1.0, 1.0 / EVEN_ROWS, 1.0 / EVEN_ROWS];
            for ((price, weight), scale) in self.prices.iter_mut().zip(weights).zip(scales) {
                *price = (*price + step * weight * scale).clamp(0.0, 1.0);
            }
        }
    }

    /// What a pass costs that has so many rows besides the first.
    fn in_first_rows(&self, more: f64) -> f64 {
        let counts = priced(more);
        let costs = self.prices.iter().zip(counts);
        1.0 + costs.map(|(price, count)| price * count).sum::<f64>()
    }

    /// Seconds of a pass of so many rows; as if one row took a second before any pass was seen.
    pub fn predict(&self, rows: f64) -> f64 {
        let first = if self.first > 0.0 { self.first } else { 1.0 };
        first * self.in_first_rows((rows - 1.0).max(0.0))
    }
}

/// How often each price is paid for so many rows besides the first.
fn priced(more: f64) -> [f64; 3] {
    [more.min(1.0), more, (more + 1.0 - MANY).max(0.0)]
}
