//! Blocks and verdicts in turn: after every verdict the next block is that of a session opened with the same text.

use proto::{
    BaseHash,
    drafter::{Block, FailureCode, Open, Verdict, Wish},
    model::{Message, Prompt, Role, Sampling},
};
use tests::tiny::Tiny;
use tonic::Code;

use crate::drafter::{Running, open, serve, serve_default, serving};

/// Parts by which blocks are compared.
fn proposed(block: &Block) -> (u64, BaseHash, &[u8], &[u32]) {
    (
        block.base_length,
        block.base_hash,
        &block.text,
        &block.token_ends,
    )
}

#[tokio::test]
async fn blocks_continue_the_committed_text() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    assert_eq!(peer.session.opened.block_tokens, 6);
    for round in 1..=5 {
        let block = peer.block().await;
        assert_eq!(block.round, round);
        assert_eq!(block.base_length, peer.committed.len() as u64);
        assert_eq!(block.base_hash, peer.committed.hash());
        assert!(!block.text.is_empty() && std::str::from_utf8(&block.text).is_ok());
        assert_eq!(block.token_ends.len(), 6);
        assert!(block.parents.is_empty() && block.draws.is_empty() && block.ends_with.is_none());
        assert!(!block.timings.compute.is_zero());
        let all = block.text.len();
        peer.settle(&block, all, b"!");
    }
}

/// The first block of a fresh session on the same text.
async fn fresh_block(running: &Running, open: &Open, committed: &[u8]) -> Block {
    let committed = committed.to_vec();
    let mut fresh = running
        .open(Open {
            committed,
            ..open.clone()
        })
        .await;
    fresh.block().await
}

/// Goes through rounds of full, partial and total disagreement, each compared with a fresh session.
async fn follow(running: &Running, open: Open) {
    let mut peer = running.open(open.clone()).await;
    let appended: [&[u8]; 6] = [
        b" the",
        b"",
        "é".as_bytes(),
        b"\n\nthen ",
        b" ",
        "日".as_bytes(),
    ];
    for round in 0..18 {
        let block = peer.block().await;
        let fresh = fresh_block(running, &open, peer.committed.bytes()).await;
        let text = String::from_utf8_lossy(peer.committed.bytes()).into_owned();
        assert_eq!(
            proposed(&block),
            proposed(&fresh),
            "{} after {text:?}",
            open.method
        );
        assert_eq!(block.ends_with, fresh.ends_with);
        let length = block.text.len();
        let kept = [length, length / 2, 0][round % 3];
        peer.settle(&block, kept, appended[round % appended.len()]);
    }
}

#[tokio::test]
async fn next_block_is_that_of_a_fresh_session_after_any_verdict() {
    for seed in [1, 2, 3] {
        let running = serve(
            Tiny {
                seed,
                ..Tiny::default()
            },
            serving(),
        )
        .await;
        follow(&running, open()).await;
        let sampling = Sampling {
            temperature: 0.9,
            top_p: 0.95,
            ..Sampling::default()
        };
        for method in ["coupled", "point_mass"] {
            let method = method.to_owned();
            follow(
                &running,
                Open {
                    method,
                    seed,
                    sampling,
                    sharpness: 2.0,
                    ..open()
                },
            )
            .await;
        }
        let penalties = Sampling {
            repetition_penalty: 1.3,
            frequency_penalty: 0.4,
            presence_penalty: 0.2,
            ..Sampling::greedy()
        };
        let said = Message::new(Role::User, "fn the".to_owned());
        let prompt = Prompt::chat(vec![said]);
        follow(
            &running,
            Open {
                sampling: penalties,
                prompt,
                ..open()
            },
        )
        .await;
    }
}

#[tokio::test]
async fn nothing_is_proposed_that_would_break_a_code_point_of_the_committed_text() {
    // This model never says the bytes that would finish one.
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    let first = peer.block().await;
    let (begun, finished) = "😀 x".as_bytes().split_at(2);
    peer.settle(&first, 0, begun);
    let empty = peer.block().await;
    assert!(empty.declines(), "{empty:?}");
    assert_eq!((empty.round, empty.base_length), (2, 2));
    peer.settle(&empty, 0, finished);
    let block = peer.block().await;
    assert_eq!((block.round, block.base_length), (3, 6));
    let fresh = fresh_block(&running, &open(), peer.committed.bytes()).await;
    assert_eq!(proposed(&block), proposed(&fresh));
}

