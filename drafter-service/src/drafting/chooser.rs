//! Choice of a draft token from the logits of its position. Runs on the model's thread.

mod coupling;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use alignment::{
    acceptance::{
        self, DraftDistribution, Method,
        alternatives::{Alternative as SecondBest, coupled_alternative, likeliest_alternative},
        sharpness::{SHARPNESSES, coupled_each},
    },
    noise::SharedNoise,
};
use inference::sampling::{
    Distribution, DistributionError, DistributionEvaluator, History, Sampling,
};
use proto::drafter::{Draw, EndRole, SparseDistribution};

use self::coupling::{Coupling, Guess};
use super::vocabulary::DraftVocabulary;

/// Least share of the likeliest token's probability that a token drafted under `coupled` has. Others have next to no chance, and
/// noise for a whole vocabulary would cost more than all else that is done for a token; any distribution is right for a draft.
const LEAST_SHARE: f32 = 1e-5;

/// Likeliest tokens among which the second best is found: others are hardly ever proposable instead.
const SECOND_BEST_OF: u32 = 8;

/// Most tokens of a distribution that is sent. It is the distribution drawn from, so leaving out the rest of the vocabulary is no error.
const DISTRIBUTION_TOKENS: usize = 64;

/// Chooses the tokens of one session.
pub(super) struct Chooser {
    vocabulary: Arc<DraftVocabulary>,
    policy: Policy,
    evaluator: DistributionEvaluator,
    history: History,
    /// Logits without those of tokens that cannot be proposed; empty until one of them is chosen.
    masked: Vec<f32>,
    sampling: Sampling,
    wants_second_best: bool,
}

/// Policy by which a token is chosen from its distribution.
enum Policy {
    /// By a rule, without sending a draw.
    Picked(Picking),
    /// Drawn, and the draw is sent.
    Drawn(Drawing),
}

/// A rule that picks one token of a distribution.
enum Picking {
    /// The likeliest; with the evaluator by which the second best is found, once one was wanted.
    Greedy(Option<Box<DistributionEvaluator>>),
    /// With the noise that the verifier has too.
    Coupled(Box<Coupling>),
}

/// Draws of one session.
struct Drawing {
    /// The drafter's own noise: a draw must not depend on the noise by which it is accepted.
    noise: SharedNoise,
    /// Number of tokens drawn so far.
    draws: u64,
    /// Token n may be drawn if bit n mod 8 of byte n / 8 is set.
    drawable: Vec<u8>,
    /// True if the distribution is sent, not only the probability.
    sends_distribution: bool,
    distribution: DraftDistribution,
}

/// A choice, with its draw where draws are sent.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) choice: Choice,
    pub(super) draw: Option<Draw>,
    /// The second best, where it is wanted and a token was chosen.
    pub(super) second_best: Option<SecondBest>,
    /// Choice of each sharpness, where the choice is coupled.
    guess: Option<Guess>,
}

/// Outcome of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A token with text.
    Token(u32),
    /// The end of the reply.
    End(EndRole),
}

