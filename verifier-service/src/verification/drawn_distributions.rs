//! Distributions that a round's candidates were drawn from, for methods that need them.

use alignment::{
    TargetToken,
    acceptance::{
        self, Drawn, MappedBlock, Method, PathDistribution, TokenMap, conditional, intersection,
    },
    dtw,
    reencode::Candidates,
};
use proto::drafter::{Draw, SparseDistribution};

use super::proposal::Proposal;
use crate::{lexicon::Lexicon, target::Target};

/// Distribution or probability that one candidate was drawn with.
#[derive(Debug)]
pub(crate) enum CandidateSource {
    /// A distribution over target tokens, computed from the draft distribution.
    Computed(PathDistribution),
    /// The draft distribution itself, which is over the target's own vocabulary.
    Sent(SparseDistribution),
    /// A probability carried over from draft tokens by alignment.
    Scalar(f64),
}

impl CandidateSource {
    /// Origin of the candidate for acceptance. `vocabulary` is the number of target tokens.
    pub(crate) fn drawn(&self, vocabulary: usize) -> Drawn<'_> {
        match self {
            Self::Computed(distribution) => distribution
                .distribution()
                .map_or(Drawn::Somehow, Drawn::From),
            Self::Sent(distribution) => {
                let distribution = acceptance::SparseDistribution::new(
                    &distribution.ids,
                    &distribution.log_probs,
                    vocabulary,
                );
                distribution.map_or(Drawn::Somehow, Drawn::From)
            }
            Self::Scalar(scalar) => Drawn::Scalar(*scalar),
        }
    }
}

/// Candidates that spell the drawn tokens, at most `room`, and the source of each. An error names
/// the drafter's fault.
pub(crate) fn drawn_candidates(
    target: &Target,
    proposal: &Proposal,
    method: Method,
    room: usize,
) -> Result<(Candidates, Vec<CandidateSource>), String> {
    let draws = &proposal.draws;
    let expected = proposal.token_ends.len() + usize::from(proposal.ends_with.is_some());
    if draws.len() != expected {
        let found = draws.len();
        return Err(format!(
            "block.draws has {found} entries for {expected} tokens"
        ));
    }
    if let Some(Lexicon::Mapped(map)) = &proposal.lexicon {
        mapped(target, proposal, map, (method, room))
    } else {
        same(target, proposal, room)
    }
}

/// Candidates for draws from another vocabulary.
fn mapped(
    target: &Target,
    proposal: &Proposal,
    map: &TokenMap,
    (method, room): (Method, usize),
) -> Result<(Candidates, Vec<CandidateSource>), String> {
    let distributions = distributions(&proposal.draws, map.len())?;
    let ids: Vec<u32> = proposal.draws.iter().map(|draw| draw.id).collect();
    let spelling = ids.iter().flat_map(|id| map.targets(*id));
    check_spelling(target, spelling, &proposal.text)?;
    let block = MappedBlock::new(map, &ids, target, room).map_err(|error| error.to_string())?;
    let sources = block.origins.iter().map(|origin| {
        let (distribution, mut computed) =
            (&distributions[origin.index], PathDistribution::default());
        let known = if method == Method::Tli {
            intersection(distribution, map, &mut computed)
        } else {
            conditional(distribution, map, origin.prefix(map), &mut computed)
        };
        known.map_err(|error| format!("block.draws[{}].distribution: {error}", origin.index))?;
        Ok(CandidateSource::Computed(computed))
    });
    let sources = sources.collect::<Result<_, String>>()?;
    Ok((block.candidates, sources))
}

/// Candidates for draws from the target's own vocabulary.
fn same(
    target: &Target,
    proposal: &Proposal,
    room: usize,
) -> Result<(Candidates, Vec<CandidateSource>), String> {
    distributions(&proposal.draws, target.vocab_size())?;
    let ids = proposal.draws.iter().map(|draw| &draw.id);
    check_spelling(target, ids.clone(), &proposal.text)?;
    let mut candidates = Candidates::default();
    let mut end = 0;
    for id in ids.take(room) {
        end += target.tokenizer().token_bytes(*id).len() as u32;
        candidates.tokens.push(TargetToken(*id));
        candidates.ends.push(end);
    }
    candidates.dropped_bytes = proposal.text.len() - candidates.covered_bytes();
    let distributions = proposal
        .draws
        .iter()
        .filter_map(|draw| draw.distribution.clone());
    Ok((
        candidates,
        distributions
            .take(room)
            .map(CandidateSource::Sent)
            .collect(),
    ))
}

/// The distribution of each draw.
fn distributions(
    draws: &[Draw],
    vocabulary: usize,
) -> Result<Vec<acceptance::SparseDistribution<'_>>, String> {
    let distributions = draws.iter().enumerate().map(|(i, draw)| {
        distribution(draw, vocabulary)
            .map_err(|error| format!("block.draws[{i}].distribution: {error}"))
    });
    distributions.collect()
}

/// The distribution of a draw. It must give the drawn token some probability.
fn distribution(
    draw: &Draw,
    vocabulary: usize,
) -> Result<acceptance::SparseDistribution<'_>, String> {
    let Some(distribution) = &draw.distribution else {
        return Err("is absent".to_owned());
    };
    let distribution =
        acceptance::SparseDistribution::new(&distribution.ids, &distribution.log_probs, vocabulary);
    let distribution = distribution.map_err(|error| error.to_string())?;
    let drawn = distribution.contains(draw.id).then_some(distribution);
    drawn.ok_or_else(|| format!("has no mass for token {}, which was drawn", draw.id))
}

/// Checks that the tokens spell `text`, since verdicts count its bytes.
fn check_spelling<'a>(
    target: &Target,
    ids: impl IntoIterator<Item = &'a u32>,
    text: &[u8],
) -> Result<(), String> {
    let bytes = ids
        .into_iter()
        .flat_map(|id| target.tokenizer().token_bytes(*id));
    if bytes.eq(text) {
        return Ok(());
    }
    Err("block.draws: the tokens do not spell block.text".to_owned())
}

/// Scalar of each candidate under `token_timing`: draft probabilities carried over by DTW.
pub(crate) fn transferred(
    target: &Target,
    proposal: &Proposal,
    candidates: &Candidates,
) -> Result<Vec<CandidateSource>, String> {
    let covered = candidates.covered_bytes() as u32;
    let within = proposal.token_ends.partition_point(|end| *end <= covered);
    // A draft token that is covered in part belongs to the last candidate.
    let is_partial = within == 0 || proposal.token_ends[within - 1] < covered;
    let count = (within + usize::from(is_partial)).min(proposal.token_ends.len());
    let mut start = 0;
    let mut drafted = Vec::with_capacity(count);
    for end in &proposal.token_ends[..count] {
        drafted.push(&proposal.text[start as usize..*end as usize]);
        start = *end;
    }
    let ends = usize::from(
        candidates
            .tokens
            .last()
            .is_some_and(|last| target.is_end(last.0)),
    );
    let spelling = &candidates.tokens[..candidates.tokens.len() - ends];
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
    Ok(carried.into_iter().map(CandidateSource::Scalar).collect())
}
