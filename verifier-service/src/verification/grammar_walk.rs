//! A reply's way through its grammar, which may hold for all of it or after a certain text only.

use std::collections::VecDeque;

use grammar::{GrammarError, Guide, TokenSet};

use super::stops::StopScanner;
use crate::target::Target;

/// A reply's way through its grammar. It depends on the tokens of the reply alone.
#[derive(Debug)]
pub(crate) struct GrammarWalk {
    /// Where the grammar holds after a text only: that text, and the beginning of the grammar.
    again: Option<(String, Guide)>,
    scanner: StopScanner,
    /// Place in the grammar, while it holds.
    place: Option<Guide>,
    /// The same place, for proposals: they must not use up the limits of the guide that decides.
    scout: Option<Guide>,
    /// Tokens that the grammar forces next, as far as they are known.
    forced: VecDeque<u32>,
}

impl GrammarWalk {
    pub(crate) fn new(start: Guide, after: Option<&str>) -> Self {
        let (again, place) = match after {
            Some(after) => (Some((after.to_owned(), start)), None),
            None => (None, Some(start)),
        };
        Self {
            scanner: scanner(again.as_ref()),
            again,
            place,
            scout: None,
            forced: VecDeque::new(),
        }
    }

    /// Tokens that may come next; `None`: all.
    pub(crate) fn allowed(&mut self) -> Result<Option<&TokenSet>, GrammarError> {
        let place = self.place.as_mut();
        place.map(Guide::allowed).transpose()
    }

    /// Takes in a token of the reply. Returns true if the grammar ends the reply there.
    pub(crate) fn take(&mut self, target: &Target, id: u32) -> Result<bool, GrammarError> {
        if self.forced.front() == Some(&id) {
            self.forced.pop_front();
        } else {
            self.forced.clear();
        }
        let Some(place) = &mut self.place else {
            self.begin(target, id);
            return Ok(false);
        };
        place.take(id)?;
        self.scout.take_if(|scout| !scout.try_take(&[id]));
        if !place.is_complete() {
            return Ok(false);
        }
        if self.again.is_some() {
            self.leave();
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes in a token where the grammar does not hold: it may after it.
    fn begin(&mut self, target: &Target, id: u32) {
        let tokenizer = target.tokenizer();
        let mut shown = tokenizer.token_bytes(id);
        if shown.is_empty() {
            shown = tokenizer.control_name(id).map_or(&[], str::as_bytes);
        }
        let before = self.scanner.length();
        let found = self.scanner.push(shown);
        let (Some(found), Some((_, start))) = (found, &self.again) else {
            return;
        };
        let rest = &shown[found.end - before..];
        let mut place = start.fork();
        // The rest of the token was free. Where the grammar does not admit it, or is complete with it, the reply stays so.
        let rest = std::str::from_utf8(rest).map(|rest| tokenizer.encode(rest));
        if rest.is_ok_and(|ids| place.try_take(&ids)) && !place.is_complete() {
            self.place = Some(place);
        } else {
            self.leave();
        }
    }

    /// Leaves the reply free until the text that the grammar follows comes again.
    fn leave(&mut self) {
        self.place = None;
        self.scout = None;
        self.forced.clear();
        self.scanner = scanner(self.again.as_ref());
    }

    /// Tokens that the grammar forces next, at most `most`. All of them are found at once, since a text may be long.
    pub(crate) fn forced(&mut self, most: usize) -> Vec<u32> {
        if self.forced.is_empty()
            && let Some(scout) = self.scout()
        {
            self.forced = scout.forced().into();
        }
        self.forced.iter().copied().take(most).collect()
    }

    /// Number of these tokens, from the first, that the grammar admits.
    pub(crate) fn admits(&mut self, ids: &[u32]) -> usize {
        self.scout().map_or(ids.len(), |scout| scout.admits(ids))
    }

    fn scout(&mut self) -> Option<&mut Guide> {
        if self.scout.is_none() {
            self.scout = self.place.as_ref().map(Guide::fork);
        }
        self.scout.as_mut()
    }
}

fn scanner(again: Option<&(String, Guide)>) -> StopScanner {
    let texts: Vec<String> = again.map(|(after, _)| after.clone()).into_iter().collect();
    StopScanner::new(&texts)
}
