//! From `tokenizer.json` files.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{assert_exact, assert_parts_spell_the_whole};
use crate::{Tokenizer, TokenizerError, alphabet};

fn numbered(texts: impl IntoIterator<Item = String>) -> Map<String, Value> {
    texts
        .into_iter()
        .zip(0..)
        .map(|(text, id)| (text, json!(id)))
        .collect()
}

/// Like Qwen's: a normaliser that changes text, one pattern, merges as arrays.
fn byte_level() -> Value {
    let bytes = (0..=255).map(|byte| alphabet::write(&[byte]));
    let longer = ["th", "the", "Ġthe"].map(String::from);
    json!({
        "added_tokens": [
            {"id": 259, "content": "<|im_end|>", "special": true},
            {"id": 260, "content": "<tool>", "special": false, "rstrip": true},
            {"id": 261, "content": "<|user|>", "special": false},
            {"id": 300, "content": "<eos>", "special": true},
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": r"\p{L}+|\s\p{L}+"},
             "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": true, "use_regex": false},
        ]},
        "post_processor": {"type": "ByteLevel"},
        "decoder": {"type": "ByteLevel"},
        "model": {
            "type": "BPE",
            "vocab": numbered(bytes.chain(longer)),
            "merges": [["t", "h"], ["th", "e"], ["Ġ", "the"]],
        },
    })
}

/// Like Llama 2's: dummy prefix, byte fallback, merges as lines.
fn sentence_piece() -> Value {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = ["▁", "t", "h", "e", "▁t", "he", "▁the", "▁▁"].map(String::from);
    let first = ["<unk>", "<s>", "</s>"].map(String::from);
    json!({
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": true},
            {"id": 1, "content": "<s>", "special": true},
            {"id": 2, "content": "</s>", "special": true},
            {"id": 266, "content": "▁▁", "special": false},
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel"},
            {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]},
        ]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}]},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
            "vocab": numbered(first.into_iter().chain(bytes).chain(pieces)),
            "merges": ["▁ t", "h e", "▁t he"],
        },
    })
}

fn write(files: &[(&str, &Value)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, value) in files {
        fs::write(folder.path().join(name), value.to_string()).unwrap();
    }
    folder
}

fn read(files: &[(&str, &Value)]) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_file(&write(files).path().join("tokenizer.json"))
}

#[test]
fn byte_level_files_keep_every_byte() {
    let tokenizer = read(&[("tokenizer.json", &byte_level())]).unwrap();
    assert_exact(&tokenizer);
    assert_parts_spell_the_whole(&tokenizer);
    assert_eq!(tokenizer.encode("the the"), [257, 258]);
    assert_eq!(tokenizer.family(), "byte-level BPE (tokenizer.json)");
    assert_eq!(tokenizer.vocab_size(), 301);
    assert_eq!(tokenizer.token_bytes(258), b" the");
    assert_eq!(tokenizer.token_bytes(280), b"");
}

#[test]
fn sentence_piece_files_keep_every_byte_and_add_no_prefix() {
    let tokenizer = read(&[("tokenizer.json", &sentence_piece())]).unwrap();
    assert_exact(&tokenizer);
    assert_parts_spell_the_whole(&tokenizer);
    assert_eq!(tokenizer.encode("he the"), [264, 265]);
    assert_eq!(tokenizer.token_bytes(265), b" the");
    assert_eq!(tokenizer.token_bytes(266), b"  ");
    assert_eq!(tokenizer.encode("  "), [266]);
}

#[test]
fn a_metaspace_cuts_words_without_a_prefix() {
    let mut file = sentence_piece();
    file["normalizer"] = Value::Null;
    file["pre_tokenizer"] =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let tokenizer = read(&[("tokenizer.json", &file)]).unwrap();
    assert_exact(&tokenizer);
    assert_eq!(tokenizer.encode("he the"), [264, 265]);
}

