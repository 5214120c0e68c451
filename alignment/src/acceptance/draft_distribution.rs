//! The distribution that a drafter draws from and sends: its model's distribution, cut to the tokens that the method
//! allows and to a size that fits the wire.

use super::{Distribution, SparseDistribution};

/// Room for a drafter's distribution, reused from position to position.
///
/// Cut, normalised and rounded to the precision of the wire *before* anything is
/// drawn, so the distribution sent is the distribution sampled.
#[derive(Clone, Debug, Default)]
pub struct DraftDistribution {
    entries: Vec<(u32, f64)>,
    ids: Vec<u32>,
    log_probs: Vec<f32>,
}

impl DraftDistribution {
    /// Keeps the `most` likeliest of the tokens that `allowed` admits, the lower ids among equals, and
    /// gives the distribution over them to draw from; none where no such token has mass. For `tli` allow what is
    /// [`super::TokenMap::shared`], for `path_conditional` what is [`super::TokenMap::mapped`].
    ///
    /// O(n + s log s) for n ids of `distribution`, of which s = `most` are kept. Allocates only until there is
    /// room for the ids that are allowed.
    pub fn restrict(
        &mut self,
        distribution: &Distribution<'_>,
        most: usize,
        allowed: impl Fn(u32) -> bool,
    ) -> Option<SparseDistribution<'_>> {
        self.entries.clear();
        self.ids.clear();
        self.log_probs.clear();
        let entries = distribution.entries().filter(|(id, _)| allowed(*id));
        self.entries.extend(entries);
        if most < self.entries.len() {
            let likelier = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
            self.entries.select_nth_unstable_by(most, likelier);
            self.entries.truncate(most);
        }
        self.entries.sort_unstable_by_key(|(id, _)| *id);
        // Relative to the largest, so that a distribution far from normalised keeps its digits.
        let logs = self.entries.iter().map(|(_, log)| *log);
        let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.map(|log| (log - largest).exp()).sum();
        for (id, log) in &self.entries {
            let log_prob = log - largest - total.ln();
            if log_prob.exp() > 0.0 {
                self.ids.push(*id);
                self.log_probs.push((log_prob as f32).min(0.0));
            }
        }
        let vocabulary = self.ids.last().map_or(0, |last| *last as usize + 1);
        SparseDistribution::new(&self.ids, &self.log_probs, vocabulary).ok()
    }

    /// The tokens of the distribution that is held, ascending, as the wire takes them.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Their natural-log probabilities, finite and at most 0.
    pub fn log_probs(&self) -> &[f32] {
        &self.log_probs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn likeliest_allowed_tokens_stay_and_add_up() {
        let distribution = Distribution {
            ids: &[4, 1, 3, 2, 0],
            log_probs: &[-1.0, -2.0, -2.0, -0.5, f32::NEG_INFINITY],
        };
        let mut out = DraftDistribution::default();
        let found = out.restrict(&distribution, 2, |id| id != 2).unwrap();
        assert_eq!(found.ids(), [1, 4]);
        let share = (-1.0_f64).exp() / ((-1.0_f64).exp() + (-2.0_f64).exp());
        assert!((found.probability(4) - share).abs() < 1e-7);
        assert!(out.restrict(&distribution, 8, |id| id == 0).is_none());
        assert!(out.restrict(&distribution, 0, |_| true).is_none());
        assert!(out.ids().is_empty() && out.log_probs().is_empty());
    }

    proptest! {
        #[test]
        fn distribution_of_any_numbers_is_one_that_the_other_side_takes(
            log_probs in proptest::collection::vec(any::<f32>(), 0..40),
            most in 0_usize..50,
        ) {
            let ids: Vec<u32> = (0..log_probs.len() as u32).collect();
            let distribution = Distribution { ids: &ids, log_probs: &log_probs };
            let mut out = DraftDistribution::default();
            let usable = log_probs.iter().filter(|log| log.is_finite()).count();
            let found = out.restrict(&distribution, most, |_| true).is_some();
            prop_assert_eq!(found, usable > 0 && most > 0);
            prop_assert!(out.ids().len() <= most);
            if found {
                prop_assert!(SparseDistribution::new(out.ids(), out.log_probs(), 40).is_ok());
            }
        }
    }
}
