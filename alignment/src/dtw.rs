//! Dynamic time warping of two token lists by the likeness of their texts: for lists whose bytes do
//! not agree, for the paper's method, and for diagnostics.
//!
//! Ours because the costs, the band and the order of preference in the back-trace are the paper's
//! (TokenTiming, arXiv 2510.15545; band after Sakoe and Chiba, 1978), and published comparisons rest
//! on them.
//!
//! Symbols: d of k draft texts, t of m candidate texts, w the half width of the band.
//!
//! ```text
//! cost(i,j) = distance of d_i and t_j
//! C(i,j)    = cost(i,j) + min(C(i-1,j-1), C(i-1,j), C(i,j-1))     where |i-j| <= w
//! ```

mod distance;
mod matrix;

use std::fmt;

use crate::aligned::Alignment;
use matrix::Matrix;

/// The choices that the method leaves open. The default is the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Distance of two texts.
    pub distance: Distance,
    /// Cells that are computed.
    pub band: Band,
    /// Choice among paths of equal cost.
    pub ties: Ties,
    /// Treatment of space markers.
    pub markers: Markers,
    /// Longest text of one token, in bytes. A cell costs its square at worst.
    pub longest_text: usize,
}

/// Distance of two texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distance {
    /// The least number of bytes to insert, delete or replace (Levenshtein, 1966). The paper's choice.
    #[default]
    Levenshtein,
    /// The same divided by the length of the longer text, so that a long token weighs no more than a
    /// short one: exact where both have at most 16 bytes, else rounded to 1/720720.
    NormalisedLevenshtein,
    /// 0 for equal texts and 1 for others.
    Equality,
}

/// Cells that are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// Those at most this far off the diagonal, in tokens; widened to |k - m| where that is more,
    /// because the last tokens could not meet otherwise. The paper's choice is 8.
    Width(usize),
    /// All: time and memory are the product of the two lengths.
    Unbounded,
}

/// The order of preference among equally cheap steps of the back-trace. Up is one draft token back,
/// left one candidate back, the diagonal both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// The paper's choice.
    #[default]
    DiagonalUpLeft,
    /// Candidates go back before draft tokens.
    DiagonalLeftUp,
    /// The diagonal second.
    UpDiagonalLeft,
    /// The diagonal last: groups as large as they come.
    UpLeftDiagonal,
    /// The diagonal second, candidates first.
    LeftDiagonalUp,
    /// The diagonal last, candidates first.
    LeftUpDiagonal,
}

/// Treatment of the space markers at the ends of a text: ` `, `▁` and `Ġ`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Markers {
    /// Removed, unless nothing would be left ([`strip_markers`]). The paper's choice.
    #[default]
    Strip,
    /// Compared as they are.
    Keep,
}

/// Reason that two lists cannot be aligned by their texts.
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
            distance: Distance::default(),
            band: Band::Width(8),
            ties: Ties::default(),
            markers: Markers::default(),
            longest_text: 512,
        }
    }
}

/// Aligns by the cheapest warping path inside the band.
///
/// Time O(w · max(k, m)) cells; one of texts of up to 64 bytes takes O(|t|) steps of bit-parallel
/// arithmetic, one of longer texts the product of their lengths. Memory k · min(2w + 1, m) bytes for
/// the steps, 8m for a row of costs, and nothing per cell. Texts are exact token bytes, or pieces with
/// their `▁` or `Ġ` markers.
pub fn align(
    draft_texts: &[&[u8]],
    candidate_texts: &[&[u8]],
    options: &Options,
) -> Result<Alignment, Error> {
    let (k, m) = (draft_texts.len(), candidate_texts.len());
    if (k == 0) != (m == 0) {
        return Err(Error::OneSideEmpty);
    }
    let limit = options.longest_text;
    let lengths = draft_texts
        .iter()
        .chain(candidate_texts)
        .map(|text| text.len());
    if let Some(bytes) = lengths.max().filter(|longest| *longest > limit) {
        return Err(Error::TextTooLong { bytes, limit });
    }
    if k == 0 {
        return Ok(Alignment::default());
    }
    let draft = options.markers.apply(draft_texts);
    let candidates = options.markers.apply(candidate_texts);
    let matrix = Matrix::fill(&draft, &candidates, options);
    Ok(Alignment::of_path(matrix.path()))
}

/// A text without its space markers; unchanged if nothing would be left, as with runs of spaces.
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

impl Markers {
    fn apply<'a>(self, texts: &[&'a [u8]]) -> Vec<&'a [u8]> {
        match self {
            Self::Strip => texts.iter().map(|text| strip_markers(text)).collect(),
            Self::Keep => texts.to_vec(),
        }
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
