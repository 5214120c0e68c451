//! The drafter: proposes how a reply may continue.
//!
//! It follows the text that a verifier commits, with a small model or by looking up its end in the text before, and sends
//! blocks of bytes that may come next. [`app::App`] is the way in; [`config::Config`] is what it runs with.
//!
//! Invariant: the context of a session is a function of prompt and committed text alone. Whichever tokens it has drafted, kept
//! and dropped, it proposes the same as a new session that is opened with the same text.

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
