//! Re-encoding: the bytes of a block become candidates, target tokens that the target can verify.
//!
//! Works in bytes, because token boundaries of two vocabularies fall inside code points and because
//! decoding token by token loses what it splits. The committed target ids are never rewritten; what
//! cannot be spelled exactly is not proposed.

use crate::{TargetToken, Vocabulary};

/// Number of the last committed tokens that are encoded together with the draft, so that the tokenizer
/// sees the text before it.
///
/// Measured on a byte-level BPE with the usual pre-tokenizer rules, over every token boundary of a page
/// it was not trained on (the tests of this module repeat it). A block counts as right if it is what
/// the encoding of the whole page goes on with:
///
/// | tail | 0 | 1 | 2 | 3 to 8 |
/// |---|---|---|---|---|
/// | blocks that start where a character does, of 545 | 541 | 544 | 544 | 545 |
/// | blocks that start inside a character, of 52 | 0 | 36 | 49 | 52 |
///
/// Three tokens are what the beginning of a code point may be spread over; one more is margin. Seven real tokenizers over
/// code, prose, CJK and hard Unicode say the same (the reencoding test of the crate `tests`): with three tokens or four all
/// of 25,561 and 2,502 blocks are right, with none 25,556 and 0.
pub const TAIL_TOKENS: usize = 4;

/// The candidates of a block. Their bytes are the first bytes of the draft, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The tokens to verify. The last one may merge with text not drafted yet: expect less of it.
    pub tokens: Vec<TargetToken>,
    /// End of each candidate, in bytes from the start of the draft. As long as `tokens`.
    pub ends: Vec<u32>,
    /// Bytes at the end of the draft that no candidate covers.
    pub dropped_bytes: usize,
    /// True if the committed tail came back as an exact prefix of ids, so that the candidates are what
    /// the tokenizer makes of the text as a whole.
    pub joined: bool,
}

/// Re-encodes `draft`, which continues the text of `committed`, as at most `max_tokens` candidates.
///
/// The last [`TAIL_TOKENS`] committed tokens are encoded together with the draft; if they come back
/// as an exact prefix of ids, the rest are the candidates, else the draft is encoded alone. Where the
/// committed bytes end inside a code point, the draft must begin with the bytes that finish it, and
/// then these are proposed if the vocabulary can spell them there. The block ends before the first
/// byte that is not UTF-8 (a trailing partial code point included) and of the first byte that the
/// candidates spell differently, as a normalising tokenizer may; nothing proposed is a fine answer.
///
/// Time is that of encoding tail and draft at most twice. Only the tail of `committed` is looked at.
pub fn candidates(
    vocabulary: &impl Vocabulary,
    committed: &[TargetToken],
    draft: &[u8],
    max_tokens: usize,
) -> Candidates {
    let recent = &committed[committed.len().saturating_sub(TAIL_TOKENS)..];
    after_tail(vocabulary, &Tail::of(vocabulary, recent), draft, max_tokens)
}

impl Candidates {
    /// Adds the token that ends a reply, for a block that proposes the end: ends cross vocabularies by
    /// role, never as bytes. Returns whether it was added: not where some of the draft is uncovered,
    /// for the end belongs after all of it, nor where `max_tokens` are there already.
    pub fn push_end(&mut self, end: TargetToken, max_tokens: usize) -> bool {
        let fits = self.dropped_bytes == 0 && self.tokens.len() < max_tokens;
        if fits {
            self.ends.push(self.covered_bytes() as u32);
            self.tokens.push(end);
        }
        fits
    }

    /// Leaves out all but the first `tokens` candidates.
    pub fn truncate(&mut self, tokens: usize) {
        if tokens < self.tokens.len() {
            let covered = self.covered_bytes();
            self.tokens.truncate(tokens);
            self.ends.truncate(tokens);
            self.dropped_bytes += covered - self.covered_bytes();
        }
    }

