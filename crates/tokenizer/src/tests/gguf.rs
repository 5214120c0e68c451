//! From the metadata of GGUF files.

use super::{assert_exact, assert_parts_spell_the_whole};
use crate::gguf::Value;
use crate::{Tokenizer, TokenizerError, alphabet, gguf};

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Metadata under construction.
#[derive(Default)]
struct Metadata {
    tokens: Vec<(String, f32, i32)>,
    merges: Vec<String>,
    more: gguf::Metadata,
}

impl Metadata {
    fn token(mut self, text: &str, score: f32, kind: i32) -> Self {
        self.tokens.push((text.to_owned(), score, kind));
        self
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.more.insert(format!("tokenizer.ggml.{key}"), value);
        self
    }

    fn text(self, key: &str, text: &str) -> Self {
        self.set(key, Value::Text(text.to_owned()))
    }

    fn id(&self, text: &str) -> u32 {
        self.tokens
            .iter()
            .position(|token| token.0 == text)
            .unwrap() as u32
    }

    fn entries(&self) -> gguf::Metadata {
        let array = |values: Vec<Value>| Value::Array(values);
        let tokens = self.tokens.iter();
        let mut metadata = self.more.clone();
        let mut put = |key: &str, value| {
            metadata
                .entry(format!("tokenizer.ggml.{key}"))
                .or_insert(value);
        };
        put(
            "tokens",
            array(
                tokens
                    .clone()
                    .map(|token| Value::Text(token.0.clone()))
                    .collect(),
            ),
        );
        put(
            "scores",
            array(
                tokens
                    .clone()
                    .map(|token| Value::Float(token.1.into()))
                    .collect(),
            ),
        );
        put(
            "token_type",
            array(tokens.map(|token| Value::Signed(token.2.into())).collect()),
        );
        put(
            "merges",
            array(self.merges.iter().cloned().map(Value::Text).collect()),
        );
        metadata
    }

    fn build(&self) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::from_gguf(&self.entries())
    }
}

/// 256 bytes, a few merges, two control tokens, one defined token and a hole.
fn byte_level(pre: &str) -> Metadata {
    let mut metadata = Metadata::default().text("model", "gpt2").text("pre", pre);
    for byte in 0..=255 {
        metadata = metadata.token(&alphabet::write(&[byte]), 0.0, NORMAL);
    }
    for (left, right) in [
        ("t", "h"),
        ("th", "e"),
        ("Ġ", "the"),
        ("1", "2"),
        ("12", "3"),
    ] {
        metadata = metadata.token(&format!("{left}{right}"), 0.0, NORMAL);
        metadata.merges.push(format!("{left} {right}"));
    }
    metadata = metadata
        .token("<|endoftext|>", 0.0, CONTROL)
        .token("<|im_end|>", 0.0, CONTROL);
    metadata = metadata
        .token("<call>", 0.0, DEFINED)
        .token("[PAD]", 0.0, UNUSED);
    let eos = metadata.id("<|im_end|>");
    let bos = metadata.id("<|endoftext|>");
    metadata
        .set("eos_token_id", Value::Unsigned(eos.into()))
        .set("bos_token_id", Value::Unsigned(bos.into()))
}

/// Byte pieces, letters, a few longer pieces with scores, and defined runs of spaces and newlines.
fn sentence_piece() -> Metadata {
    let mut metadata = Metadata::default()
        .text("model", "llama")
        .text("pre", "default");
    for name in ["<pad>", "<eos>", "<bos>", "<unk>", "<end_of_turn>"] {
        metadata = metadata.token(name, -1000.0, CONTROL);
    }
    metadata.tokens[3].2 = 2;
    for byte in 0..=255 {
        metadata = metadata.token(&format!("<0x{byte:02X}>"), -1000.0, BYTE);
    }
    for defined in ["\n\n", "  ", "▁▁▁", "<tag>"] {
        metadata = metadata.token(defined, -1000.0, DEFINED);
    }
    let pieces = [
        "▁t", "he", "▁the", "an", "▁a", "nd", "▁an", "and", "▁and", "한", "é",
    ];
    for (place, piece) in pieces.iter().enumerate() {
        metadata = metadata.token(piece, -(place as f32), NORMAL);
    }
    for letter in "▁abcdefghijklmnopqrstuvwxyz<>/".chars() {
        metadata = metadata.token(&letter.to_string(), -100.0, NORMAL);
    }
    metadata
        .set("bos_token_id", Value::Unsigned(2))
        .set("eos_token_id", Value::Unsigned(1))
        .set("unknown_token_id", Value::Unsigned(3))
}

#[test]
fn byte_level_ids_spell_exactly_the_text_they_were_given() {
    for pre in [
        "smollm",
        "qwen2",
        "llama-bpe",
        "gpt-2",
        "default",
        "deepseek-v3",
        "tekken",
    ] {
        let tokenizer = byte_level(pre).build().unwrap();
        assert_exact(&tokenizer);
        assert_parts_spell_the_whole(&tokenizer);
        assert_eq!(tokenizer.family(), format!("byte-level BPE ({pre})"));
    }
}

