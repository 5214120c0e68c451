//! What is so at the moment of a scrape: read then, so that nothing has to be kept up to date.

use std::{fmt, sync::Arc};

use chassis::metrics::{Reading, encode_counters, encode_gauges};
use inference::engine::PrefixLoad;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use proto::verifier::DrafterState;

use crate::verification::Verifier;

/// Reads the verifier.
pub(crate) struct Gauges(pub(crate) Arc<Verifier>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let load = self.0.load();
        let gauges = [
            (
                "verifier_requests_in_progress",
                "Requests in progress",
                load.requests as u64,
            ),
            (
                "verifier_engine_sessions",
                "Sessions of the target model",
                load.engine.sessions as u64,
            ),
            (
                "verifier_queued_passes",
                "Passes that wait for the model",
                load.engine.queued as u64,
            ),
            (
                "verifier_prefix_cache_bytes",
                "Memory of what is kept of earlier texts",
                load.engine.prefixes.bytes,
            ),
        ];
        encode_gauges(&mut encoder, &gauges)?;
        encode_counters(&mut encoder, &prefix_counters(&load.engine.prefixes))?;
        let drafters = self.0.drafters();
        let name = "verifier_drafter_ready";
        let about = "Whether a drafter is in use";
        let mut ready = encoder.encode_descriptor(name, about, None, MetricType::Gauge)?;
        for drafter in &drafters {
            let is_ready = i64::from(drafter.state == DrafterState::Ready);
            let label = [("address", drafter.address.as_str())];
            ConstGauge::new(is_ready).encode(ready.encode_family(&label)?)?;
        }
        let name = "verifier_drafter_sessions";
        let about = "Sessions open with a drafter";
        let mut sessions = encoder.encode_descriptor(name, about, None, MetricType::Gauge)?;
        for drafter in &drafters {
            let label = [("address", drafter.address.as_str())];
            let gauge = ConstGauge::new(i64::from(drafter.sessions));
            gauge.encode(sessions.encode_family(&label)?)?;
        }
        let name = "verifier_drafter_round_trip_seconds";
        let about = "Smoothed round trip to a drafter";
        let mut trips = encoder.encode_descriptor(name, about, None, MetricType::Gauge)?;
        for drafter in &drafters {
            let label = [("address", drafter.address.as_str())];
            let seconds = drafter.round_trip.map_or(0.0, |trip| trip.as_secs_f64());
            ConstGauge::new(seconds).encode(trips.encode_family(&label)?)?;
        }
        Ok(())
    }
}

fn prefix_counters(prefixes: &PrefixLoad) -> [Reading; 3] {
    [
        (
            "verifier_prefix_cache_hits",
            "Passes that began as an earlier text did",
            prefixes.hits,
        ),
        (
            "verifier_prefix_cache_misses",
            "Passes that could have begun as an earlier text and did not",
            prefixes.misses,
        ),
        (
            "verifier_prefix_cache_tokens",
            "Tokens that were not computed again",
            prefixes.tokens,
        ),
    ]
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}
