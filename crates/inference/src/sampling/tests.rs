//! Distributions of small vocabularies against the definitions, written naively in double precision.

use super::*;

/// The distribution by its definition: sort, cut, normalise.
fn reference(sampling: &Sampling, logits: &[f32], history: &History) -> Vec<(u32, f64)> {
    let mut logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    for &(id, bias) in &sampling.logit_bias {
        logits[id as usize] += f64::from(bias);
    }
    for id in history.seen() {
        let penalty = f64::from(sampling.repetition_penalty);
        let logit = &mut logits[id as usize];
        *logit = if *logit > 0.0 {
            *logit / penalty
        } else {
            *logit * penalty
        };
    }
    for (id, count) in history.counts() {
        let frequency = f64::from(sampling.frequency_penalty) * f64::from(count);
        logits[id as usize] -= frequency + f64::from(sampling.presence_penalty);
    }
    let mut order: Vec<(u32, f64)> = (0..).zip(logits).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let temperature = f64::from(sampling.temperature);
    let highest = order[0].1;
    let weigh = |(id, logit): (u32, f64)| (id, ((logit - highest) / temperature).exp());
    let mut distribution: Vec<(u32, f64)> = order.into_iter().map(weigh).collect();
    if sampling.top_k > 0 {
        distribution.truncate(sampling.top_k as usize);
    }
    let total: f64 = distribution.iter().map(|token| token.1).sum();
    let mut before = 0.0;
    distribution.retain(|token| {
        let kept = sampling.top_p >= 1.0 || before < f64::from(sampling.top_p) * total;
        before += token.1;
        kept
    });
    distribution
        .retain(|token| token.1 > 0.0 && token.1 >= f64::from(sampling.min_p) * (1.0 - 1e-9));
    let total: f64 = distribution.iter().map(|token| token.1).sum();
    distribution.sort_by_key(|token| token.0);
    distribution
        .into_iter()
        .map(|(id, weight)| (id, (weight / total).ln()))
        .collect()
}

/// Numbers without a pattern, the same in every run.
fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32
    }
}

fn logits(count: usize, spread: f32, seed: u32) -> Vec<f32> {
    let mut next = noise(seed);
    (0..count)
        .map(|_| (next() + next() + next() - 1.5) * spread)
        .collect()
}

fn at(temperature: f32) -> Sampling {
    Sampling {
        temperature,
        ..Sampling::greedy()
    }
}

fn evaluate(sampling: &Sampling, logits: &[f32], history: &History) -> Vec<(u32, f32)> {
    let mut evaluator = DistributionEvaluator::new(sampling.clone(), logits.len());
    let distribution = evaluator.evaluate(logits, history).unwrap();
    distribution
        .ids
        .iter()
        .copied()
        .zip(distribution.log_probs.iter().copied())
        .collect()
}

#[track_caller]
fn check(sampling: &Sampling, logits: &[f32], history: &History) {
    let distribution = evaluate(sampling, logits, history);
    let expected = reference(sampling, logits, history);
    let ids =
        |distribution: &[(u32, f32)]| distribution.iter().map(|token| token.0).collect::<Vec<_>>();
    let expected_ids: Vec<u32> = expected.iter().map(|token| token.0).collect();
    assert_eq!(ids(&distribution), expected_ids, "{sampling:?}");
    for (got, want) in distribution.iter().zip(&expected) {
        let tolerance = 2e-5 + 1e-6 * want.1.abs();
        assert!(
            (f64::from(got.1) - want.1).abs() < tolerance,
            "{got:?} {want:?} {sampling:?}"
        );
    }
    let total: f64 = distribution
        .iter()
        .map(|token| f64::from(token.1).exp())
        .sum();
    assert!((total - 1.0).abs() < 1e-5, "{total} {sampling:?}");
}

