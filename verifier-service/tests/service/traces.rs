//! One trace spans client, verifier and drafter.

use chassis::telemetry;
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use tonic::Request;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{
    drafters::{Kind, Running},
    harness::{Process, read, request},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn spans_of_a_round_belong_to_the_trace_of_the_client_and_reach_the_drafter() {
    // Global, since the model's thread has spans, too. Traces of other tests are not sampled.
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
        .with_simple_exporter(exporter.clone())
        .build();
    let subscriber = tracing_subscriber::registry().with(telemetry::spans(&provider));
    tracing::subscriber::set_global_default(subscriber).expect("the only one");

    let drafter = Running::start(Kind::Useless).await;
    let process = Process::endless(&[&drafter.address]).await;
    let mut traced = Request::new(request(0.8, 1));
    let context = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let context = context.parse().expect("metadata");
    traced.metadata_mut().insert("traceparent", context);
    let reply = process.client.clone().generate(traced).await;
    read(reply.expect("a reply")).await;
    process.end().await;
    provider.force_flush().expect("a flush");

    let mut spans = exporter.get_finished_spans().expect("spans");
    spans.retain(|span| span.span_context.trace_id().to_string() == TRACE);
    let name_of_parent = |span: &SpanData| {
        let of = |other: &&SpanData| other.span_context.span_id() == span.parent_span_id;
        spans.iter().find(of).map(|span| span.name.to_string())
    };
    for (child, parent) in [
        ("generate", "duet.verifier.v1.Verifier/Generate"),
        ("prefill", "generate"),
        ("round", "generate"),
        ("draft.wait", "round"),
        ("re_encode", "round"),
        ("verify", "round"),
        ("align", "round"),
        ("accept", "round"),
    ] {
        let span = spans.iter().find(|span| span.name == child);
        let span = span.unwrap_or_else(|| panic!("no span {child}"));
        assert_eq!(name_of_parent(span).as_deref(), Some(parent), "{child}");
    }
    let generate = spans.iter().find(|span| span.name == "generate");
    let attributes = &generate.expect("a reply").attributes;
    for (name, expected) in [
        ("gen_ai.operation.name", "text_completion"),
        ("gen_ai.request.model", "tiny"),
        ("gen_ai.request.temperature", "0.8"),
        ("gen_ai.request.top_p", "0.95"),
        ("gen_ai.request.max_tokens", "60"),
        ("gen_ai.request.seed", "1"),
        ("gen_ai.response.finish_reasons", "[\"length\"]"),
        ("gen_ai.usage.output_tokens", "60"),
    ] {
        let mut attributes = attributes.iter();
        let found = attributes.find(|attribute| attribute.key.as_str() == name);
        let found = found.map(|attribute| attribute.value.to_string());
        assert_eq!(found.as_deref(), Some(expected), "{name}");
    }
    let seen = drafter.seen(|seen| seen.traces[0].clone());
    let seen = seen.expect("a traceparent");
    assert!(seen.contains(TRACE), "{seen}");
}
