//! A text through both tokenizers, block by block, as a session would send it.

use std::collections::HashSet;

use alignment::{
    TargetToken,
    aligned::Shape,
    reencode::{self, Candidates},
    spans,
};
use proto::{
    drafter::VocabularyTable,
    verifier::{Mapping, RoundTrip},
};
use tokenizer::Tokenizer;

/// Draft tokens of a block: short, since cuts between blocks are what is hard.
const BLOCK_TOKENS: usize = 4;

/// Bytes of a sequence of draft tokens.
pub(super) struct DraftText {
    bytes: Vec<u8>,
    /// End of each token in `bytes`.
    ends: Vec<u32>,
}

/// Result of one text.
pub(super) struct TextReport {
    pub(super) trip: RoundTrip,
    pub(super) mapping: Mapping,
    /// Draft tokens whose bytes are one target token, at any place.
    pub(super) shared_tokens: u32,
}

impl DraftText {
    pub(super) fn of(table: &VocabularyTable, ids: &[u32]) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for id in ids {
            bytes.extend_from_slice(table.token_bytes(*id));
            ends.push(bytes.len() as u32);
        }
        Self { bytes, ends }
    }

    fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let spans = starts.zip(&self.ends);
        spans.map(|(start, end)| &self.bytes[start as usize..*end as usize])
    }

    /// End of the block that begins at `at`.
    fn block_end(&self, at: usize) -> usize {
        let before = self.ends.partition_point(|end| *end as usize <= at);
        let last = (before + BLOCK_TOKENS).min(self.ends.len());
        self.ends[last - 1] as usize
    }
}

/// Sends `draft`, the draft tokens of `text`, through the target's vocabulary. `spellings` are those of the target's tokens.
pub(super) fn run(
    target: &Tokenizer,
    spellings: &HashSet<&[u8]>,
    name: &str,
    text: &str,
    draft: &DraftText,
) -> TextReport {
    let mut trip = RoundTrip {
        text: name.to_owned(),
        bytes: text.len() as u32,
        unspelled_bytes: text.len().saturating_sub(draft.bytes.len()) as u32,
        draft_tokens: draft.ends.len() as u32,
        ..RoundTrip::default()
    };
    send(target, draft, &mut trip);
    let shared = draft.tokens().filter(|token| spellings.contains(token));
    TextReport {
        shared_tokens: shared.count() as u32,
        mapping: mapping(target, draft),
        trip,
    }
}

/// Sends the text block by block. After a block that is cut, the target goes on with its own next token, as after any block.
fn send(target: &Tokenizer, draft: &DraftText, trip: &mut RoundTrip) {
    let mut committed: Vec<TargetToken> = Vec::new();
    let mut at = 0;
    while at < draft.bytes.len() {
        let block = &draft.bytes[at..draft.block_end(at)];
        let candidates = reencode::candidates(target, &committed, block, usize::MAX);
        trip.blocks += 1;
        trip.block_bytes += block.len() as u32;
        trip.whole_blocks += u32::from(candidates.dropped_bytes == 0);
        trip.dropped_bytes += candidates.dropped_bytes as u32;
        trip.candidates += candidates.tokens.len() as u32;
        at += commit(&mut committed, &candidates);
        if candidates.dropped_bytes == 0 {
            continue;
        }
        let next = reencode::candidates(target, &committed, &draft.bytes[at..], 1);
        if next.tokens.is_empty() {
            let character = character(&draft.bytes[at..]);
            trip.lost_bytes += character as u32;
            at += character;
            // The next text does not continue these tokens.
            committed.clear();
        } else {
            at += commit(&mut committed, &next);
        }
    }
}

fn commit(committed: &mut Vec<TargetToken>, candidates: &Candidates) -> usize {
    committed.extend(&candidates.tokens);
    candidates.covered_bytes()
}

/// Bytes of the first character, or of the invalid sequence in its place.
fn character(bytes: &[u8]) -> usize {
    let chunk = bytes.utf8_chunks().next();
    let valid = chunk.as_ref().map_or("", |chunk| chunk.valid());
    let invalid = chunk.as_ref().map_or(0, |chunk| chunk.invalid().len());
    valid.chars().next().map_or(invalid, char::len_utf8).max(1)
}

/// Draft tokens by the shape of their group in an alignment of the whole text, up to the last boundary that both sides have.
fn mapping(target: &Tokenizer, draft: &DraftText) -> Mapping {
    let whole = reencode::candidates(target, &[], &draft.bytes, usize::MAX);
    let both = |end: &&u32| whole.ends.binary_search(end).is_ok();
    let Some(last) = draft.ends.iter().rev().find(both) else {
        return Mapping::default();
    };
    let until = |ends: &[u32]| ends.partition_point(|end| end <= last);
    let (draft, candidates) = (&draft.ends[..until(&draft.ends)], &whole.ends);
    let Ok(aligned) = spans::align(draft, &candidates[..until(candidates)]) else {
        return Mapping::default();
    };
    let mut mapping = Mapping::default();
    for group in aligned.groups() {
        let count = match group.shape() {
            Shape::OneToOne => &mut mapping.one_to_one,
            Shape::OneToMany => &mut mapping.one_to_many,
            Shape::ManyToOne => &mut mapping.many_to_one,
            Shape::ManyToMany => &mut mapping.many_to_many,
        };
        *count += group.draft.len() as u32;
    }
    mapping
}
