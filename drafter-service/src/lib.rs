//! The drafter: proposes what a reply may go on with.
//!
//! It follows the text that a verifier commits, with a small model or by looking up what the text has said before, and sends
//! blocks of bytes that may come next.
//! [`app::App`] is the way in; [`config::Config`] says how it runs.
//!
//! Invariant: what drafts has a context that is a function of prompt and committed text alone. Whatever was drafted, kept and
//! dropped on the way, a session proposes what a fresh one would that is opened with the same text.

pub mod app;
pub mod args;
pub mod config;
mod drafting;
mod error;
mod metrics;
mod service;
pub mod source;

/// Name of the program, in logs, metrics and `Describe`.
pub(crate) const NAME: &str = env!("CARGO_PKG_NAME");
/// Its release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