#[tokio::test]
async fn block_answered_late_is_still_good_for_what_it_proposed() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    let block = peer.block().await;
    // The reply went on without the block, for two bytes that the block has, too.
    let without = peer.unanswering(&block.text[..2]);
    peer.send(without);
    let rest = Block {
        text: block.text[2..].to_vec(),
        ..block.clone()
    };
    peer.settle(&rest, 3, b"~");
    assert_eq!(peer.committed.bytes(), [&block.text[..5], b"~"].concat());
    let next = peer.block().await;
    assert_eq!((next.round, next.base_length), (2, 6));
    let fresh = fresh_block(&running, &open(), peer.committed.bytes()).await;
    assert_eq!(proposed(&next), proposed(&fresh));
}

#[tokio::test]
async fn stale_round_answers_no_block() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    let first = peer.block().await;
    peer.settle(&first, 0, b"a");
    let second = peer.block().await;
    // The first block once more: the second stays unanswered, so no third comes before it is answered.
    let stale = Verdict {
        round: first.round,
        ..peer.unanswering(b"b")
    };
    peer.send(stale);
    peer.settle(&second, 0, b"c");
    let third = peer.block().await;
    assert_eq!((third.round, third.base_length), (3, 3));
    assert_eq!(third.base_hash, BaseHash::of(b"abc"));
}

#[tokio::test]
async fn verdict_that_leads_to_another_text_ends_the_stream_as_out_of_step() {
    let running = serve_default().await;
    let wrong: [fn(Verdict) -> Verdict; 3] = [
        |verdict| Verdict {
            new_hash: BaseHash(1),
            ..verdict
        },
        |verdict| Verdict {
            appended: b"xy".to_vec(),
            ..verdict
        },
        |verdict| Verdict {
            kept_bytes: 4000,
            ..verdict
        },
    ];
    for (wrong, named) in wrong
        .into_iter()
        .zip(["new_hash", "new_hash", "kept_bytes"])
    {
        let mut peer = running.open(open()).await;
        let block = peer.block().await;
        let verdict = peer.verdict(&block, 1, b"x");
        peer.send(wrong(verdict));
        let failure = peer.last_failure().await;
        assert_eq!(failure.code, FailureCode::Desynchronised);
        assert!(failure.text.contains(named), "{}", failure.text);
        let again = Open {
            committed: peer.committed.bytes().to_vec(),
            ..open()
        };
        let again = running.open(again).await.block().await;
        assert_eq!(again.base_length, 2, "reopening is right");
    }
    running.until_empty().await;
}

#[tokio::test]
async fn verdict_that_breaks_the_specification_is_refused_by_name() {
    let running = serve_default().await;
    let wrong: [fn(Verdict) -> Verdict; 2] = [
        |verdict| Verdict {
            round: 2,
            ..verdict
        },
        |verdict| Verdict {
            next: Some(Wish::chain(7)),
            ..verdict
        },
    ];
    for (wrong, named) in wrong
        .into_iter()
        .zip(["verdict.round is 2", "verdict.next.tokens is 7"])
    {
        let mut peer = running.open(open()).await;
        let block = peer.block().await;
        let verdict = peer.verdict(&block, 0, b"x");
        peer.send(wrong(verdict));
        let status = peer.status().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(named), "{}", status.message());
    }
}

