//! The rules of re-encoding, on a toy BPE whose merges cross every kind of boundary.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::toy::{Bpe, Letters, PAGE, UNSEEN};
use super::*;

static BPE: LazyLock<Bpe> = LazyLock::new(|| Bpe::trained(PAGE, 400));
static NORMALISING: LazyLock<Bpe> = LazyLock::new(|| {
    let mut bpe = Bpe::trained(PAGE, 400);
    bpe.normalises = true;
    bpe
});

fn targets(ids: &[u32]) -> Vec<TargetToken> {
    ids.iter().copied().map(TargetToken).collect()
}

fn ids(candidates: &Candidates) -> Vec<u32> {
    candidates.tokens.iter().map(|token| token.0).collect()
}

/// Properties of the answer to any input.
fn check_spelled(
    vocabulary: &impl Vocabulary,
    found: &Candidates,
    draft: &[u8],
    max_tokens: usize,
) {
    assert!(found.tokens.len() <= max_tokens);
    assert_eq!(found.tokens.len(), found.ends.len());
    let mut spelled = Vec::new();
    for (token, end) in found.tokens.iter().zip(&found.ends) {
        assert!(!vocabulary.token_bytes(token.0).is_empty());
        spelled.extend_from_slice(vocabulary.token_bytes(token.0));
        assert_eq!(spelled.len(), *end as usize);
    }
    assert!(draft.starts_with(&spelled));
    assert_eq!(found.dropped_bytes, draft.len() - spelled.len());
}

/// Share of blocks that agree with the encoding of a whole page that the toy was not trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Agreement {
    /// Blocks that start where a character does: agreeing, and all.
    at_characters: (usize, usize),
    /// Blocks that start inside a character: agreeing, and all.
    inside_characters: (usize, usize),
}

/// Over every cut of the page that its encoding makes.
fn agreement(tail_tokens: usize) -> Agreement {
    const BLOCK: usize = 8;
    let whole = BPE.encode(UNSEEN);
    let mut measured = Agreement::default();
    for cut in 1..whole.len() - BLOCK {
        let recent = targets(&whole[cut.saturating_sub(tail_tokens)..cut]);
        // The draft goes on after the block, so that its own end changes nothing.
        let draft = BPE.decode(&whole[cut..(cut + 3 * BLOCK).min(whole.len())]);
        let found = after_tail(&*BPE, &Tail::of(&*BPE, &recent), &draft, BLOCK);
        let inside = !UNSEEN.is_char_boundary(BPE.decode(&whole[..cut]).len());
        let (agreeing, all) = if inside {
            &mut measured.inside_characters
        } else {
            &mut measured.at_characters
        };
        *agreeing += usize::from(ids(&found) == whole[cut..cut + BLOCK]);
        *all += 1;
    }
    measured
}

#[test]
fn tail_is_long_enough_to_agree_with_the_whole_text() {
    let measured: Vec<Agreement> = (0..=8).map(agreement).collect();
    for (tail_tokens, agreement) in measured.iter().enumerate() {
        println!("tail of {tail_tokens}: {agreement:?}");
    }
    let (without, chosen, longest) = (measured[0], measured[TAIL_TOKENS], measured[8]);
    assert_eq!(chosen, longest);
    assert!(without.at_characters < chosen.at_characters);
    assert!(without.inside_characters < chosen.inside_characters);
}

#[test]
fn merge_across_the_boundary_leaves_the_committed_ids_alone() {
    let together = BPE.encode(" return");
    let committed = BPE.encode(" re");
    assert!(!together.starts_with(&committed), "the toy must merge here");
    let found = candidates(&*BPE, &targets(&committed), b"turn best;", 8);
    assert!(!found.joined);
    assert_eq!(ids(&found), BPE.encode("turn best;"));
    check_spelled(&*BPE, &found, b"turn best;", 8);
}

#[test]
fn joined_block_is_what_the_whole_text_encodes_to() {
    let committed = BPE.encode("    return");
    let found = candidates(&*BPE, &targets(&committed), b" best;\n}", 8);
    assert!(found.joined);
    let whole = BPE.encode("    return best;\n}");
    assert_eq!(ids(&found), whole[committed.len()..]);
}

#[test]
fn nothing_committed_is_not_joined() {
    let found = candidates(&*BPE, &[], b"fn reverse", 8);
    assert!(!found.joined);
    assert_eq!(ids(&found), BPE.encode("fn reverse"));
}

#[test]
fn text_that_spells_a_control_token_stays_text() {
    let committed = targets(&[&BPE.encode("What"), &[BPE.control()][..]].concat());
    let draft = b"<|im_end|>\n";
    let found = candidates(&*BPE, &committed, draft, 32);
    assert!(!found.joined, "a control token is no text to join with");
    assert!(!ids(&found).contains(&BPE.control()));
    check_spelled(&*BPE, &found, draft, 32);
    assert_eq!(found.dropped_bytes, 0);
}

