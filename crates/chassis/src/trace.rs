//! W3C trace context in gRPC metadata, so that one trace spans client, verifier and drafter.

use opentelemetry::{
    Array, StringValue, Value,
    propagation::{Extractor, Injector, TextMapPropagator as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::{
    Request,
    codegen::http::{self, HeaderMap, HeaderName, HeaderValue, uri::Authority},
    metadata::MetadataMap,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// A request that carries the current span: `client.generate(trace::request(message))`.
pub fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    inject(request.metadata_mut());
    request
}

/// Writes the current span into the metadata of an outgoing request.
pub fn inject(metadata: &mut MetadataMap) {
    let context = Span::current().context();
    TraceContextPropagator::new().inject_context(&context, &mut Outgoing(metadata.as_mut()));
}

/// Makes `span` a child of the span in the headers of an incoming request, if there is one. Must be called before the span is
/// first entered.
pub fn adopt(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&Incoming(headers));
    if let Err(error) = span.set_parent(context) {
        tracing::debug!(%error, "the caller's trace is not continued");
    }
}

/// Records the name by which a client called this server, with its port if it gave one.
pub fn set_server(span: &Span, authority: &str) {
    let Ok(authority) = authority.parse::<Authority>() else {
        return;
    };
    span.set_attribute("server.address", authority.host().to_owned());
    if let Some(port) = authority.port_u16() {
        span.set_attribute("server.port", i64::from(port));
    }
}

/// Sets an attribute of a span that is exported with it and stays out of the log.
pub fn set(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value);
}

/// The same for an attribute that is a list of words.
pub fn set_list(span: &Span, name: &'static str, words: &[&'static str]) {
    let words = words.iter().map(|word| StringValue::from(*word)).collect();
    span.set_attribute(name, Value::Array(Array::String(words)));
}

/// Span of an incoming call, as a child of the caller's; none for health checks and reflection. `server::builder` enters it
/// around every handler, up to the response's headers. Work that goes on after them must be instrumented with a child of the
/// span that is current in the handler.
pub fn call_span(request: &http::Request<()>) -> Span {
    let path = request.uri().path().trim_start_matches('/');
    if path.starts_with("grpc.") {
        return Span::none();
    }
    let (service, method) = path.split_once('/').unwrap_or((path, ""));
    let span = tracing::info_span!(
        "call",
        otel.name = path,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
    );
    adopt(&span, request.headers());
    if let Some(authority) = request.uri().authority() {
        set_server(&span, authority.as_str());
    }
    span
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
