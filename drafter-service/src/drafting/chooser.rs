//! Which token is drafted, from the logits of its position. Runs on the model's thread.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use alignment::{
    acceptance::{self, Method},
    noise::SharedNoise,
};
use inference::sampling::{History, Law, LawError, LawEvaluator, Sampling};
use proto::drafter::{Draw, EndRole, SparseLaw};

use super::vocabulary::DraftVocabulary;

/// Tokens that are so much less likely than the likeliest are not drafted under `coupled`. They have next to no chance, and
/// noise for a whole vocabulary would cost more than all else that is done for a token; any law is right for a draft.
const LEAST_SHARE: f32 = 1e-5;

/// Tokens of a law that is sent. It is the law drawn from, so leaving out the rest of the vocabulary is no error.
const LAW_TOKENS: u32 = 64;

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
    /// Drawn, and how it was drawn is told.
    Drawn(Drawing),
}

/// How tokens are drawn.
struct Drawing {
    /// This drafter's own: what is drawn must not depend on the noise by which it is accepted.
    noise: SharedNoise,
    /// Tokens drawn so far.
    draws: u64,
    /// Token n may be drawn if bit n mod 8 of byte n / 8 is set.
    drawable: Vec<u8>,
    /// Whether the law is told, not only the probability.
    tells_law: bool,
}

/// A choice, and how it was drawn where that is told.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) choice: Choice,
    pub(super) draw: Option<Draw>,
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
    /// Tokens that may be drawn, as bits; empty: all.
    pub(super) drawable: Vec<u8>,
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
        } else if plan.method.needs_ids() {
            let most = if sampling.top_k == 0 {
                LAW_TOKENS
            } else {
                sampling.top_k
            };
            sampling.top_k = most.min(LAW_TOKENS);
            Policy::Drawn(Drawing {
                noise: SharedNoise::new(RandomState::new().hash_one(())),
                draws: 0,
                drawable: both(vocabulary.drawable(), &plan.drawable),
                tells_law: plan.method.needs_laws(),
            })
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
    pub(super) fn choose(&mut self, logits: &[f32], offset: u64) -> Result<Chosen, LawError> {
        if let Policy::Drawn(drawing) = &mut self.policy {
            self.masked.clear();
            self.masked.extend_from_slice(logits);
            drawing.mask(&mut self.masked);
            let law = self.evaluator.evaluate(&self.masked, &self.history)?;
            let draw = drawing.draw(law);
            let choice = self.say(draw.id);
            let draw = Some(draw);
            return Ok(Chosen { choice, draw });
        }
        let law = self.evaluator.evaluate(logits, &self.history)?;
        let mut id = self.policy.pick(law, offset, &self.vocabulary);
        if !self.vocabulary.is_proposable(id) {
            self.mask(logits);
            let law = self.evaluator.evaluate(&self.masked, &self.history)?;
            id = self.policy.pick(law, offset, &self.vocabulary);
        }
        let choice = self.say(id);
        Ok(Chosen { choice, draw: None })
    }

    /// Counts a token as said, unless it ends the reply.
    fn say(&mut self, id: u32) -> Choice {
        if let Some(role) = self.vocabulary.end_role(id) {
            return Choice::End(role);
        }
        self.history.push(id);
        Choice::Token(id)
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
            Self::Greedy | Self::Drawn(_) => acceptance::greedy(&law),
            // Tokens without bytes are never drafted before another one, so none precedes this at its offset.
            Self::Coupled { noise, sharpness } => {
                let position = noise.at(offset, 0);
                acceptance::coupled(&law, *sharpness, &position, |id| vocabulary.key(id))
            }
        }
    }
}

impl Drawing {
    /// Rules out what may not be drawn.
    fn mask(&self, logits: &mut [f32]) {
        for (id, logit) in logits.iter_mut().enumerate() {
            let byte = self.drawable.get(id / 8).copied().unwrap_or(0);
            if byte >> (id % 8) & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// Draws from a law, as it will be told.
    fn draw(&mut self, law: Law<'_>) -> Draw {
        let mut entries: Vec<(u32, f32)> = law
            .ids
            .iter()
            .copied()
            .zip(law.log_probs.iter().copied())
            .collect();
        entries.retain(|(_, log_prob)| log_prob.is_finite());
        entries.sort_unstable_by_key(|(id, _)| *id);
        let (ids, log_probs): (Vec<u32>, Vec<f32>) = entries
            .iter()
            .map(|(id, log_prob)| (*id, log_prob.min(0.0)))
            .unzip();
        let position = self.noise.at(self.draws, 0);
        self.draws += 1;
        // The law has a sum of one, so it is never refused; if it were, the likeliest token would be as good as any.
        let id = acceptance::SparseLaw::new(&ids, &log_probs, usize::MAX)
            .map_or_else(|_| likeliest(&entries), |law| law.sample(&position));
        let at = ids.binary_search(&id).unwrap_or_default();
        Draw {
            id,
            log_prob: log_probs.get(at).copied().unwrap_or_default(),
            law: self.tells_law.then_some(SparseLaw { ids, log_probs }),
        }
    }
}

fn likeliest(entries: &[(u32, f32)]) -> u32 {
    let best = entries.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or(0, |(id, _)| *id)
}

/// The bits of both sets; all of the first where the second is empty.
fn both(mine: &[u8], wanted: &[u8]) -> Vec<u8> {
    if wanted.is_empty() {
        return mine.to_vec();
    }
    mine.iter()
        .zip(wanted)
        .map(|(mine, wanted)| mine & wanted)
        .collect()
}
