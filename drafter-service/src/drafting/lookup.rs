//! Look-up as a proposer: where the end of the text occurred before, it proposes what followed then.
//!
//! There is no model and no vocabulary. Text is bytes, the same for every target; what the protocol counts as draft tokens
//! are words and signs. The prompt is taken as its content, without a template.

mod chances;
mod history;
mod pieces;

use std::ops::Range;

use proto::{drafter::DraftTimings, model::Prompt};

use self::{chances::Chances, history::History};
use super::{
    proposer::{Ask, DraftState, Offer, Proposal, Proposer, agreement, unfinished},
    stream::VerifierStream,
};
use crate::{error::DraftError, metrics::Metrics};

/// Bytes of the end of the text that must have occurred before.
const SHORTEST: usize = 8;
/// Least probability of the first piece where a model would be asked instead. Measured on code, where short matches mislead most: a
/// model's blocks are worth more than those of matches under 16 bytes, and where replies repeat, matches are longer.
pub(super) const SURE_BEFORE_MODEL: f64 = 0.6;
/// Bytes that are proposed for each byte that agrees.
const TRUST: usize = 2;
/// Between messages, and between prompt and reply: a byte that no text has, so that nothing is proposed from across.
const BORDER: u8 = 0xFF;

/// Proposes what followed an earlier occurrence of the text's end.
pub(super) struct Lookup {
    /// The prompt, the reply as far as it is committed or presumed, and the proposal after it.
    history: History,
    chances: Chances,
    /// Least probability of the first piece of a proposal.
    sure: f64,
    /// Offset at which the reply begins.
    start: usize,
    /// Bytes of the reply that are committed.
    committed: usize,
    /// Pieces that were proposed and not judged.
    offered: Vec<Piece>,
    withheld: Option<Withheld>,
    metrics: Metrics,
}

/// A piece that may follow.
#[derive(Debug)]
struct Piece {
    /// Its bytes of the reply.
    place: Range<usize>,
    /// Matching bytes before it, those of pieces before it among them.
    agreeing: usize,
}

/// A piece that was found and not proposed. Its outcome counts like that of a proposed one.
#[derive(Debug)]
struct Withheld {
    /// Offset in the reply at which it would begin.
    start: usize,
    agreeing: usize,
    text: Vec<u8>,
}

impl Lookup {
    /// Look-up for a reply of which nothing is committed. It proposes where the first piece has a probability of at least `sure`.
    /// O(length of the prompt).
    pub(super) fn new(prompt: &Prompt, sure: f64, metrics: Metrics) -> Self {
        let mut history = History::default();
        match prompt {
            Prompt::Text(text) => history.extend(text.as_bytes()),
            Prompt::Conversation(conversation) => {
                for message in &conversation.messages {
                    history.extend(message.content.as_bytes());
                    history.extend(&[BORDER]);
                }
            }
            // The reply follows the prefix.
            Prompt::Infill { prefix, suffix } => {
                history.extend(suffix.as_bytes());
                history.extend(&[BORDER]);
                history.extend(prefix.as_bytes());
            }
            Prompt::Tokens(_) => {}
        }
        Self {
            start: history.bytes().len(),
            history,
            chances: Chances::default(),
            sure,
            committed: 0,
            offered: Vec::new(),
            withheld: None,
            metrics,
        }
    }

    /// Makes the history begin with this reply, which begins with what is committed. The proposal after it stays if it still
    /// fits. Returns how many bytes of the reply were there.
    fn set(&mut self, reply: &[u8]) -> usize {
        let held = &self.history.bytes()[self.start + self.committed..];
        let agreed = self.committed + agreement(held, &reply[self.committed..]);
        if agreed < reply.len() {
            self.history.truncate(self.start + agreed);
            self.history.extend(&reply[agreed..]);
        }
        agreed
    }

    /// Text that followed the longest match, if one is long enough, and the number of matching bytes.
    fn find(&self, ask: &Ask<'_>) -> Option<(Proposal, usize)> {
        let found = self.history.find(SHORTEST)?;
        let aim = ask.aim.min(ask.bounds.tokens);
        let most = (aim * pieces::LONGEST)
            .min(ask.bounds.bytes)
            .min(TRUST * found.length);
        let after = self.history.after(found.end, most);
        // Text only, and whole code points.
        let begun = unfinished(ask.reply);
        let whole = [&ask.reply[ask.reply.len() - begun..], &after].concat();
        let valid = whole.utf8_chunks().next()?.valid().len();
        let mut text = after;
        text.truncate(valid.checked_sub(begun)?);
        let mut token_ends = pieces::ends(&text);
        token_ends.truncate(aim);
        text.truncate(*token_ends.last()? as usize);
        let proposal = Proposal {
            text,
            token_ends,
            ..Proposal::default()
        };
        Some((proposal, found.length))
    }

