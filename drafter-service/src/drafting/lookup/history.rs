//! A text that grows and shrinks at its end, with the earlier occurrences of its suffix.
//!
//! For each place the text keeps the place before it at which the same [`KEY`] bytes ended, so that the places that may be
//! meant form a list, latest first. Appending and forgetting a byte cost one look into a table; finding costs at most
//! [`CANDIDATES`] comparisons of at most [`LONGEST`] bytes, however long or uniform the text is. A suffix automaton finds
//! matches of any length, but takes some twenty times the memory, and cannot remove bytes from its end.
//!
//! Ours because match finders come inside compressors, and those match what follows a place, not what precedes it.

use std::collections::HashMap;

/// Number of bytes by which places are found: the shortest match.
pub(super) const KEY: usize = 4;
/// Most places that are compared, latest first.
const CANDIDATES: usize = 128;
/// Matches longer than this are equally good.
pub(super) const LONGEST: usize = 64;

/// Mark of no place: matches end after `KEY` bytes at least.
const NONE: u32 = 0;

/// The text.
#[derive(Debug, Default)]
pub(super) struct History {
    bytes: Vec<u8>,
    /// The last place at which a key ends.
    last: HashMap<[u8; KEY], u32>,
    /// For each place, after a byte, the one before it with the same key.
    before: Vec<u32>,
}

/// An earlier occurrence of the text's suffix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Match {
    /// Offset of its end; what followed then may follow now.
    pub(super) end: usize,
    /// Number of matching bytes, counted up to a bound.
    pub(super) length: usize,
}

impl History {
    /// The text.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds bytes at the end.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes.push(*byte);
            let place = self.bytes.len() as u32;
            let before = self.key().and_then(|key| self.last.insert(key, place));
            self.before.push(before.unwrap_or(NONE));
        }
    }

    /// Forgets all but the first `length` bytes.
    pub(super) fn truncate(&mut self, length: usize) {
        while self.bytes.len() > length {
            let before = self.before.pop().unwrap_or(NONE);
            if let Some(key) = self.key() {
                if before == NONE {
                    self.last.remove(&key);
                } else {
                    self.last.insert(key, before);
                }
            }
            self.bytes.pop();
        }
    }

    /// The longest suffix of the text that occurred before, and of those the latest; at least `shortest` bytes, and at least
    /// [`KEY`].
    pub(super) fn find(&self, shortest: usize) -> Option<Match> {
        let mut best = None;
        let mut place = *self.before.last()?;
        for _ in 0..CANDIDATES {
            if place == NONE {
                break;
            }
            let end = place as usize;
            let length = self.agreement(end);
            let least = best.map_or(shortest.max(KEY), |best: Match| best.length + 1);
            if length >= least {
                best = Some(Match { end, length });
            }
            place = self.before[end - 1];
        }
        best
    }

    /// `count` bytes that followed `end`. Where they reach the end of the text, they repeat: what occurred twice in a row may go on
    /// so.
    pub(super) fn after(&self, end: usize, count: usize) -> Vec<u8> {
        let period = self.bytes.len() - end;
        let source = self.bytes[end..].iter();
        if period == 0 {
            return Vec::new();
        }
        source.cycle().take(count).copied().collect()
    }

    /// The last bytes, by which places are found.
    fn key(&self) -> Option<[u8; KEY]> {
        self.bytes.last_chunk().copied()
    }

    /// Number of bytes before `end` that match the last ones of the text.
    fn agreement(&self, end: usize) -> usize {
        let then = self.bytes[..end].iter().rev();
        let now = self.bytes.iter().rev();
        let pairs = then.zip(now).take(LONGEST);
        pairs.take_while(|(then, now)| then == now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by trying every place.
    fn by_force(text: &[u8], shortest: usize) -> Option<Match> {
        let length = |end: usize| {
            let same = |n: &usize| text[end - n..end] == text[text.len() - n..];
            (1..=end).rev().find(same).unwrap_or(0)
        };
        let matches = (KEY..text.len()).map(|end| Match {
            end,
            length: length(end),
        });
        let long = matches.filter(|found| found.length >= shortest.max(KEY));
        long.max_by_key(|found| (found.length, found.end))
    }

    /// Every text of `length` letters.
    fn texts(letters: &[u8], length: u32) -> impl Iterator<Item = Vec<u8>> {
        let base = letters.len();
        (0..base.pow(length)).map(move |number| {
            let digit = |place| letters[number / base.pow(place) % base];
            (0..length).map(digit).collect()
        })
    }

    #[test]
    fn match_is_that_of_trying_every_place_on_all_short_texts() {
        for (letters, longest) in [(&b"ab"[..], 13), (b"abc", 9)] {
            for length in 0..=longest {
                for text in texts(letters, length) {
                    let mut history = History::default();
                    history.extend(&text);
                    for shortest in [1, 5, 6] {
                        assert_eq!(
                            history.find(shortest),
                            by_force(&text, shortest),
                            "{text:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn forgotten_bytes_leave_no_trace() {
        for text in texts(b"ab", 10) {
            for kept in 0..text.len() {
                let mut history = History::default();
                history.extend(&text);
                history.truncate(kept);
                assert_eq!(history.find(KEY), by_force(&text[..kept], KEY));
                let other: Vec<u8> = text.iter().rev().copied().collect();
                history.extend(&other);
                let whole = [&text[..kept], &other].concat();
                assert_eq!(history.find(KEY), by_force(&whole, KEY), "{whole:?}");
                history.truncate(0);
                assert!(history.last.is_empty() && history.before.is_empty());
            }
        }
    }

    #[test]
    fn uniform_text_costs_no_more_than_the_bounds_and_goes_on_with_itself() {
        let mut history = History::default();
        history.extend(&vec![b'a'; 1 << 16]);
        let found = history.find(KEY).unwrap();
        assert_eq!((found.end, found.length), ((1 << 16) - 1, LONGEST));
        assert_eq!(history.after(found.end, 5), b"aaaaa");
        history.truncate(0);
        history.extend(b"red green red green ");
        let found = history.find(KEY).unwrap();
        assert_eq!(history.after(found.end, 25), b"red green red green red g");
        assert_eq!(history.after(history.bytes().len(), 3), b"");
    }
}
