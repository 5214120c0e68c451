//! Wishes: the next blocks as the verifier wants them.

use crate::{ProtocolError, check, limits, wire::drafter::v1 as wire};

/// Wish for the next block and for those after it. The next wish replaces it whole. The default is an idle drafter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wish {
    /// Draft tokens that the chain of a block shall have; 0: no block until another wish.
    pub tokens: u32,
    /// Alternatives that a block may have besides its chain.
    pub alternatives: u32,
    /// Least probability, in percent, of a draft token that is sent: that the target keeps it with all before it in the block.
    pub least_percent: u32,
}

impl Wish {
    /// Wish for a chain of this many tokens without a threshold.
    pub const fn chain(tokens: u32) -> Self {
        Self {
            tokens,
            alternatives: 0,
            least_percent: 0,
        }
    }

    /// Checks that a session can grant the wish, given its `max_block_tokens` and `accepts_trees`.
    pub fn check_within(
        &self,
        max_block_tokens: u32,
        accepts_trees: bool,
    ) -> Result<(), ProtocolError> {
        if self.tokens > max_block_tokens {
            let expected = format!("at most {max_block_tokens}, open.max_block_tokens");
            let found = self.tokens.to_string();
            return Err(ProtocolError::invalid("tokens", found, expected));
        }
        if self.alternatives > 0 && !accepts_trees {
            let expected = "0, since open.accepts_trees is false";
            let found = self.alternatives.to_string();
            return Err(ProtocolError::invalid("alternatives", found, expected));
        }
        Ok(())
    }
}

impl TryFrom<wire::Wish> for Wish {
    type Error = ProtocolError;

    fn try_from(wish: wire::Wish) -> Result<Self, ProtocolError> {
        let wire::Wish {
            tokens,
            alternatives,
            least_percent,
        } = wish;
        Ok(Self {
            tokens: check::within("tokens", tokens, 0..=limits::MAX_BLOCK_TOKENS)?,
            alternatives: check::within(
                "alternatives",
                alternatives,
                0..=limits::MAX_ALTERNATIVES,
            )?,
            least_percent: check::within("least_percent", least_percent, 0..=100)?,
        })
    }
}

impl From<Wish> for wire::Wish {
    fn from(wish: Wish) -> Self {
        Self {
            tokens: wish.tokens,
            alternatives: wish.alternatives,
            least_percent: wish.least_percent,
        }
    }
}