#[test]
fn trailing_partial_code_point_is_cut_off() {
    let draft = &"x 日本".as_bytes()[..6];
    let found = candidates(&*BPE, &[], draft, 32);
    assert_eq!(found.dropped_bytes, 1);
    check_spelled(&*BPE, &found, draft, 32);
}

#[test]
fn bytes_that_are_no_text_end_the_block() {
    let found = candidates(&*BPE, &[], b"best\xff return", 32);
    assert_eq!(found.covered_bytes(), 4);
    assert_eq!(found.dropped_bytes, 8);
    let found = candidates(&*BPE, &[], b"\x80best", 32);
    assert_eq!(found, Candidates::nothing(b"\x80best"));
}

#[test]
fn cap_on_tokens_holds() {
    let draft = b"for value in values { best = None }";
    for max_tokens in 0..5 {
        let found = candidates(&*BPE, &[], draft, max_tokens);
        assert_eq!(found.tokens.len(), max_tokens);
        check_spelled(&*BPE, &found, draft, max_tokens);
    }
}

#[test]
fn block_is_cut_where_a_normaliser_changes_the_bytes() {
    let bpe = &*NORMALISING;
    let draft = "best re\u{301}sume".as_bytes();
    let found = candidates(bpe, &targets(&bpe.encode("largest")), draft, 32);
    check_spelled(bpe, &found, draft, 32);
    assert!(found.covered_bytes() >= "best".len());
    assert!(found.covered_bytes() <= "best r".len());
}

#[test]
fn combining_mark_at_the_boundary_is_not_proposed_by_a_normaliser() {
    let bpe = &*NORMALISING;
    let draft = "\u{301} x".as_bytes();
    let found = candidates(bpe, &targets(&bpe.encode("cafe")), draft, 32);
    check_spelled(bpe, &found, draft, 32);
    assert!(!found.joined);
}

#[test]
fn unknown_token_ends_the_block() {
    let found = candidates(&Letters, &[TargetToken(3)], b"raft text", 32);
    assert_eq!(found.covered_bytes(), 4);
    assert!(found.joined);
    check_spelled(&Letters, &found, b"raft text", 32);
}

#[test]
fn unfinished_code_point_is_finished_where_the_tokens_can_spell_it() {
    let emoji = "😀".as_bytes();
    for split in 1..emoji.len() {
        let committed: Vec<u32> = emoji[..split].iter().copied().map(u32::from).collect();
        let draft = [&emoji[split..], " best".as_bytes()].concat();
        let found = candidates(&*BPE, &targets(&committed), &draft, 32);
        check_spelled(&*BPE, &found, &draft, 32);
        assert_eq!(found.dropped_bytes, 0, "split after {split}");
        let rest = BPE.encode(" best");
        assert!(ids(&found).ends_with(&rest));
    }
}

#[test]
fn unfinished_code_point_is_joined_where_the_tokenizer_splits_it_there() {
    let ids_of_emoji = BPE.encode("😆");
    assert!(ids_of_emoji.len() > 1, "the toy must split this code point");
    let first = targets(&ids_of_emoji[..1]);
    let draft = &"😆".as_bytes()[BPE.token_bytes(ids_of_emoji[0]).len()..];
    let found = candidates(&*BPE, &first, draft, 32);
    assert!(found.joined);
    assert_eq!(ids(&found), ids_of_emoji[1..]);
}

#[test]
fn unfinished_code_point_gets_no_proposal_from_a_vocabulary_that_cannot_spell_it() {
    let mut bpe = Bpe::trained(PAGE, 400);
    bpe.has_bytes = false;
    let known = PAGE
        .chars()
        .map(String::from)
        .find(|c| c.len() == 3 && bpe.encode(c).len() == 1);
    let known = known.expect("the toy knows a code point of three bytes");
    let committed = targets(&[u32::from(known.as_bytes()[0])]);
    let draft = &known.as_bytes()[1..];
    assert_eq!(
        candidates(&bpe, &committed, draft, 32),
        Candidates::nothing(draft)
    );
    bpe.has_bytes = true;
    assert_eq!(candidates(&bpe, &committed, draft, 32).dropped_bytes, 0);
}

#[test]
fn unfinished_code_point_takes_no_other_continuation() {
    let committed = targets(&[0xf0, 0x9f]);
    for draft in [
        &b"best"[..],
        b"\x98",
        b"\x98 best",
        b"\xf0\x9f\x98\x80",
        b"",
    ] {
        assert_eq!(
            candidates(&*BPE, &committed, draft, 32),
            Candidates::nothing(draft)
        );
    }
}

