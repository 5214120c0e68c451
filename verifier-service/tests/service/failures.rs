//! Failures of drafters: whatever one does, the text is that of plain decoding.

use std::time::Duration;

use proto::{
    drafter::FailureCode,
    verifier::{DrafterState, DrafterStatus, FallbackReason, Generate, Usage},
};
use tests::tiny::Tiny;
use tokio::{runtime::Runtime, task::JoinSet};
use tonic::Request;
use verifier_service::config::Serving;

use crate::{
    drafters::{Kind, Running},
    harness::{Process, Whole, endless, eventually, load, read, request, requests, serving},
};

/// Replies with a drafter of this kind to `requests()`; they equal plain ones.
async fn check(kind: Kind) -> Vec<Whole> {
    check_each(kind, requests()).await
}

/// The same for these requests.
pub(crate) async fn check_each(kind: Kind, requests: Vec<Generate>) -> Vec<Whole> {
    let drafter = Running::start(kind).await;
    let serving = Serving {
        draft_ahead: u32::from(kind == Kind::Ahead),
        ..serving(&[&drafter.address])
    };
    // The engine is its own: sessions of other tests would share its passes.
    let process = Process::start(load(&Tiny::default()), serving).await;
    let mut replies = Vec::new();
    for request in requests {
        let plain = process.plain(&request).await;
        drafter.learn(&plain.text);
        let reply = process.generate(&request).await;
        assert_eq!(reply.text, plain.text, "{kind:?} at {:?}", request.sampling);
        let (usage, expected) = (&reply.finish.usage, &plain.finish.usage);
        assert_eq!(
            usage.completion_tokens, expected.completion_tokens,
            "{kind:?}"
        );
        assert_eq!(reply.finish.reason, plain.finish.reason, "{kind:?}");
        replies.push(reply);
    }
    drafter.seen(|seen| assert_eq!(seen.faults, Vec::<String>::new(), "{kind:?}"));
    // A drafter that took no part would test nothing.
    let blocks = u32::from(!kind.sends_no_block());
    let took_part =
        || async { drafter.seen(|seen| !seen.opens.is_empty() && seen.blocks >= blocks) };
    eventually(took_part).await;
    replies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_drafter_changes_the_text() {
    for kind in Kind::HOSTILE {
        check(kind).await;
    }
}

#[tokio::test]
async fn honest_drafter_makes_fewer_passes_of_the_same_text() {
    for kind in [Kind::Honest, Kind::Ahead] {
        for reply in check(kind).await {
            let usage = &reply.finish.usage;
            assert_eq!(usage.completion_tokens, 60);
            assert!(usage.target_forwards < 25, "{kind:?}: {usage:?}");
            assert!(usage.accepted_tokens > 35, "{kind:?}: {usage:?}");
            assert!(usage.wire_sent_bytes > 100 && usage.wire_received_bytes > 100);
        }
    }
}

#[tokio::test]
async fn reason_says_what_the_drafter_did() {
    for (kind, reason) in [
        (Kind::WrongBase, FallbackReason::Stale),
        (Kind::WrongHash, FallbackReason::Stale),
        (Kind::NeverOpens, FallbackReason::Opening),
        (Kind::NeverAnswers, FallbackReason::Late),
        (Kind::Closes, FallbackReason::Disconnected),
        (Kind::Breaks, FallbackReason::Disconnected),
        (Kind::Fails(FailureCode::Internal), FallbackReason::Failed),
        (Kind::Full, FallbackReason::Failed),
        (Kind::RefusesReply, FallbackReason::Failed),
        (Kind::Huge, FallbackReason::Protocol),
        (Kind::InvalidEnds, FallbackReason::Protocol),
        (Kind::Empty, FallbackReason::Protocol),
        (Kind::OpensTwice, FallbackReason::Protocol),
        (Kind::Boasts, FallbackReason::Protocol),
        (Kind::SplitsCodePoints, FallbackReason::NothingUsable),
    ] {
        let replies = check(kind).await;
        let fallbacks = &replies[0].finish.usage.fallbacks;
        assert!(fallbacks.contains_key(&reason), "{kind:?}: {fallbacks:?}");
        let stale = replies[0].finish.usage.stale_blocks;
        assert_eq!(
            stale > 0,
            reason == FallbackReason::Stale,
            "{kind:?}: {stale}"
        );
    }
}

#[tokio::test]
async fn having_nothing_to_propose_is_no_failure_and_hardly_waited_for() {
    for kind in [Kind::Declines, Kind::DeclinesForGood] {
        let drafter = Running::start(kind).await;
        let mut serving = serving(&[&drafter.address]);
        serving.deadline.floor = Duration::from_millis(2);
        let wait = serving.deadline.initial;
        let process = Process::start(endless(), serving).await;
        let request = request(0.0, 0);
        let plain = process.plain(&request).await;
        drafter.learn(&plain.text);
        // The first reply may end before there is a connection.
        process.generate(&request).await;
        let reply = process.generate(&request).await;
        assert_eq!(reply.text, plain.text);
        let usage = &reply.finish.usage;
        let nothing = usage.fallbacks[&FallbackReason::NothingUsable];
        match kind {
            Kind::Declines => assert!(usage.accepted_tokens > 20, "{usage:?}"),
            // Rounds wait the shortest deadline, not the one for blocks.
            _ => assert!(
                nothing > 50 && usage.draft_wait < wait * nothing / 2,
                "{usage:?}"
            ),
        }
        assert!(
            !usage.fallbacks.contains_key(&FallbackReason::Late),
            "{usage:?}"
        );
        assert_eq!(usage.stale_blocks, 0);
        let described = process.client.clone().describe(Request::new(())).await;
        let known = &described.expect("a description").drafters[0];
        assert_eq!(
            (known.state, &known.last_error),
            (DrafterState::Ready, &None)
        );
    }
}

/// True if the rounds cannot have waited for blocks, each at least for the shortest deadline.
fn is_no_wait(usage: &Usage) -> bool {
    usage.draft_wait < serving(&[]).deadline.floor * usage.rounds / 10
}

#[tokio::test]
async fn verifier_without_drafters_answers_at_once() {
    let process = Process::endless(&[]).await;
    let request = request(0.8, 5);
    let reply = process.generate(&request).await;
    assert_eq!(reply.text, process.plain(&request).await.text);
    let usage = &reply.finish.usage;
    assert_eq!(
        usage.fallbacks[&FallbackReason::NoDrafter],
        usage.rounds - 1
    );
    assert_eq!(usage.fallbacks[&FallbackReason::LastToken], 1);
    assert!(is_no_wait(usage), "{usage:?}");
}

#[tokio::test]
async fn address_where_nobody_listens_costs_nothing() {
    let process = Process::endless(&["http://127.0.0.1:1"]).await;
    let request = request(0.0, 0);
    let reply = process.generate(&request).await;
    assert_eq!(reply.text, process.plain(&request).await.text);
    let usage = &reply.finish.usage;
    assert!(is_no_wait(usage), "{usage:?}");
    let unreachable = || async {
        let described = process.client.clone().describe(Request::new(())).await;
        described.expect("a description").drafters[0].state == DrafterState::Unreachable
    };
    eventually(unreachable).await;
}

#[tokio::test]
async fn session_joins_another_drafter_from_the_committed_text() {
    let (closing, honest) = (
        Running::start(Kind::Closes).await,
        Running::start(Kind::Honest).await,
    );
    let process = Process::endless(&[&closing.address, &honest.address]).await;
    let request = request(0.8, 11);
    let plain = process.plain(&request).await;
    closing.learn(&plain.text);
    honest.learn(&plain.text);
    let reply = process.generate(&request).await;
    assert_eq!(reply.text, plain.text);
    honest.seen(|seen| {
        assert_eq!(seen.faults, Vec::<String>::new());
        let committed = &seen.opens[0].committed;
        assert!(!committed.is_empty() && plain.text.as_bytes().starts_with(committed));
    });
    assert!(
        reply.finish.usage.accepted_tokens > 20,
        "{:?}",
        reply.finish.usage
    );
}

#[test]
fn drafter_killed_in_mid_answer_changes_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    for temperature in [0.0, 0.8] {
        // The drafter has a runtime of its own, so that its connections die with it.
        let doomed = Runtime::new().expect("a runtime");
        let drafter = doomed.block_on(Running::start(Kind::Honest));
        runtime.block_on(async {
            let process = Process::endless(&[&drafter.address]).await;
            let request = Generate {
                max_tokens: Some(400),
                ..request(temperature, 3)
            };
            let plain = process.plain(&request).await;
            drafter.learn(&plain.text);
            let mut reply = process.open(&request).await.expect("a reply");
            let first = reply.next().await.expect("a part");
            doomed.shutdown_background();
            let mut text = String::new();
            let mut part = first;
            while let Some(proto::verifier::Part::Chunk(chunk)) = &part {
                text.extend(chunk.pieces.iter().map(|piece| piece.text.as_str()));
                part = reply.next().await.expect("a part");
            }
            assert_eq!(text, plain.text);
        });
    }
}

