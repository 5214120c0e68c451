//! Tokens that the draft model is shown: the prompt, the committed text, and the draft after it.
//!
//! Invariant: the tokens of the committed text are its canonical spelling after the prompt; they do not depend on what was
//! drafted on the way. A verdict therefore costs the spelling of a few tokens and of the new text, and the model is shown
//! again only tokens that differ.

use std::sync::Arc;

use alignment::reencode::TAIL_TOKENS;

use super::{
    proposer::{Bounds, Proposal, unfinished},
    vocabulary::DraftVocabulary,
};

/// Tokens that a code point may be spread over, besides the first.
const MAX_CONTINUATIONS: usize = 3;

/// The tokens of one session, in order.
pub(super) struct Context {
    vocabulary: Arc<DraftVocabulary>,
    /// The prompt's, then the reply's.
    ids: Vec<u32>,
    /// Number of the prompt's tokens.
    prompt: usize,
    /// Byte end in the reply of each of its tokens.
    ends: Vec<usize>,
    /// The reply's bytes, committed and drafted, as far as tokens spell them.
    text: Vec<u8>,
    /// Number of tokens of the reply that spell committed text; all but the last few for good.
    settled: usize,
    /// True if all of the committed text is spelled.
    complete: bool,
    /// Number of positions that a session may hold.
    limit: usize,
}

/// Outcome of a verdict for the tokens of the reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Followed {
    /// Number of tokens, from the first, that stay as they were.
    pub(super) unchanged: usize,
    /// Number of draft tokens that are now committed.
    pub(super) kept: usize,
    /// Number of draft tokens that are dropped.
    pub(super) dropped: usize,
}

impl Context {
    /// Context of the prompt alone.
    pub(super) fn new(vocabulary: Arc<DraftVocabulary>, prompt: Vec<u32>, limit: usize) -> Self {
        Self {
            vocabulary,
            prompt: prompt.len(),
            ids: prompt,
            ends: Vec::new(),
            text: Vec::new(),
            settled: 0,
            complete: true,
            limit,
        }
    }

    /// Every token.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Number of the prompt's tokens.
    pub(super) fn prompt_len(&self) -> usize {
        self.prompt
    }

    /// Tokens of the reply.
    pub(super) fn reply(&self) -> &[u32] {
        &self.ids[self.prompt..]
    }

    /// The reply's bytes.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// True if the model sees all of the committed text, so that it can continue it.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Appends a drafted token.
    pub(super) fn push(&mut self, id: u32) {
        self.text.extend_from_slice(self.vocabulary.key(id).0);
        self.ends.push(self.text.len());
        self.ids.push(id);
    }

    /// Appends tokens that spell `text`, as if they had been drafted, as far as the vocabulary can; returns their number.
    pub(super) fn presume(&mut self, text: &[u8]) -> usize {
        let room = self.limit.saturating_sub(self.ids.len());
        let spelling = self.vocabulary.spell(&self.ids, text, room);
        for id in &spelling.ids {
            self.push(*id);
        }
        spelling.ids.len()
    }

    /// Takes in the committed text, which begins with what was committed before. Draft tokens after it stay if it is
    /// spelled by exactly the tokens before them; else they are dropped.
    pub(super) fn follow(&mut self, committed: &[u8]) -> Followed {
        let held = self.ends.len();
        let from = self.respelled_from(committed);
        let start = self.end_of(from);
        let (before, after) = self.ids.split_at(self.prompt + from);
        let room = self.limit.saturating_sub(before.len());
        let new = self.vocabulary.spell(before, &committed[start..], room);
        let same = new
            .ids
            .iter()
            .zip(after)
            .take_while(|(new, old)| new == old)
            .count();
        let unchanged = from + same;
        let stays = same == new.ids.len() && new.complete;
        let drafted_from = self.settled.min(unchanged);
        if !stays {
            self.ids.truncate(self.prompt + unchanged);
            self.ids.extend(&new.ids[same..]);
            self.ends.truncate(unchanged);
            self.ends
                .extend(new.ends[same..].iter().map(|end| start + end));
            self.text.truncate(start);
            let spelled = self.end_of(self.ends.len());
            self.text.extend_from_slice(&committed[start..spelled]);
        }
        let drafted = held.saturating_sub(self.settled);
        self.settled = from + new.settled;
        self.complete = new.complete;
        let kept = (unchanged - drafted_from).min(drafted);
        Followed {
            unchanged: if stays { held } else { unchanged },
            kept,
            dropped: if stays { 0 } else { drafted - kept },
        }
    }

