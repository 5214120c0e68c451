//! The target's choice at each position of a block. Runs on the model's thread, so that no row of
//! logits is copied.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alignment::{
    TargetToken,
    acceptance::{self, Choice, Drawn, Method, Proposal},
    candidate_tree::CandidateTree,
    noise::{Place, SharedNoise},
    round::{Round, Verdict},
};
use grammar::TokenSet;
use inference::{
    engine::Logits,
    sampling::{Allowed, DistributionEvaluator, History, Scores},
};
use proto::verifier::{Ends, RoundReport};

use super::{
    drawn_distributions::CandidateSource, grammar_walk::GrammarWalk, probabilities,
    request_plan::RequestPlan, stops::StopScanner,
};
use crate::{error::GenerateError, target::Target};

/// Decides the tokens of one reply in order. Holds all state that the choices depend on.
pub(crate) struct Decider {
    target: Arc<Target>,
    method: Method,
    noise: SharedNoise,
    evaluator: DistributionEvaluator,
    history: History,
    stops: StopScanner,
    ends: Ends,
    grammar: Option<GrammarWalk>,
    /// Tokens that end a reply. The model's own come first, as many as the number says.
    end_tokens: (Vec<u32>, usize),
    place: Place,
    /// Tokens that may still be emitted.
    left: usize,
    /// Number of the likeliest tokens to score at each position; `None` if none are asked for.
    top_logprobs: Option<usize>,
    tells_probabilities: bool,
}

/// Outcome of a pass.
#[derive(Debug)]
pub(crate) struct Decision {
    /// Accepted part of the block, and the token after it.
    pub(crate) verdict: Verdict,
    /// Nodes of the accepted candidates, each the parent of the next.
    pub(crate) path: Vec<usize>,
    /// Every token emitted, in order.
    pub(crate) choices: Vec<Choice>,
    /// Log probabilities at each of them; empty unless the request asks for them.
    pub(crate) scores: Vec<Scores>,
    /// End of the reply, if the last of them ends it.
    pub(crate) end: Option<End>,
    /// Length of the text's suffix that may become a stop string, in bytes.
    pub(crate) withheld: usize,
    /// Probability of each candidate on the path taken, then of `appended`; empty unless asked for.
    pub(crate) probabilities: Vec<f32>,
    /// Time that deciding took.
    pub(crate) took: Duration,
}

/// Reason for the end of a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// The model emitted an end token.
    Token,
    /// A stop string or stop token; the text that is sent ends at this byte of the reply.
    Stop { stop: Stop, text_end: usize },
    /// The grammar admits nothing more.
    Complete,
    /// No further token may be emitted.
    Limit,
}

/// What a reply was told to stop at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// The stop string with this index.
    Text(usize),
    Token(u32),
}

impl Decision {
    /// Rows of the pass to keep: the pending token's, then those of the accepted candidates.
    pub(crate) fn rows(&self) -> Vec<usize> {
        let stand = self.path.iter().map(|candidate| candidate + 1);
        std::iter::once(0).chain(stand).collect()
    }

    /// Number of tokens that the reply shows: all but an end, and a stop token that is left out.
    pub(crate) fn shown(&self, include_stop: bool) -> usize {
        let is_left_out = match self.end {
            Some(End::Token) => true,
            Some(End::Stop { stop, .. }) => matches!(stop, Stop::Token(_)) && !include_stop,
            _ => false,
        };
        self.choices.len() - usize::from(is_left_out)
    }
}

impl Decider {
    /// Decider of a reply to `prompt` with at most `left` tokens.
    pub(crate) fn new(
        target: &Arc<Target>,
        plan: &RequestPlan,
        (prompt, grammar): (&[u32], Option<GrammarWalk>),
        left: usize,
    ) -> Self {
        let own_ends = target.tokenizer().specials().end_tokens.iter().copied();
        let mut ends: Vec<u32> = own_ends.collect();
        let own_ends = ends.len();
        ends.extend(&plan.ends.stop_tokens);
        Self {
            ends: plan.ends.clone(),
            grammar,
            end_tokens: (ends, own_ends),
            method: plan.method,
            noise: SharedNoise::new(plan.seed),
            evaluator: DistributionEvaluator::new(plan.sampling.clone(), target.vocab_size()),
            history: History::new(prompt),
            stops: StopScanner::new(&plan.stops),
            place: Place::default(),
            left,
            top_logprobs: plan.report.top_logprobs,
            tells_probabilities: plan.report.rounds == RoundReport::Details,
            target: Arc::clone(target),
        }
    }

    /// Most candidates of a round: its last token is always the target's own.
    pub(crate) fn room(&self) -> usize {
        self.left.saturating_sub(1)
    }

