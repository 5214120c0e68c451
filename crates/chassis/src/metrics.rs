//! The registry of a process's metrics.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::Registry,
};

/// Content type of the text from [`encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry with one metric, `duet_build_info`, which identifies the process.
pub fn registry(service: &'static str, version: &'static str) -> Registry {
    let mut registry = Registry::default();
    let build = Info::new([("service", service), ("version", version)]);
    ours(&mut registry).register("build", "The process that is scraped", build);
    registry
}

/// Part of a registry for our own metrics, whose names begin with `duet_`.
pub fn ours(registry: &mut Registry) -> &mut Registry {
    registry.sub_registry_with_prefix("duet")
}

/// All metrics as `OpenMetrics` text.
pub fn encode(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// A value read at the moment of a scrape: name without `duet_`, help text and value.
pub type Scraped = (&'static str, &'static str, u64);

/// Encodes gauges read by a collector.
pub fn encode_gauges(encoder: &mut DescriptorEncoder<'_>, gauges: &[Scraped]) -> fmt::Result {
    for (name, about, value) in gauges {
        let descriptor = encoder.encode_descriptor(name, about, None, MetricType::Gauge)?;
        ConstGauge::new(*value as i64).encode(descriptor)?;
    }
    Ok(())
}

/// Encodes counters read by a collector.
pub fn encode_counters(encoder: &mut DescriptorEncoder<'_>, counters: &[Scraped]) -> fmt::Result {
    for (name, about, value) in counters {
        let descriptor = encoder.encode_descriptor(name, about, None, MetricType::Counter)?;
        ConstCounter::new(*value).encode(descriptor)?;
    }
    Ok(())
}
