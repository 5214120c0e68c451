//! What any process of Duet needs, whatever it serves.
//!
//! A process runs through it in this order: [`exit::parse`] its arguments, [`telemetry::Telemetry::start`], load what it
//! serves, [`server::bind`], then [`lifecycle::Lifecycle::serve`] until [`lifecycle::signal`], which turns health to
//! `NOT_SERVING` first, drains within the grace period and leaves. Nothing here knows what a model, a block or a reply is.

pub mod admin;
pub mod args;
pub mod channel;
pub mod exit;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod server;
pub mod telemetry;
pub mod trace;
