//! Number of committed tokens that have to be encoded again: at every boundary of tokens in every sample, the first candidates
//! are what the encoding of the whole text goes on with.

use alignment::reencode::{TAIL_TOKENS, candidates};
use alignment::{TargetToken, Vocabulary as _};
use tests::samples::{ALL, HARD};
use tests::vocabularies::RealVocabulary;

use crate::SIDES;

/// Candidates that are compared; the draft goes on after them, so that its end changes none of them.
const BLOCK: usize = 8;

/// Cuts whose candidates are those of the whole text, and all cuts.
#[derive(Clone, Copy, Default)]
struct Agreement {
    /// Start of a character.
    at_characters: (usize, usize),
    /// Inside a character.
    inside_characters: (usize, usize),
}

#[test]
fn four_tokens_are_enough_to_agree_with_the_whole_text() {
    let hard = HARD.join("\n");
    let mut by_tail = [Agreement::default(); TAIL_TOKENS + 1];
    for side in SIDES.iter() {
        for text in ALL.iter().map(|sample| sample.text).chain([hard.as_str()]) {
            for (tail, agreement) in by_tail.iter_mut().enumerate() {
                compare(&side.vocabulary, text, tail, agreement);
            }
        }
    }
    for (tail, agreement) in by_tail.iter().enumerate() {
        let (at, inside) = (agreement.at_characters, agreement.inside_characters);
        println!("tail of {tail}: {at:?} where characters begin, {inside:?} inside them");
    }
    let (none, four) = (by_tail[0], by_tail[TAIL_TOKENS]);
    assert_eq!(four.at_characters.0, four.at_characters.1);
    assert_eq!(four.inside_characters.0, four.inside_characters.1);
    assert!(four.inside_characters.1 > 1000 && none.inside_characters.0 == 0);
}

/// At each cut, with `tail` committed tokens.
fn compare(vocabulary: &RealVocabulary, text: &str, tail: usize, agreement: &mut Agreement) {
    let ids = vocabulary.encode(text);
    let whole = vocabulary.tokenizer().decode_bytes(&ids);
    let mut start = 0;
    for cut in 1..ids.len() - BLOCK {
        start += vocabulary.token_bytes(ids[cut - 1]).len();
        let tail: Vec<TargetToken> = ids[cut.saturating_sub(tail)..cut]
            .iter()
            .map(|id| TargetToken(*id))
            .collect();
        let draft = &ids[cut..(cut + 3 * BLOCK).min(ids.len())];
        let draft = vocabulary.tokenizer().decode_bytes(draft);
        let found = candidates(vocabulary, &tail, &draft, BLOCK);
        let expected = ids[cut..cut + BLOCK].iter();
        let agrees = found.tokens.iter().map(|token| &token.0).eq(expected);
        let begins = whole[start] & 0xc0 != 0x80;
        let counts = if begins {
            &mut agreement.at_characters
        } else {
            &mut agreement.inside_characters
        };
        counts.0 += usize::from(agrees);
        counts.1 += 1;
    }
}
