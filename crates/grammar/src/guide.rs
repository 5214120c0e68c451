//! One reply's way through a grammar.

use llguidance::{Matcher, toktrie::SimpleVob};

use crate::{GrammarError, reason};

/// One reply's way through a grammar.
pub struct Guide {
    matcher: Matcher,
    /// Set at the present place, once it was asked for.
    allowed: Option<TokenSet>,
}

/// Tokens that may come next.
#[derive(Clone)]
pub struct TokenSet(SimpleVob);

impl TokenSet {
    /// A bit for each id: bit `id % 32` of word `id / 32`.
    pub fn words(&self) -> &[u32] {
        self.0.as_slice()
    }

    /// True if the token may come next.
    pub fn has(&self, id: u32) -> bool {
        (id as usize) < self.0.len() && self.0.is_allowed(id)
    }
}

impl Guide {
    pub(crate) fn new(matcher: Matcher) -> Self {
        Self {
            matcher,
            allowed: None,
        }
    }

    /// Tokens that may come next, ends of the reply among them where the text so far is complete. Where the grammar admits one
    /// text only, its canonical token. Never empty.
    pub fn allowed(&mut self) -> Result<&TokenSet, GrammarError> {
        let set = match self.allowed.take() {
            Some(set) => set,
            None => TokenSet(self.matcher.compute_mask_or_eos().map_err(reason)?),
        };
        Ok(self.allowed.insert(set))
    }

    /// Takes in the token that came, which must be an allowed one.
    pub fn take(&mut self, id: u32) -> Result<(), GrammarError> {
        self.allowed = None;
        self.matcher.consume_token(id).map_err(reason)
    }

    /// Takes in tokens that nobody has checked. False if the grammar does not admit them all; the guide is of no use then.
    pub fn try_take(&mut self, ids: &[u32]) -> bool {
        self.allowed = None;
        let taken = self.matcher.try_consume_tokens(ids);
        taken.is_ok_and(|taken| taken == ids.len())
    }

    /// A guide at the same place that shares nothing with this one, so that neither can use up the other's limits.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            matcher: self.matcher.deep_clone(),
            allowed: self.allowed.clone(),
        }
    }

    /// True if the text is complete and cannot go on.
    pub fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Tokens that must come next, one after another: canonical ones of the only text that the grammar admits.
    pub fn forced(&mut self) -> Vec<u32> {
        if self.is_complete() {
            return Vec::new();
        }
        self.matcher.compute_ff_tokens()
    }

    /// Number of these tokens, from the first, that the grammar admits one after another.
    pub fn admits(&mut self, ids: &[u32]) -> usize {
        self.matcher.validate_tokens(ids).unwrap_or(0)
    }
}

impl std::fmt::Debug for Guide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guide")
            .field("is_complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}
