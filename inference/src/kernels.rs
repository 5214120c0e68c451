//! The CPU's arithmetic: what candle has no batch-invariant, single-copy kernel for.
//!
//! Every kernel gives a row the same bits whatever rows it shares a pass with. They are wrapped as candle custom operations,
//! so the decoder is written once for every device; on other devices it uses candle's own operations.

mod activations;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod exponential;
mod float;
mod gated;
mod matrix;
mod pack;
mod portable;
mod tiles;

pub(crate) use attention::Attention;
pub(crate) use gated::{Activation, Gated};
pub(crate) use matrix::{Matrix, kernels};
pub(crate) use pack::{Conversion, WeightFormatError};

#[cfg(test)]
mod tests;
