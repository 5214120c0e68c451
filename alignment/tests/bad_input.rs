//! Input that nobody should send and somebody will: an error by name or a plain answer, never a panic, and
//! never a token that the target's distribution does not have.

use alignment::acceptance::{
    Distribution, Drawn, Method, PathDistribution, Proposal, Rule, SparseDistribution, TokenMap,
    conditional, sample, transfer,
};
use alignment::aligned::Alignment;
use alignment::candidate_tree::CandidateTree;
use alignment::noise::{END_RANK, Place, SharedNoise};
use alignment::reencode::{self, Candidates};
use alignment::round::Round;
use alignment::{DraftToken, TargetToken, Vocabulary, dtw, spans};
use proptest::prelude::*;

/// Bytes as tokens 0 to 255; 256 and above are control tokens.
struct Bytes([u8; 256]);

impl Bytes {
    fn new() -> Self {
        Self(std::array::from_fn(|byte| byte as u8))
    }
}

impl Vocabulary for Bytes {
    fn token_bytes(&self, id: u32) -> &[u8] {
        let at = id as usize;
        self.0.get(at..=at).unwrap_or_default()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }
}

const END: TargetToken = TargetToken(256);

fn key(id: u32) -> (&'static [u8], u32) {
    (b"", END_RANK - id)
}

/// Tokens that every method emits, with every kind of evidence, wherever something is proposed or not.
fn emitted(distribution: &Distribution<'_>, proposed: u32, r: SparseDistribution<'_>) -> Vec<u32> {
    let noise = SharedNoise::new(6);
    let drawn = [
        Drawn::Somehow,
        Drawn::From(r),
        Drawn::Scalar(0.4),
        Drawn::Scalar(f64::NAN),
        Drawn::Scalar(-1.0),
    ];
    let token = TargetToken(proposed);
    let proposals = drawn.map(|drawn| Some(Proposal { token, drawn }));
    let mut emitted = Vec::new();
    for method in Method::ALL {
        for proposal in proposals.into_iter().chain([None]) {
            for place in 0..20 {
                let here = noise.at(place, 0);
                emitted.push(method.choose_against(distribution, proposal, &here, key).0);
            }
        }
    }
    emitted
}

#[test]
fn empty_blocks_are_rounds_that_decode_plainly() {
    let candidates = reencode::candidates(&Bytes::new(), &[], b"", 8);
    assert_eq!(candidates, Candidates::default());
    assert_eq!(spans::align(&[], &[]), Ok(Alignment::default()));
    assert_eq!(
        dtw::align(&[], &[], &dtw::Options::default()),
        Ok(Alignment::default())
    );
    assert_eq!(transfer(&Alignment::default(), &[]), Ok(Vec::new()));
    let tree = CandidateTree::from(candidates);
    let mut round = Round::new(&tree, Place::default());
    let position = round.open().expect("a bonus");
    assert_eq!(position.proposed(), None);
    position.decide(TargetToken(1), 1, false);
    assert_eq!(round.verdict().emitted(), 1);
}

#[test]
fn blocks_of_one_token_align_with_all_there_is() {
    let candidates = reencode::candidates(&Bytes::new(), &[], b"ab", 8);
    let by_bytes = spans::align(&[2], &candidates.ends).expect("one group");
    let by_texts = dtw::align(&[b"ab"], &[b"a", b"b"], &dtw::Options::default());
    assert_eq!(by_texts, Ok(by_bytes.clone()));
    assert_eq!(transfer(&by_bytes, &[0.5]), Ok(vec![0.5, 0.5]));
}

#[test]
fn blocks_of_special_tokens_alone_propose_an_end_or_nothing() {
    let committed = [END, TargetToken(u32::MAX)];
    let mut candidates = reencode::candidates(&Bytes::new(), &committed, b"", 8);
    assert!(candidates.push_end(END, 8));
    assert_eq!(
        (candidates.tokens.as_slice(), candidates.ends.as_slice()),
        (&[END][..], &[0][..])
    );
    // Three control tokens on the draft's side.
    let aligned = spans::align(&[0, 0, 0], &candidates.ends).expect("one group");
    assert_eq!(aligned.to_string(), "0-2:0");
    let by_texts = dtw::align(&[b"", b"", b""], &[b""], &dtw::Options::default());
    assert_eq!(by_texts, Ok(aligned));

    let ends = [(DraftToken(2), END)];
    let map = TokenMap::new([&b""[..]; 3], &Bytes::new(), &ends).expect("a map");
    let ids = [2];
    let distribution = SparseDistribution::new(&ids, &[0.0], 3).expect("a distribution");
    let mut out = PathDistribution::default();
    let r = conditional(&distribution, &map, &[], &mut out).expect("a distribution");
    assert_eq!(r.ids(), [END.0]);
    let masses = [0.25_f32.ln(), 0.75_f32.ln()];
    let target = Distribution {
        ids: &[7, END.0],
        log_probs: &masses,
    };
    assert!((Rule::rejection(&target, END.0, &r).acceptance() - 0.75).abs() < 1e-7);
}

