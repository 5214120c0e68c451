//! Experience with one drafter, shared by all sessions that use it.

use std::time::Duration;

use crate::{
    chances::Tally,
    deadline::{DeadlineOptions, RoundLatency},
    draft_cost::DraftCost,
};

/// Rounds of idle sessions between probes, at first and at most. Each probe that changes nothing doubles them.
const PROBE_INTERVAL: (u32, u32) = (8, 128);
/// Idle sessions share probes, up to this many: what one learns, all know.
const SHARING: u32 = 4;
/// A block may take this many times what its length lets expect.
const SLACK: f64 = 2.0;

/// What sessions have seen of a drafter, for those that follow.
#[derive(Clone, Debug)]
pub struct Experience {
    /// Draft tokens tried and accepted, of all texts.
    pub(crate) tally: Tally,
    pub(crate) cost: DraftCost,
    pub(crate) latency: RoundLatency,
    pub(crate) turns: Turns,
}

/// Turns of idle sessions to probe. Their rounds are counted together, since a reply may be over before its own would suffice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    rounds: u32,
    interval: u32,
}

impl Experience {
    /// Nothing seen yet.
    pub fn new(deadline: DeadlineOptions) -> Self {
        Self {
            tally: Tally::default(),
            cost: DraftCost::default(),
            latency: RoundLatency::new(deadline),
            turns: Turns::default(),
        }
    }

    /// Longest time that a block of `tokens` may take, from the moment it was asked for, before it counts as late.
    pub fn deadline(&self, tokens: usize) -> Duration {
        let expected = SLACK * self.cost.wait(tokens as f64);
        let expected = Duration::try_from_secs_f64(expected).unwrap_or_default();
        self.latency.wait_at_least(expected)
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            rounds: 0,
            interval: PROBE_INTERVAL.0,
        }
    }
}

impl Turns {
    /// Counts a round of an idle session with `others`. True if its turn to probe has come.
    pub(crate) fn count(&mut self, others: usize) -> bool {
        self.rounds += 1;
        let sharing = (1 + others as u32).min(SHARING);
        let is_due = self.rounds >= self.interval * sharing;
        if is_due {
            self.rounds = 0;
        }
        is_due
    }

    /// Takes in a probe, or drafting that was given up: `is_worth` if the session drafts from now on.
    pub(crate) fn judged(&mut self, is_worth: bool) {
        self.interval = if is_worth {
            PROBE_INTERVAL.0
        } else {
            (2 * self.interval).min(PROBE_INTERVAL.1)
        };
        self.rounds = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_rare_where_they_change_nothing_and_frequent_where_they_do() {
        for (others, sharing) in [(0, 1), (1, 2), (1000, 4)] {
            let mut turns = Turns::default();
            let mut found = Vec::new();
            for is_worth in [false, false, false, false, false, true, false] {
                found.push(1 + (0..1000).take_while(|_| !turns.count(others)).count());
                turns.judged(is_worth);
            }
            assert_eq!(
                found,
                [8, 16, 32, 64, 128, 128, 8].map(|rounds| rounds * sharing)
            );
        }
    }
}
