//! The fixed map from draft tokens to target tokens, for methods that use the draft's distribution: each draft
//! token becomes the target tokens that spell it by itself, in any context.
//!
//! Fixed and causal on purpose. The distribution of the next target token then follows from the draft's distribution
//! alone, which re-encoding a whole block would not allow: there, text drafted later decides which
//! tokens the text before it becomes.

use std::fmt;

use crate::{DraftToken, TargetToken, Vocabulary};

/// Target tokens of each draft token.
#[derive(Clone, Debug)]
pub struct TokenMap {
    /// Start of each draft token's targets in `targets`, and one more: their end.
    starts: Vec<u32>,
    targets: Vec<u32>,
    shared: Vec<u64>,
    mapped: Vec<u64>,
}

/// Reason that no map can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMapError {
    /// An end is given for a draft token that does not exist.
    EndOutOfRange {
        /// That token.
        draft: DraftToken,
        /// Number of draft tokens.
        vocabulary: usize,
    },
    /// The paths of all tokens together have more than 2^32 tokens.
    TooLarge,
}

impl TokenMap {
    /// Maps a draft vocabulary, given as the exact bytes of each token in the order of ids, empty for
    /// control tokens. `ends` says what the tokens that end a reply become: these cross by role.
    ///
    /// A token becomes what `target` encodes its bytes as. Where that does not spell them exactly, as
    /// with bytes that are no UTF-8, it becomes the target's single bytes; where these are lacking it
    /// becomes nothing, and may get no mass in a distribution. Encodes each draft token once.
    pub fn new<'b>(
        draft: impl IntoIterator<Item = &'b [u8]>,
        target: &impl Vocabulary,
        ends: &[(DraftToken, TargetToken)],
    ) -> Result<Self, TokenMapError> {
        let mut paths: Vec<Vec<u32>> = draft.into_iter().map(|b| spelled(target, b)).collect();
        let vocabulary = paths.len();
        let mut shared = vec![0; vocabulary.div_ceil(64)];
        let mut mapped = shared.clone();
        for &(draft, TargetToken(end)) in ends {
            let path = paths.get_mut(draft.0 as usize);
            let path = path.ok_or(TokenMapError::EndOutOfRange { draft, vocabulary })?;
            *path = vec![end];
        }
        let mut starts = vec![0];
        for (id, path) in paths.iter().enumerate() {
            let before = starts[id];
            let end = u32::try_from(path.len())
                .ok()
                .and_then(|n| n.checked_add(before));
            starts.push(end.ok_or(TokenMapError::TooLarge)?);
            set(&mut mapped, id, !path.is_empty());
            set(&mut shared, id, path.len() == 1);
        }
        Ok(Self {
            targets: paths.concat(),
            starts,
            shared,
            mapped,
        })
    }

    /// Number of draft tokens.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// True if there is no draft token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Target tokens of a draft token; none for one that cannot be spelled or does not exist.
    pub fn targets(&self, draft: u32) -> &[u32] {
        let at = draft as usize;
        match self.starts.get(at..at.saturating_add(2)) {
            Some(&[from, to]) => &self.targets[from as usize..to as usize],
            _ => &[],
        }
    }

    /// True if a draft token is one target token: with the same bytes, or with the same role.
    pub fn is_shared(&self, draft: u32) -> bool {
        self.targets(draft).len() == 1
    }

    /// The tokens that both vocabularies share, as bits: draft token d is bit d mod 64 of word d / 64.
    /// Under `tli` a drafter gives mass to these alone.
    pub fn shared(&self) -> &[u64] {
        &self.shared
    }

    /// The tokens that become anything, as bits like those of [`TokenMap::shared`]. Under
    /// `path_conditional` a drafter gives mass to these alone.
    pub fn mapped(&self) -> &[u64] {
        &self.mapped
    }
}

fn set(bits: &mut [u64], at: usize, to: bool) {
    bits[at / 64] |= u64::from(to) << (at % 64);
}

