//! Looking up, as a proposer: where the end of the text has been said before, what came behind it then is proposed.
//!
//! There is no model and no vocabulary. Text is bytes, the same for every target; what the protocol counts as draft tokens
//! are words and signs. The prompt is taken as its content, without any template.

mod history;
mod pieces;

use std::ops::{Range, RangeInclusive};

use proto::{drafter::DraftTimings, model::Prompt};

use self::history::History;
use super::{
    Line,
    proposer::{Ask, Behind, Offer, Proposal, Proposer, agreement, unfinished},
};
use crate::{error::DraftError, metrics::Metrics};

/// Bytes of the end of the text that must have been said before, at first and at most, where there is nothing else to go by.
pub(super) const SHORTEST: RangeInclusive<usize> = 8..=8;
/// The same where a model would be asked instead. Measured on code, where short matches mislead most: a model's blocks are
/// worth more than those of matches under 16 bytes, and where replies repeat, matches are longer. A look-up that was wrong
/// needs twice as many, so that it yields to the model until the text repeats indeed.
pub(super) const SHORTEST_BEFORE_MODEL: RangeInclusive<usize> = 16..=history::LONGEST;
/// Bytes that are proposed for each byte that agrees.
const TRUST: usize = 2;
/// Between messages, and between prompt and reply: a byte that no text has, so that nothing is proposed from across.
const BORDER: u8 = 0xFF;

/// Proposes what the text has said before.
pub(super) struct Lookup {
    /// The prompt, the reply as far as it is committed or presumed, and what was proposed behind it.
    history: History,
    /// Bytes that must agree now, and the least and most of that.
    shortest: usize,
    within: RangeInclusive<usize>,
    /// Where the reply begins.
    start: usize,
    /// Bytes of the reply that are committed.
    committed: usize,
    /// Pieces that were proposed and not judged, as bytes of the reply.
    offered: Vec<Range<usize>>,
    metrics: Metrics,
}

impl Lookup {
    /// For a reply of which nothing is committed. Proposes where so many bytes agree. Takes time with the length of the prompt.
    pub(super) fn new(prompt: &Prompt, within: RangeInclusive<usize>, metrics: Metrics) -> Self {
        let mut history = History::default();
        match prompt {
            Prompt::Text(text) => history.extend(text.as_bytes()),
            Prompt::Conversation(messages) => {
                for message in messages {
                    history.extend(message.content.as_bytes());
                    history.extend(&[BORDER]);
                }
            }
        }
        Self {
            start: history.bytes().len(),
            history,
            shortest: *within.start(),
            within,
            committed: 0,
            offered: Vec::new(),
            metrics,
        }
    }

    /// Has the history begin with this reply, which begins with what is committed. What is proposed behind it stays if it still
    /// fits. Gives how much of the reply was there.
    fn set(&mut self, reply: &[u8]) -> usize {
        let held = &self.history.bytes()[self.start + self.committed..];
        let agreed = self.committed + agreement(held, &reply[self.committed..]);
        if agreed < reply.len() {
            self.history.truncate(self.start + agreed);
            self.history.extend(&reply[agreed..]);
        }
        agreed
    }

    /// What came behind the longest match, if there is one that is long enough.
    fn find(&self, ask: &Ask<'_>) -> Option<Proposal> {
        let found = self.history.find(self.shortest)?;
        let aim = ask.aim.min(ask.bounds.tokens);
        let most = (aim * pieces::LONGEST)
            .min(ask.bounds.bytes)
            .min(TRUST * found.length);
        let behind = self.history.behind(found.end, most);
        // Text only, and whole code points.
        let begun = unfinished(ask.reply);
        let whole = [&ask.reply[ask.reply.len() - begun..], &behind].concat();
        let valid = whole.utf8_chunks().next()?.valid().len();
        let mut text = behind;
        text.truncate(valid.checked_sub(begun)?);
        let mut token_ends = pieces::ends(&text);
        token_ends.truncate(aim);
        text.truncate(*token_ends.last()? as usize);
        Some(Proposal {
            text,
            token_ends,
            ..Proposal::default()
        })
    }
}

#[tonic::async_trait]
impl Proposer for Lookup {
    fn follow(&mut self, committed: &[u8], behind: Behind) -> bool {
        let agreed = self.set(committed);
        self.committed = committed.len();
        let kept = self.offered.partition_point(|piece| piece.end <= agreed);
        let is_contradicted = agreed < committed.len();
        // Where the text went another way ahead of it, it was not the look-up that was wrong.
        let next = self.offered.get(kept);
        let has_missed = is_contradicted && next.is_some_and(|piece| piece.start <= agreed);
        if kept > 0 {
            self.shortest = (self.shortest / 2).max(*self.within.start());
        } else if has_missed {
            self.shortest = (self.shortest * 2).min(*self.within.end());
        }
        self.offered.drain(..kept);
        self.metrics.kept_tokens.inc_by(kept as u64);
        if is_contradicted || behind != Behind::Presumed {
            self.history.truncate(self.start + committed.len());
            let dropped = std::mem::take(&mut self.offered).len();
            self.metrics.dropped_tokens.inc_by(dropped as u64);
        }
        true
    }

    async fn propose(&mut self, ask: Ask<'_>, _: &mut Line) -> Result<Offer, DraftError> {
        let base = ask.reply.len();
        self.set(ask.reply);
        self.history.truncate(self.start + base);
        let Some(proposal) = self.find(&ask) else {
            return Ok(Offer::Nothing);
        };
        self.history.extend(&proposal.text);
        let mut start = base;
        for end in &proposal.token_ends {
            let end = base + *end as usize;
            self.offered.push(start..end);
            start = end;
        }
        let pieces = proposal.token_ends.len();
        self.metrics.draft_tokens.inc_by(pieces as u64);
        Ok(Offer::Proposal(proposal))
    }

    async fn prepare(&mut self, _: &mut Line) -> Result<(), DraftError> {
        Ok(())
    }

    fn has_chores(&self) -> bool {
        false
    }

    async fn do_chore(&mut self, _: &mut DraftTimings, _: &mut Line) -> Result<(), DraftError> {
        Ok(())
    }

    fn positions(&self) -> usize {
        self.history.bytes().len()
    }
}
