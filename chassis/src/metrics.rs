//! The registry that a process's metrics go into.

use prometheus_client::{metrics::info::Info, registry::Registry};

/// Content type of [`encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry with the prefix `duet_` and one metric, `duet_build_info`, which says who is being scraped.
pub fn registry(service: &'static str, version: &'static str) -> Registry {
    let mut registry = Registry::with_prefix("duet");
    let build = Info::new([("service", service), ("version", version)]);
    registry.register("build", "The process that is scraped", build);
    registry
}

/// All metrics as `OpenMetrics` text.
pub fn encode(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}
