//! Text of a model: a tokenizer as exact bytes, its chat template, and prompts as token ids.
//!
//! [`Tokenizer`] is the way in. It is read from a `tokenizer.json` or from the metadata of a GGUF file, which [`gguf`] parses.
//!
//! Invariant: this crate knows no tensors.

mod alphabet;
mod bytes;
mod error;
mod fingerprint;
mod from_gguf;
mod from_json;
pub mod gguf;
mod merger;
mod merges;
mod piece;
mod pieces;
mod pipeline;
mod pre;
pub mod prompt;
mod quoted;
mod recipe;
mod specials;
mod spelled;
pub mod template;
mod tokenizer;
mod vocabulary;

pub use self::error::TokenizerError;
pub use self::specials::{InfillMarkers, Specials};
pub use self::tokenizer::Tokenizer;

#[cfg(test)]
mod tests;
