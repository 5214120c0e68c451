//! Dynamic time warping of two token lists by the likeness of their texts: for lists whose bytes do
//! not agree, for the paper's method, and for diagnostics.
//!
//! Ours because the costs, the band and the order of preference in the back-trace are the paper's
//! (TokenTiming, arXiv 2510.15545; band after Sakoe and Chiba, 1978), and published comparisons rest
//! on them.
//!
//! Symbols: d of k draft texts, t of m proxy texts, w the half width of the band.
//!
//! ```text
//! cost(i,j) = Levenshtein(d_i, t_j), both without space markers
//! C(i,j)    = cost(i,j) + min(C(i-1,j-1), C(i-1,j), C(i,j-1))     where |i-j| <= w
//! ```

mod levenshtein;

use std::fmt;

use crate::aligned::Alignment;
use levenshtein::Levenshtein;

/// Limits of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Half width of the band, in tokens; widened to |k - m| where that is more, because the last
    /// tokens could not meet otherwise. The paper's choice is 8.
    pub band: usize,
    /// Longest text of one token, in bytes. A cell costs its square at worst.
    pub longest_text: usize,
}

/// Why two lists cannot be aligned by their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A token's text is longer than [`Options::longest_text`].
    TextTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// One list is empty and the other is not, so there is nothing to align its tokens with.
    OneSideEmpty,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            band: 8,
            longest_text: 512,
        }
    }
}

/// Aligns by the cheapest warping path inside the band; among equals the back-trace prefers the
/// diagonal, then up (one draft token back), then left (one proxy back).
///
/// Time O(w · max(k, m)) cells, each at most the product of its two lengths; memory k·(2w + 1) bytes
/// and two rows of the band. Texts are exact token bytes, or pieces with their `▁` or `Ġ` markers.
pub fn align(
    draft_texts: &[&[u8]],
    proxy_texts: &[&[u8]],
    options: &Options,
) -> Result<Alignment, Error> {
    let (k, m) = (draft_texts.len(), proxy_texts.len());
    if (k == 0) != (m == 0) {
        return Err(Error::OneSideEmpty);
    }
    let limit = options.longest_text;
    let lengths = draft_texts.iter().chain(proxy_texts).map(|text| text.len());
    if let Some(bytes) = lengths.max().filter(|longest| *longest > limit) {
        return Err(Error::TextTooLong { bytes, limit });
    }
    if k == 0 {
        return Ok(Alignment::default());
    }
    let band = options.band.max(k.abs_diff(m)).min(k.max(m));
    let steps = Steps::fill(&strip_all(draft_texts), &strip_all(proxy_texts), band);
    Ok(Alignment::of_path(steps.path(k, m)))
}

/// A text without its space markers; unchanged if nothing would stay, as with runs of spaces.
pub fn strip_markers(text: &[u8]) -> &[u8] {
    const MARKERS: [&[u8]; 3] = [b" ", "▁".as_bytes(), "Ġ".as_bytes()];
    let mut stripped = text;
    while let Some(rest) = MARKERS.iter().find_map(|m| stripped.strip_prefix(*m)) {
        stripped = rest;
    }
    while let Some(rest) = MARKERS.iter().find_map(|m| stripped.strip_suffix(*m)) {
        stripped = rest;
    }
    if stripped.is_empty() { text } else { stripped }
}

fn strip_all<'a>(texts: &[&'a [u8]]) -> Vec<&'a [u8]> {
    texts.iter().map(|text| strip_markers(text)).collect()
}

/// Where the cheapest path to a cell comes from.
#[derive(Clone, Copy)]
enum Step {
    Diagonal,
    Up,
    Left,
}

/// The step into each cell of the band: row i holds the columns i-w to i+w.
struct Steps {
    band: usize,
    cells: Vec<Step>,
}

impl Steps {
    fn fill(draft: &[&[u8]], proxies: &[&[u8]], band: usize) -> Self {
        const UNREACHED: u64 = u64::MAX;
        let width = 2 * band + 1;
        let mut cells = vec![Step::Diagonal; draft.len() * width];
        // One slot more than the band, for the cell above its right end.
        let mut above = vec![UNREACHED; width + 1];
        let mut row = above.clone();
        let mut distance = Levenshtein::default();
        for (i, text) in draft.iter().enumerate() {
            row.fill(UNREACHED);
            let columns = i.saturating_sub(band)..proxies.len().min(i + band + 1);
            for j in columns {
                let slot = j + band - i;
                let left = if slot > 0 { row[slot - 1] } else { UNREACHED };
                // The row above is one column to the left, so the diagonal has the same slot.
                let (step, before) = cheapest(above[slot], above[slot + 1], left);
                let before = if (i, j) == (0, 0) { 0 } else { before };
                row[slot] = before.saturating_add(distance.between(text, proxies[j]));
                cells[i * width + slot] = step;
            }
            std::mem::swap(&mut above, &mut row);
        }
        Self { band, cells }
    }

    /// The path from (0, 0) to the last token of both lists.
    fn path(&self, k: usize, m: usize) -> Vec<(usize, usize)> {
        let width = 2 * self.band + 1;
        let (mut i, mut j) = (k - 1, m - 1);
        let mut path = vec![(i, j)];
        while (i, j) != (0, 0) {
            match self.cells[i * width + j + self.band - i] {
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

fn cheapest(diagonal: u64, up: u64, left: u64) -> (Step, u64) {
    if diagonal <= up && diagonal <= left {
        (Step::Diagonal, diagonal)
    } else if up <= left {
        (Step::Up, up)
    } else {
        (Step::Left, left)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TextTooLong { bytes, limit } => {
                write!(f, "a token's text has {bytes} bytes, more than {limit}")
            }
            Self::OneSideEmpty => f.write_str("one list is empty and the other is not"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
