//! The seam of drafting: a [`Proposer`] follows a reply and proposes its continuation.
//!
//! A session knows the protocol: rounds, bases, credit, verdicts. A proposer knows none of these. There are three: a model, a
//! look-up in the text itself, and a cascade of the two.

use proto::drafter::{DraftTimings, Draw, EndRole};

use super::stream::VerifierStream;
use crate::error::DraftError;

/// Bytes that a code point may have besides the first.
const MAX_CONTINUATION_BYTES: usize = 3;

/// Proposes the continuation of a reply.
#[tonic::async_trait]
pub(super) trait Proposer: Send {
    /// Takes in the reply as far as it is committed, which begins with what was committed before. Returns true if the draft
    /// after it still fits and can be continued.
    fn follow(&mut self, committed: &[u8], draft: DraftState) -> bool;

    /// Proposal after `ask.reply`: the committed text and, after it, what has been sent and not been judged. Tokens drafted before
    /// an interruption are kept for the next time.
    async fn propose(
        &mut self,
        ask: Ask<'_>,
        stream: &mut VerifierStream,
    ) -> Result<Offer, DraftError>;

    /// Does the work that must be done before the session is open.
    async fn prepare(&mut self, stream: &mut VerifierStream) -> Result<(), DraftError>;

    /// True if there is work for idle time: to catch up with the reply, or to draft for possible verdicts.
    fn has_chores(&self) -> bool;

    /// Does a part of that work, small enough not to delay a message for long.
    async fn do_chore(
        &mut self,
        timings: &mut DraftTimings,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError>;

    /// Number of positions that prompt and reply take up.
    fn positions(&self) -> usize;
}

/// State of the draft after the committed text, as a verdict leaves it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DraftState {
    /// Unanswered blocks may be kept, so the next one follows them if what they propose still fits.
    Presumed,
    /// The draft is sent again if it still fits.
    Doubtful,
    /// The draft is not sent again. A draw that was rejected in favour of a token without bytes would still fit the text, but it has
    /// been judged: it no longer follows the distribution that it was drawn from.
    Void,
}

/// Request to a proposer.
pub(super) struct Ask<'a> {
    /// Reply that the proposal follows.
    pub(super) reply: &'a [u8],
    /// Draft tokens wanted in the chain.
    pub(super) aim: usize,
    /// Alternatives that the block may have.
    pub(super) alternatives: usize,
    /// Least probability that a token is kept with all before it in the block; 0: everything is sent.
    pub(super) least_chance: f64,
    /// Limits of the proposal.
    pub(super) bounds: Bounds,
    /// Account to which time in the model is added.
    pub(super) timings: &'a mut DraftTimings,
}

/// Limits of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Draft tokens.
    pub(super) tokens: usize,
    /// Bytes.
    pub(super) bytes: usize,
}

/// Answer of a proposer.
#[derive(Debug)]
pub(super) enum Offer {
    /// Text, an end, or text and an end.
    Proposal(Proposal),
    /// No text that could follow this reply.
    Nothing,
    /// A message arrived in the meantime.
    Interrupted,
}

/// Draft tokens, and the end of the reply after them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Proposal {
    /// Bytes of the tokens.
    pub(super) text: Vec<u8>,
    /// Byte end in `text` of each token.
    pub(super) token_ends: Vec<u32>,
    /// Role of the token that ends the reply after them.
    pub(super) ends_with: Option<EndRole>,
    /// Alternatives to some of them, the likeliest first; none where the reply ends.
    pub(super) alternatives: Vec<Alternative>,
    /// Draw of each token; empty where the method needs none.
    pub(super) draws: Vec<Draw>,
}

/// A token in place of one of the chain.
#[derive(Debug, PartialEq)]
pub(super) struct Alternative {
    /// Number of chain tokens before it.
    pub(super) after: u32,
    /// Bytes of the token.
    pub(super) text: Vec<u8>,
}

/// Number of bytes at the end of `text` that begin a code point without finishing it.
pub(super) fn unfinished(text: &[u8]) -> usize {
    let begins_one = |length: &usize| {
        let error = std::str::from_utf8(&text[text.len() - length..]).err();
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let longest = text.len().min(MAX_CONTINUATION_BYTES);
    (1..=longest).find(begins_one).unwrap_or(0)
}

/// Length of the common prefix of two texts.
pub(super) fn agreement(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one == other).count()
}
