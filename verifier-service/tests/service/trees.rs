//! Blocks that are trees: alternatives save passes, and no tree changes the text.

use proto::{
    drafter::{Block, EndRole},
    verifier::{FallbackReason, Generate, RoundReport, Speculation, Usage},
};

use crate::{
    drafters::{Kind, Running},
    failures::check_each,
    harness::{Process, Whole, endless, request, requests, serving},
};

/// A tree that a drafter sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// One token of the chain is wrong; the right one is an alternative to it.
    Beside,
    /// The chain is wrong from the start; the answer is another path.
    Branch,
    /// Eight times the same leaf, which is wrong.
    Twins,
    /// Leaves that end inside a code point, or are not UTF-8.
    Cut,
    /// Leaves without bytes.
    Empty,
    /// A token that follows a later one.
    Backwards,
    /// More alternatives than allowed.
    TooMany,
    /// Ten thousand alternatives.
    Flood,
    /// A tree that also proposes an end, which is not allowed.
    Ends,
}

impl Shape {
    /// Shapes that break the protocol.
    const WRONG: [Self; 4] = [Self::Backwards, Self::TooMany, Self::Flood, Self::Ends];

    /// Makes a tree of a right chain of two-byte tokens. Returns the bytes of the tree's chain.
    pub(crate) fn grow(self, block: &mut Block) -> Vec<u8> {
        let tokens = block.token_ends.len();
        if tokens == 0 {
            return Vec::new();
        }
        let right = block.text.clone();
        let chain = |block: &mut Block| block.parents.extend(0..tokens as u32);
        match self {
            Self::Beside => {
                let at = block.round as usize % tokens.min(3);
                block.text[2 * at] = b'~';
                chain(block);
                let until = right.len().min(2 * at + 2);
                leaf(block, &right[2 * at..until], at);
            }
            Self::Branch => {
                block.text[0] = b'~';
                chain(block);
                let mut parent = 0;
                for pair in right.chunks(2).take(8) {
                    leaf(block, pair, parent);
                    parent = block.parents.len();
                }
            }
            Self::Twins => {
                chain(block);
                (0..8).for_each(|_| leaf(block, b"~~", 1.min(tokens)));
            }
            Self::Cut => {
                chain(block);
                let parts: [&[u8]; 4] = [b"\xe2\x82", b"\xff", b"a\xf0\x9f", b"\x80"];
                for part in parts {
                    leaf(block, part, 0);
                }
            }
            Self::Empty => {
                chain(block);
                (0..8).for_each(|_| leaf(block, b"", 0));
            }
            Self::Backwards => {
                chain(block);
                block.parents[0] = 2;
            }
            Self::TooMany => {
                chain(block);
                (0..9).for_each(|_| leaf(block, b"~", 0));
            }
            Self::Flood => {
                chain(block);
                (0..10_000).for_each(|_| leaf(block, b"", 0));
            }
            Self::Ends => {
                chain(block);
                block.ends_with = Some(EndRole::EndOfTurn);
            }
        }
        block.text[..right.len()].to_vec()
    }
}

fn leaf(block: &mut Block, bytes: &[u8], parent: usize) {
    block.text.extend_from_slice(bytes);
    block.token_ends.push(block.text.len() as u32);
    block.parents.push(parent as u32);
}

/// Requests for alternatives.
fn asking() -> Vec<Generate> {
    let asks = |request| Generate {
        speculation: Speculation::Auto {
            method: None,
            block_tokens: Some(8),
            allow_lossy: false,
            alternatives: Some(4),
        },
        ..request
    };
    requests().into_iter().map(asks).collect()
}

fn usage(reply: &Whole) -> &Usage {
    &reply.finish.usage
}

