//! Exact alignment of two token lists that spell the same bytes: they part where both have a token
//! boundary. No distance and no window; the default wherever the bytes agree.

use std::fmt;

use crate::aligned::Alignment;

/// Reason that two lists cannot be aligned by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The lists do not end at the same byte.
    DifferentBytes {
        /// Bytes that the draft tokens cover.
        draft: u32,
        /// Bytes that the candidates cover.
        candidates: u32,
    },
    /// An end lies before the previous one of its list.
    Descending {
        /// The end that goes back.
        end: u32,
    },
    /// One list is empty and the other is not, so there is nothing to align its tokens with.
    OneSideEmpty,
}

/// Aligns by a sweep of two pointers over the cumulative byte ends of either list. O(k + m).
///
/// A step moves past the token that ends first, past both where they end together; so tokens belong
/// together when their bytes overlap, directly or through others. A token without bytes joins the
/// group that starts there, or the last group at the end.
///
/// Candidates that cover less than the draft (a dropped tail) are an error here: cut the draft's list at
/// the candidates' end first, where the draft has a boundary there.
pub fn align(draft_ends: &[u32], candidate_ends: &[u32]) -> Result<Alignment, Error> {
    let (draft, candidates) = (checked_end(draft_ends)?, checked_end(candidate_ends)?);
    if draft_ends.is_empty() != candidate_ends.is_empty() {
        return Err(Error::OneSideEmpty);
    }
    if draft != candidates {
        return Err(Error::DifferentBytes { draft, candidates });
    }
    let first = (!draft_ends.is_empty()).then_some((0, 0));
    let path = std::iter::successors(first, |&(i, j)| {
        next_cell(draft_ends, candidate_ends, (i, j))
    });
    Ok(Alignment::of_path(path))
}

/// The last end of a list that never descends; 0 of an empty one.
fn checked_end(ends: &[u32]) -> Result<u32, Error> {
    match ends.windows(2).find(|pair| pair[1] < pair[0]) {
        Some(pair) => Err(Error::Descending { end: pair[1] }),
        None => Ok(ends.last().copied().unwrap_or_default()),
    }
}

fn next_cell(
    draft_ends: &[u32],
    candidate_ends: &[u32],
    (i, j): (usize, usize),
) -> Option<(usize, usize)> {
    let draft_goes_on = i + 1 < draft_ends.len();
    let candidates_go_on = j + 1 < candidate_ends.len();
    match (draft_goes_on, candidates_go_on) {
        (false, false) => None,
        (true, false) => Some((i + 1, j)),
        (false, true) => Some((i, j + 1)),
        (true, true) => Some(match draft_ends[i].cmp(&candidate_ends[j]) {
            std::cmp::Ordering::Less => (i + 1, j),
            std::cmp::Ordering::Equal => (i + 1, j + 1),
            std::cmp::Ordering::Greater => (i, j + 1),
        }),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DifferentBytes { draft, candidates } => write!(
                f,
                "the draft covers {draft} bytes and the candidates cover {candidates}"
            ),
            Self::Descending { end } => write!(f, "end {end} lies before the previous one"),
            Self::OneSideEmpty => f.write_str("one list is empty and the other is not"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(draft_ends: &[u32], candidate_ends: &[u32], expected: &str) {
        let found = align(draft_ends, candidate_ends).map(|alignment| alignment.to_string());
        assert_eq!(found.as_deref(), Ok(expected));
    }

    #[test]
    fn groups_part_at_common_boundaries() {
        check(&[], &[], "");
        check(&[3], &[3], "0:0");
        check(&[2, 5], &[2, 5], "0:0 1:1");
        check(&[5], &[1, 3, 5], "0:0-2");
        check(&[1, 3, 5], &[5], "0-2:0");
        check(&[2, 6, 8], &[4, 6, 8], "0-1:0-1 2:2");
    }

    #[test]
    fn tokens_without_bytes_join_the_group_that_starts_there() {
        check(&[3, 3, 5], &[3, 5], "0:0 1-2:1");
        check(&[0, 5], &[5], "0-1:0");
        check(&[3, 3], &[3], "0-1:0");
        check(&[3], &[3, 3], "0:0-1");
        check(&[0], &[0], "0:0");
    }

    #[test]
    fn lists_that_cannot_spell_the_same_are_refused() {
        let draft = 3;
        assert_eq!(
            align(&[3], &[4]),
            Err(Error::DifferentBytes {
                draft,
                candidates: 4
            })
        );
        assert_eq!(align(&[3, 2], &[2]), Err(Error::Descending { end: 2 }));
        assert_eq!(align(&[], &[0]), Err(Error::OneSideEmpty));
    }

    /// Ends of tokens with these lengths.
    fn ends(lengths: &[u32]) -> Vec<u32> {
        let running = lengths.iter().scan(0, |end, len| {
            *end += len;
            Some(*end)
        });
        running.collect()
    }

    /// Tokenizes `total` bytes by lengths taken in turn.
    fn tokenised(total: u32, lengths: &[u32]) -> Vec<u32> {
        let mut ends = ends(lengths);
        ends.retain(|end| *end < total);
        ends.push(total);
        ends
    }

    proptest! {
        #[test]
        fn groups_part_exactly_where_both_lists_have_a_boundary(
            total in 1_u32..40,
            draft in proptest::collection::vec(1_u32..6, 0..40),
            candidates in proptest::collection::vec(1_u32..6, 0..40),
        ) {
            let (draft, candidates) = (tokenised(total, &draft), tokenised(total, &candidates));
            let alignment = align(&draft, &candidates).unwrap();
            let common: Vec<u32> =
                draft.iter().copied().filter(|end| candidates.contains(end)).collect();
            let groups = alignment.groups().iter();
            let parted: Vec<u32> = groups.map(|group| draft[group.draft.end - 1]).collect();
            prop_assert_eq!(parted, common);
            for (j, end) in candidates.iter().enumerate() {
                let start = if j == 0 { 0 } else { candidates[j - 1] };
                let overlaps = |i: &usize| {
                    let from = if *i == 0 { 0 } else { draft[i - 1] };
                    from < *end && start < draft[*i]
                };
                let touching: Vec<usize> = (0..draft.len()).filter(overlaps).collect();
                prop_assert_eq!(alignment.touching(j).unwrap().collect::<Vec<_>>(), touching);
            }
        }

        #[test]
        fn groups_cover_both_lists_even_with_tokens_without_bytes(
            draft in proptest::collection::vec(0_u32..3, 1..12),
            candidates in proptest::collection::vec(0_u32..3, 1..12),
        ) {
            let (mut draft, mut candidates) = (ends(&draft), ends(&candidates));
            let total = draft[draft.len() - 1].max(candidates[candidates.len() - 1]);
            draft.push(total);
            candidates.push(total);
            let alignment = align(&draft, &candidates).unwrap();
            let (mut i, mut j) = (0, 0);
            for group in alignment.groups() {
                prop_assert_eq!((group.draft.start, group.candidates.start), (i, j));
                prop_assert!(!group.draft.is_empty() && !group.candidates.is_empty());
                (i, j) = (group.draft.end, group.candidates.end);
            }
            prop_assert_eq!((i, j), (draft.len(), candidates.len()));
        }
    }
}
