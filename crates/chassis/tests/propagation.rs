//! One trace spans processes: the context travels in the metadata of a call, and logs name the trace.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use chassis::{
    args::{LogArgs, LogFormat},
    channel,
    health::Health,
    server::{self, ConnectionLimits},
    telemetry, trace,
};
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    metadata::MetadataMap,
    server::NamedService,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tracing::Instrument as _;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _};

/// The health service under a name of ours, so that calls of it are traced.
#[derive(Clone)]
struct Renamed<S>(S);

impl<S> NamedService for Renamed<S> {
    const NAME: &'static str = "duet.test.v1.Test";
}

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for Renamed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> S::Future {
        tracing::info!(answer = 42, "handling");
        *request.uri_mut() = http::Uri::from_static("/grpc.health.v1.Health/Check");
        self.0.call(request)
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Calls a traced service from within the span `client` and gives the spans and the log of both sides.
async fn traced_call(log_format: LogFormat) -> (Vec<SpanData>, String) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let log = Log::default();
    let writer = log.clone();
    let args = LogArgs {
        log_format,
        log_level: "info".parse::<Targets>().expect("a level"),
    };
    let subscriber = tracing_subscriber::registry()
        .with(telemetry::spans(&provider))
        .with(telemetry::log(&args, move || writer.clone()));
    let _guard = tracing::subscriber::set_default(subscriber);

    let health = Health::new(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = server::builder(ConnectionLimits::default())
        .add_service(Renamed(health.service()))
        .add_service(health.service());
    let mut tasks = JoinSet::new();
    tasks.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = channel::lazy(&format!("http://{address}")).expect("an address");
    call(channel)
        .instrument(tracing::info_span!("client"))
        .await
        .expect("an answer");
    drop(tasks);
    provider.force_flush().expect("a flush");
    (exporter.get_finished_spans().expect("spans"), log.text())
}

async fn call(channel: tonic::transport::Channel) -> Result<Response<()>, Status> {
    // An untraced call first: health checks must not show up.
    HealthClient::new(channel.clone())
        .check(trace::request(HealthCheckRequest::default()))
        .await?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static("/duet.test.v1.Test/Generate");
    let codec = tonic_prost_codec();
    let request: Request<HealthCheckRequest> = trace::request(HealthCheckRequest::default());
    grpc.unary(request, path, codec)
        .await
        .map(|response| response.map(drop))
}

fn tonic_prost_codec()
-> tonic_prost::ProstCodec<HealthCheckRequest, tonic_health::pb::HealthCheckResponse> {
    tonic_prost::ProstCodec::default()
}

#[tokio::test]
async fn server_continues_the_trace_of_its_client() {
    let (spans, log) = traced_call(LogFormat::Text).await;
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["duet.test.v1.Test/Generate", "client"]);
    let (server, client) = (&spans[0], &spans[1]);
    assert_eq!(
        server.span_context.trace_id(),
        client.span_context.trace_id()
    );
    assert_eq!(server.parent_span_id, client.span_context.span_id());
    assert!(server.parent_span_is_remote);
    assert_eq!(client.parent_span_id, SpanId::INVALID);
    let attribute = |name: &str| {
        let found = server.attributes.iter().find(|a| a.key.as_str() == name);
        found.map(|attribute| attribute.value.to_string())
    };
    assert_eq!(attribute("server.address").as_deref(), Some("127.0.0.1"));
    assert!(attribute("server.port").is_some_and(|port| port.parse::<u16>().is_ok()));
    let trace = format!("trace_id={}", client.span_context.trace_id());
    let line = log.lines().find(|line| line.contains("handling")).unwrap();
    assert!(
        line.contains("answer=42") && line.ends_with(&trace),
        "{line}"
    );
}

#[tokio::test]
async fn json_log_lines_name_trace_and_span() {
    let (spans, log) = traced_call(LogFormat::Json).await;
    let server = &spans[0].span_context;
    let ids = format!(
        r#"{{"trace_id":"{}","span_id":"{}","#,
        server.trace_id(),
        server.span_id()
    );
    let line = log.lines().find(|line| line.contains("handling")).unwrap();
    assert!(line.starts_with(&ids), "{line}");
    assert!(
        line.contains(r#""answer":42"#) && line.ends_with('}'),
        "{line}"
    );
}

#[tokio::test]
async fn without_a_span_nothing_is_sent_and_garbage_is_ignored() {
    let mut metadata = MetadataMap::new();
    trace::inject(&mut metadata);
    assert!(metadata.is_empty());
    metadata.insert("traceparent", "00-zz".parse().unwrap());
    let span = tracing::info_span!("server");
    trace::adopt(&span, metadata.as_ref());
}
