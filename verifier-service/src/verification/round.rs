//! One round: propose, verify, accept. Plain decoding is the same round with nothing proposed.

use std::time::{Duration, Instant};

use alignment::{TargetToken, acceptance::Choice, aligned::Alignment};
use inference::engine::Passed;
use proto::verifier::{Chunk, FallbackReason, Origin, Piece, RoundInfo, RoundReport, RoundTimings};
use tracing::{Instrument as _, Span, info_span};

use super::{
    block::{Block, Room},
    decider::{Decision, End},
    detail::Moments,
    proposal::Proposal,
    session::{Session, lock},
    usage_account::Entry,
};
use crate::error::GenerateError;

/// A block after the target's pass.
struct Verified {
    passed: Passed<Decision>,
    alignment: Option<Alignment>,
    /// Time that aligning took.
    align: Duration,
    /// Moment at which the pass was submitted.
    submitted: Instant,
}

impl Session {
    /// Runs one round. Returns the text that can be sent, and the end of the reply if it comes.
    pub(super) async fn round(&mut self) -> Result<(Chunk, Option<End>), GenerateError> {
        let began = Instant::now();
        let room = self.lock_decider().room().min(self.plan.block_length);
        let own = self.own_block(room);
        let mut draft_wait = Duration::ZERO;
        let block = if let Some(own) = own {
            own
        } else {
            let proposal = self.proposal(room).await;
            draft_wait = began.elapsed();
            info_span!("re_encode").in_scope(|| self.block(proposal, room))
        };
        let Verified {
            passed,
            alignment,
            align,
            submitted,
        } = self.verify(&block).await?;

        let decision = &passed.value;
        if decision.end.is_none() {
            self.observe(&block, &passed, draft_wait);
        }
        let pieces = self.commit(&block, decision);
        let tokens = match self.plan.report.top_logprobs {
            Some(_) => {
                let released = self.text.released();
                let listed = decision.shown(self.plan.ends.include_stop);
                self.tokens
                    .committed(&self.target, decision, (listed, released))
            }
            None => Vec::new(),
        };
        let mut info = round_info(self.usage.rounds() + 1, &block, decision);
        info.timings = RoundTimings {
            draft_wait,
            re_encode: block.took,
            align,
            queue: passed.queued,
            verify: passed.compute,
            accept: decision.took,
            draft_compute: block.proposal.timings.compute,
        };
        record(&info);
        let entry = Entry {
            info,
            tokens: (decision.choices.len() - usize::from(decision.end == Some(End::Token))) as u32,
            decided_bytes: decision
                .choices
                .iter()
                .map(|c| self.bytes(*c).len() as u64)
                .sum(),
            sent_bytes: pieces.iter().map(|piece| piece.text.len() as u64).sum(),
            batch: (passed.batch_rows, passed.batch_sessions),
            on_chain: (
                block.tree.chain().tokens.len() as u32,
                block.on_chain(&decision.path) as u32,
            ),
            alignment,
            took: began.elapsed(),
        };
        self.usage.enter(&entry);
        let round = self.tell(entry.info, &block, &passed, (began, submitted));
        let chunk = Chunk {
            pieces,
            round,
            tokens,
            completion_tokens: self.usage.completion_tokens(),
        };
        Ok((chunk, decision.end))
    }

    /// The drafter's proposal, or the reason for having none.
    async fn proposal(&mut self, room: usize) -> Result<Proposal, FallbackReason> {
        if room == 0 && self.plan.speculates {
            return Err(FallbackReason::LastToken);
        }
        let proposing = self.peer.propose(&self.pacing);
        proposing.instrument(info_span!("draft.wait")).await
    }

    /// Reports a round to the pacing, unless its block was the verifier's own. The last round of a reply is not reported.
    fn observe(&mut self, block: &Block, passed: &Passed<Decision>, waited: Duration) {
        let now = Instant::now();
        if !block.is_drafters() {
            self.last_round = now;
            return;
        }
        let decision = &passed.value;
        let round = pacing::Round {
            took: now - std::mem::replace(&mut self.last_round, now),
            waited,
            pass: passed.compute,
            committed: decision.choices.len(),
            asked: self.peer.is_asked(),
            block: block.fate(&decision.path).unwrap_or(self.peer.fate()),
        };
        self.peer
            .observe(&round, passed.batch_rows, &mut self.pacing);
    }

    /// Block of a round, with paths of at most `room` candidates. A faulty proposal makes it plain.
    fn block(&mut self, proposal: Result<Proposal, FallbackReason>, room: usize) -> Block {
        let limits = Room {
            candidates: room,
            rows: self.model.room(),
        };
        let limits = (self.plan.method, limits);
        let admits = |tokens: &[TargetToken]| self.lock_decider().admits(tokens);
        let block = Block::new(&self.target, &self.committed, proposal, limits, admits);
        block.unwrap_or_else(|fault| {
            self.peer.accuse(fault);
            Block::plain(FallbackReason::Protocol)
        })
    }

