//! Drafters may go and come back: the text stays.

use proto::verifier::{FallbackReason, Origin};

use crate::{pair, prompts};

const TOKENS: u32 = 160;

#[tokio::test]
async fn drafter_may_be_killed_in_the_middle_of_a_reply_and_come_back_later() {
    let mut drafter = pair::drafter(&[]);
    let address = drafter.address();
    let verifier = pair::verifier(&["--drafter", &drafter.url()]);
    let url = verifier.url();
    verifier.wait_for("drafter is there", 1);
    let request = prompts::greedy(prompts::LONG, TOKENS);
    let expected = pair::ask(&url, prompts::plain(&request)).await.text;

    let mut reply = pair::begin(&url, request.clone()).await;
    let begun = pair::read_until(&mut reply, Origin::Accepted).await;
    drafter.kill();
    let answer = pair::finish(reply, begun).await;
    assert_eq!(answer.text, expected);
    let usage = &answer.finish.usage;
    assert_eq!(usage.completion_tokens, TOKENS);
    let lost = [FallbackReason::Disconnected, FallbackReason::NoDrafter];
    assert!(
        lost.iter().any(|why| usage.fallbacks.contains_key(why)),
        "{usage:?}"
    );

    let alone = pair::ask(&url, request.clone()).await;
    assert_eq!(alone.text, expected);
    assert_eq!(alone.finish.usage.proposed_tokens, 0);

    let _drafter = pair::drafter(&["--listen", &address]);
    verifier.wait_for("drafter is there", 2);
    let again = pair::ask(&url, request).await;
    assert_eq!(again.text, expected);
    assert!(
        again.finish.usage.accepted_tokens > 0,
        "{:?}",
        again.finish.usage
    );
}

#[tokio::test]
async fn verifier_without_any_drafter_gives_the_same_text() {
    let alone = pair::verifier(&[]);
    let pair = pair::shared().read().await;
    for request in [
        prompts::greedy(prompts::LONG, 24),
        prompts::sampled(prompts::VARIED[2].1, 24, 7),
    ] {
        let without = pair::ask(&alone.url(), request.clone()).await;
        let with = pair::ask(&pair.verifier.url(), request).await;
        assert_eq!(without.text, with.text);
        let usage = &without.finish.usage;
        assert_eq!(usage.proposed_tokens, 0);
        assert!(
            usage.fallbacks.contains_key(&FallbackReason::NoDrafter),
            "{usage:?}"
        );
        assert!(
            with.finish.usage.proposed_tokens > 0,
            "{:?}",
            with.finish.usage
        );
    }
}
