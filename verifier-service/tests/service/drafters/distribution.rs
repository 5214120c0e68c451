//! Vocabulary of a scripted drafter, and the distributions that it claims to have drawn from.

use proto::drafter::{Draw, SparseDistribution};

/// The first tokens of a scripted drafter; the last of them ends the turn.
pub(super) const WORDS: [&[u8]; 4] = [b"let", b" the", b" ", b""];
pub(super) const END_OF_TURN: u32 = 3;

/// Bytes that it has single tokens for, after those.
pub(super) const ASCII: &[u8; 128] = &{
    let mut bytes = [0; 128];
    let mut byte = 0;
    while byte < bytes.len() {
        bytes[byte] = byte as u8;
        byte += 1;
    }
    bytes
};

/// Distribution that a drafter claims to have drawn a token from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Distribution {
    /// One that has nothing but the token.
    Certain,
    /// None.
    Absent,
    /// One that cannot have given the token.
    WithoutTheToken,
    /// One whose probabilities do not sum to one.
    TooSmall,
    /// The right one, of tokens other than those of the text.
    OfOtherTokens,
    /// One over ids that the vocabulary does not have.
    BeyondTheVocabulary,
    /// The right one, but of fewer tokens than the block has.
    OfTooFewTokens,
    /// The right one, of a vocabulary other than the one sent.
    OfAnotherVocabulary,
}

impl Distribution {
    /// All that are not as claimed.
    pub(crate) const LIES: [Self; 7] = [
        Self::Absent,
        Self::WithoutTheToken,
        Self::TooSmall,
        Self::OfOtherTokens,
        Self::BeyondTheVocabulary,
        Self::OfTooFewTokens,
        Self::OfAnotherVocabulary,
    ];

    /// The draws of a block: of its bytes, or of the end of the turn.
    pub(super) fn draws(self, text: &[u8]) -> Vec<Draw> {
        let single = |byte: &u8| WORDS.len() as u32 + u32::from(*byte);
        let mut ids: Vec<u32> = text.iter().map(single).collect();
        if ids.is_empty() {
            ids.push(END_OF_TURN);
        }
        let last = ids.len() - 1;
        let mut draws: Vec<Draw> = ids.into_iter().map(|id| self.draw(id)).collect();
        if self == Self::OfTooFewTokens {
            draws.truncate(last);
        }
        draws
    }

    fn draw(self, id: u32) -> Draw {
        let id = match self {
            Self::OfOtherTokens => id - 1,
            Self::BeyondTheVocabulary => id + 1000,
            _ => id,
        };
        let distribution = match self {
            Self::Absent => None,
            Self::WithoutTheToken => Some((id - 1, 0.0)),
            Self::TooSmall => Some((id, -1.0)),
            _ => Some((id, 0.0)),
        };
        Draw {
            id,
            log_prob: 0.0,
            distribution: distribution.map(|(id, log_prob)| SparseDistribution {
                ids: vec![id],
                log_probs: vec![log_prob],
            }),
        }
    }
}
