//! GPT-2's byte alphabet, in which byte-level BPE vocabularies are written: one printable character for
//! each of the 256 bytes. Printable bytes of Latin-1 stand for themselves, the other 68 take the code
//! points from U+0100 on, in order.

use std::sync::LazyLock;

static CHARACTERS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100_u32;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        if stands_for_itself(byte) {
            return char::from(byte);
        }
        let character = char::from_u32(next).unwrap_or(char::REPLACEMENT_CHARACTER);
        next += 1;
        character
    })
});

fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// Writes bytes in the alphabet.
pub(super) fn write(bytes: &[u8]) -> String {
    let characters = &*CHARACTERS;
    bytes
        .iter()
        .map(|&byte| characters[usize::from(byte)])
        .collect()
}

/// Reads a piece written in the alphabet; `None` if it is not.
pub(super) fn read(piece: &str) -> Option<Vec<u8>> {
    piece.chars().map(byte_of).collect()
}

fn byte_of(character: char) -> Option<u8> {
    if let Ok(byte) = u8::try_from(u32::from(character)) {
        return stands_for_itself(byte).then_some(byte);
    }
    let place = CHARACTERS.iter().position(|&other| other == character)?;
    Some(place as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_written_and_read_back() {
        for byte in 0..=255 {
            assert_eq!(read(&write(&[byte])), Some(vec![byte]));
        }
    }

    #[test]
    fn spaces_and_newlines_are_spelled_as_in_gpt2() {
        assert_eq!(write(b" \n\tx"), "ĠĊĉx");
        assert_eq!(read("Ġthe"), Some(b" the".to_vec()));
    }

    #[test]
    fn text_outside_the_alphabet_is_not_read() {
        assert_eq!(read("a b"), None);
        assert_eq!(read("\u{2581}a"), None);
        assert_eq!(read("\u{ad}"), None);
    }
}
