//! Every acceptance method by its name, over real processes and two vocabularies.

use proto::{
    ClientError,
    verifier::{Client, FallbackReason, Generate, Speculation},
};
use tonic::{Code, Request};

use crate::{
    pair::{self, BLOCK_LENGTH},
    prompts,
};

fn by(method: &str, allow_lossy: bool) -> Generate {
    Generate {
        speculation: Speculation::Auto {
            method: Some(method.to_owned()),
            block_tokens: Some(BLOCK_LENGTH),
            allow_lossy,
            alternatives: None,
        },
        ..prompts::sampled(prompts::REPETITION, 24, 3)
    }
}

#[tokio::test]
async fn methods_that_judge_by_draws_accept_and_reject_drafts() {
    let pair = pair::shared().read().await;
    for method in [
        "coupled",
        "point_mass",
        "tli",
        "path_conditional",
        "token_timing",
    ] {
        let answer = pair::ask(&pair.verifier.url(), by(method, true)).await;
        assert_eq!(answer.finish.method.as_deref(), Some(method));
        let usage = &answer.finish.usage;
        assert!(usage.accepted_tokens > 0, "{method}: {usage:?}");
        assert_eq!(
            usage.proposed_tokens,
            usage.accepted_tokens + usage.rejected_tokens
        );
        assert!(
            usage.target_forwards < usage.completion_tokens,
            "{method}: {usage:?}"
        );
        let protocol = usage.fallbacks.get(&FallbackReason::Protocol);
        assert_eq!(protocol, None, "{method}: {usage:?}");
    }
}

#[tokio::test]
async fn method_for_one_vocabulary_decodes_plainly_over_two() {
    let pair = pair::shared().read().await;
    let answer = pair::ask(&pair.verifier.url(), by("standard", false)).await;
    let usage = &answer.finish.usage;
    assert_eq!((usage.proposed_tokens, usage.completion_tokens), (0, 24));
    assert!(
        usage.fallbacks.contains_key(&FallbackReason::NoDrafter),
        "{usage:?}"
    );
}

#[tokio::test]
async fn lossy_method_is_refused_unless_it_is_allowed() {
    let pair = pair::shared().read().await;
    let channel = chassis::channel::lazy(&pair.verifier.url()).unwrap();
    let request = Request::new(by("token_timing", false));
    let refused = Client::new(channel).generate(request).await.err();
    let Some(ClientError::Status(refused)) = refused else {
        panic!("it was let in, or refused in another way: {refused:?}");
    };
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused
            .message()
            .starts_with("speculation.allow_lossy is false"),
        "{refused}"
    );
}