#[test]
fn added_tokens_are_text_or_control_by_flag_and_shape() {
    let tokenizer = read(&[("tokenizer.json", &byte_level())]).unwrap();
    assert_eq!(tokenizer.encode("<tool>"), [260]);
    assert_eq!(tokenizer.token_bytes(260), b"<tool>");
    // What follows keeps its spaces.
    assert_eq!(
        tokenizer.decode_bytes(&tokenizer.encode("<tool>  x")),
        b"<tool>  x"
    );
    for (text, id) in [("<|im_end|>", 259), ("<|user|>", 261)] {
        assert!(tokenizer.is_control(id));
        assert!(!tokenizer.encode(text).contains(&id));
        assert_eq!(tokenizer.encode_with_specials(text), [id]);
    }
}

#[test]
fn neighbouring_files_give_roles_and_the_chat_template() {
    let config = json!({
        "bos_token": {"content": "<eos>"}, "eos_token": "<|im_end|>", "add_bos_token": true,
        "chat_template": [{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}],
    });
    let generation = json!({"eos_token_id": [259, 300]});
    let files = [
        ("tokenizer.json", &byte_level()),
        ("tokenizer_config.json", &config),
        ("generation_config.json", &generation),
    ];
    let tokenizer = read(&files).unwrap();
    let specials = tokenizer.specials();
    assert_eq!(
        (specials.bos, specials.eos, specials.end_of_turn),
        (Some(300), Some(259), Some(259))
    );
    assert_eq!(specials.end_tokens, [259, 300]);
    assert!(specials.adds_bos);
    assert_eq!(tokenizer.chat_template(), Some("yes"));
}

#[test]
fn a_template_of_the_post_processor_says_that_bos_comes_first() {
    let specials = read(&[("tokenizer.json", &sentence_piece())])
        .unwrap()
        .specials()
        .clone();
    assert_eq!((specials.bos, specials.adds_bos), (Some(1), true));
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": false});
    let files = [
        ("tokenizer.json", &sentence_piece()),
        ("tokenizer_config.json", &config),
    ];
    let specials = read(&files).unwrap().specials().clone();
    assert_eq!(
        (specials.bos, specials.eos, specials.adds_bos),
        (Some(1), Some(2), false)
    );
    assert_eq!(specials.end_tokens, [2]);
}

#[track_caller]
fn check_refused(file: &Value, expected: &str) {
    let error = read(&[("tokenizer.json", file)]).unwrap_err();
    let source = std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default();
    let message = format!("{error}: {source}");
    assert!(message.contains(expected), "{message}");
}

#[test]
fn files_that_would_lose_text_are_refused() {
    let with_pre = |pre: Value| {
        let mut file = byte_level();
        file["pre_tokenizer"] = pre;
        file
    };
    check_refused(
        &with_pre(json!({"type": "Whitespace"})),
        "pre-tokenizer `Whitespace`",
    );
    let removing = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": false});
    check_refused(&with_pre(removing), "`Split` that removes");
    let mut words = byte_level();
    for part in ["pre_tokenizer", "decoder", "normalizer"] {
        words[part] = Value::Null;
    }
    check_refused(&words, "not made of bytes");
    let mut affix = byte_level();
    affix["model"]["end_of_word_suffix"] = "</w>".into();
    check_refused(&affix, "affix");
}

#[test]
fn files_of_other_kinds_and_damaged_ones_are_refused() {
    let mut unigram = byte_level();
    unigram["model"] = json!({"type": "Unigram", "vocab": [["a", -1.0]]});
    check_refused(&unigram, "`Unigram` are not supported");
    let mut merges = byte_level();
    merges["model"]["merges"] = json!([["t", "x"]]);
    check_refused(&merges, "merge 0 (`t` with `x`)");
    merges["model"]["merges"] = json!([["t", "h", "e"]]);
    check_refused(&merges, "two pieces");
    let mut far = byte_level();
    far["added_tokens"][0]["id"] = json!(4_000_000_000_u32);
    check_refused(&far, "number 4000000000");
    check_refused(&json!("nothing"), "is not valid");
    let missing = Tokenizer::from_file(Path::new("/nonexistent/tokenizer.json")).unwrap_err();
    assert!(matches!(missing, TokenizerError::Read { .. }));
    let files = [
        ("tokenizer.json", &byte_level()),
        ("tokenizer_config.json", &json!(3)),
    ];
    assert!(read(&files).is_ok());
}
