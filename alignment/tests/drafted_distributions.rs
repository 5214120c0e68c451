//! Whole generations with the methods that use the draft's distribution, from the drafter's cut to the verdict:
//! texts follow the target's distribution, by a seeded chi-square test.

use std::collections::BTreeMap;

use alignment::acceptance::{
    Distribution, DraftDistribution, Drawn, MappedBlock, Method, PathDistribution, Proposal,
    SparseDistribution, TokenMap, UnmappedToken, conditional, intersection,
};
use alignment::candidate_tree::CandidateTree;
use alignment::noise::{Place, SharedNoise};
use alignment::round::Round;
use alignment::{DraftToken, TargetToken, Vocabulary};

const DRAFT: [&[u8]; 6] = [b"ab", b"ac", b"b", b"cab", b"z", b""];
const TARGET: [&[u8]; 5] = [b"a", b"b", b"c", b"ab", b""];
const END: TargetToken = TargetToken(4);
/// Tokens of a reply at most.
const LENGTH: usize = 3;
const WIRE: usize = 4;

/// The longest token that fits first.
struct Toy;

impl Vocabulary for Toy {
    fn token_bytes(&self, id: u32) -> &[u8] {
        TARGET.get(id as usize).copied().unwrap_or_default()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let mut rest = text.as_bytes();
        let mut ids = Vec::new();
        while !rest.is_empty() {
            let known = (0..4).filter(|id| rest.starts_with(TARGET[*id]));
            let Some(longest) = known.max_by_key(|id| TARGET[*id].len()) else {
                break;
            };
            ids.push(longest as u32);
            rest = &rest[TARGET[longest].len()..];
        }
        ids
    }
}

fn map() -> TokenMap {
    TokenMap::new(DRAFT, &Toy, &[(DraftToken(5), END)]).expect("a map")
}

/// A distribution that depends on the tokens before it, unlike for either model.
fn log_probs(before: &[u32], tokens: u32, salt: u32) -> Vec<f32> {
    let sum = before.iter().fold(salt, |sum, id| sum * 5 + id + 1);
    let weights = (0..tokens).map(|id| f64::from((id * 7 + sum * 3) % 11) + 0.2);
    let total: f64 = weights.clone().sum();
    weights.map(|w| (w / total).ln() as f32).collect()
}

/// One reply, with blocks of two draft tokens; the draft's context is the block alone.
fn generate(method: Method, map: &TokenMap, seed: u64) -> Vec<u32> {
    let noise = SharedNoise::new(seed);
    let draft_ids: Vec<u32> = (0..6).collect();
    let (mut text, mut place) = (Vec::new(), Place::default());
    loop {
        // The drafter: cuts its distribution, draws from what is left, sends both.
        let allowed = |id: u32| match method {
            Method::Tli => map.is_shared(id),
            _ => !map.targets(id).is_empty(),
        };
        let (mut drawn, mut distributions) = (Vec::new(), Vec::new());
        for i in 0..2 {
            let log_probs = log_probs(&drawn, 6, 9);
            let distribution = Distribution {
                ids: &draft_ids,
                log_probs: &log_probs,
            };
            let mut cut = DraftDistribution::default();
            let sparse = cut
                .restrict(&distribution, WIRE, allowed)
                .expect("a distribution");
            drawn.push(sparse.sample(&noise.at(place.offset, place.zero_width + 100 + i)));
            distributions.push((cut.ids().to_vec(), cut.log_probs().to_vec()));
        }
        // The verifier.
        let block = MappedBlock::new(map, &drawn, &Toy, 8).expect("a block");
        let tree = CandidateTree::from(block.candidates);
        let mut round = Round::new(&tree, place);
        while let Some(position) = round.open() {
            let log_probs = log_probs(&text, 5, 2);
            let distribution = Distribution {
                ids: &[0, 1, 2, 3, 4],
                log_probs: &log_probs,
            };
            let mut out = PathDistribution::default();
            let origin = block.origins.get(position.row());
            let proposal = origin.zip(position.proposed()).map(|(origin, token)| {
                let (ids, log_probs) = &distributions[origin.index];
                let sent =
                    SparseDistribution::new(ids, log_probs, DRAFT.len()).expect("a distribution");
                let r = match method {
                    Method::Tli => intersection(&sent, map, &mut out),
                    _ => conditional(&sent, map, origin.prefix(map), &mut out),
                };
                let drawn = Drawn::From(r.expect("a distribution"));
                Proposal { token, drawn }
            });
            let here = noise.at_place(position.place());
            let emitted = method.choose_against(&distribution, proposal, &here, |id| (b"", id));
            text.push(emitted.0);
            let finishes = emitted == END || text.len() == LENGTH;
            position.decide(emitted, Toy.token_bytes(emitted.0).len(), finishes);
        }
        let verdict = round.verdict();
        place = verdict.place;
        if verdict.finished {
            return text;
        }
    }
}

