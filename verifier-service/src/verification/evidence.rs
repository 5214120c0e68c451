//! What a round's proxies were drawn from, for methods that judge by it.

use alignment::{
    TargetToken,
    acceptance::{self, Drawn, Method, PathLaw, TokenMap, conditional, intersection},
    dtw,
    reencode::Proxies,
};
use proto::drafter::{Draw, SparseLaw};

use super::drafting_peer::Proposal;
use crate::{lexicon::Lexicon, target::Target};

/// What one proxy was drawn from.
#[derive(Debug)]
pub(crate) enum Evidence {
    /// A law over the target's tokens, computed from the draft's.
    Computed(PathLaw),
    /// The draft's law, whose vocabulary is the target's.
    Sent(SparseLaw),
    /// The probability carried over to it.
    Scalar(f64),
}

impl Evidence {
    /// As acceptance takes it. `vocabulary` is the number of target tokens.
    pub(crate) fn drawn(&self, vocabulary: usize) -> Drawn<'_> {
        match self {
            Self::Computed(law) => law.law().map_or(Drawn::Somehow, Drawn::From),
            Self::Sent(law) => {
                let law = acceptance::SparseLaw::new(&law.ids, &law.log_probs, vocabulary);
                law.map_or(Drawn::Somehow, Drawn::From)
            }
            Self::Scalar(scalar) => Drawn::Scalar(*scalar),
        }
    }
}

/// The proxies that the drawn tokens stand for, at most `room`, and the law of each. An error is the drafter's fault and says
/// which.
pub(crate) fn drawn_proxies(
    target: &Target,
    proposal: &Proposal,
    method: Method,
    room: usize,
) -> Result<(Proxies, Vec<Evidence>), String> {
    let mut drawn = DrawnProxies {
        target,
        method,
        room,
        proxies: Proxies::default(),
        evidence: Vec::new(),
    };
    let text = &proposal.text;
    let expected = proposal.token_ends.len() + usize::from(proposal.ends_with.is_some());
    if proposal.draws.len() != expected {
        let found = proposal.draws.len();
        return Err(format!(
            "block.draws has {found} entries for {expected} tokens"
        ));
    }
    let mut start = 0;
    let ends = proposal
        .token_ends
        .iter()
        .copied()
        .chain([text.len() as u32]);
    for (index, (draw, end)) in proposal.draws.iter().zip(ends).enumerate() {
        let spelled = &text[start as usize..end as usize];
        let taken = match &proposal.lexicon {
            Some(Lexicon::Mapped(map)) => drawn.mapped(draw, map, spelled, start),
            _ => drawn.same(draw, spelled, start),
        };
        taken.map_err(|error| format!("block.draws[{index}]: {error}"))?;
        start = end;
    }
    drawn.proxies.dropped_bytes = text.len() - drawn.proxies.covered_bytes();
    Ok((drawn.proxies, drawn.evidence))
}

/// The scalar of each proxy under `token_timing`: the drafter's probabilities, carried over by the warping.
pub(crate) fn transferred(
    target: &Target,
    proposal: &Proposal,
    proxies: &Proxies,
) -> Result<Vec<Evidence>, String> {
    let covered = proxies.covered_bytes() as u32;
    let within = proposal.token_ends.partition_point(|end| *end <= covered);
    // A token that is covered in part belongs to the last proxy.
    let is_partial = within == 0 || proposal.token_ends[within - 1] < covered;
    let count = (within + usize::from(is_partial)).min(proposal.token_ends.len());
    let mut start = 0;
    let mut drafted = Vec::with_capacity(count);
    for end in &proposal.token_ends[..count] {
        drafted.push(&proposal.text[start as usize..*end as usize]);
        start = *end;
    }
    let ends = usize::from(
        proxies
            .tokens
            .last()
            .is_some_and(|last| target.is_end(last.0)),
    );
    let spelling = &proxies.tokens[..proxies.tokens.len() - ends];
    let texts: Vec<&[u8]> = spelling
        .iter()
        .map(|token| target.tokenizer().token_bytes(token.0))
        .collect();
    let alignment = dtw::align(&drafted, &texts, &dtw::Options::default());
    let alignment = alignment.map_err(|error| error.to_string())?;
    let probability = |draw: &Draw| f64::from(draw.log_prob).exp().max(f64::MIN_POSITIVE);
    let scalars: Vec<f64> = proposal.draws.iter().map(probability).collect();
    let of_texts = scalars.get(..count).ok_or("block.draws is too short")?;
    let mut carried = acceptance::transfer(&alignment, of_texts).map_err(|e| e.to_string())?;
    carried.extend(scalars.last().filter(|_| ends > 0));
    Ok(carried.into_iter().map(Evidence::Scalar).collect())
}

struct DrawnProxies<'a> {
    target: &'a Target,
    method: Method,
    room: usize,
    proxies: Proxies,
    evidence: Vec<Evidence>,
}

impl DrawnProxies<'_> {
    /// A token of the target's own vocabulary.
    fn same(&mut self, draw: &Draw, spelled: &[u8], start: u32) -> Result<(), String> {
        let law = law(draw)?;
        let size = self.target.vocab_size();
        let checked = acceptance::SparseLaw::new(&law.ids, &law.log_probs, size);
        check(checked.map_err(|e| e.to_string())?.contains(draw.id))?;
        self.check_spelling(&[draw.id], spelled)?;
        if self.proxies.tokens.len() < self.room {
            self.push(draw.id, start, Evidence::Sent(law.clone()));
        }
        Ok(())
    }

    /// A token of another vocabulary, and the tokens that it becomes.
    fn mapped(
        &mut self,
        draw: &Draw,
        map: &TokenMap,
        spelled: &[u8],
        start: u32,
    ) -> Result<(), String> {
        let law = law(draw)?;
        let law = acceptance::SparseLaw::new(&law.ids, &law.log_probs, map.len());
        let law = law.map_err(|error| error.to_string())?;
        check(law.contains(draw.id))?;
        let path = map.targets(draw.id);
        self.check_spelling(path, spelled)?;
        let mut at = start;
        for (index, id) in path.iter().enumerate() {
            if self.proxies.tokens.len() == self.room {
                break;
            }
            let mut room = PathLaw::default();
            let computed = if self.method == Method::Tli {
                intersection(&law, map, &mut room)
            } else {
                conditional(&law, map, &path[..index], &mut room)
            };
            computed.map_err(|error| error.to_string())?;
            at = self.push(*id, at, Evidence::Computed(room));
        }
        Ok(())
    }

    /// Tokens must be what the drafter says they spell: the drafter is told what became of its bytes.
    fn check_spelling(&self, ids: &[u32], spelled: &[u8]) -> Result<(), String> {
        let bytes = ids
            .iter()
            .flat_map(|id| self.target.tokenizer().token_bytes(*id));
        if bytes.eq(spelled) {
            return Ok(());
        }
        Err("the token does not spell its part of block.text".to_owned())
    }

    fn push(&mut self, id: u32, start: u32, evidence: Evidence) -> u32 {
        let end = start + self.target.tokenizer().token_bytes(id).len() as u32;
        self.proxies.tokens.push(TargetToken(id));
        self.proxies.ends.push(end);
        self.evidence.push(evidence);
        end
    }
}

fn law(draw: &Draw) -> Result<&SparseLaw, String> {
    draw.law
        .as_ref()
        .ok_or_else(|| "the law is absent".to_owned())
}

fn check(contains: bool) -> Result<(), String> {
    contains
        .then_some(())
        .ok_or_else(|| "the token is not in its law".to_owned())
}
