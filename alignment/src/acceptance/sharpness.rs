//! Sharpness of a drafter's distribution under `coupled`, learnt while drafting.
//!
//! The drafter proposes argmax(b · log `draft_prob` + noise). Any b keeps the text as it is, so b is free: 1
//! agrees most often where both distributions are alike and flat, a large one where the target is sure. Since the
//! noise is known, each verdict shows what every b would have proposed, and whether that would have been accepted;
//! nothing has to be tried out.

use super::{Best, Distribution};
use crate::noise::{self, Position};

/// The sharpnesses that are compared.
pub const SHARPNESSES: [f32; 5] = [1.0, 1.5, 2.0, 3.0, 6.0];

/// Weight of a new verdict: about thirty positions are remembered.
const GAIN: f64 = 1.0 / 32.0;
/// Another sharpness must agree so much oftener.
const BETTER: f64 = 0.02;

/// The sharpness of one session.
#[derive(Clone, Debug)]
pub struct Sharpness {
    /// Acceptance rate of each, smoothed.
    agreement: [f64; SHARPNESSES.len()],
    current: usize,
}

impl Sharpness {
    /// Begins with the sharpness nearest to `initial`.
    pub fn new(initial: f32) -> Self {
        let distance = |at: &usize| (SHARPNESSES[*at] - initial).abs();
        let nearest = (0..SHARPNESSES.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        Self {
            agreement: [0.5; SHARPNESSES.len()],
            current: nearest.unwrap_or_default(),
        }
    }

    /// Its place in [`SHARPNESSES`].
    pub fn index(&self) -> usize {
        self.current
    }

    /// Counts a position: whether the proposal of each sharpness there would be accepted.
    pub fn observe(&mut self, agreed: [bool; SHARPNESSES.len()]) {
        for (agreement, agreed) in self.agreement.iter_mut().zip(agreed) {
            *agreement += GAIN * (f64::from(u8::from(agreed)) - *agreement);
        }
        for (at, agreement) in self.agreement.iter().enumerate() {
            if *agreement > self.agreement[self.current] + BETTER {
                self.current = at;
            }
        }
    }
}

/// Choices of [`super::coupled`] with each of [`SHARPNESSES`]. O(n), the noise of a token hashed once.
pub fn coupled_each<'b>(
    distribution: &Distribution<'_>,
    noise: &Position,
    bytes: impl Fn(u32) -> (&'b [u8], u32),
) -> [u32; SHARPNESSES.len()] {
    let mut best = SHARPNESSES.map(|_| Best::none(distribution));
    for (id, log_prob) in distribution.entries() {
        let weights = SHARPNESSES.map(|sharpness| f64::from(sharpness) * log_prob);
        let may_win = |bound: f64| {
            let mut pairs = weights.iter().zip(&best);
            pairs.any(|(weight, best)| weight + bound >= best.score)
        };
        // As in `coupled`: neither test changes the outcome.
        if !may_win(noise::LARGEST_GUMBEL) {
            continue;
        }
        let (bytes, rank) = bytes(id);
        let hash = noise.hash(bytes, rank);
        if !may_win(noise::gumbel_bound(hash)) {
            continue;
        }
        let gumbel = noise::gumbel(hash);
        for (weight, best) in weights.into_iter().zip(&mut best) {
            best.offer(id, weight + gumbel);
        }
    }
    best.map(|best| best.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::coupled;
    use crate::noise::SharedNoise;

    #[test]
    fn each_is_what_coupled_gives() {
        let ids: Vec<u32> = (0..50).collect();
        let names: Vec<[u8; 2]> = ids.iter().map(|id| [b'a', *id as u8]).collect();
        let log_probs: Vec<f32> = ids.iter().map(|id| -0.2 * *id as f32 - 1.7).collect();
        let distribution = Distribution {
            ids: &ids,
            log_probs: &log_probs,
        };
        let bytes = |id: u32| (&names[id as usize][..], 0);
        let noise = SharedNoise::new(3);
        let mut differ = 0;
        for offset in 0..500 {
            let position = noise.at(offset, 0);
            let each = coupled_each(&distribution, &position, bytes);
            let one_by_one = SHARPNESSES.map(|b| coupled(&distribution, b, &position, bytes));
            assert_eq!(each, one_by_one);
            differ += usize::from(each[0] != each[4]);
        }
        assert!(differ > 50, "{differ}");
    }

    #[test]
    fn sharpness_that_agrees_oftener_is_taken() {
        let mut sharpness = Sharpness::new(2.0);
        assert_eq!(sharpness.index(), 2);
        for round in 0..100 {
            sharpness.observe([false, false, round % 2 == 0, round % 2 == 0, true]);
        }
        assert_eq!(sharpness.index(), 4);
        for _ in 0..100 {
            sharpness.observe([true, false, false, false, false]);
        }
        assert_eq!(sharpness.index(), 0);
    }

    #[test]
    fn equal_agreement_changes_nothing() {
        let mut sharpness = Sharpness::new(1.6);
        for _ in 0..100 {
            sharpness.observe([true; SHARPNESSES.len()]);
        }
        assert_eq!(sharpness.index(), 1);
    }
}
