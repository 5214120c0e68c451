//! Architecture of a decoder: numbers, not code paths.

use super::error::CheckpointError;
use kernels::Activation;

/// Model families that the decoder knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelFamily {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl ModelFamily {
    /// From GGUF's `general.architecture` or the `model_type` of config.json.
    pub(crate) fn parse(name: &str) -> Result<Self, CheckpointError> {
        match name {
            "llama" => Ok(Self::Llama),
            "mistral" => Ok(Self::Mistral),
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            "gemma3" | "gemma3_text" => Ok(Self::Gemma3),
            other => Err(CheckpointError::Architecture(other.to_owned())),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }

    /// The base of the rotary frequencies where a file names none.
    pub(crate) fn rotary_base(self) -> f64 {
        if self == Self::Gemma3 {
            1_000_000.0
        } else {
            10_000.0
        }
    }

    /// Llama and Mistral, which are one design.
    pub(crate) fn is_llama(self) -> bool {
        matches!(self, Self::Llama | Self::Mistral)
    }

    pub(crate) fn activation(self) -> Activation {
        if self == Self::Gemma3 {
            Activation::GeluTanh
        } else {
            Activation::Silu
        }
    }

    /// True if queries and keys are normalised per head before rotation.
    pub(crate) fn norms_queries_and_keys(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// True if the outputs of attention and feed-forward are normalised before they are added.
    pub(crate) fn norms_outputs(self) -> bool {
        self == Self::Gemma3
    }
}

/// A decoder's dimensions and constants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Architecture {
    pub(crate) kind: ModelFamily,
    pub(crate) layers: usize,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Width of the feed-forward layer.
    pub(crate) feed_forward: usize,
    pub(crate) vocab_size: usize,
    /// Positions that the model was trained for.
    pub(crate) context_length: usize,
    pub(crate) norm_epsilon: f32,
    /// Factor of attention scores.
    pub(crate) attention_scale: f32,
    pub(crate) rotary: Rotary,
    pub(crate) window: Option<SlidingWindow>,
    /// Factor of embeddings.
    pub(crate) embedding_scale: f32,
    /// Added to norm weights as stored: 1 where the file keeps their difference from one.
    pub(crate) norm_offset: f32,
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rotary {
    pub(crate) base: f64,
    pub(crate) scaling: RotaryScaling,
}

/// Scaling of rotary frequencies beyond the trained context.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RotaryScaling {
    None,
    /// All frequencies divided by a factor.
    Linear(f64),
    /// Llama 3: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original_context: f64,
    },
    /// A divisor for each frequency, from the file.
    Factors(Vec<f32>),
}

/// Layers that see only the last `positions` positions, except every `period`-th, which sees all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlidingWindow {
    pub(crate) positions: usize,
    pub(crate) period: usize,
    /// Local layers rotate with their own base and no scaling.
    pub(crate) base: f64,
}

/// Limits that no honest model exceeds; a corrupt file must not make us allocate by its numbers.
const LIMITS: [(&str, usize); 5] = [
    ("layers", 1024),
    ("hidden size", 1 << 17),
    ("feed-forward size", 1 << 20),
    ("heads", 1024),
    ("vocabulary size", 1 << 22),
];

impl Architecture {
    /// The window of a layer; none where it sees everything.
    pub(crate) fn window_of(&self, layer: usize) -> Option<&SlidingWindow> {
        self.window
            .as_ref()
            .filter(|window| !(layer + 1).is_multiple_of(window.period))
    }

    /// Refuses numbers that contradict each other.
    pub(crate) fn validate(self) -> Result<Self, CheckpointError> {
        let values = [
            self.layers,
            self.hidden,
            self.feed_forward,
            self.heads,
            self.vocab_size,
        ];
        for ((key, limit), value) in LIMITS.into_iter().zip(values) {
            if value == 0 || value > limit {
                return Err(wrong(key, &format!("is {value}, must be 1 to {limit}")));
            }
        }
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            let reason = format!(
                "{} heads cannot share {} key heads",
                self.heads, self.kv_heads
            );
            return Err(wrong("key heads", &reason));
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) || self.head_dim > 4096 {
            return Err(wrong(
                "head size",
                &format!("is {}, must be even", self.head_dim),
            ));
        }
        if self.context_length == 0 {
            return Err(wrong("context length", "is 0"));
        }
        if let Some(window) = &self.window
            && (window.positions == 0 || window.period == 0)
        {
            return Err(wrong("sliding window", "is 0"));
        }
        if !(self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0) {
            let reason = format!("is {}, must be between 0 and 1", self.norm_epsilon);
            return Err(wrong("norm epsilon", &reason));
        }
        let local = self.window.as_ref().map(|window| window.base);
        let bases = [Some(self.rotary.base), local];
        if let Some(base) = bases
            .into_iter()
            .flatten()
            .find(|base| !(*base >= 1.0 && base.is_finite()))
        {
            return Err(wrong(
                "rotary base",
                &format!("is {base}, must be at least 1"),
            ));
        }
        if !(self.attention_scale > 0.0 && self.attention_scale.is_finite()) {
            return Err(wrong("attention scale", "must be a positive number"));
        }
        Ok(self)
    }
}

pub(crate) fn wrong(key: &str, reason: &str) -> CheckpointError {
    CheckpointError::Configuration {
        key: key.to_owned(),
        reason: reason.to_owned(),
    }
}
