//! Functions that take any bytes and must hold for all of them. A finding is a panic.

use alignment::acceptance::{
    Distribution, Drawn, Method, PathDistribution, Proposal, Rule, SparseDistribution, TokenMap,
    conditional,
};
use alignment::aligned::Alignment;
use alignment::dtw::{Band, Distance, Markers, Options, Ties};
use alignment::noise::SharedNoise;
use alignment::{DraftToken, TargetToken, Vocabulary, dtw, reencode, spans};

use crate::input::Input;
use crate::plain;
use crate::toy::{Bpe, PAGE};

/// A target, by name.
pub(crate) type Target = (&'static str, fn(&Models, &[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 4] = [
    ("warping", warping),
    ("spans", byte_spans),
    ("reencoding", reencoding),
    ("distributions", distributions),
];

/// Vocabularies, trained once.
pub(crate) struct Models {
    target: Bpe,
    normalising: Bpe,
}

impl Models {
    pub(crate) fn new() -> Self {
        let mut normalising = Bpe::trained(PAGE, 300);
        normalising.normalises = true;
        normalising.tells_bytes = false;
        Self {
            target: Bpe::trained(PAGE, 500),
            normalising,
        }
    }
}

/// Warping gives a whole alignment, that of the definition.
fn warping(_: &Models, bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let band = match input.below(3) {
        0 => Band::Unbounded,
        _ => Band::Width(input.below(12)),
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
        distance: distances[input.below(3)],
        band,
        ties: ties[input.below(6)],
        markers: [Markers::Strip, Markers::Keep][input.below(2)],
        longest_text: 90,
    };
    let longest = [3, 100][input.below(2)];
    let draft = input.list(24, |input| input.bytes(longest));
    let candidates = input.list(24, |input| input.bytes(longest));
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
        assert!(found.draw(&draft, &candidates).to_string().lines().count() == 3);
    }
}

/// Spans are refused, or part the lists where both have a boundary.
fn byte_spans(_: &Models, bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let kind = input.below(4);
    let mut ends = || {
        let mut end = 0_u32;
        input.list(60, |input| {
            if kind == 0 {
                return input.word();
            }
            end += input.below(4) as u32;
            end
        })
    };
    let (mut draft, mut candidates) = (ends(), ends());
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
            found.draw(&[], &[]).to_string();
        }
        Err(error) => {
            assert!(kind < 2, "{error}");
            error.to_string();
        }
    }
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

/// Candidates spell the draft's bytes as far as they go, whatever is committed.
fn reencoding(models: &Models, bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let vocabulary = [&models.target, &models.normalising][input.below(2)];
    let most = input.below(40);
    let committed = input.list(7, |input| {
        TargetToken(match input.below(4) {
            0 => u32::from(input.byte()),
            1 => input.word(),
            _ => input.word() % (vocabulary.control() + 1),
        })
    });
    let draft = input.bytes(200);
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
}

/// A sparse distribution is refused by name, or every rule over it emits a distribution of the target's tokens.
fn distributions<'a>(models: &Models, bytes: &'a [u8]) {
    let mut input = Input::new(bytes);
    // From bits that mean anything to distributions as they should be.
    let kind = input.below(8);
    let vocabulary = if kind < 3 { 1 + input.below(40) } else { 40 };
    let mut ids = input.list(12, |input| {
        if kind == 0 {
            input.word()
        } else {
            input.below(40) as u32
        }
    });
    let mut log_probs = input.list(12, |input| match kind {
        0 => f32::from_bits(input.word()),
        _ => -f32::from(input.byte()) / 16.0,
    });
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
    let target_logs = input.list(40, |input| match kind {
        0 => f32::from_bits(input.word()),
        _ => f32::from(input.byte()) / 8.0 - 20.0,
    });
    let target_ids: Vec<u32> = (0..40).collect();
    let target = Distribution {
        ids: &target_ids,
        log_probs: &target_logs,
    };
    let draft = match SparseDistribution::new(&ids, &log_probs, vocabulary) {
        Ok(draft) => draft,
        Err(error) => return drop(error.to_string()),
    };
    let total: f64 = draft.ids().iter().map(|id| draft.probability(*id)).sum();
    assert!((total - 1.0).abs() < 1e-12);
    judge(&target, &draft, &mut input);

    // Few control tokens, since a distribution with mass on one ends the test.
    let token = |input: &mut Input<'a>| match (input.below(12), input.bytes(3)) {
        (11, _) => &b""[..],
        (n, b"") => &PAGE.as_bytes()[n * 40..n * 40 + 1 + n / 3],
        (_, bytes) => bytes,
    };
    let tokens: Vec<&[u8]> = (0..vocabulary).map(|_| token(&mut input)).collect();
    let ends = [(DraftToken(0), TargetToken(models.target.control()))];
    let map = TokenMap::new(tokens, &models.target, &ends).expect("a map");
    let mut out = PathDistribution::default();
    let prefix = map.targets(draft.ids()[0]);
    let prefix = &prefix[..input.below(3).min(prefix.len())];
    match conditional(&draft, &map, prefix, &mut out) {
        Ok(r) => judge(&target, &r, &mut input),
        Err(error) => drop(error.to_string()),
    }
}

/// Every rule and method over one proposal.
fn judge(target: &Distribution<'_>, r: &SparseDistribution<'_>, input: &mut Input<'_>) {
    let noise = SharedNoise::new(u64::from(input.word())).at(0, 0);
    let proposed = [r.sample(&noise), input.word() % 50][input.below(2)];
    let scalar = f64::from(f32::from_bits(input.word()));
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
}
