//! What is drafted beside the chain, for a verifier that asks for it.

use proto::{
    drafter::{Block, Open, Verdict},
    model::Sampling,
};

use crate::drafter::{Peer, Running, open, serve_default};

/// Sessions of every kind that may have alternatives.
fn opens() -> [Open; 3] {
    let coupled = |temperature, seed| Open {
        method: "coupled".to_owned(),
        seed,
        sampling: Sampling {
            temperature,
            ..Sampling::default()
        },
        ..trees()
    };
    [trees(), coupled(0.8, 3), coupled(1.5, 4)]
}

fn trees() -> Open {
    Open {
        accepts_trees: true,
        ..open()
    }
}

/// Answers a block, and asks for the next with so many alternatives.
async fn next(
    peer: &mut Peer,
    (block, kept, appended): (&Block, usize, &[u8]),
    count: u32,
) -> Block {
    let verdict = peer.verdict(block, kept, appended);
    peer.send(Verdict {
        next_alternatives: Some(count),
        ..verdict
    });
    peer.block().await
}

/// The first block of a session, and the second with so many alternatives.
async fn second(running: &Running, open: Open, count: u32) -> (Peer, Block) {
    let mut peer = running.open(open).await;
    let first = peer.block().await;
    assert!(first.parents.is_empty(), "nobody has asked yet");
    let block = next(&mut peer, (&first, 0, b" if "), count).await;
    (peer, block)
}

#[tokio::test]
async fn alternatives_are_other_tokens_in_place_of_the_chains_which_stays_as_it_is() {
    let running = serve_default().await;
    let mut seen = 0;
    for open in opens() {
        let (_, chain) = second(&running, open.clone(), 0).await;
        assert!(chain.parents.is_empty());
        for count in [1, 2, 8] {
            let (_, tree) = second(&running, open.clone(), count).await;
            let tokens = chain.token_ends.len();
            let (text, others) = tree.ways();
            assert_eq!(text.text, chain.text);
            assert_eq!(text.token_ends, chain.token_ends);
            assert_eq!(tree.chain_tokens(), tokens);
            assert!(others.len() <= count as usize);
            let mut parents = tree.parents[tokens..].to_vec();
            for (way, parent) in others.iter().zip(&parents) {
                assert!(*parent < tokens as u32, "{tree:?}");
                let ends = &way.token_ends[..*parent as usize];
                assert_eq!(*ends, chain.token_ends[..*parent as usize]);
                assert!(std::str::from_utf8(&way.text).is_ok(), "{tree:?}");
                let place = way.token_ends[*parent as usize];
                assert!(
                    place != chain.token_ends[*parent as usize]
                        || !text.text.starts_with(&way.text)
                );
            }
            parents.sort_unstable();
            parents.dedup();
            assert_eq!(parents.len(), others.len(), "one for each place");
            seen += others.len();
        }
    }
    assert!(seen > 15, "{seen}");
}

#[tokio::test]
async fn session_goes_on_from_an_alternative_that_was_taken() {
    let running = serve_default().await;
    for open in opens() {
        let (mut peer, mut block) = second(&running, open, 4).await;
        let mut taken = 0;
        for _ in 0..10 {
            let (chain, others) = block.ways();
            let Some(way) = others.first() else {
                block = next(&mut peer, (&block, 0, b"x"), 4).await;
                continue;
            };
            let kept = chain.text.iter().zip(&way.text);
            let kept = kept.take_while(|(one, other)| one == other).count();
            let appended = [&way.text[kept..], b"y"].concat();
            block = next(&mut peer, (&block, kept, &appended), 4).await;
            assert_eq!(block.base_length, peer.committed.len() as u64);
            assert_eq!(block.base_hash, peer.committed.hash());
            taken += 1;
        }
        assert!(taken > 3, "{taken}");
    }
}

#[tokio::test]
async fn blocks_ahead_of_a_verdict_have_alternatives_and_presume_the_chain() {
    let running = serve_default().await;
    let ahead = Open {
        credit: 2,
        ..trees()
    };
    let mut peer = running.open(ahead).await;
    let (first, second) = (peer.block().await, peer.block().await);
    assert!(first.parents.is_empty() && second.parents.is_empty());
    let third = next(&mut peer, (&first, first.text.len(), b""), 3).await;
    let fourth = next(&mut peer, (&second, second.text.len(), b""), 3).await;
    let (chain, others) = third.ways();
    assert!(!others.is_empty(), "{third:?}");
    assert_eq!(
        fourth.base_length,
        third.base_length + chain.text.len() as u64
    );
    assert!(!fourth.ways().1.is_empty(), "{fourth:?}");
}

#[tokio::test]
async fn alternatives_are_refused_where_trees_are_not_accepted() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    let block = peer.block().await;
    let verdict = peer.verdict(&block, 0, b"x");
    peer.send(Verdict {
        next_alternatives: Some(1),
        ..verdict
    });
    let status = peer.status().await;
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(
        status
            .message()
            .starts_with("verdict.next_alternatives is 1"),
        "{status}"
    );
}
