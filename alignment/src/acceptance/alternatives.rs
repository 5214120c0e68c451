//! Second-best draft tokens: what the target may well choose where it rejects the best.

use super::{Best, Distribution};
use crate::noise::{self, Position};

/// Draft token that might have been chosen instead of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    /// The token.
    pub id: u32,
    /// Estimated probability that the first choice is accepted, if all tokens before it are.
    pub first_chance: f64,
    /// Estimated probability that this token would be.
    pub chance: f64,
}

/// The likeliest token other than `first` that `may_be`; the lowest id among equals. O(n).
pub fn likeliest_alternative(
    distribution: &Distribution<'_>,
    first: u32,
    may_be: impl Fn(u32) -> bool,
) -> Option<Alternative> {
    let (mut best, mut first_chance, mut found) = (Best::none(distribution), 0.0, false);
    for (id, log_prob) in distribution.entries() {
        if id == first {
            first_chance = log_prob.exp();
        } else if may_be(id) {
            best.offer(id, log_prob);
            found = true;
        }
    }
    found.then(|| Alternative {
        id: best.id,
        first_chance,
        chance: best.score.exp(),
    })
}

/// The token that [`super::coupled`] would choose if `first`, its choice, did not exist. `bytes` is `None` for tokens that may not
/// be chosen. O(n).
///
/// Both sides have the noise, so what is uncertain is only how the target's logarithms differ from the draft's: the nearer the
/// two scores are, the likelier they are to change places. A difference of d is taken for odds of e^d.
pub fn coupled_alternative<'b>(
    distribution: &Distribution<'_>,
    (sharpness, first): (f32, u32),
    noise: &Position,
    bytes: impl Fn(u32) -> Option<(&'b [u8], u32)>,
) -> Option<Alternative> {
    let sharpness = f64::from(sharpness);
    let (mut best, mut score, mut found) = (Best::none(distribution), f64::NEG_INFINITY, false);
    for (id, log_prob) in distribution.entries() {
        let weight = sharpness * log_prob;
        // As in `coupled`: neither test changes the outcome.
        if id != first && weight + noise::LARGEST_GUMBEL < best.score {
            continue;
        }
        let Some((bytes, rank)) = bytes(id) else {
            continue;
        };
        let hash = noise.hash(bytes, rank);
        if id == first {
            score = weight + noise::gumbel(hash);
        } else if weight + noise::gumbel_bound(hash) >= best.score {
            best.offer(id, weight + noise::gumbel(hash));
            found = true;
        }
    }
    found.then(|| {
        let first_chance = 1.0 / (1.0 + (best.score - score).exp());
        Alternative {
            id: best.id,
            first_chance,
            chance: 1.0 - first_chance,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::{coupled, greedy};
    use crate::noise::SharedNoise;

    fn distribution() -> (Vec<u32>, Vec<f32>) {
        let weights: Vec<f64> = (0..40).map(|id| f64::from(id * 7 % 11) / 2.0).collect();
        let total: f64 = weights.iter().map(|weight| weight.exp()).sum();
        let log_probs = weights.iter().map(|weight| (weight - total.ln()) as f32);
        ((0..40).collect(), log_probs.collect())
    }

    /// A distribution without one of its tokens.
    fn without(distribution: &Distribution<'_>, gone: u32) -> (Vec<u32>, Vec<f32>) {
        let entries = distribution.ids.iter().zip(distribution.log_probs);
        entries.filter(|(id, _)| **id != gone).unzip()
    }

    #[test]
    fn alternative_is_chosen_where_the_first_does_not_exist() {
        let (ids, log_probs) = distribution();
        let distribution = Distribution {
            ids: &ids,
            log_probs: &log_probs,
        };
        let names: Vec<[u8; 1]> = (0..40).map(|id| [id]).collect();
        let key = |id: u32| (&names[id as usize][..], 0);
        let first = greedy(&distribution);
        let (rest_ids, rest) = without(&distribution, first);
        let rest = Distribution {
            ids: &rest_ids,
            log_probs: &rest,
        };
        let alternative = likeliest_alternative(&distribution, first, |_| true).unwrap();
        assert_eq!(alternative.id, greedy(&rest));
        assert!(alternative.first_chance >= alternative.chance && alternative.chance > 0.0);
        for offset in 0..300 {
            let noise = SharedNoise::new(5).at(offset, 0);
            for sharpness in [1.0, 2.0, 6.0] {
                let first = coupled(&distribution, sharpness, &noise, key);
                let (ids, log_probs) = without(&distribution, first);
                let rest = Distribution {
                    ids: &ids,
                    log_probs: &log_probs,
                };
                let alternative =
                    coupled_alternative(&distribution, (sharpness, first), &noise, |id| {
                        Some(key(id))
                    });
                let alternative = alternative.unwrap();
                assert_eq!(alternative.id, coupled(&rest, sharpness, &noise, key));
                assert!(
                    alternative.first_chance >= 0.5 && alternative.first_chance <= 1.0,
                    "{alternative:?}"
                );
            }
        }
    }

    #[test]
    fn tokens_that_may_not_be_chosen_are_no_alternatives() {
        let distribution = Distribution {
            ids: &[3, 5, 9],
            log_probs: &[-0.7, -1.2, -1.6],
        };
        let alternative = likeliest_alternative(&distribution, 3, |id| id != 5);
        assert_eq!(alternative.map(|alternative| alternative.id), Some(9));
        assert_eq!(likeliest_alternative(&distribution, 3, |_| false), None);
        let noise = SharedNoise::new(1).at(0, 0);
        let only = |id: u32| (id == 3).then_some((&b"x"[..], 0));
        assert_eq!(
            coupled_alternative(&distribution, (1.0, 3), &noise, only),
            None
        );
    }
}
