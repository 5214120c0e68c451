//! The decoder's numbers from GGUF metadata.

use tokenizer::gguf::{Metadata, Value};

use super::architecture::{Architecture, ModelFamily, Rotary, RotaryScaling, SlidingWindow, wrong};
use super::error::CheckpointError;

/// Layers of the one Gemma 3 model (27B) whose attention scale is not that of its head size.
const GEMMA3_27B_LAYERS: usize = 62;

/// Reads the architecture; `vocab_size` is the number of embedding rows.
pub(super) fn architecture(
    metadata: &Metadata,
    vocab_size: usize,
) -> Result<Architecture, CheckpointError> {
    let keys = Keys {
        metadata,
        prefix: text(metadata, "general.architecture")?,
    };
    let kind = ModelFamily::parse(&keys.prefix)?;
    let hidden = keys.integer("embedding_length")?;
    let heads = keys.integer("attention.head_count")?;
    if heads == 0 {
        return Err(keys.wrong("attention.head_count", "is 0"));
    }
    let kv_heads = keys
        .optional_integer("attention.head_count_kv")?
        .unwrap_or(heads);
    let head_dim = keys
        .optional_integer("attention.key_length")?
        .unwrap_or(hidden / heads);
    if let Some(rotated) = keys
        .optional_integer("rope.dimension_count")?
        .filter(|rotated| *rotated != head_dim)
    {
        let reason = format!(
            "is {rotated}; only heads that are rotated whole, {head_dim} here, are supported"
        );
        return Err(keys.wrong("rope.dimension_count", &reason));
    }
    let layers = keys.integer("block_count")?;
    let gemma = kind == ModelFamily::Gemma3;
    let scaled_by = if gemma && layers == GEMMA3_27B_LAYERS {
        hidden / heads
    } else {
        head_dim
    };
    let positions = keys.optional_integer("attention.sliding_window")?;
    let period = keys
        .optional_integer("attention.sliding_window_pattern")?
        .unwrap_or(6);
    Architecture {
        kind,
        layers,
        hidden,
        heads,
        kv_heads,
        head_dim,
        feed_forward: keys.integer("feed_forward_length")?,
        vocab_size,
        context_length: keys.integer("context_length")?,
        norm_epsilon: keys.float("attention.layer_norm_rms_epsilon")? as f32,
        attention_scale: 1.0 / (scaled_by as f32).sqrt(),
        rotary: Rotary {
            base: keys
                .optional_float("rope.freq_base")?
                .unwrap_or(kind.rotary_base()),
            scaling: scaling(&keys)?,
        },
        // Only Gemma's files name a window that the model was trained with.
        window: positions.filter(|_| gemma).map(|positions| SlidingWindow {
            positions,
            period,
            base: 10_000.0,
        }),
        embedding_scale: if gemma { (hidden as f32).sqrt() } else { 1.0 },
        // The converter to GGUF has added the one already.
        norm_offset: 0.0,
    }
    .validate()
}

fn scaling(keys: &Keys) -> Result<RotaryScaling, CheckpointError> {
    match keys.find("rope.scaling.type").and_then(Value::as_text) {
        None | Some("none") => Ok(RotaryScaling::None),
        Some("linear") => Ok(RotaryScaling::Linear(keys.float("rope.scaling.factor")?)),
        Some(other) => Err(keys.wrong(
            "rope.scaling.type",
            &format!("is \"{other}\"; supported are none and linear"),
        )),
    }
}

/// A text that must be there.
fn text(metadata: &Metadata, key: &str) -> Result<String, CheckpointError> {
    let value = metadata.get(key).ok_or_else(|| wrong(key, "is missing"))?;
    let text = value.as_text().map(str::to_owned);
    text.ok_or_else(|| wrong(key, "is not a text"))
}

/// Keys under the architecture's own prefix.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: String,
}

impl<'a> Keys<'a> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn wrong(&self, key: &str, reason: &str) -> CheckpointError {
        wrong(&self.full(key), reason)
    }

    fn find(&self, key: &str) -> Option<&'a Value> {
        self.metadata.get(&self.full(key))
    }

    fn integer(&self, key: &str) -> Result<usize, CheckpointError> {
        self.optional_integer(key)?
            .ok_or_else(|| self.wrong(key, "is missing"))
    }

    fn optional_integer(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        let Some(value) = self.find(key) else {
            return Ok(None);
        };
        let number = value.as_integer();
        number
            .and_then(|number| usize::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| self.wrong(key, "is not a count"))
    }

    fn float(&self, key: &str) -> Result<f64, CheckpointError> {
        self.optional_float(key)?
            .ok_or_else(|| self.wrong(key, "is missing"))
    }

    fn optional_float(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        let Some(value) = self.find(key) else {
            return Ok(None);
        };
        let number = value.as_float();
        let number = number.ok_or_else(|| self.wrong(key, "is not a number"))?;
        if number.is_finite() && number > 0.0 {
            return Ok(Some(number));
        }
        Err(self.wrong(key, &format!("is {number}, must be positive")))
    }
}
