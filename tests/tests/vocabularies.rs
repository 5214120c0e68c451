//! Real tokenizers against the library that their files are written for: the same ids for the same text, and exact bytes
//! for every token.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashSet;
use std::fs;
use std::sync::LazyLock;

use alignment::Vocabulary as _;
use serde_json::{Value, json};
use tests::dice::Dice;
use tests::samples::{ALL, HARD};
use tests::vocabularies::{FAMILIES, LLAMA2, RealVocabulary, path};
use tokenizers::Tokenizer as Library;

/// All of them, loaded once.
static LOADED: LazyLock<Vec<(&str, RealVocabulary)>> = LazyLock::new(|| {
    let names = FAMILIES.into_iter().chain([LLAMA2]);
    names
        .map(|name| (name, RealVocabulary::load(name)))
        .collect()
});

/// Those with a `tokenizer.json`.
fn with_files() -> impl Iterator<Item = (&'static str, &'static RealVocabulary)> {
    let loaded = LOADED.iter().map(|(name, ours)| (*name, ours));
    loaded.filter(|(name, _)| name.starts_with("tokenizer:"))
}

fn json_of(name: &str) -> Value {
    serde_json::from_slice(&fs::read(path(name)).unwrap()).unwrap()
}

/// The library's tokenizer without what changes text: normalisers, but for the one that writes spaces as marks.
fn library(name: &str) -> Library {
    let mut file = json_of(name);
    let marks_spaces = file["model"]["byte_fallback"] == json!(true);
    file["normalizer"] = if marks_spaces {
        json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
    } else {
        Value::Null
    };
    serde_json::from_value(file).unwrap()
}

/// Pieces of the samples as they come in streams, the hard texts alone and in pairs, and random code points.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = HARD.iter().map(ToString::to_string).collect();
    for (left, right) in HARD.iter().zip(HARD.iter().skip(1)) {
        texts.push([*left, *right].concat());
    }
    for sample in ALL {
        texts.push(sample.text.to_owned());
        let letters: Vec<char> = sample.text.chars().collect();
        for (start, length) in (0..letters.len()).step_by(7).zip((1..60).cycle()) {
            let end = (start + length).min(letters.len());
            texts.push(letters[start..end].iter().collect());
        }
    }
    let dice = &mut Dice::new(&["vocabularies"], 0);
    for _ in 0..2_000 {
        let length = dice.below(24);
        texts.push((0..length).map(|_| dice.code_point()).collect());
    }
    texts
}

#[test]
fn ids_are_those_of_the_library_for_specials_as_text_and_as_tokens() {
    let texts = texts();
    for (name, ours) in with_files() {
        let mut library = library(name);
        // The library makes a space of the character that marks one; ours has bytes for it.
        for text in texts.iter().filter(|text| !text.contains('▁')) {
            let expected = library.encode(text.as_str(), false).unwrap();
            let found = ours.tokenizer().encode_with_specials(text);
            assert_eq!(found, expected.get_ids(), "{name}: {text:?}");
        }
        library.set_encode_special_tokens(true);
        let controls = control_spellings(name, ours);
        let mut compared = 0;
        for text in &texts {
            // The library would still make a token of what its file does not call special.
            let spelled = controls.iter().any(|control| text.contains(control));
            if spelled || text.contains('▁') {
                continue;
            }
            let expected = library.encode(text.as_str(), false).unwrap();
            assert_eq!(ours.encode(text), expected.get_ids(), "{name}: {text:?}");
            compared += 1;
        }
        assert!(compared > 2_900, "{name}: {compared}");
    }
}

#[test]
fn every_token_has_the_bytes_that_its_file_spells() {
    for (name, ours) in with_files() {
        let file = json_of(name);
        let fallback = file["model"]["byte_fallback"] == json!(true);
        let mut seen = HashSet::new();
        let added = file["added_tokens"].as_array().unwrap();
        for token in added {
            let id = token["id"].as_u64().unwrap() as u32;
            let content = token["content"].as_str().unwrap();
            assert!(seen.insert(id), "{name}: {id}");
            let expected: &[u8] = if ours.tokenizer().is_control(id) {
                b""
            } else {
                content.as_bytes()
            };
            let special = token["special"] == json!(true);
            assert!(
                !special || ours.tokenizer().is_control(id),
                "{name}: {content}"
            );
            let expected = String::from_utf8_lossy(expected);
            let expected = if fallback {
                expected.replace('▁', " ")
            } else {
                expected.into()
            };
            assert_eq!(
                ours.token_bytes(id),
                expected.as_bytes(),
                "{name}: {content:?}"
            );
        }
        for (piece, id) in file["model"]["vocab"].as_object().unwrap() {
            let id = id.as_u64().unwrap() as u32;
            if !seen.insert(id) {
                continue;
            }
            let expected = if fallback {
                marked(piece)
            } else {
                byte_level(piece)
            };
            assert_eq!(ours.token_bytes(id), expected, "{name}: {piece:?}");
        }
        let highest = seen.iter().max().unwrap();
        assert_eq!(ours.tokenizer().vocab_size(), *highest as usize + 1);
    }
}

#[test]
fn text_comes_back_byte_for_byte_however_it_is_cut() {
    for (name, ours) in LOADED.iter() {
        for text in &texts() {
            if !ours.spells_every_byte_of(text.as_bytes()) {
                continue;
            }
            let middle = (0..=text.len() / 2)
                .rfind(|cut| text.is_char_boundary(*cut))
                .unwrap();
            for cut in [0, middle] {
                let (left, right) = text.split_at(cut);
                let ids = [ours.encode(left), ours.encode(right)].concat();
                assert_eq!(
                    ours.tokenizer().decode_bytes(&ids),
                    text.as_bytes(),
                    "{name}: {text:?}"
                );
                assert!(
                    ids.iter().all(|id| !ours.tokenizer().is_control(*id)),
                    "{name}: {text:?}"
                );
            }
        }
    }
}

/// Tokens that our plain encoding leaves as text though the library does not: those that their file calls text and that are
/// control tokens by their shape.
fn control_spellings(name: &str, ours: &RealVocabulary) -> Vec<String> {
    let added = json_of(name)["added_tokens"].take();
    let added = added.as_array().unwrap().iter();
    let held_back = added.filter(|token| {
        let id = token["id"].as_u64().unwrap() as u32;
        token["special"] == json!(false) && ours.tokenizer().is_control(id)
    });
    held_back
        .map(|token| token["content"].as_str().unwrap().to_owned())
        .collect()
}

/// Bytes of a SentencePiece piece.
fn marked(piece: &str) -> Vec<u8> {
    let byte = piece
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    match byte.map(|digits| u8::from_str_radix(digits, 16)) {
        Some(Ok(byte)) => vec![byte],
        _ => piece.replace('▁', " ").into_bytes(),
    }
}

/// Bytes of a piece in GPT-2's alphabet: printable Latin-1 is itself, the other bytes follow from U+0100 in order.
fn byte_level(piece: &str) -> Vec<u8> {
    let printable = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others: Vec<u8> = (0..=255).filter(|byte| !printable(byte)).collect();
    let byte = |letter: char| match u8::try_from(letter) {
        Ok(byte) => byte,
        Err(_) => others[letter as usize - 256],
    };
    piece.chars().map(byte).collect()
}
