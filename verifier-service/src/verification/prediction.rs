//! Look-up in the text that a request predicts: where the reply follows that text, it is what comes next.
//!
//! The reply leaves the text where it edits it, and comes back after the edit. Coming back is guessed from a few bytes, so the
//! first proposals after it are short. A word that the reply has replaced is replaced in the text that is left, too.

use std::ops::Range;

use proto::limits::MAX_PREDICTION_BYTES;

/// Tokens of the first proposal after the reply came back. It doubles with each round that follows the text.
const FIRST: usize = 4;
/// Bytes that the reply has to follow the text before it surely is back.
const SURE: usize = 12;
/// Bytes in common by which a place near the edit is found, and one anywhere.
const NEAR: usize = 3;
const ANYWHERE: usize = 16;
/// Bytes after an edit that are near.
const WINDOW: usize = 2048;
/// Most bytes of an edit that are remembered.
const STRAY_BYTES: usize = 4096;
/// Bytes of the longest word that a text may have in place of another.
const LONGEST_WORD: usize = 64;
/// Most words that are replaced.
const REPLACEMENTS: usize = 32;

/// Look-up in a predicted text.
#[derive(Debug)]
pub(crate) struct Prediction {
    text: Vec<u8>,
    /// Place in the text that the reply has come to.
    cursor: usize,
    /// Bytes that the reply has followed the text up to there.
    followed: usize,
    stray: Option<Stray>,
    /// Most tokens of the next proposal.
    trust: usize,
    replacements: usize,
}

/// An edit: what the reply has instead of the text, until it surely is back.
#[derive(Debug)]
struct Stray {
    /// Place where the reply left the text.
    left: usize,
    /// Bytes of the reply since.
    bytes: Vec<u8>,
    /// Bytes of the reply since that are not in `bytes` any more.
    forgotten: usize,
    /// True if `cursor` is where it is thought to have come back.
    is_back: bool,
}

impl Prediction {
    /// Look-up in `text` for a reply that has not begun.
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.as_bytes().to_vec(),
            cursor: 0,
            followed: 0,
            stray: None,
            trust: usize::MAX,
            replacements: 0,
        }
    }

    /// Text that comes next, at most `most` bytes, and the most tokens of it to propose; `None` where the reply has left it.
    pub(crate) fn propose(&self, most: usize) -> Option<(&[u8], usize)> {
        let rest = &self.text[self.cursor..];
        let is_there = self.stray.as_ref().is_none_or(|stray| stray.is_back);
        let next = &rest[..rest.len().min(most)];
        (is_there && !next.is_empty()).then_some((next, self.trust))
    }

    /// Takes in bytes of the reply.
    pub(crate) fn commit(&mut self, bytes: &[u8]) {
        let mut left = false;
        for &byte in bytes {
            let is_there = self.stray.as_ref().is_none_or(|stray| stray.is_back);
            if is_there && self.text.get(self.cursor) == Some(&byte) {
                self.follow(byte);
            } else {
                self.leave(byte);
                left = true;
            }
        }
        let is_away = self.stray.as_ref().is_some_and(|stray| !stray.is_back);
        if is_away {
            self.come_back();
        } else if !left && !bytes.is_empty() {
            self.trust = self.trust.saturating_mul(2);
        }
    }

    fn follow(&mut self, byte: u8) {
        self.cursor += 1;
        self.followed += 1;
        if let Some(stray) = &mut self.stray {
            stray.bytes.push(byte);
            self.settle();
        }
    }

    /// Ends the edit if the reply surely is back.
    fn settle(&mut self) {
        if self.followed >= SURE {
            self.replace_word();
            self.stray = None;
        }
    }

    fn leave(&mut self, byte: u8) {
        let cursor = self.cursor;
        let stray = self.stray.get_or_insert_with(|| Stray {
            left: cursor,
            bytes: Vec::new(),
            forgotten: 0,
            is_back: false,
        });
        stray.is_back = false;
        stray.bytes.push(byte);
        let surplus = stray.bytes.len().saturating_sub(STRAY_BYTES);
        stray.forgotten += surplus;
        stray.bytes.drain(..surplus);
    }

    /// Guesses where in the text the reply goes on after the edit so far.
    fn come_back(&mut self) {
        let Some(stray) = &mut self.stray else {
            return;
        };
        let Some(place) = place_after(&self.text, stray) else {
            return;
        };
        let before = self.text[..place].iter().rev();
        let same = before.zip(stray.bytes.iter().rev());
        self.followed = same.take_while(|(one, other)| one == other).count();
        stray.is_back = true;
        self.cursor = place;
        self.trust = FIRST;
        self.settle();
    }

    /// Replaces a word in the text that is left, if the edit has replaced it.
    fn replace_word(&mut self) {
        let Some(stray) = self.stray.take_if(|stray| stray.forgotten == 0) else {
            return;
        };
        let old = word_at(&self.text, stray.left);
        let head = old.start..stray.left.max(old.start);
        let tail = word_from(&stray.bytes, 0);
        let new = [&self.text[head], &stray.bytes[..tail]].concat();
        let old = self.text[old].to_vec();
        // The reply must have come back right after the word.
        let is_one_word = self.text[..self.cursor].ends_with(&stray.bytes[tail..]);
        let is_replaced = !old.is_empty() && !new.is_empty() && old != new;
        if is_replaced
            && is_one_word
            && self.replacements < REPLACEMENTS
            && let Some(rest) = replaced(&self.text[self.cursor..], &old, &new)
        {
            self.replacements += 1;
            self.text.truncate(self.cursor);
            self.text.extend(rest);
        }
    }
}