#[test]
fn distributions_follow_their_definition_whatever_is_combined() {
    let mut history = History::new(&[3, 5, 8]);
    for id in [5, 9, 9, 40] {
        history.push(id);
    }
    let mut next = noise(7);
    for round in 0..400 {
        let count = [50, 333, 2000][round % 3];
        let logits = logits(count, [1.0, 8.0, 40.0][round / 3 % 3], round as u32);
        let mut choose = |options: [f32; 4]| options[(next() * 3.99) as usize];
        let sampling = Sampling {
            temperature: choose([0.3, 0.8, 1.0, 1.7]),
            top_k: choose([0.0, 1.0, 20.0, 5000.0]) as u32,
            top_p: choose([1.0, 0.95, 0.5, 0.01]),
            min_p: choose([0.0, 0.02, 0.3, 0.9]),
            repetition_penalty: choose([1.0, 1.0, 1.3, 0.8]),
            frequency_penalty: choose([0.0, 0.0, 0.7, -0.4]),
            presence_penalty: choose([0.0, 0.0, 1.5, -1.0]),
            logit_bias: if round % 4 == 0 {
                vec![(7, 9.0), (9, -100.0)]
            } else {
                vec![]
            },
        };
        check(&sampling, &logits, &history);
    }
}

#[test]
fn without_any_limit_every_possible_token_is_in_the_distribution() {
    let mut logits = logits(1000, 10.0, 1);
    logits[17] = f32::NEG_INFINITY;
    let distribution = evaluate(&at(1.0), &logits, &History::default());
    assert_eq!(distribution.len(), 999);
    assert!(
        distribution
            .iter()
            .all(|token| token.0 != 17 && token.1.is_finite())
    );
}

#[test]
fn temperature_zero_takes_the_lowest_id_of_the_highest_logits() {
    let distribution = evaluate(
        &Sampling::greedy(),
        &[1.0, 4.0, 4.0, -1.0],
        &History::default(),
    );
    assert_eq!(distribution, [(1, 0.0)]);
}

#[test]
fn temperature_zero_comes_after_bias_and_penalties() {
    let biased = Sampling {
        logit_bias: vec![(3, 10.0)],
        ..Sampling::greedy()
    };
    assert_eq!(
        evaluate(&biased, &[1.0, 4.0, 4.0, -1.0], &History::default()),
        [(3, 0.0)]
    );
    let penalised = Sampling {
        repetition_penalty: 2.0,
        ..Sampling::greedy()
    };
    assert_eq!(
        evaluate(&penalised, &[1.0, 4.0, 3.0], &History::new(&[1])),
        [(2, 0.0)]
    );
}