#[test]
fn numbers_of_a_distribution_that_are_not_finite_have_no_mass() {
    let r = SparseDistribution::new(&[0, 1], &[-0.5, -0.932_752], 9).expect("a distribution");
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in 0..3 {
            let mut log_probs = [-1.0; 3];
            log_probs[at] = broken;
            let distribution = Distribution {
                ids: &[0, 1, 2],
                log_probs: &log_probs,
            };
            for proposed in 0..4 {
                let emitted = emitted(&distribution, proposed, r);
                assert!(emitted.iter().all(|id| *id < 3 && *id != at as u32));
            }
        }
    }
}

#[test]
fn distributions_without_any_mass_give_their_first_id_and_empty_ones_zero() {
    let r = SparseDistribution::new(&[4], &[0.0], 9).expect("a distribution");
    let distributions: [(&[u32], &[f32], u32); 5] = [
        (&[], &[], 0),
        (&[5, 6], &[], 5),
        (&[], &[-1.0], 0),
        (&[5, 6], &[f32::NAN, f32::NEG_INFINITY], 5),
        (&[5, 6], &[-1e9, -1e30], 5),
    ];
    for (ids, log_probs, expected) in distributions {
        let distribution = Distribution { ids, log_probs };
        for proposed in [0, 4, 5, 6] {
            let emitted = emitted(&distribution, proposed, r);
            assert!(emitted.iter().all(|id| *id == expected), "{distribution:?}");
        }
        assert_eq!(
            sample(&distribution, &SharedNoise::new(0).at(0, 0)),
            expected
        );
        assert!(
            Rule::point_mass(&distribution, 5)
                .emitted()
                .iter()
                .all(|(_, p)| p.is_finite())
        );
    }
}

#[test]
fn lists_of_unlike_lengths_count_as_far_as_both_go() {
    let r = SparseDistribution::new(&[1], &[0.0], 9).expect("a distribution");
    let short = Distribution {
        ids: &[1, 2, 3],
        log_probs: &[-0.7, -0.7],
    };
    let long = Distribution {
        ids: &[1, 2],
        log_probs: &[-0.7, -0.7, -0.1],
    };
    for distribution in [short, long] {
        assert!(
            emitted(&distribution, 3, r)
                .iter()
                .all(|id| [1, 2].contains(id))
        );
    }
}

#[test]
fn proposal_that_its_own_distribution_denies_is_judged_as_if_nothing_were_known() {
    let log_probs = [0.2_f32.ln(), 0.3_f32.ln(), 0.5_f32.ln()];
    let target = Distribution {
        ids: &[0, 1, 2],
        log_probs: &log_probs,
    };
    let r = SparseDistribution::new(&[0, 1], &[-0.5, -0.932_752], 9).expect("a distribution");
    for proposed in [2, 77] {
        let emitted = Rule::rejection(&target, proposed, &r).emitted();
        assert_eq!(emitted, Rule::point_mass(&target, proposed).emitted());
    }
}

proptest! {
    #[test]
    fn distribution_that_does_not_sum_to_one_counts_as_divided_by_its_sum(
        masses in proptest::collection::vec(0.01_f32..1.0, 2..6),
        factor in prop_oneof![Just(1e-20_f32), Just(0.3), Just(7.0), Just(1e20)],
        proposed in 0_u32..7,
    ) {
        let ids: Vec<u32> = (0..masses.len() as u32).collect();
        let total: f32 = masses.iter().sum();
        let logs = |factor: f32| -> Vec<f32> {
            masses.iter().map(|m| (m / total).ln() + factor.ln()).collect()
        };
        let (whole, scaled) = (logs(1.0), logs(factor));
        let whole = Distribution { ids: &ids, log_probs: &whole };
        let scaled = Distribution { ids: &ids, log_probs: &scaled };
        let r = [-0.5, -0.932_752];
        let r = SparseDistribution::new(&[0, 1], &r, 9).unwrap();
        let rules = |distribution: &Distribution<'_>| {
            [
                Rule::point_mass(distribution, proposed).emitted(),
                Rule::rejection(distribution, proposed, &r).emitted(),
                Rule::token_timing(distribution, proposed, 0.3).emitted(),
            ]
        };
        for (a, b) in rules(&whole).into_iter().flatten().zip(rules(&scaled).into_iter().flatten()) {
            prop_assert!((a.1 - b.1).abs() < 1e-4, "{:?} {:?}", a, b);
        }
    }
}