/// Place in the text that follows an edit: by what the reply said last, or by where a word or a line ends.
fn place_after(text: &[u8], stray: &Stray) -> Option<usize> {
    let near = stray.left..text.len().min(stray.left + WINDOW);
    let said = stray.bytes.as_slice();
    let word = word_at(text, stray.left);
    let tail = word_from(said, 0);
    if stray.forgotten == 0 && tail < said.len() && tail > 0 {
        // A word was replaced, and what comes after it is the same.
        let after = &said[tail..];
        if text[word.end.max(stray.left)..].starts_with(after) {
            return Some(word.end.max(stray.left) + after.len());
        }
    }
    let matched = (NEAR..=ANYWHERE.min(said.len())).rev().find_map(|count| {
        let last = &said[said.len() - count..];
        find(&text[near.clone()], last).map(|at| near.start + at + count)
    });
    let anywhere = || {
        let last = said.get(said.len().checked_sub(ANYWHERE)?..)?;
        find(text, last).map(|at| at + ANYWHERE)
    };
    let line = || (said.last() == Some(&b'\n')).then(|| line_from(text, stray.left));
    // The whole reply so far is one word in place of another.
    let replaced = || {
        let is_word = tail == said.len() && tail <= LONGEST_WORD && word.end > stray.left;
        is_word.then_some(word.end)
    };
    matched.or_else(anywhere).or_else(line).or_else(replaced)
}

