//! Tiny models as files: folders with safetensors, and GGUF.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, json};

use crate::model::{Model, Scaling, VOCAB, llama3};

/// Of every norm.
pub(crate) const EPSILON: f64 = 1e-5;

/// How ids are spelled, in order.
fn tokens() -> Vec<String> {
    let characters = ('!'..='~').map(String::from);
    let controls = ["<|endoftext|>", "<|im_end|>"].map(String::from);
    characters.chain(controls).collect()
}

impl Model {
    /// Writes `config.json`, `tokenizer.json` and `model.safetensors`.
    pub(crate) fn write_folder(&self, folder: &Path) -> PathBuf {
        let folder = folder.join(format!("{}-{}", self.kind, self.seed));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, value: &serde_json::Value| {
            fs::write(folder.join(name), value.to_string()).unwrap();
        };
        write("config.json", &self.config());
        write("tokenizer.json", &tokenizer());
        fs::write(folder.join("model.safetensors"), self.safetensors()).unwrap();
        folder
    }

    pub(crate) fn config(&self) -> serde_json::Value {
        let mut config = json!({
            "model_type": if self.is_gemma() { "gemma3_text" } else { self.kind },
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": VOCAB,
            "max_position_embeddings": self.context,
            "rms_norm_eps": EPSILON,
            "rope_theta": self.base,
            "tie_word_embeddings": self.tied,
        });
        match self.scaling {
            Scaling::None => {}
            Scaling::Linear(factor) => {
                config["rope_scaling"] = json!({"rope_type": "linear", "factor": factor});
            }
            Scaling::Llama3 => {
                config["rope_scaling"] = json!({
                    "rope_type": "llama3",
                    "factor": llama3::FACTOR,
                    "low_freq_factor": llama3::LOW,
                    "high_freq_factor": llama3::HIGH,
                    "original_max_position_embeddings": llama3::ORIGINAL,
                });
            }
        }
        if let Some(window) = self.window {
            config["sliding_window"] = json!(window);
        }
        if self.is_gemma() {
            config["sliding_window_pattern"] = json!(self.period);
            config["rope_local_base_freq"] = json!(self.local_base);
            config["query_pre_attn_scalar"] = json!(self.head_dim);
            config["hidden_activation"] = json!("gelu_pytorch_tanh");
        } else {
            config["hidden_act"] = json!("silu");
        }
        config
    }

