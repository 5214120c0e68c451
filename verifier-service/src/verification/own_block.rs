//! Blocks that the verifier proposes itself: what the grammar forces, and what the request predicts. No drafter is asked for them.

use std::time::Instant;

use alignment::{Vocabulary as _, reencode, reencode::Candidates};
use proto::verifier::Proposer;

use super::{block::Block, session::Session};

/// Bytes of predicted text that are encoded for each candidate. Few tokens are longer.
const BYTES_PER_TOKEN: usize = 16;

impl Session {
    /// Block of the verifier's own with at most `room` candidates, if it has one for this round.
    pub(super) fn own_block(&mut self, room: usize) -> Option<Block> {
        if room == 0 || !self.plan.takes_any_text() {
            return None;
        }
        self.forced_block(room)
            .or_else(|| self.predicted_block(room))
    }

    fn forced_block(&self, room: usize) -> Option<Block> {
        let began = Instant::now();
        let forced = self.lock_decider().forced(room);
        if forced.is_empty() {
            return None;
        }
        let mut candidates = Candidates::default();
        for id in forced {
            let end = candidates.covered_bytes() + self.target.token_bytes(id).len();
            candidates.tokens.push(alignment::TargetToken(id));
            candidates.ends.push(end as u32);
        }
        Some(Block::own(
            &self.target,
            candidates,
            Proposer::Grammar,
            began,
        ))
    }

    fn predicted_block(&mut self, room: usize) -> Option<Block> {
        let began = Instant::now();
        let prediction = self.prediction.as_ref()?;
        let (text, most) = prediction.propose(room * BYTES_PER_TOKEN)?;
        let room = room.min(most);
        let mut candidates = reencode::candidates(&*self.target, &self.committed, text, room);
        let admitted = self.lock_decider().admits(&candidates.tokens);
        candidates.truncate(admitted);
        if candidates.tokens.is_empty() {
            return None;
        }
        // Drafts that nobody verifies would be drafted in vain.
        self.peer.rest(&self.pacing);
        Some(Block::own(
            &self.target,
            candidates,
            Proposer::Prediction,
            began,
        ))
    }
}
