//! Time that blocks take: the drafter's own work for a token, and how long a round waits for a block of some length.

use std::time::Duration;

use crate::ewma::Ewma;

/// Gain of a new block.
const GAIN: f64 = 0.125;
/// No block counts as taking longer than this; the drafter's own word need not be true.
const LONGEST: Duration = Duration::from_secs(10);

/// Time that a drafter's blocks take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DraftCost {
    /// Seconds that the drafter computes for a token.
    token: Ewma,
    /// Seconds from asking for a block to its arrival.
    latency: Ewma,
    /// Draft tokens of the blocks that `latency` is of.
    tokens: Ewma,
}

impl DraftCost {
    /// Takes in a block that was waited for. `latency` is `None` for the first of a stream, for which the drafter read the prompt.
    pub(crate) fn observe(&mut self, tokens: usize, compute: Duration, latency: Option<Duration>) {
        self.take_in(tokens, compute, latency, GAIN);
    }

    /// Takes in the block of a probe. Earlier measurements may be old, of a time when the drafter had more to do: they are dropped.
    pub(crate) fn renew(&mut self, tokens: usize, compute: Duration, latency: Duration) {
        self.take_in(tokens, compute, Some(latency), 1.0);
    }

    fn take_in(&mut self, tokens: usize, compute: Duration, latency: Option<Duration>, gain: f64) {
        if tokens == 0 {
            return;
        }
        let size = tokens as f64;
        self.token
            .observe(compute.min(LONGEST).as_secs_f64() / size, gain);
        if let Some(latency) = latency {
            self.latency
                .observe(latency.min(LONGEST).as_secs_f64(), gain);
            self.tokens.observe(size, gain);
        }
    }

    /// Draft tokens of a typical block.
    pub(crate) fn tokens(&self) -> f64 {
        self.tokens.or(1.0).max(1.0)
    }

    /// Seconds that a block of `tokens` is waited for; 0 before anything was measured.
    ///
    /// A longer block adds only the part of its computing that was not hidden behind verification: a block drafted ahead of the
    /// verdict is there when it is asked for, however long it is.
    pub(crate) fn wait(&self, tokens: f64) -> f64 {
        let (token, latency, typical) = (
            self.token.or(0.0),
            self.latency.or(0.0),
            self.tokens.or(0.0),
        );
        let compute = typical * token;
        let visible = if compute > 0.0 {
            (latency / compute).min(1.0)
        } else {
            1.0
        };
        (latency + (tokens - typical) * token * visible).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found}");
    }

    #[test]
    fn longer_block_is_waited_for_longer_by_the_part_that_was_not_hidden() {
        // Latency of a block of four tokens at 10 ms each, and the waits for four and eight.
        for (latency, four, eight) in [(50, 0.05, 0.09), (10, 0.01, 0.02), (0, 0.0, 0.0)] {
            let mut draft = DraftCost::default();
            draft.observe(4, 40 * MILLISECOND, Some(latency * MILLISECOND));
            close(draft.wait(4.0), four);
            close(draft.wait(8.0), eight);
        }
    }

    #[test]
    fn first_block_of_a_stream_gives_the_cost_of_a_token_but_no_latency() {
        let mut draft = DraftCost::default();
        draft.observe(4, 40 * MILLISECOND, None);
        close(draft.wait(4.0), 0.04);
        draft.observe(4, 40 * MILLISECOND, Some(10 * MILLISECOND));
        close(draft.wait(4.0), 0.01);
    }

    #[test]
    fn probe_replaces_what_was_measured_before() {
        let mut draft = DraftCost::default();
        for _ in 0..50 {
            draft.observe(4, 400 * MILLISECOND, Some(400 * MILLISECOND));
        }
        draft.renew(3, 12 * MILLISECOND, 12 * MILLISECOND);
        close(draft.wait(3.0), 0.012);
    }
}
