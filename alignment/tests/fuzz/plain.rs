//! Warping by its definition, over a whole matrix and without short cuts.

use alignment::aligned::Alignment;
use alignment::dtw::{Band, Distance, Markers, Options, Ties, strip_markers};

/// Draft tokens and candidates to step back by.
type Step = (usize, usize);

/// The alignment of two lists that are not empty; both empty ones have none to find.
pub(crate) fn warping(
    draft: &[&[u8]],
    candidates: &[&[u8]],
    options: &Options,
) -> Option<Alignment> {
    let (k, m) = (draft.len(), candidates.len());
    let band = match options.band {
        Band::Width(width) => width.max(k.abs_diff(m)),
        Band::Unbounded => usize::MAX,
    };
    let mut costs = vec![vec![None::<u64>; m]; k];
    for i in 0..k {
        for j in (0..m).filter(|j| i.abs_diff(*j) <= band) {
            let cost = distance(draft[i], candidates[j], options);
            let before = best(&costs, options.ties, (i, j)).map(|(_, before)| before);
            costs[i][j] = Some(cost + before.unwrap_or_default());
        }
    }
    let mut path = Vec::new();
    if k > 0 {
        path.push((k - 1, m - 1));
    }
    while let Some(((up, left), _)) = path.last().and_then(|at| best(&costs, options.ties, *at)) {
        let (i, j) = path[path.len() - 1];
        path.push((i - up, j - left));
    }
    path.reverse();
    Alignment::along(&path)
}

/// The step back from a cell that costs least, with the cost of the cell it leads to; none from (0, 0).
fn best(costs: &[Vec<Option<u64>>], ties: Ties, (i, j): (usize, usize)) -> Option<(Step, u64)> {
    let reached = preferred(ties).into_iter().filter_map(|(up, left)| {
        let cost = costs[i.checked_sub(up)?][j.checked_sub(left)?]?;
        Some(((up, left), cost))
    });
    reached.min_by_key(|(_, cost)| *cost)
}

fn preferred(ties: Ties) -> [Step; 3] {
    let (diagonal, up, left) = ((1, 1), (1, 0), (0, 1));
    match ties {
        Ties::DiagonalUpLeft => [diagonal, up, left],
        Ties::DiagonalLeftUp => [diagonal, left, up],
        Ties::UpDiagonalLeft => [up, diagonal, left],
        Ties::UpLeftDiagonal => [up, left, diagonal],
        Ties::LeftDiagonalUp => [left, diagonal, up],
        Ties::LeftUpDiagonal => [left, up, diagonal],
    }
}

fn distance(a: &[u8], b: &[u8], options: &Options) -> u64 {
    let (a, b) = match options.markers {
        Markers::Strip => (strip_markers(a), strip_markers(b)),
        Markers::Keep => (a, b),
    };
    let longer = a.len().max(b.len()).max(1) as u64;
    match options.distance {
        Distance::Levenshtein => levenshtein(a, b),
        Distance::NormalisedLevenshtein => (levenshtein(a, b) * 720_720 + longer / 2) / longer,
        Distance::Equality => u64::from(a != b),
    }
}

fn levenshtein(a: &[u8], b: &[u8]) -> u64 {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j as u64,
                (_, 0) => i as u64,
                _ => {
                    let replaced = rows[i - 1][j - 1] + u64::from(a[i - 1] != b[j - 1]);
                    replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[a.len()][b.len()]
}
