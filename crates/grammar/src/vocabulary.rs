//! A vocabulary as the grammar library sees it: bytes of tokens in a trie, and the canonical tokens of a text.

use std::{collections::HashMap, sync::Arc};

use llguidance::toktrie::{INVALID_TOKEN, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use tokenizer::Tokenizer;

/// A vocabulary with its trie.
pub(crate) struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

impl Vocabulary {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, size: usize) -> Self {
        let words = words(&tokenizer, size);
        let ends = &tokenizer.specials().end_tokens;
        let ends: Vec<u32> = ends
            .iter()
            .copied()
            .filter(|id| (*id as usize) < size)
            .collect();
        let info = TokRxInfo::new(size as u32, ends.first().copied().unwrap_or(INVALID_TOKEN));
        let trie = TokTrie::from(&info, &words);
        let trie = if ends.is_empty() {
            trie
        } else {
            trie.with_eos_tokens(&ends)
        };
        Self { tokenizer, trie }
    }
}

/// Bytes of each token. Control tokens have the name that grammars know them by. Of several tokens with the same bytes only the one
/// that encoding gives has them: a model has learnt to write that one.
fn words(tokenizer: &Tokenizer, size: usize) -> Vec<Vec<u8>> {
    let word = |id: u32| match tokenizer.token_bytes(id) {
        [] => tokenizer.control_name(id).map_or_else(Vec::new, |name| {
            [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
        }),
        bytes => bytes.to_vec(),
    };
    let mut words: Vec<Vec<u8>> = (0..size as u32).map(word).collect();
    let mut holders: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
    for id in 0..size as u32 {
        if tokenizer.rank(id) > 0 && !tokenizer.token_bytes(id).is_empty() {
            holders.entry(words[id as usize].clone()).or_default();
        }
    }
    for (id, word) in (0..).zip(&words) {
        if let Some(ids) = holders.get_mut(word) {
            ids.push(id);
        }
    }
    for (bytes, ids) in holders {
        let canonical = std::str::from_utf8(&bytes).map(|text| tokenizer.encode(text));
        let kept = match canonical.as_deref() {
            Ok(&[id]) if ids.contains(&id) => id,
            _ => ids[0],
        };
        for id in ids.into_iter().filter(|id| *id != kept) {
            words[id as usize].clear();
        }
    }
    words
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// The tokenizer's own tokens where they spell the bytes, else the longest that fit.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let Some(chunk) = bytes.utf8_chunks().next() else {
            return Vec::new();
        };
        let text = chunk.valid();
        let mut ids = self.tokenizer.encode(text);
        let size = self.trie.vocab_size() as u32;
        if ids.iter().any(|id| *id >= size) || self.tokenizer.decode_bytes(&ids) != text.as_bytes()
        {
            ids = self.trie.greedy_tokenize(text.as_bytes());
        }
        ids.extend(self.trie.greedy_tokenize(&bytes[text.len()..]));
        ids
    }
}
