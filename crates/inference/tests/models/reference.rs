//! A decoder written from the papers, in double precision, one position after another: slow, and nobody's relative.

use crate::model::{Model, Weights};

/// Logits after every token.
pub(crate) fn logits(model: &Model, tokens: &[u32]) -> Vec<Vec<f64>> {
    let reference = Reference {
        model,
        weights: model.weights(),
    };
    reference.run(tokens)
}

struct Reference<'a> {
    model: &'a Model,
    weights: Weights,
}

impl Reference<'_> {
    fn run(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let (_, embedding) = &self.weights["model.embed_tokens.weight"];
        let hidden = self.model.hidden;
        let scale = if self.model.is_gemma() {
            (hidden as f64).sqrt()
        } else {
            1.0
        };
        let embed = |token: &u32| {
            let row = &embedding[*token as usize * hidden..][..hidden];
            row.iter().map(|x| f64::from(*x) * scale).collect()
        };
        let mut stream: Vec<Vec<f64>> = tokens.iter().map(embed).collect();
        for layer in 0..self.model.layers {
            self.layer(layer, &mut stream);
        }
        let output = if self.model.tied {
            "model.embed_tokens"
        } else {
            "lm_head"
        };
        stream
            .iter()
            .map(|x| self.linear(output, &self.norm("model.norm", x)))
            .collect()
    }

    fn layer(&self, layer: usize, stream: &mut [Vec<f64>]) {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let gemma = self.model.is_gemma();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (position, stream) in stream.iter_mut().enumerate() {
            let x = self.norm(&name("input_layernorm"), stream);
            let heads = |part: &str| self.linear(&name(part), &x);
            let mut query = heads("self_attn.q_proj");
            let mut key = heads("self_attn.k_proj");
            for (part, heads) in [("q_norm", &mut query), ("k_norm", &mut key)] {
                for head in heads.chunks_mut(self.model.head_dim) {
                    if self.model.has_head_norms() {
                        let normed = self.norm(&name(&format!("self_attn.{part}")), head);
                        head.copy_from_slice(&normed);
                    }
                    self.rotate(layer, position, head);
                }
            }
            keys.push(key);
            values.push(heads("self_attn.v_proj"));
            let attended = self.attend(layer, &query, (&keys, &values));
            let mut attended = self.linear(&name("self_attn.o_proj"), &attended);
            if gemma {
                attended = self.norm(&name("post_attention_layernorm"), &attended);
            }
            add(stream, &attended);
            let before = if gemma {
                "pre_feedforward_layernorm"
            } else {
                "post_attention_layernorm"
            };
            let x = self.norm(&name(before), stream);
            let gate = self.linear(&name("mlp.gate_proj"), &x);
            let up = self.linear(&name("mlp.up_proj"), &x);
            let gated: Vec<f64> = gate
                .iter()
                .zip(&up)
                .map(|(g, u)| self.activation(*g) * u)
                .collect();
            let mut fed = self.linear(&name("mlp.down_proj"), &gated);
            if gemma {
                fed = self.norm(&name("post_feedforward_layernorm"), &fed);
            }
            add(stream, &fed);
        }
    }

    /// The query's position is the last of `keys`. A window of `w` positions includes it.
    fn attend(
        &self,
        layer: usize,
        query: &[f64],
        (keys, values): (&[Vec<f64>], &[Vec<f64>]),
    ) -> Vec<f64> {
        let dim = self.model.head_dim;
        let seen = match self.model.window {
            Some(window) if self.model.is_local(layer) => window,
            _ => usize::MAX,
        };
        let first = keys.len().saturating_sub(seen);
        let shared = self.model.heads / self.model.kv_heads;
        let mut out = Vec::new();
        for (head, query) in query.chunks(dim).enumerate() {
            let at = head / shared * dim;
            let score = |key: &Vec<f64>| {
                let products = key[at..at + dim].iter().zip(query).map(|(k, q)| k * q);
                (products.sum::<f64>() / (dim as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = keys[first..].iter().map(score).collect();
            let total: f64 = weights.iter().sum();
            for i in 0..dim {
                let parts = weights.iter().zip(&values[first..]);
                out.push(parts.map(|(w, value)| w * value[at + i]).sum::<f64>() / total);
            }
        }
        out
    }

    /// Pairs are element `i` of the first half and of the second.
    fn rotate(&self, layer: usize, position: usize, head: &mut [f64]) {
        let (first, second) = head.split_at_mut(self.model.head_dim / 2);
        let frequencies = self.model.frequencies(layer);
        for ((a, b), frequency) in first.iter_mut().zip(second).zip(frequencies) {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }

    fn activation(&self, x: f64) -> f64 {
        if self.model.is_gemma() {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        } else {
            x / (1.0 + (-x).exp())
        }
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (_, weight) = &self.weights[&format!("{name}.weight")];
        let offset = if self.model.is_gemma() { 1.0 } else { 0.0 };
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + crate::files::EPSILON).sqrt();
        let scaled = x.iter().zip(weight);
        scaled
            .map(|(x, w)| x * scale * (f64::from(*w) + offset))
            .collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (_, weight) = &self.weights[&format!("{name}.weight")];
        let bias = self.weights.get(&format!("{name}.bias"));
        let row = |(index, row): (usize, &[f32])| {
            let products = row.iter().zip(x).map(|(w, x)| f64::from(*w) * x);
            products.sum::<f64>() + bias.map_or(0.0, |(_, bias)| f64::from(bias[index]))
        };
        weight.chunks(x.len()).enumerate().map(row).collect()
    }
}

fn add(to: &mut [f64], x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += x);
}
