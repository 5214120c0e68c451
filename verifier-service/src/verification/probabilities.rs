//! Probabilities of a round's tokens, for requests that ask. Runs on the model's thread.

use alignment::{TargetToken, candidate_tree::CandidateTree};
use inference::engine::Logits;

/// Probability of each candidate on the path that continues `path` to a leaf, each given those
/// before it, then of the token `appended` after `path`. O(rows · vocabulary).
pub(super) fn probabilities(
    logits: &Logits<'_>,
    tree: &CandidateTree,
    (path, appended): (&[usize], Option<TargetToken>),
) -> Vec<f32> {
    let (candidates, nodes) = tree.way(path);
    let rows = std::iter::once(0).chain(nodes.iter().map(|node| node + 1));
    let proposed = rows.zip(candidates.tokens);
    let behind = path.last().map_or(0, |node| node + 1);
    let asked = proposed.chain(appended.map(|token| (behind, token)));
    asked
        .map(|(row, token)| probability(logits.row(row), token))
        .collect()
}

/// Softmax of a row at `token`; 0 if the row has no such token.
fn probability(row: &[f32], token: TargetToken) -> f32 {
    let Some(logit) = row.get(token.0 as usize) else {
        return 0.0;
    };
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row
        .iter()
        .map(|other| f64::from((other - most).exp()))
        .sum();
    let probability = f64::from((logit - most).exp()) / sum;
    // Logits that are not numbers end the reply with an error elsewhere.
    if probability.is_nan() {
        0.0
    } else {
        probability.min(1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_a_row_add_up_to_one_however_large_its_logits_are() {
        let row = [1000.0, 999.0, -1000.0, f32::NEG_INFINITY];
        let each = (0..4).map(|id| probability(&row, TargetToken(id)));
        assert!((each.sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((probability(&row, TargetToken(0)) - 0.731_058_6).abs() < 1e-6);
        assert!(probability(&row, TargetToken(4)) <= 0.0);
    }
}
