//! Evaluation of distributions.

use super::{
    allowed::Allowed,
    history::History,
    mass,
    parameters::Sampling,
    selection::{self, Limits, Scaled, TokenLogit},
};

/// Lower temperatures that are not 0 count as this one: any distribution there is a step already.
const COLDEST: f32 = 1e-6;

/// The distribution of a next token: ids in ascending order and natural-log probabilities, which add up to 1.
/// Tokens that are not in it have no probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution<'a> {
    /// Tokens that can come next.
    pub ids: &'a [u32],
    /// Their log probabilities, in the same order.
    pub log_probs: &'a [f32],
}

/// Logits that no distribution follows from: the forward pass went wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DistributionError {
    /// A logit is not a number, or infinite upwards.
    #[error("the logit of token {id} is {logit}")]
    NotFinite {
        /// The first such token.
        id: u32,
        /// Its logit.
        logit: f32,
    },
    /// Every logit is minus infinity.
    #[error("no token is possible")]
    Nothing,
    /// Fewer logits than tokens.
    #[error("{found} logits for a vocabulary of {expected}")]
    Length {
        /// Logits.
        found: usize,
        /// Tokens.
        expected: usize,
    },
}

/// Evaluates distributions one position after another. Holds scratch space, so that a position allocates
/// nothing that grows with the vocabulary.
#[derive(Debug)]
pub struct DistributionEvaluator {
    sampling: Sampling,
    vocab_size: usize,
    pub(super) adjusted: Vec<f32>,
    pub(super) tops: Vec<f32>,
    pub(super) candidates: Vec<TokenLogit>,
    ids: Vec<u32>,
    log_probs: Vec<f32>,
}

impl DistributionEvaluator {
    /// An evaluator of valid `sampling` over a vocabulary. Ids of a bias that are not in it are ignored.
    pub fn new(sampling: Sampling, vocab_size: usize) -> Self {
        Self {
            sampling,
            vocab_size,
            adjusted: Vec::new(),
            tops: Vec::new(),
            candidates: Vec::new(),
            ids: Vec::new(),
            log_probs: Vec::new(),
        }
    }

    /// The distribution of the token that follows `history`, from the logits of its position.
    ///
    /// Logits past the vocabulary are padding of the model's matrix and never in the distribution. A logit of
    /// minus infinity means that its token is impossible.
    pub fn evaluate(
        &mut self,
        logits: &[f32],
        history: &History,
    ) -> Result<Distribution<'_>, DistributionError> {
        self.evaluate_among(logits, history, Allowed::default())
    }

    /// The same with no probability for tokens that `allowed` leaves out.
    pub fn evaluate_among(
        &mut self,
        logits: &[f32],
        history: &History,
        allowed: Allowed<'_>,
    ) -> Result<Distribution<'_>, DistributionError> {
        let logits = self.within_vocabulary(logits)?;
        let mut adjusted = std::mem::take(&mut self.adjusted);
        let mut changed = self.adjust(logits, history, &mut adjusted);
        if !allowed.is_everything() {
            if !changed {
                adjusted.clear();
                adjusted.extend_from_slice(logits);
                changed = true;
            }
            allowed.apply(&mut adjusted);
        }
        let outcome = self.fill(if changed { &adjusted } else { logits });
        self.adjusted = adjusted;
        outcome?;
        Ok(Distribution {
            ids: &self.ids,
            log_probs: &self.log_probs,
        })
    }

    /// Logits without the padding after them.
    pub(super) fn within_vocabulary<'a>(
        &self,
        logits: &'a [f32],
    ) -> Result<&'a [f32], DistributionError> {
        logits
            .get(..self.vocab_size)
            .ok_or(DistributionError::Length {
                found: logits.len(),
                expected: self.vocab_size,
            })
    }

    /// Applies bias and penalties to a copy in `to`, if there are any.
    pub(super) fn adjust(&self, logits: &[f32], history: &History, to: &mut Vec<f32>) -> bool {
        let sampling = &self.sampling;
        let penalties = sampling.has_penalties();
        if sampling.logit_bias.is_empty() && !penalties {
            return false;
        }
        to.clear();
        to.extend_from_slice(logits);
        for &(id, bias) in &sampling.logit_bias {
            if let Some(logit) = to.get_mut(id as usize) {
                *logit += bias;
            }
        }
        if penalties {
            for id in history.seen() {
                if let Some(logit) = to.get_mut(id as usize) {
                    let penalty = sampling.repetition_penalty;
                    *logit = if *logit > 0.0 {
                        *logit / penalty
                    } else {
                        *logit * penalty
                    };
                }
            }
            for (id, count) in history.counts() {
                if let Some(logit) = to.get_mut(id as usize) {
                    *logit -= sampling.frequency_penalty * count as f32 + sampling.presence_penalty;
                }
            }
        }
        true
    }

    /// Leaves the distribution of adjusted logits in `ids` and `log_probs`.
    fn fill(&mut self, logits: &[f32]) -> Result<(), DistributionError> {
        let highest = highest(logits, &mut self.tops)?;
        let Self { ids, log_probs, .. } = self;
        ids.clear();
        log_probs.clear();
        let scaled = Scaled {
            logits,
            tops: &self.tops,
            highest,
            scale: self.sampling.temperature.max(COLDEST).recip(),
        };
        if self.sampling.temperature == 0.0 {
            scaled.each_from(highest, |id, logit| {
                if logit >= highest && ids.is_empty() {
                    ids.push(id);
                    log_probs.push(0.0);
                }
            });
            return Ok(());
        }
        let limits = Limits {
            top_k: match self.sampling.top_k {
                0 => usize::MAX,
                count => count as usize,
            },
            top_p: f64::from(self.sampling.top_p),
            min_p: self.sampling.min_p,
        };
        match scaled.last_kept(limits, &mut self.candidates) {
            None if all_possible(logits) => {
                ids.extend(0..logits.len() as u32);
                log_probs.extend_from_slice(logits);
            }
            last => {
                let last = last.unwrap_or(TokenLogit::LEAST);
                scaled.each_from(last.logit, |id, logit| {
                    if last.keeps(logit, id) && logit > f32::NEG_INFINITY {
                        ids.push(id);
                        log_probs.push(logit);
                    }
                });
            }
        }
        // So far `log_probs` holds logits.
        let total = mass::sum(log_probs, highest, scaled.scale);
        let normaliser = total.ln() as f32;
        for log_prob in log_probs {
            *log_prob = (*log_prob - highest) * scaled.scale - normaliser;
        }
        Ok(())
    }
}

fn all_possible(logits: &[f32]) -> bool {
    let impossible = logits.iter().filter(|&&logit| logit == f32::NEG_INFINITY);
    impossible.count() == 0
}

/// The highest logit, of logits that make sense; leaves the highest of each block in `tops`.
pub(super) fn highest(logits: &[f32], tops: &mut Vec<f32>) -> Result<f32, DistributionError> {
    if !selection::find_tops(logits, tops) {
        let wrong = |logit: &f32| logit.is_nan() || *logit == f32::INFINITY;
        let id = logits.iter().position(wrong).unwrap_or(0);
        return Err(DistributionError::NotFinite {
            id: id as u32,
            logit: logits[id],
        });
    }
    let highest = tops.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if highest == f32::NEG_INFINITY {
        Err(DistributionError::Nothing)
    } else {
        Ok(highest)
    }
}
