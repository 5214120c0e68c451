//! Drafting for verdicts that reject a token: continuations after second-best tokens.

use std::sync::Arc;

use proto::drafter::DraftTimings;

use super::model_proposer::{LEAST_CHANCE, ModelProposer, lock};
use crate::{
    drafting::{
        branches::{Branches, Tip, Way},
        chooser::{Choice, Chosen},
        stream::VerifierStream,
    },
    error::DraftError,
};

/// Most branches of all sessions of a model together: each is one more row of a pass.
const MAX_BRANCHES: usize = 6;
/// Most tokens drafted after the beginning of a branch: few branches are taken, and a pass uses memory bandwidth that others on the
/// machine need.
const DEEPEST: usize = 4;
/// Most tokens that wait for verdicts where there are branches: a pass lists the path to each of them, which is quadratic.
const LONGEST_CHAIN: usize = 64;

impl ModelProposer {
    /// Number of branches that this session may have now. They are for a model that would be idle.
    pub(super) fn most_branches(&self) -> usize {
        if self.draws_whole {
            // A draw must not depend on verdicts.
            return 0;
        }
        MAX_BRANCHES / self.positions.sessions().max(1)
    }

    /// True if there are branches and the next pass has room for them.
    pub(super) fn branches_fit(&self) -> bool {
        let Some(branches) = &self.branches else {
            return false;
        };
        let tips = branches.short(usize::MAX).count();
        tips <= self.most_branches() && tips < self.positions.room()
    }

    /// Begins branches where the draft is likely to be rejected, unless there are some.
    pub(super) fn branch_off(&mut self) {
        let (first, most) = (
            self.context.first_after(self.committed),
            self.most_branches(),
        );
        let reply = self.context.reply().len();
        let is_seen = self.positions.len() + 1 == self.context.ids().len();
        let has_chain = (1..=LONGEST_CHAIN).contains(&(reply - first));
        if self.branches.is_some() || most == 0 || !has_chain || !is_seen {
            return;
        }
        let root = self.context.prompt_len() + first;
        let mut branches = Branches::new(root, self.context.from(first));
        let second_bests = self.likeliest_alternatives(first..reply, LEAST_CHANCE);
        for (place, id) in second_bests.into_iter().take(most) {
            let end = self.context.end_instead(place, id);
            branches.begin(place - first, id, end);
        }
        self.branches = Some(branches);
    }

    /// True if fewer tokens are drafted after the block judged next than the next block may want.
    fn chain_is_short(&self) -> bool {
        let drafted = self.context.reply().len() - self.context.first_after(self.judged);
        let is_cut = self.first_below(self.judged, self.least_chance).is_some();
        drafted < self.aim && !is_cut && self.ending.is_none()
    }

    /// Tokens to draft on a branch.
    fn depth(&self) -> usize {
        self.aim.min(DEEPEST)
    }

    /// True if another pass can prepare for a verdict.
    pub(super) fn may_grow(&self) -> bool {
        let branches = self.branches.as_ref();
        let is_short = |branches: &Branches| branches.short(self.depth()).next().is_some();
        self.branches_fit() && (self.chain_is_short() || branches.is_some_and(is_short))
    }

    /// One pass for one more token of the chain and of each branch that is short.
    pub(super) async fn prepare_more(
        &mut self,
        timings: &mut DraftTimings,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        self.grow(self.chain_is_short(), timings, stream).await
    }

    /// One pass for one more token of each branch, and of the chain if `chain`.
    pub(super) async fn grow(
        &mut self,
        chain: bool,
        timings: &mut DraftTimings,
        stream: &mut VerifierStream,
    ) -> Result<(), DraftError> {
        let Some(branches) = &self.branches else {
            return Ok(());
        };
        let tip = branches.chain().filter(|_| chain);
        let chained = usize::from(tip.is_some());
        let tips: Vec<Tip> = tip
            .into_iter()
            .chain(branches.short(self.depth()))
            .collect();
        let ids = tips.iter().map(|tip| tip.id).collect();
        let parents = branches.parents(&tips);
        let kept = branches.root() - self.context.prompt_len();
        let chooser = Arc::clone(&self.chooser);
        let choose = move |logits: inference::engine::Logits<'_>| {
            let mut chooser = lock(&chooser);
            chooser.want_second_best(true);
            let mut chosen = Vec::with_capacity(tips.len());
            for (row, tip) in tips.iter().enumerate() {
                let (logits, offset) = (logits.row(row), tip.end as u64);
                chosen.push(if row < chained {
                    chooser.choose(logits, offset)?
                } else {
                    chooser.choose_on_branch(logits, offset, (kept, &tip.path))?
                });
            }
            Ok((tips, chosen))
        };
        let pass = self.positions.forward_branches(ids, &parents, choose);
        let passed = stream.unless_over(pass).await??;
        let (tips, chosen) = self.account(passed, timings)?;
        let mut chosen = chosen.into_iter();
        for chosen in chosen.by_ref().take(chained) {
            self.take(chosen);
        }
        let Some(branches) = &mut self.branches else {
            return Ok(());
        };
        branches.shown(&tips);
        if chained > 0
            && self.ending.is_none()
            && let Some(id) = self.context.reply().last()
        {
            branches.extend_chain(*id, self.context.text().len());
        }
        for (
            tip,
            Chosen {
                choice,
                second_best,
                ..
            },
        ) in tips[chained..].iter().zip(chosen)
        {
            match choice {
                Choice::Token(id) => {
                    self.metrics.branch_tokens.inc();
                    let end = tip.end + self.context.token_len(id);
                    branches.extend(tip, id, end, second_best);
                }
                Choice::End(role) => branches.finish(tip, role),
            }
        }
        Ok(())
    }

    /// Continues from the branch that the context's text takes. The first `unchanged` tokens of the reply are as they were before the
    /// verdict.
    pub(super) fn follow_branch(&mut self, unchanged: usize) {
        let unchanged = self.context.prompt_len() + unchanged;
        let Some(branches) = self.branches.take() else {
            return self.positions.truncate(unchanged);
        };
        if unchanged < branches.root() {
            return self.positions.truncate(unchanged);
        }
        let way = self.keep_way(&branches);
        self.metrics.branched_verdicts.inc();
        if way.next.is_empty() {
            return;
        }
        self.metrics.branch_hits.inc();
        let drafted = way.next.len() as u64;
        self.metrics.draft_tokens.inc_by(drafted);
        let held = self.context.reply().len();
        for (id, second_best) in way.next {
            let place = self.context.reply().len();
            self.second_bests
                .extend(second_best.map(|second_best| (place, second_best)));
            self.context.push(id);
        }
        self.ending = way.ending;
        lock(&self.chooser).follow(self.context.reply(), held);
    }

    /// Drops the branches.
    pub(super) fn settle(&mut self) {
        if let Some(branches) = self.branches.take() {
            self.keep_way(&branches);
        }
    }

    /// Makes the positions those of the context again, as far as it follows the tree, and returns its path.
    fn keep_way(&mut self, branches: &Branches) -> Way {
        let root = branches.root();
        let text = self.context.ids().get(root..).unwrap_or_default();
        let way = branches.way(text);
        let rows: Vec<usize> = way.rows.iter().map(|row| root + row).collect();
        self.positions.keep_path(root, &rows);
        way
    }
}
