//! Whether two samples come from one distribution: Pearson's test of homogeneity, its power, and total variation.
//!
//! Written here because it is little and because all of it has to hold for pooled, sparse counts. Rare outcomes are pooled by
//! the counts of both samples together, which says nothing about which sample an outcome came from, so the test stays valid.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// Times that an outcome has to occur, both samples together, to stand alone: five expected in each of two equal samples, the
/// usual bound below which the chi-square distribution is no good approximation.
const COMMON: u64 = 10;
/// Samples drawn for the interval of total variation, and for what chance alone would give.
const RESAMPLES: usize = 400;
/// What the resamples are drawn from: the same counts always give the same interval.
const RESAMPLING_SEED: u64 = 0x6475_6574;

/// Two samples compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    /// Outcomes after pooling.
    pub(super) outcomes: usize,
    /// Pearson's statistic.
    pub(super) statistic: f64,
    /// Probability of a statistic as large under one distribution; 1 where there is but one outcome.
    pub(super) p: f64,
    /// Total variation between the two samples.
    pub(super) total_variation: f64,
    /// The middle 95 % of bootstrap samples of it. Drawing anew adds a distance, so it may lie above what was found.
    pub(super) interval: (f64, f64),
    /// Total variation that samples of these sizes from one distribution have on average.
    pub(super) by_chance: f64,
}

impl Comparison {
    /// Degrees of freedom.
    pub(super) fn freedom(&self) -> usize {
        self.outcomes.saturating_sub(1)
    }
}

