//! Branches: what is drafted for verdicts that reject a token.

use proto::{
    CommittedText,
    drafter::{Block, Wish},
};

use super::*;

/// A verifier that follows the protocol.
struct Peer {
    verifier: Verifier,
    committed: CommittedText,
}

impl Peer {
    async fn open(drafter: &Arc<Drafter>, open: Open) -> Self {
        let committed = CommittedText::resumed(&open.committed).expect("short enough");
        let mut verifier = connect(drafter);
        verifier.send(ToDrafter::Open(Box::new(open))).await;
        let opened = verifier.message().await;
        assert!(matches!(opened, FromDrafter::Opened(_)), "{opened:?}");
        Self {
            verifier,
            committed,
        }
    }

    async fn block(&mut self) -> Block {
        match self.verifier.message().await {
            FromDrafter::Block(block) => block,
            other => panic!("a block was expected: {other:?}"),
        }
    }

    /// Waits until the session has drafted all that it would before the next verdict.
    async fn until_idle(&self) {
        until(|| self.verifier.is_idle.load(Ordering::Acquire)).await;
    }

    /// Answers a block, and asks for a chain of six tokens and one alternative.
    async fn answer(&mut self, block: &Block, kept: usize, appended: &[u8]) {
        let kept_bytes = &block.text[..kept];
        self.committed.append(kept_bytes).expect("short enough");
        self.committed.append(appended).expect("short enough");
        let verdict = Verdict {
            round: block.round,
            kept_bytes: kept as u32,
            appended: appended.to_vec(),
            new_hash: self.committed.hash(),
            next: Some(Wish {
                alternatives: 1,
                ..Wish::chain(6)
            }),
        };
        self.verifier.send(ToDrafter::Verdict(verdict)).await;
    }

    /// Commits the likeliest alternative of a block, or a byte that nobody proposed where there is none.
    async fn reject(&mut self, block: &Block) {
        let (chain, alternatives) = block.ways();
        let Some(taken) = alternatives.first() else {
            return self.answer(block, 0, b"x").await;
        };
        let same = chain.text.iter().zip(&taken.text);
        let kept = same.take_while(|(one, other)| one == other).count();
        self.answer(block, kept, &taken.text[kept..]).await;
    }
}

fn trees(credit: u32, sampling: Sampling) -> Open {
    Open {
        accepts_trees: true,
        max_block_tokens: 6,
        max_block_bytes: 256,
        credit,
        sampling,
        ..terms()
    }
}

#[tokio::test]
async fn block_drafted_for_a_rejection_is_the_one_that_a_new_session_drafts() {
    let drafter = drafter(EngineOptions::default()).await;
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
        let terms = trees(credit, sampling);
        let mut peer = Peer::open(&drafter, terms.clone()).await;
        let mut block = peer.block().await;
        for _ in 0..12 {
            peer.until_idle().await;
            peer.reject(&block).await;
            // Blocks that were sent before the verdict are of no use.
            block = peer.block().await;
            while block.base_hash != peer.committed.hash() {
                block = peer.block().await;
            }
            let resumed = Open {
                committed: peer.committed.bytes().to_vec(),
                ..terms.clone()
            };
            let fresh = Peer::open(&drafter, resumed).await.block().await;
            let (chain, _) = block.ways();
            let text = String::from_utf8_lossy(peer.committed.bytes());
            assert_eq!(chain.text, fresh.text, "after {text:?}");
            assert_eq!(chain.token_ends, fresh.token_ends);
        }
    }
    let metrics = &drafter.metrics;
    let (hits, verdicts) = (metrics.branch_hits.get(), metrics.branched_verdicts.get());
    assert!(hits > 8 && hits <= verdicts, "{hits} of {verdicts}");
}

#[tokio::test]
async fn model_that_many_sessions_share_drafts_no_branches() {
    let drafter = drafter(EngineOptions {
        max_sessions: 16,
        ..EngineOptions::default()
    })
    .await;
    let mut peers = Vec::new();
    for _ in 0..7 {
        let mut peer = Peer::open(&drafter, trees(1, Sampling::greedy())).await;
        let block = peer.block().await;
        peers.push((peer, block));
    }
    // Those that were alone when they began have branches until their next verdict.
    for (peer, block) in &mut peers {
        peer.until_idle().await;
        peer.answer(block, 0, b"x").await;
        *block = peer.block().await;
    }
    let before = drafter.metrics.branch_tokens.get();
    for (peer, block) in &mut peers {
        peer.until_idle().await;
        peer.answer(block, 0, b"y").await;
        peer.block().await;
        peer.until_idle().await;
    }
    assert_eq!(drafter.metrics.branch_tokens.get(), before);
}
