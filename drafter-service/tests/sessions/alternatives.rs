//! Alternatives, for a verifier that asks for them.

use proto::{
    drafter::{Block, Open, Verdict, Wish},
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

/// Wish for a chain with at most `count` alternatives.
fn tree(count: u32) -> Wish {
    Wish {
        alternatives: count,
        ..Wish::chain(6)
    }
}

/// Answers a block, and asks for the next with at most `count` alternatives.
async fn next(
    peer: &mut Peer,
    (block, kept, appended): (&Block, usize, &[u8]),
    count: u32,
) -> Block {
    let verdict = peer.verdict(block, kept, appended);
    let next = Some(tree(count));
    peer.send(Verdict { next, ..verdict });
    peer.block().await
}

/// The first block of a session, and the second with at most `count` alternatives.
async fn second(running: &Running, open: Open, count: u32) -> (Peer, Block) {
    let mut peer = running.open(open).await;
    let first = peer.block().await;
    assert!(first.parents.is_empty(), "nobody has asked yet");
    let block = next(&mut peer, (&first, 0, b" if "), count).await;
    (peer, block)
}

#[tokio::test]
async fn alternatives_replace_single_tokens_of_a_chain_that_stays_as_it_is() {
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
async fn blocks_sent_before_a_verdict_have_alternatives_and_presume_the_chain() {
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

/// The paths to the alternatives of the first block of a session with this threshold, in percent.
async fn alternatives(running: &Running, open: &Open, percent: u32) -> Vec<Vec<u8>> {
    let first = Some(Wish {
        least_percent: percent,
        ..tree(8)
    });
    let open = Open {
        first,
        ..open.clone()
    };
    let (_, others) = running.open(open).await.block().await.ways();
    others.into_iter().map(|way| way.text).collect()
}

#[tokio::test]
async fn alternatives_are_those_that_reach_the_threshold_and_their_number_is_only_a_cap() {
    let running = serve_default().await;
    for open in opens() {
        let all = alternatives(&running, &open, 0).await;
        assert_eq!(all.len(), 6, "one for each token of the chain");
        let mut counts = Vec::new();
        for percent in [1, 2, 5, 10, 20, 60, 100] {
            let sent = alternatives(&running, &open, percent).await;
            // The likeliest come first, so a threshold cuts the list.
            assert!(all.starts_with(&sent), "{percent}: {sent:?} of {all:?}");
            counts.push(sent.len());
        }
        assert!(counts.is_sorted_by(|one, other| one >= other), "{counts:?}");
        assert!(counts[0] > 0 && counts[6] == 0, "{counts:?}");
    }
}

#[tokio::test]
async fn alternatives_are_refused_where_trees_are_not_accepted() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    let block = peer.block().await;
    let verdict = peer.verdict(&block, 0, b"x");
    let next = Some(tree(1));
    peer.send(Verdict { next, ..verdict });
    let status = peer.status().await;
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(
        status
            .message()
            .starts_with("verdict.next.alternatives is 1"),
        "{status}"
    );
}
