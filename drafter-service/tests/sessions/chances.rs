//! Blocks that end ahead of what looks less probable than a verifier wants.

use proto::{
    drafter::{Block, Open, Verdict},
    model::Sampling,
};

use crate::drafter::{Running, open, serve_default};

/// Sessions of every kind whose blocks may end so.
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

/// The first block of a session that wants tokens to look so probable.
async fn first(running: &Running, open: Open, percent: u32) -> Block {
    let open = Open {
        first_least_percent: percent,
        ..open
    };
    running.open(open).await.block().await
}

#[tokio::test]
async fn surer_blocks_are_the_beginnings_of_others() {
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
async fn nothing_sure_enough_is_an_empty_block_and_the_next_verdict_may_ask_for_more() {
    let running = serve_default().await;
    let open = Open {
        first_least_percent: 100,
        ..open()
    };
    let mut peer = running.open(open).await;
    let mut block = peer.block().await;
    let expected = first(&running, crate::drafter::open(), 0).await;
    assert!(block.declines() && !expected.declines());
    for (percent, is_empty) in [(100, true), (0, false), (100, true)] {
        let verdict = peer.verdict(&block, 0, b"if ");
        peer.send(Verdict {
            next_least_percent: Some(percent),
            ..verdict
        });
        block = peer.block().await;
        assert_eq!(block.declines(), is_empty, "{block:?}");
        assert_eq!(block.base_length, peer.committed.len() as u64);
    }
}

#[tokio::test]
async fn whether_a_draw_is_told_does_not_depend_on_how_probable_it_is() {
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
