//! Observation by operators: description, health, metrics, traces.

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use proto::drafter::{CloseReason, FromDrafter};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Request;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::drafter::{Running, next, open, serve_default};

#[tokio::test]
async fn description_says_what_the_drafter_is() {
    let running = serve_default().await;
    let _open = running.open(open()).await;
    let described = running
        .client
        .clone()
        .describe(Request::new(()))
        .await
        .unwrap();
    assert_eq!(described.build.service, "drafter-service");
    assert_eq!(described.model.name, "tiny");
    assert_eq!(described.model.architecture, "llama");
    assert_eq!(described.model.context_length, 512);
    let fingerprint = running.engine.tokenizer().fingerprint();
    assert_eq!(described.model.tokenizer_fingerprint.0, fingerprint);
    let methods: Vec<(&str, bool)> = described
        .methods
        .iter()
        .map(|method| (method.name.as_str(), method.needs_distributions))
        .collect();
    assert_eq!(
        methods,
        [
            ("greedy", false),
            ("coupled", false),
            ("point_mass", false),
            ("standard", true),
            ("tli", true),
            ("path_conditional", true),
            ("token_timing", false)
        ]
    );
    assert_eq!((described.sessions, described.limits.max_sessions), (1, 32));
}

#[tokio::test]
async fn vocabulary_is_the_tokenizers_token_by_token() {
    let running = serve_default().await;
    let table = running.client.clone().vocabulary(Request::new(())).await;
    let (table, tokenizer) = (table.unwrap(), running.engine.tokenizer());
    assert_eq!(table.fingerprint.0, tokenizer.fingerprint());
    assert_eq!(table.size() as usize, tokenizer.vocab_size());
    for (id, bytes) in (0..).zip(table.tokens()) {
        assert_eq!(bytes, tokenizer.token_bytes(id), "token {id}");
    }
    let specials = tokenizer.specials();
    assert_eq!(table.end_of_turn, specials.end_of_turn.as_slice());
    assert_eq!(table.end_of_sequence, specials.eos.as_slice());
}

#[tokio::test]
async fn health_speaks_for_the_process_and_the_service() {
    let running = serve_default().await;
    let channel = chassis::channel::lazy(&format!("http://{}", running.address)).unwrap();
    let mut client = HealthClient::new(channel);
    for service in ["", "duet.drafter.v1.Drafter"] {
        let service = service.to_owned();
        let answer = client
            .check(HealthCheckRequest { service })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
}

async fn scrape(running: &Running) -> String {
    let mut stream = TcpStream::connect(&running.admin)
        .await
        .expect("the admin port");
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("a response");
    text
}

#[tokio::test]
async fn metrics_count_what_went_over_the_wire() {
    let running = serve_default().await;
    // With a method that sends its draws nothing is drafted but blocks.
    let drawn = proto::drafter::Open {
        method: "tli".to_owned(),
        ..open()
    };
    let mut peer = running.open(drawn).await;
    let (mut tokens, mut bytes, mut last) = (0, 0, 0);
    for round in 0..3 {
        let block = peer.block().await;
        last = block.token_ends.len();
        tokens += last;
        bytes += block.text.len();
        if round < 2 {
            peer.settle(&block, 0, b"x");
        }
    }
    peer.session.verdicts.close(CloseReason::Finished);
    while let Some(message) = next(&mut peer.session.blocks).await.unwrap() {
        assert!(matches!(message, FromDrafter::Block(_)));
    }
    let wrong = proto::drafter::Open {
        credit: 0,
        ..open()
    };
    assert!(running.try_open(wrong).await.is_err());
    let text = scrape(&running).await;
    for line in [
        "duet_drafter_sessions_total 1".to_owned(),
        "duet_drafter_open_sessions 0".to_owned(),
        "duet_drafter_blocks_total 3".to_owned(),
        "duet_drafter_verdicts_total 2".to_owned(),
        format!("duet_drafter_draft_tokens_total {tokens}"),
        format!("duet_drafter_block_bytes_total {bytes}"),
        "duet_drafter_kept_tokens_total 0".to_owned(),
        format!("duet_drafter_dropped_tokens_total {}", tokens - last),
        "duet_drafter_draft_seconds_count 3".to_owned(),
        "duet_drafter_prefill_seconds_count 1".to_owned(),
        "duet_drafter_failures_total{reason=\"invalid_argument\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn session_and_blocks_continue_the_trace_of_the_verifier() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let subscriber = tracing_subscriber::registry().with(chassis::telemetry::spans(&provider));
    // For all threads: a subscriber of one thread does not reliably see spans that others have seen before it.
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    let running = serve_default().await;
    let calling = async {
        let request = chassis::trace::request(open());
        running
            .client
            .clone()
            .draft(request)
            .await
            .expect("an open session")
    };
    let mut session = calling.instrument(tracing::info_span!("generate")).await;
    assert!(matches!(
        next(&mut session.blocks).await,
        Ok(Some(FromDrafter::Block(_)))
    ));
    session.verdicts.close(CloseReason::Finished);
    assert!(matches!(next(&mut session.blocks).await, Ok(None)));
    running.until_empty().await;
    provider.force_flush().unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let root = spans
        .iter()
        .find(|span| span.name == "generate")
        .expect("the root");
    let trace = root.span_context.trace_id();
    let find = |name: &str| {
        let ours = |span: &&SpanData| span.span_context.trace_id() == trace && span.name == name;
        spans
            .iter()
            .find(ours)
            .unwrap_or_else(|| panic!("no span {name} in the trace"))
    };
    let (call, session) = (find("duet.drafter.v1.Drafter/Draft"), find("draft.session"));
    let block = find("draft.block");
    assert_eq!(call.parent_span_id, root.span_context.span_id());
    assert_eq!(session.parent_span_id, call.span_context.span_id());
    assert_eq!(block.parent_span_id, session.span_context.span_id());
}
