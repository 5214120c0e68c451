//! Thresholds: blocks end before the first token that is less probable than the verifier wants.

use proto::{
    drafter::{Block, Open, Verdict, Wish},
    model::Sampling,
};

use crate::drafter::{Running, open, serve_default};

/// Sessions of every kind that follow a threshold.
fn opens() -> [Open; 3] {
    let sampled = |method: &str| Open {
        method: method.to_owned(),
        seed: 3,
        sampling: Sampling {
            temperature: 0.8,
            ..Sampling::default()
        },
        ..open()
    };
    [open(), sampled("coupled"), sampled("point_mass")]
}

/// Wish for a chain with a threshold.
fn at_least(percent: u32) -> Wish {
    Wish {
        least_percent: percent,
        ..Wish::chain(6)
    }
}

/// The first block of a session with this threshold, in percent.
async fn first(running: &Running, open: Open, percent: u32) -> Block {
    let open = Open {
        first: Some(at_least(percent)),
        ..open
    };
    running.open(open).await.block().await
}

#[tokio::test]
async fn block_with_a_higher_threshold_is_a_prefix_of_one_with_a_lower() {
    let running = serve_default().await;
    for open in opens() {
        let whole = first(&running, open.clone(), 0).await;
        assert!(whole.timings.passes as usize >= whole.token_ends.len());
        let mut lengths = Vec::new();
        for percent in [1, 5, 20, 60, 100] {
            let block = first(&running, open.clone(), percent).await;
            if open.method != "point_mass" {
                assert!(whole.text.starts_with(&block.text), "{percent}");
            }
            lengths.push(block.token_ends.len());
        }
        assert!(
            lengths.is_sorted_by(|one, other| one >= other),
            "{lengths:?}"
        );
        assert!(lengths[0] > lengths[4], "{}: {lengths:?}", open.method);
    }
}

#[tokio::test]
async fn block_is_empty_where_nothing_reaches_the_threshold_and_the_next_wish_may_lower_it() {
    let running = serve_default().await;
    let open = Open {
        first: Some(at_least(100)),
        ..open()
    };
    let mut peer = running.open(open).await;
    let mut block = peer.block().await;
    let expected = first(&running, crate::drafter::open(), 0).await;
    assert!(block.declines() && !expected.declines());
    for (percent, is_empty) in [(100, true), (0, false), (100, true)] {
        let verdict = peer.verdict(&block, 0, b"if ");
        peer.send(Verdict {
            next: Some(at_least(percent)),
            ..verdict
        });
        block = peer.block().await;
        assert_eq!(block.declines(), is_empty, "{block:?}");
        assert_eq!(block.base_length, peer.committed.len() as u64);
    }
}

#[tokio::test]
async fn draws_are_sent_however_improbable_they_are() {
    let running = serve_default().await;
    for method in ["standard", "tli", "path_conditional"] {
        let open = Open {
            method: method.to_owned(),
            max_block_bytes: 8192,
            ..open()
        };
        let whole = first(&running, open.clone(), 0).await.token_ends.len();
        let sure = first(&running, open, 100).await.token_ends.len();
        assert_eq!(whole, sure, "{method}");
    }
}
