//! Folders as the model hub lays them out: `config.json`, `*.safetensors`, `tokenizer.json`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use serde::Deserialize;

use super::{Checkpoint, CheckpointError, Mapping, RawTensor, Weights};
use crate::architecture::{Architecture, Kind, Rotary, RotaryScaling, SlidingWindow, wrong};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// Most bytes a JSON header or configuration may have.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// The mapped weight files of a folder.
pub(super) struct Safetensors {
    files: Vec<Arc<Mapping>>,
    tensors: HashMap<String, Entry>,
}

struct Entry {
    file: usize,
    offset: usize,
    length: usize,
    format: GgmlDType,
    shape: Vec<usize>,
}

pub(super) fn open(folder: &Path) -> Result<Checkpoint, CheckpointError> {
    let config: Config = json(&folder.join("config.json"))?;
    let architecture = config.architecture()?;
    let weights = Safetensors::open(folder)?;
    let tokenizer = Arc::new(Tokenizer::from_file(&folder.join("tokenizer.json"))?);
    let template = template(folder)?;
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let file_bytes = weights.files.iter().map(|file| file.len() as u64).sum();
    Ok(Checkpoint {
        architecture,
        tokenizer,
        template,
        name: name.unwrap_or_default(),
        file_bytes,
        weights: Weights::Safetensors(weights),
    })
}

/// The fields of `config.json` that matter; families leave out what they do not use.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    rope_scaling: Option<RopeScaling>,
    query_pre_attn_scalar: Option<f64>,
    sliding_window: Option<usize>,
    #[serde(alias = "_sliding_window_pattern")]
    sliding_window_pattern: Option<usize>,
    use_sliding_window: Option<bool>,
}

#[derive(Deserialize)]
struct RopeScaling {
    #[serde(alias = "type")]
    rope_type: String,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

impl Config {
    fn architecture(&self) -> Result<Architecture, CheckpointError> {
        let kind = Kind::parse(&self.model_type)?;
        let gemma = kind == Kind::Gemma3;
        if self.num_attention_heads == 0 {
            return Err(wrong("num_attention_heads", "is 0"));
        }
        let head_dim = self
            .head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads);
        let scaled_by = self
            .query_pre_attn_scalar
            .filter(|_| gemma)
            .unwrap_or(head_dim as f64);
        Architecture {
            kind,
            layers: self.num_hidden_layers,
            hidden: self.hidden_size,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim,
            feed_forward: self.intermediate_size,
            vocab_size: self.vocab_size,
            context_length: self.max_position_embeddings,
            norm_epsilon: self.rms_norm_eps as f32,
            attention_scale: (1.0 / scaled_by.sqrt()) as f32,
            rotary: Rotary {
                base: self
                    .rope_theta
                    .unwrap_or(if gemma { 1_000_000.0 } else { 10_000.0 }),
                scaling: self
                    .rope_scaling
                    .as_ref()
                    .map_or(Ok(RotaryScaling::None), scaling)?,
            },
            window: self.window(kind)?,
            embedding_scale: if gemma {
                (self.hidden_size as f32).sqrt()
            } else {
                1.0
            },
            norm_offset: if gemma { 1.0 } else { 0.0 },
        }
        .validate()
    }

    fn window(&self, kind: Kind) -> Result<Option<SlidingWindow>, CheckpointError> {
        let base = self
            .rope_local_base_freq
            .or(self.rope_theta)
            .unwrap_or(10_000.0);
        match (kind, self.sliding_window) {
            (Kind::Gemma3, Some(positions)) => {
                let period = self.sliding_window_pattern.unwrap_or(6);
                let base = self.rope_local_base_freq.unwrap_or(10_000.0);
                Ok(Some(SlidingWindow {
                    positions,
                    period,
                    base,
                }))
            }
            // Every layer of the first Mistral looks back only so far.
            (Kind::Mistral, Some(positions)) => Ok(Some(SlidingWindow {
                positions,
                period: usize::MAX,
                base,
            })),
            (Kind::Qwen2 | Kind::Qwen3, Some(_)) if self.use_sliding_window == Some(true) => {
                Err(wrong(
                    "use_sliding_window",
                    "is true, which is supported for Gemma and Mistral",
                ))
            }
            _ => Ok(None),
        }
    }
}

