//! Plain text to ids: cut into words, take them apart, merge.

use std::collections::HashMap;

use crate::{
    alphabet,
    merger::{Merger, Word},
    piece::{Piece, PieceKind, SPACE_MARK, Spelling},
    pre::PreTokenizer,
    recipe::Recipe,
};

/// A merging model and the way into it.
pub(super) struct Pipeline {
    pre: PreTokenizer,
    symbols: Symbols,
    merger: Merger,
    /// Words that are a piece, where such words are not merged.
    whole_words: HashMap<Vec<u8>, u32>,
}

/// Smallest parts of a word, from which merging starts.
enum Symbols {
    /// Tokens of single bytes.
    Bytes([Option<u32>; 256]),
    Characters(Characters),
}

/// Tokens of single characters, and for other characters tokens of single bytes.
struct Characters {
    tokens: HashMap<char, u32>,
    bytes: [Option<u32>; 256],
    /// For characters that neither spells.
    unknown: Option<u32>,
    /// True if no piece crosses from the end of a word into a space, so that each word merges alone.
    words_end_before_space: bool,
}

impl Pipeline {
    pub(super) fn new(recipe: Recipe) -> Self {
        let symbols = match recipe.spelling {
            Spelling::ByteLevel => Symbols::Bytes(byte_tokens(&recipe.pieces)),
            Spelling::SentencePiece => {
                Symbols::Characters(Characters::new(&recipe.pieces, recipe.unknown))
            }
        };
        let mut whole_words = HashMap::new();
        if recipe.whole_words {
            for (id, piece) in normal(&recipe.pieces) {
                whole_words
                    .entry(piece.bytes(recipe.spelling))
                    .or_insert(id);
            }
        }
        let merger = Merger::new(recipe.pieces.len(), &recipe.merges);
        Self {
            pre: recipe.pre,
            symbols,
            merger,
            whole_words,
        }
    }

    /// Appends the ids of `text`. A byte that the vocabulary has no token for is left out.
    pub(super) fn encode_into(&self, text: &str, word: &mut Word, ids: &mut Vec<u32>) {
        match &self.symbols {
            Symbols::Bytes(bytes) => self.pre.each_word(text, |text| {
                if let Some(&id) = self.whole_words.get(text.as_bytes()) {
                    return ids.push(id);
                }
                text.bytes()
                    .filter_map(|byte| bytes[usize::from(byte)])
                    .for_each(|id| word.push(id));
                self.merger.merge(word, ids);
            }),
            Symbols::Characters(characters) => {
                let mut mark = [0; 4];
                let marked = text.replace(' ', SPACE_MARK.encode_utf8(&mut mark));
                self.pre.each_word(&marked, |text| {
                    let mut rest = text;
                    while !rest.is_empty() {
                        let (first, after) = rest.split_at(characters.merged_alone(rest));
                        characters.take_apart(first, word);
                        self.merger.merge(word, ids);
                        rest = after;
                    }
                });
            }
        }
    }
}

fn byte_tokens(pieces: &[Piece]) -> [Option<u32>; 256] {
    let mut bytes = [None; 256];
    for (id, piece) in normal(pieces) {
        if let Some(&[byte]) = alphabet::read(&piece.text).as_deref() {
            bytes[usize::from(byte)].get_or_insert(id);
        }
    }
    bytes
}

impl Characters {
    fn new(pieces: &[Piece], unknown: Option<u32>) -> Self {
        let mut tokens = HashMap::new();
        let mut bytes = [None; 256];
        for (id, piece) in (0..).zip(pieces) {
            let mut text = piece.text.chars();
            match (piece.kind, text.next(), text.next()) {
                (PieceKind::Normal | PieceKind::Defined, Some(character), None) => {
                    tokens.entry(character).or_insert(id);
                }
                (PieceKind::Byte, ..) => {
                    if let Some(byte) = piece.byte() {
                        bytes[usize::from(byte)].get_or_insert(id);
                    }
                }
                _ => {}
            }
        }
        let words_end_before_space = normal(pieces).all(|(_, piece)| {
            !piece
                .text
                .trim_start_matches(SPACE_MARK)
                .contains(SPACE_MARK)
        });
        Self {
            tokens,
            bytes,
            unknown,
            words_end_before_space,
        }
    }

    /// Length of the first stretch of a text that merges alone, in bytes.
    fn merged_alone(&self, text: &str) -> usize {
        if self.words_end_before_space {
            first_word(text)
        } else {
            text.len()
        }
    }

    fn take_apart(&self, text: &str, word: &mut Word) {
        let mut after_unknown = false;
        for character in text.chars() {
            let mut buffer = [0; 4];
            let spelled = character.encode_utf8(&mut buffer).as_bytes();
            let byte = |&byte: &u8| self.bytes[usize::from(byte)];
            let mut unknown = false;
            if let Some(&id) = self.tokens.get(&character) {
                word.push(id);
            } else if spelled.iter().all(|spelled| byte(spelled).is_some()) {
                spelled.iter().filter_map(byte).for_each(|id| word.push(id));
            } else {
                // A run of them is one token.
                unknown = true;
                self.unknown
                    .filter(|_| !after_unknown)
                    .into_iter()
                    .for_each(|id| word.push(id));
            }
            after_unknown = unknown;
        }
    }
}

fn normal(pieces: &[Piece]) -> impl Iterator<Item = (u32, &Piece)> {
    (0..)
        .zip(pieces)
        .filter(|(_, piece)| piece.kind == PieceKind::Normal)
}

/// Length of the first word: spaces stay with what comes after them.
fn first_word(text: &str) -> usize {
    let spaces = text.len() - text.trim_start_matches(SPACE_MARK).len();
    text[spaces..]
        .find(SPACE_MARK)
        .map_or(text.len(), |place| spaces + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_the_spaces_before_them() {
        let first = |text: &'static str| &text[..first_word(text)];
        assert_eq!(first("a▁b▁▁c▁"), "a");
        assert_eq!(first("▁▁c▁"), "▁▁c");
        assert_eq!(first("▁▁"), "▁▁");
        assert_eq!(first(""), "");
    }
}
