//! Comparison of two samples: Pearson's test of homogeneity, its power, and total variation.
//!
//! The chi-square distribution is that of `statrs`; the test, its power and Holm's adjustment, which have to hold for pooled,
//! sparse counts, are written here. Rare outcomes are pooled by the counts of both samples together. These do not depend on
//! which sample an outcome came from, so the test stays valid.

use std::collections::BTreeMap;

use oorandom::Rand64;
use statrs::distribution::{ChiSquared, ContinuousCDF as _};

/// Fewest occurrences, in both samples together, of an outcome that is not pooled: five expected in each of two equal samples,
/// the usual bound below which the chi-square distribution is a poor approximation.
const COMMON: u64 = 10;
/// Number of resamples for the interval of total variation, and for the total variation by chance.
const RESAMPLES: usize = 400;
/// Seed of the resamples: the same counts always give the same interval.
const RESAMPLING_SEED: u128 = 0x6475_6574;

/// Result of comparing two samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SampleComparison {
    /// Number of outcomes after pooling.
    pub(super) outcomes: usize,
    /// Pearson's statistic.
    pub(super) statistic: f64,
    /// Probability of a statistic at least as large if both samples have one distribution; 1 with a single outcome.
    pub(super) p: f64,
    /// Total variation between the two samples.
    pub(super) total_variation: f64,
    /// Middle 95 % of its bootstrap samples. Resampling adds a distance, so the interval may lie above the value found.
    pub(super) interval: (f64, f64),
    /// Mean total variation between samples of these sizes from one distribution.
    pub(super) by_chance: f64,
}

impl SampleComparison {
    /// Degrees of freedom.
    pub(super) fn freedom(&self) -> usize {
        self.outcomes.saturating_sub(1)
    }
}

/// Compares two samples.
pub(super) fn compare<T: Ord>(one: &[T], other: &[T]) -> SampleComparison {
    let counts = pooled(one, other);
    let (left, right): (Vec<u64>, Vec<u64>) = counts.iter().copied().unzip();
    let statistic = pearson(&counts);
    let freedom = counts.len().saturating_sub(1);
    let mut random = Rand64::new(RESAMPLING_SEED);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            total_variation(
                &resample(&mut random, &left, &left),
                &resample(&mut random, &right, &right),
            )
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let both: Vec<u64> = counts.iter().map(|(one, other)| one + other).collect();
    let by_chance = (0..RESAMPLES).map(|_| {
        total_variation(
            &resample(&mut random, &both, &left),
            &resample(&mut random, &both, &right),
        )
    });
    SampleComparison {
        outcomes: counts.len(),
        statistic,
        p: chi_square_beyond(statistic, freedom),
        total_variation: total_variation(&left, &right),
        interval: (
            resampled[RESAMPLES / 40],
            resampled[RESAMPLES - 1 - RESAMPLES / 40],
        ),
        by_chance: by_chance.sum::<f64>() / RESAMPLES as f64,
    }
}

/// Sum of independent comparisons: a sum of chi-square variates is a chi-square variate. Distances are averaged. None for fewer
/// than two.
pub(super) fn sum(parts: &[&SampleComparison]) -> Option<SampleComparison> {
    if parts.len() < 2 {
        return None;
    }
    let freedom = parts.iter().map(|part| part.freedom()).sum();
    let statistic = parts.iter().map(|part| part.statistic).sum();
    let mean = |value: fn(&SampleComparison) -> f64| {
        parts.iter().map(|part| value(part)).sum::<f64>() / parts.len() as f64
    };
    let middle = mean(|part| f64::midpoint(part.interval.0, part.interval.1));
    // The width of a mean of independent numbers.
    let squares = parts
        .iter()
        .map(|part| (part.interval.1 - part.interval.0).powi(2));
    let half = squares.sum::<f64>().sqrt() / parts.len() as f64 / 2.0;
    Some(SampleComparison {
        outcomes: parts.iter().map(|part| part.outcomes).sum(),
        statistic,
        p: chi_square_beyond(statistic, freedom),
        total_variation: mean(|part| part.total_variation),
        interval: (middle - half, middle + half),
        by_chance: mean(|part| part.by_chance),
    })
}

/// Holm's adjustment: for each test the smallest level of all tests together at which it rejects.
pub(super) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|one, other| p[*one].total_cmp(&p[*other]));
    let mut adjusted = vec![1.0; p.len()];
    let mut running: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        running = running.max(p[index] * (p.len() - rank) as f64).min(1.0);
        adjusted[index] = running;
    }
    adjusted
}

/// Probability, at least, that a test at `level` on two samples of `size` each rejects, if their distributions are
/// `total_variation` apart.
///
/// The statistic's noncentrality is size · Σ (a−b)² / (a+b), which by Cauchy and Schwarz is no less than
/// size · (Σ|a−b|)² / Σ(a+b) = 2 · size · `total_variation`², whatever the distributions.
pub(super) fn power(freedom: usize, size: usize, total_variation: f64, level: f64) -> f64 {
    if freedom == 0 {
        return 0.0;
    }
    let noncentrality = 2.0 * size as f64 * total_variation * total_variation;
    noncentral_beyond(critical(freedom, level), freedom, noncentrality)
}

