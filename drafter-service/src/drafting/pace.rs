//! How fast messages are taken in: so many a second, and a burst of them at once. A sender that is faster has to wait, and
//! feels it through the stream's flow control.

use std::time::{Duration, Instant};

/// Messages that may come at once.
const BURST: u32 = 32;

/// The pace of one session.
pub(super) struct Pace {
    /// Between two messages, over a longer time.
    interval: Duration,
    /// When the messages taken so far would have come at the interval.
    due: Instant,
}

impl Pace {
    /// `rate` messages a second.
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate.max(1),
            due: now,
        }
    }

    /// How long until the next message may be taken.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let ahead = self.due.saturating_duration_since(now);
        ahead.saturating_sub(self.interval * (BURST - 1))
    }

    /// A message is taken.
    pub(super) fn spend(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_free_and_what_comes_after_it_waits_its_turn() {
        let start = Instant::now();
        let mut pace = Pace::new(100, start);
        for _ in 0..BURST {
            assert_eq!(pace.wait(start), Duration::ZERO);
            pace.spend(start);
        }
        assert_eq!(pace.wait(start), Duration::from_millis(10));
        let later = start + Duration::from_millis(10);
        assert_eq!(pace.wait(later), Duration::ZERO);
        pace.spend(later);
        assert_eq!(pace.wait(later), Duration::from_millis(10));
        let rested = start + Duration::from_secs(10);
        pace.spend(rested);
        assert_eq!(
            pace.wait(rested),
            Duration::ZERO,
            "rest does not add up to more"
        );
    }
}
