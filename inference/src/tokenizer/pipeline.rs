//! Plain text to ids: cut into words, respell, merge.

use tokenizers::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, models::bpe::BPE,
    pre_tokenizers::PreTokenizerWrapper,
};

use super::{
    alphabet,
    error::TokenizerError,
    merges,
    recipe::{Kind, Piece, Recipe, SPACE_MARK, Spelling},
};

/// Words whose ids a thread remembers, for each tokenizer.
const REMEMBERED_WORDS: usize = 4096;

/// A merging model and the way into it.
pub(super) struct Pipeline {
    spelling: Spelling,
    steps: Vec<PreTokenizerWrapper>,
    model: BPE,
    /// Whether no piece reaches over the end of a word into a space, so that words merge alone.
    words_end_before_space: bool,
}

impl Pipeline {
    pub(super) fn new(recipe: Recipe) -> Result<Self, TokenizerError> {
        let unknown = recipe.unknown.and_then(|id| recipe.pieces.get(id as usize));
        let unknown = unknown.map(|piece| piece.text.clone());
        let mut builder = BPE::builder()
            .vocab_and_merges(
                merges::vocabulary(&recipe.pieces, recipe.unknown),
                merges::spelled(&recipe.pieces, &recipe.merges),
            )
            .byte_fallback(recipe.spelling == Spelling::SentencePiece)
            .ignore_merges(recipe.whole_words)
            .fuse_unk(true)
            .cache_capacity(REMEMBERED_WORDS);
        if let Some(unknown) = unknown {
            builder = builder.unk_token(unknown);
        }
        Ok(Self {
            spelling: recipe.spelling,
            words_end_before_space: recipe.pieces.iter().all(ends_before_space),
            model: builder.build().map_err(TokenizerError::Build)?,
            steps: recipe.pre.steps,
        })
    }

    /// Appends the ids of `text`.
    pub(super) fn encode_into(&self, text: &str, ids: &mut Vec<u32>) {
        match self.spelling {
            Spelling::ByteLevel => self.each_word(text, |word| {
                self.merge(&alphabet::write(word.as_bytes()), ids);
            }),
            Spelling::SentencePiece => {
                let mut mark = [0; 4];
                let marked = text.replace(' ', SPACE_MARK.encode_utf8(&mut mark));
                self.each_word(&marked, |word| {
                    if self.words_end_before_space {
                        words(word).for_each(|word| self.merge(word, ids));
                    } else {
                        self.merge(word, ids);
                    }
                });
            }
        }
    }

    fn each_word(&self, text: &str, mut take: impl FnMut(&str)) {
        if self.steps.is_empty() {
            return take(text);
        }
        let mut cut = PreTokenizedString::from(text);
        // A step fails only where its pattern gives up on a text; what it had not cut yet is one word.
        let _ = self
            .steps
            .iter()
            .try_for_each(|step| step.pre_tokenize(&mut cut));
        for (word, ..) in cut.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            take(word);
        }
    }

    fn merge(&self, word: &str, ids: &mut Vec<u32>) {
        // The model fails only if its unknown token is not in its vocabulary, where `new` put it.
        ids.extend(
            self.model
                .tokenize(word)
                .unwrap_or_default()
                .iter()
                .map(|token| token.id),
        );
    }
}

/// Whether a piece has no space after something else.
fn ends_before_space(piece: &Piece) -> bool {
    piece.kind != Kind::Normal
        || !piece
            .text
            .trim_start_matches(SPACE_MARK)
            .contains(SPACE_MARK)
}

/// Cuts where a space follows something else: spaces stay with what comes after them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let spaces = rest.len() - rest.trim_start_matches(SPACE_MARK).len();
        let end = rest[spaces..]
            .find(SPACE_MARK)
            .map_or(rest.len(), |place| spaces + place);
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_the_spaces_before_them() {
        let cut = |text: &'static str| words(text).collect::<Vec<_>>();
        assert_eq!(cut("a▁b▁▁c▁"), ["a", "▁b", "▁▁c", "▁"]);
        assert_eq!(cut("▁▁"), ["▁▁"]);
        assert!(cut("").is_empty());
    }
}
