//! Circuit breaker of a drafter. Ours because it is forty lines with the caller's clock, and
//! because a trial is a whole session, which may end without a result.

use std::time::{Duration, Instant};

use chassis::channel::Backoff;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 3;
/// Time that the breaker stays open, at first and at most.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// State of a drafter's breaker. Closed: every session may try. Open: none. Half open: one may.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    rest: Backoff,
    open_until: Option<Instant>,
    trying: bool,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            failures: 0,
            rest: Backoff::new(FIRST_REST, LONGEST_REST),
            open_until: None,
            trying: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// True if a session may try at `now`.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.open_until
            .is_none_or(|until| now >= until && !self.trying)
    }

    /// A session that was admitted begins.
    pub(super) fn began(&mut self) {
        self.trying = self.is_open();
    }

    /// A session got something usable.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.rest.reset();
        self.open_until = None;
        self.trying = false;
    }

    /// A session failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            let rest = self.rest.next().unwrap_or(LONGEST_REST);
            self.open_until = Some(now + rest);
        }
        self.trying = false;
    }

    /// A session ended, perhaps without a result: another one may try.
    pub(super) fn ended(&mut self) {
        self.trying = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_after_a_trial() {
        let mut breaker = Breaker::new();
        let now = Instant::now();
        breaker.failed(now);
        breaker.failed(now);
        breaker.succeeded();
        for _ in 0..FAILURES {
            assert!(breaker.admits(now));
            breaker.failed(now);
        }
        assert!(breaker.is_open() && !breaker.admits(now));
        let later = now + FIRST_REST;
        assert!(breaker.admits(later));
        breaker.began();
        assert!(!breaker.admits(later), "one trial at a time");
        breaker.ended();
        assert!(
            breaker.admits(later),
            "a trial that told nothing is repeated"
        );
        breaker.began();
        breaker.succeeded();
        assert!(!breaker.is_open() && breaker.admits(later));
    }

    #[test]
    fn failed_trial_rests_longer() {
        let mut breaker = Breaker::new();
        let mut now = Instant::now();
        for _ in 0..12 {
            breaker.failed(now);
            now += LONGEST_REST;
        }
        let before = now;
        breaker.failed(now);
        assert!(!breaker.admits(before + LONGEST_REST / 3));
        assert!(breaker.admits(before + LONGEST_REST));
    }
}
