//! Rules that look right and are not, each with the wrong numbers it gives, next to the rule that
//! holds. The wrong rules live here and nowhere else.
//!
//! r is the exact distribution of the proposal, q a scalar taken for it.

/// Probabilities of x and of everything else, by index.
type Distribution<const N: usize> = [f64; N];

fn close<const N: usize>(found: Distribution<N>, expected: Distribution<N>, within: f64) {
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < within, "{found:?}, expected {expected:?}");
    }
}

fn total_variation<const N: usize>(a: Distribution<N>, b: Distribution<N>) -> f64 {
    a.iter().zip(&b).map(|(x, y)| (x - y).abs()).sum::<f64>() / 2.0
}

fn normalised<const N: usize>(distribution: Distribution<N>) -> Distribution<N> {
    let total: f64 = distribution.iter().sum();
    distribution.map(|mass| if total > 0.0 { mass / total } else { 0.0 })
}

fn above<const N: usize>(target: Distribution<N>, taken: Distribution<N>) -> Distribution<N> {
    normalised(std::array::from_fn(|t| (target[t] - taken[t]).max(0.0)))
}

/// The distribution with all mass `q` on `x`.
fn one_hot<const N: usize>(x: usize, q: f64) -> Distribution<N> {
    std::array::from_fn(|t| if t == x { q } else { 0.0 })
}

/// Distribution emitted when x is proposed with mass `r[x]`, accepted with min(1, target(x)/q(x)), and
/// replaced by a sample of `residual(x)` otherwise. Nothing proposed samples `otherwise`.
fn emitted<const N: usize>(
    r: Distribution<N>,
    target: Distribution<N>,
    q: Distribution<N>,
    residual: impl Fn(usize) -> Distribution<N>,
    otherwise: Distribution<N>,
) -> Distribution<N> {
    let unproposed = 1.0 - r.iter().sum::<f64>();
    let mut distribution = otherwise.map(|mass| mass * unproposed);
    for x in 0..N {
        let accept = (target[x] / q[x]).min(1.0);
        distribution[x] += r[x] * accept;
        for (sum, mass) in distribution.iter_mut().zip(residual(x)) {
            *sum += r[x] * (1.0 - accept) * mass;
        }
    }
    distribution
}

const NOTHING: Distribution<3> = [0.0; 3];

#[test]
fn one_hot_residual_after_an_exact_scalar_is_biased() {
    let (r, target) = ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]);
    let wrong = emitted(r, target, r, |x| above(target, one_hot(x, r[x])), NOTHING);
    close(wrong, [0.2, 0.4125, 0.3875], 1e-12);
    assert!((total_variation(wrong, target) - 0.1125).abs() < 1e-12);
}

#[test]
fn resampling_from_the_target_after_a_rejection_is_biased() {
    let (r, target) = ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]);
    let wrong = emitted(r, target, r, |_| target, NOTHING);
    assert!((total_variation(wrong, target) - 0.15).abs() < 1e-12);
    let right = emitted(r, target, r, |_| above(target, r), NOTHING);
    close(right, target, 1e-12);
}

#[test]
fn top_probability_of_a_greedy_draft_is_not_the_distribution_of_its_proposal() {
    let target = [0.5, 0.3, 0.2];
    let proposed = one_hot(0, 1.0);
    let wrong = emitted(
        proposed,
        target,
        [0.6; 3],
        |x| above(target, one_hot(x, 0.6)),
        NOTHING,
    );
    close(wrong, [0.8333, 0.1, 0.0667], 1e-4);
    let right = emitted(
        proposed,
        target,
        [1.0; 3],
        |x| above(target, one_hot(x, 1.0)),
        NOTHING,
    );
    close(right, target, 1e-12);
}

#[test]
fn scalar_reused_over_a_split_token_never_rejects() {
    // The draft says ab, ac or x in one token; the target says a or x, and b or c after a.
    let (ab, ac, x) = (0.25, 0.25, 0.5);
    let (target_first, target_second) = ([0.5, 0.5], [0.3, 0.7]);
    let accept = |target: f64, q: f64| (target / q).min(1.0);
    let accepted = [
        accept(target_first[0], ab),
        accept(target_first[0], ac),
        accept(target_first[1], x),
        accept(target_second[0], ab),
        accept(target_second[1], ac),
    ];
    close(accepted, [1.0; 5], 1e-12);
    let b_after_a: f64 = ab / (ab + ac);
    assert!((b_after_a - 0.5).abs() < 1e-12);

    // The distribution of the second target token given the first is (1/2, 1/2): with it, exact.
    let given_a = [ab / (ab + ac), ac / (ab + ac)];
    let right = emitted(
        given_a,
        target_second,
        given_a,
        |_| above(target_second, given_a),
        [0.0; 2],
    );
    close(right, target_second, 1e-12);
}

#[test]
fn last_scalar_of_joined_tokens_is_biased() {
    // The draft says a (0.2) and then b (1), or x (0.8); the target says ab or x in one token.
    let (r, target, terminal) = ([0.2, 0.8], [0.5, 0.5], [1.0, 0.8]);
    let nothing = [0.0; 2];
    let wrong = emitted(
        r,
        target,
        terminal,
        |x| above(target, one_hot(x, terminal[x])),
        nothing,
    );
    close(wrong, [0.4, 0.6], 1e-12);
    let resampled = emitted(r, target, terminal, |_| target, nothing);
    close(resampled, [0.3, 0.7], 1e-12);
    let right = emitted(r, target, r, |_| above(target, r), nothing);
    close(right, target, 1e-12);
}

#[test]
fn proposing_nothing_counts_as_a_rejection() {
    let (r, target) = ([0.3, 0.2, 0.1], [0.1, 0.3, 0.6]);
    let residual = above(target, r);
    let wrong = emitted(r, target, r, |_| residual, target);
    assert!((total_variation(wrong, target) - 0.0933).abs() < 1e-4);
    let right = emitted(r, target, r, |_| residual, residual);
    close(right, target, 1e-12);
}
