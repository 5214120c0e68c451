//! Distances from one text to many, with all scratch kept from call to call, so that a cell of the
//! warping matrix allocates nothing.

use super::Distance;

/// Longest text whose rows fit one machine word.
const WORD_BITS: usize = u64::BITS as usize;

/// The unit of normalised distances: the least common multiple of 1 to 16.
const UNIT: u64 = 720_720;

/// Evaluates distances from a prepared text.
pub(super) struct Distances<'a> {
    kind: Distance,
    text: &'a [u8],
    /// Bit i of entry b is set if byte i of the text is b. All zero but for bytes of the text.
    places: [u64; 256],
    /// A row of the matrix of texts that do not fit a word.
    row: Vec<u32>,
}

impl<'a> Distances<'a> {
    pub(super) fn new(kind: Distance) -> Self {
        Self {
            kind,
            text: &[],
            places: [0; 256],
            row: Vec::new(),
        }
    }

    /// Makes `text` the one that distances are measured from. O(|text|).
    pub(super) fn prepare(&mut self, text: &'a [u8]) {
        for byte in self.text {
            self.places[usize::from(*byte)] = 0;
        }
        self.text = text;
        for (i, byte) in text.iter().take(WORD_BITS).enumerate() {
            self.places[usize::from(*byte)] |= 1 << i;
        }
    }

    /// The distance to another text; normalised ones in units of 1/720720.
    pub(super) fn to(&mut self, other: &[u8]) -> u64 {
        match self.kind {
            Distance::Levenshtein => self.levenshtein(other),
            Distance::NormalisedLevenshtein => {
                let longer = self.text.len().max(other.len()).max(1) as u64;
                (self.levenshtein(other) * UNIT + longer / 2) / longer
            }
            Distance::Equality => u64::from(self.text != other),
        }
    }

    fn levenshtein(&mut self, other: &[u8]) -> u64 {
        if self.text.is_empty() {
            other.len() as u64
        } else if self.text.len() <= WORD_BITS {
            self.bit_parallel(other)
        } else {
            self.row_by_row(other)
        }
    }

    /// A column of the edit matrix in two words, which hold where it rises and falls by one from row to
    /// row (Myers, 1999; in the form of Hyyrö, 2003). O(|other|) for a text of 1 to 64 bytes.
    fn bit_parallel(&self, other: &[u8]) -> u64 {
        let last = self.text.len() - 1;
        let (mut rises, mut falls) = (u64::MAX, 0);
        let mut distance = self.text.len() as u64;
        for byte in other {
            let equal = self.places[usize::from(*byte)];
            let vertical = equal | falls;
            let horizontal = (((equal & rises).wrapping_add(rises)) ^ rises) | equal;
            let rises_across = falls | !(horizontal | rises);
            let falls_across = rises & horizontal;
            distance += rises_across >> last & 1;
            distance -= falls_across >> last & 1;
            let rises_across = rises_across << 1 | 1;
            rises = falls_across << 1 | !(vertical | rises_across);
            falls = rises_across & vertical;
        }
        distance
    }

    /// The matrix by its definition. O(|text|·|other|) after common ends are cut off.
    fn row_by_row(&mut self, other: &[u8]) -> u64 {
        let (a, b) = without_common_ends(self.text, other);
        self.row.clear();
        self.row.extend(1..=b.len() as u32);
        let mut distance = b.len() as u32;
        for (i, byte) in a.iter().enumerate() {
            // `diagonal` is the cell up and left, `distance` the one to the left.
            let mut diagonal = i as u32;
            distance = diagonal + 1;
            for (above, other) in self.row.iter_mut().zip(b) {
                let replaced = diagonal + u32::from(byte != other);
                distance = replaced.min(distance + 1).min(*above + 1);
                diagonal = std::mem::replace(above, distance);
            }
        }
        u64::from(distance)
    }
}

fn without_common_ends<'a>(a: &'a [u8], b: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[prefix..], &b[prefix..]);
    let pairs = a.iter().rev().zip(b.iter().rev());
    let suffix = pairs.take_while(|(x, y)| x == y).count();
    (&a[..a.len() - suffix], &b[..b.len() - suffix])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, without scratch or short cuts.
    fn plain(a: &[u8], b: &[u8]) -> u64 {
        let (Some((x, a_rest)), Some((y, b_rest))) = (a.split_first(), b.split_first()) else {
            return (a.len() + b.len()) as u64;
        };
        let replaced = plain(a_rest, b_rest) + u64::from(x != y);
        let deleted = plain(a_rest, b) + 1;
        let inserted = plain(a, b_rest) + 1;
        replaced.min(deleted).min(inserted)
    }

    fn between(kind: Distance, a: &[u8], b: &[u8]) -> u64 {
        let mut distances = Distances::new(kind);
        distances.prepare(b"scratch of");
        distances.to(b"another call");
        distances.prepare(a);
        distances.to(b)
    }

    #[test]
    fn normalised_distances_are_shares_of_the_longer_text() {
        let share =
            |a: &str, b: &str| between(Distance::NormalisedLevenshtein, a.as_bytes(), b.as_bytes());
        assert_eq!(share("", ""), 0);
        assert_eq!(share("ab", "ac"), UNIT / 2);
        assert_eq!(share("abc", "abd") * 3, UNIT);
        assert_eq!(share("a", "xyz"), UNIT);
        assert_eq!(share(&"a".repeat(17), ""), UNIT);
    }

    #[test]
    fn equality_knows_two_distances() {
        assert_eq!(between(Distance::Equality, b"ab", b"ab"), 0);
        assert_eq!(between(Distance::Equality, b"ab", b"xyz"), 1);
    }

    proptest! {
        #[test]
        fn distance_equals_its_definition(a in "[abc]{0,6}", b in "[abc]{0,6}") {
            let found = between(Distance::Levenshtein, a.as_bytes(), b.as_bytes());
            prop_assert_eq!(found, plain(a.as_bytes(), b.as_bytes()));
        }

        #[test]
        fn words_and_rows_agree_on_texts_of_any_length(
            a in "[abc]{1,64}",
            b in "[abc]{0,140}",
        ) {
            let mut distances = Distances::new(Distance::Levenshtein);
            distances.prepare(a.as_bytes());
            let by_rows = distances.row_by_row(b.as_bytes());
            prop_assert_eq!(distances.bit_parallel(b.as_bytes()), by_rows);
            // From the other side, which may not fit a word.
            distances.prepare(b.as_bytes());
            prop_assert_eq!(distances.to(a.as_bytes()), by_rows);
        }
    }
}
