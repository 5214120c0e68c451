//! One layer: attention, then feed-forward, each added to the residual stream.

use candle_core::{Result, Tensor};
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope_thd;

use super::linear::{Inputs, Linear};
use super::loader::Loader;
use super::rotary::Angles;
use super::sequence::Sequence;
use crate::checkpoint::ModelFamily;
use crate::checkpoint::{CheckpointError, Part};
use kernels::{Attention, Gated};

pub(super) struct Layer {
    index: usize,
    kind: ModelFamily,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    epsilon: f32,
    scale: f32,
    window: Option<usize>,
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: Option<Tensor>,
    key_norm: Option<Tensor>,
    attention_output: Linear,
    attention_post_norm: Option<Tensor>,
    feed_forward_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
    feed_forward_post_norm: Option<Tensor>,
}

impl Layer {
    pub(super) fn load(
        loader: &Loader,
        index: usize,
    ) -> std::result::Result<Self, CheckpointError> {
        let a = loader.checkpoint.architecture();
        let (hidden, inner) = (a.hidden, a.feed_forward);
        let (query_rows, key_rows) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
        let head_norms = a.kind.norms_queries_and_keys();
        let norm = |part, width| loader.norm(part, index, width);
        let norm_if = |wanted: bool, part, width| {
            if wanted {
                norm(part, width).map(Some)
            } else {
                Ok(None)
            }
        };
        let linear = |part, shape| loader.linear(part, None, index, shape);
        let biased = |part, bias, shape| loader.linear(part, Some(bias), index, shape);
        Ok(Self {
            index,
            kind: a.kind,
            heads: a.heads,
            kv_heads: a.kv_heads,
            head_dim: a.head_dim,
            epsilon: a.norm_epsilon,
            scale: a.attention_scale,
            window: a.window_of(index).map(|window| window.positions),
            attention_norm: norm(Part::AttentionNorm, hidden)?,
            query: biased(Part::Query, Part::QueryBias, (query_rows, hidden))?,
            key: biased(Part::Key, Part::KeyBias, (key_rows, hidden))?,
            value: biased(Part::Value, Part::ValueBias, (key_rows, hidden))?,
            query_norm: norm_if(head_norms, Part::QueryNorm, a.head_dim)?,
            key_norm: norm_if(head_norms, Part::KeyNorm, a.head_dim)?,
            attention_output: linear(Part::AttentionOutput, (hidden, query_rows))?,
            attention_post_norm: norm_if(a.kind.norms_outputs(), Part::AttentionPostNorm, hidden)?,
            feed_forward_norm: norm(Part::FeedForwardNorm, hidden)?,
            gate: linear(Part::Gate, (inner, hidden))?,
            up: linear(Part::Up, (inner, hidden))?,
            down: linear(Part::Down, (hidden, inner))?,
            feed_forward_post_norm: norm_if(
                a.kind.norms_outputs(),
                Part::FeedForwardPostNorm,
                hidden,
            )?,
        })
    }

    /// `x` is `(rows, hidden)`, the rows of all sequences one after another.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        angles: &Angles,
        sequences: &mut [Sequence],
    ) -> Result<Tensor> {
        let normed = rms_norm(x, &self.attention_norm, self.epsilon)?;
        let attended = self.attend(&normed, angles, sequences)?;
        let x = (x + self.normed_if(attended, self.attention_post_norm.as_ref())?)?;
        let normed = rms_norm(&x, &self.feed_forward_norm, self.epsilon)?;
        let inputs = Inputs::new(&normed);
        let (gate, up) = (self.gate.forward(&inputs)?, self.up.forward(&inputs)?);
        let inner = gated(&gate, &up, self.kind)?;
        let fed = self.down.forward(&Inputs::new(&inner))?;
        &x + self.normed_if(fed, self.feed_forward_post_norm.as_ref())?
    }

    fn attend(&self, x: &Tensor, angles: &Angles, sequences: &mut [Sequence]) -> Result<Tensor> {
        let rows = x.dim(0)?;
        let heads = |x: Tensor, count| x.reshape((rows, count, self.head_dim)); // (rows, heads, head_dim)
        let inputs = Inputs::new(x);
        let queries = heads(self.query.forward(&inputs)?, self.heads)?;
        let keys = heads(self.key.forward(&inputs)?, self.kv_heads)?;
        let values = heads(self.value.forward(&inputs)?, self.kv_heads)?;
        let queries = self.normed_if(queries, self.query_norm.as_ref())?;
        let keys = self.normed_if(keys, self.key_norm.as_ref())?;
        let (cosines, sines) = match (&angles.local, self.window) {
            (Some(local), Some(_)) => local,
            _ => &angles.global,
        };
        let rotate = |x: &Tensor| rope_thd(&x.unsqueeze(0)?, cosines, sines)?.squeeze(0);
        let (queries, keys) = (rotate(&queries)?, rotate(&keys)?);
        let mut outputs = Vec::with_capacity(sequences.len());
        let mut start = 0;
        for sequence in sequences {
            let count = sequence.tokens.len();
            let part = |x: &Tensor| x.narrow(0, start, count);
            let (queries, keys, values) = (part(&queries)?, part(&keys)?, part(&values)?);
            let (keys, values) = sequence.cache.append(self.index, &keys, &values)?;
            let op = Attention {
                scale: self.scale,
                window: self.window,
                tree: sequence.tree,
            };
            outputs.push(attention(&queries, &keys, &values, &op)?);
            start += count;
        }
        let joined = if outputs.len() == 1 {
            outputs.remove(0)
        } else {
            Tensor::cat(&outputs, 0)?
        };
        let joined = joined.reshape((rows, self.heads * self.head_dim))?;
        self.attention_output.forward(&Inputs::new(&joined))
    }

    fn normed_if(&self, x: Tensor, norm: Option<&Tensor>) -> Result<Tensor> {
        match norm {
            Some(norm) => rms_norm(&x.contiguous()?, norm, self.epsilon),
            None => Ok(x),
        }
    }
}

