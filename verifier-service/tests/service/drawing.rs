//! Methods that need the distribution of each draw, and drafters that lie about it.

use proto::{
    model::Sampling,
    verifier::{FallbackReason, Generate, Speculation},
};

use crate::{
    drafters::{Distribution, Kind, Running},
    harness::{Process, Whole, request},
};

const METHODS: [&str; 2] = ["tli", "path_conditional"];

/// Reply by `method` with a drafter that claims this distribution, and the drafter's last error.
/// The text must equal the plain one: `top_k` is 1, so the same distribution is the same text.
async fn check(method: &str, distribution: Distribution) -> (Whole, Option<String>) {
    let drafter = Running::start(Kind::Draws(distribution)).await;
    let process = Process::endless(&[&drafter.address]).await;
    let request = Generate {
        speculation: Speculation::Auto {
            method: Some(method.to_owned()),
            block_tokens: Some(8),
            allow_lossy: false,
            alternatives: None,
        },
        sampling: Sampling {
            temperature: 0.8,
            top_k: 1,
            ..Sampling::default()
        },
        ..request(0.8, 5)
    };
    let plain = process.plain(&request).await;
    drafter.learn(&plain.text);
    let reply = process.generate(&request).await;
    assert_eq!(reply.text, plain.text, "{method} {distribution:?}");
    drafter.seen(|seen| {
        assert_eq!(
            seen.faults,
            Vec::<String>::new(),
            "{method} {distribution:?}"
        );
    });
    let described = process
        .client
        .clone()
        .describe(tonic::Request::new(()))
        .await;
    let error = described.expect("a description").drafters[0]
        .last_error
        .clone();
    (reply, error)
}

#[tokio::test]
async fn tokens_drawn_from_the_distribution_that_is_told_are_accepted() {
    for method in METHODS {
        let (reply, error) = check(method, Distribution::Certain).await;
        let usage = &reply.finish.usage;
        assert!(usage.accepted_tokens > 30, "{method}: {usage:?}");
        assert!(usage.target_forwards < 30, "{method}: {usage:?}");
        assert_eq!(error, None, "{method}");
    }
}

#[tokio::test]
async fn distribution_that_is_not_the_one_drawn_from_is_never_judged_by() {
    for method in METHODS {
        for distribution in Distribution::LIES {
            let (reply, error) = check(method, distribution).await;
            let usage = &reply.finish.usage;
            assert_eq!(
                usage.accepted_tokens, 0,
                "{method} {distribution:?}: {usage:?}"
            );
            let fallbacks = &usage.fallbacks;
            assert!(
                fallbacks.contains_key(&FallbackReason::Protocol),
                "{method} {distribution:?}: {fallbacks:?}"
            );
            let named = match distribution {
                Distribution::OfAnotherVocabulary => "opened.tokenizer_fingerprint",
                _ => "draws",
            };
            let error = error.unwrap();
            assert!(error.contains(named), "{method} {distribution:?}: {error}");
        }
    }
}
