//! Metrics that are registered where they are made, so that each is named once, and the gauges of an engine's prefix cache.

use std::{fmt, hash::Hash};

use chassis::metrics::{encode_counters, encode_gauges};
use inference::engine::PrefixLoad;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// A counter without labels.
pub fn counter(registry: &mut Registry, name: &'static str, help: &'static str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// A gauge without labels.
pub fn gauge(registry: &mut Registry, name: &'static str, help: &'static str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// A counter for each set of labels.
pub fn family<L>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
) -> Family<L, Counter>
where
    L: Clone + fmt::Debug + EncodeLabelSet + Eq + Hash + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// A histogram with these upper bounds of its buckets.
pub fn histogram(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    buckets: impl IntoIterator<Item = f64>,
) -> Histogram {
    let histogram = Histogram::new(buckets);
    registry.register(name, help, histogram.clone());
    histogram
}

/// A histogram of durations. `_seconds` is added to `name`, and the bounds are in seconds.
pub fn seconds(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    buckets: impl IntoIterator<Item = f64>,
) -> Histogram {
    let histogram = Histogram::new(buckets);
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

/// Encodes the size and the use of an engine's prefix cache.
pub fn encode_prefix_cache(
    encoder: &mut DescriptorEncoder<'_>,
    prefixes: &PrefixLoad,
) -> fmt::Result {
    let size = (
        "prefix_cache_bytes",
        "Memory of what is kept of earlier texts",
        prefixes.bytes,
    );
    encode_gauges(encoder, &[size])?;
    let counters = [
        (
            "prefix_cache_hits",
            "Passes that began as an earlier text did",
            prefixes.hits,
        ),
        (
            "prefix_cache_misses",
            "Passes that could have begun as an earlier text and did not",
            prefixes.misses,
        ),
        (
            "prefix_cache_tokens",
            "Tokens that were not computed again",
            prefixes.tokens,
        ),
    ];
    encode_counters(encoder, &counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_is_registered_with_the_name_that_it_is_made_with() {
        let mut registry = Registry::with_prefix("duet");
        counter(&mut registry, "rounds", "Rounds").inc();
        gauge(&mut registry, "open_sessions", "Sessions open now").set(2);
        histogram(&mut registry, "batch_rows", "Rows of a pass", [1.0]).observe(1.0);
        seconds(&mut registry, "queue", "Waiting", [0.5]).observe(0.25);
        let text = chassis::metrics::encode(&registry).unwrap();
        let expected = "\
            # HELP duet_rounds Rounds.\n\
            # TYPE duet_rounds counter\n\
            duet_rounds_total 1\n\
            # HELP duet_open_sessions Sessions open now.\n\
            # TYPE duet_open_sessions gauge\n\
            duet_open_sessions 2\n\
            # HELP duet_batch_rows Rows of a pass.\n\
            # TYPE duet_batch_rows histogram\n\
            duet_batch_rows_sum 1.0\n\
            duet_batch_rows_count 1\n\
            duet_batch_rows_bucket{le=\"1.0\"} 1\n\
            duet_batch_rows_bucket{le=\"+Inf\"} 1\n\
            # HELP duet_queue_seconds Waiting.\n\
            # TYPE duet_queue_seconds histogram\n\
            # UNIT duet_queue_seconds seconds\n\
            duet_queue_seconds_sum 0.25\n\
            duet_queue_seconds_count 1\n\
            duet_queue_seconds_bucket{le=\"0.5\"} 1\n\
            duet_queue_seconds_bucket{le=\"+Inf\"} 1\n\
            # EOF\n";
        assert_eq!(text, expected);
    }
}