/// Rules of choosing, from `Open`.
pub(super) struct Plan {
    /// The verifier's method.
    pub(super) method: Method,
    /// The request's sampling.
    pub(super) sampling: Sampling,
    /// Seed of the shared noise.
    pub(super) seed: u64,
    /// Factor on the distribution's logarithm.
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
            let coupling = Coupling::new(plan.seed, plan.sharpness);
            Policy::Picked(Picking::Coupled(Box::new(coupling)))
        } else if plan.method.needs_ids() {
            Policy::Drawn(Drawing {
                noise: SharedNoise::new(RandomState::new().hash_one(())),
                draws: 0,
                drawable: both(vocabulary.drawable(), &plan.drawable),
                sends_distribution: plan.method.needs_distributions(),
                distribution: DraftDistribution::default(),
            })
        } else {
            // The likeliest token at any temperature, penalties counted.
            sampling.temperature = 0.0;
            Policy::Picked(Picking::Greedy(None))
        };
        Self {
            evaluator: DistributionEvaluator::new(sampling.clone(), vocabulary.size()),
            sampling,
            vocabulary,
            policy,
            history: History::new(prompt),
            masked: Vec::new(),
            wants_second_best: false,
        }
    }

    /// Sets whether choices come with the second best from now on.
    pub(super) fn want_second_best(&mut self, wanted: bool) {
        self.wants_second_best = wanted;
        if let Policy::Picked(Picking::Greedy(second_bests)) = &mut self.policy
            && wanted
            && second_bests.is_none()
        {
            let sampling = Sampling {
                temperature: 1.0,
                top_k: SECOND_BEST_OF,
                ..self.sampling.clone()
            };
            *second_bests = Some(Box::new(DistributionEvaluator::new(
                sampling,
                self.vocabulary.size(),
            )));
        }
    }

    /// Learns from the reply as far as it is committed. The draft agrees with its first `agreed` bytes.
    pub(super) fn learn(&mut self, committed: &[u8], agreed: usize) {
        if let Policy::Picked(Picking::Coupled(coupling)) = &mut self.policy {
            coupling.learn(committed, agreed, &self.vocabulary);
        }
    }

    /// Forgets what was drafted and guessed after the first `length` bytes of the reply.
    pub(super) fn forget_after(&mut self, length: usize) {
        if let Policy::Picked(Picking::Coupled(coupling)) = &mut self.policy {
            coupling.forget_from(length + 1);
        }
    }

    /// Replaces the reply's tokens by `reply`, of which the first `unchanged` are the same.
    pub(super) fn follow(&mut self, reply: &[u32], unchanged: usize) {
        self.history.truncate(unchanged);
        for id in &reply[unchanged..] {
            self.history.push(*id);
        }
    }

    /// Chooses the token that starts `offset` bytes into the reply, and adds it to the history.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        offset: u64,
    ) -> Result<Chosen, DistributionError> {
        let chosen = self.pick(logits, offset)?;
        if let Choice::Token(id) = chosen.choice {
            self.history.push(id);
        }
        if let (Some(guess), Policy::Picked(Picking::Coupled(coupling))) =
            (chosen.guess, &mut self.policy)
        {
            coupling.guessed(offset as usize, guess);
        }
        Ok(chosen)
    }

    /// Chooses the token that starts `offset` bytes into the reply, if its first `kept` tokens were followed by `branch`; leaves
    /// the history as it is.
    pub(super) fn choose_on_branch(
        &mut self,
        logits: &[f32],
        offset: u64,
        (kept, branch): (usize, &[u32]),
    ) -> Result<Chosen, DistributionError> {
        let replaced = self.history.replace(kept, branch);
        let chosen = self.pick(logits, offset);
        self.history.replace(kept, &replaced);
        chosen
    }

    fn pick(&mut self, logits: &[f32], offset: u64) -> Result<Chosen, DistributionError> {
        let (mut second_best, mut guess) = (None, None);
        let (id, draw) = match &mut self.policy {
            Policy::Picked(picking) => {
                let mut distribution = self.evaluator.evaluate(logits, &self.history)?;
                let mut id;
                (id, guess) = picking.pick(distribution, offset, &self.vocabulary);
                // Only where such a token came first, so that the common case copies nothing.
                if !self.vocabulary.is_proposable(id) {
                    let may_be = |id| self.vocabulary.is_proposable(id);
                    mask(logits, &mut self.masked, may_be);
                    distribution = self.evaluator.evaluate(&self.masked, &self.history)?;
                    (id, guess) = picking.pick(distribution, offset, &self.vocabulary);
                }
                if self.wants_second_best {
                    let position = (logits, &self.history, offset);
                    second_best =
                        picking.second_best((distribution, id), position, &self.vocabulary)?;
                }
                (id, None)
            }
            Policy::Drawn(drawing) => {
                mask(logits, &mut self.masked, |id| drawing.may_draw(id));
                let distribution = self.evaluator.evaluate(&self.masked, &self.history)?;
                let draw = drawing
                    .draw(distribution)
                    .ok_or(DistributionError::Nothing)?;
                (draw.id, Some(draw))
            }
        };
        let ending = self.vocabulary.end_role(id);
        let choice = ending.map_or(Choice::Token(id), Choice::End);
        let second_best = second_best.filter(|_| matches!(choice, Choice::Token(_)));
        Ok(Chosen {
            choice,
            draw,
            second_best,
            guess,
        })
    }
}

