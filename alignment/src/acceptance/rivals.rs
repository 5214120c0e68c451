//! The second best of a draft: what else the target may well choose where the draft turns out wrong.

use super::{Best, Distribution};
use crate::noise::{self, Position};

/// What might have been drafted instead of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rival {
    /// The token.
    pub id: u32,
    /// How probable it looks that the token drafted stands, if all before it do.
    pub stands: f64,
    /// How probable it looks that this one would.
    pub chance: f64,
}

/// The likeliest token besides `first`, of those that `may_be`; the lowest id among equals. O(n).
pub fn likeliest_rival(
    distribution: &Distribution<'_>,
    first: u32,
    may_be: impl Fn(u32) -> bool,
) -> Option<Rival> {
    let (mut best, mut stands, mut found) = (Best::none(distribution), 0.0, false);
    for (id, log_prob) in distribution.entries() {
        if id == first {
            stands = log_prob.exp();
        } else if may_be(id) {
            best.offer(id, log_prob);
            found = true;
        }
    }
    found.then(|| Rival {
        id: best.id,
        stands,
        chance: best.score.exp(),
    })
}

/// The token that [`super::coupled`] would give without `first`, which it gives. `bytes` is `None` for tokens that are out of the
/// question. O(n).
///
/// Both sides have the noise, so what is uncertain is only how the target's logarithms differ from the draft's: the nearer the
/// two scores are, the likelier they are to change places. A difference of d is taken for odds of e^d.
pub fn coupled_rival<'b>(
    distribution: &Distribution<'_>,
    (sharpness, first): (f32, u32),
    noise: &Position,
    bytes: impl Fn(u32) -> Option<(&'b [u8], u32)>,
) -> Option<Rival> {
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
        let stands = 1.0 / (1.0 + (best.score - score).exp());
        Rival {
            id: best.id,
            stands,
            chance: 1.0 - stands,
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
    fn rival_is_what_is_chosen_where_the_first_is_gone() {
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
        let rival = likeliest_rival(&distribution, first, |_| true).unwrap();
        assert_eq!(rival.id, greedy(&rest));
        assert!(rival.stands >= rival.chance && rival.chance > 0.0);
        for offset in 0..300 {
            let noise = SharedNoise::new(5).at(offset, 0);
            for sharpness in [1.0, 2.0, 6.0] {
                let first = coupled(&distribution, sharpness, &noise, key);
                let (ids, log_probs) = without(&distribution, first);
                let rest = Distribution {
                    ids: &ids,
                    log_probs: &log_probs,
                };
                let rival = coupled_rival(&distribution, (sharpness, first), &noise, |id| {
                    Some(key(id))
                });
                let rival = rival.unwrap();
                assert_eq!(rival.id, coupled(&rest, sharpness, &noise, key));
                assert!(rival.stands >= 0.5 && rival.stands <= 1.0, "{rival:?}");
            }
        }
    }

    #[test]
    fn what_is_out_of_the_question_is_no_rival() {
        let distribution = Distribution {
            ids: &[3, 5, 9],
            log_probs: &[-0.7, -1.2, -1.6],
        };
        let rival = likeliest_rival(&distribution, 3, |id| id != 5);
        assert_eq!(rival.map(|rival| rival.id), Some(9));
        assert_eq!(likeliest_rival(&distribution, 3, |_| false), None);
        let noise = SharedNoise::new(1).at(0, 0);
        let only = |id: u32| (id == 3).then_some((&b"x"[..], 0));
        assert_eq!(coupled_rival(&distribution, (1.0, 3), &noise, only), None);
    }
}
