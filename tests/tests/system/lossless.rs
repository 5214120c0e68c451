//! Proposals of a drafter never change a text.

use proto::verifier::Usage;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    pair::{self, Answer, Pair},
    prompts,
};

const TOKENS: u32 = 32;
const SEEDS: [u64; 3] = [1, 20, 300];

#[tokio::test]
async fn both_processes_become_serving_by_grpc_health() {
    let pair = pair::shared().read().await;
    for (process, service) in [
        (&pair.drafter, "duet.drafter.v1.Drafter"),
        (&pair.verifier, "duet.verifier.v1.Verifier"),
    ] {
        let channel = chassis::channel::lazy(&process.url()).unwrap();
        for service in ["", service] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let watching = HealthClient::new(channel.clone()).watch(request).await;
            let mut states = watching.unwrap().into_inner();
            let mut last = None;
            while last != Some(ServingStatus::Serving) {
                let state = states.message().await.unwrap();
                last = Some(state.expect("a next state").status());
            }
        }
    }
}

#[tokio::test]
async fn greedy_text_is_the_same_with_and_without_a_drafter() {
    let pair = pair::shared().read().await;
    let mut accepted = 0;
    for (name, prompt) in prompts::VARIED {
        let request = prompts::greedy(prompt, TOKENS);
        accepted += speculating_changes_nothing(&pair, name, &request).await;
    }
    assert!(accepted > 0, "no proposal was ever accepted");
}

#[tokio::test]
async fn sampled_text_is_the_same_with_and_without_a_drafter_for_each_seed() {
    let pair = pair::shared().read().await;
    let mut accepted = 0;
    for (name, prompt) in prompts::VARIED {
        let mut texts = Vec::new();
        for seed in SEEDS {
            let request = prompts::sampled(prompt, TOKENS, seed);
            accepted += speculating_changes_nothing(&pair, name, &request).await;
            texts.push(
                pair::ask(&pair.verifier.url(), prompts::plain(&request))
                    .await
                    .text,
            );
        }
        let differ = texts.iter().any(|text| *text != texts[0]);
        assert!(
            differ || name == "repetition",
            "{name}: seeds change nothing: {texts:?}"
        );
    }
    assert!(accepted > 0, "no proposal was ever accepted");
}

#[tokio::test]
async fn alternatives_change_no_text_and_some_of_them_are_what_the_target_says() {
    let pair = pair::shared().read().await;
    let url = pair.verifier.url();
    let mut accepted = 0;
    for (name, prompt) in prompts::VARIED {
        for request in [
            prompts::greedy(prompt, TOKENS),
            prompts::sampled(prompt, TOKENS, 20),
        ] {
            let plain = pair::ask(&url, prompts::plain(&request)).await;
            let request = proto::verifier::Generate {
                speculation: proto::verifier::Speculation::Auto {
                    method: None,
                    block_tokens: Some(pair::BLOCK_LENGTH),
                    allow_lossy: false,
                    alternatives: Some(3),
                },
                ..request
            };
            let answer = pair::ask(&url, request).await;
            assert_eq!(answer.text, plain.text, "{name}");
            reconciles(&answer);
            let usage = answer.finish.usage;
            assert!(usage.proposed_alternatives > 0, "{name}: {usage:?}");
            accepted += usage.accepted_alternatives;
        }
    }
    assert!(accepted > 0, "no alternative was ever accepted");
}

/// Asks with and without speculation and compares; gives the tokens that were accepted.
async fn speculating_changes_nothing(
    pair: &Pair,
    name: &str,
    request: &proto::verifier::Generate,
) -> u32 {
    let url = pair.verifier.url();
    let plain = pair::ask(&url, prompts::plain(request)).await;
    let adapted = proto::verifier::Generate {
        speculation: proto::verifier::Speculation::auto(),
        ..request.clone()
    };
    let adapted = pair::ask(&url, adapted).await;
    assert_eq!(adapted.text, plain.text, "{name}, blocks as long as pays");
    reconciles(&adapted);
    let auto = pair::ask(&url, request.clone()).await;
    let seed = request.seed;
    assert_eq!(auto.text, plain.text, "{name}, seed {seed:?}");
    assert_eq!(
        auto.finish.reason, plain.finish.reason,
        "{name}, seed {seed:?}"
    );
    assert_eq!(plain.finish.method, None);
    assert_eq!(plain.finish.usage.proposed_tokens, 0);
    for answer in [&plain, &auto] {
        reconciles(answer);
    }
    let (auto, plain) = (auto.finish.usage, plain.finish.usage);
    assert_eq!(auto.prompt_tokens, plain.prompt_tokens);
    assert_eq!(
        auto.completion_tokens, plain.completion_tokens,
        "{name}, seed {seed:?}"
    );
    assert!(
        auto.target_forwards <= plain.target_forwards,
        "{auto:?} after {plain:?}"
    );
    assert!(
        auto.proposed_tokens > 0,
        "{name}: nothing was proposed: {auto:?}"
    );
    auto.accepted_tokens
}

/// Every number of the usage that can be derived from others, or from the text, is right.
fn reconciles(answer: &Answer) {
    let usage: &Usage = &answer.finish.usage;
    assert_eq!(usage.committed_bytes, answer.text.len() as u64);
    assert_eq!(
        usage.proposed_tokens,
        usage.accepted_tokens + usage.rejected_tokens
    );
    assert!(
        usage.completion_tokens >= usage.accepted_tokens,
        "{usage:?}"
    );
    let fallbacks: u32 = usage.fallbacks.values().sum();
    assert!(fallbacks <= usage.rounds, "{usage:?}");
    assert_eq!(
        usage.target_forwards, usage.rounds,
        "one pass a round: {usage:?}"
    );
}
