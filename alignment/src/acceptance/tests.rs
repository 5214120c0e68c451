//! Acceptance by exact enumeration and by seeded sampling.

use proptest::prelude::*;

use super::*;
use crate::noise::{END_RANK, SharedNoise};

/// A distribution with its own storage.
#[derive(Clone, Debug)]
struct OwnedDistribution {
    ids: Vec<u32>,
    log_probs: Vec<f32>,
}

impl OwnedDistribution {
    fn new(masses: &[f64]) -> Self {
        let total: f64 = masses.iter().sum();
        Self {
            ids: (0..masses.len() as u32).collect(),
            log_probs: masses.iter().map(|m| (m / total).ln() as f32).collect(),
        }
    }

    fn distribution(&self) -> Distribution<'_> {
        Distribution {
            ids: &self.ids,
            log_probs: &self.log_probs,
        }
    }

    /// Probabilities of the stored numbers, normalised.
    fn probabilities(&self) -> Vec<f64> {
        let masses: Vec<f64> = self
            .log_probs
            .iter()
            .map(|lp| f64::from(*lp).exp())
            .collect();
        let total: f64 = masses.iter().sum();
        masses.iter().map(|mass| mass / total).collect()
    }
}

/// The bytes of a token in these tests: its id in decimal.
fn spelling(id: u32) -> (&'static [u8], u32) {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    match DIGITS.get(id as usize..=id as usize) {
        Some(digit) => (digit, 0),
        None => (b"", END_RANK - id),
    }
}

/// Pearson's statistic over cells expected at least five times; the rest are pooled.
fn chi_square(counts: &[u32], probabilities: &[f64], draws: u32) -> (f64, usize) {
    let (mut statistic, mut cells) = (0.0, 0);
    let (mut rare_count, mut rare_expected) = (0.0, 0.0);
    let mut add = |count: f64, expected: f64| {
        statistic += (count - expected).powi(2) / expected;
        cells += 1;
    };
    for (count, probability) in counts.iter().zip(probabilities) {
        let expected = probability * f64::from(draws);
        if expected < 5.0 {
            rare_count += f64::from(*count);
            rare_expected += expected;
        } else {
            add(f64::from(*count), expected);
        }
    }
    if rare_expected >= 5.0 {
        add(rare_count, rare_expected);
    }
    (statistic, cells - 1)
}

/// Above this, chance is less than one in a hundred thousand (Wilson and Hilferty, 1931).
fn critical(degrees: usize) -> f64 {
    const QUANTILE: f64 = 4.265;
    let d = degrees as f64;
    d * (1.0 - 2.0 / (9.0 * d) + QUANTILE * (2.0 / (9.0 * d)).sqrt()).powi(3)
}

/// Counts what `draw` emits at `draws` different places and compares with the distribution.
fn check_follows(distribution: &OwnedDistribution, draws: u32, draw: impl Fn(&Position) -> u32) {
    let noise = SharedNoise::new(20_240_601);
    let mut counts = vec![0_u32; distribution.ids.len()];
    for place in 0..draws {
        counts[draw(&noise.at(u64::from(place), 0)) as usize] += 1;
    }
    let (statistic, degrees) = chi_square(&counts, &distribution.probabilities(), draws);
    assert!(
        degrees == 0 || statistic < critical(degrees),
        "{statistic} at {degrees} degrees, {counts:?}"
    );
}

fn uneven_distribution() -> OwnedDistribution {
    let masses: Vec<f64> = (0..50).map(|i| 0.82_f64.powi(i) + 1e-4).collect();
    OwnedDistribution::new(&masses)
}

fn masses() -> impl Strategy<Value = Vec<f64>> {
    let mass = prop_oneof![4 => 1e-6_f64..1.0, 1 => Just(0.0)];
    proptest::collection::vec(mass, 1..7).prop_filter("a distribution has mass", |masses| {
        masses.iter().sum::<f64>() > 1e-3
    })
}

