//! Blocks with draws: the distribution sent is one, it has the draw, and a draw that was judged is not sent again.

use std::collections::BTreeSet;

use alignment::acceptance::SparseDistribution;
use proto::drafter::{Block, Open};
use proto::model::Sampling;

use crate::drafter::{Running, open, serve_default};

fn drawn(method: &str) -> Open {
    Open {
        method: method.to_owned(),
        sampling: Sampling::default(),
        max_block_bytes: 8192,
        ..open()
    }
}

/// Checks every draw of a block.
fn check(running: &Running, block: &Block, method: &str) {
    let tokenizer = running.engine.tokenizer();
    assert_eq!(block.draws.len(), block.token_ends.len(), "{method}");
    assert_eq!(block.ends_with, None, "ends are never drawn");
    let spelled: Vec<u8> = block
        .draws
        .iter()
        .flat_map(|draw| tokenizer.token_bytes(draw.id).to_vec())
        .collect();
    assert_eq!(spelled, block.text, "{method}");
    for draw in &block.draws {
        assert!(std::str::from_utf8(tokenizer.token_bytes(draw.id)).is_ok());
        assert_eq!(
            draw.distribution.is_some(),
            method != "token_timing",
            "{method}"
        );
        let Some(distribution) = &draw.distribution else {
            continue;
        };
        let distribution = SparseDistribution::new(
            &distribution.ids,
            &distribution.log_probs,
            tokenizer.vocab_size(),
        );
        let distribution = distribution.expect("a distribution");
        let difference = distribution.probability(draw.id) - f64::from(draw.log_prob).exp();
        assert!(
            distribution.contains(draw.id) && difference.abs() < 1e-6,
            "{method}"
        );
    }
}

#[tokio::test]
async fn draws_are_sent_with_the_distribution_that_they_follow() {
    let running = serve_default().await;
    for method in ["standard", "tli", "path_conditional", "token_timing"] {
        let mut peer = running.open(drawn(method)).await;
        for _ in 0..3 {
            let block = peer.block().await;
            check(&running, &block, method);
            let kept = block.token_ends[2] as usize;
            peer.settle(&block, kept, b"!");
        }
    }
}

#[tokio::test]
async fn only_what_may_be_drawn_is_drawn_and_has_mass() {
    let running = serve_default().await;
    let tokenizer = running.engine.tokenizer();
    let letters: BTreeSet<u32> = (0..tokenizer.vocab_size() as u32)
        .filter(|id| matches!(tokenizer.token_bytes(*id), [b'a'..=b'z']))
        .collect();
    let mut drawable = vec![0_u8; tokenizer.vocab_size().div_ceil(8)];
    for id in &letters {
        drawable[*id as usize / 8] |= 1 << (id % 8);
    }
    let open = Open {
        drawable,
        ..drawn("tli")
    };
    let block = running.open(open).await.block().await;
    assert!(block.text.iter().all(u8::is_ascii_lowercase), "{block:?}");
    for draw in &block.draws {
        let distribution = draw.distribution.as_ref().unwrap();
        assert!(distribution.ids.iter().all(|id| letters.contains(id)));
    }
}

#[tokio::test]
async fn draws_differ_from_session_to_session_though_the_seed_is_the_same() {
    let running = serve_default().await;
    let mut texts = BTreeSet::new();
    for _ in 0..4 {
        texts.insert(running.open(drawn("standard")).await.block().await.text);
    }
    assert!(texts.len() > 1, "{texts:?}");
}

#[tokio::test]
async fn draws_that_were_judged_are_not_sent_again_though_they_still_fit() {
    let running = serve_default().await;
    let mut repeated = 0;
    for _ in 0..4 {
        let mut peer = running.open(drawn("standard")).await;
        let first = peer.block().await;
        // The target chose a token without bytes instead.
        peer.settle(&first, 0, b"");
        repeated += usize::from(peer.block().await.text == first.text);
    }
    assert_eq!(repeated, 0, "the same six tokens were drawn twice");
}

#[tokio::test]
async fn block_that_could_be_cut_for_its_bytes_is_no_place_to_draw() {
    let running = serve_default().await;
    let short = Open {
        max_block_bytes: 63,
        ..drawn("tli")
    };
    let refused = running.try_open(short).await.err().unwrap().to_string();
    assert!(refused.contains("open.max_block_bytes"), "{refused}");
}

#[tokio::test]
async fn nothing_is_drawn_after_an_unfinished_character() {
    let running = serve_default().await;
    let open = Open {
        committed: "é".as_bytes()[..1].to_vec(),
        ..drawn("tli")
    };
    let mut peer = running.open(open).await;
    let empty = peer.block().await;
    assert!(empty.declines(), "{empty:?}");
    // The rest of it may follow, and then drafting does.
    peer.settle(&empty, 0, &"é".as_bytes()[1..]);
    check(&running, &peer.block().await, "tli");
}
