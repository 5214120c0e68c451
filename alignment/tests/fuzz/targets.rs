//! Properties of everything that can be read off random bytes. A finding is a panic.

use alignment::acceptance::{
    Distribution, Drawn, Method, PathDistribution, Proposal, Rule, SparseDistribution, TokenMap,
    conditional,
};
use alignment::aligned::Alignment;
use alignment::dtw::{Band, Distance, Markers, Options, Ties};
use alignment::noise::SharedNoise;
use alignment::{DraftToken, TargetToken, Vocabulary, dtw, reencode, spans};

use arbitrary::{Result, Unstructured};

use crate::plain;
use crate::toy::{Bpe, PAGE};

/// Vocabularies, trained once.
pub(crate) struct Models {
    target: Bpe,
    normalising: Bpe,
}

impl Models {
    pub(crate) fn new() -> Self {
        let mut normalising = Bpe::trained(PAGE, 300);
        normalising.normalises = true;
        normalising.has_bytes = false;
        Self {
            target: Bpe::trained(PAGE, 500),
            normalising,
        }
    }
}

/// Up to `most` things.
fn list<'a, T>(
    u: &mut Unstructured<'a>,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let length = u.int_in_range(0..=most)?;
    (0..length).map(|_| one(u)).collect()
}

/// Up to `longest` bytes, as far as there are any.
fn bytes<'a>(u: &mut Unstructured<'a>, longest: usize) -> Result<&'a [u8]> {
    let length = u.int_in_range(0..=longest.min(u.len()))?;
    u.bytes(length)
}

/// Any bytes, or some of the page that the vocabularies are trained on.
fn piece<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    if u.ratio(1, 4)? {
        return bytes(u, 6);
    }
    let page = PAGE.as_bytes();
    let from = u.choose_index(page.len())?;
    let length = u.int_in_range(0..=40)?;
    Ok(&page[from..page.len().min(from + length)])
}

/// Warping gives a whole alignment, that of the definition.
pub(crate) fn warping(u: &mut Unstructured<'_>) -> Result<()> {
    let band = match u.int_in_range(0..=2)? {
        0 => Band::Unbounded,
        _ => Band::Width(u.int_in_range(0..=11)?),
    };
    let ties = [
        Ties::DiagonalUpLeft,
        Ties::DiagonalLeftUp,
        Ties::UpDiagonalLeft,
        Ties::UpLeftDiagonal,
        Ties::LeftDiagonalUp,
        Ties::LeftUpDiagonal,
    ];
    let distances = [
        Distance::Levenshtein,
        Distance::NormalisedLevenshtein,
        Distance::Equality,
    ];
    let options = Options {
        distance: *u.choose(&distances)?,
        band,
        ties: *u.choose(&ties)?,
        markers: *u.choose(&[Markers::Strip, Markers::Keep])?,
        longest_text: 90,
    };
    let longest = *u.choose(&[3, 100])?;
    let draft = list(u, 24, |u| bytes(u, longest))?;
    let candidates = list(u, 24, |u| bytes(u, longest))?;
    let too_long = draft.iter().chain(&candidates).any(|text| text.len() > 90);
    let found = dtw::align(&draft, &candidates, &options);
    if draft.is_empty() != candidates.is_empty() {
        assert_eq!(found, Err(dtw::Error::OneSideEmpty));
    } else if too_long {
        assert!(matches!(found, Err(dtw::Error::TextTooLong { .. })));
    } else {
        let found = found.expect("an alignment");
        covers(&found, draft.len(), candidates.len());
        assert_eq!(
            Some(&found),
            plain::warping(&draft, &candidates, &options).as_ref()
        );
    }
    Ok(())
}

/// Spans are refused, or part the lists where both have a boundary.
pub(crate) fn byte_spans(u: &mut Unstructured<'_>) -> Result<()> {
    let kind = u.int_in_range(0..=3)?;
    let mut ends = || {
        let mut end = 0_u32;
        list(u, 60, |u| {
            if kind == 0 {
                return u.arbitrary();
            }
            end += u.int_in_range(0..=3)?;
            Ok(end)
        })
    };
    let (mut draft, mut candidates) = (ends()?, ends()?);
    if kind > 1 {
        let last = draft
            .iter()
            .chain(&candidates)
            .copied()
            .max()
            .unwrap_or_default();
        draft.push(last);
        candidates.push(last);
    }
    match spans::align(&draft, &candidates) {
        Ok(found) => {
            covers(&found, draft.len(), candidates.len());
            for group in found.groups() {
                assert_eq!(
                    draft[group.draft.end - 1],
                    candidates[group.candidates.end - 1]
                );
            }
        }
        Err(error) => {
            assert!(kind < 2, "{error}");
            error.to_string();
        }
    }
    Ok(())
}

fn covers(alignment: &Alignment, k: usize, m: usize) {
    let (mut i, mut j) = (0, 0);
    for group in alignment.groups() {
        assert_eq!((group.draft.start, group.candidates.start), (i, j));
        assert!(!group.draft.is_empty() && !group.candidates.is_empty());
        for candidate in group.candidates.clone() {
            let touching = alignment.touching(candidate).expect("a link");
            assert!(!touching.is_empty());
            assert!(group.draft.start <= touching.start && touching.end <= group.draft.end);
        }
        (i, j) = (group.draft.end, group.candidates.end);
    }
    assert_eq!((i, j), (k, m));
}