#[test]
fn sentence_piece_ids_spell_exactly_the_text_they_were_given() {
    let tokenizer = sentence_piece().build().unwrap();
    assert_exact(&tokenizer);
    assert_parts_spell_the_whole(&tokenizer);
}

#[test]
fn merges_go_by_rank_and_digits_by_the_pre_tokenizer() {
    let metadata = byte_level("smollm");
    let id = |text| metadata.id(text);
    let apart = metadata.build().unwrap();
    assert_eq!(apart.encode("the the"), [id("the"), id("Ġthe")]);
    assert_eq!(apart.encode("123"), [id("1"), id("2"), id("3")]);
    let together = byte_level("gpt-2").build().unwrap();
    assert_eq!(together.encode("123"), [id("123")]);
}

#[test]
fn merges_are_rebuilt_from_scores() {
    let metadata = sentence_piece();
    let tokenizer = metadata.build().unwrap();
    let ids = |pieces: &[&str]| {
        pieces
            .iter()
            .map(|piece| metadata.id(piece))
            .collect::<Vec<_>>()
    };
    assert_eq!(tokenizer.encode(" the and"), ids(&["▁the", "▁and"]));
    // `an` outranks `nd`, and `and` is made of either.
    assert_eq!(tokenizer.encode("and"), ids(&["and"]));
    assert_eq!(tokenizer.encode(" then"), ids(&["▁the", "n"]));
}

#[test]
fn sentence_piece_puts_no_space_before_text() {
    let metadata = sentence_piece();
    let tokenizer = metadata.build().unwrap();
    assert_eq!(tokenizer.encode("he"), [metadata.id("he")]);
    assert_eq!(
        tokenizer.encode("\n\nhe"),
        [metadata.id("\n\n"), metadata.id("he")]
    );
}

#[test]
fn bytes_of_pieces_are_exact() {
    let metadata = sentence_piece();
    let tokenizer = metadata.build().unwrap();
    let bytes = |piece| tokenizer.token_bytes(metadata.id(piece));
    assert_eq!(bytes("▁the"), b" the");
    assert_eq!(bytes("<0xEA>"), [0xEA]);
    assert_eq!(bytes("▁▁▁"), b"   ");
    assert_eq!(bytes("<tag>"), b"<tag>");
    assert_eq!(bytes("<bos>"), b"");
    assert_eq!(tokenizer.token_bytes(1_000_000), b"");
    assert_eq!(
        tokenizer.decode_bytes(&tokenizer.encode("ね")),
        "ね".as_bytes()
    );
    assert_eq!(tokenizer.encode("ね").len(), 3);

    let metadata = byte_level("qwen2");
    let tokenizer = metadata.build().unwrap();
    assert_eq!(tokenizer.token_bytes(metadata.id("Ġthe")), b" the");
    assert_eq!(tokenizer.token_bytes(metadata.id("<call>")), b"<call>");
    assert_eq!(tokenizer.token_bytes(metadata.id("[PAD]")), b"");
    assert_eq!(tokenizer.vocab_size(), metadata.tokens.len());
}

#[test]
fn a_byte_without_a_token_is_left_out() {
    let mut metadata = byte_level("qwen2");
    metadata.tokens[0x1D] = ("unreachable".into(), 0.0, UNUSED);
    let end = metadata.id("<|endoftext|>");
    let metadata = metadata.set("unknown_token_id", Value::Unsigned(end.into()));
    let tokenizer = metadata.build().unwrap();
    let ids = tokenizer.encode("a\u{1d}b");
    assert_eq!(tokenizer.decode_bytes(&ids), b"ab");
    assert!(!ids.contains(&end));
}

#[test]
fn defined_tokens_are_found_in_any_text_and_the_longest_wins() {
    let metadata = sentence_piece();
    let tokenizer = metadata.build().unwrap();
    let id = |piece| metadata.id(piece);
    assert_eq!(tokenizer.encode("a   b"), [id("a"), id("▁▁▁"), id("b")]);
    assert_eq!(tokenizer.encode("<tag>a"), [id("<tag>"), id("a")]);
}

#[test]
fn text_that_spells_a_control_token_is_text_unless_it_is_asked_for() {
    let metadata = byte_level("qwen2");
    let tokenizer = metadata.build().unwrap();
    let end = metadata.id("<|im_end|>");
    let plain = tokenizer.encode("the<|im_end|>");
    assert!(!plain.contains(&end));
    assert_eq!(tokenizer.decode_bytes(&plain), b"the<|im_end|>");
    assert_eq!(
        tokenizer.encode_with_specials("the<|im_end|>"),
        [metadata.id("the"), end]
    );
    // A hole is never found.
    assert_eq!(
        tokenizer.encode("[PAD]"),
        tokenizer.encode_with_specials("[PAD]")
    );
    assert_eq!(tokenizer.control_name(end), Some("<|im_end|>"));
    assert_eq!(tokenizer.control_name(0), None);
}

