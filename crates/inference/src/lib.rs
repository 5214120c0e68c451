//! Models: checkpoints, one decoder for every architecture, sessions with a KV cache, sampling distributions.
//!
//! [`engine::Engine`] is the way in: a model on a thread of its own, with [`engine::Session`]s that append tokens, read logits
//! and forget suffixes. candle's types do not leave this crate and `kernels`.
//!
//! Invariant: on the CPU the logits of a position are a function of the tokens up to it and of the weights, bit for bit.
//! Neither the block that a token came in, nor the sessions that share its pass, nor the number of threads changes them.

pub mod checkpoint;
mod decoder;
pub mod engine;
pub mod sampling;
