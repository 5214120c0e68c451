//! Text cut into words and signs, which count as draft tokens where there is no vocabulary.

/// Most bytes of a piece; vocabularies have few tokens that are longer.
pub(super) const LONGEST: usize = 12;

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Letter,
    Digit,
    Space,
    Sign,
}

/// Byte end in `text` of each piece. A piece is a run of letters, digits, signs or white space, with the blank before it, and
/// is cut where it gets long.
pub(super) fn ends(text: &[u8]) -> Vec<u32> {
    let mut ends = Vec::new();
    let mut start = 0;
    while start < text.len() {
        start += first(&text[start..]);
        ends.push(start as u32);
    }
    ends
}

/// Length of the first piece.
fn first(text: &[u8]) -> usize {
    let next = text.get(1).map(|next| kind(*next));
    let leads = match text[0] {
        b' ' => next.is_some_and(|next| next != Kind::Space),
        b'_' | b'.' => next == Some(Kind::Letter),
        _ => false,
    };
    let begin = usize::from(leads);
    let run = kind(text[begin]);
    let rest = text[begin..].iter();
    let length = begin + rest.take_while(|byte| kind(**byte) == run).count();
    if length <= LONGEST {
        return length;
    }
    // Not within a code point, unless it is no text anyway.
    let begins = |at: &usize| text[*at] & 0xC0 != 0x80;
    (LONGEST - 3..=LONGEST)
        .rev()
        .find(begins)
        .unwrap_or(LONGEST)
}

fn kind(byte: u8) -> Kind {
    match byte {
        b if b.is_ascii_alphabetic() || !b.is_ascii() => Kind::Letter,
        b if b.is_ascii_digit() => Kind::Digit,
        b if b.is_ascii_whitespace() => Kind::Space,
        _ => Kind::Sign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        let ends = ends(text.as_bytes());
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts
            .zip(&ends)
            .map(|(start, end)| &text[start as usize..*end as usize])
            .collect()
    }

    #[test]
    fn pieces_are_words_numbers_signs_and_blanks() {
        let text = "def mean_of(values):\n    return x.sum() / 120";
        let expected = [
            "def", " mean", "_of", "(", "values", "):", "\n    ", "return", " x", ".sum", "()",
            " /", " 120",
        ];
        assert_eq!(pieces(text), expected);
    }

    #[test]
    fn long_pieces_are_cut_between_code_points() {
        for text in [
            "春は花が咲きます夏は海",
            "averyveryverylongword",
            &" ".repeat(40),
            "a😀😀😀😀😀",
        ] {
            let pieces = pieces(text);
            assert!(
                pieces.iter().all(|piece| piece.len() <= LONGEST),
                "{pieces:?}"
            );
            assert_eq!(pieces.concat(), text);
        }
        assert_eq!(ends(&[0x80; 30]), [12, 24, 30]);
        assert!(ends(b"").is_empty());
    }
}
