//! How long a round may wait for its block: a smoothed latency plus a few deviations, between a floor
//! and a cap.
//!
//! Pure: durations come in, a duration goes out, and the caller owns the clock. Ours because it is
//! thirty lines, and because a wait that follows measured latency is what keeps a late block from ever
//! costing more than a bounded part of a round.

use std::time::Duration;

/// Limits and weights of the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Never wait less than this; wins over `cap` if it is larger.
    pub floor: Duration,
    /// Never wait longer than this, and count no latency as longer.
    pub cap: Duration,
    /// How long to wait before anything has been measured.
    pub initial: Duration,
    /// Weight of a new latency in the mean, between 0 and 1.
    pub mean_gain: f64,
    /// Weight of a new difference in the mean deviation, between 0 and 1.
    pub deviation_gain: f64,
    /// How many mean deviations to wait beyond the mean.
    pub deviations: f64,
}

/// The latency of rounds as measured so far.
///
/// mean and deviation are exponentially weighted: deviation += h·(|x - mean| - deviation), then
/// mean += g·(x - mean); wait = mean + n·deviation. The scheme is that of TCP's retransmission timer
/// (Jacobson 1988, RFC 6298 section 2), with its gains and its n as defaults.
#[derive(Clone, Debug)]
pub struct RoundLatency {
    options: Options,
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    mean_seconds: f64,
    deviation_seconds: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            floor: Duration::from_millis(2),
            cap: Duration::from_secs(2),
            initial: Duration::from_millis(500),
            mean_gain: 1.0 / 8.0,
            deviation_gain: 1.0 / 4.0,
            deviations: 4.0,
        }
    }
}

impl RoundLatency {
    /// Nothing measured yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            estimate: None,
        }
    }

    /// Counts one latency, from the verdict sent to the next block received. Count blocks that came
    /// too late as well, when they come: without them the estimate would know only the fast rounds
    /// and a drafter that slowed down would stay late for ever.
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
                    mean_seconds: mean_seconds + self.options.mean_gain * error,
                    deviation_seconds: deviation_seconds + self.options.deviation_gain * surprise,
                }
            }
        });
    }

    /// The smoothed latency; none before the first observation.
    pub fn mean(&self) -> Option<Duration> {
        self.estimate
            .map(|estimate| Duration::from_secs_f64(estimate.mean_seconds.max(0.0)))
    }

    /// How long to wait for a block, counted from the same moment as the latencies.
    pub fn wait(&self) -> Duration {
        let Options {
            floor,
            cap,
            initial,
            deviations,
            ..
        } = self.options;
        let wait = self.estimate.map_or(initial, |estimate| {
            let seconds = estimate.mean_seconds + deviations * estimate.deviation_seconds;
            // An estimate that is no duration (absurd weights) waits as long as allowed.
            Duration::try_from_secs_f64(seconds).unwrap_or(cap)
        });
        wait.min(cap).max(floor)
    }

    /// The same for a block that should take so long by itself, because it is longer than those before it.
    pub fn wait_at_least(&self, expected: Duration) -> Duration {
        self.wait().max(expected.min(self.options.cap))
    }

    /// What is left of the wait after `elapsed`; zero when it is over.
    pub fn remaining(&self, elapsed: Duration) -> Duration {
        self.wait().saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn after(latencies: &[Duration]) -> RoundLatency {
        let mut latency = RoundLatency::new(Options::default());
        for observed in latencies {
            latency.observe(*observed);
        }
        latency
    }

    #[test]
    fn waits_the_initial_time_before_anything_is_measured() {
        let latency = after(&[]);
        assert_eq!(latency.wait(), Options::default().initial);
        assert_eq!(latency.mean(), None);
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
        assert!(after(&latencies).wait() <= Options::default().cap);
        latencies.extend([20 * MILLISECOND; 40]);
        assert!(after(&latencies).wait() < 40 * MILLISECOND);
    }

    #[test]
    fn remaining_time_ends_at_zero() {
        let latency = after(&[]);
        let initial = Options::default().initial;
        assert_eq!(
            latency.remaining(MILLISECOND),
            initial.checked_sub(MILLISECOND).unwrap()
        );
        assert_eq!(latency.remaining(2 * initial), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn wait_stays_between_floor_and_cap(
            millis in proptest::collection::vec(0_u64..100_000, 0..40),
            deviations in -5.0_f64..1e30,
        ) {
            let options = Options { deviations, ..Options::default() };
            let mut latency = RoundLatency::new(options);
            for millis in millis {
                latency.observe(Duration::from_millis(millis));
                prop_assert!(latency.wait() >= options.floor && latency.wait() <= options.cap);
            }
        }
    }
}
