//! Reading of the prompt, with the log probabilities of its tokens where a request asks for them.

use inference::sampling::{DistributionError, DistributionEvaluator, History, Sampling, Scores};
use proto::verifier::{Part, Reading, TokenLogprob};

use super::{
    logprobs::scored,
    session::{Outbox, Session, send},
};
use crate::error::GenerateError;

/// Rows of logits that are read in one pass, each as large as the vocabulary.
const ROWS: usize = 64;

impl Session {
    /// Prefills all but the prompt's last token: that goes with the first round, which can thus verify a block. Meanwhile opens the
    /// drafter's stream. Reports the prompt if the request asks for it. Returns the number of cached tokens.
    pub(super) async fn read(&mut self, outbox: &Outbox) -> Result<usize, GenerateError> {
        let prompt = std::mem::take(&mut self.prompt);
        let prompt_tokens = prompt.len() as u32 + 1;
        if let Some(top) = self.plan.report.prompt_logprobs {
            self.read_scored(prompt, top, outbox).await?;
            return Ok(0);
        }
        let mut cached = 0;
        if !prompt.is_empty() {
            let pass = self.model.forward(prompt, 0, |_| ());
            cached = self.peer.during(pass).await?.reused;
        }
        if self.plan.report.reading {
            let reading = Reading {
                prompt_tokens,
                cached_tokens: cached as u32,
                tokens: Vec::new(),
            };
            send(outbox, Part::Reading(reading)).await?;
        }
        Ok(cached)
    }

    /// Prefills in passes of which every row is read, and sends the tokens that each scores: a row scores the token after it.
    async fn read_scored(
        &mut self,
        prompt: Vec<u32>,
        top: usize,
        outbox: &Outbox,
    ) -> Result<(), GenerateError> {
        let prompt_tokens = prompt.len() as u32 + 1;
        let scored_from = |tokens: Vec<TokenLogprob>| {
            let reading = Reading {
                prompt_tokens,
                cached_tokens: 0,
                tokens,
            };
            send(outbox, Part::Reading(reading))
        };
        let first = prompt.first().copied().unwrap_or(self.pending);
        let certain = Scores {
            chosen: 0.0,
            top: Vec::new(),
        };
        scored_from(vec![scored(&self.target, first, &certain)]).await?;
        let mut at = 0;
        while at < prompt.len() {
            let end = prompt.len().min(at + ROWS.min(self.model.room()));
            let next: Vec<u32> = prompt[at + 1..]
                .iter()
                .copied()
                .chain([self.pending])
                .take(end - at)
                .collect();
            let (vocab_size, asked) = (self.target.vocab_size(), next.clone());
            let read = move |logits: inference::engine::Logits<'_>| {
                let mut evaluator = DistributionEvaluator::new(Sampling::greedy(), vocab_size);
                let history = History::default();
                let rows = asked.iter().enumerate();
                rows.map(|(row, id)| evaluator.score(logits.row(row), &history, (*id, top)))
                    .collect::<Result<Vec<Scores>, DistributionError>>()
            };
            let pass = self.model.forward(prompt[at..end].to_vec(), end - at, read);
            let scores = self.peer.during(pass).await?.value?;
            let tokens = next.iter().zip(&scores);
            let tokens = tokens.map(|(id, scores)| scored(&self.target, *id, scores));
            scored_from(tokens.collect()).await?;
            at = end;
        }
        Ok(())
    }
}