/// `activation(gate) * up`, `(rows, feed_forward)`.
fn gated(gate: &Tensor, up: &Tensor, kind: ModelFamily) -> Result<Tensor> {
    if gate.device().is_cpu() {
        return gate.apply_op2_no_bwd(up, &Gated(kind.activation()));
    }
    // candle's `gelu` is the tanh approximation; `gelu_erf` is the exact one.
    if kind == ModelFamily::Gemma3 {
        gate.gelu()? * up
    } else {
        gate.silu()? * up
    }
}

/// Queries `(rows, heads, head_dim)`, keys and values `(kv_heads, positions, head_dim)`, result as the queries.
fn attention(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    attention: &Attention<'_>,
) -> Result<Tensor> {
    if queries.device().is_cpu() {
        return queries.apply_op3_no_bwd(keys, values, attention);
    }
    attention_by_tensors(queries, keys, values, attention)
}

/// The same in candle's operations, for devices without our kernel.
fn attention_by_tensors(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    attention: &Attention<'_>,
) -> Result<Tensor> {
    let (rows, heads, dim) = queries.dims3()?;
    let (kv_heads, positions, _) = keys.dims3()?;
    let group = heads / kv_heads;
    let queries = queries
        .transpose(0, 1)?
        .reshape((kv_heads, group * rows, dim))?;
    let keys = keys.transpose(1, 2)?.contiguous()?; // (kv_heads, head_dim, positions)
    let values = values.contiguous()?;
    let scores = (queries.contiguous()?.matmul(&keys)? * f64::from(attention.scale))?;
    let scores = scores.reshape((heads, rows, positions))?;
    let mask: Vec<f32> = (0..rows)
        .flat_map(|row| {
            let shared = attention.shared(positions, rows);
            let (run, behind) = attention.seen(row, shared);
            (0..positions).map(move |p| {
                let follows = |row: usize| behind.contains(&(row as u32));
                if run.contains(&p) || p.checked_sub(shared).is_some_and(follows) {
                    0.0
                } else {
                    f32::NEG_INFINITY
                }
            })
        })
        .collect();
    let mask = Tensor::from_vec(mask, (1, rows, positions), scores.device())?;
    let weights = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(&mask)?)?;
    let weights = weights.reshape((kv_heads, group * rows, positions))?;
    let out = weights.matmul(&values)?.reshape((heads, rows, dim))?;
    out.transpose(0, 1)?.contiguous() // (rows, heads, head_dim)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use kernels::Tree;

    #[test]
    fn both_ways_of_attending_agree() {
        let tensor =
            |shape: (usize, usize, usize)| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let (queries, keys, values) = (tensor((5, 6, 32)), tensor((2, 9, 32)), tensor((2, 9, 32)));
        let tree = Tree::new(&[0, 1, 2, 2, 1], 0).unwrap();
        let grown = Tree::new(&[0, 1, 0, 2, 3, 4, 1, 3], 3).unwrap();
        let trees = [None, Some(&tree), Some(&grown)];
        let cases = [None, Some(2), Some(4)].map(|window| trees.map(|tree| (window, tree)));
        for (window, tree) in cases.into_iter().flatten() {
            let op = Attention {
                scale: 0.2,
                window,
                tree,
            };
            let ours = attention(&queries, &keys, &values, &op).unwrap();
            let theirs = attention_by_tensors(&queries, &keys, &values, &op).unwrap();
            let gap = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f32>().unwrap() < 1e-5, "{gap}");
        }
    }
}
