//! Deadline of a round for its block: smoothed latency plus a few deviations, between a floor and a cap.
//!
//! The scheme is that of TCP's retransmission timer (Jacobson 1988, RFC 6298 section 2), with its gains. Ours because it is
//! thirty lines and takes durations from the caller's clock.

use std::time::Duration;

/// Gain of a new latency in the mean, and of a new difference in the mean deviation (RFC 6298).
const MEAN_GAIN: f64 = 1.0 / 8.0;
const DEVIATION_GAIN: f64 = 1.0 / 4.0;
/// Mean deviations to wait beyond the mean (RFC 6298).
const DEVIATIONS: f64 = 4.0;

/// Limits of the deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeadlineOptions {
    /// Shortest wait; wins over `cap` if it is longer.
    pub floor: Duration,
    /// Longest wait; no latency counts as longer.
    pub cap: Duration,
    /// Wait before any latency was measured.
    pub initial: Duration,
}

/// Latency of blocks as measured so far.
#[derive(Clone, Debug)]
pub struct RoundLatency {
    options: DeadlineOptions,
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    mean_seconds: f64,
    deviation_seconds: f64,
}

impl Default for DeadlineOptions {
    fn default() -> Self {
        Self {
            floor: Duration::from_millis(2),
            cap: Duration::from_secs(2),
            initial: Duration::from_millis(500),
        }
    }
}

impl RoundLatency {
    /// An estimate without samples.
    pub fn new(options: DeadlineOptions) -> Self {
        Self {
            options,
            estimate: None,
        }
    }

    /// Takes in one latency, from asking for a block to its arrival. Blocks that came too late count too: without them a drafter
    /// that slowed down would stay late for ever.
    pub fn observe(&mut self, latency: Duration) {
        let latency = latency.min(self.options.cap).as_secs_f64();
        self.estimate = Some(match self.estimate {
            None => Estimate {
                mean_seconds: latency,
                deviation_seconds: latency / 2.0,
            },
            Some(Estimate {
                mean_seconds,
                deviation_seconds,
            }) => {
                let error = latency - mean_seconds;
                let surprise = error.abs() - deviation_seconds;
                Estimate {
                    mean_seconds: mean_seconds + MEAN_GAIN * error,
                    deviation_seconds: deviation_seconds + DEVIATION_GAIN * surprise,
                }
            }
        });
    }

    /// Longest wait for a block, counted from the moment it was asked for.
    pub fn wait(&self) -> Duration {
        let DeadlineOptions {
            floor,
            cap,
            initial,
        } = self.options;
        let wait = self.estimate.map_or(initial, |estimate| {
            let seconds = estimate.mean_seconds + DEVIATIONS * estimate.deviation_seconds;
            Duration::try_from_secs_f64(seconds).unwrap_or(cap)
        });
        wait.min(cap).max(floor)
    }

    /// The same for a block that should take `expected` by its length, though shorter ones took less.
    pub fn wait_at_least(&self, expected: Duration) -> Duration {
        self.wait().max(expected.min(self.options.cap))
    }

    /// Wait for a block of a drafter that had nothing to propose last time: the floor, or nothing if blocks take longer than that
    /// anyway. A block that comes later can still serve the next round.
    pub fn brief(&self) -> Duration {
        let floor = self.options.floor;
        let is_slow = self
            .estimate
            .is_some_and(|estimate| estimate.mean_seconds > floor.as_secs_f64());
        if is_slow { Duration::ZERO } else { floor }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn after(latencies: &[Duration]) -> RoundLatency {
        let mut latency = RoundLatency::new(DeadlineOptions::default());
        for observed in latencies {
            latency.observe(*observed);
        }
        latency
    }

    #[test]
    fn unmeasured_drafter_is_waited_for_the_initial_time() {
        assert_eq!(after(&[]).wait(), DeadlineOptions::default().initial);
    }

    #[test]
    fn steady_latency_is_waited_for_and_little_more() {
        let wait = after(&[20 * MILLISECOND; 60]).wait();
        assert!(
            wait >= 20 * MILLISECOND && wait < 21 * MILLISECOND,
            "{wait:?}"
        );
    }

    #[test]
    fn slower_drafter_is_waited_for_within_a_few_rounds() {
        let mut latencies = vec![20 * MILLISECOND; 60];
        latencies.extend([100 * MILLISECOND; 2]);
        assert!(after(&latencies).wait() > 100 * MILLISECOND);
    }

    #[test]
    fn one_long_stall_is_forgotten() {
        let mut latencies = vec![20 * MILLISECOND; 60];
        latencies.push(Duration::from_hours(1));
        assert!(after(&latencies).wait() <= DeadlineOptions::default().cap);
        latencies.extend([20 * MILLISECOND; 40]);
        assert!(after(&latencies).wait() < 40 * MILLISECOND);
    }

    #[test]
    fn drafter_with_nothing_to_propose_is_waited_for_only_if_it_is_quick() {
        assert_eq!(after(&[MILLISECOND; 9]).brief(), 2 * MILLISECOND);
        assert_eq!(after(&[20 * MILLISECOND; 9]).brief(), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn wait_stays_between_floor_and_cap(millis in proptest::collection::vec(0_u64..100_000, 0..40)) {
            let options = DeadlineOptions::default();
            let mut latency = RoundLatency::new(options);
            for millis in millis {
                latency.observe(Duration::from_millis(millis));
                prop_assert!(latency.wait() >= options.floor && latency.wait() <= options.cap);
            }
        }
    }
}
