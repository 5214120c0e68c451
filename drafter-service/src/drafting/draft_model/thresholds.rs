//! Thresholds: which draft tokens are probable enough to be sent, in the chain and as alternatives.
//!
//! A threshold compares the probability that the target keeps a token with all before it: the product of what the model says
//! along the chain. The same threshold is right for chain and alternatives as far as both are calibrated. Measured with
//! `examples/alternative_calibration` (SmolLM2-135M for Qwen2.5-Coder-0.5B, twelve prompts, 4,656 tokens in chains of four):
//! under `greedy` each tenth of the stated probability is kept within 0.09 of it, alternatives (up to 0.43) as well as the chain. Under
//! `coupled` at temperature 0.8 both are stated too high: chain tokens by 0.23 to 0.48, alternatives above 0.1 by 0.04 to 0.17.

use std::ops::Range;

use proto::limits::MAX_BLOCK_TOKENS;

use super::model_proposer::ModelProposer;
use crate::drafting::proposer::{Alternative, Ask, Proposal};

impl ModelProposer {
    /// Number of draft tokens after the first `base` bytes that come before the first one below the threshold; `None`: all reach it.
    pub(super) fn first_below(&self, base: usize, least_chance: f64) -> Option<usize> {
        if least_chance <= 0.0 {
            return None;
        }
        let mut chance = 1.0;
        let mut drafted = self.context.first_after(base)..self.context.reply().len();
        drafted.position(|place| {
            // A token without a probability is another proposer's.
            chance *= self
                .second_bests
                .get(&place)
                .map_or(1.0, |second_best| second_best.first_chance);
            chance < least_chance
        })
    }

    /// Alternatives to tokens of a proposal: the likeliest that reach the threshold.
    pub(super) fn alternatives(
        &self,
        proposal: &Proposal,
        base: usize,
        ask: &Ask<'_>,
    ) -> Vec<Alternative> {
        let drafted = proposal.token_ends.len();
        let most = ask.alternatives.min(MAX_BLOCK_TOKENS as usize - drafted);
        if most == 0 {
            return Vec::new();
        }
        let first = self.context.first_after(base);
        let second_bests = self.likeliest_alternatives(first..first + drafted, ask.least_chance);
        let mut room = ask.bounds.bytes - proposal.text.len();
        let alternatives = second_bests.into_iter().filter_map(|(place, id)| {
            let text = self.context.instead(base, place, id)?;
            room = room.checked_sub(text.len())?;
            let after = (place - first) as u32;
            Some(Alternative { after, text })
        });
        alternatives.take(most).collect()
    }

    /// Positions in the reply and ids of second-best tokens that are kept, with the chain before them, with a probability of at
    /// least `least_chance`; the likeliest first.
    pub(super) fn likeliest_alternatives(
        &self,
        places: Range<usize>,
        least_chance: f64,
    ) -> Vec<(usize, u32)> {
        let (mut reaches, mut second_bests) = (1.0, Vec::new());
        for place in places {
            // After a token without a probability there is none to state.
            let Some(second_best) = self.second_bests.get(&place) else {
                break;
            };
            let chance = reaches * second_best.chance;
            if chance >= least_chance {
                second_bests.push((chance, place, second_best.id));
            }
            reaches *= second_best.first_chance;
        }
        second_bests.sort_by(|one, other| other.0.total_cmp(&one.0));
        let places = second_bests.into_iter().map(|(_, place, id)| (place, id));
        places.collect()
    }
}
