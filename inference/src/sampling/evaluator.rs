//! Evaluates laws.

use super::{
    History, Sampling, exponential,
    selection::{Candidate, Limits, Scaled},
};

/// Lower temperatures that are not 0 count as this one: any law there is a step already.
const COLDEST: f32 = 1e-6;

/// The law of a next token: ids in ascending order and natural-log probabilities, which add up to 1.
/// Tokens that are not in it have no probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law<'a> {
    /// Tokens that can come next.
    pub ids: &'a [u32],
    /// Their log probabilities, in the same order.
    pub log_probs: &'a [f32],
}

/// Logits that no law follows from: the forward pass went wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LawError {
    /// A logit is not a number, or infinite upwards.
    #[error("the logit of token {id} is {logit}")]
    NotFinite {
        /// The first such token.
        id: u32,
        /// What it has.
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

/// Evaluates laws one position after another. Holds scratch space, so that a position allocates
/// nothing that grows with the vocabulary.
#[derive(Debug)]
pub struct LawEvaluator {
    sampling: Sampling,
    vocab_size: usize,
    adjusted: Vec<f32>,
    candidates: Vec<Candidate>,
    ids: Vec<u32>,
    log_probs: Vec<f32>,
}

impl LawEvaluator {
    /// An evaluator of valid `sampling` over a vocabulary. Ids of a bias that are not in it are ignored.
    pub fn new(sampling: Sampling, vocab_size: usize) -> Self {
        Self {
            sampling,
            vocab_size,
            adjusted: Vec::new(),
            candidates: Vec::new(),
            ids: Vec::new(),
            log_probs: Vec::new(),
        }
    }

    /// The law of the token that follows `history`, from the logits of its position.
    ///
    /// Logits past the vocabulary are padding of the model's matrix and never in the law. A logit of
    /// minus infinity means that its token is impossible.
    pub fn evaluate(&mut self, logits: &[f32], history: &History) -> Result<Law<'_>, LawError> {
        let Some(logits) = logits.get(..self.vocab_size) else {
            return Err(LawError::Length {
                found: logits.len(),
                expected: self.vocab_size,
            });
        };
        let mut adjusted = std::mem::take(&mut self.adjusted);
        let changed = self.adjust(logits, history, &mut adjusted);
        let outcome = self.fill(if changed { &adjusted } else { logits });
        self.adjusted = adjusted;
        outcome?;
        Ok(Law {
            ids: &self.ids,
            log_probs: &self.log_probs,
        })
    }

    /// Applies bias and penalties to a copy in `to`, if there are any.
    fn adjust(&self, logits: &[f32], history: &History, to: &mut Vec<f32>) -> bool {
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

    /// Leaves the law of adjusted logits in `ids` and `log_probs`.
    fn fill(&mut self, logits: &[f32]) -> Result<(), LawError> {
        let highest = highest(logits)?;
        self.ids.clear();
        self.log_probs.clear();
        if self.sampling.temperature == 0.0 {
            let first = logits
                .iter()
                .position(|&logit| logit == highest)
                .unwrap_or(0);
            self.ids.push(first as u32);
            self.log_probs.push(0.0);
            return Ok(());
        }
        let scaled = Scaled {
            logits,
            highest,
            scale: self.sampling.temperature.max(COLDEST).recip(),
        };
        let limits = Limits {
            top_k: match self.sampling.top_k {
                0 => usize::MAX,
                count => count as usize,
            },
            top_p: f64::from(self.sampling.top_p),
            min_p: self.sampling.min_p,
        };
        match scaled.last_kept(limits, &mut self.candidates) {
            Some(last) => self.collect(logits, |logit, id| last.keeps(logit, id)),
            None => self.collect(logits, |logit, _| logit > f32::NEG_INFINITY),
        }
        let total = exponential::sum(&self.log_probs, highest, scaled.scale);
        let normaliser = total.ln() as f32;
        for log_prob in &mut self.log_probs {
            *log_prob = (*log_prob - highest) * scaled.scale - normaliser;
        }
        Ok(())
    }

    /// Collects kept tokens, and for now their logits.
    fn collect(&mut self, logits: &[f32], keeps: impl Fn(f32, u32) -> bool) {
        for (id, &logit) in (0..).zip(logits) {
            if keeps(logit, id) && logit > f32::NEG_INFINITY {
                self.ids.push(id);
                self.log_probs.push(logit);
            }
        }
    }
}

/// The highest logit, of logits that make sense.
fn highest(logits: &[f32]) -> Result<f32, LawError> {
    // Several running maxima, so that the loop becomes vector code.
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut sensible = true;
    for row in logits.chunks(lanes.len()) {
        for (lane, &logit) in lanes.iter_mut().zip(row) {
            sensible &= logit < f32::INFINITY;
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    if !sensible {
        let id = logits
            .iter()
            .position(|&logit| logit.is_nan() || logit == f32::INFINITY);
        let id = id.unwrap_or(0);
        return Err(LawError::NotFinite {
            id: id as u32,
            logit: logits[id],
        });
    }
    let highest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if highest == f32::NEG_INFINITY {
        Err(LawError::Nothing)
    } else {
        Ok(highest)
    }
}
