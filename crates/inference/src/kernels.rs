//! The CPU's arithmetic: what candle has no batch-invariant, single-copy kernel for.
//!
//! Every kernel gives a row the same bits whatever rows it shares a pass with. They are wrapped as candle custom operations,
//! so the decoder is written once for every device; on other devices it uses candle's own operations.

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
mod float;
mod gated;
mod matrix;
mod pack;
mod pages;
mod portable;
mod tiles;

pub(crate) use attention::Attention;
pub(crate) use gated::{Activation, Gated};
pub(crate) use matrix::{Matrix, Shared, kernels};
pub(crate) use pack::{Conversion, Times};

#[cfg(test)]
mod tests;
