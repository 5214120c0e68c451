//! What a pass of the target costs.

use std::time::Duration;

use super::{GAIN, smooth};

/// Rows at which a pass is priced; between them the price is a line, behind them it goes on as it does between the last two.
const POINTS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// What passes of these cost in passes of one row, where nothing is measured: as on a processor that computes well.
const PRICES: [f64; POINTS.len()] = [1.0, 1.15, 1.35, 1.95, 3.55, 6.75, 13.15];
/// Weight of a new measurement of these.
const ROW_GAIN: f64 = 0.05;

/// What a forward pass of the target costs by its rows.
///
/// Not one number on purpose. The cost of one row follows quickly what changes all passes alike, other work on the machine or
/// longer contexts; the prices of more rows, which belong to the hardware, slowly. Means for each number of rows would compare
/// a size that was measured lately with one that was measured long ago, under another load. And not one line: one row waits for
/// memory where several compute, so the second can cost more than those after it, and of many each costs what it computes.
#[derive(Clone, Copy, Debug)]
pub struct VerifyCost {
    /// Seconds of a pass of one row; zero before any pass was seen.
    first: f64,
    /// What passes of `POINTS` cost in first rows; never falling.
    prices: [f64; POINTS.len()],
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
    /// By passes of so many rows, rising from one, that were measured under one load. Two are needed to say anything.
    pub fn measured(passes: &[(usize, Duration)]) -> Self {
        let rises = passes.is_sorted_by(|one, next| one.0 < next.0);
        let first = passes.first().filter(|(rows, _)| *rows == 1);
        let first = first.map_or(0.0, |(_, took)| took.as_secs_f64());
        if passes.len() < 2 || !rises || first <= 0.0 {
            return Self::default();
        }
        let seconds = |(rows, took): &(usize, Duration)| (*rows as f64, took.as_secs_f64());
        let passes: Vec<(f64, f64)> = passes.iter().map(seconds).collect();
        let price = |rows: f64| line(&passes, rows) / first;
        let mut cost = Self {
            first,
            prices: POINTS.map(price),
        };
        cost.tidy();
        cost
    }

    /// Counts a pass.
    pub fn observe(&mut self, rows: usize, took: Duration) {
        let (rows, took) = (rows as f64, took.as_secs_f64());
        if took <= 0.0 || rows < 1.0 {
            return;
        }
        let expected = self.in_first_rows(rows);
        smooth(&mut self.first, took / expected, GAIN);
        let missed = (took / self.first).min(1.0 + rows) - expected;
        // The points on both sides, by how near they are, and so that together they make up for it.
        let at = POINTS.partition_point(|point| *point < rows);
        let at = at.clamp(1, POINTS.len() - 1);
        let near = ((rows - POINTS[at - 1]) / (POINTS[at] - POINTS[at - 1])).min(1.0);
        let step = ROW_GAIN * missed / (near * near + (1.0 - near) * (1.0 - near));
        self.prices[at - 1] += (1.0 - near) * step;
        // What more rows cost besides is not known to have changed.
        for price in &mut self.prices[at..] {
            *price += near * step;
        }
        self.tidy();
    }

    /// Seconds of a pass of so many rows; as if one row took a second before any pass was seen.
    pub fn predict(&self, rows: f64) -> f64 {
        let first = if self.first > 0.0 { self.first } else { 1.0 };
        first * self.in_first_rows(rows)
    }

    fn in_first_rows(&self, rows: f64) -> f64 {
        let points: [(f64, f64); POINTS.len()] =
            std::array::from_fn(|point| (POINTS[point], self.prices[point]));
        line(&points, rows.max(1.0))
    }

    /// The first row costs one, and no further row less than nothing or more than that.
    fn tidy(&mut self) {
        self.prices[0] = 1.0;
        for point in 1..POINTS.len() {
            let before = self.prices[point - 1];
            let most = before + POINTS[point] - POINTS[point - 1];
            self.prices[point] = self.prices[point].clamp(before, most);
        }
    }
}

/// The value at `place` of the line through `points`, which are at least two with rising places.
fn line(points: &[(f64, f64)], place: f64) -> f64 {
    let behind = points.partition_point(|point| point.0 < place);
    let behind = behind.clamp(1, points.len() - 1);
    let ((from, low), (to, high)) = (points[behind - 1], points[behind]);
    low + (high - low) * (place - from) / (to - from)
}
