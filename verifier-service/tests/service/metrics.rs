//! Metrics where routers look for them, and latencies as clients see them.

use verifier_service::config::{HttpOptions, Serving};

use crate::{
    harness::{Process, endless, request, serving},
    web::Answer,
};

async fn start(http: HttpOptions) -> Process {
    let serving = Serving {
        http,
        ..serving(&[])
    };
    Process::start(endless(), serving).await
}

async fn scrape(process: &Process, accept: &str) -> Answer {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naccept: {accept}\r\n\r\n"
    );
    let answer = process.write(request.as_bytes()).await;
    answer.expect("an answer")
}

#[tokio::test]
async fn metrics_are_on_the_http_port_only_if_they_are_wanted_there() {
    let process = start(HttpOptions::default()).await;
    assert_eq!(process.get("/metrics").await.status, 404);

    let process = start(HttpOptions {
        serves_metrics: true,
        vllm_metrics: true,
        ..HttpOptions::default()
    })
    .await;
    for (accept, kind) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let answer = scrape(&process, accept).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(kind));
        let text = String::from_utf8(answer.body).expect("text");
        for line in [
            "duet_verifier_request_places 16",
            "vllm:num_requests_running{model_name=\"tiny\"} 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}

#[tokio::test]
async fn latencies_are_reported_once_a_reply_and_once_a_token() {
    let process = start(HttpOptions::default()).await;
    let usage = process.plain(&request(0.8, 1)).await.finish.usage;
    let count = async |name: &str| process.metric(&format!("{name}_seconds_count")).await;
    assert_eq!(count("time_to_first_token").await, 1);
    assert_eq!(count("request_duration").await, 1);
    let between = u64::from(usage.completion_tokens) - 1;
    assert_eq!(count("time_between_tokens").await, between);
}
