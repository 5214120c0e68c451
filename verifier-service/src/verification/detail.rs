//! Details of a round, token by token, only for requests that ask for them.

use std::time::Instant;

use alignment::{TargetToken, spans};
use inference::engine::Passed;
use proto::verifier::{self, AlignedGroup, DroppedBlock, RoundClock, RoundDetail};

use super::{
    block::{Block, Taken},
    decider::Decision,
    session::Session,
};

/// Moments at which parts of a round began or ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    began: Instant,
    verify_began: Instant,
    verify_ended: Instant,
}

impl Moments {
    pub(super) fn new<T>(began: Instant, submitted: Instant, passed: &Passed<T>) -> Self {
        let verify_began = submitted + passed.queued;
        Self {
            began,
            verify_began,
            verify_ended: verify_began + passed.compute,
        }
    }
}

impl Session {
    /// Details of a round that has just been committed.
    pub(super) fn detail(
        &mut self,
        block: &Block,
        decision: &Decision,
        moments: Moments,
    ) -> RoundDetail {
        let probabilities = &decision.probabilities;
        let taken = block.taken(&self.target, &decision.path);
        let count = taken.candidates.tokens.len();
        let (of_candidates, of_chosen) = probabilities.split_at(count.min(probabilities.len()));
        let candidates = taken.candidates.tokens.iter().zip(of_candidates);
        let chosen = decision.verdict.appended.zip(of_chosen.first());
        let dropped = self.peer.take_dropped();
        let dropped = dropped.into_iter().map(|dropped| DroppedBlock {
            arrived: self.usage.since_admission(dropped.arrived),
            draft_compute: dropped.compute,
            draft_tokens: dropped.tokens,
        });
        RoundDetail {
            clock: self.clock(block, moments),
            draft_tokens: draft_tokens(&taken),
            draft_ends: block.proposal.ends_with.is_some(),
            skipped_bytes: block.proposal.skipped_bytes,
            candidates: candidates
                .map(|(token, probability)| self.token(*token, *probability))
                .collect(),
            groups: groups(&taken),
            chosen: chosen.map(|(token, probability)| self.token(token, *probability)),
            dropped: dropped.collect(),
        }
    }

    fn clock(&self, block: &Block, moments: Moments) -> RoundClock {
        let since = |moment| self.usage.since_admission(moment);
        let verify_ended = since(moments.verify_ended);
        RoundClock {
            began: since(moments.began),
            block_arrived: block.proposal.arrived.map(since),
            verify_began: since(moments.verify_began),
            verify_ended,
            ended: since(Instant::now()).max(verify_ended),
        }
    }

    fn token(&self, token: TargetToken, probability: f32) -> verifier::TargetToken {
        let text = if self.target.is_end(token.0) {
            &[]
        } else {
            self.target.tokenizer().token_bytes(token.0)
        };
        verifier::TargetToken {
            id: token.0,
            text: text.to_vec(),
            probability,
        }
    }
}

/// The bytes of each draft token.
fn draft_tokens(taken: &Taken<'_>) -> Vec<Vec<u8>> {
    let ends = taken.token_ends;
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let bytes = |(start, end): (u32, &u32)| taken.text[start as usize..*end as usize].to_vec();
    starts.zip(ends).map(bytes).collect()
}

/// Groups of draft tokens and candidates by shared bytes. A token covered in part is in the last.
fn groups(taken: &Taken<'_>) -> Vec<AlignedGroup> {
    let covered = taken.candidates.covered_bytes() as u32;
    let ends = taken.token_ends;
    let reached = 1 + ends.partition_point(|end| *end < covered);
    let mut ends = ends[..reached.min(ends.len())].to_vec();
    if let Some(last) = ends.last_mut() {
        *last = covered;
    }
    let aligned = spans::align(&ends, &taken.candidates.ends).unwrap_or_default();
    let group = |group: &alignment::aligned::Group| AlignedGroup {
        draft_tokens: group.draft.len() as u32,
        candidates: group.candidates.len() as u32,
    };
    aligned.groups().iter().map(group).collect()
}
