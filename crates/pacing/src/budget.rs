//! Budget of a reply for waiting: what drafts may cost at most, whatever a drafter does.

use std::time::Duration;

/// Waiting that a reply may cost beyond what drafts saved: a part of its plain time, and a fixed amount.
const SHARE: f64 = 0.1;
const FIXED: Duration = Duration::from_millis(100);

/// Time that a reply may still spend waiting for drafts.
///
/// waited ≤ 0.1 · plain time of the committed tokens + 100 ms + saved, where a round that commits n tokens in a pass of p seconds
/// saved n · plain - p seconds, if that is positive. So a reply takes at most 1.1 times its plain time plus 100 ms by waiting, with
/// any drafter: what is waited for in vain has been earned before.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Seconds left; negative where the last wait was longer than asked for.
    left: f64,
}

impl Budget {
    /// Budget of a new reply; `least` replaces the fixed amount where it is more.
    pub fn new(least: Duration) -> Self {
        Self {
            left: FIXED.max(least).as_secs_f64(),
        }
    }

    /// Takes in a round that committed `tokens`, in a pass of `pass` seconds, where a plain pass takes `plain` seconds.
    pub fn observe(&mut self, tokens: usize, pass: f64, plain: f64, waited: Duration) {
        let plain_time = tokens as f64 * plain;
        self.left += SHARE * plain_time + (plain_time - pass.max(plain)).max(0.0);
        self.left -= waited.as_secs_f64();
    }

    /// Longest wait that the budget allows now.
    pub fn left(&self) -> Duration {
        Duration::try_from_secs_f64(self.left.max(0.0)).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_in_vain_costs_a_tenth_and_a_tenth_of_a_second() {
        // A reply of 200 plain tokens at 50 ms, by a drafter that uses every wait it is given and delivers nothing.
        let (mut budget, mut took) = (Budget::new(Duration::ZERO), 0.0);
        for _ in 0..200 {
            let waited = budget.left().min(Duration::from_millis(500));
            took += 0.05 + waited.as_secs_f64();
            budget.observe(1, 0.05, 0.05, waited);
        }
        assert!(took <= 1.1 * 200.0 * 0.05 + 0.1 + 1e-9, "{took}");
    }

    #[test]
    fn what_drafts_saved_may_be_waited_again() {
        let mut budget = Budget::new(Duration::ZERO);
        budget.observe(5, 0.08, 0.05, Duration::ZERO);
        let left = budget.left().as_secs_f64();
        assert!((left - (0.1 + 0.025 + 0.17)).abs() < 1e-9, "{left}");
        // A pass whose rows cost more than they brought takes nothing away: it is not a wait.
        budget.observe(1, 0.2, 0.05, Duration::ZERO);
        assert!(budget.left().as_secs_f64() > left);
    }
}
