//! Thresholds: which draft tokens are probable enough to be sent, in the chain and beside it.
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
    /// How many drafted tokens behind the first `base` bytes are ahead of the first that is less probable than this to be kept with all
    /// before it; `None`: there is no such token.
    pub(super) fn doubtful(&self, base: usize, least_chance: f64) -> Option<usize> {
        if least_chance <= 0.0 {
            return None;
        }
        let mut chance = 1.0;
        let mut drafted = self.context.first_behind(base)..self.context.reply().len();
        drafted.position(|place| {
            // A token of which nothing is known is another's.
            chance *= self
                .rivals
                .get(&place)
                .map_or(1.0, |rival| rival.first_chance);
            chance < least_chance
        })
    }

    /// What may stand in place of tokens of a proposal: of all second best those that are likeliest to be needed, since all before
    /// them stand and the first does not.
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
        let first = self.context.first_behind(base);
        let rivals = self.likeliest_alternatives(first..first + drafted, ask.least_chance);
        let mut room = ask.bounds.bytes - proposal.text.len();
        let alternatives = rivals.into_iter().filter_map(|(place, id)| {
            let text = self.context.instead(base, place, id)?;
            room = room.checked_sub(text.len())?;
            let after = (place - first) as u32;
            Some(Alternative { after, text })
        });
        alternatives.take(most).collect()
    }

    /// The second best at these places of the reply, and where they are: first those that are likeliest to be needed, since all
    /// before them stand and the first does not.
    pub(super) fn likeliest_alternatives(
        &self,
        places: Range<usize>,
        least_chance: f64,
    ) -> Vec<(usize, u32)> {
        let (mut reaches, mut rivals) = (1.0, Vec::new());
        for place in places {
            // Behind a token of which nothing is known nothing can be said.
            let Some(rival) = self.rivals.get(&place) else {
                break;
            };
            let chance = reaches * rival.chance;
            if chance >= least_chance {
                rivals.push((chance, place, rival.id));
            }
            reaches *= rival.first_chance;
        }
        rivals.sort_by(|one, other| other.0.total_cmp(&one.0));
        let places = rivals.into_iter().map(|(_, place, id)| (place, id));
        places.collect()
    }
}
