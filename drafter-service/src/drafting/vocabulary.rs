//! The draft model's vocabulary as drafting needs it: the canonical tokens of committed bytes, the noise key of a token, and
//! what may be proposed.

use std::sync::Arc;

use alignment::{
    TargetToken,
    reencode::{self, TAIL_TOKENS},
};
use inference::engine::Engine;
use proto::{
    drafter::EndRole,
    limits::{MAX_BLOCK_BYTES, MAX_BLOCK_TOKENS},
};
use tokenizer::Tokenizer;

/// Most bytes of a token that may be drawn: then the tokens of a block always fit.
pub(super) const LONGEST_DRAWN: usize = (MAX_BLOCK_BYTES / MAX_BLOCK_TOKENS) as usize;

/// The vocabulary. Shared by all sessions.
pub(super) struct DraftVocabulary {
    tokenizer: Arc<Tokenizer>,
    size: usize,
    /// Rank of each token among those with the same bytes, as a table: a distribution is keyed token by token.
    ranks: Vec<u32>,
    /// Tokens that may be drawn where the draw's distribution is sent: token n may if bit n mod 8 of byte n / 8 is set.
    drawable: Vec<u8>,
}

/// Bytes as tokens.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    /// The tokens.
    pub(super) ids: Vec<u32>,
    /// Byte end of each token.
    pub(super) ends: Vec<usize>,
    /// Number of tokens that spell whole code points, which the next bytes cannot change.
    pub(super) settled: usize,
    /// True if every byte is spelled.
    pub(super) complete: bool,
}

impl DraftVocabulary {
    pub(super) fn new(engine: &Engine) -> Self {
        let tokenizer = Arc::clone(engine.tokenizer());
        let ids = 0..tokenizer.vocab_size() as u32;
        let mut vocabulary = Self {
            drawable: Vec::new(),
            ranks: ids.map(|id| tokenizer.rank(id)).collect(),
            size: tokenizer.vocab_size().min(engine.info().vocab_size),
            tokenizer,
        };
        vocabulary.drawable = vocabulary.find_drawable();
        vocabulary
    }

    fn find_drawable(&self) -> Vec<u8> {
        let mut drawable = vec![0; self.size.div_ceil(8)];
        for id in 0..self.size {
            let bytes = self.tokenizer.token_bytes(id as u32);
            let is_short = bytes.len() <= LONGEST_DRAWN && std::str::from_utf8(bytes).is_ok();
            let is_text = !bytes.is_empty() && self.end_role(id as u32).is_none();
            let may_be_drawn = is_short && is_text;
            drawable[id / 8] |= u8::from(may_be_drawn) << (id % 8);
        }
        drawable
    }

    /// Tokens that may be drawn where the draw's distribution is sent, as bits: token n is bit n mod 8 of byte n / 8.
    ///
    /// Whole code points of a bounded length only, and no end. A block is cut neither within a code point nor for its bytes
    /// then, and is not sent earlier for what was drawn: whether a token is proposed in time must not depend on which it is,
    /// or the text is biased. Ends come from the target alone, at the cost of one rejected token a reply.
    pub(super) fn drawable(&self) -> &[u8] {
        &self.drawable
    }

    /// Ids that the model has logits for and that mean something.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Key of a token's noise on both sides: its bytes, and its rank among tokens with the same bytes.
    pub(super) fn key(&self, id: u32) -> (&[u8], u32) {
        let rank = self.ranks.get(id as usize).copied().unwrap_or(0);
        (self.tokenizer.token_bytes(id), rank)
    }

    /// Bytes of a token, and its role if it ends a reply.
    pub(super) fn token(&self, id: u32) -> (&[u8], Option<EndRole>) {
        (self.tokenizer.token_bytes(id), self.end_role(id))
    }

    /// The role of a token after which a reply is over.
    pub(super) fn end_role(&self, id: u32) -> Option<EndRole> {
        let specials = self.tokenizer.specials();
        if specials.end_of_turn == Some(id) {
            return Some(EndRole::EndOfTurn);
        }
        let ends = specials.end_tokens.binary_search(&id).is_ok();
        ends.then_some(EndRole::EndOfSequence)
    }

    /// True if a token can be proposed: it has bytes, or it ends the reply.
    pub(super) fn is_proposable(&self, id: u32) -> bool {
        !self.tokenizer.token_bytes(id).is_empty() || self.end_role(id).is_some()
    }

    /// Canonical tokens of `text` after the tokens `before`, which stay as they are.
    ///
    /// Bytes that are not UTF-8, a code point left unfinished at the end among them, are spelled one by one, so that the model
    /// can continue from there. Spelling ends at the first byte that the vocabulary lacks, and after `room` tokens.
    pub(super) fn spell(&self, before: &[u32], text: &[u8], room: usize) -> Spelling {
        let mut spelling = Spelling::default();
        let mut at = 0;
        for chunk in text.utf8_chunks() {
            let valid = chunk.valid().as_bytes();
            let tail = tail(before, &spelling.ids);
            // The function's tokens are those of the vocabulary given: here the draft model's.
            let tokens = reencode::candidates(self.tokenizer.as_ref(), &tail, valid, usize::MAX);
            spelling
                .ids
                .extend(tokens.tokens.iter().map(|token| token.0));
            let ends = tokens.ends.iter().map(|end| at + *end as usize);
            spelling.ends.extend(ends);
            spelling.settled = spelling.ids.len();
            at += tokens.covered_bytes();
            if tokens.dropped_bytes > 0 || spelling.ids.len() > room {
                break;
            }
            let singles: Option<Vec<u32>> = chunk
                .invalid()
                .iter()
                .map(|byte| self.tokenizer.single_byte(*byte))
                .collect();
            let Some(singles) = singles else { break };
            spelling.ends.extend((1..=singles.len()).map(|n| at + n));
            at += singles.len();
            spelling.ids.extend(singles);
        }
        spelling.complete = at == text.len();
        spelling
    }
}

/// The last tokens of two lists in a row.
fn tail(before: &[u32], ids: &[u32]) -> Vec<TargetToken> {
    let missing = TAIL_TOKENS.saturating_sub(ids.len());
    let before = &before[before.len().saturating_sub(missing)..];
    let ids = &ids[ids.len().saturating_sub(TAIL_TOKENS)..];
    before.iter().chain(ids).copied().map(TargetToken).collect()
}
