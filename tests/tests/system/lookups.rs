//! Drafters without a model, and in cascade with one: the text is that of plain decoding, and what repeats is guessed.

use proto::verifier::{FallbackReason, Usage};
use tonic::Request;

use crate::{
    pair::{self, DRAFTER},
    process::Process,
    prompts,
};

const TOKENS: u32 = 48;

/// Drafters of these tests, each with the verifier that asks it.
fn start(model: &str) -> (Process, Process) {
    pair::model_path(DRAFTER);
    let drafter = Process::start("drafter-service", &["--model", model]);
    let verifier = pair::verifier(&["--drafter", &drafter.url()]);
    verifier.wait_for("drafter is there", 1);
    (drafter, verifier)
}

/// On equals off for every kind of text, greedy and at random, and blocks as long as pays. Gives what greedy replies took.
async fn changes_nothing(verifier: &Process) -> Vec<(&'static str, Usage)> {
    let url = verifier.url();
    let mut usages = Vec::new();
    for (name, prompt) in prompts::VARIED {
        let mut requests = vec![prompts::greedy(prompt, TOKENS)];
        requests.extend([1, 20].map(|seed| prompts::sampled(prompt, TOKENS, seed)));
        for request in requests {
            let plain = pair::ask(&url, prompts::plain(&request)).await;
            let auto = pair::ask(&url, request.clone()).await;
            assert_eq!(auto.text, plain.text, "{name}, {:?}", request.seed);
            assert_eq!(auto.finish.reason, plain.finish.reason, "{name}");
            let adapted = proto::verifier::Generate {
                speculation: proto::verifier::Speculation::auto(),
                ..request.clone()
            };
            assert_eq!(pair::ask(&url, adapted).await.text, plain.text, "{name}");
            let usage = auto.finish.usage;
            for why in [
                FallbackReason::Failed,
                FallbackReason::Protocol,
                FallbackReason::Disconnected,
            ] {
                assert!(!usage.fallbacks.contains_key(&why), "{name}: {usage:?}");
            }
            if request.seed.is_none() {
                usages.push((name, usage));
            }
        }
    }
    usages
}

#[tokio::test]
async fn looking_up_changes_no_text_and_guesses_what_repeats() {
    let (drafter, verifier) = start("ngram");
    let usages = changes_nothing(&verifier).await;
    let (_, usage) = usages
        .iter()
        .find(|(name, _)| *name == "repetition")
        .unwrap();
    assert!(
        3 * usage.target_forwards < usage.completion_tokens,
        "{usage:?}"
    );
    let channel = chassis::channel::lazy(&drafter.url()).unwrap();
    let described = proto::drafter::Client::new(channel)
        .describe(Request::new(()))
        .await;
    let model = described.unwrap().model;
    assert_eq!(
        (model.name.as_str(), model.parameters, model.vocabulary_size),
        ("ngram", 0, 0)
    );
}

#[tokio::test]
async fn cascade_changes_no_text_and_proposes_where_nothing_repeats() {
    let (_drafter, verifier) = start(&format!("ngram+{DRAFTER}"));
    for (name, usage) in changes_nothing(&verifier).await {
        assert!(usage.proposed_tokens > TOKENS / 4, "{name}: {usage:?}");
    }
}

#[tokio::test]
async fn method_that_needs_a_distribution_decodes_plainly_with_a_look_up() {
    let (_drafter, verifier) = start("ngram");
    let request = proto::verifier::Generate {
        speculation: proto::verifier::Speculation::Auto {
            method: Some("tli".to_owned()),
            block_tokens: Some(pair::BLOCK_LENGTH),
            allow_lossy: false,
            alternatives: None,
        },
        ..prompts::sampled(prompts::REPETITION, 16, 3)
    };
    let usage = pair::ask(&verifier.url(), request).await.finish.usage;
    assert_eq!((usage.proposed_tokens, usage.completion_tokens), (0, 16));
    assert!(
        usage.fallbacks.contains_key(&FallbackReason::NoDrafter),
        "{usage:?}"
    );
}
