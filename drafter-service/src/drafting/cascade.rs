//! Cascade of a look-up and a model: the model is asked only where the look-up proposes nothing.

use inference::engine::EngineError;
use proto::drafter::DraftTimings;

use super::{
    draft_model::ModelProposer,
    lookup::Lookup,
    proposer::{Ask, DraftState, Offer, Proposer},
    stream::VerifierStream,
};
use crate::error::DraftError;

/// A look-up before a model. Both follow the reply; the model reads it when it is asked, and in idle moments.
pub(super) struct Cascade {
    lookup: Lookup,
    model: ModelProposer,
    /// True once the model's context is full: it is asked no more.
    is_model_full: bool,
}

impl Cascade {
    /// Cascade of these two.
    pub(super) fn new(lookup: Lookup, model: ModelProposer) -> Self {
        Self {
            lookup,
            model,
            is_model_full: false,
        }
    }

    /// Result of the model, or `full` where its context is full, which ends nothing here.
    fn unless_full<T>(&mut self, result: Result<T, DraftError>, full: T) -> Result<T, DraftError> {
        if let Err(DraftError::Engine(EngineError::ContextFull { .. })) = result {
            self.is_model_full = true;
            return Ok(full);
        }
        result
    }
}

#[tonic::async_trait]
impl Proposer for Cascade {
    fn follow(&mut self, committed: &[u8], draft: DraftState) -> bool {
        // The proposal may be the look-up's: the model takes in what is presumed when it is asked.
        self.model.follow(committed, draft);
        self.lookup.follow(committed, draft)
    }

    async fn propose(
        &mut self,
        ask: Ask<'_>,
        stream: &mut VerifierStream,
    ) -> Result<Offer, DraftError> {
        let Ask {
            reply,
            aim,
            alternatives,
            least_chance,
            bounds,
            timings,
        } = ask;
        let first = Ask {
            reply,
            aim,
            alternatives,
            least_chance,
            bounds,
            timings: &mut *timings,
        };
        let offer = self.lookup.propose(first, stream).await?;
        if self.is_model_full || !matches!(offer, Offer::Nothing) {
            return Ok(offer);
        }
        let then = Ask {
            reply,
            aim,
            alternatives,
            least_chance,
            bounds,
            timings,
        };
        let offer = self.model.propose(then, stream).await;
        self.unless_full(offer, Offer::Nothing)
    }

    async fn prepare(&mut self, stream: &mut VerifierStream) -> Result<(), DraftError> {
        self.lookup.prepare(stream).await?;
        // While the verifier reads the prompt: later, the time would count as that of a block.
        let read = self.model.prepare(stream).await;
        self.unless_full(read, ())
    }

    fn has_chores(&self) -> bool {
        !self.is_model_full && self.model.has_chores()
    }

    async fn do_chore(
        &mut self,
        timings: &mut DraftTimings,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        let done = self.model.do_chore(timings, stream).await;
        self.unless_full(done, ())
    }

    fn positions(&self) -> usize {
        self.model.positions()
    }
}
