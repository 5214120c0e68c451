//! Tiny models of every family: the same random weights for all who read them.

use std::collections::BTreeMap;

/// Ids: the printable characters of ASCII but the space, and two control tokens.
pub(crate) const VOCAB: usize = 96;

/// How rotary frequencies are scaled.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scaling {
    None,
    Linear(f64),
    Llama3,
}

/// Llama 3's scaling, small enough to matter within a few dozen positions.
pub(crate) mod llama3 {
    pub(crate) const FACTOR: f64 = 8.0;
    pub(crate) const LOW: f64 = 1.0;
    pub(crate) const HIGH: f64 = 4.0;
    pub(crate) const ORIGINAL: f64 = 64.0;
}

/// A model to be made.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) kind: &'static str,
    pub(crate) seed: u64,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) inner: usize,
    pub(crate) context: usize,
    pub(crate) window: Option<usize>,
    /// Every so many-th layer sees everything.
    pub(crate) period: usize,
    pub(crate) base: f64,
    pub(crate) local_base: f64,
    pub(crate) scaling: Scaling,
    pub(crate) tied: bool,
}

/// Shape and values of each weight, by the name that transformers gives it.
pub(crate) type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Model {
    pub(crate) fn of(kind: &'static str) -> Self {
        let gemma = kind == "gemma3";
        Self {
            kind,
            seed: 7,
            layers: if gemma { 7 } else { 2 },
            hidden: 32,
            heads: 4,
            kv_heads: if gemma { 1 } else { 2 },
            // Qwen 3 and Gemma have heads that are not a share of the hidden size.
            head_dim: if gemma || kind == "qwen3" { 16 } else { 8 },
            inner: 48,
            context: 256,
            window: matches!(kind, "gemma3" | "mistral").then_some(8),
            period: if gemma { 6 } else { usize::MAX },
            base: if gemma { 100_000.0 } else { 10_000.0 },
            local_base: if gemma { 1000.0 } else { 10_000.0 },
            scaling: Scaling::None,
            tied: gemma || kind == "qwen3",
        }
    }

    /// One of each family.
    pub(crate) fn all() -> [Self; 5] {
        ["llama", "mistral", "qwen2", "qwen3", "gemma3"].map(Self::of)
    }

    pub(crate) fn is_gemma(&self) -> bool {
        self.kind == "gemma3"
    }

    pub(crate) fn has_head_norms(&self) -> bool {
        matches!(self.kind, "qwen3" | "gemma3")
    }

    /// Whether a layer looks back only as far as the window.
    pub(crate) fn is_local(&self, layer: usize) -> bool {
        self.window.is_some() && !(layer + 1).is_multiple_of(self.period)
    }

    pub(crate) fn weights(&self) -> Weights {
        let mut random = Random(self.seed);
        let mut weights = Weights::new();
        let mut add = |name: &str, shape: &[usize], spread: f32, offset: f32| {
            let count = shape.iter().product();
            let values = (0..count).map(|_| offset + spread * random.normal());
            weights.insert(name.to_owned(), (shape.to_vec(), values.collect()));
        };
        let (hidden, inner) = (self.hidden, self.inner);
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        // Gemma's files hold the difference of a norm's weight from one.
        let one = if self.is_gemma() { 0.0 } else { 1.0 };
        add("model.embed_tokens.weight", &[VOCAB, hidden], 1.0, 0.0);
        if !self.tied {
            add("lm_head.weight", &[VOCAB, hidden], 0.2, 0.0);
        }
        add("model.norm.weight", &[hidden], 0.2, one);
        for layer in 0..self.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            for (part, rows, columns) in [
                ("self_attn.q_proj", queries, hidden),
                ("self_attn.k_proj", keys, hidden),
                ("self_attn.v_proj", keys, hidden),
                ("self_attn.o_proj", hidden, queries),
                ("mlp.gate_proj", inner, hidden),
                ("mlp.up_proj", inner, hidden),
                ("mlp.down_proj", hidden, inner),
            ] {
                let spread = 1.5 / (columns as f32).sqrt();
                add(&name(part), &[rows, columns], spread, 0.0);
            }
            add(&name("input_layernorm"), &[hidden], 0.2, one);
            add(&name("post_attention_layernorm"), &[hidden], 0.2, one);
            if self.is_gemma() {
                add(&name("pre_feedforward_layernorm"), &[hidden], 0.2, one);
                add(&name("post_feedforward_layernorm"), &[hidden], 0.2, one);
            }
            if self.has_head_norms() {
                add(&name("self_attn.q_norm"), &[self.head_dim], 0.2, one);
                add(&name("self_attn.k_norm"), &[self.head_dim], 0.2, one);
            }
            if self.kind == "qwen2" {
                for (part, rows) in [("q", queries), ("k", keys), ("v", keys)] {
                    let name = format!("model.layers.{layer}.self_attn.{part}_proj.bias");
                    add(&name, &[rows], 0.3, 0.0);
                }
            }
        }
        weights
    }

    /// The angular frequencies of a layer's rotation.
    pub(crate) fn frequencies(&self, layer: usize) -> Vec<f64> {
        let local = self.is_gemma() && self.is_local(layer);
        let base = if local { self.local_base } else { self.base };
        let plain =
            (0..self.head_dim / 2).map(|i| base.powf(-2.0 * i as f64 / self.head_dim as f64));
        plain
            .map(|frequency| match self.scaling {
                _ if local => frequency,
                Scaling::None => frequency,
                Scaling::Linear(factor) => frequency / factor,
                Scaling::Llama3 => {
                    // How often it turns within the original context decides.
                    let turns = llama3::ORIGINAL * frequency / std::f64::consts::TAU;
                    let kept = (turns - llama3::LOW) / (llama3::HIGH - llama3::LOW);
                    let kept = kept.clamp(0.0, 1.0);
                    frequency * (kept + (1.0 - kept) / llama3::FACTOR)
                }
            })
            .collect()
    }

    /// A prompt that has nothing to do with another seed's.
    pub(crate) fn tokens(seed: u64, count: usize) -> Vec<u32> {
        let mut random = Random(seed);
        (0..count)
            .map(|_| (random.next() % VOCAB as u64) as u32)
            .collect()
    }
}

/// `SplitMix64`.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Roughly normal, with variance 1: a sum of uniforms.
    fn normal(&mut self) -> f32 {
        let uniform = |x: u64| (x >> 40) as f32 / (1_u32 << 24) as f32;
        (0..12).map(|_| uniform(self.next())).sum::<f32>() - 6.0
    }
}
