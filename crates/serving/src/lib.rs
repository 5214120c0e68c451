//! What both services do alike with a model, and neither crate below may know.
//!
//! A service takes from here, in the order of its life: [`process::run`] around `main`, [`args::EngineArgs`] and the checks of
//! [`range`] for its configuration, [`model::load`] for its engine, [`frame::Frame`] around its gRPC service,
//! [`metrics`] to register what it counts, and [`request`] to hand a client's prompt and sampling to the engine.
//!
//! Invariant: nothing here knows what a block, a verdict or a reply is, nor which of the two services it is in.

pub mod args;
pub mod frame;
mod logged;
pub mod metrics;
pub mod model;
pub mod process;
pub mod range;
pub mod request;
