//! The decoder's numbers from `config.json`.

use serde::Deserialize;

use crate::checkpoint::architecture::{
    Architecture, ModelFamily, Rotary, RotaryScaling, SlidingWindow, wrong,
};
use crate::checkpoint::error::CheckpointError;

/// The fields of `config.json` that matter; families leave out what they do not use.
#[derive(Deserialize)]
pub(super) struct Config {
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
    #[serde(alias = "hidden_activation")]
    hidden_act: Option<String>,
    tie_word_embeddings: Option<bool>,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    rope_scaling: Option<Rotation>,
    /// Form of the three above in newer files.
    rope_parameters: Option<RotationByLayer>,
    query_pre_attn_scalar: Option<f64>,
    attn_logit_softcapping: Option<f64>,
    final_logit_softcapping: Option<f64>,
    sliding_window: Option<usize>,
    #[serde(alias = "_sliding_window_pattern")]
    sliding_window_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    use_sliding_window: Option<bool>,
}

#[derive(Deserialize)]
struct Rotation {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RotationByLayer {
    ByLayer {
        full_attention: Rotation,
        sliding_attention: Rotation,
    },
    All(Rotation),
}

impl Config {
    pub(super) fn architecture(&self) -> Result<Architecture, CheckpointError> {
        let kind = ModelFamily::parse(&self.model_type)?;
        let gemma = kind == ModelFamily::Gemma3;
        if self.num_attention_heads == 0 {
            return Err(wrong("num_attention_heads", "is 0"));
        }
        self.refuse_unknown_arithmetic(kind)?;
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
            rotary: self.rotary(kind)?,
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

    /// True if the output matrix is the embedding. Where a file does not say, the default of transformers counts.
    pub(super) fn ties_output(&self) -> bool {
        let gemma = self.model_type.starts_with("gemma");
        self.tie_word_embeddings.unwrap_or(gemma)
    }

    /// Refuses fields that ask for operations which the decoder does not have.
    fn refuse_unknown_arithmetic(&self, kind: ModelFamily) -> Result<(), CheckpointError> {
        let known: &[&str] = match kind {
            ModelFamily::Gemma3 => &["gelu_pytorch_tanh", "gelu_tanh"],
            _ => &["silu", "swish"],
        };
        let activation = self.hidden_act.as_deref();
        if let Some(other) = activation.filter(|name| !known.contains(name)) {
            let reason = format!("is \"{other}\"; supported is {}", known[0]);
            return Err(wrong("hidden_act", &reason));
        }
        let caps = [
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("final_logit_softcapping", self.final_logit_softcapping),
        ];
        for (key, cap) in caps {
            if cap.is_some() {
                return Err(wrong(key, "is set, which is not supported"));
            }
        }
        Ok(())
    }

    fn rotary(&self, kind: ModelFamily) -> Result<Rotary, CheckpointError> {
        let rope = match &self.rope_parameters {
            Some(RotationByLayer::All(rope)) => Some(rope),
            Some(RotationByLayer::ByLayer { full_attention, .. }) => Some(full_attention),
            None => self.rope_scaling.as_ref(),
        };
        let base = rope.and_then(|rope| rope.rope_theta).or(self.rope_theta);
        Ok(Rotary {
            base: base.unwrap_or(kind.rotary_base()),
            scaling: rope.map_or(Ok(RotaryScaling::None), scaling)?,
        })
    }

    fn window(&self, kind: ModelFamily) -> Result<Option<SlidingWindow>, CheckpointError> {
        match (kind, self.sliding_window) {
            (ModelFamily::Gemma3, Some(positions)) => {
                let local = match &self.rope_parameters {
                    Some(RotationByLayer::ByLayer {
                        sliding_attention, ..
                    }) => sliding_attention.rope_theta,
                    _ => self.rope_local_base_freq,
                };
                Ok(Some(SlidingWindow {
                    positions,
                    period: self.period()?,
                    base: local.unwrap_or(10_000.0),
                }))
            }
            // Every layer of the first Mistral looks back only so far.
            (ModelFamily::Mistral, Some(positions)) => Ok(Some(SlidingWindow {
                positions,
                period: usize::MAX,
                base: self.rotary(kind)?.base,
            })),
            (ModelFamily::Qwen2 | ModelFamily::Qwen3, Some(_))
                if self.use_sliding_window == Some(true) =>
            {
                Err(wrong(
                    "use_sliding_window",
                    "is true, which is supported for Gemma and Mistral",
                ))
            }
            _ => Ok(None),
        }
    }

    /// Period of the layers with global attention.
    fn period(&self) -> Result<usize, CheckpointError> {
        const GLOBAL: &str = "full_attention";
        let Some(types) = &self.layer_types else {
            return Ok(self.sliding_window_pattern.unwrap_or(6));
        };
        let first = types.iter().position(|name| name == GLOBAL);
        let period = first.map_or(usize::MAX, |index| index + 1);
        let regular = |(index, name): (usize, &String)| {
            (index + 1).is_multiple_of(period) == (name == GLOBAL)
        };
        if types.len() == self.num_hidden_layers && types.iter().enumerate().all(regular) {
            Ok(period)
        } else {
            Err(wrong(
                "layer_types",
                "has no regular pattern over the layers, which is not supported",
            ))
        }
    }
}

fn scaling(rope: &Rotation) -> Result<RotaryScaling, CheckpointError> {
    let need = |value: Option<f64>, key: &str| match value {
        Some(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(wrong(
            &format!("rope_scaling.{key}"),
            "must be a positive number",
        )),
    };
    match rope.rope_type.as_deref() {
        None | Some("default") => Ok(RotaryScaling::None),
        Some("linear") => Ok(RotaryScaling::Linear(need(rope.factor, "factor")?)),
        Some("llama3") => Ok(RotaryScaling::Llama3 {
            factor: need(rope.factor, "factor")?,
            low: need(rope.low_freq_factor, "low_freq_factor")?,
            high: need(rope.high_freq_factor, "high_freq_factor")?,
            original_context: need(
                rope.original_max_position_embeddings,
                "original_max_position_embeddings",
            )?,
        }),
        Some(other) => Err(wrong(
            "rope_scaling.rope_type",
            &format!("is \"{other}\"; supported are default, linear and llama3"),
        )),
    }
}