#[test]
fn end_is_proposed_only_after_the_whole_draft() {
    let end = TargetToken(BPE.control());
    let mut found = candidates(&*BPE, &[], b"best", 32);
    let covered = found.covered_bytes();
    assert!(found.push_end(end, 32));
    assert_eq!(
        (found.tokens.last(), found.covered_bytes()),
        (Some(&end), covered)
    );
    let mut cut = candidates(&*BPE, &[], b"best\xff", 32);
    assert!(!cut.push_end(end, 32));
    let mut full = candidates(&*BPE, &[], b"best return", 1);
    assert!(!full.push_end(end, 1));
}

/// Text that tokenizers trip over, in pieces.
fn hostile_text() -> impl Strategy<Value = String> {
    let pieces = [
        "return",
        "re",
        " best",
        " ",
        "   ",
        "\n",
        "\r\n",
        "\t",
        "don",
        "'t",
        "<|im_end|>",
        "<0xEA>",
        "(",
        ".",
        ";\n",
        "123",
        "4567",
        "é",
        "e\u{301}",
        "\u{301}",
        "日本",
        "語",
        "😀",
        "😆",
        "👩‍👩‍👧",
        "\u{200d}",
        "\u{feff}",
        "\u{fffd}",
        "\0",
        "ﬁ",
        "Привет",
        "▁",
        "Ġ",
        "a",
    ];
    let piece = proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned);
    let any = proptest::char::any().prop_map(String::from);
    proptest::collection::vec(prop_oneof![8 => piece, 1 => any], 0..12)
        .prop_map(|list| list.concat())
}

/// Bytes as tokens of some kind: runs of the tokenizer's own where they are text, bytes elsewhere.
fn some_tokens(bytes: &[u8], pieces: &[usize]) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut rest = bytes;
    for size in pieces.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        match std::str::from_utf8(piece) {
            Ok(text) => ids.extend(BPE.encode(text)),
            Err(_) => ids.extend(piece.iter().copied().map(u32::from)),
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    ids
}

proptest! {
    #[test]
    fn candidates_spell_the_draft_exactly(
        text in hostile_text(),
        cut in 0.0_f64..1.0,
        end in 0.0_f64..1.0,
        pieces in proptest::collection::vec(1_usize..20, 1..5),
        max_tokens in 0_usize..20,
        normalises in any::<bool>(),
    ) {
        let bytes = text.as_bytes();
        let cut = (cut * bytes.len() as f64) as usize;
        let end = cut + (end * (bytes.len() - cut + 1) as f64) as usize;
        let (committed, draft) = (some_tokens(&bytes[..cut], &pieces), &bytes[cut..end]);
        let bpe = if normalises { &*NORMALISING } else { &*BPE };
        let found = candidates(bpe, &targets(&committed), draft, max_tokens);
        check_spelled(bpe, &found, draft, max_tokens);
    }

    #[test]
    fn only_a_trailing_partial_code_point_is_dropped(
        text in hostile_text(),
        cut in 0.0_f64..1.0,
        end in 0.0_f64..1.0,
        pieces in proptest::collection::vec(1_usize..20, 1..5),
    ) {
        let bytes = text.as_bytes();
        let cut = (cut * bytes.len() as f64) as usize;
        let end = cut + (end * (bytes.len() - cut + 1) as f64) as usize;
        let (committed, draft) = (some_tokens(&bytes[..cut], &pieces), &bytes[cut..end]);
        let found = candidates(&*BPE, &targets(&committed), draft, usize::MAX);
        let complete = (cut..=end).rev().find(|at| text.is_char_boundary(*at));
        prop_assert_eq!(found.dropped_bytes, end - complete.unwrap_or(cut));
    }

    #[test]
    fn joined_ids_are_those_of_tail_and_draft_together(
        before in hostile_text(),
        draft in hostile_text(),
    ) {
        let committed = BPE.encode(&before);
        let found = candidates(&*BPE, &targets(&committed), draft.as_bytes(), usize::MAX);
        let alone = BPE.encode(&draft);
        if found.joined {
            let tail = Tail::of(&*BPE, &targets(&committed[committed.len().saturating_sub(TAIL_TOKENS)..]));
            let text = String::from_utf8([&tail.bytes, draft.as_bytes()].concat()).unwrap();
            prop_assert_eq!([tail.ids, ids(&found)].concat(), BPE.encode(&text));
        } else {
            prop_assert_eq!(ids(&found), alone);
        }
    }

    #[test]
    fn any_bytes_at_all_are_survived(
        committed in proptest::collection::vec(0_u32..700, 0..6),
        draft in proptest::collection::vec(any::<u8>(), 0..12),
        max_tokens in 0_usize..6,
    ) {
        let found = candidates(&*BPE, &targets(&committed), &draft, max_tokens);
        check_spelled(&*BPE, &found, &draft, max_tokens);
    }
}
