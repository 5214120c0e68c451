//! Distributions that `token_timing` emits on the counterexamples, by its own functions: the wrong numbers are known,
//! and the exact rules give the right ones on the same distributions.

use alignment::acceptance::{
    Distribution, PathDistribution, Rule, SparseDistribution, TokenMap, conditional, transfer,
};
use alignment::{Vocabulary, spans};

/// Single precision of the distributions in these tests.
const ROUNDING: f64 = 1e-6;

fn logs<const N: usize>(masses: [f64; N]) -> [f32; N] {
    masses.map(|mass| mass.ln() as f32)
}

fn distribution<'a>(ids: &'a [u32], log_probs: &'a [f32]) -> Distribution<'a> {
    Distribution { ids, log_probs }
}

/// The distribution emitted when each rule meets its proposal with that probability.
fn mixed<const N: usize>(rules: [(f64, Rule<'_>); N]) -> Vec<f64> {
    let mut sum = Vec::new();
    for (p, rule) in rules {
        let emitted = rule.emitted();
        sum.resize(emitted.len(), 0.0);
        for (sum, (_, q)) in sum.iter_mut().zip(emitted) {
            *sum += p * q;
        }
    }
    sum
}

fn close(found: &[f64], expected: &[f64], within: f64) {
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < within, "{found:?}, expected {expected:?}");
    }
}

#[test]
fn exact_scalar_with_the_residual_of_one_token_is_biased() {
    let (r, target) = (logs([0.5, 0.3, 0.2]), logs([0.2, 0.3, 0.5]));
    let (ids, target) = ([0, 1, 2], distribution(&[0, 1, 2], &target));
    let wrong = [(0.5, 0), (0.3, 1), (0.2, 2)].map(|(q, x)| (q, Rule::token_timing(&target, x, q)));
    close(&mixed(wrong), &[0.2, 0.4125, 0.3875], ROUNDING);
    let r = SparseDistribution::new(&ids, &r, 3).unwrap();
    let right = [(0.5, 0), (0.3, 1), (0.2, 2)].map(|(p, x)| (p, Rule::rejection(&target, x, &r)));
    close(&mixed(right), &[0.2, 0.3, 0.5], ROUNDING);
}

#[test]
fn top_probability_of_a_greedy_draft_is_biased() {
    let target = logs([0.5, 0.3, 0.2]);
    let target = distribution(&[0, 1, 2], &target);
    let wrong = mixed([(1.0, Rule::token_timing(&target, 0, 0.6))]);
    close(&wrong, &[0.8333, 0.1, 0.0667], 1e-4);
    for scalar in [1.0, 0.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        let right = mixed([(1.0, Rule::token_timing(&target, 0, scalar))]);
        close(&right, &[0.5, 0.3, 0.2], ROUNDING);
    }
}

/// a, b, c, x.
struct Letters;

impl Vocabulary for Letters {
    fn token_bytes(&self, id: u32) -> &[u8] {
        let at = id as usize;
        b"abcx".get(at..=at).unwrap_or_default()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let letter = |byte| b"abcx".iter().position(|other| *other == byte);
        text.bytes()
            .filter_map(letter)
            .map(|at| at as u32)
            .collect()
    }
}

#[test]
fn split_token_lends_its_scalar_to_every_part_and_none_is_rejected() {
    let alignment = spans::align(&[2], &[1, 2]).unwrap();
    let scalars = transfer(&alignment, &[0.25]).unwrap();
    assert_eq!(scalars, [0.25, 0.25]);
    let second = logs([0.3, 0.7]);
    let second = distribution(&[1, 2], &second);
    let wrong = [1, 2].map(|part| (0.5, Rule::token_timing(&second, part, scalars[1])));
    close(&mixed(wrong), &[0.5, 0.5], ROUNDING);

    let draft: [&[u8]; 3] = [b"ab", b"ac", b"x"];
    let map = TokenMap::new(draft, &Letters, &[]).unwrap();
    let r = logs([0.25, 0.25, 0.5]);
    let r = SparseDistribution::new(&[0, 1, 2], &r, 3).unwrap();
    let mut out = PathDistribution::default();
    let given_a = conditional(&r, &map, &[0], &mut out).unwrap();
    let right = [1, 2].map(|part| (0.5, Rule::rejection(&second, part, &given_a)));
    close(&mixed(right), &[0.3, 0.7], ROUNDING);
    let first = logs([0.5, 0.5]);
    let first = distribution(&[0, 3], &first);
    let at_start = conditional(&r, &map, &[], &mut out).unwrap();
    let right = [0, 3].map(|part| (0.5, Rule::rejection(&first, part, &at_start)));
    close(&mixed(right), &[0.5, 0.5], ROUNDING);
}

#[test]
fn joined_tokens_lend_the_last_scalar_alone() {
    let alignment = spans::align(&[1, 2], &[2]).unwrap();
    let joined = transfer(&alignment, &[0.2, 1.0]).unwrap();
    assert_eq!(joined, [1.0]);
    let target = logs([0.5, 0.5]);
    let target = distribution(&[0, 1], &target);
    let wrong = mixed([
        (0.2, Rule::token_timing(&target, 0, joined[0])),
        (0.8, Rule::token_timing(&target, 1, 0.8)),
    ]);
    close(&wrong, &[0.4, 0.6], ROUNDING);
    let right = [(0.2, 0), (0.8, 1)].map(|(p, x)| (p, Rule::point_mass(&target, x)));
    close(&mixed(right), &[0.5, 0.5], ROUNDING);

    // Each block of two draft tokens counts as one, so the distribution is that of ab and x.
    let blocks: [&[u8]; 2] = [b"ab", b"xb"];
    let map = TokenMap::new(blocks, &Joined, &[]).unwrap();
    let r = logs([0.2, 0.8]);
    let r = SparseDistribution::new(&[0, 1], &r, 2).unwrap();
    let mut out = PathDistribution::default();
    let r = conditional(&r, &map, &[], &mut out).unwrap();
    assert!((r.probability(0) - 0.2).abs() < ROUNDING);
    let right = [(0.2, 0), (0.8, 1)].map(|(p, x)| (p, Rule::rejection(&target, x, &r)));
    close(&mixed(right), &[0.5, 0.5], ROUNDING);
}

/// ab, x, b.
struct Joined;

impl Vocabulary for Joined {
    fn token_bytes(&self, id: u32) -> &[u8] {
        [&b"ab"[..], b"x", b"b"]
            .get(id as usize)
            .copied()
            .unwrap_or_default()
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let split = text.replace("ab", "0").replace('x', "1").replace('b', "2");
        split.chars().filter_map(|c| c.to_digit(10)).collect()
    }
}

#[test]
fn scalars_that_cannot_be_carried_over_are_refused_by_name() {
    let alignment = spans::align(&[1, 2], &[2]).unwrap();
    let refused = |scalars: &[f64]| transfer(&alignment, scalars).unwrap_err().to_string();
    assert_eq!(refused(&[0.5]), "1 probabilities for 2 draft tokens");
    for broken in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        let expected =
            format!("probability {broken} of draft token 1 is not above 0 and at most 1");
        assert_eq!(refused(&[0.5, broken]), expected);
    }
}