    /// Decides position by position until a candidate is rejected, none is left, or the reply ends.
    /// Only positions reached are evaluated, with penalties for all tokens before them.
    pub(crate) fn decide(
        &mut self,
        logits: &Logits<'_>,
        tree: &CandidateTree,
        sources: &[CandidateSource],
    ) -> Result<Decision, GenerateError> {
        let began = Instant::now();
        let mut round = Round::new(tree, self.place);
        let mut choices = Vec::with_capacity(tree.chain().tokens.len() + 1);
        let (mut scores, mut end) = (Vec::new(), None);
        while let Some(position) = round.open() {
            let row = logits.row(position.row());
            let sources = sources.get(position.row());
            let proposal = position.proposed().map(|token| Proposal {
                token,
                drawn: sources.map_or(Drawn::Somehow, |e| e.drawn(self.target.vocab_size())),
            });
            let emitted = self.choose(row, proposal, position.place())?;
            if let Some(top) = self.top_logprobs {
                let asked = (emitted.0, top);
                scores.push(self.evaluator.score(row, &self.history, asked)?);
            }
            end = self.take_in(emitted)?;
            let bytes = self.target.tokenizer().token_bytes(emitted.0).len();
            choices.push(position.decide(emitted, bytes, end.is_some()));
        }
        let verdict = round.verdict();
        self.place = verdict.place;
        let probabilities = if self.tells_probabilities {
            probabilities::probabilities(logits, tree, (round.path(), verdict.appended))
        } else {
            Vec::new()
        };
        Ok(Decision {
            verdict,
            path: round.path().to_vec(),
            choices,
            scores,
            end,
            withheld: self.stops.withheld(),
            probabilities,
            took: began.elapsed(),
        })
    }

    fn choose(
        &mut self,
        row: &[f32],
        proposal: Option<Proposal<'_>>,
        place: Place,
    ) -> Result<TargetToken, GenerateError> {
        let is_early = self.history.len() < self.ends.min_tokens as usize;
        let set = self
            .grammar
            .as_mut()
            .map(GrammarWalk::allowed)
            .transpose()?;
        let (all_ends, own_ends) = &self.end_tokens;
        let allowed = Allowed {
            set: set.flatten().map(TokenSet::words),
            banned: match (is_early, self.ends.ignore_end) {
                (true, _) => all_ends,
                (false, true) => &all_ends[..*own_ends],
                (false, false) => &[],
            },
        };
        let distribution = self.evaluator.evaluate_among(row, &self.history, allowed)?;
        let distribution = acceptance::Distribution {
            ids: distribution.ids,
            log_probs: distribution.log_probs,
        };
        let tokenizer = self.target.tokenizer();
        let key = |id| (tokenizer.token_bytes(id), tokenizer.rank(id));
        let noise = self.noise.at_place(place);
        Ok(self
            .method
            .choose_against(&distribution, proposal, &noise, key))
    }

    /// Counts an emitted token. Returns the end of the reply if the token ends it.
    fn take_in(&mut self, emitted: TargetToken) -> Result<Option<End>, GenerateError> {
        self.history.push(emitted.0);
        if self.target.is_end(emitted.0) {
            return Ok(Some(End::Token));
        }
        self.left = self.left.saturating_sub(1);
        let bytes = self.target.tokenizer().token_bytes(emitted.0);
        let before = self.stops.length();
        let found = if self.history.len() < self.ends.min_tokens as usize {
            self.stops.pass_over(bytes);
            None
        } else {
            self.stops.push(bytes)
        };
        if self.ends.stop_tokens.contains(&emitted.0) {
            let text_end = if self.ends.include_stop {
                before + bytes.len()
            } else {
                before
            };
            let stop = Stop::Token(emitted.0);
            return Ok(Some(End::Stop { stop, text_end }));
        }
        if let Some(found) = found {
            let text_end = if self.ends.include_stop {
                found.end
            } else {
                found.start
            };
            let stop = Stop::Text(found.stop);
            return Ok(Some(End::Stop { stop, text_end }));
        }
        if let Some(grammar) = &mut self.grammar
            && grammar.take(&self.target, emitted.0)?
        {
            return Ok(Some(End::Complete));
        }
        Ok((self.left == 0).then_some(End::Limit))
    }

    /// Tokens that the grammar forces next, at most `most`.
    pub(crate) fn forced(&mut self, most: usize) -> Vec<u32> {
        let grammar = self.grammar.as_mut();
        grammar.map_or_else(Vec::new, |grammar| grammar.forced(most))
    }

    /// Number of these tokens, from the first, that the grammar admits. An end is judged by the distribution.
    pub(crate) fn admits(&mut self, tokens: &[TargetToken]) -> usize {
        let Some(grammar) = &mut self.grammar else {
            return tokens.len();
        };
        let ends = tokens.iter().position(|token| self.target.is_end(token.0));
        let text = &tokens[..ends.unwrap_or(tokens.len())];
        let ids: Vec<u32> = text.iter().map(|token| token.0).collect();
        let admitted = grammar.admits(&ids);
        if admitted == ids.len() {
            tokens.len()
        } else {
            admitted
        }
    }
}