#[test]
fn specials_are_known_by_role() {
    let metadata = byte_level("qwen2");
    let specials = metadata.build().unwrap().specials().clone();
    let (text_end, turn_end) = (metadata.id("<|endoftext|>"), metadata.id("<|im_end|>"));
    assert_eq!(specials.bos, Some(text_end));
    assert_eq!(
        (specials.eos, specials.end_of_turn),
        (Some(turn_end), Some(turn_end))
    );
    assert_eq!(specials.end_tokens, [text_end, turn_end]);
    assert!(!specials.adds_bos);

    let specials = sentence_piece().build().unwrap().specials().clone();
    assert_eq!(
        (specials.bos, specials.eos, specials.end_of_turn),
        (Some(2), Some(1), Some(4))
    );
    assert_eq!(specials.end_tokens, [1, 4]);
    assert!(specials.adds_bos);
    let without = sentence_piece().set("add_bos_token", Value::Bool(false));
    assert!(!without.build().unwrap().specials().adds_bos);
}

#[test]
fn ranks_order_tokens_with_equal_bytes_and_begin_with_the_end_of_a_turn() {
    let metadata = sentence_piece();
    let tokenizer = metadata.build().unwrap();
    assert_eq!(tokenizer.rank(metadata.id("<end_of_turn>")), 0);
    assert_eq!(tokenizer.rank(metadata.id("<eos>")), 1);
    assert_eq!(tokenizer.rank(metadata.id("<pad>")), 2);
    assert_eq!(tokenizer.rank(metadata.id("<bos>")), 3);
    // The letter and its byte piece.
    assert_eq!(tokenizer.rank(metadata.id("<0x61>")), 0);
    assert_eq!(tokenizer.rank(metadata.id("a")), 1);
}

#[test]
fn fingerprints_follow_whatever_changes_ids() {
    let print = |metadata: &Metadata| metadata.build().unwrap().fingerprint();
    let original = print(&byte_level("qwen2"));
    assert_eq!(original, print(&byte_level("qwen2")));
    assert_ne!(original, print(&byte_level("gpt-2")));
    let mut other = byte_level("qwen2");
    other.merges.swap(0, 3);
    assert_ne!(original, print(&other));
    let other = byte_level("qwen2").set("eos_token_id", Value::Unsigned(261));
    assert_ne!(original, print(&other));
    assert_ne!(
        original,
        print(&byte_level("qwen2").token("x", 0.0, UNUSED))
    );
}

#[test]
fn long_runs_take_time_in_proportion() {
    // Quadratic work on these would take minutes.
    for tokenizer in [
        byte_level("qwen2").build().unwrap(),
        sentence_piece().build().unwrap(),
    ] {
        for run in ["t", " ", "the", "\n ", "한", "'", "<|", "12 "] {
            let text = run.repeat(200_000 / run.len());
            assert_eq!(
                tokenizer.decode_bytes(&tokenizer.encode(&text)),
                text.as_bytes()
            );
        }
    }
}

#[test]
fn the_chat_template_comes_along() {
    let mut metadata = byte_level("qwen2");
    let template = Value::Text("{{ messages }}".into());
    metadata
        .more
        .insert("tokenizer.chat_template".into(), template);
    assert_eq!(
        metadata.build().unwrap().chat_template(),
        Some("{{ messages }}")
    );
}

#[track_caller]
fn check_refused(metadata: &Metadata, expected: &str) {
    let message = metadata.build().unwrap_err().to_string();
    assert!(message.contains(expected), "{message}");
}

#[test]
fn damaged_metadata_is_refused_by_name() {
    let good = || byte_level("qwen2");
    check_refused(&Metadata::default(), "no `tokenizer.ggml.model`");
    check_refused(&good().text("model", "rwkv"), "`rwkv` are not supported");
    check_refused(
        &good().text("pre", "nonesuch"),
        "`nonesuch` is not known; known are gpt-2",
    );
    check_refused(&good().text("tokens", "x"), "`tokenizer.ggml.tokens`");
    check_refused(&good().set("tokens", Value::Array(vec![])), "0 tokens");
    check_refused(&good().set("token_type", Value::Array(vec![])), "a type");
    check_refused(
        &good().set("eos_token_id", Value::Unsigned(9999)),
        "special token 9999",
    );
    check_refused(
        &good().set("eos_token_id", Value::Signed(-1)),
        "the id of a token",
    );
    check_refused(&good().text("add_bos_token", "yes"), "true or false");
    check_refused(
        &sentence_piece().set("scores", Value::Array(vec![])),
        "a score",
    );
    let mut merges = good();
    merges.merges.push("Ġ nope".into());
    check_refused(&merges, "merge 5 (`Ġ` with `nope`)");
    merges.merges = vec!["whole".into()];
    check_refused(&merges, "pairs of pieces");
}
