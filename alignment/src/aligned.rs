//! The result of aligning two token lists, by either algorithm: a partition of both into
//! groups that belong together, in order. [`crate::spans`] and [`crate::dtw`] both return it.

use std::fmt;
use std::ops::Range;

/// Groups of draft tokens and candidates that belong together.
///
/// The groups cover both lists without gap or overlap, each with at least one token of either side;
/// two empty lists have no group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    groups: Vec<Group>,
    links: Vec<Range<usize>>,
}

/// Neighbouring draft tokens and the neighbouring candidates that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Indices into the draft tokens; never empty.
    pub draft: Range<usize>,
    /// Indices into the candidates; never empty.
    pub candidates: Range<usize>,
}

/// Number of tokens of either side of a group: draft first, candidates second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One draft token, one candidate.
    OneToOne,
    /// One draft token, several candidates.
    OneToMany,
    /// Several draft tokens, one candidate.
    ManyToOne,
    /// Several of both.
    ManyToMany,
}

impl Alignment {
    /// The groups, in order.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The draft tokens that touch a candidate itself: a part of its group's, and never empty. Overlapping
    /// bytes make a touch, or a cell of the warping path. None where there is no such candidate.
    pub fn touching(&self, candidate: usize) -> Option<Range<usize>> {
        self.links.get(candidate).cloned()
    }

    /// The alignment of a path found elsewhere: (draft, candidate) cells from (0, 0) to the last token
    /// of both lists, each step one forward in either list or in both, which starts a new group. None
    /// where the cells are no such path. O(path).
    pub fn along(path: &[(usize, usize)]) -> Option<Self> {
        let is_step = |pair: &[(usize, usize)]| {
            let ((i, j), (to_i, to_j)) = (pair[0], pair[1]);
            let by = (to_i.wrapping_sub(i), to_j.wrapping_sub(j));
            matches!(by, (0 | 1, 1) | (1, 0))
        };
        let starts = path.first().is_none_or(|first| *first == (0, 0));
        let whole = starts && path.windows(2).all(is_step);
        whole.then(|| Self::of_path(path.iter().copied()))
    }

    /// The alignment of a monotone path of (draft, candidate) cells that starts at (0, 0) and ends at the
    /// last token of both, each step one forward in either list or in both. A step in both starts a
    /// new group. O(path).
    pub(crate) fn of_path(path: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut alignment = Self::default();
        for (draft, candidate) in path {
            let cell = Group {
                draft: draft..draft + 1,
                candidates: candidate..candidate + 1,
            };
            match alignment.groups.last_mut() {
                Some(last)
                    if last.draft.contains(&draft) || last.candidates.contains(&candidate) =>
                {
                    last.draft.end = cell.draft.end;
                    last.candidates.end = cell.candidates.end;
                }
                _ => alignment.groups.push(cell),
            }
            match alignment.links.get_mut(candidate) {
                Some(link) => link.end = draft + 1,
                None => alignment.links.push(draft..draft + 1),
            }
        }
        alignment
    }
}

impl Group {
    /// Number of tokens of either side.
    pub fn shape(&self) -> Shape {
        match (self.draft.len(), self.candidates.len()) {
            (1, 1) => Shape::OneToOne,
            (1, _) => Shape::OneToMany,
            (_, 1) => Shape::ManyToOne,
            _ => Shape::ManyToMany,
        }
    }
}

impl fmt::Display for Alignment {
    /// Groups separated by spaces, as in `0:0 1:1-3 2-3:4`: draft indices, a colon, candidate indices.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, group) in self.groups.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{group}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_indices(f, &self.draft)?;
        f.write_str(":")?;
        write_indices(f, &self.candidates)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneToOne => "1:1",
            Self::OneToMany => "1:n",
            Self::ManyToOne => "n:1",
            Self::ManyToMany => "n:m",
        })
    }
}

fn write_indices(f: &mut fmt::Formatter<'_>, indices: &Range<usize>) -> fmt::Result {
    let last = indices.end - 1;
    if indices.start == last {
        write!(f, "{last}")
    } else {
        write!(f, "{}-{last}", indices.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_both_lists_part_the_groups() {
        let path = [
            (0, 0),
            (1, 1),
            (1, 2),
            (2, 3),
            (3, 3),
            (4, 4),
            (4, 5),
            (5, 5),
        ];
        let alignment = Alignment::of_path(path);
        assert_eq!(alignment.to_string(), "0:0 1:1-2 2-3:3 4-5:4-5");
        let shapes: Vec<String> = alignment
            .groups()
            .iter()
            .map(|group| group.shape().to_string())
            .collect();
        assert_eq!(shapes, ["1:1", "1:n", "n:1", "n:m"]);
        assert_eq!(alignment.touching(4), Some(4..5));
        assert_eq!(alignment.touching(5), Some(4..6));
        assert_eq!(alignment.touching(6), None);
    }

    #[test]
    fn cells_that_are_no_path_have_no_alignment() {
        let along = |path: &[(usize, usize)]| Alignment::along(path).map(|a| a.to_string());
        assert_eq!(
            along(&[(0, 0), (0, 1), (1, 2)]).as_deref(),
            Some("0:0-1 1:2")
        );
        assert_eq!(along(&[]).as_deref(), Some(""));
        for broken in [
            [(1, 0), (1, 1)],
            [(0, 0), (0, 0)],
            [(0, 0), (2, 1)],
            [(0, 0), (1, usize::MAX)],
        ] {
            assert_eq!(along(&broken), None);
        }
    }

    #[test]
    fn empty_path_has_no_group() {
        assert_eq!(Alignment::of_path([]), Alignment::default());
        assert_eq!(Alignment::default().to_string(), "");
    }
}
