//! The ways of aligning, each as a function of one block.

use std::ops::Range;

use alignment::aligned::Alignment;
use alignment::{dtw, spans};

/// A way of aligning.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) align: fn(&Block) -> Answer,
}

/// Methods that are compared, the exact one first.
pub(crate) const METHODS: [Method; 7] = [
    Method {
        name: "byte spans",
        align: |block| {
            Answer::of(
                spans::align(&ends(&block.draft), &ends(&block.candidates)),
                block,
            )
        },
    },
    Method {
        name: "DTW 4",
        align: |block| warped(block, 4),
    },
    Method {
        name: "DTW 8",
        align: |block| warped(block, 8),
    },
    Method {
        name: "DTW 16",
        align: |block| warped(block, 16),
    },
    Method {
        name: "DTW unbounded",
        align: |block| warped(block, usize::MAX),
    },
    Method {
        name: "LCS",
        align: common_subsequence,
    },
    Method {
        name: "proportional",
        align: proportional,
    },
];

/// Two token lists that spell the same bytes.
pub(crate) struct Block<'a> {
    draft: Vec<&'a [u8]>,
    candidates: Vec<&'a [u8]>,
}

/// Draft tokens, and the candidates that they belong to.
pub(crate) type Group = (Range<usize>, Range<usize>);

/// Answer of a method.
pub(crate) struct Answer {
    /// The last draft token that touches each candidate.
    pub(crate) terminals: Vec<usize>,
    /// In order.
    pub(crate) groups: Vec<Group>,
}

impl<'a> Block<'a> {
    /// Cuts two encodings of one text at common boundaries, as soon as there are `length` draft tokens.
    pub(crate) fn cut(draft: &[&'a [u8]], candidates: &[&'a [u8]], length: usize) -> Vec<Self> {
        let (draft_ends, candidate_ends) = (ends(draft), ends(candidates));
        let mut blocks = Vec::new();
        let (mut i, mut j) = (0, 0);
        for (at, end) in draft_ends.iter().enumerate() {
            let common = candidate_ends.binary_search(end);
            let long_enough = at + 1 - i >= length || at + 1 == draft.len();
            if let Ok(common) = common
                && long_enough
            {
                blocks.push(Self {
                    draft: draft[i..=at].to_vec(),
                    candidates: candidates[j..=common].to_vec(),
                });
                (i, j) = (at + 1, common + 1);
            }
        }
        blocks
    }

    /// The answer by its definition: who shares a byte with whom, each pair compared.
    pub(crate) fn truth(&self) -> Answer {
        let (draft, candidates) = (ranges(&self.draft), ranges(&self.candidates));
        let touches = |i: usize, j: usize| {
            draft[i].start < candidates[j].end && candidates[j].start < draft[i].end
        };
        let mut terminals = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        for j in 0..candidates.len() {
            let touching: Vec<usize> = (0..draft.len()).filter(|i| touches(*i, j)).collect();
            let (Some(first), Some(last)) = (touching.first(), touching.last()) else {
                continue;
            };
            terminals.push(*last);
            match groups.last_mut() {
                Some(group) if group.0.contains(first) => {
                    group.0.end = last + 1;
                    group.1.end = j + 1;
                }
                _ => groups.push((*first..last + 1, j..j + 1)),
            }
        }
        Answer { terminals, groups }
    }
}

impl Answer {
    /// Answer of the library; nothing where it refuses, which no block here should make it do.
    fn of<E>(alignment: Result<Alignment, E>, block: &Block) -> Self {
        let alignment = alignment.unwrap_or_default();
        let terminal = |candidate: usize| {
            alignment
                .touching(candidate)
                .map(|touching| touching.end - 1)
        };
        let groups = alignment.groups().iter();
        Self {
            terminals: (0..block.candidates.len()).filter_map(terminal).collect(),
            groups: groups
                .map(|g| (g.draft.clone(), g.candidates.clone()))
                .collect(),
        }
    }
}

fn warped(block: &Block, band: usize) -> Answer {
    let options = dtw::Options {
        band: dtw::Band::Width(band),
        ..dtw::Options::default()
    };
    Answer::of(dtw::align(&block.draft, &block.candidates, &options), block)
}

/// The i-th of k draft tokens covers from i/k to (i+1)/k of the text, the j-th of m candidates likewise: spans of equal
/// length, aligned exactly.
fn proportional(block: &Block) -> Answer {
    let (k, m) = (block.draft.len() as u32, block.candidates.len() as u32);
    let draft: Vec<u32> = (1..=k).map(|i| i * m).collect();
    let candidates: Vec<u32> = (1..=m).map(|j| j * k).collect();
    Answer::of(spans::align(&draft, &candidates), block)
}

/// A longest common subsequence of the tokens' texts, without space markers, makes groups of one and one; what lies
/// between two of these is one group. Tokens between with none on the other side join the group before, or the first.
fn common_subsequence(block: &Block) -> Answer {
    let strip = |text: &&[u8]| dtw::strip_markers(text).to_vec();
    let draft: Vec<Vec<u8>> = block.draft.iter().map(strip).collect();
    let candidates: Vec<Vec<u8>> = block.candidates.iter().map(strip).collect();
    let common = matches(&draft, &candidates);
    let around = common
        .into_iter()
        .flat_map(|(i, j)| [(i, j), (i + 1, j + 1)]);
    let mut groups: Vec<Group> = Vec::new();
    let mut from = (0, 0);
    for to in around.chain([(draft.len(), candidates.len())]) {
        if from.0 < to.0 && from.1 < to.1 {
            groups.push((from.0..to.0, from.1..to.1));
        } else if let Some(last) = groups.last_mut() {
            (last.0.end, last.1.end) = to;
        } else {
            continue;
        }
        from = to;
    }
    let terminals = groups
        .iter()
        .flat_map(|(draft, candidates)| candidates.clone().map(|_| draft.end - 1));
    Answer {
        terminals: terminals.collect(),
        groups,
    }
}

/// Places of a longest common subsequence, the earliest match first.
fn matches(draft: &[Vec<u8>], candidates: &[Vec<u8>]) -> Vec<(usize, usize)> {
    let width = candidates.len() + 1;
    // Length of the longest one of what begins at (i, j).
    let mut lengths = vec![0_u32; (draft.len() + 1) * width];
    for i in (0..draft.len()).rev() {
        for j in (0..candidates.len()).rev() {
            lengths[i * width + j] = if draft[i] == candidates[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let mut matches = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < draft.len() && j < candidates.len() {
        if draft[i] == candidates[j] {
            matches.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    matches
}

/// End of each token, in bytes.
fn ends(tokens: &[&[u8]]) -> Vec<u32> {
    ranges(tokens).iter().map(|range| range.end).collect()
}

fn ranges(tokens: &[&[u8]]) -> Vec<Range<u32>> {
    let mut end = 0;
    let range = |token: &&[u8]| {
        let start = end;
        end += token.len() as u32;
        start..end
    };
    tokens.iter().map(range).collect()
}