    /// Number of bytes of the draft that the candidates cover.
    pub fn covered_bytes(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    fn nothing(draft: &[u8]) -> Self {
        Self {
            dropped_bytes: draft.len(),
            ..Self::default()
        }
    }
}

fn after_tail(
    vocabulary: &impl Vocabulary,
    tail: &Tail,
    draft: &[u8],
    max_tokens: usize,
) -> Candidates {
    let text = [&tail.bytes, draft].concat();
    let text = valid_prefix(&text);
    let tail_bytes = tail.bytes.len();
    if text.len() <= tail_bytes || max_tokens == 0 {
        return Candidates::nothing(draft);
    }
    let together = vocabulary.encode(text);
    let joined = !tail.ids.is_empty() && together.starts_with(&tail.ids);
    let retokenised = if tail.ids.is_empty() || joined {
        together[tail.ids.len()..].to_vec()
    } else if tail.unfinished == 0 {
        vocabulary.encode(&text[tail_bytes..])
    } else {
        finishing(
            vocabulary,
            &text[tail_bytes - tail.unfinished..],
            tail.unfinished,
        )
    };
    let kept = &text.as_bytes()[tail_bytes..];
    let mut candidates = spelled(vocabulary, &retokenised, kept, max_tokens);
    candidates.dropped_bytes = draft.len() - candidates.covered_bytes();
    candidates.joined = joined;
    candidates
}

/// Tokens for `text` after its first `unfinished` bytes, which are committed and end inside its first
/// code point: the tokenizer's own if it parts the text there too, else single bytes to the end of
/// the code point and the rest on its own. None if the vocabulary has no such bytes.
fn finishing(vocabulary: &impl Vocabulary, text: &str, unfinished: usize) -> Vec<u32> {
    let ids = vocabulary.encode(text);
    let committed = &text.as_bytes()[..unfinished];
    let spelled = spelled(vocabulary, &ids, committed, usize::MAX);
    if spelled.covered_bytes() == unfinished {
        return ids[spelled.tokens.len()..].to_vec();
    }
    let code_point = text.chars().next().map_or(0, char::len_utf8);
    let missing = &text.as_bytes()[unfinished..code_point];
    let singles: Option<Vec<u32>> = missing
        .iter()
        .map(|byte| vocabulary.single_byte(*byte))
        .collect();
    let mut ids = singles.unwrap_or_default();
    if !ids.is_empty() && code_point < text.len() {
        ids.extend(vocabulary.encode(&text[code_point..]));
    }
    ids
}

/// The longest run of `ids`, from the first, that spells a prefix of `bytes` with no token empty.
fn spelled(
    vocabulary: &impl Vocabulary,
    ids: &[u32],
    bytes: &[u8],
    max_tokens: usize,
) -> Candidates {
    let mut candidates = Candidates::default();
    let mut rest = bytes;
    for id in ids.iter().take(max_tokens) {
        let token = vocabulary.token_bytes(*id);
        match rest.strip_prefix(token) {
            Some(after) if !token.is_empty() => rest = after,
            _ => break,
        }
        candidates.tokens.push(TargetToken(*id));
        candidates.ends.push((bytes.len() - rest.len()) as u32);
    }
    candidates
}

/// The end of the committed text, as far as it is encoded again.
#[derive(Default)]
struct Tail {
    ids: Vec<u32>,
    bytes: Vec<u8>,
    /// Bytes at the end that begin a code point without finishing it.
    unfinished: usize,
}

impl Tail {
    /// The longest run of `recent` tokens up to the last that is text: it crosses no control token
    /// and its bytes are UTF-8 but for a code point left unfinished at the end.
    fn of(vocabulary: &impl Vocabulary, recent: &[TargetToken]) -> Self {
        let is_control = |token: &TargetToken| vocabulary.token_bytes(token.0).is_empty();
        let text_from = recent.iter().rposition(is_control).map_or(0, |at| at + 1);
        let starts = text_from..recent.len();
        let mut tails = starts.filter_map(|from| Self::text(vocabulary, &recent[from..]));
        tails.next().unwrap_or_default()
    }

    /// The tokens as a tail if they are text.
    fn text(vocabulary: &impl Vocabulary, tokens: &[TargetToken]) -> Option<Self> {
        let ids: Vec<u32> = tokens.iter().map(|token| token.0).collect();
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|id| vocabulary.token_bytes(*id))
            .copied()
            .collect();
        let unfinished = match std::str::from_utf8(&bytes) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
            Err(_) => return None,
        };
        Some(Self {
            ids,
            bytes,
            unfinished,
        })
    }
}

/// The longest prefix that is UTF-8.
fn valid_prefix(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