    /// Number of pieces of a proposal after `agreeing` matching bytes that are probable enough.
    fn probable(&self, proposal: &Proposal, agreeing: usize, least_chance: f64) -> usize {
        if self.chances.of(agreeing) < self.sure {
            return 0;
        }
        let starts = std::iter::once(0).chain(proposal.token_ends.iter().copied());
        let mut chance = 1.0;
        let kept = starts.take(proposal.token_ends.len()).take_while(|start| {
            chance *= self.chances.of(agreeing + *start as usize);
            chance >= least_chance
        });
        kept.count()
    }

    /// Learns from the reply, of which the first `agreed` bytes were expected.
    fn judge(&mut self, reply: &[u8], agreed: usize) {
        let kept = self
            .offered
            .partition_point(|piece| piece.place.end <= agreed);
        for piece in &self.offered[..kept] {
            self.chances.observe(piece.agreeing, true);
        }
        // Where the text differs before the piece, the piece was not tested.
        if let Some(piece) = self.offered.get(kept)
            && agreed < reply.len()
            && piece.place.start <= agreed
        {
            self.chances.observe(piece.agreeing, false);
        }
        self.offered.drain(..kept);
        self.metrics.kept_tokens.inc_by(kept as u64);
    }

    /// The same for the piece that was not proposed, once enough of the text is known.
    fn judge_withheld(&mut self, reply: &[u8], agreed: usize) {
        let Some(Withheld {
            start,
            agreeing,
            text,
        }) = &self.withheld
        else {
            return;
        };
        let is_untested = agreed < reply.len().min(*start);
        let text_there = reply.get(*start..).unwrap_or_default();
        let same = agreement(text_there, text);
        let is_known = same == text.len() || same < text_there.len();
        if is_known && !is_untested {
            self.chances.observe(*agreeing, same == text.len());
        }
        if is_known || is_untested {
            self.withheld = None;
        }
    }
}

#[tonic::async_trait]
impl Proposer for Lookup {
    fn follow(&mut self, committed: &[u8], draft: DraftState) -> bool {
        let agreed = self.set(committed);
        self.committed = committed.len();
        self.judge(committed, agreed);
        self.judge_withheld(committed, agreed);
        let is_contradicted = agreed < committed.len();
        if is_contradicted || draft != DraftState::Presumed {
            self.history.truncate(self.start + committed.len());
            let dropped = std::mem::take(&mut self.offered).len();
            self.metrics.dropped_tokens.inc_by(dropped as u64);
        }
        true
    }

    async fn propose(&mut self, ask: Ask<'_>, _: &mut VerifierStream) -> Result<Offer, DraftError> {
        let base = ask.reply.len();
        self.set(ask.reply);
        self.history.truncate(self.start + base);
        let Some((mut proposal, agreeing)) = self.find(&ask) else {
            return Ok(Offer::Nothing);
        };
        let probable = self.probable(&proposal, agreeing, ask.least_chance);
        if probable == 0 {
            proposal.text.truncate(proposal.token_ends[0] as usize);
            self.withheld = Some(Withheld {
                start: base,
                agreeing,
                text: proposal.text,
            });
            return Ok(Offer::Nothing);
        }
        proposal.token_ends.truncate(probable);
        let starts = std::iter::once(0).chain(proposal.token_ends.iter().copied());
        let pieces = starts.zip(&proposal.token_ends).map(|(start, end)| Piece {
            place: base + start as usize..base + *end as usize,
            agreeing: agreeing + start as usize,
        });
        self.offered.extend(pieces);
        proposal
            .text
            .truncate(proposal.token_ends[probable - 1] as usize);
        self.history.extend(&proposal.text);
        self.metrics.draft_tokens.inc_by(probable as u64);
        Ok(Offer::Proposal(proposal))
    }

    async fn prepare(&mut self, _: &mut VerifierStream) -> Result<(), DraftError> {
        Ok(())
    }

    fn has_chores(&self) -> bool {
        false
    }

    async fn do_chore(
        &mut self,
        _: &mut DraftTimings,
        _: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        Ok(())
    }

    fn positions(&self) -> usize {
        self.history.bytes().len()
    }
}
