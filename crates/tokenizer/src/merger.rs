//! Byte-pair merging, over ids.
//!
//! The `tokenizers` crate merges too, but holds a vocabulary as two maps of strings and is built from
//! pairs of strings: for Gemma's 262,144 pieces that is 130 MB resident, half of the model, and seconds at
//! start, and each id of a text comes with a string of its own. Here a merge is twelve bytes in a sorted row, and
//! a test holds the results equal to that crate's.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::merges::Merge;

/// No symbol.
const NONE: u32 = u32::MAX;

/// All merges, for each left piece in a row of its own, sorted by the right piece.
pub(super) struct Merger {
    partners: Vec<Partner>,
    /// End of the row of each left piece in `partners`.
    ends: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Partner {
    right: u32,
    rank: u32,
    whole: u32,
}

/// A word on its way from characters to pieces. Reused from word to word.
#[derive(Default)]
pub(super) struct Word {
    symbols: Vec<Symbol>,
    /// Possible merges: rank and place of the left symbol, the least first.
    queue: BinaryHeap<Reverse<(u32, u32)>>,
}

/// A piece between its neighbours. One that was merged into its left neighbour has no id.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    before: u32,
    after: u32,
}

impl Merger {
    /// Lays out `merges`, strongest first, of a vocabulary of `tokens` tokens. Of equal pairs the first counts.
    pub(super) fn new(tokens: usize, merges: &[Merge]) -> Self {
        let mut ends = vec![0_u32; tokens];
        for merge in merges {
            ends[merge.left as usize] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            let count = *end;
            *end = total;
            total += count;
        }
        // While rows are filled, `ends` is where the next partner goes.
        let mut partners = vec![
            Partner {
                right: NONE,
                rank: NONE,
                whole: NONE
            };
            merges.len()
        ];
        for (rank, merge) in (0..).zip(merges) {
            let place = &mut ends[merge.left as usize];
            partners[*place as usize] = Partner {
                right: merge.right,
                rank,
                whole: merge.whole,
            };
            *place += 1;
        }
        let mut start = 0;
        for &end in &ends {
            // Stable: the strongest of equal pairs stays in front.
            partners[start..end as usize].sort_by_key(|partner| partner.right);
            start = end as usize;
        }
        Self { partners, ends }
    }

    fn find(&self, left: u32, right: u32) -> Option<Partner> {
        let end = *self.ends.get(left as usize)? as usize;
        let start = if left == 0 {
            0
        } else {
            self.ends[left as usize - 1] as usize
        };
        let row = &self.partners[start..end];
        let place = row.partition_point(|partner| partner.right < right);
        row.get(place)
            .filter(|partner| partner.right == right)
            .copied()
    }

    /// Merges the symbols of `word` as long as there is a merge, the strongest first and the leftmost of
    /// those, appends what is left to `ids` and empties the word. O(n log n) for n symbols.
    pub(super) fn merge(&self, word: &mut Word, ids: &mut Vec<u32>) {
        let Word { symbols, queue } = word;
        for place in 1..symbols.len() {
            self.offer(symbols, place as u32 - 1, queue);
        }
        while let Some(Reverse((rank, place))) = queue.pop() {
            let left = symbols[place as usize];
            if left.id == NONE || left.after == NONE {
                continue;
            }
            let right = symbols[left.after as usize];
            // Either side may have been merged with another neighbour since this was offered.
            let Some(partner) = self
                .find(left.id, right.id)
                .filter(|found| found.rank == rank)
            else {
                continue;
            };
            symbols[place as usize] = Symbol {
                id: partner.whole,
                after: right.after,
                ..left
            };
            symbols[left.after as usize].id = NONE;
            if right.after != NONE {
                symbols[right.after as usize].before = place;
                self.offer(symbols, place, queue);
            }
            if left.before != NONE {
                self.offer(symbols, left.before, queue);
            }
        }
        ids.extend(
            symbols
                .drain(..)
                .map(|symbol| symbol.id)
                .filter(|&id| id != NONE),
        );
    }

    fn offer(&self, symbols: &[Symbol], place: u32, queue: &mut BinaryHeap<Reverse<(u32, u32)>>) {
        let left = symbols[place as usize];
        let right = symbols[left.after as usize];
        if let Some(partner) = self.find(left.id, right.id) {
            queue.push(Reverse((partner.rank, place)));
        }
    }
}

impl Word {
    /// Appends a symbol.
    pub(super) fn push(&mut self, id: u32) {
        let place = self.symbols.len() as u32;
        let before = match self.symbols.last_mut() {
            Some(last) => {
                last.after = place;
                place - 1
            }
            None => NONE,
        };
        self.symbols.push(Symbol {
            id,
            before,
            after: NONE,
        });
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::{
        Model,
        models::bpe::{BPE, Vocab},
    };

    use super::*;
    use crate::{
        merges,
        piece::{Piece, PieceKind},
    };

    /// Random letters, the same in every run.
    fn letters(state: &mut u64, count: usize) -> String {
        let letter = |state: &mut u64| {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'a' + (*state >> 33) as u8 % 4)
        };
        (0..count).map(|_| letter(state)).collect()
    }

    #[test]
    fn words_merge_as_the_library_merges_them() {
        let mut state = 1;
        for round in 0..200 {
            let mut texts: Vec<String> = "abcd".chars().map(String::from).collect();
            let mut pairs: Vec<(String, String)> = Vec::new();
            for _ in 0..20 {
                let pick =
                    |state: &mut u64| letters(state, 3).bytes().map(usize::from).sum::<usize>();
                let left = texts[pick(&mut state) % texts.len()].clone();
                let right = texts[pick(&mut state) % texts.len()].clone();
                let whole = format!("{left}{right}");
                if whole.len() < 9 && !pairs.contains(&(left.clone(), right.clone())) {
                    if !texts.contains(&whole) {
                        texts.push(whole);
                    }
                    pairs.push((left, right));
                }
            }
            let ids: Vocab = texts.iter().cloned().zip(0..).collect();
            let library = BPE::builder()
                .vocab_and_merges(ids.clone(), pairs.clone())
                .build()
                .unwrap();
            let pieces: Vec<Piece> = texts
                .into_iter()
                .map(|text| Piece {
                    text,
                    kind: PieceKind::Normal,
                })
                .collect();
            let borrowed = pairs
                .iter()
                .map(|(left, right)| (left.as_str(), right.as_str()));
            let ours = merges::from_pairs(&pieces, borrowed).unwrap();
            let ours = Merger::new(pieces.len(), &ours);
            let mut word = Word::default();
            for length in 1..60 {
                let text = letters(&mut state, length);
                text.chars()
                    .for_each(|letter| word.push(ids[&letter.to_string()]));
                let mut got = Vec::new();
                ours.merge(&mut word, &mut got);
                let tokens = library.tokenize(&text).unwrap();
                let expected: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                assert_eq!(got, expected, "{text} in round {round}");
            }
        }
    }

    #[test]
    fn of_two_ranks_for_a_pair_the_first_counts() {
        let merge = |left, right, whole| Merge { left, right, whole };
        let merger = Merger::new(5, &[merge(0, 1, 3), merge(1, 2, 4), merge(0, 1, 4)]);
        let mut word = Word::default();
        for id in [0, 1, 2] {
            word.push(id);
        }
        let mut ids = Vec::new();
        merger.merge(&mut word, &mut ids);
        assert_eq!(ids, [3, 2]);
    }
}
