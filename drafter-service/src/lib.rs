//! The drafter: proposes what a reply may go on with.
//!
//! It follows the text that a verifier commits with a small model and sends blocks of bytes that may come next.
//! [`app::App`] is the way in; [`config::Config`] says how it runs.
//!
//! Invariant: the draft model's context is a function of prompt and committed text alone. Whatever was drafted, kept and
//! dropped on the way, a session proposes what a fresh one would that is opened with the same text.

pub mod app;
pub mod args;
pub mod config;
mod drafting;
mod error;
mod metrics;
mod service;

/// Name of the program, in logs, metrics and `Describe`.
pub(crate) const NAME: &str = env!("CARGO_PKG_NAME");
/// Its release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
