//! Log probabilities of the model itself, before temperature and cuts: to be reported, not to draw by.

use super::{
    evaluator::{DistributionError, DistributionEvaluator, highest},
    history::History,
    mass,
    selection::Scaled,
};

/// Log probabilities at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Log probability of the token asked about; minus infinity if it is impossible.
    pub chosen: f32,
    /// The likeliest tokens with theirs, falling, of equals the lowest ids first; none that are impossible.
    pub top: Vec<(u32, f32)>,
}

impl DistributionEvaluator {
    /// Natural-log softmax of the logits after bias and penalties, at temperature 1 and with nothing left out: of `token` and
    /// of the `top` likeliest. O(vocabulary), as a distribution is.
    pub fn score(
        &mut self,
        logits: &[f32],
        history: &History,
        (token, top): (u32, usize),
    ) -> Result<Scores, DistributionError> {
        let logits = self.within_vocabulary(logits)?;
        let mut adjusted = std::mem::take(&mut self.adjusted);
        let changed = self.adjust(logits, history, &mut adjusted);
        let scores = self.scores(if changed { &adjusted } else { logits }, token, top);
        self.adjusted = adjusted;
        scores
    }

    fn scores(
        &mut self,
        logits: &[f32],
        token: u32,
        top: usize,
    ) -> Result<Scores, DistributionError> {
        let highest = highest(logits, &mut self.tops)?;
        let normaliser = mass::sum(logits, highest, 1.0).ln() as f32;
        let log_prob = |logit: f32| (logit - highest) - normaliser;
        let chosen = logits.get(token as usize).copied();
        let mut scores = Scores {
            chosen: log_prob(chosen.unwrap_or(f32::NEG_INFINITY)),
            top: Vec::with_capacity(top),
        };
        if top > 0 {
            let scaled = Scaled {
                logits,
                tops: &self.tops,
                highest,
                scale: 1.0,
            };
            scaled.likeliest(top, &mut self.candidates);
            let possible = self.candidates.iter();
            let possible = possible.filter(|candidate| candidate.logit > f32::NEG_INFINITY);
            let entries = possible.map(|candidate| (candidate.id, log_prob(candidate.logit)));
            scores.top.extend(entries);
        }
        Ok(scores)
    }
}
