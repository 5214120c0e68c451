//! The cells of a warping matrix inside its band: costs of one row, and the step into each cell.

use super::distance::Distances;
use super::{Band, Options, Ties};

/// Costs of cells outside the band; far below overflow of what is added to it.
const UNREACHED: u64 = u64::MAX >> 4;

/// Last step of the cheapest path to a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Diagonal,
    Up,
    Left,
}

/// The step into each cell of the band: row i holds the columns from `first_column(i)` on.
pub(super) struct Matrix {
    band: usize,
    /// Cells of a row.
    stride: usize,
    /// Each step by its place in `order`.
    cells: Vec<u8>,
    order: [Step; 3],
    last: (usize, usize),
}

impl Matrix {
    /// Fills the matrix of two lists that are not empty.
    pub(super) fn fill(draft: &[&[u8]], candidates: &[&[u8]], options: &Options) -> Self {
        let (k, m) = (draft.len(), candidates.len());
        let band = match options.band {
            Band::Width(width) => width.max(k.abs_diff(m)).min(k.max(m)),
            Band::Unbounded => k.max(m),
        };
        let stride = (2 * band + 1).min(m);
        let mut matrix = Self {
            band,
            stride,
            cells: vec![0; k * stride],
            order: options.ties.order(),
            last: (k - 1, m - 1),
        };
        let mut costs = vec![UNREACHED; m];
        let mut distances = Distances::new(options.distance);
        for (i, text) in draft.iter().enumerate() {
            distances.prepare(text);
            matrix.fill_row(i, &mut costs, |j| distances.to(candidates[j]));
        }
        matrix
    }

    /// Turns the costs of the row above into those of row i. Columns that no row has reached yet are
    /// [`UNREACHED`], so the band needs no care at its right end.
    fn fill_row(&mut self, i: usize, costs: &mut [u64], mut distance: impl FnMut(usize) -> u64) {
        let first = self.first_column(i);
        let columns = first..costs.len().min(i + self.band + 1);
        let [diagonal_rank, up_rank, left_rank] = self.ranks();
        // The cell to the left is outside the band; the one up and left is in it if the band moved.
        let mut left = UNREACHED;
        let mut diagonal = match (i, first) {
            (0, _) => 0,
            (_, 0) => UNREACHED,
            _ => costs[first - 1],
        };
        let cells = &mut self.cells[i * self.stride..][..columns.len()];
        let row = &mut costs[columns.clone()];
        for ((j, cell), above) in columns.zip(cells).zip(row) {
            // Cost and rank in one number: the least has the least cost, and the best rank of those.
            let from_diagonal = diagonal << 2 | diagonal_rank;
            let from_above = *above << 2 | up_rank;
            let best = from_diagonal.min(from_above).min(left << 2 | left_rank);
            diagonal = *above;
            left = (best >> 2) + distance(j);
            *above = left;
            *cell = (best & 3) as u8;
        }
    }

    fn first_column(&self, i: usize) -> usize {
        i.saturating_sub(self.band)
    }

    /// The places of diagonal, up and left in the order of preference.
    fn ranks(&self) -> [u64; 3] {
        [Step::Diagonal, Step::Up, Step::Left].map(|step| {
            let place = self.order.iter().position(|other| *other == step);
            place.unwrap_or_default() as u64
        })
    }

    /// The path from (0, 0) to the last token of both lists.
    pub(super) fn path(&self) -> Vec<(usize, usize)> {
        let (mut i, mut j) = self.last;
        let mut path = Vec::with_capacity(i + j + 1);
        path.push((i, j));
        while (i, j) != (0, 0) {
            let cell = self.cells[i * self.stride + j - self.first_column(i)];
            match self.order[usize::from(cell)] {
                Step::Diagonal => (i, j) = (i - 1, j - 1),
                Step::Up => i -= 1,
                Step::Left => j -= 1,
            }
            path.push((i, j));
        }
        path.reverse();
        path
    }
}

impl Ties {
    fn order(self) -> [Step; 3] {
        match self {
            Self::DiagonalUpLeft => [Step::Diagonal, Step::Up, Step::Left],
            Self::DiagonalLeftUp => [Step::Diagonal, Step::Left, Step::Up],
            Self::UpDiagonalLeft => [Step::Up, Step::Diagonal, Step::Left],
            Self::UpLeftDiagonal => [Step::Up, Step::Left, Step::Diagonal],
            Self::LeftDiagonalUp => [Step::Left, Step::Diagonal, Step::Up],
            Self::LeftUpDiagonal => [Step::Left, Step::Up, Step::Diagonal],
        }
    }
}
