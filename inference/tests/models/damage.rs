//! Bad input: an error that says what is wrong and what to do, never a panic, never memory by the word of a damaged file.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use ::tests::tiny::Tiny;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value};
use inference::engine::{Engine, LoadError};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::engines::options;
use crate::files::{Gguf, quantised};
use crate::model::{Model, Random};

/// The whole message of a load that must fail, causes included.
fn refusal(path: &Path) -> String {
    let error = match Engine::load(path, options()) {
        Ok(_) => panic!("{} was loaded", path.display()),
        Err(error) => error,
    };
    assert!(!matches!(error, LoadError::Ended), "{error}");
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let advice = ["fetch", "check the path", "take a"];
    assert!(
        advice.iter().any(|advice| message.contains(advice)),
        "{message}"
    );
    message
}

fn check(path: &Path, expected: &str) {
    let message = refusal(path);
    assert!(
        message.contains(expected),
        "expected \"{expected}\" in: {message}"
    );
}

/// A folder for one test's files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn files_that_are_no_models_are_refused() {
    let files = Files::new();
    check(&files.write("empty.gguf", b""), "it is empty");
    check(
        &files.write("text.gguf", b"not a model"),
        "the letters GGUF",
    );
    check(&files.write("magic.gguf", b"GGUF"), "truncated");
    check(&files.write("version.gguf", b"GGUF\x09\0\0\0"), "version 9");
    check(
        &files.write("big.gguf", b"GGUF\0\0\0\x03"),
        "version 50331648",
    );
    check(&files.0.path().join("absent.gguf"), "absent.gguf");
    #[cfg(unix)]
    {
        check(Path::new("/dev/zero"), "not a file");
        // Nobody can read a link to itself, whatever their rights.
        let link = files.0.path().join("loop.gguf");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        check(&link, "loop.gguf");
    }
}

#[test]
fn a_truncated_gguf_file_is_refused_wherever_it_ends() {
    let files = Files::new();
    let whole = Tiny::default().gguf();
    let data = Content::read(&mut Cursor::new(&whole))
        .unwrap()
        .tensor_data_offset as usize;
    let in_header = (0..data).step_by(23);
    let in_data = (data..whole.len()).step_by(7919);
    let last = [data - 1, data, data + 1, whole.len() - 1];
    for end in in_header.chain(in_data).chain(last) {
        let path = files.write("truncated.gguf", &whole[..end]);
        let message = refusal(&path);
        let said = message.contains("truncated") || message.contains("GGUF") || end == 0;
        assert!(said, "at {end}: {message}");
    }
}

/// Loads a file that may be damaged in any way, and uses it if it was loaded.
fn survive(path: &Path, what: &str) -> bool {
    let engine = match Engine::load(path, options()) {
        Ok(engine) => engine,
        Err(error) => {
            assert!(!matches!(error, LoadError::Ended), "{what}: {error}");
            return false;
        }
    };
    engine
        .tokenizer()
        .encode_with_specials("the <|im_end|>\n fn");
    let mut session = engine.open().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let passed = runtime.block_on(session.forward(vec![1, 2, 3], 3, |logits| logits.rows()));
    assert_eq!(passed.unwrap().value, 3, "{what}");
    true
}

#[test]
fn a_gguf_header_with_wrong_bytes_is_survived() {
    let files = Files::new();
    let whole = Tiny::default().gguf();
    let data = Content::read(&mut Cursor::new(&whole))
        .unwrap()
        .tensor_data_offset;
    let mut random = Random(99);
    let mut loaded = 0;
    for round in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.next() % 4 {
            let at = (random.next() % data) as usize;
            match random.next() % 4 {
                0 => bytes[at] ^= 1 << (random.next() % 8),
                1 => bytes[at] = random.next() as u8,
                2 => bytes[at..at + 8].fill(0xff),
                _ => bytes[at..at + 8]
                    .copy_from_slice(&(random.next() >> (random.next() % 64)).to_le_bytes()),
            }
        }
        let path = files.write("flipped.gguf", &bytes);
        loaded += u32::from(survive(&path, &format!("round {round}")));
    }
    // Most of a header is the spelling of tokens, which may be anything.
    assert!(
        loaded > 300,
        "only {loaded} were loaded: the test damages too much"
    );
    assert!(peak_bytes() < 2 << 30);
}

#[test]
fn a_gguf_file_of_noise_is_survived() {
    let files = Files::new();
    let mut random = Random(5);
    for round in 0..300 {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(
            [random.next() % 5, random.next() % 5]
                .map(u64::to_le_bytes)
                .concat(),
        );
        bytes.extend((0..200).flat_map(|_| (random.next() >> (random.next() % 64)).to_le_bytes()));
        assert!(!survive(
            &files.write("noise.gguf", &bytes),
            &format!("round {round}")
        ));
    }
}

/// The most memory that this process has had.
fn peak_bytes() -> u64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes.map_or(0, |count| count.trim().parse::<u64>().unwrap() * 1024)
}

fn gguf(kind: &'static str) -> Gguf {
    Model::of(kind).gguf(|_| GgmlDType::F32)
}

#[test]
fn metadata_that_makes_no_sense_is_refused_by_key() {
    let files = Files::new();
    let cases: &[(&str, Value, &str)] = &[
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
    ];
    for (key, value, expected) in cases {
        let mut file = gguf("gemma3");
        file.metadata.insert((*key).to_owned(), value.clone());
        check(&files.write("model.gguf", &file.bytes()), expected);
    }
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
            fs::remove_file(folder.join(part)).unwrap()
        });
        // A folder in its place cannot be read as a file, whatever one's rights.
        check_folder("qwen2", part, |folder| {
            fs::remove_file(folder.join(part)).unwrap();
            fs::create_dir(folder.join(part)).unwrap();
        });
        for text in ["", "{", "[]", "{}", "\u{0}"] {
            check_folder("qwen2", part, |folder| {
                fs::write(folder.join(part), text).unwrap()
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
    let cases: &[(&str, Json, &str)] = &[
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