proptest! {
    #[test]
    fn inversion_gives_each_id_an_interval_as_long_as_its_mass(masses in masses()) {
        let distribution = OwnedDistribution::new(&masses);
        let mut running = 0.0;
        for (id, log_prob) in distribution.ids.iter().zip(&distribution.log_probs) {
            let mass = f64::from(*log_prob).exp();
            if mass > 0.0 {
                prop_assert_eq!(invert(distribution.distribution().masses(), running), Some(*id));
                prop_assert_eq!(invert(distribution.distribution().masses(), running + mass * 0.999), Some(*id));
            }
            running += mass;
        }
    }

    #[test]
    fn pruning_changes_no_choice(masses in masses(), seed: u64, offset in 0_u64..1 << 40) {
        let distribution = OwnedDistribution::new(&masses);
        let noise = SharedNoise::new(seed).at(offset, 0);
        let scores = distribution.ids.iter().zip(&distribution.log_probs).map(|(id, log_prob)| {
            let (bytes, rank) = spelling(*id);
            (f64::from(*log_prob) + noise.gumbel(bytes, rank), *id)
        });
        let best = scores.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        prop_assert_eq!(coupled(&distribution.distribution(), 1.0, &noise, spelling), best.1);
    }

    #[test]
    fn order_of_the_distribution_changes_no_coupled_choice(masses in masses(), seed: u64) {
        let distribution = OwnedDistribution::new(&masses);
        let mut reversed = distribution.clone();
        reversed.ids.reverse();
        reversed.log_probs.reverse();
        let noise = SharedNoise::new(seed).at(0, 0);
        prop_assert_eq!(
            coupled(&distribution.distribution(), 1.0, &noise, spelling),
            coupled(&reversed.distribution(), 1.0, &noise, spelling)
        );
    }
}

#[test]
fn coupled_samples_the_distribution() {
    let distribution = uneven_distribution();
    check_follows(&distribution, 200_000, |noise| {
        coupled(&distribution.distribution(), 1.0, noise, spelling)
    });
}

#[test]
fn coupled_samples_a_distribution_over_thousands_of_tokens() {
    let bytes: Vec<Vec<u8>> = (0..3000_u32)
        .map(|id| format!(" token{id}").into_bytes())
        .collect();
    let masses: Vec<f64> = (0..3000).map(|i| 1.0 / f64::from(i + 10)).collect();
    let distribution = OwnedDistribution::new(&masses);
    check_follows(&distribution, 60_000, |noise| {
        coupled(&distribution.distribution(), 1.0, noise, |id| {
            (&bytes[id as usize], 0)
        })
    });
}

#[test]
fn successive_coupled_choices_are_independent() {
    let distribution = OwnedDistribution::new(&[0.4, 0.3, 0.2, 0.1]);
    let noise = SharedNoise::new(9);
    let draw = |place: u64| {
        coupled(
            &distribution.distribution(),
            1.0,
            &noise.at(place, 0),
            spelling,
        )
    };
    let draws = 100_000_u32;
    let mut counts = vec![0; 16];
    for place in 0..u64::from(draws) {
        counts[(draw(2 * place) * 4 + draw(2 * place + 1)) as usize] += 1;
    }
    let p = distribution.probabilities();
    let pairs: Vec<f64> = p
        .iter()
        .flat_map(|a| p.iter().map(move |b| a * b))
        .collect();
    let (statistic, degrees) = chi_square(&counts, &pairs, draws);
    assert!(statistic < critical(degrees), "{statistic}");
}

#[test]
fn point_mass_samples_the_distribution() {
    let distribution = uneven_distribution();
    for proposed in [0, 7, 49, 1000] {
        check_follows(&distribution, 100_000, |noise| {
            point_mass(&distribution.distribution(), proposed, noise)
        });
    }
}

#[test]
fn rejection_samples_the_distribution_whatever_order_its_ids_come_in() {
    let distribution = uneven_distribution();
    let mut reversed = distribution.clone();
    reversed.ids.reverse();
    reversed.log_probs.reverse();
    // A drafter that gives most to what the target gives least.
    let drawn: Vec<f64> = (0..40).map(|i| 0.9_f64.powi(60 - i)).collect();
    let drawn = OwnedDistribution::new(&drawn);
    let drawn = SparseDistribution::new(&drawn.ids, &drawn.log_probs, 50).unwrap();
    for distribution in [&distribution, &reversed] {
        check_follows(&uneven_distribution(), 100_000, |noise| {
            // From the same noise: the streams are independent of each other.
            rejection(
                &distribution.distribution(),
                drawn.sample(noise),
                &drawn,
                noise,
            )
        });
    }
}

#[test]
fn rules_are_carried_out_as_their_numbers_say() {
    let distribution = OwnedDistribution::new(&[0.5, 0.3, 0.2]);
    let drawn = OwnedDistribution::new(&[0.2, 0.7, 0.1]);
    let drawn = SparseDistribution::new(&drawn.ids, &drawn.log_probs, 3).unwrap();
    let follows = |rule: Rule<'_>| {
        let expected: Vec<f64> = rule.emitted().into_iter().map(|(_, p)| p).collect();
        check_follows(&OwnedDistribution::new(&expected), 50_000, |noise| {
            rule.emit(noise)
        });
    };
    for proposed in 0..3 {
        follows(Rule::point_mass(&distribution.distribution(), proposed));
        follows(Rule::rejection(
            &distribution.distribution(),
            proposed,
            &drawn,
        ));
        follows(Rule::token_timing(
            &distribution.distribution(),
            proposed,
            0.6,
        ));
    }
}

