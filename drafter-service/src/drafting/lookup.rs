//! Looking up, as a proposer: where the end of the text has been said before, what came behind it then is proposed.
//!
//! There is no model and no vocabulary. Text is bytes, the same for every target; what the protocol counts as draft tokens
//! are words and signs. The prompt is taken as its content, without any template.

mod chances;
mod history;
mod pieces;

use std::ops::Range;

use proto::{drafter::DraftTimings, model::Prompt};

use self::{chances::Chances, history::History};
use super::{
    proposer::{Ask, Behind, Offer, Proposal, Proposer, agreement, unfinished},
    stream::VerifierStream,
};
use crate::{error::DraftError, metrics::Metrics};

/// Bytes of the end of the text that must have been said before.
const SHORTEST: usize = 8;
/// How probable the first piece must be where a model would be asked instead. Measured on code, where short matches mislead most: a
/// model's blocks are worth more than those of matches under 16 bytes, and where replies repeat, matches are longer.
pub(super) const SURE_BEFORE_MODEL: f64 = 0.6;
/// Bytes that are proposed for each byte that agrees.
const TRUST: usize = 2;
/// Between messages, and between prompt and reply: a byte that no text has, so that nothing is proposed from across.
const BORDER: u8 = 0xFF;

/// Proposes what the text has said before.
pub(super) struct Lookup {
    /// The prompt, the reply as far as it is committed or presumed, and what was proposed behind it.
    history: History,
    chances: Chances,
    /// How probable the first piece of a proposal must be.
    sure: f64,
    /// Where the reply begins.
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
    /// Bytes ahead of it that agree, those of pieces ahead of it among them.
    agreeing: usize,
}

/// A piece that was found and not proposed: what becomes of it tells as much.
#[derive(Debug)]
struct Withheld {
    /// Where it would begin in the reply.
    start: usize,
    agreeing: usize,
    text: Vec<u8>,
}

impl Lookup {
    /// For a reply of which nothing is committed. Proposes where the first piece is `sure` enough. Takes time with the length of the
    /// prompt.
    pub(super) fn new(prompt: &Prompt, sure: f64, metrics: Metrics) -> Self {
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
            chances: Chances::default(),
            sure,
            committed: 0,
            offered: Vec::new(),
            withheld: None,
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

    /// What came behind the longest match, if there is one that is long enough, and the bytes that agree.
    fn find(&self, ask: &Ask<'_>) -> Option<(Proposal, usize)> {
        let found = self.history.find(SHORTEST)?;
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
        let proposal = Proposal {
            text,
            token_ends,
            ..Proposal::default()
        };
        Some((proposal, found.length))
    }

    /// How many pieces of a proposal behind so many agreeing bytes are probable enough.
    fn probable(&self, proposal: &Proposal, agreeing: usize, least_chance: f64) -> usize {
        if self.chances.of(agreeing) < self.sure {
            return 0;
        }
        let starts = std::iter::once(0).chain(proposal.token_ends.iter().copied());
        let mut chance = 1.0;
        let stands = starts.take(proposal.token_ends.len()).take_while(|start| {
            chance *= self.chances.of(agreeing + *start as usize);
            chance >= least_chance
        });
        stands.count()
    }

    /// Learns from what the reply says now, of which the first `agreed` bytes were expected.
    fn judge(&mut self, reply: &[u8], agreed: usize) {
        let kept = self
            .offered
            .partition_point(|piece| piece.place.end <= agreed);
        for piece in &self.offered[..kept] {
            self.chances.observe(piece.agreeing, true);
        }
        // Where the text went another way ahead of it, it was not the look-up that was wrong.
        if let Some(piece) = self.offered.get(kept)
            && agreed < reply.len()
            && piece.place.start <= agreed
        {
            self.chances.observe(piece.agreeing, false);
        }
        self.offered.drain(..kept);
        self.metrics.kept_tokens.inc_by(kept as u64);
    }

    /// The same with what was not proposed, once enough is known.
    fn judge_withheld(&mut self, reply: &[u8], agreed: usize) {
        let Some(Withheld {
            start,
            agreeing,
            text,
        }) = &self.withheld
        else {
            return;
        };
        let went_another_way = agreed < reply.len().min(*start);
        let said = reply.get(*start..).unwrap_or_default();
        let same = agreement(said, text);
        let is_known = same == text.len() || same < said.len();
        if is_known && !went_another_way {
            self.chances.observe(*agreeing, same == text.len());
        }
        if is_known || went_another_way {
            self.withheld = None;
        }
    }
}

#[tonic::async_trait]
impl Proposer for Lookup {
    fn follow(&mut self, committed: &[u8], behind: Behind) -> bool {
        let agreed = self.set(committed);
        self.committed = committed.len();
        self.judge(committed, agreed);
        self.judge_withheld(committed, agreed);
        let is_contradicted = agreed < committed.len();
        if is_contradicted || behind != Behind::Presumed {
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