/// Compares two samples.
pub(super) fn compare<T: Ord>(one: &[T], other: &[T]) -> Comparison {
    let counts = pooled(one, other);
    let (left, right): (Vec<u64>, Vec<u64>) = counts.iter().copied().unzip();
    let statistic = pearson(&counts);
    let freedom = counts.len().saturating_sub(1);
    let mut dice = Dice::new(RESAMPLING_SEED);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            total_variation(
                &resample(&mut dice, &left, &left),
                &resample(&mut dice, &right, &right),
            )
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let both: Vec<u64> = counts.iter().map(|(one, other)| one + other).collect();
    let by_chance = (0..RESAMPLES).map(|_| {
        total_variation(
            &resample(&mut dice, &both, &left),
            &resample(&mut dice, &both, &right),
        )
    });
    Comparison {
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

/// Comparisons that do not depend on each other as one: a sum of chi-square variates is one too. Distances are means. None of
/// fewer than two.
pub(super) fn sum(parts: &[&Comparison]) -> Option<Comparison> {
    if parts.len() < 2 {
        return None;
    }
    let freedom = parts.iter().map(|part| part.freedom()).sum();
    let statistic = parts.iter().map(|part| part.statistic).sum();
    let mean = |value: fn(&Comparison) -> f64| {
        parts.iter().map(|part| value(part)).sum::<f64>() / parts.len() as f64
    };
    let middle = mean(|part| f64::midpoint(part.interval.0, part.interval.1));
    // As narrow as the mean of independent numbers is.
    let squares = parts
        .iter()
        .map(|part| (part.interval.1 - part.interval.0).powi(2));
    let half = squares.sum::<f64>().sqrt() / parts.len() as f64 / 2.0;
    Some(Comparison {
        outcomes: parts.iter().map(|part| part.outcomes).sum(),
        statistic,
        p: chi_square_beyond(statistic, freedom),
        total_variation: mean(|part| part.total_variation),
        interval: (middle - half, middle + half),
        by_chance: mean(|part| part.by_chance),
    })
}

/// Holm's adjustment: the smallest level at which each of the tests rejects, all of them together erring no more often.
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

/// Probability that a test at `level` tells two distributions apart that are `total_variation` apart, at least, from samples of `size`
/// each.
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

/// The smallest total variation that a test at `level` finds with probability `wanted`; 1 where none is found so often.
pub(super) fn detectable(freedom: usize, size: usize, wanted: f64, level: f64) -> f64 {
    bisect(0.0, 1.0, |tv| power(freedom, size, tv, level) >= wanted)
}

/// Counts of each outcome in either sample, rare ones together.
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
    let rest = rare.iter().fold((0, 0), add);
    if total(&rest) >= COMMON || common.is_empty() {
        common.push(rest);
    } else if let Some(least) = common.iter_mut().min_by_key(|count| total(count)) {
        *least = add(*least, &rest);
    }
    common.retain(|count| total(count) > 0);
    common
}

/// Σ (observed − expected)² / expected over both samples.
fn pearson(counts: &[(u64, u64)]) -> f64 {
    let sum = |side: fn(&(u64, u64)) -> u64| counts.iter().map(side).sum::<u64>() as f64;
    let (left, right) = (sum(|count| count.0), sum(|count| count.1));
    // Nothing is expected only where a sample is empty, and then nothing is observed.
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

/// Probability that a chi-square variate exceeds `x`: Q(freedom/2, x/2).
fn chi_square_beyond(x: f64, freedom: usize) -> f64 {
    if freedom == 0 || x <= 0.0 {
        return 1.0;
    }
    upper_gamma(freedom as f64 / 2.0, x / 2.0)
}

/// The value that a chi-square variate exceeds with probability `level`.
fn critical(freedom: usize, level: f64) -> f64 {
    let mut most = freedom as f64 + 10.0;
    while chi_square_beyond(most, freedom) > level {
        most *= 2.0;
    }
    bisect(0.0, most, |x| chi_square_beyond(x, freedom) <= level)
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

/// Terms of a series or a fraction before it is taken as it stands, and the change at which it has converged.
const TERMS: usize = 10_000;
const PRECISION: f64 = 1e-15;

/// Regularised upper incomplete gamma function Q(a, x): a series below a + 1, a continued fraction above.
fn upper_gamma(a: f64, x: f64) -> f64 {
    let scale = (a * x.ln() - x - log_gamma(a)).exp();
    let share = if x < a + 1.0 {
        1.0 - scale * lower_series(a, x)
    } else {
        scale * upper_fraction(a, x)
    };
    share.clamp(0.0, 1.0)
}

fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for n in 1..TERMS {
        term *= x / (a + n as f64);
        sum += term;
        if term < sum * PRECISION {
            break;
        }
    }
    sum
}

/// By Lentz's method, as modified by Thompson and Barnett.
fn upper_fraction(a: f64, x: f64) -> f64 {
    let tiny = f64::MIN_POSITIVE / PRECISION;
    let nonzero = |value: f64| if value.abs() < tiny { tiny } else { value };
    let mut denominator = x + 1.0 - a;
    let (mut above, mut below) = (1.0 / tiny, 1.0 / denominator);
    let mut fraction = below;
    for n in 1..TERMS {
        let n = n as f64;
        let numerator = n * (a - n);
        denominator += 2.0;
        below = 1.0 / nonzero(numerator * below + denominator);
        above = nonzero(denominator + numerator / above);
        fraction *= below * above;
        if (below * above - 1.0).abs() < PRECISION {
            break;
        }
    }
    fraction
}

/// ln Γ(a) for a > 0 by Lanczos's approximation (g = 7, nine terms).
fn log_gamma(a: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if a < 0.5 {
        let reflected = (std::f64::consts::PI * a).sin().abs().ln();
        return std::f64::consts::PI.ln() - reflected - log_gamma(1.0 - a);
    }
    let a = a - 1.0;
    let terms = TERMS.iter().zip(1..);
    let sum = terms.fold(0.999_999_999_999_809_9, |sum, (term, n)| {
        sum + term / (a + f64::from(n))
    });
    let t = a + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (a + 0.5) * t.ln() - t + sum.ln()
}

/// Where between the two `holds` begins to hold.
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

/// As many draws as `sized` counts, each outcome as likely as it is often in `distribution`.
fn resample(dice: &mut Dice, distribution: &[u64], sized: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; distribution.len()];
    let total: u64 = distribution.iter().sum();
    for _ in 0..sized.iter().sum::<u64>() {
        let mut at = dice.roll() % total.max(1);
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
    fn sample(dice: &mut Dice, distribution: [f64; 3], size: usize) -> Vec<usize> {
        let mut draw = || {
            let u = (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64;
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
        near(log_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-13);
        near(log_gamma(11.0), 3_628_800_f64.ln(), 1e-12);
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
        let mut dice = Dice::new(1);
        let mut caught = 0_u32;
        let mut alarms = 0;
        for _ in 0..100 {
            let plain = sample(&mut dice, target, 100);
            let biased = sample(&mut dice, [0.833, 0.1, 0.067], 100);
            let exact = sample(&mut dice, target, 100);
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
    fn total_variation_lies_in_its_interval_and_chance_is_told() {
        let mut dice = Dice::new(2);
        let plain = sample(&mut dice, [0.5, 0.3, 0.2], 2000);
        let biased = sample(&mut dice, [0.833, 0.1, 0.067], 2000);
        let apart = compare(&plain, &biased);
        let (low, high) = apart.interval;
        assert!(low < 1.0 / 3.0 && 1.0 / 3.0 < high, "{apart:?}");
        assert!(high - low < 0.1 && apart.by_chance < 0.04, "{apart:?}");
        let again = sample(&mut dice, [0.5, 0.3, 0.2], 2000);
        let same = compare(&plain, &again);
        assert!(same.total_variation < 0.05 && same.p > 0.001, "{same:?}");
    }
}