    /// Drops the draft tokens that reach beyond the first `length` bytes of the reply.
    pub(super) fn forget_after(&mut self, length: usize) {
        let kept = self.first_after(length);
        self.ids.truncate(self.prompt + kept);
        self.ends.truncate(kept);
        self.text.truncate(self.end_of(kept));
    }

    /// True if more tokens would not improve a block from `base` on: it has `aim` tokens and whole code points, or cannot reach
    /// them within its bounds.
    pub(super) fn is_enough(&self, base: usize, aim: usize, bounds: Bounds) -> bool {
        let drafted = self.ends.len() - self.first_after(base);
        let bytes = self.text.len() - base;
        if drafted >= bounds.tokens || bytes >= bounds.bytes {
            return true;
        }
        match std::str::from_utf8(&self.text[base - self.unfinished(base)..]) {
            Ok(_) => drafted >= aim,
            // An unfinished code point may still be finished; a wrong one will never be sent.
            Err(error) => error.error_len().is_some(),
        }
    }

    /// The drafted tokens from `base` on, up to the last whole code point within `bounds`; `None` if that leaves nothing.
    pub(super) fn proposal(&self, base: usize, bounds: Bounds) -> Option<Proposal> {
        let first = self.first_after(base);
        let start = base - self.unfinished(base);
        let valid = self.text[start..]
            .utf8_chunks()
            .next()
            .map_or("", |chunk| chunk.valid());
        let within = self.ends[first..].iter().take(bounds.tokens);
        let within = within.take_while(|end| **end - base <= bounds.bytes);
        let whole = |end: &usize| valid.is_char_boundary(*end - start);
        let count = within
            .copied()
            .collect::<Vec<_>>()
            .iter()
            .rposition(whole)?
            + 1;
        let ends = &self.ends[first..first + count];
        Some(Proposal {
            text: self.text[base..ends[count - 1]].to_vec(),
            token_ends: ends.iter().map(|end| (end - base) as u32).collect(),
            ..Proposal::default()
        })
    }

    /// Bytes after `base` of a token in place of the `index`th of the reply; `None` if they are empty, no whole code points, or
    /// contradict the reply before `base`.
    pub(super) fn instead(&self, base: usize, index: usize, id: u32) -> Option<Vec<u8>> {
        let start = self.end_of(index);
        let bytes = self.vocabulary.key(id).0;
        let new = bytes.strip_prefix(self.text.get(start..base).unwrap_or_default())?;
        let before = base - self.unfinished(base)..start.max(base);
        let whole = [&self.text[before], new].concat();
        let is_text = !new.is_empty() && std::str::from_utf8(&whole).is_ok();
        is_text.then(|| new.to_vec())
    }

    /// Byte end of a token in place of the `index`th of the reply.
    pub(super) fn end_instead(&self, index: usize, id: u32) -> usize {
        self.end_of(index) + self.token_len(id)
    }

    /// Bytes of a token.
    pub(super) fn token_len(&self, id: u32) -> usize {
        self.vocabulary.key(id).0.len()
    }

    /// Tokens of the reply from number `from` on, with their byte ends.
    pub(super) fn from(&self, from: usize) -> impl Iterator<Item = (u32, usize)> {
        let ends = self.ends[from..].iter().copied();
        self.reply()[from..].iter().copied().zip(ends)
    }

    /// The token from which on committed text is spelled anew: a few before what is settled, since what follows may change
    /// them, at the beginning of a code point.
    fn respelled_from(&self, committed: &[u8]) -> usize {
        let latest = self.settled.saturating_sub(TAIL_TOKENS);
        let earliest = latest.saturating_sub(MAX_CONTINUATIONS);
        let begins = |from: &usize| {
            let byte = committed.get(self.end_of(*from));
            byte.is_none_or(|byte| byte & 0xC0 != 0x80)
        };
        (earliest..=latest).rev().find(begins).unwrap_or(latest)
    }

    /// Byte end of the first `tokens` tokens of the reply.
    fn end_of(&self, tokens: usize) -> usize {
        tokens.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// Index of the first token of the reply that ends after `base`.
    pub(super) fn first_after(&self, base: usize) -> usize {
        self.ends.partition_point(|end| *end <= base)
    }

    /// Number of bytes before `base` that begin a code point without finishing it.
    pub(super) fn unfinished(&self, base: usize) -> usize {
        unfinished(&self.text[..base])
    }
}

#[cfg(test)]
mod tests;
