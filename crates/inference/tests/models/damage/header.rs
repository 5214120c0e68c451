//! GGUF files that are whole but say something that cannot be.

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;

use super::{Files, check};
use crate::files::{Gguf, quantised};
use crate::model::Model;

fn gguf(kind: &'static str) -> Gguf {
    Model::of(kind).gguf(|_| GgmlDType::F32)
}

/// Each value alone makes the file useless.
fn check_all(cases: &[(&str, Value, &str)]) {
    let files = Files::new();
    for (key, value, expected) in cases {
        let mut file = gguf("gemma3");
        file.metadata.insert((*key).to_owned(), value.clone());
        check(&files.write("model.gguf", &file.bytes()), expected);
    }
}

#[test]
fn what_the_file_says_of_itself_is_checked() {
    check_all(&[
        (
            "general.architecture",
            Value::String("mamba".into()),
            "\"mamba\" is not supported",
        ),
        (
            "general.architecture",
            Value::U32(1),
            "general.architecture",
        ),
        ("general.alignment", Value::U32(0), "alignment is 0"),
        ("general.alignment", Value::U32(12), "alignment is 12"),
        ("general.alignment", Value::String("32".into()), "alignment"),
    ]);
}

#[test]
fn sizes_that_make_no_sense_are_refused_by_key() {
    check_all(&[
        (
            "gemma3.attention.head_count",
            Value::U32(0),
            "gemma3.attention.head_count",
        ),
        ("gemma3.attention.head_count", Value::U32(u32::MAX), "heads"),
        (
            "gemma3.attention.head_count",
            Value::String("4".into()),
            "gemma3.attention.head_count",
        ),
        ("gemma3.attention.head_count", Value::U32(8), "has shape"),
        ("gemma3.attention.head_count_kv", Value::U32(3), "key heads"),
        ("gemma3.attention.head_count_kv", Value::U32(0), "key heads"),
        ("gemma3.attention.key_length", Value::U32(7), "head size"),
        (
            "gemma3.attention.key_length",
            Value::U32(u32::MAX),
            "head size",
        ),
        (
            "gemma3.embedding_length",
            Value::U64(u64::MAX),
            "hidden size",
        ),
        ("gemma3.embedding_length", Value::U32(64), "has shape"),
        (
            "gemma3.feed_forward_length",
            Value::U32(0),
            "feed-forward size",
        ),
        ("gemma3.feed_forward_length", Value::U32(96), "has shape"),
        ("gemma3.block_count", Value::U32(0), "layers"),
        ("gemma3.block_count", Value::U32(u32::MAX), "layers"),
        ("gemma3.block_count", Value::I32(-1), "gemma3.block_count"),
        (
            "gemma3.block_count",
            Value::U32(8),
            "\"blk.7.attn_norm.weight\" is not in the checkpoint",
        ),
    ]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_by_key() {
    check_all(&[
        ("gemma3.context_length", Value::U32(0), "context length"),
        (
            "gemma3.attention.sliding_window",
            Value::U32(0),
            "sliding window",
        ),
        (
            "gemma3.attention.layer_norm_rms_epsilon",
            Value::F32(f32::NAN),
            "epsilon",
        ),
        (
            "gemma3.attention.layer_norm_rms_epsilon",
            Value::F32(-1.0),
            "epsilon",
        ),
        (
            "gemma3.attention.layer_norm_rms_epsilon",
            Value::F32(2.0),
            "epsilon",
        ),
        (
            "gemma3.rope.freq_base",
            Value::F32(f32::INFINITY),
            "gemma3.rope.freq_base",
        ),
        ("gemma3.rope.freq_base", Value::F32(0.5), "rotary base"),
        (
            "gemma3.rope.dimension_count",
            Value::U32(4),
            "gemma3.rope.dimension_count",
        ),
        (
            "gemma3.rope.scaling.type",
            Value::String("yarn".into()),
            "\"yarn\"",
        ),
        (
            "gemma3.rope.scaling.type",
            Value::String("linear".into()),
            "gemma3.rope.scaling.factor",
        ),
    ]);
}

#[test]
fn vocabularies_that_make_no_sense_are_refused_by_key() {
    check_all(&[
        (
            "tokenizer.ggml.model",
            Value::String("unigram".into()),
            "`unigram`",
        ),
        (
            "tokenizer.ggml.tokens",
            Value::Array(Vec::new()),
            "0 tokens",
        ),
        (
            "tokenizer.ggml.tokens",
            Value::U32(1),
            "tokenizer.ggml.tokens",
        ),
        ("tokenizer.ggml.eos_token_id", Value::U32(5000), "5000"),
        (
            "tokenizer.ggml.merges",
            Value::Array(vec![Value::String("x".into())]),
            "merges",
        ),
        (
            "tokenizer.chat_template",
            Value::String("{% for %}".into()),
            "chat template",
        ),
    ]);
}
#[test]
fn missing_metadata_is_refused_by_key() {
    let files = Files::new();
    for key in [
        "general.architecture",
        "llama.embedding_length",
        "llama.block_count",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.context_length",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",
    ] {
        let mut file = gguf("llama");
        file.metadata.remove(key).unwrap();
        check(&files.write("model.gguf", &file.bytes()), key);
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let files = Files::new();
    let names: Vec<String> = gguf("qwen3").tensors.into_keys().collect();
    for name in &names {
        let mut file = gguf("qwen3");
        file.tensors.remove(name).unwrap();
        let path = files.write("model.gguf", &file.bytes());
        check(&path, &format!("\"{name}\" is not in the checkpoint"));
        for shape in [&[3, 5][..], &[15], &[1, 3, 5]] {
            let mut file = gguf("qwen3");
            let values = vec![0.0; 15];
            file.tensors
                .insert(name.clone(), quantised(values, shape, GgmlDType::F32));
            check(&files.write("model.gguf", &file.bytes()), "has shape");
        }
    }
    let extra = [
        ("blk.0.attn_output.bias", "is a bias"),
        ("blk.1.ffn_up.bias", "is a bias"),
        ("rope_freqs.weight", "has shape"),
    ];
    for (name, expected) in extra {
        let mut file = gguf("qwen3");
        let tensor = quantised(vec![0.0; 32], &[32], GgmlDType::F32);
        file.tensors.insert(name.to_owned(), tensor);
        check(&files.write("model.gguf", &file.bytes()), expected);
    }
    let mut file = gguf("qwen3");
    let norm = quantised(vec![1.0; 32], &[32], GgmlDType::Q8_0);
    file.tensors.insert("output_norm.weight".to_owned(), norm);
    check(
        &files.write("model.gguf", &file.bytes()),
        "a float was expected",
    );
}

#[test]
fn unknown_formats_are_refused_with_advice() {
    let files = Files::new();
    let mut bytes = gguf("llama").bytes();
    let name = b"output_norm.weight";
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    // After the name: the number of dimensions, one dimension, the format.
    let format = at + name.len() + 4 + 8;
    bytes[format..format + 4].copy_from_slice(&20u32.to_le_bytes());
    check(&files.write("model.gguf", &bytes), "format number 20");
}

#[test]
fn weights_that_are_not_numbers_are_refused() {
    let files = Files::new();
    let mut file = gguf("llama");
    let norm = quantised(vec![f32::NAN; 32], &[32], GgmlDType::F32);
    file.tensors.insert("output_norm.weight".to_owned(), norm);
    check(&files.write("model.gguf", &file.bytes()), "not finite");
}
