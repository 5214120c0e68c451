//! What is so at the moment of a scrape: read then, so that nothing has to be kept up to date.

use std::fmt;

use inference::engine::Engine;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Reads the draft model's engine.
pub(crate) struct Gauges(pub(crate) Engine);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let prefixes = self.0.load_now().prefixes;
        let name = "drafter_prefix_cache_bytes";
        let about = "Memory of what is kept of earlier texts";
        let descriptor = encoder.encode_descriptor(name, about, None, MetricType::Gauge)?;
        ConstGauge::new(prefixes.bytes as i64).encode(descriptor)?;
        for (name, about, count) in [
            (
                "drafter_prefix_cache_hits",
                "Passes that began as an earlier text did",
                prefixes.hits,
            ),
            (
                "drafter_prefix_cache_misses",
                "Passes that could have begun as an earlier text and did not",
                prefixes.misses,
            ),
            (
                "drafter_prefix_cache_tokens",
                "Tokens that were not computed again",
                prefixes.tokens,
            ),
        ] {
            let descriptor = encoder.encode_descriptor(name, about, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(descriptor)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}
