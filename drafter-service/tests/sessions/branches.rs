//! What is drafted for verdicts that refuse something.

use std::time::Duration;

use proto::{
    drafter::{Block, Open, Verdict, Wish},
    model::Sampling,
};
use tokio::time::sleep;

use crate::{
    drafter::{Peer, Running, open, serve_default},
    observing::scrape,
};

/// Verdicts for which there were branches, those of them that went on from one, and tokens drafted in branches.
async fn counts(running: &Running) -> [u64; 3] {
    let metrics = scrape(running).await;
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name).trim().parse().expect("a number")
    };
    [
        value("duet_drafter_branched_verdicts_total"),
        value("duet_drafter_branch_hits_total"),
        value("duet_drafter_branch_tokens_total"),
    ]
}

/// Waits until nothing is drafted any more.
async fn rest(running: &Running) {
    let mut last = [0; 3];
    loop {
        let now = counts(running).await;
        if now == last {
            return;
        }
        last = now;
        sleep(Duration::from_millis(30)).await;
    }
}

/// Commits what the likeliest alternative of a block spells, or a byte that nobody proposed where there is none.
fn refusal(peer: &mut Peer, block: &Block) -> Verdict {
    let (chain, others) = block.ways();
    let verdict = match others.first() {
        Some(way) => {
            let kept = chain.text.iter().zip(&way.text);
            let kept = kept.take_while(|(one, other)| one == other).count();
            peer.verdict(block, kept, &way.text[kept..])
        }
        None => peer.verdict(block, 0, b"x"),
    };
    let next = Some(Wish {
        alternatives: 1,
        ..Wish::chain(6)
    });
    Verdict { next, ..verdict }
}

#[tokio::test]
async fn block_that_was_drafted_for_a_refusal_is_the_one_that_a_new_session_drafts() {
    let running = serve_default().await;
    let penalised = Sampling {
        repetition_penalty: 1.3,
        presence_penalty: 0.5,
        ..Sampling::greedy()
    };
    for (credit, sampling) in [
        (1, Sampling::greedy()),
        (3, Sampling::greedy()),
        (1, penalised),
    ] {
        let terms = Open {
            accepts_trees: true,
            credit,
            sampling,
            ..open()
        };
        let mut peer = running.open(terms.clone()).await;
        let mut block = peer.block().await;
        for _ in 0..12 {
            rest(&running).await;
            let verdict = refusal(&mut peer, &block);
            peer.send(verdict);
            // Blocks that were sent ahead of the verdict are of no use.
            block = peer.block().await;
            while block.base_hash != peer.committed.hash() {
                block = peer.block().await;
            }
            let resumed = Open {
                committed: peer.committed.bytes().to_vec(),
                ..terms.clone()
            };
            let fresh = running.open(resumed).await.block().await;
            let (chain, _) = block.ways();
            assert_eq!(chain.text, fresh.text, "behind {:?}", resumed_text(&peer));
            assert_eq!(chain.token_ends, fresh.token_ends);
        }
    }
    let [verdicts, hits, _] = counts(&running).await;
    assert!(hits > 8 && hits <= verdicts, "{hits} of {verdicts}");
}

fn resumed_text(peer: &Peer) -> String {
    String::from_utf8_lossy(peer.committed.bytes()).into_owned()
}

#[tokio::test]
async fn model_that_many_sessions_share_drafts_nothing_beside() {
    let running = serve_default().await;
    let mut peers = Vec::new();
    for _ in 0..7 {
        let mut peer = running.open(open()).await;
        let block = peer.block().await;
        peers.push((peer, block));
    }
    rest(&running).await;
    let [before, ..] = counts(&running).await;
    for (peer, block) in &mut peers {
        let verdict = peer.verdict(block, 0, b"x");
        peer.send(verdict);
        *block = peer.block().await;
    }
    rest(&running).await;
    for (peer, block) in &mut peers {
        let verdict = peer.verdict(block, 0, b"y");
        peer.send(verdict);
        peer.block().await;
    }
    let [after, ..] = counts(&running).await;
    // Those that were alone when they began had branches at their first verdict.
    assert!(after - before <= 7, "{before} {after}");
}