/// Every reply with its probability under the target alone.
fn expected() -> BTreeMap<Vec<u32>, f64> {
    let mut open = vec![(Vec::new(), 1.0)];
    let mut whole = BTreeMap::new();
    while let Some((text, p)) = open.pop() {
        if text.len() == LENGTH || text.last() == Some(&END.0) {
            whole.insert(text, p);
            continue;
        }
        for (id, log_prob) in (0..).zip(log_probs(&text, 5, 2)) {
            open.push((
                [text.as_slice(), &[id]].concat(),
                p * f64::from(log_prob).exp(),
            ));
        }
    }
    whole
}

#[test]
fn replies_follow_the_target_distribution() {
    const DRAWS: u64 = 60_000;
    let map = map();
    let expected = expected();
    for method in [Method::PathConditional, Method::Tli] {
        let mut counts: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for seed in 0..DRAWS {
            *counts.entry(generate(method, &map, seed)).or_default() += 1.0;
        }
        assert!(counts.keys().all(|text| expected.contains_key(text)));
        let (mut statistic, mut cells) = (0.0, 0);
        for (text, p) in expected.iter().filter(|(_, p)| **p * DRAWS as f64 >= 5.0) {
            let count = counts.get(text).copied().unwrap_or_default();
            let mean = p * DRAWS as f64;
            statistic += (count - mean) * (count - mean) / mean;
            cells += 1;
        }
        // Five standard deviations above the mean of the statistic.
        let degrees = f64::from(cells);
        assert!(
            statistic < degrees + 5.0 * (2.0 * degrees).sqrt(),
            "{method} {statistic} {cells}"
        );
    }
}

#[test]
fn block_says_where_each_candidate_comes_from() {
    let map = map();
    let block = MappedBlock::new(&map, &[0, 3, 5], &Toy, 8).expect("a block");
    let shown: Vec<(usize, u32, &[u32])> = block
        .origins
        .iter()
        .map(|origin| (origin.index, origin.id, origin.prefix(&map)))
        .collect();
    assert_eq!(
        shown,
        [(0, 0, &[][..]), (1, 3, &[]), (1, 3, &[2]), (2, 5, &[])]
    );
    let tokens: Vec<u32> = block
        .candidates
        .tokens
        .iter()
        .map(|token| token.0)
        .collect();
    assert_eq!(
        (tokens, block.candidates.ends),
        (vec![3, 2, 3, 4], vec![2, 3, 5, 5])
    );

    let cut = MappedBlock::new(&map, &[0, 3], &Toy, 2).expect("a block");
    assert_eq!(
        (cut.candidates.covered_bytes(), cut.candidates.dropped_bytes),
        (3, 2)
    );
    for id in [4, 6, u32::MAX] {
        let refused = MappedBlock::new(&map, &[0, id], &Toy, 8);
        assert_eq!(refused, Err(UnmappedToken { index: 1, id }));
    }
}
