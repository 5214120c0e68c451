//! Kinds of cases, counted: a test of random cases says little if they are all alike.

use std::collections::BTreeMap;
use std::fmt;

/// Events of a case; several may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// The committed tail came back, and the candidates follow it.
    Joined,
    /// The committed tail did not come back, as merges reached over the cut.
    Merged,
    /// The committed text ended inside a character, which the candidates finish.
    CharacterFinished,
    /// Every byte of the draft is covered.
    Whole,
    /// Some bytes are.
    Cut,
    /// No byte is.
    Nothing,
    /// Joined, after text that is committed as its tokenizer encodes it.
    Canonical,
    /// And the tokenizer makes the same of all of the text, back to its beginning.
    AsWholeText,
}

/// Counts over many cases.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    cases: u64,
    seen: BTreeMap<Seen, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, seen: Vec<Seen>) {
        self.cases += 1;
        for what in seen {
            *self.seen.entry(what).or_default() += 1;
        }
    }

    /// The cases of both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.cases += other.cases;
        for (what, count) in other.seen {
            *self.seen.entry(what).or_default() += count;
        }
        self
    }

    /// Number of times that an event occurred.
    pub(crate) fn of(&self, what: Seen) -> u64 {
        self.seen.get(&what).copied().unwrap_or_default()
    }

    /// Every way that a case can go was gone often.
    pub(crate) fn check(&self, cases: u64) {
        assert_eq!(self.cases, cases);
        assert_eq!(self.seen.len(), 8, "{self}");
        assert!(
            self.seen.values().all(|count| *count > cases / 100),
            "{self}"
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cases:", self.cases)?;
        let mut seen = self.seen.iter();
        seen.try_for_each(|(what, count)| write!(f, " {what:?} {count}"))
    }
}