/// Smallest total variation that a test at `level` finds with probability `wanted`; 1 if there is none.
pub(super) fn detectable(freedom: usize, size: usize, wanted: f64, level: f64) -> f64 {
    bisect(0.0, 1.0, |tv| power(freedom, size, tv, level) >= wanted)
}

/// Counts of each outcome in either sample, rare outcomes pooled.
fn pooled<T: Ord>(one: &[T], other: &[T]) -> Vec<(u64, u64)> {
    let mut counts: BTreeMap<&T, (u64, u64)> = BTreeMap::new();
    for outcome in one {
        counts.entry(outcome).or_default().0 += 1;
    }
    for outcome in other {
        counts.entry(outcome).or_default().1 += 1;
    }
    let total = |count: &(u64, u64)| count.0 + count.1;
    let (mut common, rare): (Vec<_>, Vec<_>) = counts
        .into_values()
        .partition(|count| total(count) >= COMMON);
    let add = |sum: (u64, u64), count: &(u64, u64)| (sum.0 + count.0, sum.1 + count.1);
    let pooled_rare = rare.iter().fold((0, 0), add);
    if total(&pooled_rare) >= COMMON || common.is_empty() {
        common.push(pooled_rare);
    } else if let Some(least) = common.iter_mut().min_by_key(|count| total(count)) {
        *least = add(*least, &pooled_rare);
    }
    common.retain(|count| total(count) > 0);
    common
}

/// Σ (observed − expected)² / expected over both samples.
fn pearson(counts: &[(u64, u64)]) -> f64 {
    let sum = |side: fn(&(u64, u64)) -> u64| counts.iter().map(side).sum::<u64>() as f64;
    let (left, right) = (sum(|count| count.0), sum(|count| count.1));
    // A count is expected to be 0 only in an empty sample, and then it is 0.
    let cell = |observed: u64, expected: f64| {
        (observed as f64 - expected).powi(2) / expected.max(f64::MIN_POSITIVE)
    };
    let outcome = |(one, other): &(u64, u64)| {
        let share = (one + other) as f64 / (left + right);
        cell(*one, share * left) + cell(*other, share * right)
    };
    counts.iter().map(outcome).sum()
}

fn total_variation(one: &[u64], other: &[u64]) -> f64 {
    let share =
        |count: u64, counts: &[u64]| count as f64 / counts.iter().sum::<u64>().max(1) as f64;
    let both = one.iter().zip(other);
    0.5 * both
        .map(|(a, b)| (share(*a, one) - share(*b, other)).abs())
        .sum::<f64>()
}

/// Probability that a chi-square variate exceeds `x`; 1 with no degrees of freedom.
fn chi_square_beyond(x: f64, freedom: usize) -> f64 {
    chi_squared(freedom).map_or(1.0, |distribution| distribution.sf(x))
}

/// Value that a chi-square variate exceeds with probability `level`; 0 with no degrees of freedom.
fn critical(freedom: usize, level: f64) -> f64 {
    chi_squared(freedom).map_or(0.0, |distribution| distribution.inverse_cdf(1.0 - level))
}

/// Chi-square distribution; none with no degrees of freedom.
fn chi_squared(freedom: usize) -> Option<ChiSquared> {
    ChiSquared::new(freedom as f64).ok()
}

/// Probability that a noncentral chi-square variate exceeds `x`: central ones with 2k more degrees of freedom, weighted by
/// Poisson probabilities of k.
fn noncentral_beyond(x: f64, freedom: usize, noncentrality: f64) -> f64 {
    let mean = noncentrality / 2.0;
    let terms = (mean + 12.0 * mean.sqrt() + 40.0) as usize;
    let mut sum = 0.0;
    let mut log_weight = -mean;
    for k in 0..=terms {
        sum += log_weight.exp() * chi_square_beyond(x, freedom + 2 * k);
        log_weight += (mean.max(f64::MIN_POSITIVE) / (k + 1) as f64).ln();
    }
    sum.min(1.0)
}

/// Smallest value between the two at which `holds` is true.
fn bisect(mut least: f64, mut most: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(least, most);
        if holds(middle) {
            most = middle;
        } else {
            least = middle;
        }
    }
    most
}