#[tokio::test]
async fn right_token_beside_a_wrong_one_saves_passes_of_the_same_text() {
    for shape in [Shape::Beside, Shape::Branch] {
        for reply in check_each(Kind::Tree(shape), asking()).await {
            let usage = usage(&reply);
            assert!(usage.accepted_alternatives > 10, "{shape:?}: {usage:?}");
            assert!(usage.proposed_alternatives >= usage.accepted_alternatives);
            assert!(usage.target_forwards < 40, "{shape:?}: {usage:?}");
            assert!(usage.fallbacks.values().sum::<u32>() < 5, "{usage:?}");
        }
    }
}

#[tokio::test]
async fn tree_of_any_shape_changes_no_text() {
    for shape in [Shape::Twins, Shape::Cut, Shape::Empty] {
        for reply in check_each(Kind::Tree(shape), asking()).await {
            let usage = usage(&reply);
            assert!(usage.accepted_tokens > 35, "{shape:?}: {usage:?}");
            assert!(!usage.fallbacks.contains_key(&FallbackReason::Protocol));
        }
    }
}

#[tokio::test]
async fn tree_that_is_none_is_a_fault_and_changes_no_text() {
    for shape in Shape::WRONG {
        // Later requests may find the breaker open.
        let replies = check_each(Kind::Tree(shape), asking()).await;
        let fallbacks = &usage(&replies[0]).fallbacks;
        assert!(
            fallbacks.contains_key(&FallbackReason::Protocol),
            "{shape:?}: {fallbacks:?}"
        );
    }
}

#[tokio::test]
async fn alternatives_are_asked_for_where_the_method_has_them_and_nobody_says_otherwise() {
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::endless(&[&drafter.address]).await;
    for (method, asked, expected) in [
        (None, Some(3), (true, 3)),
        (None, None, (true, 0)),
        (Some("point_mass".to_owned()), None, (false, 0)),
    ] {
        let request = Generate {
            speculation: Speculation::Auto {
                method,
                block_tokens: Some(8),
                allow_lossy: false,
                alternatives: asked,
            },
            ..request(0.8, 3)
        };
        process.generate(&request).await;
        let seen = drafter.seen(|seen| {
            let open = seen.opens.last().expect("a session");
            (open.accepts_trees, seen.most_alternatives)
        });
        assert_eq!(seen, expected, "{asked:?}");
        drafter.forget_alternatives();
    }
}

#[tokio::test]
async fn rounds_tell_of_the_way_that_was_taken() {
    let drafter = Running::start(Kind::Tree(Shape::Beside)).await;
    let process = Process::start(endless(), serving(&[&drafter.address])).await;
    let mut beside = 0;
    for request in asking() {
        let request = Generate {
            rounds: RoundReport::Details,
            ..request
        };
        let plain = process.plain(&request).await;
        drafter.learn(&plain.text);
        let reply = process.generate(&request).await;
        assert_eq!(reply.text, plain.text);
        for round in reply.chunks.iter().filter_map(|chunk| chunk.round.as_ref()) {
            let detail = round.detail.as_deref().expect("a detail");
            let spelled = |count: usize| -> Vec<u8> {
                let candidates = detail.candidates[..count].iter();
                candidates.flat_map(|token| token.text.clone()).collect()
            };
            let accepted = spelled(round.accepted_tokens as usize);
            assert_eq!(accepted.len() as u32, round.accepted_bytes, "{round:?}");
            let said = detail.draft_tokens.concat();
            assert!(
                said.starts_with(&spelled(detail.candidates.len())),
                "{round:?}"
            );
            let grouped: u32 = detail.groups.iter().map(|group| group.candidates).sum();
            assert_eq!(grouped as usize, detail.candidates.len(), "{round:?}");
            beside += usize::from(!accepted.is_empty() && !said.contains(&b'~'));
        }
        let usage = usage(&reply);
        for (name, count) in [
            ("proposed_alternatives", usage.proposed_alternatives),
            ("accepted_alternatives", usage.accepted_alternatives),
        ] {
            assert!(process.metric(&format!("{name}_total")).await >= count.into());
        }
    }
    assert!(beside > 20, "{beside}");
}
