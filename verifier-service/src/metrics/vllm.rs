//! Gauges by vLLM's names, for routers that know no others.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use super::gauges::Snapshot;

/// Collector of these gauges.
pub(super) struct VllmGauges {
    model: String,
    read: Box<dyn Fn() -> Snapshot + Send + Sync>,
}

impl VllmGauges {
    /// Gauges of the model that is served by this name.
    pub(super) fn new(model: &str, read: impl Fn() -> Snapshot + Send + Sync + 'static) -> Self {
        Self {
            model: model.to_owned(),
            read: Box::new(read),
        }
    }
}

impl Collector for VllmGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = (self.read)();
        let usage = now.usage_ratio();
        for (name, about, value) in [
            (
                "num_requests_running",
                "Requests in progress",
                now.requests as f64,
            ),
            (
                "num_requests_waiting",
                "Requests that wait for a place",
                now.waiting as f64,
            ),
            ("kv_cache_usage_perc", "Share of the KV cache in use", usage),
            // Its name in older releases.
            (
                "gpu_cache_usage_perc",
                "Share of the KV cache in use",
                usage,
            ),
        ] {
            let name = format!("vllm:{name}");
            let kind = MetricType::Gauge;
            let mut gauge = encoder.encode_descriptor(&name, about, None, kind)?;
            let label = [("model_name", self.model.as_str())];
            ConstGauge::new(value).encode(gauge.encode_family(&label)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for VllmGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VllmGauges")
    }
}
