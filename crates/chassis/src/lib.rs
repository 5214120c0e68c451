//! Parts that every process of Duet needs, independent of what it serves.
//!
//! The order in a process: [`exit::parse`] the arguments, [`telemetry::Telemetry::start`], load the model, [`server::bind`],
//! then [`lifecycle::Lifecycle::serve`] until [`lifecycle::signal`]. On a signal health turns `NOT_SERVING` first, then the
//! process drains within the grace period and ends. Nothing here knows models, blocks or replies.

pub mod admin;
pub mod args;
pub mod channel;
pub mod exit;
pub mod exposition;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod server;
pub mod telemetry;
pub mod trace;
