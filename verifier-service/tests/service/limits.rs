//! Admission, cancellation, and the end of the process.

use std::time::Duration;

use chassis::lifecycle::Drained;
use proto::{
    drafter::CloseReason,
    verifier::{FinishReason, Generate, Reply},
};
use tests::tiny::Tiny;
use tonic::{Code, Status};
use verifier_service::{config::Serving, error::RETRY_AFTER};

use crate::{
    drafters::{Kind, Running},
    harness::{Process, endless, eventually, load, places, read, request, serving},
};

/// Serving with long waits: with a drafter that never answers, requests stay in progress.
fn patient(drafter: &Running) -> Serving {
    let mut serving = serving(&[&drafter.address]);
    serving.deadline.initial = Duration::from_mins(1);
    serving.deadline.cap = Duration::from_mins(1);
    serving
}

/// A reply in progress that waits for its drafter.
async fn stuck(process: &Process, drafter: &Running) -> Reply {
    let before = drafter.seen(|seen| seen.opens.len());
    let reply = process.open(&request(0.0, 0)).await.expect("a reply");
    eventually(|| async { drafter.seen(|seen| seen.opens.len()) > before }).await;
    reply
}

#[tokio::test]
async fn request_over_the_limit_is_refused_at_once_with_the_state_of_things() {
    let drafter = Running::start(Kind::NeverAnswers).await;
    let serving = Serving {
        admission: places(2),
        ..patient(&drafter)
    };
    let process = Process::start(endless(), serving).await;
    let first = stuck(&process, &drafter).await;
    let _second = stuck(&process, &drafter).await;
    let status = process.refused(&request(0.0, 0)).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    let text = status.message();
    assert!(
        text.starts_with("all 2 requests at once are in progress"),
        "{text}"
    );
    let retry = status.metadata().get(RETRY_AFTER).expect("seconds");
    assert!(
        retry
            .to_str()
            .expect("text")
            .parse::<u64>()
            .expect("a number")
            >= 1
    );
    assert_eq!(process.metric("requests_total{outcome=\"busy\"}").await, 1);
    drop(first);
    eventually(|| async { process.sessions().await == 1 }).await;
    stuck(&process, &drafter).await;
}

#[tokio::test]
async fn client_that_leaves_frees_both_sides() {
    let drafter = Running::start(Kind::NeverAnswers).await;
    // The engine is its own, so that no other test has sessions in it.
    let process = Process::start(load(&Tiny::default()), patient(&drafter)).await;
    let reply = stuck(&process, &drafter).await;
    assert_eq!(process.sessions().await, 1);
    assert_eq!(process.metric("engine_sessions").await, 1);
    drop(reply);
    eventually(|| async { process.sessions().await == 0 }).await;
    eventually(|| async { drafter.seen(|seen| !seen.ends.is_empty()) }).await;
    // A stream that was not open yet is reset, which means the same.
    let is_cancel = |end: &Option<CloseReason>| end.is_none_or(|end| end == CloseReason::Cancelled);
    drafter.seen(|seen| assert!(seen.ends.iter().all(is_cancel), "{:?}", seen.ends));
    assert_eq!(process.metric("engine_sessions").await, 0);
    assert_eq!(
        process
            .metric("requests_total{outcome=\"abandoned\"}")
            .await,
        1
    );
}

#[tokio::test]
async fn finished_reply_tells_the_drafter_so() {
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::endless(&[&drafter.address]).await;
    process.generate(&request(0.0, 0)).await;
    eventually(|| async { drafter.seen(|seen| !seen.ends.is_empty()) }).await;
    drafter.seen(|seen| assert_eq!(seen.ends, [Some(CloseReason::Finished)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_request_finishes_while_new_ones_are_refused() {
    let mut process = Process::endless(&[]).await;
    let long = Generate {
        max_tokens: Some(450),
        ..request(0.0, 0)
    };
    let expected = process.generate(&long).await.text;
    let reply = process.open(&long).await.expect("a reply");
    process
        .stop
        .take()
        .expect("a signal")
        .send(())
        .expect("a server");
    let reading = async {
        let whole = read(reply).await;
        assert_eq!(whole.text, expected);
        assert_eq!(whole.finish.reason, FinishReason::Length);
    };
    // Others are admitted a moment before, or lost with the connection that closes.
    let refused = || async {
        let answer = process.open(&request(0.0, 0)).await;
        answer.is_err_and(|status| status.code() == Code::Unavailable)
    };
    tokio::join!(reading, eventually(refused));
    assert_eq!(process.end().await, Drained::Finished);
}

#[tokio::test]
async fn request_that_outlives_the_grace_period_ends_as_cancelled() {
    let drafter = Running::start(Kind::NeverAnswers).await;
    let serving = Serving {
        grace_period: Duration::ZERO,
        ..patient(&drafter)
    };
    let mut process = Process::start(endless(), serving).await;
    let reply = stuck(&process, &drafter).await;
    process
        .stop
        .take()
        .expect("a signal")
        .send(())
        .expect("a server");
    let whole = read(reply).await;
    assert_eq!(whole.finish.reason, FinishReason::Cancelled);
    assert!(matches!(process.end().await, Drained::CutOff { .. }));
}

#[tokio::test]
async fn place_is_free_once_the_last_part_is_read() {
    let serving = Serving {
        admission: places(1),
        ..serving(&[])
    };
    let process = Process::start(endless(), serving).await;
    for _ in 0..50 {
        let short = Generate {
            max_tokens: Some(2),
            ..request(0.0, 0)
        };
        let reply: Result<Reply, Status> = process.open(&short).await;
        read(reply.expect("a place")).await;
    }
}
