//! Rate limit of messages: a number a second, and a burst of them at once. A faster sender waits: backpressure reaches it
//! through the stream's flow control.

use std::time::{Duration, Instant};

/// Messages that may come at once.
const BURST: u32 = 32;

/// Rate limit of one session.
pub(super) struct RateLimiter {
    /// Time between two messages, over a longer time.
    interval: Duration,
    /// Time at which the messages taken so far would have come at the interval.
    due: Instant,
}

impl RateLimiter {
    /// `rate` messages a second.
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate.max(1),
            due: now,
        }
    }

    /// Time until the next message may be taken.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let early = self.due.saturating_duration_since(now);
        early.saturating_sub(self.interval * (BURST - 1))
    }

    /// Counts a message that is taken.
    pub(super) fn count(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_free_and_messages_after_it_wait() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(100, start);
        for _ in 0..BURST {
            assert_eq!(limiter.wait(start), Duration::ZERO);
            limiter.count(start);
        }
        assert_eq!(limiter.wait(start), Duration::from_millis(10));
        let later = start + Duration::from_millis(10);
        assert_eq!(limiter.wait(later), Duration::ZERO);
        limiter.count(later);
        assert_eq!(limiter.wait(later), Duration::from_millis(10));
        let later_still = start + Duration::from_secs(10);
        limiter.count(later_still);
        assert_eq!(
            limiter.wait(later_still),
            Duration::ZERO,
            "an idle time does not add up to a longer burst"
        );
    }
}