/// Copies `logits` into `masked`, without those of tokens that may not be chosen.
fn mask(logits: &[f32], masked: &mut Vec<f32>, may_be: impl Fn(u32) -> bool) {
    masked.clear();
    let kept = (0..).zip(logits).map(|(id, logit)| {
        if may_be(id) {
            *logit
        } else {
            f32::NEG_INFINITY
        }
    });
    masked.extend(kept);
}

impl Picking {
    fn pick(
        &self,
        distribution: Distribution<'_>,
        offset: u64,
        vocabulary: &DraftVocabulary,
    ) -> (u32, Option<Guess>) {
        let distribution = native(distribution);
        match self {
            Self::Greedy(_) => (acceptance::greedy(&distribution), None),
            // Tokens without bytes are never drafted before another one, so none precedes this at its offset.
            Self::Coupled(coupling) => {
                let position = coupling.noise.at(offset, 0);
                let guess = coupled_each(&distribution, &position, |id| vocabulary.key(id));
                (guess[coupling.sharpness.index()], Some(guess))
            }
        }
    }

    /// The second best after `first`.
    fn second_best(
        &mut self,
        (distribution, first): (Distribution<'_>, u32),
        (logits, history, offset): (&[f32], &History, u64),
        vocabulary: &DraftVocabulary,
    ) -> Result<Option<SecondBest>, DistributionError> {
        let key = |id| {
            let key = vocabulary.key(id);
            (!key.0.is_empty() && vocabulary.end_role(id).is_none()).then_some(key)
        };
        Ok(match self {
            Self::Greedy(None) => None,
            Self::Greedy(Some(second_bests)) => {
                let distribution = second_bests.evaluate(logits, history)?;
                likeliest_alternative(&native(distribution), first, |id| key(id).is_some())
            }
            Self::Coupled(coupling) => {
                let noise = coupling.noise.at(offset, 0);
                let sharpness = SHARPNESSES[coupling.sharpness.index()];
                coupled_alternative(&native(distribution), (sharpness, first), &noise, key)
            }
        })
    }
}

impl Drawing {
    fn may_draw(&self, id: u32) -> bool {
        let byte = self.drawable.get(id as usize / 8).copied();
        byte.is_some_and(|byte| byte >> (id % 8) & 1 == 1)
    }

    /// Draws from a distribution, cut to what is sent; `None` where nothing in it can be drawn.
    fn draw(&mut self, distribution: Distribution<'_>) -> Option<Draw> {
        let distribution = native(distribution);
        let sent = self
            .distribution
            .restrict(&distribution, DISTRIBUTION_TOKENS, |_| true)?;
        let id = sent.sample(&self.noise.at(self.draws, 0));
        let log_prob = sent.probability(id).ln().min(0.0) as f32;
        self.draws += 1;
        let distribution = self.sends_distribution.then(|| SparseDistribution {
            ids: self.distribution.ids().to_vec(),
            log_probs: self.distribution.log_probs().to_vec(),
        });
        Some(Draw {
            id,
            log_prob,
            distribution,
        })
    }
}

/// A distribution as acceptance takes it.
fn native(distribution: Distribution<'_>) -> acceptance::Distribution<'_> {
    acceptance::Distribution {
        ids: distribution.ids,
        log_probs: distribution.log_probs,
    }
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
