//! A reply's way through its grammar, which may hold for all of it or after a certain text only.

use grammar::{GrammarError, Guide, TokenSet};

use super::stops::StopScanner;
use crate::target::Target;

/// A reply's way through its grammar. It depends on the tokens of the reply alone.
#[derive(Debug)]
pub(crate) struct GrammarWalk {
    /// Beginning of the grammar.
    start: Guide,
    /// Text after which the grammar holds; `None`: it holds from the beginning on.
    after: Option<String>,
    scanner: StopScanner,
    /// Place in the grammar, while it holds.
    place: Option<Guide>,
}

impl GrammarWalk {
    pub(crate) fn new(start: Guide, after: Option<&str>) -> Self {
        let place = after.is_none().then(|| start.fork());
        Self {
            start,
            after: after.map(ToOwned::to_owned),
            scanner: scanner(after),
            place,
        }
    }

    /// Tokens that may come next; `None`: all.
    pub(crate) fn allowed(&mut self) -> Result<Option<&TokenSet>, GrammarError> {
        let place = self.place.as_mut();
        place.map(Guide::allowed).transpose()
    }

    /// Takes in a token of the reply. Returns true if the grammar ends the reply there.
    pub(crate) fn take(&mut self, target: &Target, id: u32) -> Result<bool, GrammarError> {
        if let Some(place) = &mut self.place {
            place.take(id)?;
            let is_complete = place.is_complete();
            if is_complete && self.after.is_some() {
                self.place = None;
                self.scanner = scanner(self.after.as_deref());
                return Ok(false);
            }
            return Ok(is_complete);
        }
        let tokenizer = target.tokenizer();
        let mut shown = tokenizer.token_bytes(id);
        if shown.is_empty() {
            shown = tokenizer.control_name(id).map_or(&[], str::as_bytes);
        }
        let before = self.scanner.length();
        let Some(found) = self.scanner.push(shown) else {
            return Ok(false);
        };
        let rest = &shown[found.end - before..];
        let mut place = self.start.fork();
        // The rest of the token was free. Where the grammar does not admit it, the reply stays so.
        let rest = std::str::from_utf8(rest).map(|rest| tokenizer.encode(rest));
        if rest.is_ok_and(|ids| place.try_take(&ids)) {
            self.place = Some(place);
        } else {
            self.scanner = scanner(self.after.as_deref());
        }
        Ok(false)
    }

    /// Tokens that the grammar forces next.
    pub(crate) fn forced(&mut self) -> Vec<u32> {
        self.place.as_mut().map_or_else(Vec::new, Guide::forced)
    }

    /// Number of these tokens, from the first, that the grammar admits.
    pub(crate) fn admits(&mut self, ids: &[u32]) -> usize {
        match &mut self.place {
            Some(place) => place.admits(ids),
            None => ids.len(),
        }
    }
}

fn scanner(after: Option<&str>) -> StopScanner {
    let texts: Vec<String> = after.map(ToOwned::to_owned).into_iter().collect();
    StopScanner::new(&texts)
}
