//! String-level rejection sampling (SLRS: Timor et al., arXiv 2502.05202, algorithm 3): exact for any
//! two tokenizers, at a cost that grows exponentially. **A reference for tests over small
//! vocabularies, not a method to serve.**
//!
//! The draft's block is re-encoded as a whole, and its first target token judged by the distribution
//!
//! ```text
//! psi(t) = sum of draft_prob(d_1..d_n) over all blocks of n draft tokens whose text begins with t
//!          once the target's tokenizer has encoded it
//! ```
//!
//! which counts every block there is: |draft vocabulary|^n of them.

use std::fmt;

use super::{PathDistribution, SparseDistribution};
use crate::Vocabulary;

/// Most blocks that are enumerated.
const MAX_BLOCKS: usize = 1 << 20;

/// Why there is no such distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringLevelError {
    /// There are more blocks than can be enumerated.
    TooManyBlocks {
        /// Draft tokens.
        vocabulary: usize,
        /// Tokens of a block.
        length: usize,
    },
    /// No block with mass is text that begins with a target token.
    NothingSpelled,
}

/// The distribution psi of the first target token of a block of `length` draft tokens, given that there is one.
/// Its proposals are judged by [`super::rejection`].
///
/// `tokens` are the draft tokens' bytes by id, and `draft_distribution` gives the draft's probabilities by id
/// after some draft tokens; probabilities that are lacking, negative or no number count as 0. Time
/// |tokens|^length encodings.
pub fn first_token_distribution<'o>(
    tokens: &[&[u8]],
    draft_distribution: impl Fn(&[u32]) -> Vec<f64>,
    length: usize,
    target: &impl Vocabulary,
    out: &'o mut PathDistribution,
) -> Result<SparseDistribution<'o>, StringLevelError> {
    let vocabulary = tokens.len();
    let blocks = u32::try_from(length)
        .ok()
        .and_then(|n| vocabulary.checked_pow(n));
    if blocks.is_none_or(|blocks| blocks > MAX_BLOCKS) {
        return Err(StringLevelError::TooManyBlocks { vocabulary, length });
    }
    out.clear();
    let mut open = vec![(Vec::new(), 1.0)];
    while let Some((block, mass)) = open.pop() {
        if block.len() == length {
            if let Some(first) = first_token(tokens, &block, target) {
                out.push(first, mass);
            }
            continue;
        }
        let distribution = draft_distribution(&block);
        let drawn = distribution.iter().take(vocabulary).enumerate();
        for (id, p) in drawn.filter(|(_, p)| **p > 0.0) {
            let mut longer = block.clone();
            longer.push(id as u32);
            open.push((longer, mass * p));
        }
    }
    out.gather().ok_or(StringLevelError::NothingSpelled)
}

/// The first token of a block's encoding, if the block is text and the token spells its beginning.
pub fn first_token(tokens: &[&[u8]], block: &[u32], target: &impl Vocabulary) -> Option<u32> {
    let bytes = block.iter().filter_map(|id| tokens.get(*id as usize));
    let bytes: Vec<u8> = bytes.flat_map(|token| token.iter()).copied().collect();
    let first = *target.encode(std::str::from_utf8(&bytes).ok()?).first()?;
    let spelling = target.token_bytes(first);
    (!spelling.is_empty() && bytes.starts_with(spelling)).then_some(first)
}

impl fmt::Display for StringLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyBlocks { vocabulary, length } => write!(
                f,
                "{vocabulary} draft tokens make too many blocks of {length}"
            ),
            Self::NothingSpelled => f.write_str("no block begins with a target token"),
        }
    }
}

impl std::error::Error for StringLevelError {}