#[tokio::test]
async fn drafter_that_fails_again_and_again_is_left_alone() {
    let drafter = Running::start(Kind::Empty).await;
    let process = Process::endless(&[&drafter.address]).await;
    let request = request(0.0, 0);
    let left_alone = || async {
        process.generate(&request).await;
        let described = process.client.clone().describe(Request::new(())).await;
        described.expect("a description").drafters[0].state == DrafterState::BreakerOpen
    };
    eventually(left_alone).await;
    let reply = process.generate(&request).await;
    let fallbacks = &reply.finish.usage.fallbacks;
    assert!(
        fallbacks.contains_key(&FallbackReason::BreakerOpen),
        "{fallbacks:?}"
    );
    let described = process
        .client
        .clone()
        .describe(Request::new(()))
        .await
        .expect("an answer");
    let error = described.drafters[0].last_error.as_deref();
    assert!(
        error.is_some_and(|text| text.contains("message is missing")),
        "{error:?}"
    );
}

/// Number of sessions that a drafter of this kind is asked for by long replies, and its status.
async fn opens(kind: Kind, replies: usize) -> (usize, DrafterStatus) {
    let drafter = Running::start(kind).await;
    // The replies share an engine, so each takes several times as long as the wait to join again.
    let process = Process::start(load(&Tiny::default()), serving(&[&drafter.address])).await;
    let request = Generate {
        max_tokens: Some(400),
        ..request(0.0, 0)
    };
    let mut open = Vec::new();
    for _ in 0..replies {
        open.push(process.open(&request).await.expect("a reply"));
    }
    let mut reading: JoinSet<Whole> = open.into_iter().map(read).collect();
    while let Some(reply) = reading.join_next().await {
        let fallbacks = reply.expect("no panic").finish.usage.fallbacks;
        assert!(fallbacks[&FallbackReason::Failed] > 0, "{fallbacks:?}");
    }
    let described = process.client.clone().describe(Request::new(())).await;
    let known = described.expect("a description").drafters.remove(0);
    (drafter.seen(|seen| seen.opens.len()), known)
}