/// Candidates spell the draft's bytes as far as they go, after any committed tokens.
pub(crate) fn reencoding(models: &Models, u: &mut Unstructured<'_>) -> Result<()> {
    let vocabulary = *u.choose(&[&models.target, &models.normalising])?;
    let most = u.int_in_range(0..=39)?;
    let committed = list(u, 6, |u| {
        Ok(TargetToken(match u.int_in_range(0..=3)? {
            0 => u32::from(u.arbitrary::<u8>()?),
            1 => u.arbitrary()?,
            _ => u.int_in_range(0..=vocabulary.control())?,
        }))
    })?;
    let draft = list(u, 8, piece)?.concat();
    let draft = draft.as_slice();
    let before = committed.clone();
    let candidates = reencode::candidates(vocabulary, &committed, draft, most);
    assert_eq!(committed, before);
    assert!(candidates.tokens.len() <= most);
    assert_eq!(candidates.tokens.len(), candidates.ends.len());
    let mut start = 0;
    for (token, end) in candidates.tokens.iter().zip(&candidates.ends) {
        let end = *end as usize;
        assert_eq!(vocabulary.token_bytes(token.0), &draft[start..end]);
        assert!(end > start);
        start = end;
    }
    assert_eq!(start, candidates.covered_bytes());
    assert_eq!(start + candidates.dropped_bytes, draft.len());
    Ok(())
}

/// A sparse distribution is refused by name, or every rule over it emits a distribution of the target's tokens.
pub(crate) fn distributions(models: &Models, u: &mut Unstructured<'_>) -> Result<()> {
    // From bits that mean anything to distributions as they should be.
    let kind = u.int_in_range(0..=7)?;
    let vocabulary = if kind < 3 {
        u.int_in_range(1..=40)?
    } else {
        40
    };
    let mut ids = list(u, 12, |u| match kind {
        0 => u.arbitrary(),
        _ => u.int_in_range(0..=39_u32),
    })?;
    let mut log_probs = list(u, 12, |u| match kind {
        0 => Ok(f32::from_bits(u.arbitrary()?)),
        _ => Ok(-f32::from(u.arbitrary::<u8>()?) / 16.0),
    })?;
    if kind > 0 {
        ids.sort_unstable();
        ids.dedup();
        log_probs.resize(ids.len(), -1.0);
    }
    if kind > 1 {
        let total: f64 = log_probs.iter().map(|lp| f64::from(*lp).exp()).sum();
        for log_prob in &mut log_probs {
            *log_prob = (*log_prob - total.ln() as f32).min(0.0);
        }
    }
    let target_logs = list(u, 40, |u| match kind {
        0 => Ok(f32::from_bits(u.arbitrary()?)),
        _ => Ok(f32::from(u.arbitrary::<u8>()?) / 8.0 - 20.0),
    })?;
    let target_ids: Vec<u32> = (0..40).collect();
    let target = Distribution {
        ids: &target_ids,
        log_probs: &target_logs,
    };
    let draft = match SparseDistribution::new(&ids, &log_probs, vocabulary) {
        Ok(draft) => draft,
        Err(error) => {
            error.to_string();
            return Ok(());
        }
    };
    let total: f64 = draft.ids().iter().map(|id| draft.probability(*id)).sum();
    assert!((total - 1.0).abs() < 1e-12);
    judge(&target, &draft, u)?;

    // Few control tokens, since a distribution with mass on one ends the test.
    let tokens = (0..vocabulary).map(|n| match (u.int_in_range(0..=11)?, bytes(u, 3)?) {
        (11, _) => Ok(&b""[..]),
        (_, b"") => Ok(&PAGE.as_bytes()[n * 12..n * 12 + 1 + n % 4]),
        (_, bytes) => Ok(bytes),
    });
    let tokens = tokens.collect::<Result<Vec<&[u8]>>>()?;
    let ends = [(DraftToken(0), TargetToken(models.target.control()))];
    let map = TokenMap::new(tokens, &models.target, &ends).expect("a map");
    let mut out = PathDistribution::default();
    let prefix = map.targets(draft.ids()[0]);
    let prefix = &prefix[..u.int_in_range(0..=2)?.min(prefix.len())];
    match conditional(&draft, &map, prefix, &mut out) {
        Ok(r) => judge(&target, &r, u),
        Err(error) => {
            error.to_string();
            Ok(())
        }
    }
}

/// Every rule and method over one proposal.
fn judge(
    target: &Distribution<'_>,
    r: &SparseDistribution<'_>,
    u: &mut Unstructured<'_>,
) -> Result<()> {
    let noise = SharedNoise::new(u.arbitrary()?).at(0, 0);
    let other = u.int_in_range(0..=49)?;
    let proposed = *u.choose(&[r.sample(&noise), other])?;
    let scalar = f64::from(f32::from_bits(u.arbitrary()?));
    let rules = [
        Rule::point_mass(target, proposed),
        Rule::rejection(target, proposed, r),
        Rule::token_timing(target, proposed, scalar),
    ];
    let has_mass = |id: u32| {
        let log_prob = target.log_probs.get(id as usize).copied();
        log_prob.is_some_and(|lp| lp.is_finite() && f64::from(lp).exp() > 0.0)
    };
    // Exponentials beyond the range of doubles are no probabilities of a distribution after its softmax.
    let sane = target
        .log_probs
        .iter()
        .all(|lp| !lp.is_finite() || *lp < 600.0);
    let any = (0..40).any(has_mass);
    for rule in rules.iter().filter(|_| sane && any) {
        let emitted = rule.emitted();
        let total: f64 = emitted.iter().map(|(_, p)| p).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
        assert!(emitted.iter().all(|(_, p)| *p >= 0.0));
    }
    let token = TargetToken(proposed);
    for drawn in [Drawn::Somehow, Drawn::From(*r), Drawn::Scalar(scalar)] {
        for method in Method::ALL {
            let proposal = Some(Proposal { token, drawn });
            let emitted = method.choose_against(target, proposal, &noise, |id| (b"", id));
            assert!(!sane || !any || method == Method::Greedy || has_mass(emitted.0));
        }
    }
    Ok(())
}