#[tokio::test]
async fn idle_session_takes_in_what_is_committed_and_resumes_where_that_ends() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    let block = peer.block().await;
    let idle = Verdict {
        next: Some(Wish::default()),
        ..peer.verdict(&block, 2, b" the")
    };
    peer.send(idle);
    for word in ["then ", "let the other ", "in the end of it all, "] {
        let unchanged = Verdict {
            next: None,
            ..peer.unanswering(word.as_bytes())
        };
        peer.send(unchanged);
    }
    let resume = Verdict {
        next: Some(Wish::chain(3)),
        ..peer.unanswering(b"x")
    };
    peer.send(resume);
    let block = peer.block().await;
    assert_eq!(block.base_length, peer.committed.len() as u64);
    assert_eq!((block.round, block.token_ends.len()), (2, 3));
    let fresh = Open {
        max_block_tokens: 3,
        ..open()
    };
    let fresh = fresh_block(&running, &fresh, peer.committed.bytes()).await;
    assert_eq!(proposed(&block), proposed(&fresh));
}

#[tokio::test]
async fn wish_holds_until_another_one_replaces_it_whole() {
    let running = serve_default().await;
    let wish = |tokens, alternatives, least_percent| Wish {
        tokens,
        alternatives,
        least_percent,
    };
    let terms = Open {
        accepts_trees: true,
        first: Some(wish(2, 1, 0)),
        ..open()
    };
    let mut terse = running.open(terms.clone()).await;
    let mut verbose = running.open(terms).await;
    let (mut block, mut other) = (terse.block().await, verbose.block().await);
    assert_eq!(block.chain_tokens(), 2);
    assert_eq!(block.token_ends.len(), 3, "{block:?}");
    let sent = [
        None,
        Some(wish(5, 0, 0)),
        None,
        Some(wish(5, 3, 0)),
        None,
        Some(wish(6, 3, 100)),
        None,
        Some(wish(6, 0, 0)),
        None,
    ];
    let mut holds = wish(2, 1, 0);
    for next in sent {
        holds = next.unwrap_or(holds);
        for (peer, block, next) in [
            (&mut terse, &mut block, next),
            (&mut verbose, &mut other, Some(holds)),
        ] {
            let verdict = Verdict {
                next,
                ..peer.verdict(block, 0, b"if ")
            };
            peer.send(verdict);
            *block = peer.block().await;
        }
        assert_eq!(block.ways(), other.ways(), "{holds:?}");
        assert_eq!(block.declines(), holds.least_percent == 100);
        let alternatives = block.token_ends.len() - block.chain_tokens();
        let may_be = holds.alternatives > 0 && holds.least_percent == 0;
        assert_eq!(alternatives > 0, may_be, "{holds:?}");
    }
}

#[tokio::test]
async fn session_that_is_opened_idle_drafts_once_it_is_asked() {
    let running = serve_default().await;
    let idle = Open {
        first: Some(Wish::default()),
        ..open()
    };
    let mut peer = running.open(idle).await;
    let verdict = Verdict {
        next: None,
        ..peer.unanswering(b"let ")
    };
    peer.send(verdict);
    let verdict = peer.unanswering(b"the");
    peer.send(verdict);
    let block = peer.block().await;
    assert_eq!((block.round, block.base_length), (1, 7));
}

#[tokio::test]
async fn blocks_sent_before_a_verdict_stay_valid_when_they_guessed_right() {
    let running = serve_default().await;
    let mut peer = running
        .open(Open {
            credit: 2,
            ..open()
        })
        .await;
    assert_eq!(peer.session.opened.credit, 2);
    let (first, second) = (peer.block().await, peer.block().await);
    assert_eq!(second.base_length, first.text.len() as u64);
    assert_eq!(second.base_hash, BaseHash::of(&first.text));
    // All is kept, and what is added is what the second block begins with.
    peer.settle(&first, first.text.len(), &second.text[..1]);
    let third = peer.block().await;
    let so_far = [first.text.as_slice(), &second.text].concat();
    // Either the guess was right, or one token of it spelled more than is committed and the block starts there.
    let base = third.base_length as usize;
    assert!(base == so_far.len() || base == peer.committed.len());
    assert_eq!(third.base_hash, BaseHash::of(&so_far[..base]));
    // Nothing of the rest is kept: both are stale, and the next one begins where the text is.
    let stale = Block {
        round: third.round,
        ..second
    };
    peer.settle(&stale, 0, b"#");
    let next = peer.block().await;
    assert_eq!(next.base_length, peer.committed.len() as u64);
    assert_eq!(next.base_hash, peer.committed.hash());
}
