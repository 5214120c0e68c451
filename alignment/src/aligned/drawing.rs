//! An alignment as a picture, for people who want to see what a tokenizer did.

use std::fmt;

use super::Alignment;

/// Columns between two groups.
const GAP: usize = 2;

/// A picture of an alignment, see [`Alignment::draw`].
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    alignment: &'a Alignment,
    draft_texts: &'a [&'a [u8]],
    candidate_texts: &'a [&'a [u8]],
}

/// The tokens of one side of a group, next to each other.
struct Row {
    text: String,
    width: usize,
    /// The column in the middle of each token.
    middles: Vec<usize>,
}

impl<'a> Drawing<'a> {
    pub(super) fn new(
        alignment: &'a Alignment,
        draft_texts: &'a [&'a [u8]],
        candidate_texts: &'a [&'a [u8]],
    ) -> Self {
        Self {
            alignment,
            draft_texts,
            candidate_texts,
        }
    }
}

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = ["draft  ", "       ", "candidates"].map(str::to_owned);
        for group in self.alignment.groups() {
            let above = Row::of(self.draft_texts, group.draft.clone());
            let below = Row::of(self.candidate_texts, group.candidates.clone());
            let width = above.width.max(below.width);
            let (above, below) = (above.centred(width), below.centred(width));
            let strokes = links(&above.middles, &below.middles, width);
            for (line, part) in lines.iter_mut().zip([above.text, strokes, below.text]) {
                line.push_str(&" ".repeat(GAP));
                line.push_str(&part);
            }
        }
        for line in lines {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Row {
    fn of(texts: &[&[u8]], tokens: std::ops::Range<usize>) -> Self {
        let mut row = Self {
            text: String::new(),
            width: 0,
            middles: Vec::new(),
        };
        for token in tokens {
            if row.width > 0 {
                row.text.push(' ');
                row.width += 1;
            }
            let shown = texts
                .get(token)
                .map_or_else(|| "?".to_owned(), |text| visible(text));
            let width: usize = shown.chars().map(columns).sum();
            row.middles.push(row.width + width.saturating_sub(1) / 2);
            row.text.push_str(&shown);
            row.width += width;
        }
        row
    }

    /// With as many spaces on either side as make it this wide.
    fn centred(mut self, width: usize) -> Self {
        let missing = width - self.width;
        let (left, right) = (missing / 2, missing - missing / 2);
        self.text = format!("{}{}{}", " ".repeat(left), self.text, " ".repeat(right));
        for middle in &mut self.middles {
            *middle += left;
        }
        self.width = width;
        self
    }
}

/// A line from the first to the last middle, with a stroke up to each token above and down below.
fn links(above: &[usize], below: &[usize], width: usize) -> String {
    let middles = || above.iter().chain(below).copied();
    let (first, last) = (middles().min(), middles().max());
    let (Some(first), Some(last)) = (first, last) else {
        return " ".repeat(width);
    };
    let link = |column: usize| {
        let strokes = (
            above.contains(&column),
            below.contains(&column),
            column > first && column <= last,
            column >= first && column < last,
        );
        match strokes {
            // All tokens stand in one column, or this is outside the line.
            (_, _, false, false) if column == first => '│',
            (_, _, false, false) => ' ',
            (false, false, _, _) => '─',
            (true, false, true, true) => '┴',
            (true, false, true, false) => '┘',
            (true, false, false, true) => '└',
            (false, true, true, true) => '┬',
            (false, true, true, false) => '┐',
            (false, true, false, true) => '┌',
            (true, true, true, true) => '┼',
            (true, true, true, false) => '┤',
            (true, true, false, true) => '├',
        }
    };
    (0..width).map(link).collect()
}

/// A token's text with everything in it visible.
fn visible(text: &[u8]) -> String {
    if text.is_empty() {
        return "∅".to_owned();
    }
    let mut shown = String::new();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' ' => shown.push('␣'),
                '\n' => shown.push('⏎'),
                '\t' => shown.push('⇥'),
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}

/// The columns of a terminal that a character takes: two for the wide scripts and emoji. Ours, and only
/// nearly right, because a picture out of line by a column is not worth a dependency.
fn columns(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
        | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x2_0000..=0x3_fffd);
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use crate::spans;

    fn check(draft: &[&[u8]], candidates: &[&[u8]], expected: &str) {
        let ends = |texts: &[&[u8]]| {
            let running = texts.iter().scan(0, |end, text| {
                *end += text.len() as u32;
                Some(*end)
            });
            running.collect::<Vec<u32>>()
        };
        let alignment = spans::align(&ends(draft), &ends(candidates)).unwrap();
        let drawn = alignment.draw(draft, candidates).to_string();
        assert_eq!(format!("\n{drawn}"), expected, "\n{drawn}");
    }

    #[test]
    fn groups_stand_below_each_other_and_are_linked() {
        check(
            &[b"fn", b" reverse", b"(", b"te", b"xt", b" in", b"to"],
            &[b"fn", b" re", b"verse", b"(", b"text", b" i", b"nto"],
            "
draft    fn  ␣reverse   (  te xt  ␣in to
         │    ┌─┴──┐    │  └┬─┘   ┌┴──┤
candidates  fn  ␣re verse  (  text   ␣i nto
",
        );
    }

    #[test]
    fn every_text_is_visible() {
        check(
            &[b"\xe6\x97", b"\xa5\n", b"\t\x07", b""],
            &["日".as_bytes(), b"\n", b"\t\x07", b""],
            r"
draft    \xe6\x97 \xa5⏎  ⇥\u{7}  ∅
            └─┬──┬──┘      │     │
candidates       日 ⏎       ⇥\u{7}  ∅
",
        );
    }

    #[test]
    fn text_that_is_not_given_shows_as_a_question() {
        let alignment = spans::align(&[1, 2], &[1, 2]).unwrap();
        let drawn = alignment.draw(&[b"a"], &[]).to_string();
        assert_eq!(drawn, "draft    a  ?\n         │  │\ncandidates  ?  ?\n");
    }

    #[test]
    fn nothing_aligned_draws_no_token() {
        check(&[], &[], "\ndraft\n\ncandidates\n");
    }
}