#[test]
fn each_method_judges_by_its_own_kind_of_evidence() {
    let distribution = OwnedDistribution::new(&[0.5, 0.3, 0.2]);
    let drawn = OwnedDistribution::new(&[0.2, 0.7, 0.1]);
    let drawn = SparseDistribution::new(&drawn.ids, &drawn.log_probs, 3).unwrap();
    for place in 0..2_000 {
        let noise = SharedNoise::new(12).at(place, 0);
        for method in Method::ALL {
            for evidence in [Drawn::Somehow, Drawn::From(drawn), Drawn::Scalar(0.4)] {
                let token = TargetToken(1);
                let proposal = Some(Proposal {
                    token,
                    drawn: evidence,
                });
                let found =
                    method.choose_against(&distribution.distribution(), proposal, &noise, spelling);
                let expected = match (method, evidence) {
                    (Method::Greedy, _) => greedy(&distribution.distribution()),
                    (Method::Coupled, _) => {
                        coupled(&distribution.distribution(), 1.0, &noise, spelling)
                    }
                    (Method::TokenTiming, Drawn::Scalar(q)) => {
                        token_timing(&distribution.distribution(), 1, q, &noise)
                    }
                    (_, Drawn::From(r)) if method.needs_distributions() => {
                        rejection(&distribution.distribution(), 1, &r, &noise)
                    }
                    _ => point_mass(&distribution.distribution(), 1, &noise),
                };
                assert_eq!(found.0, expected, "{method} {evidence:?}");
            }
        }
    }
}

#[test]
fn plain_sampling_samples_the_distribution() {
    let distribution = uneven_distribution();
    check_follows(&distribution, 100_000, |noise| {
        sample(&distribution.distribution(), noise)
    });
}

#[test]
fn shared_noise_matches_at_least_as_often_as_its_bound() {
    let target = OwnedDistribution::new(&[0.5, 0.2, 0.2, 0.1]);
    let draft = OwnedDistribution::new(&[0.3, 0.4, 0.1, 0.2]);
    let noise = SharedNoise::new(77);
    let draws = 50_000_u32;
    let matches = (0..u64::from(draws)).filter(|place| {
        let position = noise.at(*place, 0);
        let drafted = coupled(&draft.distribution(), 1.0, &position, spelling);
        coupled(&target.distribution(), 1.0, &position, spelling) == drafted
    });
    let pairs = target
        .probabilities()
        .into_iter()
        .zip(draft.probabilities());
    let variation = pairs.map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0;
    let bound = (1.0 - variation) / (1.0 + variation);
    let rate = matches.count() as f64 / f64::from(draws);
    assert!(rate > bound - 0.01, "{rate} {bound}");
}

#[test]
fn sharp_draft_proposes_its_most_probable_token() {
    let distribution = uneven_distribution();
    let noise = SharedNoise::new(1);
    for place in 0..1000 {
        assert_eq!(
            coupled(
                &distribution.distribution(),
                1e6,
                &noise.at(place, 0),
                spelling
            ),
            0
        );
    }
}

#[test]
fn certain_distribution_leaves_nothing_to_chance() {
    let distribution = OwnedDistribution::new(&[1.0]);
    for place in 0..1000 {
        let noise = SharedNoise::new(3).at(place, 0);
        for method in Method::ALL {
            for proposed in [None, Some(TargetToken(0)), Some(TargetToken(5))] {
                let emitted =
                    method.choose(&distribution.distribution(), proposed, &noise, spelling);
                assert_eq!(emitted, TargetToken(0));
            }
        }
    }
}

#[test]
fn token_of_no_mass_is_never_emitted() {
    let distribution = OwnedDistribution::new(&[0.0, 0.5, 0.5]);
    for place in 0..1000 {
        let noise = SharedNoise::new(3).at(place, 0);
        for method in Method::ALL {
            let emitted = method.choose(
                &distribution.distribution(),
                Some(TargetToken(0)),
                &noise,
                spelling,
            );
            assert_ne!(emitted, TargetToken(0), "{method}");
        }
    }
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    let distribution = Distribution {
        ids: &[9, 4, 6, 2],
        log_probs: &[-1.0, -0.5, -0.5, -2.0],
    };
    assert_eq!(greedy(&distribution), 4);
}

#[test]
fn broken_numbers_do_not_win() {
    let distribution = Distribution {
        ids: &[1, 2, 3],
        log_probs: &[f32::NAN, -3.0, f32::NEG_INFINITY],
    };
    let noise = SharedNoise::new(0).at(0, 0);
    for method in Method::ALL {
        for proposed in [None, Some(TargetToken(1)), Some(TargetToken(3))] {
            assert_eq!(
                method.choose(&distribution, proposed, &noise, spelling),
                TargetToken(2)
            );
        }
    }
}
