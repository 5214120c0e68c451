//! Losslessness by enumeration: every block that a draft can draw, every outcome of the round over it,
//! and the distribution of the text that comes of it, against plain decoding.

#[path = "exact/instance.rs"]
mod instance;

use alignment::acceptance::{PathDistribution, Rule, TokenMap, conditional};
use instance::{Instance, Judge, OwnedDistribution, Target, Texts, total_variation};
use proptest::prelude::*;

const EXACT: f64 = 1e-12;

fn instance() -> impl Strategy<Value = Instance> {
    let word = || "[ab]{1,3}".prop_map(String::into_bytes);
    let draft = proptest::collection::vec(word(), 2..5);
    let target = proptest::collection::vec(word(), 0..4);
    (draft, target, any::<u64>()).prop_map(|(mut draft, target, seed)| {
        draft.push(Vec::new());
        let singles = [b"a".to_vec(), b"b".to_vec()];
        let mut tokens: Vec<Vec<u8>> = singles.into_iter().chain(target).collect();
        tokens.push(Vec::new());
        let target = Target { tokens };
        Instance {
            draft,
            target,
            seed,
        }
    })
}

fn check_lossless(instance: &Instance, judge: Judge) {
    let found = instance.speculative(judge, 2, 3);
    let off = total_variation(&found, &instance.plain(3));
    assert!(off < EXACT, "{judge:?} is off by {off}: {instance:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn path_conditional_keeps_the_distribution_of_the_text(instance in instance()) {
        check_lossless(&instance, Judge::PathConditional);
    }

    #[test]
    fn tli_keeps_the_distribution_of_the_text(instance in instance()) {
        check_lossless(&instance, Judge::Tli);
    }

    #[test]
    fn point_mass_keeps_the_distribution_of_the_text(instance in instance()) {
        check_lossless(&instance, Judge::PointMass);
    }

    #[test]
    fn standard_keeps_the_distribution_of_the_text(mut instance in instance()) {
        instance.draft.clone_from(&instance.target.tokens);
        check_lossless(&instance, Judge::Standard);
    }

    #[test]
    fn string_level_keeps_the_distribution_of_the_first_token(
        instance in instance(),
        length in 1_usize..4,
    ) {
        // Each block of draft tokens counts as one token, which the map spells as a whole (Timor et al., algorithm 3).
        let blocks = instance.draft_blocks(length);
        let spellings = blocks.iter().map(|(bytes, _)| bytes.as_slice());
        let map = TokenMap::new(spellings, &instance.target, &[]).unwrap();
        let masses = (0..).zip(blocks.iter().map(|(_, mass)| *mass));
        let sent = OwnedDistribution::of(masses.filter(|(block, _)| !map.targets(*block).is_empty()));
        let mut out = PathDistribution::default();
        let psi = conditional(&sent.sparse(), &map, &[], &mut out).unwrap();
        let target = instance.target_distribution(&[]);
        let mut emitted = Texts::new();
        for (block, p) in sent.probabilities() {
            let rule = Rule::rejection(&target.distribution(), map.targets(block)[0], &psi);
            for (id, q) in rule.emitted() {
                *emitted.entry(vec![id]).or_default() += p * q;
            }
        }
        let off = total_variation(&emitted, &instance.plain(1));
        prop_assert!(off < EXACT, "{off}");
    }

    #[test]
    fn rejection_keeps_the_distribution_for_any_two_distributions(
        target in proptest::collection::vec(0.0_f64..1.0, 1..7),
        draft in proptest::collection::vec(0.0_f64..1.0, 1..7),
    ) {
        prop_assume!(target.iter().sum::<f64>() > 0.01 && draft.iter().sum::<f64>() > 0.01);
        let (target, draft) = (OwnedDistribution::dense(&target), OwnedDistribution::dense(&draft));
        check_rejection(&target, &draft);
        // A distribution against itself leaves no residual, and nothing is rejected.
        check_rejection(&target, &target);
        for (id, _) in target.probabilities() {
            let rule = Rule::rejection(&target.distribution(), id, &target.sparse());
            prop_assert!(rule.acceptance() > 1.0 - EXACT);
        }
    }
}

/// Distribution emitted when proposals are drawn from `draft` and judged by it.
fn emitted(target: &OwnedDistribution, draft: &OwnedDistribution) -> Texts {
    let mut emitted = Texts::new();
    for (proposed, p) in draft.probabilities() {
        for (id, q) in Rule::rejection(&target.distribution(), proposed, &draft.sparse()).emitted()
        {
            *emitted.entry(vec![id]).or_default() += p * q;
        }
    }
    emitted
}

fn check_rejection(target: &OwnedDistribution, draft: &OwnedDistribution) {
    let expected = target
        .probabilities()
        .into_iter()
        .map(|(id, p)| (vec![id], p));
    let off = total_variation(&emitted(target, draft), &expected.collect());
    assert!(off < EXACT, "{off}: {target:?} {draft:?}");
}

#[test]
fn reusing_a_scalar_over_split_tokens_is_caught() {
    let words = |words: &[&str]| words.iter().map(|w| w.as_bytes().to_vec()).collect();
    let worst = (0..20).map(|seed| {
        let draft = words(&["ab", "aa", "ba", ""]);
        let target = Target {
            tokens: words(&["a", "b", ""]),
        };
        let instance = Instance {
            draft,
            target,
            seed,
        };
        let found = instance.speculative(Judge::ReusedScalar, 1, 3);
        total_variation(&found, &instance.plain(3))
    });
    let worst = worst.fold(0.0, f64::max);
    assert!(worst > 0.1, "{worst}");
}
