//! What drafting comes down to: something that follows a reply and proposes how it goes on.
//!
//! A session knows the protocol: rounds, bases, credit, verdicts. What is proposed it has from a [`Proposer`], which knows
//! nothing of these. There are three: a model, a look-up in the text itself, and a cascade of the two.

use proto::drafter::{DraftTimings, Draw, EndRole};

use super::stream::VerifierStream;
use crate::error::DraftError;

/// Bytes that a code point may have besides the first.
const MAX_CONTINUATION_BYTES: usize = 3;

/// Proposes how a reply goes on.
#[tonic::async_trait]
pub(super) trait Proposer: Send {
    /// Takes in the reply as far as it is committed, which begins with what was committed before. Says whether what has been
    /// proposed behind it still stands and can be gone on from.
    fn follow(&mut self, committed: &[u8], behind: Behind) -> bool;

    /// What may follow `ask.reply`: the committed text, and behind it what has been sent and is not judged. What was drafted
    /// when it is interrupted is kept for the next time.
    async fn propose(
        &mut self,
        ask: Ask<'_>,
        stream: &mut VerifierStream,
    ) -> Result<Offer, DraftError>;

    /// Does what has to be done before the session may be called open.
    async fn prepare(&mut self, stream: &mut VerifierStream) -> Result<(), DraftError>;

    /// Whether there is something to do in time without other work: to catch up with the reply, or to draft for verdicts that may
    /// come.
    fn has_chores(&self) -> bool;

    /// Does a part of it, small enough not to hold up a message for long.
    async fn do_chore(
        &mut self,
        timings: &mut DraftTimings,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError>;

    /// Positions that prompt and reply take up.
    fn positions(&self) -> usize;
}

/// What a verdict says of what is drafted behind the committed text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Behind {
    /// Unanswered blocks may be good, so the next one goes on behind them if what they propose still stands.
    Presumed,
    /// It is sent again if it still stands.
    Doubtful,
    /// It is not sent again. A draw that was refused in favour of a token without bytes would still fit the text, but it has
    /// been judged: it no longer follows the distribution that it was drawn from.
    Void,
}

/// What is asked of a proposer.
pub(super) struct Ask<'a> {
    /// The reply that the proposal follows.
    pub(super) reply: &'a [u8],
    /// Draft tokens to aim at.
    pub(super) aim: usize,
    /// Draft tokens that the block may have beside these.
    pub(super) alternatives: usize,
    /// How probable it must look that a token is kept with all before it in the block; 0: everything is sent.
    pub(super) least_chance: f64,
    /// What the proposal must not go beyond.
    pub(super) bounds: Bounds,
    /// Where time in the model is added.
    pub(super) timings: &'a mut DraftTimings,
}

/// What no block goes beyond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Draft tokens.
    pub(super) tokens: usize,
    /// Bytes.
    pub(super) bytes: usize,
}

/// What a proposer has.
#[derive(Debug)]
pub(super) enum Offer {
    /// Text, an end, or text and an end.
    Proposal(Proposal),
    /// Nothing that could follow this reply.
    Nothing,
    /// A message came in between.
    Interrupted,
}

/// Draft tokens, and how the reply may end behind them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Proposal {
    /// Their bytes.
    pub(super) text: Vec<u8>,
    /// Where each ends in them.
    pub(super) token_ends: Vec<u32>,
    /// The reply ends behind it.
    pub(super) ends_with: Option<EndRole>,
    /// What may stand in place of some of them, the likeliest first; none where the reply ends.
    pub(super) alternatives: Vec<Alternative>,
    /// How each was drawn; empty where the method need not know.
    pub(super) draws: Vec<Draw>,
}

/// A token that may stand in place of one that was drafted.
#[derive(Debug, PartialEq)]
pub(super) struct Alternative {
    /// Draft tokens that it follows.
    pub(super) after: u32,
    /// Its bytes.
    pub(super) text: Vec<u8>,
}

/// Bytes at the end of `text` that begin a code point without finishing it.
pub(super) fn unfinished(text: &[u8]) -> usize {
    let begins_one = |length: &usize| {
        let error = std::str::from_utf8(&text[text.len() - length..]).err();
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let longest = text.len().min(MAX_CONTINUATION_BYTES);
    (1..=longest).find(begins_one).unwrap_or(0)
}

/// How many bytes two texts have in common at the beginning.
pub(super) fn agreement(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one == other).count()
}
