//! Text of a reply on its way to the client: whole code points, each with its origin, and nothing
//! that may become a stop string.

use std::collections::VecDeque;

use proto::verifier::{Origin, Piece};

/// Bytes of a reply that wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct ReplyText {
    waiting: Vec<u8>,
    /// End of each origin's bytes in `waiting`.
    origins: Vec<(usize, Origin)>,
    /// Names of control tokens, each with its place in `waiting`.
    names: VecDeque<(usize, Piece)>,
    /// Bytes of the reply before `waiting`.
    released: usize,
}

impl ReplyText {
    /// Appends bytes of one origin.
    pub(crate) fn push(&mut self, bytes: &[u8], origin: Origin) {
        if !bytes.is_empty() {
            self.waiting.extend_from_slice(bytes);
            self.origins.push((self.waiting.len(), origin));
        }
    }

    /// Appends the name of a control token, which counts as no bytes of the reply.
    pub(crate) fn push_name(&mut self, name: &str, origin: Origin) {
        let text = name.to_owned();
        let piece = Piece { origin, text };
        self.names.push_back((self.waiting.len(), piece));
    }

    /// Text that can be sent: all but the last `withheld` bytes and an unfinished code point.
    pub(crate) fn release(&mut self, withheld: usize) -> Vec<Piece> {
        let end = self.waiting.len().saturating_sub(withheld);
        let rest = self.waiting[..end].utf8_chunks().last();
        let unfinished = rest.map_or(0, |chunk| match std::str::from_utf8(chunk.invalid()) {
            Err(error) if error.error_len().is_none() => chunk.invalid().len(),
            _ => 0,
        });
        self.give(end - unfinished)
    }

    /// Rest of a reply that ends after `length` bytes. A code point that the model never finished
    /// becomes U+FFFD.
    pub(crate) fn finish(&mut self, length: usize) -> Vec<Piece> {
        let end = length.saturating_sub(self.released);
        self.give(end.min(self.waiting.len()))
    }

    /// Number of the reply's bytes given out so far.
    pub(crate) fn released(&self) -> usize {
        self.released
    }

    /// The first `end` bytes as pieces, with the names among them.
    fn give(&mut self, end: usize) -> Vec<Piece> {
        let (mut pieces, mut given) = (Vec::new(), 0);
        while self.names.front().is_some_and(|(place, _)| *place <= end)
            && let Some((place, name)) = self.names.pop_front()
        {
            pieces.extend(self.give_bytes(place - given));
            given = place;
            pieces.push(name);
        }
        pieces.extend(self.give_bytes(end - given));
        for (place, _) in &mut self.names {
            *place -= end;
        }
        pieces
    }

    /// The first `end` bytes as pieces. Each maximal invalid sequence becomes one U+FFFD, so the
    /// cut into parts makes no difference.
    fn give_bytes(&mut self, end: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut origins = self.origins.iter().copied().peekable();
        let mut at = 0;
        let mut add = |len: usize, text: &str| {
            at += len;
            while origins.next_if(|(ends, _)| *ends < at).is_some() {}
            let origin = origins.peek().map_or(Origin::Plain, |(_, origin)| *origin);
            match pieces.last_mut() {
                Some(last) if last.origin == origin => last.text.push_str(text),
                _ => pieces.push(Piece {
                    origin,
                    text: text.to_owned(),
                }),
            }
        };
        for chunk in self.waiting[..end].utf8_chunks() {
            let mut code_point = [0; 4];
            for char in chunk.valid().chars() {
                add(char.len_utf8(), char.encode_utf8(&mut code_point));
            }
            if !chunk.invalid().is_empty() {
                add(chunk.invalid().len(), "\u{fffd}");
            }
        }
        self.forget(end);
        pieces
    }

    fn forget(&mut self, bytes: usize) {
        self.released += bytes;
        self.waiting.drain(..bytes);
        self.origins.retain_mut(|(end, _)| {
            let kept = *end > bytes;
            *end = end.saturating_sub(bytes);
            kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(origin: Origin, text: &str) -> Piece {
        Piece {
            origin,
            text: text.to_owned(),
        }
    }

    #[test]
    fn code_point_belongs_to_the_piece_that_completes_it() {
        let mut text = ReplyText::default();
        text.push(b"caf\xc3", Origin::Accepted);
        assert_eq!(text.release(0), [piece(Origin::Accepted, "caf")]);
        text.push(b"\xa9!", Origin::Correction);
        assert_eq!(text.release(0), [piece(Origin::Correction, "é!")]);
    }

    #[test]
    fn neighbours_of_one_origin_are_one_piece() {
        let mut text = ReplyText::default();
        for (bytes, origin) in [
            (&b"a"[..], Origin::Accepted),
            (b"", Origin::Bonus),
            (b"b", Origin::Accepted),
            (b"c", Origin::Bonus),
        ] {
            text.push(bytes, origin);
        }
        let expected = [piece(Origin::Accepted, "ab"), piece(Origin::Bonus, "c")];
        assert_eq!(text.release(0), expected);
        assert_eq!(text.release(0), []);
    }

    #[test]
    fn withheld_bytes_come_with_the_end_or_are_cut_off() {
        let mut text = ReplyText::default();
        text.push(b"one EN", Origin::Plain);
        assert_eq!(text.release(2), [piece(Origin::Plain, "one ")]);
        text.push(b"D two", Origin::Plain);
        assert_eq!(text.finish(4), []);
        let mut text = ReplyText::default();
        text.push(b"one EN", Origin::Plain);
        assert_eq!(text.finish(6), [piece(Origin::Plain, "one EN")]);
    }

    #[test]
    fn name_of_a_control_token_has_its_place_in_the_text() {
        let mut text = ReplyText::default();
        text.push(b"one ", Origin::Plain);
        text.push_name("[CALL]", Origin::Plain);
        text.push(b"two EN", Origin::Plain);
        let sent: Vec<String> = text.release(2).into_iter().map(|p| p.text).collect();
        assert_eq!(sent.concat(), "one [CALL]two ");
        text.push_name("[END]", Origin::Plain);
        assert_eq!(text.released(), 8);
        assert_eq!(text.finish(8), []);
    }

    #[test]
    fn unfinished_code_point_becomes_one_replacement_character_at_the_end_only() {
        let mut text = ReplyText::default();
        text.push(b"\xf0\x9f\x98", Origin::Plain);
        assert_eq!(text.release(0), []);
        assert_eq!(text.finish(3), [piece(Origin::Plain, "\u{fffd}")]);
    }

    #[test]
    fn parts_do_not_change_the_text_even_where_it_is_not_utf8() {
        let bytes = b"a\xf0\x9f\x98b\xff\xc3\xa9\xe2\x82\x41\xf0\x9f\x98\x80\xe4\xb8";
        let whole = String::from_utf8_lossy(bytes);
        for size in 1..=bytes.len() {
            for withheld in 0..3 {
                let mut text = ReplyText::default();
                let mut sent = String::new();
                for part in bytes.chunks(size) {
                    text.push(part, Origin::Plain);
                    sent.extend(text.release(withheld).into_iter().map(|piece| piece.text));
                }
                sent.extend(text.finish(bytes.len()).into_iter().map(|piece| piece.text));
                assert_eq!(sent, whole, "parts of {size}, {withheld} withheld");
            }
        }
    }
}
