//! Cost of a forward pass of the target by its rows.

use std::time::Duration;

/// Rows at which a pass is priced. Between them the price is a line; beyond the last it goes on as between the last two.
const POINTS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// Prices of such passes in passes of one row before anything is measured: those of a processor that computes well.
const PRICES: [f64; POINTS.len()] = [1.0, 1.15, 1.35, 1.95, 3.55, 6.75, 13.15];
/// Gain of a new sample of a pass of one row, and of the prices of more rows.
const GAIN: f64 = 0.125;
const ROW_GAIN: f64 = 0.05;

/// Cost of a forward pass of the target by its rows.
///
/// Not one number on purpose. The cost of one row follows quickly what changes all passes alike, such as other work on the
/// machine or longer contexts; the prices of more rows belong to the hardware and change slowly. An average for each number of
/// rows would compare sizes measured under different loads. And not one line: a single row waits for memory while several rows
/// compute, so the second can cost more than those after it.
#[derive(Clone, Copy, Debug)]
pub struct VerifyCost {
    /// Seconds of a pass of one row; zero before any pass was seen.
    first: f64,
    /// Prices of passes of `POINTS` rows, in passes of one row; never falling.
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
    /// Cost by `(rows, duration)` of passes measured under one load, rows rising from 1. Fewer than two passes say nothing.
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

    /// Takes in a pass.
    pub fn observe(&mut self, rows: usize, took: Duration) {
        let (rows, took) = (rows as f64, took.as_secs_f64());
        if took <= 0.0 || rows < 1.0 {
            return;
        }
        let expected = self.in_first_rows(rows);
        let first = took / expected;
        let known = if self.first > 0.0 { self.first } else { first };
        self.first = known + GAIN * (first - known);
        let missed = (took / self.first).min(1.0 + rows) - expected;
        // The points on both sides move, each by its nearness, so that together they close the gap.
        let at = POINTS.partition_point(|point| *point < rows);
        let at = at.clamp(1, POINTS.len() - 1);
        let near = ((rows - POINTS[at - 1]) / (POINTS[at] - POINTS[at - 1])).min(1.0);
        let step = ROW_GAIN * missed / (near * near + (1.0 - near) * (1.0 - near));
        self.prices[at - 1] += (1.0 - near) * step;
        // The steps between the points above are not known to have changed.
        for price in &mut self.prices[at..] {
            *price += near * step;
        }
        self.tidy();
    }

    /// Seconds of a pass of `rows`; one row takes a second before any pass was seen.
    pub fn predict(&self, rows: f64) -> f64 {
        let first = if self.first > 0.0 { self.first } else { 1.0 };
        first * self.in_first_rows(rows)
    }

    fn in_first_rows(&self, rows: f64) -> f64 {
        let points: [(f64, f64); POINTS.len()] =
            std::array::from_fn(|point| (POINTS[point], self.prices[point]));
        line(&points, rows.max(1.0))
    }

    /// Keeps the first price at 1, and each further row between 0 and 1.
    fn tidy(&mut self) {
        self.prices[0] = 1.0;
        for point in 1..POINTS.len() {
            let before = self.prices[point - 1];
            let most = before + POINTS[point] - POINTS[point - 1];
            self.prices[point] = self.prices[point].clamp(before, most);
        }
    }
}

/// Value at `place` of the line through `points`, at least two with rising places.
fn line(points: &[(f64, f64)], place: f64) -> f64 {
    let after = points.partition_point(|point| point.0 < place);
    let after = after.clamp(1, points.len() - 1);
    let ((from, low), (to, high)) = (points[after - 1], points[after]);
    low + (high - low) * (place - from) / (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn step_from_one_row_to_several_does_not_make_long_blocks_look_dear() {
        // 50 ms for one row, 60 for two, and 4 for each further one; only blocks of one and two tokens are seen.
        let mut cost = VerifyCost::default();
        for round in 0..300 {
            let rows = 1 + round % 3;
            let took = if rows == 1 { 50 } else { 52 + 4 * rows as u32 };
            cost.observe(rows, took * MILLISECOND);
        }
        let in_first = |rows| cost.predict(rows) / cost.predict(1.0);
        assert!((in_first(2.0) - 1.2).abs() < 0.03, "{}", in_first(2.0));
        assert!((in_first(5.0) - 1.44).abs() < 0.15, "{}", in_first(5.0));
    }

    #[test]
    fn rows_of_many_sessions_cost_what_they_compute() {
        // As measured of a model of 1.5 billion on one core: about 5 ms a row up to five, about 10 from there on.
        let took = [
            46, 53, 58, 64, 68, 78, 87, 96, 106, 116, 126, 136, 146, 156, 166, 177,
        ];
        let mut cost = VerifyCost::default();
        for round in 0..600 {
            let rows = 1 + round * 7 % 16;
            cost.observe(rows, took[rows - 1] * MILLISECOND);
        }
        let row = |rows: f64| (cost.predict(rows + 1.0) - cost.predict(rows)) / cost.predict(1.0);
        assert!((row(3.0) - 0.12).abs() < 0.04, "{}", row(3.0));
        assert!((row(10.0) - 0.22).abs() < 0.04, "{}", row(10.0));
    }

    #[test]
    fn measured_costs_are_those_that_are_predicted() {
        let took = |rows: usize| Duration::from_micros(20_000 + 50 * rows as u64);
        let passes = [1, 2, 4, 8, 16].map(|rows| (rows, took(rows)));
        let mut cost = VerifyCost::measured(&passes);
        for rows in [1, 3, 8, 40, 200] {
            let expected = took(rows).as_secs_f64();
            let found = cost.predict(rows as f64);
            assert!((found - expected).abs() < 1e-6, "{rows}: {found}");
        }
        // Only passes of many rows are seen, twice as slow: it is the machine, not the rows.
        for _ in 0..100 {
            cost.observe(40, 2 * took(40));
        }
        assert!((cost.predict(40.0) - 2.0 * took(40).as_secs_f64()).abs() < 1e-3);
        assert!((cost.predict(1.0) - 2.0 * took(1).as_secs_f64()).abs() < 0.008);
        // Too little says nothing.
        for passes in [&passes[..1], &[(1, Duration::ZERO), (2, MILLISECOND)], &[]] {
            let nothing = VerifyCost::measured(passes);
            assert!((nothing.predict(4.0) - VerifyCost::default().predict(4.0)).abs() < 1e-9);
        }
    }

    #[test]
    fn costs_follow_the_load_and_keep_their_shape() {
        let mut cost = VerifyCost::measured(&[(1, 50 * MILLISECOND), (2, 58 * MILLISECOND)]);
        let shape = cost.predict(5.0) / cost.predict(1.0);
        assert!((shape - 82.0 / 50.0).abs() < 0.1, "{shape}");
        // The machine gets twice as slow while only plain rounds are seen.
        for _ in 0..60 {
            cost.observe(1, 100 * MILLISECOND);
        }
        assert!((cost.predict(1.0) - 0.1).abs() < 0.002);
        assert!((cost.predict(5.0) / cost.predict(1.0) - shape).abs() < 1e-9);
        // A pass that cost nothing, or had no rows, says nothing.
        cost.observe(4, Duration::ZERO);
        cost.observe(0, 100 * MILLISECOND);
        assert!((cost.predict(1.0) - 0.1).abs() < 0.002);
    }
}