/// First line of the text that begins at `from` or after it.
fn line_from(text: &[u8], from: usize) -> usize {
    let begins = from == 0 || text.get(from - 1) == Some(&b'\n');
    if begins {
        return from;
    }
    let rest = text.get(from..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.map_or(text.len(), |end| from + end + 1)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The word around a place; empty where there is none.
fn word_at(text: &[u8], at: usize) -> Range<usize> {
    let before = text[..at].iter().rev().take_while(|byte| is_word(**byte));
    at - before.count()..word_from(text, at)
}

/// End of the word that begins at `from`, or goes on there.
fn word_from(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_word(**byte)).count()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

/// `text` with each whole word `old` replaced by `new`; `None` if that would be longer than a prediction may be.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let mut result = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        // What is between two words goes byte by byte.
        let end = word_from(text, at).max(at + 1);
        let part = &text[at..end];
        result.extend_from_slice(if part == old { new } else { part });
        if result.len() > MAX_PREDICTION_BYTES {
            return None;
        }
        at = end;
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    \
                        return result\n\n\nprint(total([1, 2, 3]))\n";

    /// Bytes of `reply` that were proposed, if whatever is accepted comes in proposals of 24 bytes and all else in pieces of four.
    fn proposed(text: &str, reply: &str) -> usize {
        let mut prediction = Prediction::new(text);
        let (mut at, mut proposed) = (0, 0);
        let reply = reply.as_bytes();
        while at < reply.len() {
            let next = prediction.propose(24).map_or(&[][..], |(next, _)| next);
            let same = next.iter().zip(&reply[at..]);
            let same = same.take_while(|(one, other)| one == other).count();
            proposed += same;
            let end = reply.len().min(at + same + 4);
            let committed = reply[at..end].to_vec();
            prediction.commit(&committed);
            at = end;
        }
        proposed
    }

    #[test]
    fn copy_is_proposed_in_full() {
        let last = proposed(FILE, FILE);
        assert!(last * 10 > FILE.len() * 8, "{last} of {}", FILE.len());
    }

    #[test]
    fn renamed_word_is_renamed_in_what_is_left() {
        let reply = FILE.replace("result", "the_sum");
        let share = proposed(FILE, &reply) * 100 / reply.len();
        assert!(share >= 65, "{share} %");
        let mut prediction = Prediction::new("let cat = 1;\nlet next = cat + 1;\nprint(cat);\n");
        prediction.commit(b"let dog = 1;\nlet next");
        let next = prediction.propose(100).map(|(next, _)| next.to_vec());
        assert_eq!(next.unwrap(), b" = dog + 1;\nprint(dog);\n");
    }

    #[test]
    fn reply_is_found_again_after_a_line_was_added_left_out_or_changed() {
        let added = FILE.replace("    for", "    count = 12345\n    for");
        let left_out = FILE.replace("    result = 0\n", "");
        let changed = FILE.replace("return result", "return round(2.5 * result, 1)");
        let fenced = format!("Here is the file:\n```python\n{FILE}```\n");
        for reply in [added, left_out, changed, fenced] {
            let share = proposed(FILE, &reply) * 100 / reply.len();
            assert!(share >= 55, "{share} % of {reply}");
        }
    }

    #[test]
    fn unrelated_reply_gets_few_proposals_and_bounded_memory() {
        let reply: String = (0..20_000)
            .map(|n| char::from(b'A' + (n * n % 23) as u8))
            .collect();
        let mut prediction = Prediction::new(FILE);
        let mut proposals = 0;
        for part in reply.as_bytes().chunks(5) {
            proposals += usize::from(prediction.propose(9).is_some());
            prediction.commit(part);
            let stray = prediction.stray.as_ref().unwrap();
            assert!(stray.bytes.len() <= STRAY_BYTES);
        }
        assert!(proposals < 40, "{proposals}");
    }

    #[test]
    fn prediction_does_not_grow_beyond_its_limit() {
        let predicted = "a ".repeat(MAX_PREDICTION_BYTES / 2);
        let mut prediction = Prediction::new(&predicted);
        let word = "b".repeat(4000);
        prediction.commit(format!("{word}{}", " a".repeat(20)).as_bytes());
        assert!(prediction.text.len() <= MAX_PREDICTION_BYTES);
        // The rest is proposed as it was.
        assert_eq!(
            prediction.propose(4).map(|(next, _)| next),
            Some(&b" a a"[..])
        );
    }

    #[test]
    fn nothing_is_proposed_after_the_end_or_from_nothing() {
        assert_eq!(Prediction::new("").propose(9), None);
        let mut prediction = Prediction::new("ab");
        prediction.commit(b"ab");
        assert_eq!(prediction.propose(9), None);
        prediction.commit(b"cd\n");
        prediction.commit("é".as_bytes());
        assert_eq!(prediction.propose(9), None);
    }
}
