//! Told to stop, a service finishes what it has begun and takes in nothing new.

use proto::verifier::{Client, FinishReason, Origin};
use tonic::Request;

use crate::{pair, prompts};

const TOKENS: u32 = 400;

#[tokio::test]
async fn verifier_that_is_told_to_stop_finishes_its_reply_and_refuses_new_ones() {
    let mut verifier = pair::verifier(&[]);
    let url = verifier.url();
    let request = prompts::greedy(prompts::LONG, TOKENS);
    let mut reply = pair::begin(&url, request.clone()).await;
    let begun = pair::read_until(&mut reply, Origin::Plain).await;
    verifier.terminate();
    verifier.wait_for("told to stop", 1);
    verifier.wait_for("health has changed", 2);

    let channel = chassis::channel::lazy(&url).unwrap();
    let late = prompts::greedy(prompts::LONG, 1);
    let mut let_in = 0;
    // Between the word that it stops and the end of its listener one may slip in.
    while Client::new(channel.clone())
        .generate(Request::new(late.clone()))
        .await
        .is_ok()
    {
        let_in += 1;
        assert!(let_in < 3, "it goes on letting requests in");
    }

    let answer = pair::finish(reply, begun).await;
    assert_eq!(answer.finish.reason, FinishReason::Length);
    assert_eq!(answer.finish.usage.completion_tokens, TOKENS);
    let status = verifier.exit();
    assert_eq!(status.code(), Some(0), "{}", verifier.log());
    let ended = verifier.wait_for("stopped", 1);
    assert_eq!(ended["drained"], "Finished");
}

#[tokio::test]
async fn drafter_that_is_told_to_stop_ends_and_the_reply_goes_on() {
    let mut drafter = pair::drafter(&[]);
    let verifier = pair::verifier(&["--drafter", &drafter.url()]);
    verifier.wait_for("drafter is there", 1);
    let request = prompts::greedy(prompts::LONG, 120);
    let mut reply = pair::begin(&verifier.url(), request.clone()).await;
    let begun = pair::read_until(&mut reply, Origin::Accepted).await;
    drafter.terminate();
    let answer = pair::finish(reply, begun).await;
    let plain = pair::ask(&verifier.url(), prompts::plain(&request)).await;
    assert_eq!(answer.text, plain.text);
    assert_eq!(drafter.exit().code(), Some(0), "{}", drafter.log());
}
