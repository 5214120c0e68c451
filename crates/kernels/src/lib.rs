//! Arithmetic of a decoder on the CPU: products, attention and gates for which candle has no batch-invariant kernel that keeps
//! one copy of the weights.
//!
//! Invariant: a row's result has the same bits in every batch. The kernels are custom operations of candle, so a decoder is
//! written once for every device. On other devices it uses candle's own operations.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined into a dispatched function is compiled without its vector instructions"
)]
#![expect(
    clippy::doc_markdown,
    reason = "Q4_K and its like are names of formats, not of items"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "loops over lanes stay plain so that they become vector code"
)]

mod activations;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod exponential;
mod float;
mod gated;
mod matrix;
mod pack;
mod pages;
mod portable;
mod tiles;
mod tree;

pub use attention::Attention;
pub use exponential::exp;
pub use gated::{Activation, Gated};
pub use matrix::{Matrix, QuantisedRows, kernels};
pub use pack::{Conversion, MatrixProduct, WeightFormatError};
pub use tree::Tree;

#[cfg(test)]
mod tests;
