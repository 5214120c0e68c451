//! Gauges that are read at the moment of a scrape, so that nothing has to be kept up to date.

use std::fmt;

use inference::engine::Engine;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use serving::metrics::encode_prefix_cache;

/// Collector that reads the draft model's engine.
pub(super) struct Gauges(pub(super) Engine);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode_prefix_cache(&mut encoder, &self.0.load_now().prefixes)
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}
