//! Small tokenizers of every kind, written out here.

mod gguf;
mod json;

use crate::Tokenizer;

/// Text that tokenizers have got wrong: code points split over tokens, joiners, accents that NFC would
/// compose, compatibility characters, runs of white space, and what looks like a special token.
const HARD: &[&str] = &[
    "",
    " ",
    "  leading and trailing  ",
    "한국어 日本語 中文 русский العربية",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u{301} é ﬁ ½ Å \u{1100}\u{1161}",
    "a\r\nb\r\n\r\n\tc \u{a0}\u{3000}d",
    "1234567890 3.14159 0xFFFF",
    "<|end|> <|im_end|> </s> <0x41> \u{2581}under\u{2581} [PAD]",
    "\u{0}\u{7f}\u{feff}\u{10ffff}",
];

#[test]
fn tokenizer_of_bytes_has_a_token_for_each_byte() {
    let tokenizer = Tokenizer::of_bytes().unwrap();
    let text = " a b  ▁ é\n";
    let ids = tokenizer.encode(text);
    let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
    assert_eq!(ids, bytes);
    for id in ids {
        assert_eq!(tokenizer.token_bytes(id), [id as u8]);
        assert_eq!(tokenizer.single_byte(id as u8), Some(id));
    }
}

fn assert_exact(tokenizer: &Tokenizer) {
    for text in HARD {
        let ids = tokenizer.encode(text);
        assert_eq!(
            tokenizer.decode_bytes(&ids),
            text.as_bytes(),
            "{text:?} as {ids:?}"
        );
        assert!(
            ids.iter().all(|&id| !tokenizer.is_control(id)),
            "{text:?} as {ids:?}"
        );
    }
}

fn assert_parts_spell_the_whole(tokenizer: &Tokenizer) {
    for text in HARD {
        for (cut, _) in text.char_indices() {
            let (left, right) = text.split_at(cut);
            let mut ids = tokenizer.encode(left);
            ids.extend(tokenizer.encode(right));
            assert_eq!(tokenizer.decode_bytes(&ids), text.as_bytes());
        }
    }
}
