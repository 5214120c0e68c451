//! Which token is drafted, from the logits of its position. Runs on the model's thread.

use std::sync::Arc;

use alignment::{
    acceptance::{self, Method},
    noise::SharedNoise,
};
use inference::sampling::{History, Law, LawError, LawEvaluator, Sampling};
use proto::drafter::EndRole;

use super::vocabulary::DraftVocabulary;

/// Tokens that are so much less likely than the likeliest are not drafted under `coupled`. They have next to no chance, and
/// noise for a whole vocabulary would cost more than all else that is done for a token; any law is right for a draft.
const LEAST_SHARE: f32 = 1e-5;

/// Chooses the tokens of one session.
pub(super) struct Chooser {
    vocabulary: Arc<DraftVocabulary>,
    policy: Policy,
    evaluator: LawEvaluator,
    history: History,
    /// Logits without those of tokens that cannot be proposed; empty until one of them is chosen.
    masked: Vec<f32>,
}

/// How a token is chosen from its law.
enum Policy {
    /// The likeliest.
    Greedy,
    /// With the noise that the verifier has too.
    Coupled { noise: SharedNoise, sharpness: f32 },
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A token with text.
    Token(u32),
    /// The end of the reply.
    End(EndRole),
}

/// What decides about choices, from `Open`.
pub(super) struct Plan {
    /// The verifier's method.
    pub(super) method: Method,
    /// The request's sampling.
    pub(super) sampling: Sampling,
    /// Seed of the shared noise.
    pub(super) seed: u64,
    /// Factor on the law's logarithm.
    pub(super) sharpness: f32,
}

impl Chooser {
    /// A chooser for a reply to `prompt`.
    pub(super) fn new(vocabulary: Arc<DraftVocabulary>, plan: Plan, prompt: &[u32]) -> Self {
        let mut sampling = plan.sampling;
        let policy = if plan.method == Method::Coupled {
            sampling.min_p = sampling.min_p.max(LEAST_SHARE);
            Policy::Coupled {
                noise: SharedNoise::new(plan.seed),
                sharpness: plan.sharpness,
            }
        } else {
            // The likeliest token whatever the temperature, penalties counted.
            sampling.temperature = 0.0;
            Policy::Greedy
        };
        Self {
            evaluator: LawEvaluator::new(sampling, vocabulary.size()),
            vocabulary,
            policy,
            history: History::new(prompt),
            masked: Vec::new(),
        }
    }

    /// The reply's tokens are now those of `reply`, of which so many are what they were.
    pub(super) fn follow(&mut self, reply: &[u32], unchanged: usize) {
        self.history.truncate(unchanged);
        for id in &reply[unchanged..] {
            self.history.push(*id);
        }
    }

    /// Chooses the token that starts `offset` bytes into the reply, and counts it as said.
    pub(super) fn choose(&mut self, logits: &[f32], offset: u64) -> Result<Choice, LawError> {
        let law = self.evaluator.evaluate(logits, &self.history)?;
        let mut id = self.policy.pick(law, offset, &self.vocabulary);
        if !self.vocabulary.is_proposable(id) {
            self.mask(logits);
            let law = self.evaluator.evaluate(&self.masked, &self.history)?;
            id = self.policy.pick(law, offset, &self.vocabulary);
        }
        if let Some(role) = self.vocabulary.end_role(id) {
            return Ok(Choice::End(role));
        }
        self.history.push(id);
        Ok(Choice::Token(id))
    }

    /// Leaves out what cannot be proposed. Only where such a token came first, so that the common case copies nothing.
    fn mask(&mut self, logits: &[f32]) {
        self.masked.clear();
        self.masked.extend_from_slice(logits);
        for (id, logit) in (0..).zip(&mut self.masked) {
            if !self.vocabulary.is_proposable(id) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

impl Policy {
    fn pick(&self, law: Law<'_>, offset: u64, vocabulary: &DraftVocabulary) -> u32 {
        let law = acceptance::Law {
            ids: law.ids,
            log_probs: law.log_probs,
        };
        match self {
            Self::Greedy => acceptance::greedy(&law),
            // Tokens without bytes are never drafted before another one, so none precedes this at its offset.
            Self::Coupled { noise, sharpness } => {
                let position = noise.at(offset, 0);
                acceptance::coupled(&law, *sharpness, &position, |id| vocabulary.key(id))
            }
        }
    }
}
