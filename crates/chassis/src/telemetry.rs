//! Logs and traces: `tracing` for the code, a log on standard error, spans to an OTLP collector if one is configured.
//!
//! Only the standard `OTEL_*` variables configure traces. Spans have ids even without a collector, so logs carry trace ids, and
//! a trace that begins elsewhere passes through a process that exports nothing.

mod line;

use std::{io, time::Duration};

use opentelemetry::{Key, KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::args::{LogArgs, LogFormat};

/// Longest time for the last spans to reach the collector.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Crates that the exporter uses. Exporting their spans would create new spans without end.
const BELOW_EXPORTER: [&str; 6] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "tonic",
    "tower",
];

/// Guard of running telemetry. Dropping it flushes the last spans, which may block for 5 seconds: drop it at the end of `main`
/// while the runtime still exists.
#[derive(Debug)]
#[must_use = "telemetry ends when this is dropped"]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Failure to start telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The `OTEL_*` variables ask for an exporter that cannot be built.
    #[error("the OTEL_EXPORTER_OTLP_* variables cannot be used: correct or unset them")]
    Exporter(#[from] ExporterBuildError),
    /// Another subscriber is installed.
    #[error("telemetry has been started twice in this process")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Starts logs and traces for the whole process. `service` is its name unless `OTEL_SERVICE_NAME` gives one.
    /// Must be called once, on a multi-threaded runtime, which the exporter uses.
    pub fn start(service: &str, version: &str, args: &LogArgs) -> Result<Self, TelemetryError> {
        let mut provider = SdkTracerProvider::builder().with_resource(resource(service, version));
        let exports = exporter_configured();
        if exports {
            let exporter = SpanExporter::builder().with_tonic().build()?;
            provider = provider.with_batch_exporter(exporter);
        }
        let telemetry = Self {
            provider: provider.build(),
        };
        Registry::default()
            .with(spans(&telemetry.provider))
            .with(log(args, io::stderr))
            .try_init()?;
        tracing::debug!(exports, "telemetry has started");
        Ok(telemetry)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans may be lost");
        }
    }
}

/// The layer that turns `tracing` spans into OpenTelemetry ones; also for tests with a provider of their own.
pub fn spans<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(BELOW_EXPORTER.map(|target| (target, LevelFilter::OFF)));
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("duet"))
        .with_location(false)
        .with_threads(false)
        .with_filter(ours)
}

/// The layer that writes the log; also for tests with a writer of their own.
pub fn log<S, W>(args: &LogArgs, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(false);
    match args.log_format {
        LogFormat::Text => {
            let layer = layer.map_event_format(line::TextLine);
            layer.with_filter(args.log_level.clone()).boxed()
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false);
            let layer = layer.map_event_format(line::JsonLine);
            layer.with_filter(args.log_level.clone()).boxed()
        }
    }
}

/// Description of the process from the variables, with our name if they give none.
fn resource(service: &str, version: &str) -> Resource {
    let builder =
        Resource::builder().with_attribute(KeyValue::new("service.version", version.to_owned()));
    let named = Resource::builder()
        .build()
        .get_ref(&Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if named {
        builder.build()
    } else {
        builder.with_service_name(service.to_owned()).build()
    }
}

/// True if the variables ask to export traces. The SDK reads all other variables itself.
fn exporter_configured() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "OpenTelemetry is configured by OTEL_* alone"
    )]
    let value = |name: &str| std::env::var(name).unwrap_or_default();
    let off = value("OTEL_SDK_DISABLED").eq_ignore_ascii_case("true")
        || value("OTEL_TRACES_EXPORTER") == "none";
    let endpoints = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ];
    !off && endpoints.iter().any(|name| !value(name).is_empty())
}
