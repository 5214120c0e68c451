//! Probes of drafters: a block is verified only after the target's own text confirms its prefix.

use proto::verifier::{FallbackReason, Generate, Reply, Speculation};
use tests::tiny::Tiny;

use crate::{
    drafters::{Kind, Running},
    failures::check_each,
    harness::{Process, eventually, load, read, requests, serving},
};

/// Requests that leave the length of blocks to the pacing.
fn adaptive() -> Vec<Generate> {
    let adapts = |request| Generate {
        speculation: Speculation::auto(),
        max_tokens: Some(200),
        ..request
    };
    requests().into_iter().map(adapts).collect()
}

#[tokio::test]
async fn next_to_nothing_of_a_useless_drafter_is_verified() {
    for reply in check_each(Kind::Useless, adaptive()).await {
        let usage = &reply.finish.usage;
        // The first byte of a block may be right by chance.
        assert!(usage.proposed_tokens <= 16, "{usage:?}");
        assert_eq!(usage.target_forwards, 200);
        let paused = usage.fallbacks.get(&FallbackReason::Paused).copied();
        let opening = usage.fallbacks.get(&FallbackReason::Opening).copied();
        assert!(
            paused.unwrap_or(0) + opening.unwrap_or(0) > 150,
            "{usage:?}"
        );
    }
}

#[tokio::test]
async fn drafter_that_is_right_is_verified_once_the_target_has_said_as_much() {
    let (mut accepted, mut rejected) = (0, 0);
    // On a busy machine blocks come late, and few of them are verified.
    for _ in 0..8 {
        for reply in check_each(Kind::Honest, adaptive()).await {
            accepted += reply.finish.usage.accepted_tokens;
            rejected += reply.finish.usage.rejected_tokens;
        }
        if accepted > rejected {
            return;
        }
    }
    panic!("{accepted} accepted, {rejected} rejected");
}

/// A useless drafter, and a verifier that has learned so.
async fn given_up() -> (Running, Process) {
    let drafter = Running::start(Kind::Useless).await;
    // The engine is its own: sessions of other tests would share its passes.
    let engine = load(&Tiny::default());
    let process = Process::start(engine, serving(&[&drafter.address])).await;
    for request in adaptive() {
        process.generate(&request).await;
    }
    assert!(drafter.seen(|seen| seen.opens.len()) > 0);
    (drafter, process)
}

/// A plain reply of `tokens` in progress, so that sessions share passes.
async fn another(process: &Process, tokens: u32) -> Reply {
    let plain = Generate {
        speculation: Speculation::Off,
        max_tokens: Some(tokens),
        ..adaptive().remove(0)
    };
    let other = process.open(&plain).await.expect("room for two");
    eventually(|| async { process.sessions().await == 1 }).await;
    other
}

/// Request for a reply of fewer rounds than lie between two probes.
fn short() -> Generate {
    Generate {
        max_tokens: Some(12),
        ..adaptive().remove(0)
    }
}

#[tokio::test]
async fn drafter_that_is_of_no_use_need_not_read_prompts_where_others_wait() {
    let (drafter, process) = given_up().await;
    let opens = || drafter.seen(|seen| seen.opens.len());
    // On a busy machine the other reply may end first, or too few blocks have come so far to know the drafter by: then it is tried.
    for _ in 0..20 {
        let before = opens();
        let other = another(&process, 480).await;
        let reply = process.generate(&short()).await;
        let has_waited = process.sessions().await == 1;
        read(other).await;
        let paused = reply.finish.usage.fallbacks.get(&FallbackReason::Paused);
        // The last round has no room for a candidate.
        if has_waited && opens() == before && paused == Some(&11) {
            return;
        }
    }
    panic!("every reply has opened a stream");
}

#[tokio::test]
async fn drafter_of_no_use_is_tried_again_though_replies_are_short() {
    let (drafter, process) = given_up().await;
    let opens = || drafter.seen(|seen| seen.opens.len());
    let before = opens();
    let short = short();
    let mut replies = 0;
    // Only several replies together have as many rounds as lie between two probes. One may end
    // before its stream is open.
    while opens() == before {
        assert!(replies < 100, "never tried again");
        let other = another(&process, 200).await;
        tokio::join!(read(other), process.generate(&short));
        replies += 1;
    }
}
