//! Simple ways to align two token lists, to compare with. Each gives the cells of a path for
//! `Alignment::along`.

/// (draft, candidate) cells.
pub(crate) type Path = Vec<(usize, usize)>;

/// Pairs equal texts along a longest common subsequence; the tokens between two pairs are one group, or
/// belong to the previous pair where one list has none. O(k·m) time and memory.
pub(crate) fn common_subsequence(draft: &[&[u8]], candidates: &[&[u8]]) -> Path {
    let (k, m) = (draft.len(), candidates.len());
    // Length of the longest common subsequence of what begins at each cell.
    let mut lengths = vec![0_u32; (k + 1) * (m + 1)];
    let at = |i: usize, j: usize| i * (m + 1) + j;
    for i in (0..k).rev() {
        for j in (0..m).rev() {
            lengths[at(i, j)] = if draft[i] == candidates[j] {
                lengths[at(i + 1, j + 1)] + 1
            } else {
                lengths[at(i + 1, j)].max(lengths[at(i, j + 1)])
            };
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < k && j < m {
        if draft[i] == candidates[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[at(i + 1, j)] >= lengths[at(i, j + 1)] {
            i += 1;
        } else {
            j += 1;
        }
    }
    through(&pairs, (k, m))
}

/// The path through pairs, which ascend on both sides.
fn through(pairs: &[(usize, usize)], (k, m): (usize, usize)) -> Path {
    let mut path = Path::new();
    // First tokens that no cell covers yet.
    let (mut next_i, mut next_j) = (0, 0);
    for &(i, j) in pairs.iter().chain([&(k, m)]) {
        // The tokens between this pair and the previous one.
        if next_i < i && next_j < j {
            path.extend((next_i..i).map(|i| (i, next_j)));
            path.extend((next_j + 1..j).map(|j| (i - 1, j)));
        } else if let Some((last_i, last_j)) = path.last().copied() {
            path.extend((next_i..i).map(|i| (i, last_j)));
            path.extend((next_j..j).map(|j| (last_i, j)));
        } else {
            path.extend((next_i..i).map(|i| (i, j)));
            path.extend((next_j..j).map(|j| (i, j)));
        }
        if (i, j) != (k, m) {
            path.push((i, j));
        }
        (next_i, next_j) = (i + 1, j + 1);
    }
    path
}

/// Puts each candidate with the draft token at the same share of the list; texts are not read. O(k + m).
pub(crate) fn proportional(k: usize, m: usize) -> Path {
    let mut path = Path::new();
    let mut reached = 0;
    for j in 0..m {
        let here = (2 * j + 1) * k / (2 * m);
        let from = if j == 0 { 0 } else { here.min(reached + 1) };
        path.extend((from..=here).map(|i| (i, j)));
        reached = here;
    }
    path.extend((reached + 1..k).filter(|_| m > 0).map(|i| (i, m - 1)));
    path
}
