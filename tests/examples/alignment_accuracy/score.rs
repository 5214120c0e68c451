//! Counting what a method gets wrong.

use std::iter::Sum;

use crate::methods::{Answer, Group};

/// Shapes of a group: tokens of the draft, then of the candidates.
pub(crate) const SHAPES: [&str; 4] = ["1:1", "1:n", "n:1", "n:m"];

/// Wrong terminals and groups, and all of either.
#[derive(Clone, Copy, Default)]
pub(crate) struct Score {
    terminals: Share,
    /// By shape.
    groups: [Share; 4],
}

/// A part of a whole.
#[derive(Clone, Copy, Default)]
struct Share {
    wrong: usize,
    all: usize,
}

impl Score {
    /// Counts one block.
    pub(crate) fn add(&mut self, found: &Answer, truth: &Answer) {
        for (place, terminal) in truth.terminals.iter().enumerate() {
            self.terminals
                .count(found.terminals.get(place) == Some(terminal));
        }
        // Both are in order, and no token is in two groups of one answer.
        let by_start = |group: &Group| (group.0.start, group.1.start);
        for group in &truth.groups {
            let place = found
                .groups
                .binary_search_by_key(&by_start(group), by_start);
            let shape = match (group.0.len(), group.1.len()) {
                (1, 1) => 0,
                (1, _) => 1,
                (_, 1) => 2,
                _ => 3,
            };
            self.groups[shape].count(place.is_ok_and(|place| found.groups[place] == *group));
        }
    }

    /// Numbers of candidates and groups.
    pub(crate) fn counted(&self) -> String {
        format!("{} / {}", self.terminals.all, self.all_groups().all)
    }

    /// Number of groups of one shape.
    pub(crate) fn counted_of(&self, shape: usize) -> String {
        self.groups[shape].all.to_string()
    }

    /// The shares of wrong terminals and of wrong groups.
    pub(crate) fn shares(&self) -> String {
        let (terminals, groups) = (self.terminals, self.all_groups());
        format!("{:.1} / {:.1} %", terminals.percent(), groups.percent())
    }

    /// The share of wrong groups of one shape.
    pub(crate) fn share_of(&self, shape: usize) -> String {
        format!("{:.1} %", self.groups[shape].percent())
    }

    fn all_groups(&self) -> Share {
        self.groups.into_iter().fold(Share::default(), Share::and)
    }
}

impl Sum for Score {
    fn sum<I: Iterator<Item = Self>>(scores: I) -> Self {
        scores.fold(Self::default(), |sum, score| Self {
            terminals: sum.terminals.and(score.terminals),
            groups: std::array::from_fn(|shape| sum.groups[shape].and(score.groups[shape])),
        })
    }
}

impl Share {
    fn count(&mut self, right: bool) {
        self.all += 1;
        self.wrong += usize::from(!right);
    }

    fn and(self, other: Self) -> Self {
        Self {
            wrong: self.wrong + other.wrong,
            all: self.all + other.all,
        }
    }

    fn percent(self) -> f64 {
        100.0 * self.wrong as f64 / self.all.max(1) as f64
    }
}
