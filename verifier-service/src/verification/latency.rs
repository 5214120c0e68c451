//! Latencies of one reply as its client sees them, its wait for a place included.

use std::time::Instant;

use crate::metrics::Latencies;

/// Latencies of one reply, reported when it is dropped at the latest.
#[derive(Debug)]
pub(super) struct Latency {
    latencies: Latencies,
    arrived: Instant,
    /// End of the last round that committed tokens.
    last: Option<Instant>,
}

impl Latency {
    /// Latencies of a request that arrived at this moment.
    pub(super) fn new(latencies: Latencies, arrived: Instant) -> Self {
        Self {
            latencies,
            arrived,
            last: None,
        }
    }

    /// Reports the tokens of a round that ended at this moment. They come together, so each gets an equal part of the time since
    /// the tokens before them.
    pub(super) fn committed(&mut self, tokens: u32, now: Instant) {
        if tokens == 0 {
            return;
        }
        let since = |moment| now.saturating_duration_since(moment).as_secs_f64();
        match self.last.replace(now) {
            None => {
                let histogram = &self.latencies.time_to_first_token;
                histogram.observe(since(self.arrived));
            }
            Some(last) => {
                let part = since(last) / f64::from(tokens);
                let histogram = &self.latencies.time_between_tokens;
                (0..tokens).for_each(|_| histogram.observe(part));
            }
        }
    }
}

impl Drop for Latency {
    fn drop(&mut self) {
        let took = self.arrived.elapsed().as_secs_f64();
        self.latencies.request_duration.observe(took);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Registry;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn every_token_after_the_first_round_has_its_part_of_the_time() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let arrived = Instant::now();
        let mut latency = Latency::new(metrics.latencies, arrived);
        for (tokens, at) in [(0, 1), (3, 2), (4, 3), (0, 4), (1, 5)] {
            latency.committed(tokens, arrived + Duration::from_secs(at));
        }
        drop(latency);
        let text = chassis::metrics::encode(&registry).unwrap();
        for line in [
            "verifier_time_to_first_token_seconds_sum 2.0",
            "verifier_time_to_first_token_seconds_count 1",
            // Four quarters of a second, and two seconds.
            "verifier_time_between_tokens_seconds_sum 3.0",
            "verifier_time_between_tokens_seconds_count 5",
            "verifier_request_duration_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