/// Counts of as many draws as `sized` has, from the frequencies in `distribution`.
fn resample(random: &mut Rand64, distribution: &[u64], sized: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; distribution.len()];
    let total: u64 = distribution.iter().sum();
    for _ in 0..sized.iter().sum::<u64>() {
        let mut at = random.rand_range(0..total.max(1));
        for (count, weight) in counts.iter_mut().zip(distribution) {
            if at < *weight {
                *count += 1;
                break;
            }
            at -= weight;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, within: f64) {
        assert!(
            (found - expected).abs() <= within,
            "{found} is not {expected}"
        );
    }

    /// Draws from a distribution over 0, 1, 2.
    fn sample(random: &mut Rand64, distribution: [f64; 3], size: usize) -> Vec<usize> {
        let mut draw = || {
            let u = random.rand_float();
            usize::from(u >= distribution[0]) + usize::from(u >= distribution[0] + distribution[1])
        };
        (0..size).map(|_| draw()).collect()
    }

    #[test]
    fn chi_square_has_the_values_of_the_tables() {
        for (x, freedom, expected) in [
            (3.841_458_820_694_124, 1, 0.05),
            (5.991_464_547_107_979, 2, 0.05),
            (18.307_038_053_275_146, 10, 0.05),
            (23.209_251_158_954_356, 10, 0.01),
            (124.342_113_404_004_1, 100, 0.05),
            (0.003_932_140_000_019_52, 1, 0.95),
            (29.588_298_445_074_42, 10, 0.001),
        ] {
            near(chi_square_beyond(x, freedom), expected, 1e-9);
            near(critical(freedom, expected), x, 1e-6 * x);
        }
    }

    #[test]
    fn power_has_the_values_of_the_tables() {
        // Noncentrality that gives power 0.8 at level 0.05.
        for (freedom, noncentrality) in [(1, 7.8489), (2, 9.6347), (10, 16.2413)] {
            let found = noncentral_beyond(critical(freedom, 0.05), freedom, noncentrality);
            near(found, 0.8, 1e-4);
        }
        near(power(3, 100, 0.0, 0.05), 0.05, 1e-9);
        let found = detectable(4, 200, 0.9, 0.01);
        near(power(4, 200, found, 0.01), 0.9, 1e-9);
        near(detectable(0, 200, 0.9, 0.01), 1.0, 1e-9);
    }

    #[test]
    fn statistic_of_a_table_is_that_of_the_textbook() {
        // Pearson's test of a 2 x 2 table without correction.
        let counts = [(20, 30), (30, 20)];
        near(pearson(&counts), 4.0, 1e-12);
        near(chi_square_beyond(4.0, 1), 0.045_500_263_896_358, 1e-12);
    }

    #[test]
    fn holm_adjusts_in_steps_and_keeps_the_order() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(*found, expected, 1e-12);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn rare_outcomes_are_pooled_whichever_sample_they_are_in() {
        let one: Vec<u32> = [vec![0; 20], (1..=5).collect(), vec![9; 4]].concat();
        let other: Vec<u32> = [vec![0; 22], (1..=5).collect(), vec![9; 6]].concat();
        assert_eq!(pooled(&one, &other), [(20, 22), (4, 6), (5, 5)]);
        // Too rare even together: they join the rarest of the others.
        let (one, other) = (
            [vec![0; 20], vec![7; 8], vec![1]].concat(),
            [0, 7].repeat(6),
        );
        assert_eq!(pooled(&one, &other), [(20, 6), (9, 6)]);
        assert_eq!(pooled(&[1, 2], &[1, 3]), [(2, 2)]);
        near(compare(&[1; 50], &[1; 50]).p, 1.0, 0.0);
    }

    #[test]
    fn greedy_draft_under_a_scalar_is_caught_and_an_exact_rule_is_not() {
        let target = [0.5, 0.3, 0.2];
        let mut random = Rand64::new(1);
        let mut caught = 0_u32;
        let mut alarms = 0;
        for _ in 0..100 {
            let plain = sample(&mut random, target, 100);
            let biased = sample(&mut random, [0.833, 0.1, 0.067], 100);
            let exact = sample(&mut random, target, 100);
            caught += u32::from(compare(&plain, &biased).p < 0.01);
            alarms += usize::from(compare(&plain, &exact).p < 0.05);
        }
        let least = power(2, 100, 1.0 / 3.0, 0.01);
        assert!(
            least > 0.9 && f64::from(caught) / 100.0 >= least - 0.05,
            "{caught}, {least}"
        );
        assert!((1..=13).contains(&alarms), "{alarms} of 100 at level 0.05");
    }

    #[test]
    fn total_variation_lies_in_its_interval_and_above_that_by_chance() {
        let mut random = Rand64::new(2);
        let plain = sample(&mut random, [0.5, 0.3, 0.2], 2000);
        let biased = sample(&mut random, [0.833, 0.1, 0.067], 2000);
        let apart = compare(&plain, &biased);
        let (low, high) = apart.interval;
        assert!(low < 1.0 / 3.0 && 1.0 / 3.0 < high, "{apart:?}");
        assert!(high - low < 0.1 && apart.by_chance < 0.04, "{apart:?}");
        let again = sample(&mut random, [0.5, 0.3, 0.2], 2000);
        let same = compare(&plain, &again);
        assert!(same.total_variation < 0.05 && same.p > 0.001, "{same:?}");
    }
}