    pub(crate) fn safetensors(&self) -> Vec<u8> {
        let weights = self.weights();
        let bytes: HashMap<&String, Vec<u8>> = weights
            .iter()
            .map(|(name, (_, values))| {
                (name, values.iter().flat_map(|x| x.to_le_bytes()).collect())
            })
            .collect();
        let views = weights.iter().map(|(name, (shape, _))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap();
            (name, view)
        });
        safetensors::serialize(views, None).unwrap()
    }

    /// Writes a GGUF file of the same weights, each matrix in the format that `format` gives it.
    pub(crate) fn write_gguf(&self, folder: &Path, format: impl Fn(&str) -> GgmlDType) -> PathBuf {
        let path = folder.join(format!("{}-{}.gguf", self.kind, self.seed));
        fs::write(&path, self.gguf(format).bytes()).unwrap();
        path
    }

    pub(crate) fn gguf(&self, format: impl Fn(&str) -> GgmlDType) -> Gguf {
        let mut tensors = BTreeMap::new();
        for (name, (shape, values)) in self.weights() {
            let name = gguf_name(&name, self.is_gemma());
            let values = self.as_converted(&name, values);
            let format = if shape.len() == 2 {
                format(&name)
            } else {
                GgmlDType::F32
            };
            tensors.insert(name, quantised(values, &shape, format));
        }
        if self.scaling == Scaling::Llama3 {
            tensors.insert("rope_freqs.weight".to_owned(), self.rope_factors());
        }
        Gguf {
            metadata: self.metadata(),
            tensors,
        }
    }

    fn metadata(&self) -> BTreeMap<String, Value> {
        let text = |text: &str| Value::String(text.to_owned());
        // GGUF has one name for both.
        let kind = if self.kind == "mistral" {
            "llama"
        } else {
            self.kind
        };
        let mut metadata = BTreeMap::from([
            ("general.architecture".to_owned(), text(kind)),
            ("tokenizer.ggml.model".to_owned(), text("gpt2")),
            ("tokenizer.ggml.pre".to_owned(), text("gpt-2")),
            ("tokenizer.ggml.merges".to_owned(), Value::Array(Vec::new())),
            (
                "tokenizer.ggml.tokens".to_owned(),
                Value::Array(tokens().iter().map(|token| text(token)).collect()),
            ),
            (
                "tokenizer.ggml.eos_token_id".to_owned(),
                Value::U32(VOCAB as u32 - 1),
            ),
        ]);
        let mut add = |key: &str, value| metadata.insert(format!("{kind}.{key}"), value);
        for (key, count) in [
            ("embedding_length", self.hidden),
            ("block_count", self.layers),
            ("feed_forward_length", self.inner),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
            ("context_length", self.context),
        ] {
            add(key, Value::U32(count as u32));
        }
        add(
            "attention.layer_norm_rms_epsilon",
            Value::F32(EPSILON as f32),
        );
        add("rope.freq_base", Value::F32(self.base as f32));
        if let Some(window) = self.window {
            add("attention.sliding_window", Value::U32(window as u32));
        }
        if let Scaling::Linear(factor) = self.scaling {
            add("rope.scaling.type", text("linear"));
            add("rope.scaling.factor", Value::F32(factor as f32));
        }
        metadata
    }

    /// What conversion to GGUF does: Gemma's norms get their one, and the rows of llama's query and key heads are put so that
    /// rotary pairs are neighbours.
    fn as_converted(&self, name: &str, values: Vec<f32>) -> Vec<f32> {
        if self.is_gemma() && name.ends_with("norm.weight") {
            return values.iter().map(|x| x + 1.0).collect();
        }
        let rotated = name.contains("attn_q.") || name.contains("attn_k.");
        if !rotated || !matches!(self.kind, "llama" | "mistral") {
            return values;
        }
        let (dim, half) = (self.head_dim, self.head_dim / 2);
        let rows: Vec<&[f32]> = values.chunks(self.hidden).collect();
        let mut converted = Vec::new();
        for head in rows.chunks(dim) {
            for pair in 0..half {
                converted.extend_from_slice(head[pair]);
                converted.extend_from_slice(head[pair + half]);
            }
        }
        converted
    }

    /// What frequencies are divided by.
    fn rope_factors(&self) -> QTensor {
        let plain = Self {
            scaling: Scaling::None,
            ..self.clone()
        };
        let scaled = self.frequencies(0);
        let factors = plain.frequencies(0).into_iter().zip(scaled);
        let factors = factors.map(|(plain, scaled)| (plain / scaled) as f32);
        quantised(factors.collect(), &[self.head_dim / 2], GgmlDType::F32)
    }
}

/// A GGUF file, to be changed before it is written.
pub(crate) struct Gguf {
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tensors: BTreeMap<String, QTensor>,
}

impl Gguf {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let metadata: Vec<_> = self.metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let tensors: Vec<_> = self.tensors.iter().map(|(k, v)| (k.as_str(), v)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
        file.into_inner()
    }
}

pub(crate) fn quantised(values: Vec<f32>, shape: &[usize], format: GgmlDType) -> QTensor {
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    QTensor::quantize(&tensor, format).unwrap()
}

fn gguf_name(name: &str, gemma: bool) -> String {
    let post_attention = if gemma {
        "post_attention_norm"
    } else {
        "ffn_norm"
    };
    [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers", "blk"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", post_attention),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]
    .into_iter()
    .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

fn tokenizer() -> serde_json::Value {
    let controls = VOCAB - 2;
    let vocabulary: Map<String, serde_json::Value> = tokens()
        .into_iter()
        .take(controls)
        .zip(0..)
        .map(|(token, id)| (token, json!(id)))
        .collect();
    json!({
        "added_tokens": [
            {"id": controls, "content": "<|endoftext|>", "special": true},
            {"id": controls + 1, "content": "<|im_end|>", "special": true},
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })
}
