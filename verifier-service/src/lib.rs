//! The verifier: owns every answer.
//!
//! It decodes with the target model, re-encodes a drafter's blocks as candidates in target tokens, verifies them in a pass that
//! it needs anyway, and streams the text. [`app::App`] is the way in; [`config::Config`] is what it runs with.
//!
//! Invariant: under a method that `Describe` calls lossless, speculation changes when text arrives, never which text. With
//! `greedy` and `coupled` that is literal, byte for byte: plain decoding is the same loop with nothing proposed.

mod admission;
pub mod app;
pub mod args;
mod calibration;
pub mod config;
mod drafters;
pub mod error;
mod grammars;
mod http;
mod lexicon;
pub mod metrics;
pub mod pair;
mod service;
mod target;
mod verification;

/// Name of the program, in logs, metrics and `Describe`.
pub(crate) const NAME: &str = env!("CARGO_PKG_NAME");
/// Its release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
