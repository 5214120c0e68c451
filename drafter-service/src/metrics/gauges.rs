//! What is so at the moment of a scrape: read then, so that nothing has to be kept up to date.

use std::fmt;

use chassis::metrics::{encode_counters, encode_gauges};
use inference::engine::Engine;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Reads the draft model's engine.
pub(crate) struct Gauges(pub(crate) Engine);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let prefixes = self.0.load_now().prefixes;
        let held = (
            "drafter_prefix_cache_bytes",
            "Memory of what is kept of earlier texts",
            prefixes.bytes,
        );
        encode_gauges(&mut encoder, &[held])?;
        let counters = [
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
        ];
        encode_counters(&mut encoder, &counters)
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}
