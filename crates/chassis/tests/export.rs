//! Traces reach a collector, and the last ones are flushed. The test runs in its own process, because the variables and the
//! subscriber are global to a process.

use std::process::Stdio;

use chassis::{
    args::{LogArgs, LogFormat},
    telemetry::Telemetry,
};
use opentelemetry::trace::TraceId;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
};
use tokio::{net::TcpListener, process::Command, sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use tracing_subscriber::filter::Targets;

struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0
            .send(request.into_inner())
            .await
            .map_err(|_| Status::internal("nobody waits"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The life of a process's telemetry: here without a collector; the other test runs it with one.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn telemetry_starts_and_ends() {
    let log_level = "info".parse::<Targets>().unwrap();
    let args = LogArgs {
        log_format: LogFormat::Json,
        log_level,
    };
    let telemetry = Telemetry::start("test-service", "0.0.1", &args).unwrap();
    tracing::info_span!("last", bytes = 7).in_scope(|| tracing::info!("leaving"));
    assert!(Telemetry::start("test-service", "0.0.1", &args).is_err());
    drop(telemetry);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn last_spans_reach_the_collector_under_the_services_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut received) = mpsc::channel(4);
    let service = TraceServiceServer::new(Collector(sender));
    let mut tasks = JoinSet::new();
    let incoming = TcpListenerStream::new(listener);
    tasks.spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );

    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry_starts_and_ends", "--nocapture"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env_remove("OTEL_SERVICE_NAME")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");

    let request = received
        .try_recv()
        .expect("exported before the process ended");
    let spans = &request.resource_spans[0];
    let span = &spans.scope_spans[0].spans[0];
    assert_eq!(span.name, "last");
    let resource = spans.resource.as_ref().unwrap();
    let name = resource
        .attributes
        .iter()
        .find(|attribute| attribute.key == "service.name");
    let name = name
        .and_then(|name| name.value.clone())
        .and_then(|value| value.value);
    assert_eq!(name, Some(Value::StringValue("test-service".to_owned())));
    let id = TraceId::from_bytes(span.trace_id.as_slice().try_into().unwrap());
    let line = log.lines().find(|line| line.contains("leaving")).unwrap();
    assert!(line.contains(&format!(r#""trace_id":"{id}""#)), "{line}");
}