fn scaling(scaling: &RopeScaling) -> Result<RotaryScaling, CheckpointError> {
    let need = |value: Option<f64>, key: &str| match value {
        Some(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(wrong(
            &format!("rope_scaling.{key}"),
            "must be a positive number",
        )),
    };
    match scaling.rope_type.as_str() {
        "default" => Ok(RotaryScaling::None),
        "linear" => Ok(RotaryScaling::Linear(need(scaling.factor, "factor")?)),
        "llama3" => Ok(RotaryScaling::Llama3 {
            factor: need(scaling.factor, "factor")?,
            low: need(scaling.low_freq_factor, "low_freq_factor")?,
            high: need(scaling.high_freq_factor, "high_freq_factor")?,
            original_context: need(
                scaling.original_max_position_embeddings,
                "original_max_position_embeddings",
            )?,
        }),
        other => Err(wrong(
            "rope_scaling.rope_type",
            &format!("is \"{other}\"; supported are default, linear and llama3"),
        )),
    }
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    chat_template: Option<serde_json::Value>,
    bos_token: Option<serde_json::Value>,
    eos_token: Option<serde_json::Value>,
}

fn template(folder: &Path) -> Result<Option<ChatTemplate>, CheckpointError> {
    let path = folder.join("tokenizer_config.json");
    let config: TokenizerConfig = if path.exists() {
        json(&path)?
    } else {
        TokenizerConfig::default()
    };
    // Special tokens are texts, or objects with a `content`.
    let spelling = |token: &Option<serde_json::Value>| {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        token
            .as_ref()
            .and_then(|t| text(t).or_else(|| t.get("content").and_then(text)))
    };
    let separate = folder.join("chat_template.jinja");
    let source = if separate.exists() {
        let io = |source| CheckpointError::Io {
            path: separate.clone(),
            source,
        };
        Some(std::fs::read_to_string(&separate).map_err(io)?)
    } else {
        config
            .chat_template
            .as_ref()
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let Some(source) = source else {
        return Ok(None);
    };
    let bos = spelling(&config.bos_token).unwrap_or_default();
    let eos = spelling(&config.eos_token).unwrap_or_default();
    Ok(Some(ChatTemplate::new(&source, &bos, &eos)?))
}

fn json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, CheckpointError> {
    let io = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let corrupt = |reason: String| CheckpointError::Corrupt {
        path: path.to_owned(),
        reason,
    };
    if std::fs::metadata(path).map_err(io)?.len() > MAX_JSON_BYTES {
        return Err(corrupt(format!("it is larger than {MAX_JSON_BYTES} bytes")));
    }
    let text = std::fs::read(path).map_err(io)?;
    serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))
}

impl Safetensors {
    fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io {
            path: folder.to_owned(),
            source,
        };
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "safetensors")
            {
                paths.push(path);
            }
        }
        paths.sort();
        let mut files = Self {
            files: Vec::new(),
            tensors: HashMap::new(),
        };
        for path in paths {
            files.add(Arc::new(Mapping::open(&path)?))?;
        }
        if files.tensors.is_empty() {
            let reason = "it holds no *.safetensors file with weights".to_owned();
            return Err(CheckpointError::Corrupt {
                path: folder.to_owned(),
                reason,
            });
        }
        Ok(files)
    }

    /// Reads one file's header; the crate checks that every range lies inside the file.
    fn add(&mut self, mapping: Arc<Mapping>) -> Result<(), CheckpointError> {
        let corrupt = |reason: String| CheckpointError::Corrupt {
            path: mapping.path().to_owned(),
            reason,
        };
        let parsed = safetensors::SafeTensors::deserialize(&mapping)
            .map_err(|error| corrupt(format!("its header cannot be read ({error})")))?;
        let file = self.files.len();
        for (name, view) in parsed.tensors() {
            let format = match view.dtype() {
                safetensors::Dtype::F32 => GgmlDType::F32,
                safetensors::Dtype::F16 => GgmlDType::F16,
                safetensors::Dtype::BF16 => GgmlDType::BF16,
                // Buffers such as masks; a weight of this kind is reported as missing.
                _ => continue,
            };
            let offset = view.data().as_ptr().addr() - mapping.as_ptr().addr();
            let shape = view.shape().to_vec();
            let entry = Entry {
                file,
                offset,
                length: view.data().len(),
                format,
                shape,
            };
            self.tensors.insert(name, entry);
        }
        self.files.push(mapping);
        Ok(())
    }

    pub(super) fn release(&self) {
        self.files.iter().for_each(|file| file.release());
    }

    pub(super) fn formats(&self, add: &mut impl FnMut(GgmlDType, u64)) {
        for entry in self.tensors.values() {
            add(entry.format, entry.shape.iter().product::<usize>() as u64);
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Option<RawTensor<'_>> {
        let entry = self.tensors.get(name)?;
        let mapping = &self.files[entry.file];
        Some(RawTensor {
            name: name.to_owned(),
            bytes: &mapping[entry.offset..entry.offset + entry.length],
            format: entry.format,
            shape: entry.shape.clone(),
            mapping,
            offset: entry.offset,
        })
    }
}
