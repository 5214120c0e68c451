//! Gauges that are read at the moment of a scrape, so that nothing has to be kept up to date.

use std::fmt;

use chassis::metrics::encode_gauges;
use inference::engine::Load;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use proto::verifier::{DrafterState, DrafterStatus};
use serving::metrics::encode_prefix_cache;

/// State of a verifier at one moment.
pub(crate) struct Snapshot {
    /// Requests in progress.
    pub(crate) requests: usize,
    /// Requests that wait for a place.
    pub(crate) waiting: usize,
    /// Places: most requests in progress.
    pub(crate) places: usize,
    /// Load of the target model's engine.
    pub(crate) engine: Load,
    /// State of each drafter.
    pub(crate) drafters: Vec<DrafterStatus>,
}

impl Snapshot {
    /// Share of the KV cache's positions that are in use, from 0 to 1.
    pub(super) fn usage_ratio(&self) -> f64 {
        let ratio = self.engine.positions as f64 / self.engine.max_positions.max(1) as f64;
        ratio.min(1.0)
    }
}

/// Collector that takes a snapshot for each scrape.
pub(super) struct Gauges {
    read: Box<dyn Fn() -> Snapshot + Send + Sync>,
}

impl Gauges {
    pub(super) fn new(read: impl Fn() -> Snapshot + Send + Sync + 'static) -> Self {
        Self {
            read: Box::new(read),
        }
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = (self.read)();
        let usage_ratio = now.usage_ratio();
        let Snapshot {
            requests,
            waiting,
            places,
            engine,
            drafters,
        } = now;
        let gauges = [
            (
                "requests_in_progress",
                "Requests in progress",
                requests as u64,
            ),
            (
                "requests_waiting",
                "Requests that wait for a place",
                waiting as u64,
            ),
            (
                "request_places",
                "Most requests in progress at once",
                places as u64,
            ),
            (
                "engine_sessions",
                "Sessions of the target model",
                engine.sessions as u64,
            ),
            (
                "queued_passes",
                "Passes that wait for the model",
                engine.queued as u64,
            ),
        ];
        encode_gauges(&mut encoder, &gauges)?;
        let usage = encoder.encode_descriptor(
            "kv_cache_usage_ratio",
            "Positions of the KV cache in use, of those that all places together may hold",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(usage_ratio).encode(usage)?;
        encode_prefix_cache(&mut encoder, &engine.prefixes)?;
        let mut encode = ForEachDrafter {
            encoder: &mut encoder,
            drafters: &drafters,
        };
        encode.gauge("drafter_ready", "Whether a drafter is in use", |drafter| {
            i64::from(drafter.state == DrafterState::Ready)
        })?;
        encode.gauge(
            "drafter_sessions",
            "Sessions open with a drafter",
            |drafter| i64::from(drafter.sessions),
        )?;
        encode.gauge(
            "drafter_round_trip_seconds",
            "Smoothed round trip to a drafter",
            |drafter| drafter.round_trip.map_or(0.0, |trip| trip.as_secs_f64()),
        )
    }
}

/// Encoder of gauges that have a value for each drafter.
struct ForEachDrafter<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
    drafters: &'a [DrafterStatus],
}

impl ForEachDrafter<'_, '_> {
    fn gauge<N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&DrafterStatus) -> N,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut gauge = self.encoder.encode_descriptor(name, help, None, kind)?;
        for drafter in self.drafters {
            let label = [("address", drafter.address.as_str())];
            ConstGauge::new(value(drafter)).encode(gauge.encode_family(&label)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inference::engine::PrefixLoad;
    use prometheus_client::registry::Registry;

    use super::*;

    fn drafter(address: &str, state: DrafterState) -> DrafterStatus {
        DrafterStatus {
            address: address.to_owned(),
            state,
            sessions: 3,
            round_trip: (state == DrafterState::Ready).then_some(Duration::from_millis(250)),
            model: None,
            tokenizer_fingerprint: None,
            last_error: None,
        }
    }

    #[test]
    fn scrape_reads_the_state_of_the_moment() {
        let read = || Snapshot {
            waiting: 1,
            requests: 1,
            places: 16,
            engine: Load {
                sessions: 2,
                queued: 3,
                cache_bytes: 4,
                positions: 100,
                max_positions: 400,
                prefixes: PrefixLoad {
                    bytes: 5,
                    hits: 6,
                    misses: 7,
                    tokens: 8,
                },
            },
            drafters: vec![
                drafter("http://a:1", DrafterState::Ready),
                drafter("http://b:2", DrafterState::Unreachable),
            ],
        };
        let mut registry = Registry::with_prefix("duet");
        super::super::Metrics::observe(&mut registry, read);
        let mut others = Registry::default();
        super::super::Metrics::observe_as_vllm(&mut others, "tiny", read);
        let text = chassis::metrics::encode(&registry).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "duet_verifier_requests_in_progress 1",
            "duet_verifier_requests_waiting 1",
            "duet_verifier_request_places 16",
            "duet_verifier_engine_sessions 2",
            "duet_verifier_queued_passes 3",
            "duet_verifier_kv_cache_usage_ratio 0.25",
            "duet_verifier_prefix_cache_bytes 5",
            "duet_verifier_prefix_cache_hits_total 6",
            "duet_verifier_prefix_cache_misses_total 7",
            "duet_verifier_prefix_cache_tokens_total 8",
            "duet_verifier_drafter_ready{address=\"http://a:1\"} 1",
            "duet_verifier_drafter_ready{address=\"http://b:2\"} 0",
            "duet_verifier_drafter_sessions{address=\"http://a:1\"} 3",
            "duet_verifier_drafter_sessions{address=\"http://b:2\"} 3",
            "duet_verifier_drafter_round_trip_seconds{address=\"http://a:1\"} 0.25",
            "duet_verifier_drafter_round_trip_seconds{address=\"http://b:2\"} 0.0",
        ];
        assert_eq!(samples, expected);
        let text = chassis::metrics::encode(&others).unwrap();
        for line in [
            "vllm:num_requests_running{model_name=\"tiny\"} 1.0",
            "vllm:num_requests_waiting{model_name=\"tiny\"} 1.0",
            "vllm:kv_cache_usage_perc{model_name=\"tiny\"} 0.25",
            "vllm:gpu_cache_usage_perc{model_name=\"tiny\"} 0.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
