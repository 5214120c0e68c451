//! Details of rounds, token by token: the same with any drafter, and absent unless asked for.

use proto::verifier::{Generate, RoundDetail, RoundInfo, RoundReport};

use crate::{
    drafters::{Kind, Running},
    harness::{Process, Whole, request, requests},
};

fn rounds(reply: &Whole) -> Vec<RoundInfo> {
    let rounds = reply.chunks.iter().filter_map(|chunk| chunk.round.clone());
    rounds.collect()
}

fn detail(round: &RoundInfo) -> &RoundDetail {
    round.detail.as_deref().expect("a detail")
}

/// Id, bytes and bits of the probability of each token of a reply.
fn emitted(rounds: &[RoundInfo]) -> Vec<(u32, Vec<u8>, u32)> {
    let tokens = rounds.iter().flat_map(|round| {
        let detail = detail(round);
        let accepted = &detail.candidates[..round.accepted_tokens as usize];
        accepted.iter().chain(&detail.chosen)
    });
    let bits = |p: f32| p.to_bits();
    tokens
        .map(|token| (token.id, token.text.clone(), bits(token.probability)))
        .collect()
}

#[tokio::test]
async fn tokens_and_their_probabilities_are_those_of_plain_decoding_with_any_drafter() {
    for kind in [Kind::Ahead, Kind::Useless, Kind::SplitsCodePoints] {
        let drafter = Running::start(kind).await;
        let process = Process::endless(&[&drafter.address]).await;
        for request in requests() {
            let request = Generate {
                rounds: RoundReport::Details,
                ..request
            };
            let plain = process.plain(&request).await;
            drafter.learn(&plain.text);
            let reply = process.generate(&request).await;
            assert_eq!(reply.text, plain.text);
            let tokens = emitted(&rounds(&reply));
            assert_eq!(tokens, emitted(&rounds(&plain)), "{kind:?}");
            let spelled: Vec<u8> = tokens.into_iter().flat_map(|token| token.1).collect();
            assert_eq!(spelled, reply.text.as_bytes());
        }
    }
}

#[tokio::test]
async fn groups_part_draft_and_candidates_at_the_same_bytes() {
    let drafter = Running::start(Kind::Ahead).await;
    let process = Process::endless(&[&drafter.address]).await;
    let request = Generate {
        rounds: RoundReport::Details,
        ..request(0.8, 3)
    };
    drafter.learn(&process.plain(&request).await.text);
    let rounds = rounds(&process.generate(&request).await);
    let mut proposed = 0;
    for round in rounds.iter().filter(|round| round.proposed_tokens > 0) {
        let detail = detail(round);
        let mut draft = detail.draft_tokens.iter();
        let mut candidates = detail.candidates.iter();
        for group in &detail.groups {
            let bytes: Vec<u8> = draft
                .by_ref()
                .take(group.draft_tokens as usize)
                .flatten()
                .copied()
                .collect();
            let spelled = candidates.by_ref().take(group.candidates as usize);
            let spelled: Vec<u8> = spelled.flat_map(|token| token.text.clone()).collect();
            assert!(bytes.starts_with(&spelled), "{round:?}");
        }
        assert!(candidates.next().is_none(), "{round:?}");
        assert!(detail.clock.block_arrived.is_some());
        proposed += 1;
    }
    assert!(proposed > 2);
    let clocks: Vec<_> = rounds.iter().map(|round| detail(round).clock).collect();
    for pair in clocks.windows(2) {
        assert!(pair[0].ended <= pair[1].began, "{pair:?}");
    }
}

#[tokio::test]
async fn blocks_drafted_in_vain_are_told_one_by_one() {
    let drafter = Running::start(Kind::WrongHash).await;
    let process = Process::endless(&[&drafter.address]).await;
    let request = Generate {
        rounds: RoundReport::Details,
        ..request(0.0, 0)
    };
    drafter.learn(&process.plain(&request).await.text);
    let reply = process.generate(&request).await;
    let rounds = rounds(&reply);
    let dropped: usize = rounds.iter().map(|round| detail(round).dropped.len()).sum();
    assert!(dropped > 0);
    assert_eq!(dropped, reply.finish.usage.stale_blocks as usize);
}

#[tokio::test]
async fn rounds_tell_no_details_that_nobody_asked_for() {
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::endless(&[&drafter.address]).await;
    let request = Generate {
        rounds: RoundReport::Counts,
        ..request(0.8, 5)
    };
    let reply = process.generate(&request).await;
    let rounds = rounds(&reply);
    assert!(!rounds.is_empty());
    assert!(rounds.iter().all(|round| round.detail.is_none()));
}
