//! A collector of traces: takes in what all processes of the tests export over OTLP, and gives out one trace at a time.

use std::{
    net::TcpListener,
    sync::{Condvar, LazyLock, Mutex},
    thread,
    time::Instant,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    resource::v1::Resource,
    trace::v1::Span,
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::process::PATIENCE;

static ENDPOINT: LazyLock<String> = LazyLock::new(serve);
static SPANS: Mutex<Vec<Collected>> = Mutex::new(Vec::new());
static NEWS: Condvar = Condvar::new();

/// A span and the service that it is from.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    pub(crate) service: String,
    pub(crate) span: Span,
}

/// Its address, for as long as the tests run.
pub(crate) fn endpoint() -> &'static str {
    &ENDPOINT
}

/// All spans so far, as soon as `are_complete`.
pub(crate) fn wait(what: &str, are_complete: impl Fn(&[Collected]) -> bool) -> Vec<Collected> {
    let deadline = Instant::now() + PATIENCE;
    let mut spans = SPANS.lock().unwrap();
    while !are_complete(&spans) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "{what} did not reach the collector");
        spans = NEWS.wait_timeout(spans, left).unwrap().0;
    }
    spans.clone()
}

/// On a thread of its own: the runtimes of tests end with them.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket of tokio's");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            Server::builder()
                .add_service(TraceServiceServer::new(Collector))
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
        })
    });
    endpoint
}

struct Collector;

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = SPANS.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let service = service_name(resource.resource.as_ref());
            let exported = resource.scope_spans.into_iter().flat_map(|s| s.spans);
            spans.extend(exported.map(|span| Collected {
                service: service.clone(),
                span,
            }));
        }
        NEWS.notify_all();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn service_name(resource: Option<&Resource>) -> String {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    let name = attributes.iter().find(|a| a.key == "service.name");
    match name.and_then(|name| name.value.clone()?.value) {
        Some(Value::StringValue(name)) => name,
        other => panic!("spans without a service's name: {other:?}"),
    }
}