#[tokio::test]
async fn drafter_that_refuses_a_reply_is_not_asked_again_for_it_and_stays_in_use() {
    let (asked, known) = opens(Kind::RefusesReply, 8).await;
    assert_eq!(asked, 8);
    assert_eq!((known.state, known.last_error), (DrafterState::Ready, None));
    // A full drafter may have room later.
    let (asked, known) = opens(Kind::Full, 8).await;
    assert!(asked > 8, "{asked}");
    assert_eq!(known.state, DrafterState::Ready);
}

#[tokio::test]
async fn text_that_falls_apart_inside_code_points_stays_the_same() {
    let engine = load(&Tiny {
        seed: 4,
        foreign_bytes: 0.0,
        ..Tiny::default()
    });
    for kind in [Kind::Honest, Kind::RandomBytes, Kind::SplitsCodePoints] {
        let drafter = Running::start(kind).await;
        let process = Process::start(engine.clone(), serving(&[&drafter.address])).await;
        for mut request in requests() {
            request.logit_bias.clear();
            let plain = process.plain(&request).await;
            assert!(plain.text.contains('\u{fffd}'), "{}", plain.text);
            drafter.learn(&plain.text);
            assert_eq!(
                process.generate(&request).await.text,
                plain.text,
                "{kind:?}"
            );
        }
        drafter.seen(|seen| assert_eq!(seen.faults, Vec::<String>::new()));
    }
}

#[tokio::test]
async fn end_of_the_reply_crosses_by_its_role_and_is_no_text() {
    let engine = load(&Tiny {
        seed: 6,
        ends: 0.3,
        ..Tiny::default()
    });
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::start(engine, serving(&[&drafter.address])).await;
    let mut ended = 0;
    for seed in 0..12 {
        let request = Generate {
            max_tokens: Some(200),
            ..request(0.9, seed)
        };
        let plain = process.plain(&request).await;
        drafter.learn(&plain.text);
        let reply = process.generate(&request).await;
        assert_eq!(reply.text, plain.text);
        assert_eq!(reply.finish.reason, plain.finish.reason);
        let usage = &reply.finish.usage;
        assert_eq!(
            usage.completion_tokens,
            plain.finish.usage.completion_tokens
        );
        ended += u32::from(reply.finish.reason == proto::verifier::FinishReason::Stop);
    }
    assert!(ended > 0, "no reply has ended by itself");
}