/// The target tokens that spell `bytes`, exactly and without empty tokens; none where there are none.
fn spelled(target: &impl Vocabulary, bytes: &[u8]) -> Vec<u32> {
    if bytes.is_empty() {
        return Vec::new();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let ids = target.encode(text);
        if spells(target, &ids, bytes) {
            return ids;
        }
    }
    let singles: Option<Vec<u32>> = bytes.iter().map(|byte| target.single_byte(*byte)).collect();
    singles.unwrap_or_default()
}

fn spells(target: &impl Vocabulary, ids: &[u32], bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for id in ids {
        match rest.strip_prefix(target.token_bytes(*id)) {
            Some(after) if after.len() < rest.len() => rest = after,
            _ => return false,
        }
    }
    rest.is_empty()
}

impl fmt::Display for TokenMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOutOfRange { draft, vocabulary } => {
                write!(f, "end given for draft token {} of {vocabulary}", draft.0)
            }
            Self::TooLarge => f.write_str("the paths of all draft tokens have over 2^32 tokens"),
        }
    }
}

impl std::error::Error for TokenMapError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows a, b, ab and the bytes of é, normalises accents away, and takes the longest that fits.
    struct Toy {
        has_bytes: bool,
    }

    const TOKENS: [&[u8]; 6] = [b"a", b"b", b"ab", b"\xc3", b"\xa9", b"e"];

    impl Vocabulary for Toy {
        fn token_bytes(&self, id: u32) -> &[u8] {
            TOKENS.get(id as usize).copied().unwrap_or_default()
        }

        fn encode(&self, text: &str) -> Vec<u32> {
            let text = text.replace('é', "e");
            let mut rest = text.as_bytes();
            let mut ids = Vec::new();
            while !rest.is_empty() {
                let known = (0..TOKENS.len()).filter(|id| rest.starts_with(TOKENS[*id]));
                let Some(longest) = known.max_by_key(|id| TOKENS[*id].len()) else {
                    return vec![99];
                };
                ids.push(longest as u32);
                rest = &rest[TOKENS[longest].len()..];
            }
            ids
        }

        fn single_byte(&self, byte: u8) -> Option<u32> {
            let at = TOKENS.iter().position(|token| *token == [byte])?;
            self.has_bytes.then_some(at as u32)
        }
    }

    const DRAFT: [&[u8]; 7] = [b"ab", b"aba", b"\xc3", "é".as_bytes(), b"z", b"", b""];

    fn map(has_bytes: bool) -> TokenMap {
        let ends = [(DraftToken(6), TargetToken(77))];
        TokenMap::new(DRAFT, &Toy { has_bytes }, &ends).unwrap()
    }

    #[test]
    fn tokens_become_what_spells_them_exactly_or_nothing() {
        let paths: Vec<Vec<u32>> = (0..9).map(|id| map(true).targets(id).to_vec()).collect();
        let nothing = Vec::new;
        let expected = [
            vec![2],
            vec![2, 0],
            vec![3],
            vec![3, 4], // its encoding is another letter
            nothing(),
            nothing(),
            vec![77],
            nothing(), // out of range
            nothing(),
        ];
        assert_eq!(paths, expected);
        assert_eq!(map(false).targets(2), []);
        assert_eq!(map(true).targets(u32::MAX), []);
    }

    #[test]
    fn bits_say_what_is_shared_and_what_is_mapped() {
        let map = map(true);
        assert_eq!((map.len(), map.is_empty()), (7, false));
        assert_eq!(map.shared(), [0b100_0101]);
        assert_eq!(map.mapped(), [0b100_1111]);
        for id in 0..70 {
            let bit = map
                .shared()
                .get(id / 64)
                .is_some_and(|word| word >> (id % 64) & 1 == 1);
            assert_eq!(map.is_shared(id as u32), bit);
        }
    }

    #[test]
    fn end_of_a_token_that_does_not_exist_is_refused() {
        let ends = [(DraftToken(7), TargetToken(1))];
        let refused = TokenMap::new(DRAFT, &Toy { has_bytes: true }, &ends).unwrap_err();
        assert_eq!(refused.to_string(), "end given for draft token 7 of 7");
    }
}