#[test]
fn ties_at_a_limit_go_to_the_lowest_ids() {
    let equal = [2.0; 6];
    let top_k = Sampling {
        top_k: 2,
        ..at(1.0)
    };
    let half = 0.5_f32.ln();
    let distribution = evaluate(&top_k, &equal, &History::default());
    assert_eq!(
        distribution.iter().map(|token| token.0).collect::<Vec<_>>(),
        [0, 1]
    );
    assert!((distribution[0].1 - half).abs() < 1e-6);
    let top_p = Sampling {
        top_p: 0.4,
        ..at(1.0)
    };
    let distribution = evaluate(&top_p, &equal, &History::default());
    assert_eq!(
        distribution.iter().map(|token| token.0).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn frequency_counts_the_reply_only_and_repetition_the_prompt_too() {
    let mut history = History::new(&[0]);
    for id in [1, 1] {
        history.push(id);
    }
    let logits = [0.0; 3];
    let sampling = Sampling {
        frequency_penalty: 1.0,
        presence_penalty: 0.5,
        ..at(1.0)
    };
    let distribution = evaluate(&sampling, &logits, &history);
    assert!((distribution[0].1 - distribution[2].1).abs() < 1e-6);
    assert!((distribution[2].1 - distribution[1].1 - 2.5).abs() < 1e-6);
    let sampling = Sampling {
        repetition_penalty: 2.0,
        ..at(1.0)
    };
    let distribution = evaluate(&sampling, &[-1.0, 1.0, 1.0], &history);
    assert!((distribution[2].1 - distribution[0].1 - 3.0).abs() < 1e-6);
    assert!((distribution[2].1 - distribution[1].1 - 0.5).abs() < 1e-6);
}

#[test]
fn rolled_back_tokens_leave_no_trace_in_a_distribution() {
    let sampling = Sampling {
        repetition_penalty: 1.2,
        frequency_penalty: 0.5,
        presence_penalty: 0.25,
        ..at(0.9)
    };
    let logits = logits(64, 5.0, 3);
    let mut history = History::new(&[1, 2]);
    history.push(7);
    let before = evaluate(&sampling, &logits, &history);
    for id in [7, 7, 30, 2] {
        history.push(id);
    }
    assert_ne!(evaluate(&sampling, &logits, &history), before);
    history.truncate(1);
    assert_eq!(history.len(), 1);
    assert_eq!(evaluate(&sampling, &logits, &history), before);
    history.truncate(5);
    assert_eq!(history.len(), 1);
}

#[test]
fn the_same_logits_give_the_same_distribution_bit_for_bit() {
    let sampling = Sampling {
        top_p: 0.9,
        min_p: 0.001,
        ..at(0.8)
    };
    let (one, other) = (logits(5000, 9.0, 1), logits(5000, 9.0, 2));
    let mut evaluator = DistributionEvaluator::new(sampling.clone(), 5000);
    let mut bits = |logits: &[f32]| {
        let distribution = evaluator.evaluate(logits, &History::default()).unwrap();
        let bits = distribution
            .log_probs
            .iter()
            .map(|log_prob| log_prob.to_bits());
        distribution
            .ids
            .iter()
            .copied()
            .zip(bits)
            .collect::<Vec<_>>()
    };
    let first = bits(&one);
    bits(&other);
    assert_eq!(bits(&one), first);
}

#[test]
fn padding_past_the_vocabulary_is_never_in_a_distribution() {
    let mut evaluator = DistributionEvaluator::new(at(1.0), 2);
    let distribution = evaluator
        .evaluate(&[0.0, 0.0, 50.0, f32::NAN], &History::default())
        .unwrap();
    assert_eq!(distribution.ids, [0, 1]);
    let error = evaluator.evaluate(&[0.0], &History::default()).unwrap_err();
    assert_eq!(
        error,
        DistributionError::Length {
            found: 1,
            expected: 2
        }
    );
}

#[test]
fn logits_that_make_no_sense_are_an_error() {
    let none = History::default();
    for sampling in [
        at(0.0),
        at(1.0),
        Sampling {
            top_p: 0.5,
            top_k: 2,
            ..at(1.0)
        },
    ] {
        let mut evaluator = DistributionEvaluator::new(sampling, 3);
        let mut error = |logits: [f32; 3]| evaluator.evaluate(&logits, &none).unwrap_err();
        let nan = error([0.0, f32::NAN, 0.0]);
        assert!(matches!(nan, DistributionError::NotFinite { id: 1, .. }));
        let infinite = error([0.0, 0.0, f32::INFINITY]);
        assert_eq!(
            infinite,
            DistributionError::NotFinite {
                id: 2,
                logit: f32::INFINITY
            }
        );
        assert_eq!(error([f32::NEG_INFINITY; 3]), DistributionError::Nothing);
        let one = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        let distribution = evaluator.evaluate(&one, &none).unwrap();
        assert_eq!(
            (distribution.ids, distribution.log_probs),
            (&[1_u32][..], &[0.0_f32][..])
        );
    }
}

#[test]
fn extreme_but_valid_settings_give_a_distribution() {
    let logits = logits(300, 30.0, 5);
    for temperature in [f32::MIN_POSITIVE, 1e-40, 1e-3, 10.0] {
        for (top_k, top_p, min_p) in [(0, 1.0, 0.0), (1, 1e-9, 0.999), (7, 0.999_999, 1e-30)] {
            let distribution = evaluate(
                &Sampling {
                    top_k,
                    top_p,
                    min_p,
                    ..at(temperature)
                },
                &logits,
                &History::default(),
            );
            let total: f64 = distribution
                .iter()
                .map(|token| f64::from(token.1).exp())
                .sum();
            assert!((total - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn every_field_out_of_range_is_refused_by_name() {
    let valid = Sampling {
        logit_bias: vec![(9, -100.0), (0, 100.0)],
        ..at(0.8)
    };
    assert_eq!(valid.validate(10), Ok(()));
    let refused = |change: &dyn Fn(&mut Sampling)| {
        let mut sampling = Sampling::greedy();
        change(&mut sampling);
        sampling.validate(10).unwrap_err().to_string()
    };
    for bad in [-0.1, 10.5, f32::NAN, f32::INFINITY] {
        assert!(refused(&|s| s.temperature = bad).starts_with("`temperature` is "));
        assert!(refused(&|s| s.top_p = if bad > 0.0 { bad } else { 0.0 }).starts_with("`top_p`"));
        assert!(refused(&|s| s.min_p = bad).starts_with("`min_p`"));
        assert!(refused(&|s| s.repetition_penalty = bad).starts_with("`repetition_penalty`"));
    }
    assert!(refused(&|s| s.frequency_penalty = 2.5).starts_with("`frequency_penalty`"));
    assert!(refused(&|s| s.presence_penalty = f32::NAN).starts_with("`presence_penalty`"));
    let bias = |entries: Vec<(u32, f32)>| refused(&|s| s.logit_bias.clone_from(&entries));
    assert_eq!(
        bias(vec![(10, 0.0)]),
        "`logit_bias` is for token 10, it must be for tokens below 10"
    );
    assert!(bias(vec![(1, f32::NAN)]).contains("NaN for token 1"));
    assert!(bias(vec![(1, 0.0), (1, 0.0)]).contains("twice for token 1"));
    assert!(bias(vec![(1, 0.0); 2000]).contains("2000 entries"));
}

#[test]
fn scores_are_the_untruncated_distribution_at_temperature_one_whatever_is_drawn_by() {
    let mut history = History::new(&[3, 5]);
    for id in [5, 7, 7] {
        history.push(id);
    }
    let asked = |temperature| Sampling {
        top_k: 2,
        top_p: 0.5,
        min_p: 0.2,
        repetition_penalty: 1.3,
        frequency_penalty: 0.4,
        presence_penalty: 0.2,
        logit_bias: vec![(9, 2.0)],
        ..at(temperature)
    };
    let open = Sampling {
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        ..asked(1.0)
    };
    let mut logits = logits(500, 4.0, 8);
    logits[11] = logits[12];
    let mut expected = reference(&open, &logits, &history);
    expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for temperature in [0.0, 0.3, 1.0] {
        let mut evaluator = DistributionEvaluator::new(asked(temperature), logits.len());
        for (top, token) in [(0, 7), (1, 9), (20, 3), (500, 0), (600, 499)] {
            let scores = evaluator.score(&logits, &history, (token, top)).unwrap();
            let want = expected.iter().find(|(id, _)| *id == token).unwrap().1;
            assert!((f64::from(scores.chosen) - want).abs() < 1e-4, "{token}");
            assert_eq!(scores.top.len(), top.min(logits.len()));
            for (got, want) in scores.top.iter().zip(&expected) {
                assert_eq!(got.0, want.0);
                assert!((f64::from(got.1) - want.1).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn impossible_tokens_score_minus_infinity_and_are_no_alternatives() {
    let logits = [1.0, f32::NEG_INFINITY, 1.0];
    let mut evaluator = DistributionEvaluator::new(at(1.0), logits.len());
    let scores = evaluator
        .score(&logits, &History::default(), (1, 3))
        .unwrap();
    assert!(scores.chosen.is_infinite() && scores.chosen < 0.0);
    let half = -std::f32::consts::LN_2;
    assert!(
        scores
            .top
            .iter()
            .all(|(_, logprob)| (logprob - half).abs() < 1e-6)
    );
    assert_eq!(
        scores.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [0, 2]
    );
}
