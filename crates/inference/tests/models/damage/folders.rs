//! Folders with `config.json`, `tokenizer.json` and safetensors that are damaged, or lack one of them.

use std::fs;
use std::path::Path;

use inference::engine::{Engine, LoadError};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Files, check};
use crate::engines::options;
use crate::model::{Model, Random};

/// A folder with a model, changed by `edit`.
fn folder(kind: &'static str, edit: impl FnOnce(&Path)) -> TempDir {
    let parent = tempfile::tempdir().unwrap();
    edit(&Model::of(kind).write_folder(parent.path()));
    parent
}

fn check_folder(kind: &'static str, expected: &str, edit: impl FnOnce(&Path)) {
    let parent = folder(kind, edit);
    check(&parent.path().join(format!("{kind}-7")), expected);
}

#[test]
fn folders_that_lack_a_part_are_refused_by_its_name() {
    let files = Files::new();
    check(files.0.path(), "config.json");
    for part in ["config.json", "tokenizer.json"] {
        check_folder("qwen2", part, |folder| {
            fs::remove_file(folder.join(part)).unwrap();
        });
        // A folder in its place cannot be read as a file, whatever one's rights.
        check_folder("qwen2", part, |folder| {
            fs::remove_file(folder.join(part)).unwrap();
            fs::create_dir(folder.join(part)).unwrap();
        });
        for text in ["", "{", "[]", "{}", "\u{0}"] {
            check_folder("qwen2", part, |folder| {
                fs::write(folder.join(part), text).unwrap();
            });
        }
    }
    check_folder("qwen2", "no *.safetensors file", |folder| {
        fs::remove_file(folder.join("model.safetensors")).unwrap();
    });
}

#[test]
fn damaged_safetensors_are_refused() {
    let whole = Model::of("qwen2").safetensors();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let ends = [
        0,
        1,
        7,
        8,
        9,
        header / 2,
        header - 1,
        header,
        header + 1,
        whole.len() - 1,
    ];
    for end in ends {
        check_folder("qwen2", "model.safetensors", |folder| {
            fs::write(folder.join("model.safetensors"), &whole[..end]).unwrap();
        });
    }
    let parent = folder("qwen2", |_| ());
    let path = parent.path().join("qwen2-7");
    let mut random = Random(17);
    for round in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..=random.next() % 3 {
            bytes[(random.next() % header as u64) as usize] = random.next() as u8;
        }
        fs::remove_file(path.join("model.safetensors")).unwrap();
        fs::write(path.join("model.safetensors"), &bytes).unwrap();
        if let Err(error) = Engine::load(&path, options()) {
            assert!(!matches!(error, LoadError::Ended), "round {round}: {error}");
        }
    }
}

#[test]
fn configurations_that_make_no_sense_are_refused_by_field() {
    let cases: &[(&str, Value, &str)] = &[
        ("model_type", json!("mamba"), "\"mamba\" is not supported"),
        ("hidden_size", json!(0), "hidden size"),
        ("hidden_size", json!(u64::MAX), "hidden size"),
        ("hidden_size", json!(-1), "config.json"),
        ("num_hidden_layers", json!(1_000_000), "layers"),
        (
            "num_hidden_layers",
            json!(8),
            "model.layers.7.input_layernorm.weight",
        ),
        ("num_attention_heads", json!(0), "num_attention_heads"),
        ("num_key_value_heads", json!(3), "key heads"),
        ("head_dim", json!(9), "head size"),
        ("vocab_size", json!(1_u64 << 40), "vocabulary size"),
        ("vocab_size", json!(97), "has shape"),
        ("max_position_embeddings", json!(0), "context length"),
        ("rms_norm_eps", json!(0.0), "epsilon"),
        ("rope_theta", json!(0.0), "rotary base"),
        ("rope_local_base_freq", json!(-5.0), "rotary base"),
        (
            "rope_scaling",
            json!({"rope_type": "yarn", "factor": 4.0}),
            "\"yarn\"",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "linear"}),
            "rope_scaling.factor",
        ),
        ("query_pre_attn_scalar", json!(0), "attention scale"),
        ("hidden_activation", json!("relu"), "\"relu\""),
        (
            "final_logit_softcapping",
            json!(30.0),
            "final_logit_softcapping",
        ),
        ("sliding_window", json!(0), "sliding window"),
        ("sliding_window_pattern", json!(0), "sliding window"),
        ("layer_types", json!(["full_attention"]), "layer_types"),
        ("tie_word_embeddings", json!(false), "lm_head.weight"),
    ];
    for (field, value, expected) in cases {
        check_folder("gemma3", expected, |folder| {
            let mut config = Model::of("gemma3").config();
            config[*field] = value.clone();
            fs::write(folder.join("config.json"), config.to_string()).unwrap();
        });
    }
}