    /// Report on a committed round, as detailed as the request asks; `None` if it asks for none.
    fn tell(
        &mut self,
        mut info: RoundInfo,
        block: &Block,
        passed: &Passed<Decision>,
        (began, submitted): (Instant, Instant),
    ) -> Option<RoundInfo> {
        if self.plan.report.rounds == RoundReport::Details {
            let moments = Moments::new(began, submitted, passed);
            info.detail = Some(Box::new(self.detail(block, &passed.value, moments)));
        }
        (self.plan.report.rounds != RoundReport::Nothing).then_some(info)
    }

    /// One pass over the pending token and the candidates, decided on the model's thread. Meanwhile
    /// aligns tokens and receives from the drafter, since neither needs the result.
    async fn verify(&mut self, block: &Block) -> Result<Verified, GenerateError> {
        let candidates = block.tree.tokens().map(|token| token.0);
        let tokens: Vec<u32> = std::iter::once(self.pending).chain(candidates).collect();
        let parents = parents(block);
        let (decider, tree) = (self.decider.clone(), block.tree.clone());
        let sources = block.sources.clone();
        let (round, verify) = (Span::current(), info_span!("verify", rows = tokens.len()));
        let read = move |logits: inference::engine::Logits<'_>| {
            let _accept = info_span!(parent: &round, "accept").entered();
            let decision = lock(&decider).decide(&logits, &tree, &sources);
            let kept = decision
                .as_ref()
                .map_or_else(|_| Vec::new(), Decision::rows);
            (decision, kept)
        };
        let submitted = Instant::now();
        let pass = self
            .model
            .forward_tree(tokens, &parents, read)
            .instrument(verify);
        let aligning = async { info_span!("align").in_scope(|| block.align(&self.target)) };
        let both = async { tokio::join!(pass, aligning) };
        let (passed, (alignment, align)) = self.peer.during(both).await;
        let (value, passed) = passed?.split();
        Ok(Verified {
            passed: passed.with(value?),
            alignment,
            align,
            submitted,
        })
    }

    /// Commits a decision to text and drafter. Returns the text that can be sent.
    fn commit(&mut self, block: &Block, decision: &Decision) -> Vec<Piece> {
        let verdict = decision.verdict;
        let mut said = Vec::new();
        let shown = decision.shown(self.plan.ends.include_stop);
        for (place, choice) in decision.choices.iter().enumerate() {
            self.pending = choice.token().0;
            self.committed.push(choice.token());
            let bytes = self.target.tokenizer().token_bytes(self.pending);
            let origin = origin(*choice, block);
            self.text.push(bytes, origin);
            said.extend_from_slice(bytes);
            if self.plan.report.control
                && place < shown
                && let Some(name) = self.target.tokenizer().control_name(self.pending)
            {
                self.text.push_name(name, origin);
            }
        }
        if let Some(prediction) = &mut self.prediction {
            prediction.commit(&said);
        }
        match decision.end {
            None => {
                // A verdict keeps only bytes of the chain, whatever path was accepted.
                let accepted = said[..verdict.kept_bytes as usize].iter();
                let alike = accepted.zip(&block.proposal.text);
                let alike = alike.take_while(|(said, drafted)| said == drafted);
                let kept = if block.is_drafters() {
                    alike.count()
                } else {
                    0
                };
                let (kept, appended) = said.split_at(kept);
                self.peer.commit(kept, appended);
                self.text.release(decision.withheld)
            }
            Some(End::Stop { text_end, .. }) => self.text.finish(text_end),
            Some(End::Token | End::Limit | End::Complete) => {
                self.text.finish(verdict.place.offset as usize)
            }
        }
    }

    fn bytes(&self, choice: Choice) -> &[u8] {
        self.target.tokenizer().token_bytes(choice.token().0)
    }
}

fn origin(choice: Choice, block: &Block) -> Origin {
    match choice {
        Choice::Accepted(_) => Origin::Accepted,
        Choice::Corrected(_) => Origin::Correction,
        Choice::Bonus(_) if block.tree.is_empty() => Origin::Plain,
        Choice::Bonus(_) => Origin::Bonus,
    }
}

/// Parent of each row of the pass, counted from 1; 0 is the cached text. Empty for a chain.
fn parents(block: &Block) -> Vec<u32> {
    if block.tree.alternatives() == 0 {
        return Vec::new();
    }
    let of_candidates = block.tree.parents();
    let of_candidates = of_candidates.map(|parent| parent.map_or(1, |parent| parent as u32 + 2));
    std::iter::once(0).chain(of_candidates).collect()
}

fn round_info(round: u64, block: &Block, decision: &Decision) -> RoundInfo {
    RoundInfo {
        round,
        proposed_tokens: block.tree.len() as u32,
        proposed_bytes: block.tree.bytes() as u32,
        accepted_tokens: decision.verdict.accepted as u32,
        accepted_bytes: decision.verdict.kept_bytes,
        fallback: block.fallback,
        proposer: block.proposer,
        timings: RoundTimings::default(),
        detail: None,
    }
}

/// Records the outcome of a round on its span.
fn record(info: &RoundInfo) {
    let span = Span::current();
    span.record("proposed", info.proposed_tokens);
    span.record("accepted", info.accepted_tokens);
    if let Some(reason) = info.fallback {
        span.record("fallback", reason.name());
    }
}
